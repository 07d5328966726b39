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

uint64_t FunctionFamily::reach(const double* p, const double* norm2, int rows, int query, double threshold) const {
  double a2[kBlock], value[kBlock];
  std::fill(a2, a2 + rows, queries_.norm2(query));
  function_(p, a2, norm2, value, rows);
  // The function rounds too.
  const double least = threshold - 1e-14 * std::fabs(threshold);
  uint64_t mask = 0;
  for (int i = 0; i < rows; ++i) mask |= static_cast<uint64_t>(!(value[i] < least)) << i;
  return mask;
}

void FunctionFamily::filter(int64_t start, int rows, int first, int count, const double* thresholds,
                            uint64_t* masks, Looks& looks) const {
  level_.dots(codes_.group(start), codes_.steps(), rows, queries_.codes(first), queries_.stride(), count,
              looks.products);
  const InnerBlock block = block_of(codes_, start, rows, looks);
  // Rows whose norm float32 does not hold pass.
  uint64_t beyond = 0;
  for (int i = 0; i < rows; ++i) beyond |= static_cast<uint64_t>(!std::isfinite(block.residual[i])) << i;
  double p[kBlock];
  for (int j = 0; j < count; ++j) {
    masks[j] = ~uint64_t{0};
    if (!queries_.trusted(first + j) || thresholds[j] == -std::numeric_limits<double>::infinity()) continue;
    level_.inner_upper(block, queries_.query(first + j), looks.products + j * kBlock, p);
    masks[j] = reach(p, codes_.norm2 + start, rows, first + j, thresholds[j]) | beyond;
  }
}

uint64_t FunctionFamily::refine(int64_t start, int first, int j, double threshold, uint64_t mask, Looks& looks) const {
  const int query = first + j;
  if (codes_.tail_dims == 0 || !queries_.trusted(query)) return mask;
  float bound[kBlock], norm[kBlock];
  double p[kBlock], norm2[kBlock];
  const int count = second_bounds(level_, codes_, queries_, query, j, start, mask, looks, bound, norm);
  uint64_t beyond = 0;
  int at = 0;
  for (uint64_t left = mask; left; left &= left - 1, ++at) {
    const int64_t row = start + std::countr_zero(left);
    const float most = queries_.query(query).norm * norm[at];
    p[at] = bound[at] < most ? bound[at] : most;
    norm2[at] = codes_.norm2[row];
    beyond |= static_cast<uint64_t>(!std::isfinite(codes_.residual[row])) << at;
  }
  return spread(reach(p, norm2, count, query, threshold) | beyond, mask);
}

Interval FunctionFamily::bounds(int query, int64_t row, double) const {
  const Interval p = inner_product(level_, codes_, queries_, query, row, true);
  const double ends[2] = {p.low, p.high}, a2[2] = {queries_.norm2(query), queries_.norm2(query)},
               b2[2] = {codes_.norm2[row], codes_.norm2[row]};
  double value[2];
  function_(ends, a2, b2, value, 2);
  // The function rounds too: a few units in the last place either way.
  const double slack = 1e-14;
  const double low = value[0] - slack * std::fabs(value[0]), high = value[1] + slack * std::fabs(value[1]);
  const double infinity = std::numeric_limits<double>::infinity();
  return {std::isnan(low) ? -infinity : low, std::isnan(high) ? infinity : high};
}

}  // namespace kiyas
