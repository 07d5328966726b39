#include "coordinate.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.h"

namespace kiyas {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// A row none of whose values lies off the grid is off by half a step a dimension at most.
constexpr double kHalf = 0.5 * (1 + 1e-6);

float round_up(double x) { return std::nextafter(static_cast<float>(x), std::numeric_limits<float>::infinity()); }

struct Histogram {
  int32_t count[256] = {};
};

Histogram gaps(const uint8_t* x, const uint8_t* q, int64_t dims) {
  Histogram h;
  for (int64_t i = 0; i < dims; ++i) ++h.count[x[i] > q[i] ? x[i] - q[i] : q[i] - x[i]];
  return h;
}

// Σ of the losses without the `dropped` largest; `loss` does not decrease.
double trimmed(const Histogram& h, const double* loss, int64_t dims, int64_t dropped) {
  int64_t left = dims - dropped;
  double sum = 0;
  for (int k = 0; k < 256 && left > 0; ++k) {
    const int64_t n = std::min<int64_t>(left, h.count[k]);
    if (n) sum += static_cast<double>(n) * loss[k];
    left -= n;
  }
  return sum;
}

}  // namespace

void encode_grid(const Rows& rows, const Grid& grid, int64_t begin, int64_t end, const GridCodes& out, int threads) {
  parallel(end - begin, 256, threads, [&](int, int64_t from, int64_t to) {
    std::vector<double> x(rows.dims);
    for (int64_t j = begin + from; j < begin + to; ++j) {
      rows.read(j, x.data());
      double sum = 0, worst = 0;
      for (int64_t i = 0; i < grid.dims; ++i) {
        const double folded = x[grid.pick[i]] * grid.scale[i];
        const double c = std::clamp(std::nearbyint((folded - grid.low[i]) / grid.step), 0.0, 255.0);
        out.codes[j * grid.dims + i] = static_cast<uint8_t>(c);
        // The last term pays for rounding the folded value.
        const double e = std::fabs(folded - (grid.low[i] + c * grid.step)) + 1e-15 * (std::fabs(folded) + std::fabs(grid.low[i]));
        sum += e;
        worst = std::max(worst, e);
      }
      out.error[j] = round_up(sum * (1 + 1e-9));
      out.worst[j] = round_up(worst * (1 + 1e-9));
    }
  });
}

GridQuery grid_query(const Grid& grid, const double* folded) {
  GridQuery q;
  q.codes.assign(grid.dims + kSlack, 0);
  q.off.assign(grid.dims, 0);
  for (int64_t i = 0; i < grid.dims; ++i) {
    const double high = grid.low[i] + 255 * grid.step;
    const double inside = std::clamp(folded[i], grid.low[i], high);
    const double c = std::clamp(std::nearbyint((inside - grid.low[i]) / grid.step), 0.0, 255.0);
    q.codes[i] = static_cast<uint8_t>(c);
    q.error += std::fabs(inside - (grid.low[i] + c * grid.step)) + 1e-15 * (std::fabs(folded[i]) + std::fabs(grid.low[i]));
    const double excess = std::fabs(folded[i] - inside);
    q.excess += excess;
    q.off[i] = excess > 0;
    q.any_off |= excess > 0;
  }
  return q;
}

CoordinateFamily::CoordinateFamily(const Level& level, const Grid& grid, const GridCodes& codes, int64_t rows,
                                   const CoordinateMeasure& measure, const double* folded, int count, RawScorer* raw)
    : level_(level), grid_(grid), codes_(codes), measure_(measure), raw_(raw), query_(count) {
  for (int j = 0; j < count; ++j) {
    query_[j].grid = grid_query(grid, folded + j * grid.dims);
    if (measure.linear) continue;
    query_[j].cap = cut(query_[j], rows);
    make_table(query_[j]);
    if (raw && measure.dropped > 0) raw->cut(j, query_[j].cap);
  }
}

// Any cap gives a valid bound, Σ of the kept >= Σ min(loss, cap) - dropped·cap; the best is the loss at which
// the trim of a good row cuts, so that of the best of a few rows is taken.
double CoordinateFamily::cut(const Prepared& query, int64_t rows) const {
  if (measure_.dropped == 0) return measure_.loss[255];
  const int64_t looked = std::min<int64_t>(rows, 128);
  double least = kInfinity, cap = measure_.loss[255];
  for (int64_t s = 0; s < looked; ++s) {
    const int64_t row = s * rows / looked;
    const Histogram h = gaps(codes_.codes + row * grid_.dims, query.grid.codes.data(), grid_.dims);
    const double sum = trimmed(h, measure_.loss, grid_.dims, measure_.dropped);
    if (sum >= least) continue;
    least = sum;
    int64_t left = grid_.dims - measure_.dropped;
    int k = 0;
    while (k < 255 && (left -= h.count[k]) > 0) ++k;
    cap = measure_.loss[std::min(k + 1, 255)];
  }
  return cap > 0 ? cap : measure_.loss[255];
}

// 16 segments of 16 steps, each with a base and a slope that stay under the loss at every step.
void CoordinateFamily::make_table(Prepared& query) const {
  const bool smooth = std::isfinite(measure_.lipschitz);
  const double* loss = smooth ? measure_.loss : measure_.loss_low;
  query.unit = query.cap / (255.0 * 16.0);
  if (!(query.unit > 0) || std::isinf(query.unit)) return;  // then every row passes
  for (int s = 0; s < 16; ++s) {
    double value[16];
    for (int i = 0; i < 16; ++i) value[i] = std::min(loss[16 * s + i], query.cap) / query.unit * (1 - 1e-12);
    const double base = std::clamp(std::floor(value[0] / 16), 0.0, 255.0);
    double slope = 255;
    for (int i = 1; i < 16; ++i) slope = std::min(slope, (value[i] - 16 * base) / i);
    query.base[s] = static_cast<uint8_t>(base);
    query.slope[s] = static_cast<uint8_t>(std::clamp(std::floor(slope), 0.0, 255.0));
  }
}

void CoordinateFamily::filter(int64_t start, int rows, int first, int count, const double* thresholds,
                              uint64_t* masks, Looks&) const {
  uint32_t sums[kBlock];
  const uint8_t* codes = codes_.codes + start * grid_.dims;
  for (int j = 0; j < count; ++j) {
    const Prepared& query = query_[first + j];
    const double most = measure_.finish.most_loss(thresholds[j]);
    if (!(most < kInfinity)) {
      masks[j] = ~uint64_t{0};
      continue;
    }
    const double reach = most + measure_.finish.slack(most);
    uint64_t mask = 0;
    if (measure_.linear) {
      level_.l1(codes, grid_.dims, rows, query.grid.codes.data(), grid_.dims, sums);
      const double room = reach + query.grid.error - query.grid.excess;
      for (int i = 0; i < rows; ++i)
        mask |= static_cast<uint64_t>(!(grid_.step * (1 - 1e-12) * sums[i] - codes_.error[start + i] > room)) << i;
    } else {
      level_.table(codes, grid_.dims, rows, query.grid.codes.data(), grid_.dims, query.base, query.slope, sums);
      const bool smooth = std::isfinite(measure_.lipschitz);
      const double slope = smooth ? measure_.lipschitz : 0;
      const double room = reach + static_cast<double>(measure_.dropped) * query.cap * (1 + 1e-12) + slope * query.grid.error;
      const double half = grid_.step * kHalf;
      for (int i = 0; i < rows; ++i) {
        const bool loose = !smooth && codes_.worst[start + i] > half;
        const bool beyond = query.unit * (1 - 1e-12) * sums[i] - slope * codes_.error[start + i] > room;
        mask |= static_cast<uint64_t>(loose || !beyond) << i;
      }
    }
    masks[j] = mask;
  }
}

CoordinateFamily::Losses CoordinateFamily::losses(const Prepared& query, int64_t row) const {
  const uint8_t* x = codes_.codes + row * grid_.dims;
  const double errors = static_cast<double>(codes_.error[row]) + query.grid.error;
  if (measure_.linear) {
    uint32_t sum;
    level_.l1(x, grid_.dims, 1, query.grid.codes.data(), grid_.dims, &sum);
    const double loss = grid_.step * sum + query.grid.excess;
    return {std::max(0.0, loss - errors), loss + errors};
  }
  const Histogram h = gaps(x, query.grid.codes.data(), grid_.dims);
  Losses bound{0, kInfinity};
  if (std::isfinite(measure_.lipschitz)) {
    const double loss = trimmed(h, measure_.loss, grid_.dims, measure_.dropped);
    bound = {loss - measure_.lipschitz * errors, loss + measure_.lipschitz * (errors + query.grid.excess)};
  }
  if (codes_.worst[row] <= grid_.step * kHalf) {
    bound.low = std::max(bound.low, trimmed(h, measure_.loss_low, grid_.dims, measure_.dropped));
    if (!query.grid.any_off)
      bound.high = std::min(bound.high, trimmed(h, measure_.loss_high, grid_.dims, measure_.dropped));
  }
  return {std::max(0.0, bound.low), bound.high};
}

Interval CoordinateFamily::bounds(int query, int64_t row, double threshold) const {
  if (!raw_) return by_tables(query_[query], row);
  const double most = raw_->finish().most_loss(threshold);
  if (most < kInfinity) {
    raw_->open(row);
    if (raw_->beyond(query, most)) return {-kInfinity, -kInfinity};
  }
  const double score = raw_->score(query, row);
  return {score, score};
}

Interval CoordinateFamily::by_tables(const Prepared& q, int64_t row) const {
  const Losses loss = losses(q, row);
  const Finish& finish = measure_.finish;
  Interval s{finish.by_loss(loss.high + finish.slack(loss.high)),
             finish.by_loss(loss.low - finish.slack(loss.low))};
  if (loss.high == kInfinity) s.low = -kInfinity;
  const uint8_t* x = codes_.codes + row * grid_.dims;
  const uint8_t* codes = q.grid.codes.data();
  const bool loose = codes_.worst[row] > grid_.step * kHalf;
  const auto gap = [&](int64_t i) { return x[i] > codes[i] ? x[i] - codes[i] : codes[i] - x[i]; };
  if (finish.threshold_count > 0) {
    int64_t surely = 0, maybe = 0;
    for (int64_t i = 0; i < grid_.dims; ++i) {
      surely += !loose && measure_.surely_below[gap(i)];
      maybe += loose || q.grid.off[i] || measure_.maybe_below[gap(i)];
    }
    if (surely >= finish.threshold_count) {
      s = {0, 0};
    } else if (maybe >= finish.threshold_count) {
      s = {std::min(s.low, 0.0), std::max(s.high, 0.0)};
    }
  }
  if (finish.tiers) {
    int64_t surely = 0, maybe = 0;
    for (int64_t c = 0; c < measure_.critical_count; ++c) {
      const int64_t i = measure_.critical[c];
      surely += !loose && measure_.surely_low[gap(i)];
      maybe += loose || q.grid.off[i] || measure_.maybe_low[gap(i)];
    }
    s = {s.low + tier_of(maybe), s.high + tier_of(surely)};
  }
  return s;
}

}  // namespace kiyas
