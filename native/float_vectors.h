// Float vectors of the instruction level being compiled: a name for each operation the recurrent kernels use.
// fused(a, b, c) = a·b + c is rounded once where the level has the instruction, twice where it has not.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if KIYAS_LEVEL >= 1
#include <immintrin.h>
#endif

#if defined(__GNUC__)
#define KIYAS_INLINE inline __attribute__((always_inline))
#define KIYAS_INLINE_LAMBDA __attribute__((always_inline))
#define KIYAS_UNROLL _Pragma("GCC unroll 16")
#else
#define KIYAS_INLINE inline
#define KIYAS_INLINE_LAMBDA
#define KIYAS_UNROLL
#endif

namespace kiyas {
namespace {

#if KIYAS_LEVEL >= 2

constexpr int kLanes = 16;
using F = __m512;
using I = __m512i;
using Whole = int32_t __attribute__((vector_size(64)));  // sums kept in arrays: GCC leaves those of __m512i in memory
using M = __mmask16;
KIYAS_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
KIYAS_INLINE void store(float* p, F a) { _mm512_storeu_ps(p, a); }
KIYAS_INLINE F every(float a) { return _mm512_set1_ps(a); }
KIYAS_INLINE F fused(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
KIYAS_INLINE F least(F a, F b) { return _mm512_min_ps(a, b); }  // b where either is NaN
KIYAS_INLINE F most(F a, F b) { return _mm512_max_ps(a, b); }
KIYAS_INLINE F absolute(F a) { return _mm512_abs_ps(a); }
KIYAS_INLINE F nearest(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
KIYAS_INLINE F times_power(F a, F n) { return _mm512_scalef_ps(a, n); }  // a·2ⁿ
KIYAS_INLINE M below(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
KIYAS_INLINE F pick(M m, F a, F b) { return _mm512_mask_blend_ps(m, b, a); }  // m ? a : b
KIYAS_INLINE M not_at_most(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ); }  // NaN included
KIYAS_INLINE M either(M a, M b) { return a | b; }
KIYAS_INLINE bool any(M a) { return a != 0; }
KIYAS_INLINE I loadi(const void* p) { return _mm512_loadu_si512(p); }
KIYAS_INLINE I everyi(int32_t a) { return _mm512_set1_epi32(a); }
KIYAS_INLINE I addi(I a, I b) { return _mm512_add_epi32(a, b); }
KIYAS_INLINE I times256(I a) { return _mm512_slli_epi32(a, 8); }
KIYAS_INLINE F to_float(I a) { return _mm512_cvtepi32_ps(a); }
KIYAS_INLINE I to_int(F a) { return _mm512_cvtps_epi32(a); }
KIYAS_INLINE void storei(void* p, I a) { _mm512_storeu_si512(p, a); }
KIYAS_INLINE F low_half(I a) { return _mm512_castsi512_ps(_mm512_slli_epi32(a, 16)); }  // bfloat16 -> float32
KIYAS_INLINE F high_half(I a) { return _mm512_castsi512_ps(_mm512_and_si512(a, _mm512_set1_epi32(-65536))); }
// Bytes 0 and 2, bytes 1 and 3 of each lane as 16-bit numbers; their products with pairs, added.
KIYAS_INLINE I even_bytes(I a) { return _mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8); }
KIYAS_INLINE I odd_bytes(I a) { return _mm512_srai_epi16(a, 8); }
KIYAS_INLINE I pairs(I a, I b) { return _mm512_madd_epi16(a, b); }
KIYAS_INLINE float largest(F a) { return _mm512_reduce_max_ps(a); }

#elif KIYAS_LEVEL == 1

constexpr int kLanes = 8;
using F = __m256;
using I = __m256i;
using Whole = int32_t __attribute__((vector_size(32)));
using M = __m256;
KIYAS_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
KIYAS_INLINE void store(float* p, F a) { _mm256_storeu_ps(p, a); }
KIYAS_INLINE F every(float a) { return _mm256_set1_ps(a); }
KIYAS_INLINE F fused(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
KIYAS_INLINE F least(F a, F b) { return _mm256_min_ps(a, b); }
KIYAS_INLINE F most(F a, F b) { return _mm256_max_ps(a, b); }
KIYAS_INLINE F absolute(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
KIYAS_INLINE F nearest(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
KIYAS_INLINE F power(I n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)); }
KIYAS_INLINE F times_power(F a, F n) {  // in two steps, as 2ⁿ alone may not be a float
  const I whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  return a * power(half) * power(_mm256_sub_epi32(whole, half));
}
KIYAS_INLINE M below(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
KIYAS_INLINE F pick(M m, F a, F b) { return _mm256_blendv_ps(b, a, m); }
KIYAS_INLINE M not_at_most(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_NLE_UQ); }
KIYAS_INLINE M either(M a, M b) { return _mm256_or_ps(a, b); }
KIYAS_INLINE bool any(M a) { return _mm256_movemask_ps(a) != 0; }
KIYAS_INLINE I loadi(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
KIYAS_INLINE I everyi(int32_t a) { return _mm256_set1_epi32(a); }
KIYAS_INLINE I addi(I a, I b) { return _mm256_add_epi32(a, b); }
KIYAS_INLINE F to_float(I a) { return _mm256_cvtepi32_ps(a); }
KIYAS_INLINE I to_int(F a) { return _mm256_cvtps_epi32(a); }
KIYAS_INLINE void storei(void* p, I a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }
KIYAS_INLINE F low_half(I a) { return _mm256_castsi256_ps(_mm256_slli_epi32(a, 16)); }
KIYAS_INLINE F high_half(I a) { return _mm256_castsi256_ps(_mm256_and_si256(a, _mm256_set1_epi32(-65536))); }
KIYAS_INLINE I even_bytes(I a) { return _mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8); }
KIYAS_INLINE I odd_bytes(I a) { return _mm256_srai_epi16(a, 8); }
KIYAS_INLINE I pairs(I a, I b) { return _mm256_madd_epi16(a, b); }
KIYAS_INLINE float largest(F a) {
  float lane[8], found = 0;
  store(lane, a);
  for (const float v : lane) found = v > found ? v : found;
  return found;
}

#else  // plain: x86-64 baseline, ARM, other compilers

constexpr int kLanes = 4;
#if defined(__GNUC__)
using F = float __attribute__((vector_size(16)));
using I = int32_t __attribute__((vector_size(16)));
#else
template <class T>
struct Four {
  T v[4];
  T& operator[](int i) { return v[i]; }
  T operator[](int i) const { return v[i]; }
};
using F = Four<float>;
using I = Four<int32_t>;
inline F operator+(F a, F b) { return {{a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]}}; }
inline F operator-(F a, F b) { return {{a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]}}; }
inline F operator*(F a, F b) { return {{a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]}}; }
inline F operator/(F a, F b) { return {{a[0] / b[0], a[1] / b[1], a[2] / b[2], a[3] / b[3]}}; }
#endif
using M = I;
using Whole = I;
template <class To, class Function>
KIYAS_INLINE To each(const Function& of) {
  To out{};
  for (int i = 0; i < 4; ++i) out[i] = of(i);
  return out;
}
KIYAS_INLINE F load(const float* p) {
  F a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
KIYAS_INLINE void store(float* p, F a) { std::memcpy(p, &a, sizeof a); }
KIYAS_INLINE F every(float a) { return F{a, a, a, a}; }
#if defined(__FP_FAST_FMAF)
KIYAS_INLINE F fused(F a, F b, F c) { return each<F>([&](int i) { return std::fma(a[i], b[i], c[i]); }); }
#else
KIYAS_INLINE F fused(F a, F b, F c) { return a * b + c; }
#endif
KIYAS_INLINE F least(F a, F b) { return each<F>([&](int i) { return a[i] < b[i] ? a[i] : b[i]; }); }
KIYAS_INLINE F most(F a, F b) { return each<F>([&](int i) { return a[i] > b[i] ? a[i] : b[i]; }); }
KIYAS_INLINE F absolute(F a) { return each<F>([&](int i) { return std::fabs(a[i]); }); }
KIYAS_INLINE F nearest(F a) { return each<F>([&](int i) { return std::nearbyintf(a[i]); }); }
KIYAS_INLINE float power(int32_t n) {
  const int32_t bits = (n + 127) << 23;
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}
KIYAS_INLINE F times_power(F a, F n) {
  return each<F>([&](int i) {
    const int32_t whole = n[i] == n[i] ? static_cast<int32_t>(n[i]) : 0, half = whole >> 1;
    return a[i] * power(half) * power(whole - half);
  });
}
KIYAS_INLINE M below(F a, F b) { return each<M>([&](int i) { return a[i] < b[i] ? -1 : 0; }); }
KIYAS_INLINE F pick(M m, F a, F b) { return each<F>([&](int i) { return m[i] ? a[i] : b[i]; }); }
KIYAS_INLINE M not_at_most(F a, F b) { return each<M>([&](int i) { return a[i] <= b[i] ? 0 : -1; }); }
KIYAS_INLINE M either(M a, M b) { return each<M>([&](int i) { return a[i] | b[i]; }); }
KIYAS_INLINE bool any(M a) { return (a[0] | a[1] | a[2] | a[3]) != 0; }
KIYAS_INLINE I loadi(const void* p) {
  I a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
KIYAS_INLINE I everyi(int32_t a) { return I{a, a, a, a}; }
KIYAS_INLINE I addi(I a, I b) { return each<I>([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a[i]) + static_cast<uint32_t>(b[i])); }); }
KIYAS_INLINE F to_float(I a) { return each<F>([&](int i) { return static_cast<float>(a[i]); }); }
KIYAS_INLINE I to_int(F a) { return each<I>([&](int i) { return static_cast<int32_t>(std::nearbyintf(a[i])); }); }
KIYAS_INLINE void storei(void* p, I a) { std::memcpy(p, &a, sizeof a); }
KIYAS_INLINE float from_bits(uint32_t bits) {
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}
KIYAS_INLINE F low_half(I a) { return each<F>([&](int i) { return from_bits(static_cast<uint32_t>(a[i]) << 16); }); }
KIYAS_INLINE F high_half(I a) { return each<F>([&](int i) { return from_bits(static_cast<uint32_t>(a[i]) & 0xFFFF0000u); }); }
KIYAS_INLINE int32_t half_of(int32_t a, int which) { return static_cast<int16_t>(static_cast<uint32_t>(a) >> (16 * which)); }
KIYAS_INLINE I even_bytes(I a) {
  return each<I>([&](int i) {
    const uint32_t u = static_cast<uint32_t>(a[i]);
    const uint32_t low = static_cast<uint16_t>(static_cast<int8_t>(u)), high = static_cast<uint16_t>(static_cast<int8_t>(u >> 16));
    return static_cast<int32_t>(low | (high << 16));
  });
}
KIYAS_INLINE I odd_bytes(I a) {
  return each<I>([&](int i) {
    const uint32_t u = static_cast<uint32_t>(a[i]);
    const uint32_t low = static_cast<uint16_t>(static_cast<int8_t>(u >> 8)), high = static_cast<uint16_t>(static_cast<int8_t>(u >> 24));
    return static_cast<int32_t>(low | (high << 16));
  });
}
KIYAS_INLINE I pairs(I a, I b) {
  return each<I>([&](int i) { return half_of(a[i], 0) * half_of(b[i], 0) + half_of(a[i], 1) * half_of(b[i], 1); });
}
KIYAS_INLINE float largest(F a) {
  float found = 0;
  for (int i = 0; i < 4; ++i) found = a[i] > found ? a[i] : found;
  return found;
}

#endif

}  // namespace
}  // namespace kiyas
