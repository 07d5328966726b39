// Rows as the caller keeps them: two runs of vectors (a base, perhaps a memory map, and what came later)
// in the dtype they were given in, read one row at a time into doubles.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

namespace kiyas {

enum class Type : int { float32 = 0, float64 = 1, float16 = 2, bfloat16 = 3 };

inline double half_to_double(uint16_t h) {
  const uint64_t sign = static_cast<uint64_t>(h >> 15) << 63;
  const int exponent = (h >> 10) & 31;
  const uint64_t fraction = h & 1023;
  if (exponent == 0) {  // zero and subnormals: fraction · 2^-24
    const double value = static_cast<double>(fraction) * 0x1p-24;
    return sign ? -value : value;
  }
  const uint64_t wide = exponent == 31 ? 2047 : static_cast<uint64_t>(exponent - 15 + 1023);
  return std::bit_cast<double>(sign | wide << 52 | fraction << 42);
}

struct Rows {
  const void* base;
  int64_t base_rows;
  const void* tail;  // rows base_rows, base_rows + 1, …
  int64_t dims;
  Type type;

  bool exact_products() const { return type != Type::float64; }

  // The row in float32, which must hold it: where it lies, or converted into `buffer`.
  const float* narrow(int64_t row, std::vector<float>& buffer) const {
    if (type == Type::float32) {
      const bool late = row >= base_rows;
      return static_cast<const float*>(late ? tail : base) + (late ? row - base_rows : row) * dims;
    }
    std::vector<double> wide(dims);
    read(row, wide.data());
    buffer.assign(wide.begin(), wide.end());
    return buffer.data();
  }

  // Asks for the memory of a row that will be read.
  void prefetch(int64_t row) const {
    const int64_t width = type == Type::float64 ? 8 : type == Type::float32 ? 4 : 2;
    const bool late = row >= base_rows;
    const char* at = static_cast<const char*>(late ? tail : base) + (late ? row - base_rows : row) * dims * width;
    for (int64_t i = 0; i < dims * width; i += 64) __builtin_prefetch(at + i);
  }

  void read(int64_t row, double* out) const {
    const bool late = row >= base_rows;
    const int64_t at = (late ? row - base_rows : row) * dims;
    const void* from = late ? tail : base;
    switch (type) {
      case Type::float64: std::memcpy(out, static_cast<const double*>(from) + at, dims * sizeof(double)); break;
      case Type::float32: {
        const float* x = static_cast<const float*>(from) + at;
        for (int64_t i = 0; i < dims; ++i) out[i] = x[i];
        break;
      }
      case Type::float16: {
        const uint16_t* x = static_cast<const uint16_t*>(from) + at;
        for (int64_t i = 0; i < dims; ++i) out[i] = half_to_double(x[i]);
        break;
      }
      case Type::bfloat16: {
        const uint16_t* x = static_cast<const uint16_t*>(from) + at;
        for (int64_t i = 0; i < dims; ++i) out[i] = std::bit_cast<float>(static_cast<uint32_t>(x[i]) << 16);
        break;
      }
    }
  }
};

}  // namespace kiyas
