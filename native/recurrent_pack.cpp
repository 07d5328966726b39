// Weights as the kernels take them, aligned memory, numbers looked at, and the state of the processor while they run.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>

#include "recurrent.h"
#include "recurrent_room.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace kiyas {
namespace {

uint16_t to_bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<uint16_t>((bits >> 16) | 64);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

}  // namespace

// ---- the state of the processor, memory --------------------------------------------------------------------------------

#if defined(__SSE__)
Flush::Flush() : before_(_mm_getcsr()) { _mm_setcsr(static_cast<uint32_t>(before_) | 0x8040); }  // FTZ and DAZ
Flush::~Flush() { _mm_setcsr(static_cast<uint32_t>(before_)); }
#elif defined(__aarch64__) && defined(__GNUC__)
Flush::Flush() {
  __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
  __asm__ volatile("msr fpcr, %0" ::"r"(before_ | (uint64_t{1} << 24)));
}
Flush::~Flush() { __asm__ volatile("msr fpcr, %0" ::"r"(before_)); }
#else
Flush::Flush() : before_(0) {}
Flush::~Flush() {}
#endif

namespace {
// Memory from kMany bytes on lies in large pages, where there are such: small ones lie anywhere, and where many of a cell's
// share places in the second cache, its steps are up to 8 % slower. Blocks made one after another share pages, which are
// given back with their last block: one page for each would take many times the bytes of a small model. What is left in
// the last page of a block beyond kShared stays empty, as a few bytes there would keep all of it.
constexpr int64_t kMany = 1 << 17, kLargePage = 1 << 21, kShared = 4 * kLargePage;

std::shared_ptr<void> aligned(int64_t bytes, int64_t line) {
  const std::align_val_t at{static_cast<size_t>(line)};
  return {::operator new(static_cast<size_t>(bytes), at), [at](void* p) { ::operator delete(p, at); }};
}

// Pages with room for more.
struct Pages {
  std::mutex mutex;
  std::weak_ptr<void> last;
  int64_t size = 0, taken = 0;
};

std::shared_ptr<void> in_large_pages(int64_t bytes) {
  static Pages& pages = *new Pages;  // never destroyed: threads may be at work while the process ends
  const std::lock_guard lock(pages.mutex);
  std::shared_ptr<void> shared = pages.last.lock();
  if (!shared || pages.size - pages.taken < bytes) {
    const int64_t whole = up(bytes, kLargePage);
    shared = aligned(whole, kLargePage);
#if defined(MADV_HUGEPAGE)
    madvise(shared.get(), static_cast<size_t>(whole), MADV_HUGEPAGE);
#endif
    if (whole > kShared) return shared;
    pages.last = shared, pages.size = whole, pages.taken = 0;
  }
  char* const at = static_cast<char*>(shared.get()) + pages.taken;
  pages.taken += up(bytes, kLine);
  return {shared, at};
}
}  // namespace

Aligned::Aligned(int64_t bytes) : bytes_(bytes) {
  data_ = bytes < kMany ? aligned(std::max<int64_t>(bytes, 1), kLine) : in_large_pages(bytes);
  std::memset(data_.get(), 0, static_cast<size_t>(bytes));
}

// ---- packing ----------------------------------------------------------------------------------------------------------

double code_step(const float* row, int64_t inputs) {
  double largest = 0;
  for (int64_t k = 0; k < inputs; ++k) largest = std::max(largest, std::fabs(static_cast<double>(row[k])));
  return largest / 127;
}

int8_t code_of(float weight, double step) { return static_cast<int8_t>(step > 0 ? std::lrint(weight / step) : 0); }

std::vector<int64_t> plain_rows(int64_t outputs, int lanes, int64_t first) {
  std::vector<int64_t> rows(static_cast<size_t>((outputs + 4 * lanes - 1) / (4 * lanes) * 4 * lanes), -1);
  std::iota(rows.begin(), rows.begin() + outputs, first);
  return rows;
}

Packed pack(const RecurrentLevel& level, const float* weights, int64_t inputs, const std::vector<int64_t>& rows,
            int vectors, Precision precision, int stream) {
  if (!stream) stream = vectors == 4 ? 2 : vectors;
  const int lanes = level.lanes;
  const int64_t width = static_cast<int64_t>(vectors) * lanes, outputs = static_cast<int64_t>(rows.size());
  const int together = precision == Precision::float32 ? 1 : precision == Precision::bfloat16 ? 2 : 4;
  const int64_t groups = (inputs + together - 1) / together;
  Packed out;
  Product& p = out.product;
  p.precision = precision, p.vectors = vectors, p.stream = stream, p.panels = outputs / width, p.inputs = inputs;
  p.panel_bytes = groups * width * 4;  // a group of inputs is four bytes a lane in every precision
  out.weights = Aligned(p.panels * p.panel_bytes);
  if (precision == Precision::int8) {
    out.scale = Aligned(outputs * static_cast<int64_t>(sizeof(float)));
    out.shift = Aligned(outputs * static_cast<int64_t>(sizeof(int32_t)));
  }
  for (int64_t o = 0; o < outputs; ++o) {
    if (rows[static_cast<size_t>(o)] < 0) continue;
    const float* row = weights + rows[static_cast<size_t>(o)] * inputs;
    const int64_t place = o % width, wide = static_cast<int64_t>(stream) * lanes;
    char* base = out.weights.as<char>() + o / width * p.panel_bytes + (place / wide * wide * groups + place % wide) * 4;
    const double step = precision == Precision::int8 ? code_step(row, inputs) : 0;
    if (precision == Precision::int8) out.scale.as<float>()[o] = static_cast<float>(step);
    int32_t sum = 0;
    for (int64_t k = 0; k < inputs; ++k) {
      char* at = base + k / together * wide * 4;
      if (precision == Precision::float32) {
        std::memcpy(at, row + k, 4);
      } else if (precision == Precision::bfloat16) {
        const uint16_t code = to_bfloat16(row[k]);
        std::memcpy(at + k % 2 * 2, &code, 2);
      } else {
        const int8_t code = code_of(row[k], step);
        std::memcpy(at + k % 4, &code, 1);
        sum += code;
      }
    }
    if (precision == Precision::int8)
      out.shift.as<int32_t>()[o] = -128 * sum;
  }
  p.weights = out.weights.as<void>();
  p.scale = out.scale.as<float>();
  p.shift = out.shift.as<int32_t>();
  return out;
}

}  // namespace kiyas
