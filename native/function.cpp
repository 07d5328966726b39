#include "function.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace kiyas {

void upper_products(const Level& level, const InnerCodes& codes, const InnerQueries& queries, int query, int64_t start,
                    int rows, double* out) {
  for (int block = 0; block < rows; block += kBlock) {
    const int n = std::min(kBlock, rows - block);
    int32_t dots[kBlock];
    Interval p[kBlock];
    level.dots(codes.group(start + block), codes.steps(), n, queries.codes(query), queries.stride(), 1, dots);
    head_products(codes, queries, query, start + block, n, dots, p);
    for (int i = 0; i < n; ++i) out[block + i] = p[i].high;
  }
}

FunctionFamily::FunctionFamily(const Level& level, UserFunction function, const InnerCodes& codes,
                               const double* queries, const double* norm2, int count)
    : level_(level),
      function_(function),
      codes_(codes),
      queries_(level, codes, queries, norm2, count) {}

uint64_t FunctionFamily::reach(const float* bounds, const float* norms, const double* norm2, int rows, int query,
                               double threshold) const {
  double p[kBlock], a2[kBlock], value[kBlock], ends[kBlock];
  const double own2 = queries_.norm2(query);
  const float near = 0.999f * queries_.query(query).norm;
  // Few bounds come near the end of p, so that most rows are spared a root.
  int any_near = 0;
  for (int i = 0; i < rows; ++i) {
    a2[i] = own2, p[i] = bounds[i];
    any_near |= !(bounds[i] < near * norms[i]);
  }
  uint64_t ended = 0;
  for (int i = 0; any_near && i < rows; ++i) {
    if (bounds[i] < near * norms[i]) continue;
    ends[i] = product_end(own2, norm2[i]);
    if (p[i] < ends[i]) continue;
    const double past = ends[i] * kPastEnd;
    p[i] = p[i] < past ? p[i] : past;
    ended |= uint64_t{1} << i;
  }
  function_(p, a2, norm2, value, rows);
  // The function rounds too.
  const double least = threshold - 1e-14 * std::fabs(threshold);
  const auto reached = [&] {
    uint64_t mask = 0;
    for (int i = 0; i < rows; ++i) mask |= static_cast<uint64_t>(!(value[i] < least)) << i;
    return mask;
  };
  const uint64_t mask = reached();
  if ((ended & ~mask) == 0) return mask;
  // Past the end the function may fall; at the end itself it must not.
  for (uint64_t left = ended; left; left &= left - 1) p[std::countr_zero(left)] = ends[std::countr_zero(left)];
  function_(p, a2, norm2, value, rows);
  return mask | (reached() & ended);
}

void FunctionFamily::filter(int64_t start, int rows, int first, int count, const double* thresholds,
                            uint64_t* masks, Looks& looks) const {
  level_.dots(codes_.group(start), codes_.steps(), rows, queries_.codes(first), queries_.stride(), count,
              looks.products);
  const InnerBlock block = block_of(codes_, start, rows, looks);
  // Rows whose norm float32 does not hold pass.
  uint64_t beyond = 0;
  for (int i = 0; i < rows; ++i) beyond |= static_cast<uint64_t>(!std::isfinite(block.residual[i])) << i;
  float p[kBlock];
  for (int j = 0; j < count; ++j) {
    masks[j] = ~uint64_t{0};
    if (!queries_.trusted(first + j) || thresholds[j] == -std::numeric_limits<double>::infinity()) continue;
    level_.inner_upper(block, queries_.query(first + j), looks.products + j * kBlock, p);
    masks[j] = reach(p, block.norm, codes_.norm2 + start, rows, first + j, thresholds[j]) | beyond;
  }
}

uint64_t FunctionFamily::refine(int64_t start, int first, int j, double threshold, uint64_t mask, Looks& looks) const {
  const int query = first + j;
  if (codes_.tail_dims == 0 || !queries_.trusted(query)) return mask;
  float bound[kBlock], norm[kBlock];
  double norm2[kBlock];
  const int count = second_bounds(level_, codes_, queries_, query, j, start, mask, looks, bound, norm);
  uint64_t beyond = 0;
  int at = 0;
  for (uint64_t left = mask; left; left &= left - 1, ++at) {
    const int64_t row = start + std::countr_zero(left);
    norm2[at] = codes_.norm2[row];
    beyond |= static_cast<uint64_t>(!std::isfinite(codes_.residual[row])) << at;
  }
  return spread(reach(bound, norm, norm2, count, query, threshold) | beyond, mask);
}

Interval FunctionFamily::bounds(int query, int64_t row, double) const {
  const double x2 = queries_.norm2(query), y2 = codes_.norm2[row], end = product_end(x2, y2), past = end * kPastEnd;
  const Interval within = inner_product(level_, codes_, queries_, query, row, true);
  // Both ends, and what lies a few roundings inside of them where they are as far out as p can be: there the function
  // may fall, or say nothing.
  const double p[4] = {within.low > -past ? within.low : -past, within.low > -end ? within.low : -end,
                       within.high < end ? within.high : end, within.high < past ? within.high : past};
  const double a2[4] = {x2, x2, x2, x2}, b2[4] = {y2, y2, y2, y2};
  double value[4];
  function_(p, a2, b2, value, 4);
  double low = std::min(value[0], value[1]), high = std::max(value[2], value[3]);
  // The function rounds too: a few units in the last place either way.
  low -= 1e-14 * std::fabs(low), high += 1e-14 * std::fabs(high);
  const double infinity = std::numeric_limits<double>::infinity();
  if (std::isnan(value[2]) || std::isnan(value[3]) || std::isnan(high) || low > high) return {-infinity, infinity};
  return {std::isnan(value[0]) || std::isnan(value[1]) || std::isnan(low) ? -infinity : low, high};
}

}  // namespace kiyas
