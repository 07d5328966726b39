#include "raw.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kiyas {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Loss loss_of(Profile profile) {
  switch (profile) {
    case Profile::clipped: return Loss::clipped;
    case Profile::exponential: return Loss::exponential;
    default: return Loss::linear;
  }
}

// The row in hand, one a thread.
struct Open {
  std::vector<double> wide;
  std::vector<float> narrow;
  const float* row = nullptr;
};
thread_local Open open_row;
thread_local Scratch scratch;
thread_local std::vector<double> buffer;

}  // namespace

RawScorer::RawScorer(const Level& level, const Rows& rows, Profile profile, const Pooling& pooling,
                     const Finish& finish, const double* queries, int count, bool narrow)
    : level_(level),
      rows_(rows),
      profile_(profile),
      pooling_(pooling),
      finish_(finish),
      queries_(queries),
      narrow_(narrow && rows.type != Type::float64),
      cap_(count, kInfinity) {
  const int64_t d = rows.dims, live = pooling.dims;
  const bool all = live == d;
  // Over all dimensions, so that a row is read straight through: those that do not count weigh 0.
  if (pooling.width || !all) {
    inverse_.assign(d, 0.0);
    // Finite in the rows' precision, since 0·∞ is no loss; a smaller factor leaves a smaller loss.
    const double most = narrow_ ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
    for (int64_t i = 0; i < live; ++i)
      inverse_[pooling.pick[i]] = pooling.width ? std::min(1 / pooling.width[i], most) : 1.0;
  }
  if (pooling.weight || !all) {
    weights_.assign(d, 0.0);
    for (int64_t i = 0; i < live; ++i) weights_[pooling.pick[i]] = pooling.weight ? pooling.weight[i] : 1.0;
  }
  for (int64_t i = 0; i < live; ++i) weight_ += pooling.weight ? pooling.weight[i] : 1.0;
  mass_ = weight_ * static_cast<double>(pooling.dropped) / static_cast<double>(live);
  if (!narrow_) return;
  narrow_queries_.assign(queries, queries + d * count);
  narrow_inverse_.assign(inverse_.begin(), inverse_.end());
  narrow_weights_.assign(weights_.begin(), weights_.end());
}

void RawScorer::sample(int query, int64_t rows) {
  if (pooling_.dropped == 0) return;
  const int64_t looked = std::min<int64_t>(rows, 48), d = rows_.dims;
  buffer.resize(d);
  double best = -kInfinity;
  for (int64_t s = 0; s < looked; ++s) {
    rows_.read(s * rows / looked, buffer.data());
    const Pooled pooled = pool_pair(level_, scratch, profile_, pooling_, queries_ + query * d, buffer.data(), d);
    if (!(pooled.total > best)) continue;
    best = pooled.total;
    // The scores are in parts around the cut where all weigh the same; with weights any cut near it will do.
    auto& score = scratch.score;
    std::nth_element(score.begin(), score.begin() + pooling_.dropped, score.end());
    cap_[query] = std::max(0.0, finish_.best - score[pooling_.dropped]);
  }
}

void RawScorer::open(int64_t row) const {
  if (!narrow_) {
    open_row.wide.resize(rows_.dims);
    rows_.read(row, open_row.wide.data());
  } else {
    open_row.row = rows_.narrow(row, open_row.narrow);
  }
}

// Σ kept w·loss >= Σ w·min(loss, cap) - mass·cap for any cap (docs/exact.md).
bool RawScorer::beyond(int query, double most) const {
  const int64_t d = rows_.dims;
  const Loss kind = loss_of(profile_);
  const double cap = cap_[query], cut = mass_ > 0 ? mass_ * cap : 0.0;
  double loss, relative, absolute;
  if (narrow_) {
    loss = level_.loss_float(kind, open_row.row, narrow_queries_.data() + query * d,
                             narrow_inverse_.empty() ? nullptr : narrow_inverse_.data(),
                             narrow_weights_.empty() ? nullptr : narrow_weights_.data(), d, static_cast<float>(cap));
    relative = 0x1p-23 * (static_cast<double>(d) / 16 + 24);
    absolute = 1e-6 * weight_;
  } else {
    loss = level_.loss_double(kind, open_row.wide.data(), queries_ + query * d,
                              inverse_.empty() ? nullptr : inverse_.data(),
                              weights_.empty() ? nullptr : weights_.data(), d, cap);
    relative = 0x1p-52 * (static_cast<double>(d) / 8 + 24);
    absolute = 1e-14 * weight_;
  }
  if (!std::isfinite(loss)) return false;
  if (kind == Loss::linear) absolute = 0x1p-126 * weight_;  // differences round relatively, down to the denormals
  // Casting the cap to float32 moves it by one rounding of its own.
  return loss * (1 - relative) - absolute - cut * (1 + 0x1p-22) > most + finish_.slack(most);
}

double RawScorer::score(int query, int64_t row) const {
  buffer.resize(rows_.dims);
  rows_.read(row, buffer.data());
  return finish_.by_total(
      pool_pair(level_, scratch, profile_, pooling_, queries_ + query * rows_.dims, buffer.data(), rows_.dims));
}

void RawFamily::filter(int64_t start, int rows, int first, int count, const double* thresholds, uint64_t* masks, Looks&) const {
  double most[kTile];
  for (int j = 0; j < count; ++j) {
    masks[j] = 0;
    most[j] = scorer_.finish().most_loss(thresholds[j]);
  }
  for (int i = 0; i < rows; ++i) {
    scorer_.open(start + i);
    for (int j = 0; j < count; ++j)
      masks[j] |= static_cast<uint64_t>(!(most[j] < kInfinity) || !scorer_.beyond(first + j, most[j])) << i;
  }
}

Interval RawFamily::bounds(int query, int64_t row, double) const {
  const double score = scorer_.score(query, row);
  return {score, score};
}

}  // namespace kiyas
