#include "function.h"

#include <algorithm>
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

void FunctionFamily::filter(int64_t start, int rows, int first, int count, const double* thresholds,
                            uint64_t* masks, Looks& looks) const {
  double p[kBlock], a2[kBlock], value[kBlock];
  Interval bounds[kBlock];
  level_.dots(codes_.group(start), codes_.steps(), rows, queries_.codes(first), queries_.stride(), count,
              looks.products);
  for (int j = 0; j < count; ++j) {
    head_products(codes_, queries_, first + j, start, rows, looks.products + j * kBlock, bounds);
    for (int i = 0; i < rows; ++i) p[i] = bounds[i].high;
    std::fill(a2, a2 + rows, queries_.norm2(first + j));
    function_(p, a2, codes_.norm2 + start, value, rows);
    uint64_t mask = 0;
    for (int i = 0; i < rows; ++i) mask |= static_cast<uint64_t>(!(value[i] < thresholds[j])) << i;
    masks[j] = mask;
  }
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
