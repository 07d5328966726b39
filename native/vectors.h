// Integer vectors of the instruction level being compiled: a name for each instruction the kernels use.
#pragma once
#include <cstdint>

#if KIYAS_LEVEL >= 1
#define KIYAS_VECTORS
#include <immintrin.h>
#endif

namespace kiyas {
namespace {

#if KIYAS_LEVEL == 0

constexpr int kQueryLimit = 127;
constexpr int64_t kDotStep = 1;

#else

// Four 32-bit sums of four vectors of 32-bit lanes.
inline void reduce_four(__m256i a, __m256i b, __m256i c, __m256i d, int32_t* out) {
  const __m256i t = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                   _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1)));
}

inline int32_t reduce(__m256i a) {
  __m128i t = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}

alignas(64) constexpr uint8_t kTail[128] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

#endif

#if KIYAS_LEVEL == 1

using V = __m256i;
constexpr int kWidth = 32;
inline V load(const void* p) { return _mm256_loadu_si256(static_cast<const V*>(p)); }
inline V zero() { return _mm256_setzero_si256(); }
inline V every(int x) { return _mm256_set1_epi8(static_cast<char>(x)); }
inline V every16(int x) { return _mm256_set1_epi16(static_cast<int16_t>(x)); }
inline V table16(const uint8_t* t) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(t))); }
inline V add32(V a, V b) { return _mm256_add_epi32(a, b); }
inline V add16(V a, V b) { return _mm256_add_epi16(a, b); }
inline V sad(V a, V b) { return _mm256_sad_epu8(a, b); }
inline V larger(V a, V b) { return _mm256_max_epu8(a, b); }
inline V gap(V a, V b) { return _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a)); }
inline V both(V a, V b) { return _mm256_and_si256(a, b); }
inline V either(V a, V b) { return _mm256_or_si256(a, b); }
inline void store(void* p, V x) { _mm256_storeu_si256(static_cast<V*>(p), x); }
inline V shift_right4(V a) { return _mm256_srli_epi16(a, 4); }
inline V shift_left4(V a) { return _mm256_slli_epi32(a, 4); }
inline V lookup(V t, V i) { return _mm256_shuffle_epi8(t, i); }
inline V pair_products(V u, V s) { return _mm256_maddubs_epi16(u, s); }  // unsigned·signed bytes, pairs added
inline V pair_sums(V a, V b) { return _mm256_madd_epi16(a, b); }

#elif KIYAS_LEVEL >= 2

using V = __m512i;
constexpr int kWidth = 64;
inline V load(const void* p) { return _mm512_loadu_si512(p); }
inline V zero() { return _mm512_setzero_si512(); }
inline V every(int x) { return _mm512_set1_epi8(static_cast<char>(x)); }
inline V every16(int x) { return _mm512_set1_epi16(static_cast<int16_t>(x)); }
inline V table16(const uint8_t* t) { return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(t))); }
inline V add32(V a, V b) { return _mm512_add_epi32(a, b); }
inline V add16(V a, V b) { return _mm512_add_epi16(a, b); }
inline V sad(V a, V b) { return _mm512_sad_epu8(a, b); }
inline V larger(V a, V b) { return _mm512_max_epu8(a, b); }
inline V gap(V a, V b) { return _mm512_or_si512(_mm512_subs_epu8(a, b), _mm512_subs_epu8(b, a)); }
inline V both(V a, V b) { return _mm512_and_si512(a, b); }
inline V either(V a, V b) { return _mm512_or_si512(a, b); }
inline void store(void* p, V x) { _mm512_storeu_si512(p, x); }
inline V shift_right4(V a) { return _mm512_srli_epi16(a, 4); }
inline V shift_left4(V a) { return _mm512_slli_epi32(a, 4); }
inline V lookup(V t, V i) { return _mm512_shuffle_epi8(t, i); }
inline V pair_products(V u, V s) { return _mm512_maddubs_epi16(u, s); }
inline V pair_sums(V a, V b) { return _mm512_madd_epi16(a, b); }
inline __m256i halves(V a) { return _mm256_add_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)); }
inline int32_t reduce(V a) { return reduce(halves(a)); }
inline void reduce_four(V a, V b, V c, V d, int32_t* out) { reduce_four(halves(a), halves(b), halves(c), halves(d), out); }

#endif

#if KIYAS_LEVEL >= 1
inline V tail_mask(int bytes) { return load(kTail + 64 - bytes); }
#endif

#if KIYAS_LEVEL == 1 || KIYAS_LEVEL == 2
// Unsigned row codes up to 255 times query codes up to 32: two products 16 320, two such pairs 32 640,
// which a 16-bit lane holds. So two multiplications share one widening.
constexpr int kQueryLimit = 32;
constexpr int kDotLoads = 2;
inline V dot_step(V acc, const V* x, const V* y) {
  const V pairs = add16(pair_products(x[0], y[0]), pair_products(x[1], y[1]));
  return add32(acc, pair_sums(pairs, every16(1)));
}
// acc + Σ a·b + Σ c·d over each four bytes, where both together fit 16 bits.
inline V add_products(V acc, V a, V b, V c, V d) {
  return add32(acc, pair_sums(add16(pair_products(a, b), pair_products(c, d)), every16(1)));
}
#elif KIYAS_LEVEL == 3
// VNNI widens and accumulates in one instruction, so queries keep their eight bits.
constexpr int kQueryLimit = 127;
constexpr int kDotLoads = 1;
inline V dot_step(V acc, const V* x, const V* y) { return _mm512_dpbusd_epi32(acc, x[0], y[0]); }
inline V add_products(V acc, V a, V b, V c, V d) { return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(acc, a, b), c, d); }
#endif
#if KIYAS_LEVEL >= 1
constexpr int64_t kDotStep = kDotLoads * kWidth;
#endif

}  // namespace
}  // namespace kiyas
