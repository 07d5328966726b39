// Coordinate measures on the rows themselves: a lower bound of the loss in the rows' own precision, and the
// exact score. The plain scan of the family, and the last word on what its codes let through.
#pragma once
#include <cstdint>
#include <vector>

#include "level.h"
#include "pool.h"
#include "rows.h"
#include "scan.h"

namespace kiyas {

class RawScorer {
 public:
  // Queries: (count × rows.dims) doubles; `narrow`: float32 holds them exactly.
  RawScorer(const Level& level, const Rows& rows, Profile profile, const Pooling& pooling, const Finish& finish,
            const double* queries, int count, bool narrow);
  // Chooses for a query the loss a trimmed dimension is cut at, from a few of `rows` rows.
  void sample(int query, int64_t rows);
  void cut(int query, double loss) { cap_[query] = loss; }
  // Whether the row's loss is surely above `most`. `row` must have been read by `open`.
  bool beyond(int query, double most) const;
  // Reads a row for `beyond`.
  void open(int64_t row) const;
  double score(int query, int64_t row) const;
  const Finish& finish() const { return finish_; }

 private:
  const Level& level_;
  const Rows rows_;
  const Profile profile_;
  const Pooling pooling_;
  const Finish finish_;
  const double* queries_;
  const bool narrow_;
  double weight_ = 0, mass_ = 0;  // Σ wᵢ, and how much of it the trim drops
  std::vector<double> inverse_, weights_;
  std::vector<float> narrow_queries_, narrow_inverse_, narrow_weights_;
  std::vector<double> cap_;
};

class RawFamily final : public Family {
 public:
  explicit RawFamily(const RawScorer& scorer) : scorer_(scorer) {}
  void filter(int64_t start, int rows, int first, int count, const double* thresholds, uint64_t* masks,
              Looks& looks) const override;
  Interval bounds(int query, int64_t row, double threshold) const override;

 private:
  const RawScorer& scorer_;
};

}  // namespace kiyas
