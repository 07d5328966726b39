// The recurrent kernels, compiled once for each instruction level (CMakeLists.txt).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "float_functions.h"
#include "float_vectors.h"
#include "recurrent.h"
#include "recurrent_ahead.h"
#include "recurrent_sums.h"

namespace kiyas {

namespace {

// ---- cells --------------------------------------------------------------------------------------------
//
// An update takes the sums of a panel, vector after vector, and writes the new state of its units.

// Activations known when compiled, or looked up.
struct Usual {
  static KIYAS_INLINE F gate(const Cell&, F x) { return sigmoid(x); }
  static KIYAS_INLINE F candidate(const Cell&, F x) { return hyperbolic_tangent(x); }
  static KIYAS_INLINE F output(const Cell&, F x) { return hyperbolic_tangent(x); }
};
F looked_up(Act act, F x) { return apply(act, x); }
struct Any {
  static inline F gate(const Cell& cell, F x) { return looked_up(cell.gate, x); }
  static inline F candidate(const Cell& cell, F x) { return looked_up(cell.candidate, x); }
  static inline F output(const Cell& cell, F x) { return looked_up(cell.output, x); }
};

template <class Acts>
KIYAS_INLINE void lstm_unit(const Cell& cell, F i, F f, F g, F o, float* c, float* h) {
  if constexpr (std::is_same_v<Acts, Usual>) {
    const Ratio candidate = hyperbolic_tangent_ratio(g);
    const F now = load(c) / sigmoid_under(f) + candidate.over / (candidate.under * sigmoid_under(i));
    store(c, now);
    const Ratio output = hyperbolic_tangent_ratio(now);
    store(h, within_one(output.over / (output.under * sigmoid_under(o))));
  } else {
    const F now = fused(Acts::gate(cell, f), load(c), Acts::gate(cell, i) * Acts::candidate(cell, g));
    store(c, now);
    store(h, Acts::gate(cell, o) * Acts::output(cell, now));
  }
}

template <class Acts>
void lstm(const Cell& cell, const Step& step, const float* sums, int64_t panel, int row) {
  const int64_t at = panel * kLanes;
  lstm_unit<Acts>(cell, load(sums), load(sums + kLanes), load(sums + 2 * kLanes), load(sums + 3 * kLanes),
                  step.c[row] + at, step.out[row] + at);
}

// The most frequent case, one row of an LSTM, keeps its sums in registers through the update.
template <class Input, class Recurrent, int P, int ahead = 0>
void lstm_of_one(const Cell& cell, const Step& step, int64_t panel) {
  Sums<P, 1, 4> acc;
  const float* start = (step.z ? step.z[0] : cell.bias) + panel * 4 * kLanes;
  KIYAS_UNROLL
  for (int p = 0; p < P; ++p) {
    KIYAS_UNROLL
    for (int v = 0; v < 4; ++v) acc[p][0][v] = load(start + (p * 4 + v) * kLanes);
  }
  if (!step.z) add<Input, P, 1, 4, Input::stream>(acc, cell.input, panel, step.x);
#if KIYAS_LEVEL >= 2
  if constexpr (ahead != 0) add_and_go_ahead<Recurrent, Input, P, ahead>(acc, cell, panel, step.h, *step.ahead);
#endif
  if constexpr (ahead == 0) add<Recurrent, P, 1, 4, 2>(acc, cell.recurrent, panel, step.h);
  KIYAS_UNROLL
  for (int p = 0; p < P; ++p) {
    const int64_t at = (panel + p) * kLanes;
    lstm_unit<Usual>(cell, acc[p][0][0], acc[p][0][1], acc[p][0][2], acc[p][0][3], step.c[0] + at, step.out[0] + at);
  }
}

template <class Recurrent, class Input = Recurrent>
void lstm_one(const Cell& cell, const Step& step, int64_t from, int64_t to) {
  by_panels(from, to, 1, 1, step.backward, panels_together(cell.recurrent), [&](int64_t panel, int panels, int, int) {
#if KIYAS_LEVEL >= 2
    if (step.ahead) {
#if KIYAS_LEVEL >= 3
      if constexpr (Input::stream == 1) {
        if (step.ahead->rows == kManyAhead) {
          if (panels == 2) return lstm_of_one<Input, Recurrent, 2, kManyAhead>(cell, step, panel);
          return lstm_of_one<Input, Recurrent, 1, kManyAhead>(cell, step, panel);
        }
      }
#endif
      if (panels == 2) return lstm_of_one<Input, Recurrent, 2, kFewAhead>(cell, step, panel);
      return lstm_of_one<Input, Recurrent, 1, kFewAhead>(cell, step, panel);
    }
#endif
    if (panels == 2) lstm_of_one<Input, Recurrent, 2>(cell, step, panel);
    else lstm_of_one<Input, Recurrent, 1>(cell, step, panel);
  });
}

// h = z·h + (1 - z)·h̃, as one sum: h̃ + z·(h - h̃).
KIYAS_INLINE F blend(F z, F h, F candidate) { return fused(z, h - candidate, candidate); }

// Sums: update and reset gate, recurrent part of the candidate; the input part of the candidate stands after them.
template <class Acts>
void gru_after(const Cell& cell, const Step& step, const float* sums, const float* input, int64_t panel, int row) {
  const int64_t at = panel * kLanes;
  const F z = Acts::gate(cell, load(sums)), reset = Acts::gate(cell, load(sums + kLanes));
  const F g = Acts::candidate(cell, fused(reset, load(sums + 2 * kLanes), load(input)));
  store(step.out[row] + at, blend(z, load(step.old[row] + at), g));
}

// First part: update gate, and r·h for the product of the candidate.
template <class Acts>
void gru_before(const Cell& cell, const Step& step, const float* sums, int64_t panel, int row) {
  const int64_t at = panel * kLanes;
  store(step.c[row] + at, Acts::gate(cell, load(sums)));
  store(step.out[row] + at, Acts::gate(cell, load(sums + kLanes)) * load(step.old[row] + at));
}

// Second part: four vectors of units a panel.
template <class Acts>
void gru_candidate(const Cell& cell, const Step& step, const float* sums, int64_t panel, int row) {
  for (int v = 0; v < 4 && panel * 4 + v < cell.blocks; ++v) {
    const int64_t at = (panel * 4 + v) * kLanes;
    const F g = Acts::candidate(cell, load(sums + v * kLanes));
    store(step.out[row] + at, blend(load(step.c[row] + at), load(step.old[row] + at), g));
  }
}

template <class Acts>
void simple(const Cell& cell, const Step& step, const float* sums, int64_t panel, int row) {
  for (int v = 0; v < 4; ++v)
    store(step.out[row] + (panel * 4 + v) * kLanes, Acts::candidate(cell, load(sums + v * kLanes)));
}

constexpr int kSlots = std::max(kMostRows, 2);  // rows or panels whose sums are held at once

// Any cell, any number of rows: sums go through a slot of memory for each row, or for each of two panels of a row.
template <class Acts>
void several(const Cell& cell, const Step& step, int64_t from, int64_t to) {
  const Product& recurrent = cell.recurrent;
  const int v = recurrent.vectors, width = v * kLanes;
  by_panels(from, to, step.count, rows_together(recurrent), step.backward, panels_together(recurrent),
            [&](int64_t panel, int panels, int row, int some) {
    alignas(64) float held[kSlots * 4 * kLanes];
    alignas(64) float candidate[kSlots * kLanes];
    const float* starts[kMostRows];
    float* outs[kMostRows];
    const int slots = panels * some;
    for (int r = 0; r < some; ++r) outs[r] = held + r * width;
    if (cell.kind == Kind::gru_before) {
      // Three vectors of the input part for two of the product.
      for (int i = 0; i < slots; ++i)
        std::memcpy(held + i * width, step.z[row + i / panels] + (panel + i % panels) * 3 * kLanes, sizeof(float) * 2 * kLanes);
      for (int r = 0; r < some; ++r) starts[r] = outs[r];
    } else {
      for (int r = 0; r < some; ++r) starts[r] = (step.z ? step.z[row + r] : cell.bias) + panel * width;
      if (!step.z) {
        sums_with(cell.input, panel, panels, some, starts, step.x + row, outs);
        for (int r = 0; r < some; ++r) starts[r] = outs[r];
      }
      if (cell.kind == Kind::gru_after) {
        for (int i = 0; i < slots; ++i) {
          const float* given = starts[i / panels] + i % panels * width;
          float* slot = held + i * width;
          if (given != slot) std::memcpy(slot, given, sizeof(float) * 2 * kLanes);
          std::memcpy(candidate + i * kLanes, given + 2 * kLanes, sizeof(float) * kLanes);
          std::memcpy(slot + 2 * kLanes, cell.recurrent_bias + (panel + i % panels) * kLanes, sizeof(float) * kLanes);
        }
        for (int r = 0; r < some; ++r) starts[r] = outs[r];
      }
    }
    sums_with(recurrent, panel, panels, some, starts, step.h + row, outs);
    for (int i = 0; i < slots; ++i) {
      const float* slot = held + i * width;
      const int64_t which = panel + i % panels;
      const int r = row + i / panels;
      switch (cell.kind) {
        case Kind::lstm: lstm<Acts>(cell, step, slot, which, r); break;
        case Kind::gru_after: gru_after<Acts>(cell, step, slot, candidate + i * kLanes, which, r); break;
        case Kind::gru_before: gru_before<Acts>(cell, step, slot, which, r); break;
        case Kind::simple: simple<Acts>(cell, step, slot, which, r); break;
      }
    }
  });
}

bool usual(const Cell& cell) {
  return cell.gate.kind == Activation::sigmoid && cell.candidate.kind == Activation::tanh &&
         cell.output.kind == Activation::tanh;
}

void cells(const Cell& cell, const Step& step, int64_t from, int64_t to) {
#ifdef KIYAS_NO_FLOAT32
  if (cell.recurrent.precision == Precision::float32) return recurrent_avx512.cells(cell, step, from, to);
#endif
  if (!usual(cell)) return several<Any>(cell, step, from, to);
  if (cell.kind != Kind::lstm || step.count != 1) return several<Usual>(cell, step, from, to);
#ifndef KIYAS_NO_FLOAT32
  if (cell.recurrent.precision == Precision::float32)
    return lstm_one<Terms<Precision::float32>>(cell, step, from, to);
#endif
#if KIYAS_LEVEL >= 3
  if (cell.input.rounded && has_pairs())
    return lstm_one<Terms<Precision::bfloat16>, RoundedPairs>(cell, step, from, to);
#endif
  if (cell.recurrent.precision == Precision::bfloat16)
    return lstm_one<Terms<Precision::bfloat16>>(cell, step, from, to);
  lstm_one<Terms<Precision::int8>>(cell, step, from, to);
}

int block_ahead([[maybe_unused]] const Cell& cell, [[maybe_unused]] int64_t time) {
#if KIYAS_LEVEL >= 2
  // The last of an odd number of bfloat16 inputs is no group, unless an instruction takes pairs.
  bool groups = cell.input.precision != Precision::bfloat16 || cell.input.inputs % 2 == 0;
#if KIYAS_LEVEL >= 3
  groups |= has_pairs();
#endif
  const bool waits = cell.recurrent.panels * cell.recurrent.panel_bytes > kFirstCache;
  if (cell.kind != Kind::lstm || !usual(cell) || !groups || !waits) return 0;
  const int64_t bytes = cell.recurrent.panels * (cell.recurrent.panel_bytes + cell.input.panel_bytes);
  const bool many = Terms<Precision::int8>::stream == 1 && cell.input.precision == Precision::int8;
  return many && bytes >= kBytesForMany && time >= kTimeForMany ? kManyAhead : kFewAhead;
#endif
  return 0;
}

template <class Acts>
void second_of(const Cell& cell, const Step& step, int64_t from, int64_t to) {
  by_panels(from, to, step.count, rows_together(cell.second), step.backward, panels_together(cell.second),
            [&](int64_t panel, int panels, int row, int some) {
    alignas(64) float held[kSlots * 4 * kLanes];
    const float* starts[kMostRows];
    float* outs[kMostRows];
    for (int r = 0; r < some; ++r) starts[r] = outs[r] = held + r * 4 * kLanes;
    for (int i = 0; i < panels * some; ++i)
      for (int v = 0; v < 4; ++v) {
        // Past the last unit: computed, never stored.
        const int64_t block = std::min((panel + i % panels) * 4 + v, cell.blocks - 1);
        std::memcpy(held + (i * 4 + v) * kLanes, step.z[row + i / panels] + (block * 3 + 2) * kLanes, sizeof(float) * kLanes);
      }
    sums_with(cell.second, panel, panels, some, starts, step.h + row, outs);
    for (int i = 0; i < panels * some; ++i)
      gru_candidate<Acts>(cell, step, held + i * 4 * kLanes, panel + i % panels, row + i / panels);
  });
}

void second(const Cell& cell, const Step& step, int64_t from, int64_t to) {
#ifdef KIYAS_NO_FLOAT32
  if (cell.recurrent.precision == Precision::float32) return recurrent_avx512.second(cell, step, from, to);
#endif
  if (usual(cell)) return second_of<Usual>(cell, step, from, to);
  second_of<Any>(cell, step, from, to);
}

// ---- elementwise --------------------------------------------------------------------------------------------

template <class Function>
KIYAS_INLINE void elementwise(const float* x, int64_t count, float* out, const Function& of) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, of(load(x + i)));
  if (i == count) return;
  float part[kLanes] = {};
  const size_t bytes = sizeof(float) * static_cast<size_t>(count - i);
  std::memcpy(part, x + i, bytes);
  store(part, of(load(part)));
  std::memcpy(out + i, part, bytes);
}

bool all_finite(const float* x, int64_t count) {
  // The exponent of infinity and NaN is all ones: one more reaches the place of the sign.
  uint32_t reached = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    reached |= (bits & 0x7FFFFFFF) + 0x00800000;
  }
  return !(reached >> 31);
}

void activate(Act act, const float* x, int64_t count, float* out) {
  switch (act.kind) {
    case Activation::sigmoid: return elementwise(x, count, out, [](F v) { return sigmoid(v); });
    case Activation::tanh: return elementwise(x, count, out, [](F v) { return hyperbolic_tangent(v); });
    default: elementwise(x, count, out, [act](F v) { return apply(act, v); });
  }
}

// Sixteen partial sums at every level, added in pairs: position i goes to sum i mod 16.
void softmax(const float* x, int64_t count, float* out) {
  float top = x[0];
  int64_t j = 0;
  if (count >= kLanes) {
    F tops = load(x);
    for (; j + kLanes <= count; j += kLanes) tops = most(load(x + j), tops);  // passes over NaN, which spoils the sum
    float lane[kLanes];
    store(lane, tops);
    for (const float v : lane) top = v > top || top != top ? v : top;
  }
  for (; j < count; ++j) top = x[j] > top || top != top ? x[j] : top;
  elementwise(x, count, out, [top](F v) { return exponential(v - every(top)); });
  float sum[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (int l = 0; l < 16; l += kLanes) store(sum + l, load(sum + l) + load(out + i + l));
  for (int l = 0; i < count; ++i, ++l) sum[l] += out[i];
  for (int width = 8; width; width /= 2)
    for (int l = 0; l < width; ++l) sum[l] += sum[l + width];
  const F total = every(sum[0]);
  elementwise(out, count, out, [total](F v) { return v / total; });
}

// Two passes over few numbers: the largest that a value is at least, then the panels that come up to it.
int64_t reaching(const float* z, const float* near, const float* far, float x, float d, float always, int64_t panels,
                 int64_t* found) {
  const F size = every(x), gap = every(d), more = every(always);
  const auto reach = [&](int64_t i) KIYAS_INLINE_LAMBDA {
    return fused(load(near + i), size, fused(load(far + i), gap, more));
  };
  F lower = every(-std::numeric_limits<float>::infinity());
  const int64_t width = 4 * kLanes;
  for (int64_t i = 0; i < panels * width; i += kLanes) lower = most(load(z + i) - reach(i), lower);  // passes over NaN
  float lane[kLanes];
  store(lane, lower);
  const float top = *std::max_element(lane, lane + kLanes);
  if (!(std::fabs(top) < std::numeric_limits<float>::infinity())) return 0;
  const F under = every(std::nextafter(top, -std::numeric_limits<float>::infinity()));
  int64_t count = 0;
  for (int64_t p = 0; p < panels; ++p) {
    M some{};
    KIYAS_UNROLL
    for (int v = 0; v < 4; ++v) {
      const int64_t i = p * width + v * kLanes;
      some = either(some, not_at_most(load(z + i) + reach(i), under));  // NaN may be anything
    }
    if (any(some)) found[count++] = p;
  }
  return count;
}

#define KIYAS_TEXT(x) #x
#define KIYAS_NAME(x) KIYAS_TEXT(x)
#define KIYAS_JOIN(a, b) a##b
#define KIYAS_SYMBOL(name) KIYAS_JOIN(recurrent_, name)

}  // namespace

extern const RecurrentLevel KIYAS_SYMBOL(KIYAS_LEVEL_NAME);
const RecurrentLevel KIYAS_SYMBOL(KIYAS_LEVEL_NAME) = {
    KIYAS_NAME(KIYAS_LEVEL_NAME), kLanes, Terms<Precision::int8>::stream, prepare, beside, product, cells, block_ahead,
    second, all_finite, activate, softmax, reaching};

}  // namespace kiyas
