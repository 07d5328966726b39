// Sums over inputs at the instruction level being compiled, in every precision.
#pragma once
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

}  // namespace
}  // namespace kiyas
