// Sums over inputs, and the products made of them, at the instruction level being compiled.
#pragma once
#include <algorithm>
#include <type_traits>

#include "recurrent_terms.h"

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

KIYAS_INLINE const char* weights_of(const Product& product, int64_t panel) {
  return static_cast<const char*>(product.weights) + panel * product.panel_bytes;
}
template <int S>
constexpr int64_t kGroup = S * kLanes * 4;  // bytes of a group of weights in a stream of S vectors

// What is left of the sums of one panel from group k on, and their value as floats.
template <class Of, int R, int V, int S>
KIYAS_INLINE void finish(F (&acc)[R][V], typename Of::Sum (&sum)[R][V], const Product& product, int64_t panel,
                         const void* const* x, int64_t k) {
  const char* w = weights_of(product, panel);
  const int64_t stream = product.panel_bytes * S / V;
  for (const int64_t end = Of::groups(product.inputs); k < end; ++k)
    Of::template group<R, V, S>(sum, w + k * kGroup<S>, stream, x, k);
  if constexpr (std::is_same_v<Of, Terms<Precision::bfloat16>>)
    if (product.inputs % 2) Of::template group<R, V, S, true>(sum, w + k * kGroup<S>, stream, x, k);
  // Spelt out when compiled: an array of vectors under a loop would be kept in memory.
  unrolled<R * V>([&](auto i) KIYAS_INLINE_LAMBDA {
    acc[i / V][i % V] = Of::closed(sum[i / V][i % V], product, (panel * V + i % V) * kLanes, x[i / V], acc[i / V][i % V]);
  });
}

// acc += W·x.
template <class Of, int P, int R, int V, int S>
KIYAS_INLINE void add(Sums<P, R, V>& acc, const Product& product, int64_t panel, const void* const* rows) {
  const void* x[R];
  for (int r = 0; r < R; ++r) x[r] = rows[r];
  typename Of::Sum sum[P][R][V];
  unrolled<P * R * V>([&](auto i) KIYAS_INLINE_LAMBDA {
    constexpr int p = i / (R * V), r = i / V % R, v = i % V;
    sum[p][r][v] = Of::opened(acc[p][r][v]);
  });
  const char* w = weights_of(product, panel);
  const int64_t groups = Of::groups(product.inputs), stride = product.panel_bytes;
  for (int64_t k = 0; k < groups; ++k)
    unrolled<P>([&](auto p) KIYAS_INLINE_LAMBDA {
      Of::template group<R, V, S>(sum[p], w + p * stride + k * kGroup<S>, stride * S / V, x, k);
    });
  unrolled<P>([&](auto p) KIYAS_INLINE_LAMBDA { finish<Of, R, V, S>(acc[p], sum[p], product, panel + p, x, groups); });
}

// out[row] = start[row] + W·row for P panels; both pointers are those of the panel.
template <class Of, int V, int S, int P, int R>
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
  add<Of, P, R, V, S>(acc, product, panel, rows);
  KIYAS_UNROLL
  for (int r = 0; r < R; ++r) {
    KIYAS_UNROLL
    for (int p = 0; p < P; ++p) {
      KIYAS_UNROLL
      for (int v = 0; v < V; ++v) store(out[r] + (p * V + v) * kLanes, acc[p][r][v]);
    }
  }
}

template <class Of, int V, int S, int P, int R>
KIYAS_INLINE void sums_if(const Product& product, int64_t panel, const float* const* start, const void* const* rows,
                          float* const* out) {
  if constexpr (R <= Of::rows) sums<Of, V, S, P, R>(product, panel, start, rows, out);
}

template <int V, int S, int P, int R>
KIYAS_INLINE void sums_of(const Product& product, int64_t panel, const float* const* start, const void* const* rows,
                          float* const* out) {
  if constexpr (S == 1)  // int8 alone
    return sums_if<Terms<Precision::int8>, V, S, P, R>(product, panel, start, rows, out);
#ifndef KIYAS_NO_FLOAT32
  if (product.precision == Precision::float32)
    return sums_if<Terms<Precision::float32>, V, S, P, R>(product, panel, start, rows, out);
#endif
#if KIYAS_LEVEL >= 3
  if (product.rounded && has_pairs()) return sums_if<RoundedPairs, V, S, P, R>(product, panel, start, rows, out);
#endif
  if (product.precision == Precision::bfloat16)
    return sums_if<Terms<Precision::bfloat16>, V, S, P, R>(product, panel, start, rows, out);
  sums_if<Terms<Precision::int8>, V, S, P, R>(product, panel, start, rows, out);
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
template <int V, int S>
void some_sums(const Product& product, int64_t panel, int panels, int count, const float* const* start,
               const void* const* rows, float* const* out) {
  if (panels == 2) return sums_of<V, S, 2, 1>(product, panel, start, rows, out);
  switch (count) {
    case 1: return sums_of<V, S, 1, 1>(product, panel, start, rows, out);
    case 2: return sums_of<V, S, 1, 2>(product, panel, start, rows, out);
    case 3: return sums_of<V, S, 1, 3>(product, panel, start, rows, out);
    case 4: return sums_of<V, S, 1, 4>(product, panel, start, rows, out);
    case 5: return sums_of<V, S, 1, 5>(product, panel, start, rows, out);
    case 6: return sums_of<V, S, 1, 6>(product, panel, start, rows, out);
    default: return;
  }
}

void sums_with(const Product& product, int64_t panel, int panels, int count, const float* const* start,
               const void* const* rows, float* const* out) {
  switch (product.vectors) {
    case 2: return some_sums<2, 2>(product, panel, panels, count, start, rows, out);
    case 3: return some_sums<3, 3>(product, panel, panels, count, start, rows, out);
    default:
#if KIYAS_LEVEL >= 3
      if (product.stream == 1) return some_sums<4, 1>(product, panel, panels, count, start, rows, out);
#endif
      return some_sums<4, 2>(product, panel, panels, count, start, rows, out);
  }
}

// Bytes of the first cache that weights may take.
constexpr int64_t kFirstCache = 24 * 1024;

// Going back and forth leaves the last panel in the first cache if it is taken alone and fits.
int64_t panels_together(const Product& product) {
  return 2 * product.panel_bytes > kFirstCache && product.panel_bytes <= kFirstCache ? 1 : 2;
}

// Calls work(panel, panels, row, rows) over panels [from, to): one row takes two panels at a time, several rows share
// one. Backwards in every other step: the cache still has what came last.
template <class Work>
KIYAS_INLINE void by_panels(int64_t from, int64_t to, int count, int most, bool backward, int64_t together,
                            const Work& work) {
  const int64_t width = count == 1 ? together : 1, parts = (to - from + width - 1) / width;
  // Groups of rows are as equal as can be: a small one waits for its weights.
  const int groups = std::max(1, (count + most - 1) / most), even = count / groups, larger = count % groups;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t panel = from + width * (backward ? parts - 1 - i : i);
    const int panels = static_cast<int>(std::min(width, to - panel));
    for (int g = 0, row = 0; row < count; ++g) {
      const int some = even + (g < larger);
      work(panel, panels, row, some);
      row += some;
    }
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
