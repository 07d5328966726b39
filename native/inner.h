// The inner family: int8 codes with the stored norm of what they leave out, and bounds on p = A·B.
//
// A row may come turned by an orthogonal matrix that puts what matters first: then a first look at the head of the
// row, with the norm of its tail, is enough for most rows. Without a turn the head is the whole row.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "level.h"
#include "rows.h"
#include "scan.h"

namespace kiyas {

struct InnerCodes {
  uint8_t* head;      // rows × head_dims: 128 + round(x / scale), 128 for zero; in groups (products.h)
  uint8_t* tail;      // rows × tail_dims, likewise; unused where tail_dims is 0
  int64_t head_dims, tail_dims;
  float* scale;       // a row: value of one step of the head
  float* residual;    // a row: ‖x - x̂‖ of the head, rounded up; infinite where float32 cannot hold the row's square
  float* rest;        // a row: norm of the tail, rounded up
  float* tail_scale;  // a row: value of one step of the tail
  double* norm2;      // a row: ‖x‖², correctly rounded
  double turned;      // error of the turned rows relative to ‖x‖; 0 without a turn
  const float* turn;  // the matrix rows are turned by, dims × dims, or null

  // Steps of four dimensions that a head takes; the last is filled up.
  int64_t steps() const { return (head_dims + 3) / 4; }
  // The group of a row, and where in each of its steps the row's four bytes are.
  uint8_t* group(int64_t row) const { return head + row / kGroup * steps() * 4 * kGroup; }
  static int64_t place(int64_t row) { return row % kGroup * 4; }
};

// ‖x‖² of rows [begin, end) into out[0], out[1], …; correctly rounded.
void row_norms2(const Level& level, const Rows& rows, int64_t begin, int64_t end, double* out, int threads);

// Encodes rows [begin, end), whose squared norms must be in out.norm2.
void encode_inner(const Level& level, const Rows& rows, int64_t begin, int64_t end, const InnerCodes& out, int threads);

// Vectors (count × dims) as the codes see them.
void turn_vectors(const Level& level, const float* turn, int64_t dims, const double* vectors, int64_t count,
                  double* out, int threads);

// Queries (count × dims doubles, turned as the rows are, with the squared norms of the originals, which must outlive
// this) and their codes.
class InnerQueries {
 public:
  InnerQueries(const Level& level, const InnerCodes& codes, const double* queries, const double* norm2, int count);
  const int8_t* codes(int j) const { return codes_.data() + j * stride_; }
  const int8_t* tail_codes(int j) const { return tail_codes_.data() + j * tail_stride_; }
  const InnerQuery& tail(int j) const { return tail_[j]; }  // step, residual and shift only
  int64_t tail_padded() const { return tail_padded_; }
  const float* values(int j) const { return values_.data() + j * dims_; }  // of queries that float32 can hold
  const InnerQuery& query(int j) const { return query_[j]; }
  InnerQuery& query(int j) { return query_[j]; }
  double norm2(int j) const { return norm2_[j]; }
  // Norms of head and tail, rounded up.
  double head(int j) const { return head_[j]; }
  double rest(int j) const { return rest_[j]; }
  // Whether float32 can filter for the query.
  bool trusted(int j) const { return trusted_[j] != 0; }
  int64_t stride() const { return stride_; }
  int count() const { return static_cast<int>(query_.size()); }

 private:
  const int64_t dims_, stride_, tail_padded_, tail_stride_;
  const double* norm2_;
  std::vector<float> values_;
  std::vector<int8_t> codes_, tail_codes_;
  std::vector<InnerQuery> query_, tail_;
  std::vector<double> head_, rest_;
  std::vector<uint8_t> trusted_;
};

// What p of two vectors is at most in size, by their squared norms as they were rounded (Cauchy–Schwarz, and
// (a² + b²)/2, which is no less but where they round). The rounded p may lie kPastEnd times as far out: a unit for p,
// one for the norms, three for the roots and their product, of 2^-53 each, and some to spare.
inline double product_end(double a2, double b2) { return std::min(std::sqrt(a2) * std::sqrt(b2), (a2 + b2) / 2); }
constexpr double kPastEnd = 1 + 0x1p-50;

// The interval that holds p = A·B. `distance`: the measure uses d² too, which needs a little more room.
Interval inner_product(const Level& level, const InnerCodes& codes, const InnerQueries& queries, int query,
                       int64_t row, bool distance);

// Intervals of p for rows [start, start + rows), rows <= kBlock, from the codes of heads alone, within
// ±product_end·kPastEnd; start begins a group. `dots`: the products of their codes with the query's.
void head_products(const InnerCodes& codes, const InnerQueries& queries, int query, int64_t start, int rows,
                   const int32_t* dots, Interval* out);

// What a first look at a block of rows needs beside their codes, without a factor: the norms of rows
// [start, start + rows), which it puts into `looks` where they are of other rows.
InnerBlock block_of(const InnerCodes& codes, int64_t start, int rows, Looks& looks);

// Upper bounds of p for the rows of a mask, by the products of heads that a filter left in `looks` for its query j and
// by a second look at the tails: p[i], with kMargin·ab added, and norm[i] of the i-th row of the mask. How many.
int second_bounds(const Level& level, const InnerCodes& codes, const InnerQueries& queries, int query, int j,
                  int64_t start, uint64_t mask, const Looks& looks, float* p, float* norm);

// Asks for the memory that a second look will read of a row.
void prefetch_tail(const InnerCodes& codes, int64_t row);

class InnerFamily final : public Family {
 public:
  // `parameter`: query norm κ of ndd (0 for the query's own) or β of tempered cosine.
  InnerFamily(const Level& level, Inner kind, double parameter, const InnerCodes& codes, const float* factor,
              const double* queries, const double* norm2, int count);
  void filter(int64_t start, int rows, int first, int count, const double* thresholds, uint64_t* masks,
              Looks& looks) const override;
  void prefetch(int64_t row) const override { prefetch_tail(codes_, row); }
  uint64_t refine(int64_t start, int first, int j, double threshold, uint64_t mask, Looks& looks) const override;
  Interval bounds(int query, int64_t row, double threshold) const override;
  // Intervals of the cosine of rows [start, start + rows), rows <= kBlock, from the codes of heads alone; start
  // begins a group.
  void cosines(int query, int64_t start, int rows, Interval* out) const;

 private:
  double surrogate(double p, double a2, double b2) const;
  // Factors of the rows from `start` on, as the level wants them for a query.
  const float* factors(int64_t start, int query, const Looks& looks) const;

  const Level& level_;
  const Inner kind_;
  const double parameter_;
  const InnerCodes codes_;
  const float* factor_;
  InnerQueries queries_;
};

}  // namespace kiyas
