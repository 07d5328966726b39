// What the checks of the kernels share: counting, random numbers, arrays that a sanitizer guards at both ends.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>

namespace {

int64_t checks = 0, failures = 0;

#define CHECK(condition, ...)                                              \
  do {                                                                     \
    ++checks;                                                              \
    if (!(condition)) {                                                    \
      if (++failures <= 40) {                                              \
        std::printf("%s:%d: %s failed: ", __FILE__, __LINE__, #condition); \
        std::printf(__VA_ARGS__);                                          \
        std::printf("\n");                                                 \
      }                                                                    \
    }                                                                      \
  } while (0)

std::mt19937_64 engine(12345);
inline int64_t below(int64_t n) { return static_cast<int64_t>(engine() % static_cast<uint64_t>(n)); }
inline double uniform() { return static_cast<double>(engine() >> 11) * 0x1p-53; }
inline double normal() {
  double sum = 0;
  for (int i = 0; i < 12; ++i) sum += uniform();
  return sum - 6;
}

// An array on the heap of exactly that many elements.
template <class T>
struct Guarded {
  std::unique_ptr<T[]> data;
  int64_t size;
  explicit Guarded(int64_t count) : data(new T[static_cast<size_t>(count)]()), size(count) {}
  Guarded(const Guarded& other) : Guarded(other.size) { std::copy(other.get(), other.get() + size, get()); }
  T* get() const { return data.get(); }
  T& operator[](int64_t i) const { return data[static_cast<size_t>(i)]; }
  bool operator==(const Guarded& other) const {
    return size == other.size && std::memcmp(get(), other.get(), sizeof(T) * static_cast<size_t>(size)) == 0;
  }
};

}  // namespace
