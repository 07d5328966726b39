/* What the machine can do at best, without memory: byte operations a second of the kernels' own instructions, held
 * in registers. Compiled by machine.py with the flags of a level; returns multiply-adds (or differences) done. */
#include <immintrin.h>
#include <stdint.h>

#if defined(__AVX512BW__)
typedef __m512i V;
#define SET(x) _mm512_set1_epi8(x)
#define ADD(a, b) _mm512_add_epi32(a, b)
#define SAD(a, b) _mm512_sad_epu8(a, b)
#if defined(__AVX512VNNI__)
#define DOT(acc, a, b) _mm512_dpbusd_epi32(acc, a, b)
#else
#define MADD(a, b) _mm512_maddubs_epi16(a, b)
#define DOT2(acc, a, c, b) _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_add_epi16(MADD(a, b), MADD(c, b)), ones))
#endif
#else
typedef __m256i V;
#define SET(x) _mm256_set1_epi8(x)
#define ADD(a, b) _mm256_add_epi32(a, b)
#define SAD(a, b) _mm256_sad_epu8(a, b)
#define MADD(a, b) _mm256_maddubs_epi16(a, b)
#define DOT2(acc, a, c, b) _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_add_epi16(MADD(a, b), MADD(c, b)), ones))
#endif
/* Without VNNI two byte products share one widening. */
#ifndef DOT2
#define DOT2(acc, a, c, b) DOT(DOT(acc, a, b), c, b)
#endif

static volatile int32_t sink;

static void keep(V v) {
  union { V v; int32_t i[sizeof(V) / 4]; } u;
  u.v = v;
  sink = u.i[0];
}

/* Eight independent chains hide the latency; the empty asm stops the compiler from seeing through the loop. */
int64_t dots(int64_t steps) {
  V acc[8], x[8], y = SET(3), ones = SET(1);
  (void)ones;
  for (int i = 0; i < 8; ++i) {
    acc[i] = SET(0);
    x[i] = SET(i);
    __asm__ volatile("" : "+x"(x[i]));
  }
  for (int64_t s = 0; s < steps; ++s) {
    __asm__ volatile("" : "+x"(y));
    for (int i = 0; i < 8; ++i) acc[i] = DOT2(acc[i], x[i], x[7 - i], y);
  }
  for (int i = 0; i < 8; ++i) keep(acc[i]);
  return steps * 16 * (int64_t)sizeof(V);
}

int64_t differences(int64_t steps) {
  V acc[8], x[8], y = SET(3);
  for (int i = 0; i < 8; ++i) acc[i] = SET(0), x[i] = SET(i);
  for (int64_t s = 0; s < steps; ++s) {
    __asm__ volatile("" : "+x"(y));
    for (int i = 0; i < 8; ++i) acc[i] = ADD(acc[i], SAD(x[i], y));
  }
  for (int i = 0; i < 8; ++i) keep(acc[i]);
  return steps * 8 * (int64_t)sizeof(V);
}

/* Bytes read: 32 or 64 at a time, four streams of sums. */
int64_t reading(const uint8_t *bytes, int64_t count) {
  V acc[4] = {SET(0), SET(0), SET(0), SET(0)};
  const V *v = (const V *)bytes;
  int64_t n = count / (int64_t)sizeof(V) / 4 * 4;
  for (int64_t i = 0; i < n; i += 4)
    for (int l = 0; l < 4; ++l) {
      V x;
      __builtin_memcpy(&x, v + i + l, sizeof(V));
      acc[l] = ADD(acc[l], x);
    }
  for (int l = 0; l < 4; ++l) keep(acc[l]);
  return n * (int64_t)sizeof(V);
}
