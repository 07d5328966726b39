// The recurrent kernels, compiled once for each instruction level (CMakeLists.txt).
#include <algorithm>
#include <cstring>
#include <utility>

#include "float_functions.h"
#include "float_vectors.h"
#include "recurrent.h"

namespace kiyas {

#if KIYAS_LEVEL == 3
// What needs no VNNI is that level's.
extern const RecurrentLevel recurrent_avx512;
#define KIYAS_NO_FLOAT32
#endif

namespace {

// ---- sums over inputs --------------------------------------------------------------------------------------------
//
// acc[panel][row][vector] += W·x. Rows share each weight that is loaded, panels keep enough sums under way where there
// is one row. The order of a sum does not depend on either.

template <int P, int R, int V>
using Sums = F[P][R][V];

template <int count, class Function>
KIYAS_INLINE void unrolled(const Function& of) {
  [&]<int... i>(std::integer_sequence<int, i...>) KIYAS_INLINE_LAMBDA {
    (of(std::integral_constant<int, i>{}), ...);
  }(std::make_integer_sequence<int, count>{});
}

template <Precision precision>
struct Terms;

template <>
struct Terms<Precision::float32> {
  static constexpr int rows = KIYAS_LEVEL >= 2 ? 6 : 3;

  template <int P, int R, int V>
  static KIYAS_INLINE void add(Sums<P, R, V>& acc, const Product& product, int64_t panel, const void* const* rows_) {
    const float* w[P];
    const float* x[R];
    for (int p = 0; p < P; ++p)
      w[p] = reinterpret_cast<const float*>(static_cast<const char*>(product.weights) + (panel + p) * product.panel_bytes);
    for (int r = 0; r < R; ++r) x[r] = static_cast<const float*>(rows_[r]);
    const int64_t inputs = product.inputs;
    for (int64_t k = 0; k < inputs; ++k) {
      F broadcast[R];
      KIYAS_UNROLL
      for (int r = 0; r < R; ++r) broadcast[r] = every(x[r][k]);
      KIYAS_UNROLL
      for (int p = 0; p < P; ++p) {
        KIYAS_UNROLL
        for (int v = 0; v < V; ++v) {
          const F weight = load(w[p] + v * kLanes);
          KIYAS_UNROLL
          for (int r = 0; r < R; ++r) acc[p][r][v] = fused(weight, broadcast[r], acc[p][r][v]);
        }
        w[p] += V * kLanes;
      }
    }
  }
};

// Two inputs a lane; widened to float32 by shifting, so that sums are those of float32 with rounded weights.
template <>
struct Terms<Precision::bfloat16> {
  static constexpr int rows = KIYAS_LEVEL >= 2 ? 4 : 2;

  template <int P, int R, int V, bool last>
  static KIYAS_INLINE void pair(Sums<P, R, V>& acc, const char* const (&w)[P], const float* const (&x)[R], int64_t k) {
    F first[R], second[R];
    KIYAS_UNROLL
    for (int r = 0; r < R; ++r) {
      first[r] = every(x[r][k]);
      if constexpr (!last) second[r] = every(x[r][k + 1]);
    }
    KIYAS_UNROLL
    for (int p = 0; p < P; ++p) {
      KIYAS_UNROLL
      for (int v = 0; v < V; ++v) {
        const char* at = w[p] + (k / 2 * V + v) * kLanes * 4;
        const I both = loadi(at);
        KIYAS_UNROLL
        for (int r = 0; r < R; ++r) acc[p][r][v] = fused(low_half(both), first[r], acc[p][r][v]);
        if constexpr (!last) {
          KIYAS_UNROLL
          for (int r = 0; r < R; ++r) acc[p][r][v] = fused(high_half(both), second[r], acc[p][r][v]);
        }
      }
    }
  }

  template <int P, int R, int V>
  static KIYAS_INLINE void add(Sums<P, R, V>& acc, const Product& product, int64_t panel, const void* const* rows_) {
    const char* w[P];
    const float* x[R];
    for (int p = 0; p < P; ++p) w[p] = static_cast<const char*>(product.weights) + (panel + p) * product.panel_bytes;
    for (int r = 0; r < R; ++r) x[r] = static_cast<const float*>(rows_[r]);
    int64_t k = 0;
    for (; k + 2 <= product.inputs; k += 2) pair<P, R, V, false>(acc, w, x, k);
    if (k < product.inputs) pair<P, R, V, true>(acc, w, x, k);
  }
};

#if KIYAS_LEVEL >= 3
// The instruction for pairs of bfloat16 belongs to no level of its own: taken where the machine has it. The assembler
// knows it whatever the compiler was told.
bool has_pairs() {
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
}

// Inputs rounded to bfloat16 as well, two a lane: one instruction multiplies and adds 32 pairs.
struct RoundedPairs {
  static constexpr int rows = 6;

  template <int P, int R, int V>
  static KIYAS_INLINE void add(Sums<P, R, V>& acc, const Product& product, int64_t panel, const void* const* rows_) {
    const char* w[P];
    const float* x[R];
    for (int p = 0; p < P; ++p) w[p] = static_cast<const char*>(product.weights) + (panel + p) * product.panel_bytes;
    for (int r = 0; r < R; ++r) x[r] = static_cast<const float*>(rows_[r]);
    const int64_t pairs_ = (product.inputs + 1) / 2;
    for (int64_t k = 0; k < pairs_; ++k) {
      F two[R];
      KIYAS_UNROLL
      for (int r = 0; r < R; ++r) two[r] = every(x[r][k]);
      KIYAS_UNROLL
      for (int p = 0; p < P; ++p) {
        KIYAS_UNROLL
        for (int v = 0; v < V; ++v) {
          const F weight = load(reinterpret_cast<const float*>(w[p] + (k * V + v) * kLanes * 4));
          KIYAS_UNROLL
          for (int r = 0; r < R; ++r) __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc[p][r][v]) : "v"(two[r]), "v"(weight));
        }
      }
    }
  }
};
#endif

// Four inputs a lane. VNNI takes unsigned bytes as inputs (128 is added to each and taken off the sum again); without it,
// bytes become 16-bit numbers. The sum is exact either way, so every level gives the same.
template <>
struct Terms<Precision::int8> {
  static constexpr int rows = KIYAS_LEVEL >= 3 ? 6 : KIYAS_LEVEL == 2 ? 4 : 2;

  template <int P, int R, int V>
  static KIYAS_INLINE void add(Sums<P, R, V>& acc, const Product& product, int64_t panel, const void* const* rows_) {
    const char* w[P];
    const char* x[R];
    for (int p = 0; p < P; ++p) w[p] = static_cast<const char*>(product.weights) + (panel + p) * product.panel_bytes;
    for (int r = 0; r < R; ++r) x[r] = static_cast<const char*>(rows_[r]) + kRowHeader;
    Whole sum[P][R][V];
    KIYAS_UNROLL
    for (int p = 0; p < P; ++p) {
      KIYAS_UNROLL
      for (int r = 0; r < R; ++r) {
        KIYAS_UNROLL
        for (int v = 0; v < V; ++v) sum[p][r][v] = Whole(everyi(0));
      }
    }
    const int64_t quads = (product.inputs + 3) / 4;
    for (int64_t k = 0; k < quads; ++k) {
      I first[R], second[R];
      KIYAS_UNROLL
      for (int r = 0; r < R; ++r) {
        first[r] = everyi(number(x[r] + k * kQuad));
        if constexpr (kQuad == 8) second[r] = everyi(number(x[r] + k * kQuad + 4));
      }
      KIYAS_UNROLL
      for (int p = 0; p < P; ++p) {
        KIYAS_UNROLL
        for (int v = 0; v < V; ++v) {
          const I weight = loadi(w[p] + (k * V + v) * kLanes * 4);
          KIYAS_UNROLL
          for (int r = 0; r < R; ++r) {
#if KIYAS_LEVEL >= 3
            sum[p][r][v] = Whole(_mm512_dpbusd_epi32(I(sum[p][r][v]), first[r], weight));
#else
            const I products = addi(pairs(even_bytes(weight), first[r]), pairs(odd_bytes(weight), second[r]));
            sum[p][r][v] = Whole(addi(I(sum[p][r][v]), products));
#endif
          }
        }
      }
    }
    // Spelt out when compiled: an array of vectors under a loop would be kept in memory.
    unrolled<P * R * V>([&](auto which) KIYAS_INLINE_LAMBDA {
      constexpr int p = which / (R * V), r = which / V % R, v = which % V;
      const int64_t at = ((panel + p) * V + v) * kLanes;
      I whole = I(sum[p][r][v]);
      if constexpr (kQuad == 4) whole = addi(whole, loadi(product.shift + at));
      const F step = load(product.scale + at) * every(*static_cast<const float*>(rows_[r]));
      acc[p][r][v] = fused(to_float(whole), step, acc[p][r][v]);
    });
  }

  // Bytes of the codes of four inputs.
  static constexpr int64_t kQuad = KIYAS_LEVEL >= 3 ? 4 : 8;
  static KIYAS_INLINE int32_t number(const char* p) {
    int32_t out;
    std::memcpy(&out, p, sizeof out);
    return out;
  }
};

// Codes of sixteen numbers.
KIYAS_INLINE void codes_of(const float* x, F inverse, uint8_t* out) {
#if KIYAS_LEVEL >= 3
  const __m512i code = _mm512_add_epi32(to_int(load(x) * inverse), everyi(128));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(code));
#else
  alignas(64) int32_t code[16];
  KIYAS_UNROLL
  for (int l = 0; l < 16; l += kLanes) storei(code + l, to_int(load(x + l) * inverse));
  int16_t order[16];
  for (int q = 0; q < 16; q += 4) {
    order[q] = static_cast<int16_t>(code[q]), order[q + 1] = static_cast<int16_t>(code[q + 2]);
    order[q + 2] = static_cast<int16_t>(code[q + 1]), order[q + 3] = static_cast<int16_t>(code[q + 3]);
  }
  std::memcpy(out, order, sizeof order);
#endif
}

// A row's scale, its largest absolute value ÷ 127, and codes from -127 to 127.
void quantize(const float* x, int64_t inputs, uint8_t* out) {
  constexpr float kFinite = 3.4028234e38f;
  F most_of = every(0.0f);
  M beyond{};
  int64_t i = 0;
  for (; i + kLanes <= inputs; i += kLanes) {
    const F size = absolute(load(x + i));
    most_of = most(size, most_of);
    beyond = either(beyond, not_at_most(size, every(kFinite)));
  }
  float top = largest(most_of);
  bool wrong = any(beyond);
  for (; i < inputs; ++i) {
    const float size = std::fabs(x[i]);
    top = size > top ? size : top;
    wrong |= !(size <= kFinite);
  }
  // Infinity and NaN have no code: they make the scale, and with it every sum of the row, NaN.
  const bool none = wrong || !(top > 1e-30f);
  const float scale = wrong ? NAN : none ? 0.0f : top / 127.0f;
  std::memcpy(out, &scale, sizeof scale);
  uint8_t* at = out + kRowHeader;
  const int64_t bytes = 4 * Terms<Precision::int8>::kQuad;
  if (none) {
    std::memset(at, KIYAS_LEVEL >= 3 ? 128 : 0, static_cast<size_t>((inputs + 15) / 16 * bytes));
    return;
  }
  const F inverse = every(127.0f / top);
  for (i = 0; i + 16 <= inputs; i += 16, at += bytes) codes_of(x + i, inverse, at);
  if (i == inputs) return;
  float part[16] = {};
  std::memcpy(part, x + i, sizeof(float) * static_cast<size_t>(inputs - i));
  codes_of(part, inverse, at);
}

uint16_t rounded(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<uint16_t>((bits >> 16) | 64);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// Inputs rounded to bfloat16: as such where an instruction takes them so, else as floats.
void round_row(const float* x, int64_t inputs, uint8_t* out) {
#if KIYAS_LEVEL >= 3
  if (has_pairs()) {
    auto* to = reinterpret_cast<uint16_t*>(out);
    for (int64_t i = 0; i < inputs; ++i) to[i] = rounded(x[i]);
    to[inputs] = 0;
    return;
  }
#endif
  auto* to = reinterpret_cast<uint32_t*>(out);
  for (int64_t i = 0; i < inputs; ++i) to[i] = static_cast<uint32_t>(rounded(x[i])) << 16;
}

void prepare(const Product& product, const float* x, uint8_t* out) {
  if (product.precision == Precision::int8) quantize(x, product.inputs, out);
  else round_row(x, product.inputs, out);
}

// out[row] = start[row] + W·row for P panels; both pointers are those of the panel.
template <class Of, int V, int P, int R>
void sums(const Product& product, int64_t panel, const float* const* start, const void* const* rows,
          float* const* out) {
  Sums<P, R, V> acc;
  KIYAS_UNROLL
  for (int r = 0; r < R; ++r) {
    KIYAS_UNROLL
    for (int p = 0; p < P; ++p) {
      KIYAS_UNROLL
      for (int v = 0; v < V; ++v) acc[p][r][v] = load(start[r] + (p * V + v) * kLanes);
    }
  }
  Of::template add<P, R, V>(acc, product, panel, rows);
  KIYAS_UNROLL
  for (int r = 0; r < R; ++r) {
    KIYAS_UNROLL
    for (int p = 0; p < P; ++p) {
      KIYAS_UNROLL
      for (int v = 0; v < V; ++v) store(out[r] + (p * V + v) * kLanes, acc[p][r][v]);
    }
  }
}

template <class Of, int V, int P, int R>
KIYAS_INLINE void sums_if(const Product& product, int64_t panel, const float* const* start, const void* const* rows,
                          float* const* out) {
  if constexpr (R <= Of::rows) sums<Of, V, P, R>(product, panel, start, rows, out);
}

template <int V, int P, int R>
KIYAS_INLINE void sums_of(const Product& product, int64_t panel, const float* const* start, const void* const* rows,
                          float* const* out) {
#ifndef KIYAS_NO_FLOAT32
  if (product.precision == Precision::float32)
    return sums_if<Terms<Precision::float32>, V, P, R>(product, panel, start, rows, out);
#endif
#if KIYAS_LEVEL >= 3
  if (product.rounded && has_pairs()) return sums_if<RoundedPairs, V, P, R>(product, panel, start, rows, out);
#endif
  if (product.precision == Precision::bfloat16)
    return sums_if<Terms<Precision::bfloat16>, V, P, R>(product, panel, start, rows, out);
  sums_if<Terms<Precision::int8>, V, P, R>(product, panel, start, rows, out);
}

int rows_together(const Product& product) {
  const Precision precision = product.precision;
#if KIYAS_LEVEL >= 3
  if (product.rounded && has_pairs()) return RoundedPairs::rows;
#endif
  return precision == Precision::float32    ? Terms<Precision::float32>::rows
         : precision == Precision::bfloat16 ? Terms<Precision::bfloat16>::rows
                                            : Terms<Precision::int8>::rows;
}
constexpr int kMostRows = std::max({Terms<Precision::float32>::rows, Terms<Precision::bfloat16>::rows,
                                    Terms<Precision::int8>::rows});

// The same for up to kMostRows rows, or for two panels of one row.
template <int V>
void some_sums(const Product& product, int64_t panel, int panels, int count, const float* const* start,
               const void* const* rows, float* const* out) {
  if (panels == 2) return sums_of<V, 2, 1>(product, panel, start, rows, out);
  switch (count) {
    case 1: return sums_of<V, 1, 1>(product, panel, start, rows, out);
    case 2: return sums_of<V, 1, 2>(product, panel, start, rows, out);
    case 3: return sums_of<V, 1, 3>(product, panel, start, rows, out);
    case 4: return sums_of<V, 1, 4>(product, panel, start, rows, out);
    case 5: return sums_of<V, 1, 5>(product, panel, start, rows, out);
    case 6: return sums_of<V, 1, 6>(product, panel, start, rows, out);
    default: return;
  }
}

void sums_with(const Product& product, int64_t panel, int panels, int count, const float* const* start,
               const void* const* rows, float* const* out) {
  switch (product.vectors) {
    case 2: return some_sums<2>(product, panel, panels, count, start, rows, out);
    case 3: return some_sums<3>(product, panel, panels, count, start, rows, out);
    default: return some_sums<4>(product, panel, panels, count, start, rows, out);
  }
}

// Calls work(panel, panels, row, rows) over panels [from, to): one row takes two panels at a time, several rows share
// one. Backwards in every other step: the cache still has what came last.
// Going back and forth leaves the last panel in the first cache if it is taken alone and fits.
int64_t panels_together(const Product& product) {
  constexpr int64_t kFirstCache = 24 * 1024;
  return 2 * product.panel_bytes > kFirstCache && product.panel_bytes <= kFirstCache ? 1 : 2;
}

template <class Work>
KIYAS_INLINE void by_panels(int64_t from, int64_t to, int count, int most, bool backward, int64_t together,
                            const Work& work) {
  const int64_t width = count == 1 ? together : 1, parts = (to - from + width - 1) / width;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t panel = from + width * (backward ? parts - 1 - i : i);
    const int panels = static_cast<int>(std::min(width, to - panel));
    for (int r = 0; r < count; r += most) work(panel, panels, r, std::min(most, count - r));
  }
}

void product(const Product& product, int64_t from, int64_t to, const float* start, const void* const* rows, int count,
             float* const* out) {
#ifdef KIYAS_NO_FLOAT32
  if (product.precision == Precision::float32) return recurrent_avx512.product(product, from, to, start, rows, count, out);
#endif
  const int64_t width = static_cast<int64_t>(product.vectors) * kLanes;
  by_panels(from, to, count, rows_together(product), false, 2, [&](int64_t panel, int panels, int row, int some) {
    const float* starts[kMostRows];
    float* outs[kMostRows];
    for (int r = 0; r < some; ++r) starts[r] = start + panel * width, outs[r] = out[row + r] + panel * width;
    sums_with(product, panel, panels, some, starts, rows + row, outs);
  });
}

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
  const F now = fused(Acts::gate(cell, f), load(c), Acts::gate(cell, i) * Acts::candidate(cell, g));
  store(c, now);
  store(h, Acts::gate(cell, o) * Acts::output(cell, now));
}

template <class Acts>
void lstm(const Cell& cell, const Step& step, const float* sums, int64_t panel, int row) {
  const int64_t at = panel * kLanes;
  lstm_unit<Acts>(cell, load(sums), load(sums + kLanes), load(sums + 2 * kLanes), load(sums + 3 * kLanes),
                  step.c[row] + at, step.out[row] + at);
}

// The most frequent case, one row of an LSTM, keeps its sums in registers through the update.
template <class Input, class Recurrent, int P>
void lstm_of_one(const Cell& cell, const Step& step, int64_t panel) {
  Sums<P, 1, 4> acc;
  const float* start = (step.z ? step.z[0] : cell.bias) + panel * 4 * kLanes;
  KIYAS_UNROLL
  for (int p = 0; p < P; ++p) {
    KIYAS_UNROLL
    for (int v = 0; v < 4; ++v) acc[p][0][v] = load(start + (p * 4 + v) * kLanes);
  }
  if (!step.z) Input::template add<P, 1, 4>(acc, cell.input, panel, step.x);
  Recurrent::template add<P, 1, 4>(acc, cell.recurrent, panel, step.h);
  KIYAS_UNROLL
  for (int p = 0; p < P; ++p) {
    const int64_t at = (panel + p) * kLanes;
    lstm_unit<Usual>(cell, acc[p][0][0], acc[p][0][1], acc[p][0][2], acc[p][0][3], step.c[0] + at, step.out[0] + at);
  }
}

template <class Recurrent, class Input = Recurrent>
void lstm_one(const Cell& cell, const Step& step, int64_t from, int64_t to) {
  by_panels(from, to, 1, 1, step.backward, panels_together(cell.recurrent), [&](int64_t panel, int panels, int, int) {
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

#define KIYAS_TEXT(x) #x
#define KIYAS_NAME(x) KIYAS_TEXT(x)
#define KIYAS_JOIN(a, b) a##b
#define KIYAS_SYMBOL(name) KIYAS_JOIN(recurrent_, name)

}  // namespace

extern const RecurrentLevel KIYAS_SYMBOL(KIYAS_LEVEL_NAME);
const RecurrentLevel KIYAS_SYMBOL(KIYAS_LEVEL_NAME) = {
    KIYAS_NAME(KIYAS_LEVEL_NAME), kLanes, prepare, product, cells, second, activate, softmax};

}  // namespace kiyas
