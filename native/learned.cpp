#include "learned.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kiyas {

namespace {
constexpr double kSlackLogit = 1e-12;
}

LearnedFamily::LearnedFamily(const Level& level, const Grid& grid, const GridCodes& codes, int64_t positive,
                             const double* folded, int count, double bias, double alpha, const InnerFamily* cosine)
    : level_(level), grid_(grid), codes_(codes), positive_(positive), alpha_(alpha), cosine_(cosine), query_(count) {
  std::vector<double> mirrored(grid.dims);
  for (int j = 0; j < count; ++j) {
    const double* u = folded + j * grid.dims;
    Prepared& query = query_[j];
    // ± (max(v, -u) + u): on the grid max(low + step·cv, low + step·cm) = low + step·max(cv, cm), and where -u
    // lies above the grid, the maximum is -u itself for every row on the grid: the excess is a constant.
    query.constant = bias;
    double size = std::fabs(bias);
    for (int64_t i = 0; i < grid.dims; ++i) {
      mirrored[i] = -u[i];
      const double sign = i < positive ? 1 : -1, high = grid.low[i] + 255 * grid.step;
      const double over = std::max(0.0, mirrored[i] - high);
      query.constant += sign * (u[i] + grid.low[i] + over);
      size += std::fabs(u[i]) + std::fabs(grid.low[i]) + over + 255 * grid.step;
    }
    Grid part = grid;
    part.dims = positive;
    query.positive = grid_query(part, mirrored.data());
    part.dims = grid.dims - positive;
    part.low = grid.low + positive;
    query.negative = grid_query(part, mirrored.data() + positive);
    query.slack = kSlackLogit * (1 + size);
  }
}

Interval LearnedFamily::network(const Prepared& query, uint32_t positive, uint32_t negative, float error) const {
  const double value = query.constant + grid_.step * (static_cast<double>(positive) - static_cast<double>(negative));
  const double off = static_cast<double>(error) + query.positive.error + query.negative.error + query.slack;
  return {value - off, value + off};
}

void LearnedFamily::filter(int64_t start, int rows, int first, int count, const double* thresholds,
                           uint64_t* masks, Looks&) const {
  uint32_t positive[kBlock] = {}, negative[kBlock] = {};
  const uint8_t* codes = codes_.codes + start * grid_.dims;
  const int64_t rest = grid_.dims - positive_;
  for (int j = 0; j < count; ++j) {
    const Prepared& query = query_[first + j];
    if (positive_) level_.maxima(codes, grid_.dims, rows, query.positive.codes.data(), positive_, positive);
    if (rest) level_.maxima(codes + positive_, grid_.dims, rows, query.negative.codes.data(), rest, negative);
    Interval cosines[kBlock];
    if (cosine_) cosine_->cosines(first + j, start, rows, cosines);
    uint64_t mask = 0;
    for (int i = 0; i < rows; ++i) {
      double high = network(query, positive[i], negative[i], codes_.error[start + i]).high;
      if (cosine_) high += std::max(alpha_ * cosines[i].low, alpha_ * cosines[i].high) + kSlackLogit * std::fabs(alpha_);
      mask |= static_cast<uint64_t>(!(high < thresholds[j])) << i;
    }
    masks[j] = mask;
  }
}

Interval LearnedFamily::bounds(int query, int64_t row, double /*threshold*/) const {
  const Prepared& q = query_[query];
  const uint8_t* x = codes_.codes + row * grid_.dims;
  uint32_t positive = 0, negative = 0;
  if (positive_) level_.maxima(x, grid_.dims, 1, q.positive.codes.data(), positive_, &positive);
  if (positive_ < grid_.dims)
    level_.maxima(x + positive_, grid_.dims, 1, q.negative.codes.data(), grid_.dims - positive_, &negative);
  Interval logit = network(q, positive, negative, codes_.error[row]);
  if (cosine_) {
    const Interval c = cosine_->bounds(query, row, -std::numeric_limits<double>::infinity());  // both ends are needed
    const double slack = kSlackLogit * std::fabs(alpha_);
    logit.low += std::min(alpha_ * c.low, alpha_ * c.high) - slack;
    logit.high += std::max(alpha_ * c.low, alpha_ * c.high) + slack;
  }
  return logit;
}

}  // namespace kiyas
