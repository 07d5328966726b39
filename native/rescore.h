// Exact scores of the rows that survived: sums rounded once, so no result depends on the way it was found.
#pragma once
#include <cstdint>

#include "level.h"
#include "pool.h"
#include "rows.h"

namespace kiyas {

// Pairs in compressed form: query j goes with rows[offsets[j] .. offsets[j+1]).
struct Pairs {
  const int64_t* offsets;
  const int64_t* rows;
  int queries;
  int64_t count() const { return offsets[queries]; }
};

// p and d² of each pair. `exact`: products of queries and rows fit a double.
void gram_pairs(const Level& level, const Rows& rows, const double* queries, bool exact, const Pairs& pairs, double* p,
                double* d2, int threads);

struct PooledOut {
  double* total;
  int64_t* below;
  int64_t* low;
};

void coordinate_pairs(const Level& level, const Rows& rows, const double* queries, Profile profile,
                      const Pooling& pooling, const Pairs& pairs, const PooledOut& out, int threads);

// The same pooling of given per-dimension scores (count × dims).
void pool_profiles(const Level& level, const double* scores, int64_t count, const Pooling& pooling, const PooledOut& out, int threads);

// Adds to `sum` Σ wᵢ·relu(uᵢ + vᵢ) + b of each pair of halves, rounded once; `weights` are the wᵢ, then b.
void relu_pairs(const Level& level, const Rows& halves, const double* queries, const double* weights, const Pairs& pairs, double* sum,
                int threads);

}  // namespace kiyas
