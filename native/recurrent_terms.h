// What adds up in each precision, at the instruction level being compiled, and inputs as it is taken from.
#pragma once
#include <algorithm>
#include <cstring>
#include <utility>

#include "float_functions.h"
#include "float_vectors.h"
#include "recurrent.h"

namespace kiyas {
namespace {

template <int count, class Function>
KIYAS_INLINE void unrolled(const Function& of) {
  [&]<int... i>(std::integer_sequence<int, i...>) KIYAS_INLINE_LAMBDA {
    (of(std::integral_constant<int, i>{}), ...);
  }(std::make_integer_sequence<int, count>{});
}

// What adds up in each precision. A group is the inputs that stand in one lane; `group` adds group k of some rows, `w`
// being its weights in the first stream of S of the V vectors, `stream` the bytes from one stream to the next. A sum opens
// with what it continues, may be kept in the room of a float, and closes as one.
template <Precision precision>
struct Terms;

// Vector v of a group, in streams of S vectors: `w` are the weights of the group in the first of them.
template <int S>
KIYAS_INLINE const char* vector_of(const char* w, int64_t stream, int v) {
  return w + v / S * stream + v % S * kLanes * 4;
}

struct FloatSums {
  static constexpr int stream = 2;  // vectors of a stream in the input product of an LSTM
  using Sum = F;
  static KIYAS_INLINE Sum opened(F start) { return start; }
  static KIYAS_INLINE F closed(Sum sum, const Product&, int64_t, const void*, F) { return sum; }
  static KIYAS_INLINE void keep(float* p, Sum sum) { store(p, sum); }
  static KIYAS_INLINE Sum kept(const float* p) { return load(p); }
};

template <>
struct Terms<Precision::float32> : FloatSums {
  static constexpr int rows = KIYAS_LEVEL >= 2 ? 6 : 3;
  static int64_t groups(int64_t inputs) { return inputs; }

  template <int R, int V, int S>
  static KIYAS_INLINE void group(Sum (&sum)[R][V], const char* w, int64_t stream, const void* const* x, int64_t k) {
    F broadcast[R];
    KIYAS_UNROLL
    for (int r = 0; r < R; ++r) broadcast[r] = every(static_cast<const float*>(x[r])[k]);
    KIYAS_UNROLL
    for (int v = 0; v < V; ++v) {
      const F weight = load(reinterpret_cast<const float*>(vector_of<S>(w, stream, v)));
      KIYAS_UNROLL
      for (int r = 0; r < R; ++r) sum[r][v] = fused(weight, broadcast[r], sum[r][v]);
    }
  }
};

// Two inputs a lane; widened to float32 by shifting, so that sums are those of float32 with rounded weights. The last
// input of an odd number has no second beside it and is no group.
template <>
struct Terms<Precision::bfloat16> : FloatSums {
  static constexpr int rows = KIYAS_LEVEL >= 2 ? 4 : 2;
  static int64_t groups(int64_t inputs) { return inputs / 2; }

  template <int R, int V, int S, bool last = false>
  static KIYAS_INLINE void group(Sum (&sum)[R][V], const char* w, int64_t stream, const void* const* x, int64_t k) {
    F first[R], second[R];
    KIYAS_UNROLL
    for (int r = 0; r < R; ++r) {
      const float* two = static_cast<const float*>(x[r]) + 2 * k;
      first[r] = every(two[0]);
      if constexpr (!last) second[r] = every(two[1]);
    }
    KIYAS_UNROLL
    for (int v = 0; v < V; ++v) {
      const I both = loadi(vector_of<S>(w, stream, v));
      KIYAS_UNROLL
      for (int r = 0; r < R; ++r) sum[r][v] = fused(low_half(both), first[r], sum[r][v]);
      if constexpr (!last) {
        KIYAS_UNROLL
        for (int r = 0; r < R; ++r) sum[r][v] = fused(high_half(both), second[r], sum[r][v]);
      }
    }
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
struct RoundedPairs : FloatSums {
  static constexpr int rows = 6;
  static int64_t groups(int64_t inputs) { return (inputs + 1) / 2; }

  template <int R, int V, int S>
  static KIYAS_INLINE void group(Sum (&sum)[R][V], const char* w, int64_t stream, const void* const* x, int64_t k) {
    F two[R];
    KIYAS_UNROLL
    for (int r = 0; r < R; ++r) two[r] = every(static_cast<const float*>(x[r])[k]);
    KIYAS_UNROLL
    for (int v = 0; v < V; ++v) {
      const F weight = load(reinterpret_cast<const float*>(vector_of<S>(w, stream, v)));
      KIYAS_UNROLL
      for (int r = 0; r < R; ++r) __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum[r][v]) : "v"(two[r]), "v"(weight));
    }
  }
};
#endif

// Four inputs a lane. VNNI takes unsigned bytes as inputs (128 is added to each and taken off the sum again); without it,
// bytes become 16-bit numbers. The sum is exact either way, so every level gives the same.
template <>
struct Terms<Precision::int8> {
  static constexpr int rows = KIYAS_LEVEL >= 3 ? 6 : KIYAS_LEVEL == 2 ? 4 : 2;
  // With VNNI, sixteen registers hold all of two panels and of eight rows beside them: no sum is under way between steps.
  static constexpr int stream = KIYAS_LEVEL >= 3 ? 1 : 2;
  using Sum = Whole;
  static int64_t groups(int64_t inputs) { return (inputs + 3) / 4; }
  static KIYAS_INLINE Sum opened(F) { return Whole(everyi(0)); }
  static KIYAS_INLINE F closed(Sum sum, const Product& product, int64_t at, const void* x, F start) {
    I whole = I(sum);
    if constexpr (kQuad == 4) whole = addi(whole, loadi(product.shift + at));
    return fused(to_float(whole), load(product.scale + at) * every(*static_cast<const float*>(x)), start);
  }
  static KIYAS_INLINE void keep(float* p, Sum sum) { storei(p, I(sum)); }
  static KIYAS_INLINE Sum kept(const float* p) { return Whole(loadi(p)); }

  template <int R, int V, int S>
  static KIYAS_INLINE void group(Sum (&sum)[R][V], const char* w, int64_t stream, const void* const* x, int64_t k) {
    I first[R], second[R];
    KIYAS_UNROLL
    for (int r = 0; r < R; ++r) {
      const char* codes = static_cast<const char*>(x[r]) + kRowHeader + k * kQuad;
      first[r] = everyi(number(codes));
      if constexpr (kQuad == 8) second[r] = everyi(number(codes + 4));
    }
    KIYAS_UNROLL
    for (int v = 0; v < V; ++v) {
      const I weight = loadi(vector_of<S>(w, stream, v));
      KIYAS_UNROLL
      for (int r = 0; r < R; ++r) {
#if KIYAS_LEVEL >= 3
        sum[r][v] = Whole(_mm512_dpbusd_epi32(I(sum[r][v]), first[r], weight));
#else
        const I products = addi(pairs(even_bytes(weight), first[r]), pairs(odd_bytes(weight), second[r]));
        sum[r][v] = Whole(addi(I(sum[r][v]), products));
#endif
      }
    }
  }

#if KIYAS_LEVEL >= 3
  // The same for R rows whose codes stand side by side, group after group: one address serves all of them.
  template <int R>
  static KIYAS_INLINE void beside(Sum (&sum)[R][1], const char* w, const uint8_t* codes, int64_t k) {
    const I weight = loadi(w);
    unrolled<R>([&](auto r) KIYAS_INLINE_LAMBDA {
      const I four = everyi(number(reinterpret_cast<const char*>(codes) + (k * R + r) * 4));
      sum[r][0] = Whole(_mm512_dpbusd_epi32(I(sum[r][0]), four, weight));
    });
  }
#endif

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

// Codes of rows side by side, four inputs of each after those of the row before it.
void beside([[maybe_unused]] const void* const* rows, [[maybe_unused]] int count, [[maybe_unused]] int64_t inputs,
            [[maybe_unused]] uint8_t* out) {
#if KIYAS_LEVEL >= 3
  const int64_t groups = Terms<Precision::int8>::groups(inputs);
  for (int r = 0; r < count; ++r)
    for (int64_t k = 0; k < groups; ++k)
      std::memcpy(out + (k * count + r) * 4, static_cast<const uint8_t*>(rows[r]) + kRowHeader + k * 4, 4);
#endif
}

void prepare(const Product& product, const float* x, uint8_t* out) {
  if (product.precision == Precision::int8) quantize(x, product.inputs, out);
  else round_row(x, product.inputs, out);
}
}  // namespace
}  // namespace kiyas
