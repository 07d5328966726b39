#include "pool.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kiyas {
namespace {

// Drops the lowest-scoring `dropped` dimensions, or with weights that share of the weight mass: the boundary
// dimension keeps what is over, so the score is continuous.
double kept_total(const Level& level, Scratch& s, const Pooling& pooling) {
  const int64_t d = pooling.dims, h = pooling.dropped;
  const double* w = pooling.weight;
  if (!w) {
    if (h > 0) std::nth_element(s.score.begin(), s.score.begin() + h, s.score.end());
    return level.sum(s.score.data() + h, d - h);
  }
  s.term.clear();
  if (h == 0) {
    for (int64_t i = 0; i < d; ++i) s.term.push_back(w[i] * s.score[i]);
    return level.sum(s.term.data(), d);
  }
  const double mass = static_cast<double>(h) * level.sum(w, d) / static_cast<double>(d);
  s.order.resize(d);
  for (int64_t i = 0; i < d; ++i) s.order[i] = i;
  std::sort(s.order.begin(), s.order.end(), [&](int64_t a, int64_t b) {
    return s.score[a] < s.score[b] || (s.score[a] == s.score[b] && a < b);
  });
  double gone = 0;
  for (const int64_t i : s.order) {
    const double before = gone;
    gone += w[i];
    if (gone <= mass) continue;
    s.term.push_back((before >= mass ? w[i] : gone - mass) * s.score[i]);
  }
  return level.sum(s.term.data(), static_cast<int64_t>(s.term.size()));
}

template <class Under>
Pooled counted(const double* values, const Pooling& pooling, const Under& under) {
  Pooled out{0, 0, 0};
  if (!std::isnan(pooling.threshold))
    for (int64_t i = 0; i < pooling.dims; ++i) out.below += under(values[i], pooling.threshold);
  if (pooling.critical)
    for (int64_t i = 0; i < pooling.dims; ++i) out.low += pooling.critical[i] && under(values[i], pooling.tier);
  return out;
}

}  // namespace

Pooled pool(const Level& level, Scratch& s, const Pooling& pooling) {
  Pooled out = counted(s.score.data(), pooling, [](double score, double tau) { return score < tau; });
  out.total = kept_total(level, s, pooling);
  return out;
}

Pooled pool_pair(const Level& level, Scratch& s, Profile profile, const Pooling& pooling, const double* q,
                 const double* x, int64_t dims) {
  const bool all = pooling.dims == dims;
  if (profile == Profile::negative && all && !pooling.width && !pooling.weight && pooling.dropped == 0 &&
      std::isnan(pooling.threshold) && !pooling.critical)
    return {-level.l1_sum(q, x, dims), 0, 0};  // the plain L1 distance needs none of the machinery
  s.score.resize(pooling.dims);
  double* out = s.score.data();
  if (all)
    for (int64_t i = 0; i < dims; ++i) out[i] = std::fabs(q[i] - x[i]);
  else
    for (int64_t i = 0; i < pooling.dims; ++i) out[i] = std::fabs(q[pooling.pick[i]] - x[pooling.pick[i]]);
  if (pooling.width)
    for (int64_t i = 0; i < pooling.dims; ++i) out[i] /= pooling.width[i];
  switch (profile) {
    case Profile::negative:
      for (int64_t i = 0; i < pooling.dims; ++i) out[i] = 0 - out[i];
      break;
    case Profile::complement:
      for (int64_t i = 0; i < pooling.dims; ++i) out[i] = 1 - out[i];
      break;
    case Profile::clipped:
      for (int64_t i = 0; i < pooling.dims; ++i) out[i] = std::max(0.0, 1 - out[i]);
      break;
    case Profile::exponential: {
      Pooled pooled = counted(out, pooling, [](double gap, double most) { return gap > most; });
      level.exponentials(out, pooling.dims, out);
      pooled.total = kept_total(level, s, pooling);
      return pooled;
    }
  }
  return pool(level, s, pooling);
}

double Finish::by_total(const Pooled& pooled) const {
  double score = reciprocal ? 1 / (1 - pooled.total) : pooled.total / kept;
  if (threshold_count > 0 && pooled.below >= threshold_count) score = 0;
  return tiers ? tier_of(pooled.low) + score : score;
}

double Finish::most_loss(double threshold) const {
  const double infinity = std::numeric_limits<double>::infinity();
  if (tiers) threshold -= 2 + 1e-15;  // adding the tier has rounded the pooled score
  if (threshold_count > 0 && threshold <= 0) return infinity;  // a score of 0 may still be in
  if (reciprocal) return threshold > 0 ? 1 / threshold - 1 : infinity;
  return (best - threshold) * kept;
}

}  // namespace kiyas
