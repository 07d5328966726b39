// The learned measure: logit = Σ wᵢ·relu(uᵢ + vᵢ) + b + α·cosine, from precomputed halves.
// With |wᵢ| folded into the halves, relu(u + v) = max(v, -u) + u: a byte maximum a hidden unit.
#pragma once
#include "coordinate.h"
#include "inner.h"

namespace kiyas {

class LearnedFamily final : public Family {
 public:
  // The grid holds the folded halves of the rows, units of positive weight first (`positive` of them).
  // `folded`: (queries × hidden) |wᵢ|·uᵢ in the same order; `constant`: what does not depend on the row.
  // `cosine` is the inner family with cosine epilogue, or null where α is 0.
  LearnedFamily(const Level& level, const Grid& grid, const GridCodes& codes, int64_t positive, const double* folded,
                int count, double bias, double alpha, const InnerFamily* cosine);
  void filter(int64_t start, int rows, int first, int count, const double* thresholds, uint64_t* masks,
              Looks& looks) const override;
  Interval bounds(int query, int64_t row, double threshold) const override;

 private:
  struct Prepared {
    GridQuery positive, negative;  // -u, on each part of the grid
    double constant = 0, slack = 0;
  };
  Interval network(const Prepared& query, uint32_t positive, uint32_t negative, float error) const;

  const Level& level_;
  const Grid grid_;
  const GridCodes codes_;
  const int64_t positive_;
  const double alpha_;
  const InnerFamily* cosine_;
  std::vector<Prepared> query_;
};

}  // namespace kiyas
