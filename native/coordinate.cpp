#include "coordinate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "parallel.h"

namespace kiyas {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// A row none of whose values lies off the grid is off by half a step a dimension at most.
constexpr double kHalf = 0.5 * (1 + 1e-6);

float round_up(double x) { return std::nextafter(static_cast<float>(x), std::numeric_limits<float>::infinity()); }

// The first look is given up where it lets through more than one in kPays of the second kTrial rows: more second looks
// cost what it saves. Before, the threshold has not settled.
constexpr int64_t kTrial = 8192, kPays = 4;

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

// The value of high half 0, the middle of codes 0 to 15.
double middle(const Grid& grid, int64_t i) { return grid.low[i] + 8 * grid.step; }

}  // namespace

void encode_grid(const Rows& rows, const Grid& grid, int64_t begin, int64_t end, const GridCodes& out, int threads) {
  const int64_t d = grid.dims, half = half_of(d);
  parallel(end - begin, 256, threads, [&](int, int64_t from, int64_t to) {
    std::vector<double> x(rows.dims);
    std::vector<uint8_t> code(2 * half, 0);
    for (int64_t j = begin + from; j < begin + to; ++j) {
      rows.read(j, x.data());
      double sum = 0, worst = 0, coarse = 0;
      for (int64_t i = 0; i < d; ++i) {
        const double folded = x[grid.pick[i]] * grid.scale[i];
        const double c = std::clamp(std::nearbyint((folded - grid.low[i]) / grid.step), 0.0, 255.0);
        code[i] = static_cast<uint8_t>(c);
        // The last term pays for rounding the folded value.
        const double rounding = 1e-15 * (std::fabs(folded) + std::fabs(grid.low[i]));
        const double e = std::fabs(folded - (grid.low[i] + c * grid.step)) + rounding;
        sum += e;
        worst = std::max(worst, e);
        coarse += std::fabs(folded - (middle(grid, i) + (code[i] & 0xf0) * grid.step)) + rounding;
      }
      out.error[j] = round_up(sum * (1 + 1e-9));
      out.worst[j] = round_up(worst * (1 + 1e-9));
      if (!out.low) {
        std::copy_n(code.data(), d, out.codes + j * d);
        continue;
      }
      out.coarse[j] = round_up(coarse * (1 + 1e-9));
      for (int64_t i = 0; i < half; ++i) {
        out.codes[j * half + i] = static_cast<uint8_t>(code[i] >> 4 | (code[half + i] & 0xf0));
        out.low[j * half + i] = static_cast<uint8_t>((code[i] & 15) | code[half + i] << 4);
      }
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
  const int64_t d = grid.dims, half = half_of(d);
  std::vector<double> middles(d);
  for (int64_t i = 0; i < d; ++i) middles[i] = middle(grid, i);
  Grid high = grid;
  high.low = middles.data();
  for (int j = 0; j < count; ++j) {
    Prepared& query = query_[j];
    query.grid = grid_query(grid, folded + j * d);
    if (codes.low) {
      query.high = grid_query(high, folded + j * d);
      std::vector<uint8_t> runs(2 * (half + kSlack), 0);
      std::copy_n(query.high.codes.begin(), half, runs.begin());
      std::copy_n(query.high.codes.begin() + half, d - half, runs.begin() + half + kSlack);
      query.high.codes = std::move(runs);
    }
    if (measure.linear) continue;
    query.cap = cut(query, rows);
    make_table(query);
    if (raw && measure.dropped > 0) raw->cut(j, query.cap);
  }
}

const uint8_t* CoordinateFamily::whole(int64_t row) const {
  if (!codes_.low) return codes_.codes + row * grid_.dims;
  thread_local std::vector<uint8_t> bytes;
  const int64_t half = half_of(grid_.dims);
  bytes.resize(2 * half + kSlack);
  level_.join(codes_.codes + row * half, codes_.low + row * half, half, bytes.data());
  return bytes.data();
}

// Any cap gives a valid bound, Σ of the kept >= Σ min(loss, cap) - dropped·cap; the best is the loss at which
// the trim of a good row cuts, so that of the best of a few rows is taken.
double CoordinateFamily::cut(const Prepared& query, int64_t rows) const {
  if (measure_.dropped == 0) return measure_.loss[255];
  const int64_t looked = std::min<int64_t>(rows, 128);
  double least = kInfinity, cap = measure_.loss[255];
  for (int64_t s = 0; s < looked; ++s) {
    const int64_t row = s * rows / looked;
    const Histogram h = gaps(whole(row), query.grid.codes.data(), grid_.dims);
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

double CoordinateFamily::reach(double threshold) const {
  const double most = measure_.finish.most_loss(threshold);
  return most < kInfinity ? most + measure_.finish.slack(most) : kInfinity;
}

uint64_t CoordinateFamily::within(const Prepared& query, const GridQuery& on, const uint32_t* sums, const float* error,
                                  const float* worst, int rows, double reach) const {
  uint64_t mask = 0;
  if (measure_.linear) {
    const double room = reach + on.error - on.excess;
    for (int i = 0; i < rows; ++i)
      mask |= static_cast<uint64_t>(!(grid_.step * (1 - 1e-12) * sums[i] - error[i] > room)) << i;
    return mask;
  }
  const bool smooth = std::isfinite(measure_.lipschitz);
  const double slope = smooth ? measure_.lipschitz : 0;
  const double room = reach + static_cast<double>(measure_.dropped) * query.cap * (1 + 1e-12) + slope * on.error;
  const double half = grid_.step * kHalf;
  for (int i = 0; i < rows; ++i) {
    const bool loose = !smooth && worst[i] > half;
    const bool beyond = query.unit * (1 - 1e-12) * sums[i] - slope * error[i] > room;
    mask |= static_cast<uint64_t>(loose || !beyond) << i;
  }
  return mask;
}

// Reading half the bytes pays where they are read for one query. The loss must be known to change no faster than the
// difference: a jump may hide between the middle of 16 codes and the others.
bool CoordinateFamily::coarse(int count) const {
  return codes_.low && count == 1 && std::isfinite(measure_.lipschitz);
}

void CoordinateFamily::filter(int64_t start, int rows, int first, int count, const double* thresholds,
                              uint64_t* masks, Looks& looks) const {
  uint32_t sums[kBlock];
  const int64_t d = grid_.dims, half = half_of(d);
  // Not where the rows lie joined already, for the queries before.
  const bool first_look = coarse(count) && looks.start != start &&
                          (looks.seen < 2 * kTrial || looks.passed <= kTrial / kPays);
  const uint8_t* codes = codes_.codes + start * (codes_.low ? half : d);
  int64_t stride = d;
  if (codes_.low && !first_look) {
    stride = 2 * half;
    uint8_t* joined = looks.codes.room(kBlock * stride + kSlack);
    if (looks.start != start)
      for (int i = 0; i < rows; ++i)
        level_.join(codes + i * half, codes_.low + (start + i) * half, half, joined + i * stride);
    looks.start = start;
    codes = joined;
  }
  for (int j = 0; j < count; ++j) {
    const Prepared& query = query_[first + j];
    const double most = reach(thresholds[j]);
    if (!(most < kInfinity)) {
      masks[j] = ~uint64_t{0};
      continue;
    }
    const GridQuery& on = first_look ? query.high : query.grid;
    if (first_look && measure_.linear) level_.l1_high(codes, half, rows, on.codes.data(), sums);
    else if (first_look) level_.table_high(codes, half, rows, on.codes.data(), query.base, query.slope, sums);
    else if (measure_.linear) level_.l1(codes, stride, rows, on.codes.data(), d, sums);
    else level_.table(codes, stride, rows, on.codes.data(), d, query.base, query.slope, sums);
    masks[j] = within(query, on, sums, (first_look ? codes_.coarse : codes_.error) + start, codes_.worst + start, rows, most);
    if (!first_look) continue;
    if (looks.seen >= kTrial && looks.seen < 2 * kTrial) looks.passed += std::popcount(masks[j]);
    looks.seen += rows;
  }
  looks.first = first_look;
}

void CoordinateFamily::prefetch(int64_t row) const {
  if (!codes_.low) return;
  const int64_t half = half_of(grid_.dims);
  for (int64_t i = 0; i < half; i += 64) __builtin_prefetch(codes_.low + row * half + i);
}

uint64_t CoordinateFamily::refine(int64_t start, int first, int j, double threshold, uint64_t mask, Looks& looks) const {
  const double most = reach(threshold);
  if (!looks.first || !(most < kInfinity)) return mask;
  // What the high halves let through, in whole bytes.
  const Prepared& query = query_[first + j];
  const int64_t d = grid_.dims, half = half_of(d);
  uint8_t* joined = looks.codes.room(kBlock * 2 * half + kSlack);
  looks.start = -1;
  float error[kBlock], worst[kBlock];
  uint32_t sums[kBlock];
  int count = 0;
  for (uint64_t left = mask; left; left &= left - 1, ++count) {
    const int64_t row = start + std::countr_zero(left);
    level_.join(codes_.codes + row * half, codes_.low + row * half, half, joined + count * 2 * half);
    error[count] = codes_.error[row], worst[count] = codes_.worst[row];
  }
  if (measure_.linear) level_.l1(joined, 2 * half, count, query.grid.codes.data(), d, sums);
  else level_.table(joined, 2 * half, count, query.grid.codes.data(), d, query.base, query.slope, sums);
  return spread(within(query, query.grid, sums, error, worst, count, most), mask);
}

CoordinateFamily::Losses CoordinateFamily::losses(const Prepared& query, int64_t row) const {
  const uint8_t* x = whole(row);
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
  const uint8_t* x = whole(row);
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
