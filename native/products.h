// Products of bytes at the instruction level being compiled.
//
// Rows lie in groups of kGroup, four dimensions of each row after the other: a register then holds one step of a
// whole group, the query's four bytes are the same for all of it, and no sum runs across lanes.
#pragma once
#include <cstring>

#include "level.h"
#include "vectors.h"

namespace kiyas {
namespace {

inline int32_t four_bytes(const int8_t* q) {
  int32_t four;
  std::memcpy(&four, q, 4);
  return four;
}

#if KIYAS_LEVEL >= 1

#if KIYAS_LEVEL == 1
constexpr int kRegisterRows = 8;  // rows of a group that a register holds
constexpr int kRowRegisters = 2, kDotQueries = 2;
inline V four_everywhere(const int8_t* q) { return _mm256_set1_epi32(four_bytes(q)); }
inline void store_sums(int32_t* out, V x) { _mm256_storeu_si256(reinterpret_cast<V*>(out), x); }
#else
constexpr int kRegisterRows = 16;
constexpr int kRowRegisters = 4, kDotQueries = 4;
inline V four_everywhere(const int8_t* q) { return _mm512_set1_epi32(four_bytes(q)); }
inline void store_sums(int32_t* out, V x) { _mm512_storeu_si512(out, x); }
#endif

// Registers × Queries sums over `steps` of four dimensions. `row` is where each register's rows begin.
template <int Registers, int Queries>
inline void dots_of(const uint8_t* const row[], int64_t steps, const int8_t* q, int64_t qstride, int32_t* const out[]) {
  constexpr int64_t wide = 4 * kGroup;  // bytes of a group's step
  V acc[Queries][Registers];
  for (auto& a : acc)
    for (auto& v : a) v = zero();
  int64_t s = 0;
  for (; s + kDotLoads <= steps; s += kDotLoads) {
    V x[Registers][kDotLoads];
    for (int r = 0; r < Registers; ++r)
      for (int l = 0; l < kDotLoads; ++l) x[r][l] = load(row[r] + (s + l) * wide);
    for (int j = 0; j < Queries; ++j) {
      V y[kDotLoads];
      for (int l = 0; l < kDotLoads; ++l) y[l] = four_everywhere(q + j * qstride + 4 * (s + l));
      for (int r = 0; r < Registers; ++r) acc[j][r] = dot_step(acc[j][r], x[r], y);
    }
  }
  for (; s < steps; ++s)  // half a step is left where two share one widening
    for (int j = 0; j < Queries; ++j) {
      V x[kDotLoads], y[kDotLoads];
      for (auto& v : y) v = zero();
      y[0] = four_everywhere(q + j * qstride + 4 * s);
      for (int r = 0; r < Registers; ++r) {
        for (auto& v : x) v = load(row[r] + s * wide);
        acc[j][r] = dot_step(acc[j][r], x, y);
      }
    }
  for (int j = 0; j < Queries; ++j)
    for (int r = 0; r < Registers; ++r) store_sums(out[j] + r * kRegisterRows, acc[j][r]);
}

template <int Registers>
inline void dots_of_registers(const uint8_t* const row[], int64_t steps, const int8_t* q, int64_t qstride, int queries,
                              int32_t* out) {
  int j = 0;
  int32_t* to[kDotQueries];
  for (; j + kDotQueries <= queries; j += kDotQueries) {
    for (int i = 0; i < kDotQueries; ++i) to[i] = out + (j + i) * kBlock;
    dots_of<Registers, kDotQueries>(row, steps, q + j * qstride, qstride, to);
  }
  for (; j < queries; ++j) {
    to[0] = out + j * kBlock;
    dots_of<Registers, 1>(row, steps, q + j * qstride, qstride, to);
  }
}

// One query: memory is what counts, so groups are read as they lie, one after the other, which the processor foresees
// (asking for lines ahead made it a fifth slower); several sums a register hide the latency of each.
void dots_of_one(const uint8_t* groups, int64_t steps, int rows, const int8_t* q, int32_t* out) {
  constexpr int parts = kGroup / kRegisterRows, sums = 4 / parts * kDotLoads;
  constexpr int64_t wide = 4 * kGroup;
  for (int first = 0; first < rows; first += kGroup, groups += steps * wide) {
    V acc[parts][sums];
    for (auto& part : acc)
      for (auto& v : part) v = zero();
    int64_t s = 0;
    for (; s + sums <= steps; s += sums) {
      for (int i = 0; i < sums; i += kDotLoads)
        for (int p = 0; p < parts; ++p) {
          V x[kDotLoads], y[kDotLoads];
          for (int l = 0; l < kDotLoads; ++l) {
            x[l] = load(groups + (s + i + l) * wide + p * kWidth);
            y[l] = four_everywhere(q + 4 * (s + i + l));
          }
          acc[p][i] = dot_step(acc[p][i], x, y);
        }
    }
    for (; s < steps; ++s)
      for (int p = 0; p < parts; ++p) {
        V x[kDotLoads], y[kDotLoads];
        for (auto& v : y) v = zero();
        for (auto& v : x) v = load(groups + s * wide + p * kWidth);
        y[0] = four_everywhere(q + 4 * s);
        acc[p][0] = dot_step(acc[p][0], x, y);
      }
    for (int p = 0; p < parts; ++p) {
      V sum = acc[p][0];
      for (int i = 1; i < sums; ++i) sum = add32(sum, acc[p][i]);
      store_sums(out + first + p * kRegisterRows, sum);
    }
  }
}

void dots(const uint8_t* groups, int64_t steps, int rows, const int8_t* q, int64_t qstride, int queries, int32_t* out) {
  if (queries == 1) {
    dots_of_one(groups, steps, rows, q, out);
    return;
  }
  constexpr int parts = kGroup / kRegisterRows;
  const int registers = (rows + kRegisterRows - 1) / kRegisterRows;
  int r = 0;
  const uint8_t* row[kRowRegisters];
  const auto begin = [&](int at) {
    return groups + (at / parts) * steps * 4 * kGroup + (at % parts) * 4 * kRegisterRows;
  };
  for (; r + kRowRegisters <= registers; r += kRowRegisters) {
    for (int i = 0; i < kRowRegisters; ++i) row[i] = begin(r + i);
    dots_of_registers<kRowRegisters>(row, steps, q, qstride, queries, out + r * kRegisterRows);
  }
  for (; r < registers; ++r) {
    row[0] = begin(r);
    dots_of_registers<1>(row, steps, q, qstride, queries, out + r * kRegisterRows);
  }
}

// One row as it lies, `padded` bytes; two accumulators hide the latency of the sums.
int32_t dot(const uint8_t* row, const int8_t* q, int64_t padded) {
  const auto step = [&](V acc, int64_t i) {
    V x[kDotLoads], y[kDotLoads];
    for (int l = 0; l < kDotLoads; ++l) x[l] = load(row + i + l * kWidth), y[l] = load(q + i + l * kWidth);
    return dot_step(acc, x, y);
  };
  V even = zero(), odd = zero();
  int64_t i = 0;
  for (; i + 2 * kDotStep <= padded; i += 2 * kDotStep) {
    even = step(even, i);
    odd = step(odd, i + kDotStep);
  }
  if (i < padded) even = step(even, i);
  return reduce(add32(even, odd));
}

#else  // plain loops: x86-64 baseline, ARM

void dots(const uint8_t* groups, int64_t steps, int rows, const int8_t* q, int64_t qstride, int queries, int32_t* out) {
  for (int first = 0; first < rows; first += kGroup, groups += steps * 4 * kGroup)
    for (int j = 0; j < queries; ++j) {
      int32_t sum[kGroup] = {};
      for (int64_t s = 0; s < steps; ++s) {
        const uint8_t* x = groups + s * 4 * kGroup;
        const int8_t* y = q + j * qstride + 4 * s;
        for (int r = 0; r < kGroup; ++r)
          for (int i = 0; i < 4; ++i) sum[r] += static_cast<int16_t>(x[4 * r + i]) * static_cast<int16_t>(y[i]);
      }
      std::memcpy(out + j * kBlock + first, sum, sizeof sum);
    }
}

int32_t dot(const uint8_t* row, const int8_t* q, int64_t padded) {
  int32_t sum = 0;
  for (int64_t i = 0; i < padded; ++i) sum += static_cast<int16_t>(row[i]) * static_cast<int16_t>(q[i]);
  return sum;
}

#endif

}  // namespace
}  // namespace kiyas
