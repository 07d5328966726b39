/* What bounds a recurrent step: bytes read again and again from the cache that holds them, and multiply-adds of floats
 * in registers. Compiled by recurrent_limits.py with the flags of a level. */
#include <immintrin.h>
#include <stdint.h>

#if defined(__AVX512F__)
typedef __m512 V;
#define SET(x) _mm512_set1_ps(x)
#define LOAD(p) _mm512_loadu_ps(p)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#else
typedef __m256 V;
#define SET(x) _mm256_set1_ps(x)
#define LOAD(p) _mm256_loadu_ps(p)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#endif
enum { CHAINS = 12, LANES = sizeof(V) / 4 };

static volatile float sink;

/* Reads count floats (a multiple of 8 vectors), times over, each multiplied and added as a weight would be. */
void rereading(const float *p, int64_t count, int64_t times) {
  V acc[8], half = SET(0.5f);
  for (int i = 0; i < 8; ++i) acc[i] = SET(0);
  for (int64_t t = 0; t < times; ++t) {
    __asm__ volatile("" ::: "memory");
    for (int64_t i = 0; i < count; i += 8 * LANES)
      for (int l = 0; l < 8; ++l) acc[l] = FMA(LOAD(p + i + l * LANES), half, acc[l]);
  }
  for (int i = 0; i < 8; ++i) sink = ((float *)&acc[i])[0];
}

/* Float operations done: two a lane a step. */
int64_t multiply_adds(int64_t steps) {
  V acc[CHAINS], x = SET(0.999f), y = SET(1e-3f);
  for (int i = 0; i < CHAINS; ++i) acc[i] = SET((float)i);
  for (int64_t s = 0; s < steps; ++s)
    for (int i = 0; i < CHAINS; ++i) acc[i] = FMA(acc[i], x, y);
  for (int i = 0; i < CHAINS; ++i) sink = ((float *)&acc[i])[0];
  return steps * CHAINS * LANES * 2;
}
