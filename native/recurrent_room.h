// What dense products and cells share: room for a call, and when threads are worth it.
#pragma once
#include <cstdint>

#include "recurrent.h"

namespace kiyas {

constexpr int64_t kLine = 64;
// Rows that a hoisted product takes together: enough to read the weights seldom, few enough to stay in the cache.
constexpr int64_t kTogether = 96;
// Rows up to which threads share outputs or units in place of rows.
constexpr int64_t kFewRows = 6;
// Multiply-adds from which on a call starts further threads: starting one takes as long as some two million.
constexpr int64_t kWorthThreads = 8'000'000;

inline int64_t up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// Bytes of a row of inputs as the product takes it; 0: as floats.
inline int64_t prepared_bytes(const Product& p) {
  if (p.precision == Precision::float32 || (p.precision == Precision::bfloat16 && !p.rounded)) return 0;
  return up(row_bytes(p.inputs), kLine);
}

// Memory of the calling thread that stays for the next call, handed out in lines.
class Arena {
 public:
  explicit Arena(int64_t bytes) {
    thread_local Aligned kept;
    if (kept.bytes() < bytes) kept = Aligned(bytes);
    at_ = kept.as<char>();
  }
  template <class T>
  T* take(int64_t count) {
    T* out = reinterpret_cast<T*>(at_);
    at_ += up(count * static_cast<int64_t>(sizeof(T)), kLine);
    return out;
  }

 private:
  char* at_;
};

}  // namespace kiyas
