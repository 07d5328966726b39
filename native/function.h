// The user's own inner measure, compiled to a function of (p, a², b²) over arrays.
#pragma once
#include "inner.h"

namespace kiyas {

using UserFunction = void (*)(const double* p, const double* a2, const double* b2, double* out, int64_t count);

// Upper bounds of p for rows [start, start + rows) and one query, from codes alone: out[i] >= p.
void upper_products(const Level& level, const InnerCodes& codes, const InnerQueries& queries, int query, int64_t start,
                    int rows, double* out);

class FunctionFamily final : public Family {
 public:
  FunctionFamily(const Level& level, UserFunction function, const InnerCodes& codes, const double* queries,
                 const double* norm2, int count);
  void filter(int64_t start, int rows, int first, int count, const double* thresholds, uint64_t* masks,
              Looks& looks) const override;
  void prefetch(int64_t row) const override { prefetch_tail(codes_, row); }
  uint64_t refine(int64_t start, int first, int j, double threshold, uint64_t mask, Looks& looks) const override;
  Interval bounds(int query, int64_t row, double threshold) const override;

 private:
  // Rows whose score at an upper bound of p, or where p ends before, may reach the threshold. `norms` are rounded up.
  uint64_t reach(const float* bounds, const float* norms, const double* norm2, int rows, int query,
                 double threshold) const;

  const Level& level_;
  const UserFunction function_;
  const InnerCodes codes_;
  const InnerQueries queries_;
};

}  // namespace kiyas
