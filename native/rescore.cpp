#include "rescore.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "parallel.h"

namespace kiyas {
namespace {

// Calls work(query, pair, buffer of the row) for every pair, `piece` of which last longer than starting a thread.
template <class Work>
void each_pair(const Rows& rows, const Pairs& pairs, int64_t piece, int threads, const Work& work) {
  const int64_t* ends = pairs.offsets + 1;
  parallel(pairs.count(), piece, threads, [&](int, int64_t from, int64_t to) {
    std::vector<double> x(rows.dims);
    int64_t query = std::upper_bound(ends, ends + pairs.queries, from) - ends;
    for (int64_t i = from; i < to; ++i) {
      while (i >= ends[query]) ++query;
      if (i + 1 < to) rows.prefetch(pairs.rows[i + 1]);
      rows.read(pairs.rows[i], x.data());
      work(query, i, x.data());
    }
  });
}

void put(const PooledOut& out, int64_t at, const Pooled& pooled) {
  out.total[at] = pooled.total;
  out.below[at] = pooled.below;
  out.low[at] = pooled.low;
}

}  // namespace

void gram_pairs(const Level& level, const Rows& rows, const double* queries, bool exact, const Pairs& pairs, double* p,
                double* d2, int threads) {
  each_pair(rows, pairs, 128, threads, [&](int64_t query, int64_t i, const double* x) {
    level.gram(queries + query * rows.dims, x, rows.dims, exact, p + i, d2 + i);
  });
}

void coordinate_pairs(const Level& level, const Rows& rows, const double* queries, Profile profile,
                      const Pooling& pooling, const Pairs& pairs, const PooledOut& out, int threads) {
  each_pair(rows, pairs, 32, threads, [&](int64_t query, int64_t at, const double* x) {
    thread_local Scratch s;
    put(out, at, pool_pair(level, s, profile, pooling, queries + query * rows.dims, x, rows.dims));
  });
}

void pool_profiles(const Level& level, const double* scores, int64_t count, const Pooling& pooling,
                   const PooledOut& out, int threads) {
  parallel(count, 32, threads, [&](int, int64_t from, int64_t to) {
    Scratch s;
    for (int64_t i = from; i < to; ++i) {
      s.score.assign(scores + i * pooling.dims, scores + (i + 1) * pooling.dims);
      put(out, i, pool(level, s, pooling));
    }
  });
}

void relu_pairs(const Level& level, const Rows& halves, const double* queries, const double* weights,
                const Pairs& pairs, double* sum, int threads) {
  each_pair(halves, pairs, 32, threads, [&](int64_t query, int64_t at, const double* v) {
    const double* u = queries + query * halves.dims;
    thread_local std::vector<double> term;
    term.resize(halves.dims + 2);
    for (int64_t i = 0; i < halves.dims; ++i) term[i] = weights[i] * std::max(0.0, u[i] + v[i]);
    term[halves.dims] = weights[halves.dims];
    term[halves.dims + 1] = sum[at];
    sum[at] = level.sum(term.data(), halves.dims + 2);
  });
}

}  // namespace kiyas
