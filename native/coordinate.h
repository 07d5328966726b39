// The coordinate family: a byte a dimension on one grid, Σ of non-increasing scores of |x - q|.
// Rows are folded first (bandwidths, ranges, weights), so that one step serves every dimension.
#pragma once
#include <cstdint>
#include <vector>

#include "level.h"
#include "pool.h"
#include "raw.h"
#include "rows.h"
#include "scan.h"

namespace kiyas {

// How a row becomes a byte a dimension: x'ᵢ = x[pick[i]]·scale[i], code = round((x'ᵢ - low[i])/step) in 0..255.
struct Grid {
  const int64_t* pick;
  const double* scale;
  const double* low;
  double step;
  int64_t dims;
};

// Either whole bytes, rows × dims, or split: the high halves of a row's bytes lie apart from the low ones, so that a
// first look reads half a byte a dimension. Byte i of a half row holds dimensions i (low nibble) and half + i.
struct GridCodes {
  uint8_t* codes;  // rows × dims, or rows × half of high halves
  uint8_t* low;    // rows × half; null where bytes are whole
  float* error;    // a row: Σ |x'ᵢ - x̂'ᵢ|, rounded up
  float* worst;    // a row: the largest of them, rounded up
  float* coarse;   // a row: Σ |x'ᵢ - x̂'ᵢ| of the high halves alone, each standing for the middle of its 16 codes
};

inline int64_t half_of(int64_t dims) { return (dims + 1) / 2; }

void encode_grid(const Rows& rows, const Grid& grid, int64_t begin, int64_t end, const GridCodes& out, int threads);

// A query on the grid. What lies off it is kept apart: |x - q| = |x - q̂| + excess for rows on the grid.
struct GridQuery {
  std::vector<uint8_t> codes;  // zero past the end
  std::vector<uint8_t> off;    // a dimension: whether the query lies off the grid there
  double error = 0;            // Σ rounding of the query
  double excess = 0;           // Σ what lies off the grid
  bool any_off = false;
};

GridQuery grid_query(const Grid& grid, const double* folded);

struct CoordinateMeasure {
  bool linear;          // loss = folded difference, nothing dropped: one sum of absolute differences
  Finish finish;
  int64_t dropped;      // dimensions dropped by the trim
  double lipschitz;     // of the loss, in folded units; infinite where unknown
  const double* loss;       // 256: loss at a difference of k steps
  const double* loss_low;   // 256: … at least, k ± 1 steps
  const double* loss_high;  // 256: … at most
  const uint8_t* surely_below;  // 256: the dimension's score is below the threshold, surely / possibly
  const uint8_t* maybe_below;
  const int64_t* critical;  // dimensions of the tiers
  int64_t critical_count;
  const uint8_t* surely_low;  // 256: as above, for the tiers' τ
  const uint8_t* maybe_low;
};

class CoordinateFamily final : public Family {
 public:
  // Queries are folded doubles (queries × dims). `raw` scores the rows themselves, or is null where their profile
  // is not known here (a user's function): then tables bound the score.
  CoordinateFamily(const Level& level, const Grid& grid, const GridCodes& codes, int64_t rows,
                   const CoordinateMeasure& measure, const double* folded, int count, RawScorer* raw);
  void filter(int64_t start, int rows, int first, int count, const double* thresholds, uint64_t* masks,
              Looks& looks) const override;
  void prefetch(int64_t row) const override;
  uint64_t refine(int64_t start, int first, int j, double threshold, uint64_t mask, Looks& looks) const override;
  Interval bounds(int query, int64_t row, double threshold) const override;

 private:
  struct Prepared {
    GridQuery grid;
    GridQuery high;  // on the grid of high halves, its codes in two runs as l1_high takes them
    double cap = 0;   // per-dimension loss is cut here: the dual of trimming
    double unit = 0;  // value of one unit of the table kernel
    uint8_t base[16] = {}, slope[16] = {};
  };
  struct Losses {
    double low, high;
  };
  // Rows whose loss by sums of their codes with a query's may stay within `reach`; errors of the rows.
  uint64_t within(const Prepared& query, const GridQuery& on, const uint32_t* sums, const float* error, const float* worst,
                  int rows, double reach) const;
  double reach(double threshold) const;  // the largest loss that reaches the threshold
  // Whether the high halves alone are looked at first.
  bool coarse(int count) const;
  const uint8_t* whole(int64_t row) const;  // a row's bytes, good until the next call of the thread
  Losses losses(const Prepared& query, int64_t row) const;
  void make_table(Prepared& query) const;
  double cut(const Prepared& query, int64_t rows) const;
  Interval by_tables(const Prepared& query, int64_t row) const;

  const Level& level_;
  const Grid grid_;
  const GridCodes codes_;
  const CoordinateMeasure measure_;
  const RawScorer* raw_;
  std::vector<Prepared> query_;
};

}  // namespace kiyas
