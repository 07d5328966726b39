// The scan of codes: which rows may be among the k best, with nothing that could be left out.
#pragma once
#include <cstdint>
#include <vector>

#include "level.h"

namespace kiyas {

// Queries a filter call takes: their codes stay in the first-level cache.
constexpr int kTile = 16;

// Bytes from a cache line's begin on: a wide load across two lines takes twice as long.
class Bytes {
 public:
  uint8_t* room(int64_t size) {
    if (static_cast<int64_t>(held_.size()) < size + 64) held_.resize(size + 64);
    return held_.data() + (64 - reinterpret_cast<uintptr_t>(held_.data()) % 64) % 64;
  }

 private:
  std::vector<uint8_t> held_;
};

// What a filter leaves behind for a second look at the same rows, and for its next calls. One a thread.
struct Looks {
  int32_t products[kTile * kBlock];  // inner family: of the rows' heads with the queries, [query·kBlock + row]
  float norms[kBlock];
  float logs[kBlock], least_log;  // of the norms (log_scaled)
  int64_t start = -1;  // of the rows that `norms` and `codes` belong to
  // Coordinate family: whether the filter has seen half of each byte only; rows it has seen so, and how many of a
  // trial it let through.
  bool first = false;
  int64_t seen = 0, passed = 0;
  Bytes codes;         // coordinate family: a block of rows in whole bytes
};

struct Interval {
  double low, high;  // the row's score lies between, in the family's surrogate units
};

// The rows of a mask that were kept: bit i of `kept` speaks of the i-th of them.
inline uint64_t spread(uint64_t kept, uint64_t mask) {
  uint64_t out = 0;
  for (; mask; mask &= mask - 1, kept >>= 1)
    if (kept & 1) out |= mask & -mask;
  return out;
}

// A family of measures over codes of rows. `filter` is fast and, like `refine`, never drops a row that may reach
// the threshold; `bounds` is slower and tight; where it sees that the row stays below the threshold, any interval below
// it will do.
class Family {
 public:
  virtual ~Family() = default;
  // Masks of rows [start, start + rows), rows <= kBlock, for queries [first, first + count).
  virtual void filter(int64_t start, int rows, int first, int count, const double* thresholds, uint64_t* masks,
                      Looks& looks) const = 0;
  // Asks for the memory that a second look will read of a row.
  virtual void prefetch(int64_t) const {}
  // A second, dearer look at the rows of a mask that the filter left of [start, start + kBlock): query `first + j`.
  virtual uint64_t refine(int64_t, int, int, double, uint64_t mask, Looks&) const { return mask; }
  virtual Interval bounds(int query, int64_t row, double threshold) const = 0;
};

struct ScanInput {
  int64_t rows;
  int queries;
  int64_t k;
  const uint8_t* allowed;   // a byte a row, 0 for rows to leave out; or null
  const int64_t* excluded;  // a row a query to leave out, -1 for none; or null
  double start;             // threshold to begin with (-inf, or from a least score)
  int64_t limit;            // survivors after which a query is given up, as pruning does not pay; -1 for no limit
  int threads;
};

struct Candidates {
  std::vector<uint8_t> complete;  // a query: 0 where it was given up, and has no rows here
  std::vector<int64_t> offsets;
  std::vector<int64_t> rows;  // per query ascending
};

Candidates scan(const Family& family, const ScanInput& input);

}  // namespace kiyas
