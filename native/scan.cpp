#include "scan.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <memory>

#include "parallel.h"

namespace kiyas {
namespace {

struct Survivor {
  int64_t row;
  double high;
};

// The k best lower bounds a thread has seen of one query, and the rows that may still be in.
struct Tally {
  std::vector<double> best;  // min-heap
  std::vector<Survivor> survivors;
};

void offer(Tally& tally, double low, size_t k, double& threshold) {
  const auto worst_first = std::greater<>{};
  if (tally.best.size() < k) {
    tally.best.push_back(low);
    std::push_heap(tally.best.begin(), tally.best.end(), worst_first);
  } else if (low > tally.best.front()) {
    std::pop_heap(tally.best.begin(), tally.best.end(), worst_first);
    tally.best.back() = low;
    std::push_heap(tally.best.begin(), tally.best.end(), worst_first);
  }
  if (tally.best.size() == k) threshold = std::max(threshold, tally.best.front());
}

void raise(std::atomic<double>& shared, double value) {
  double seen = shared.load(std::memory_order_relaxed);
  while (seen < value && !shared.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

Candidates scan(const Family& family, const ScanInput& in) {
  const auto k = static_cast<size_t>(in.k);
  const int threads = std::max(1, in.threads);
  std::vector<std::vector<Tally>> tallies(threads, std::vector<Tally>(in.queries));
  // Thresholds are shared between threads only to prune earlier: what survives does not depend on it.
  const auto shared = std::make_unique<std::atomic<double>[]>(in.queries);
  for (int q = 0; q < in.queries; ++q) shared[q] = in.start;
  const auto kept = std::make_unique<std::atomic<int64_t>[]>(in.queries);
  const auto given_up = [&](int q) { return in.limit >= 0 && kept[q].load(std::memory_order_relaxed) > in.limit; };

  // Pieces small enough to share evenly, and large enough that taking one costs nothing.
  const int64_t piece = kBlock * (in.queries >= kTile ? 8 : 64);
  std::vector<std::unique_ptr<Looks>> looks_of(threads);
  parallel(in.rows, piece, threads, [&](int thread, int64_t begin, int64_t end) {
    auto& mine = tallies[thread];
    auto& looks = looks_of[thread];
    if (!looks) looks = std::make_unique<Looks>();
    for (int64_t start = begin; start < end; start += kBlock) {
      const int rows = static_cast<int>(std::min<int64_t>(kBlock, end - start));
      const uint64_t all = rows == kBlock ? ~uint64_t{0} : (uint64_t{1} << rows) - 1;
      for (int first = 0; first < in.queries; first += kTile) {
        const int count = std::min(kTile, in.queries - first);
        bool any = false;
        for (int j = 0; j < count; ++j) any |= !given_up(first + j);
        if (!any) continue;
        double thresholds[kTile];
        uint64_t masks[kTile];
        for (int j = 0; j < count; ++j) thresholds[j] = shared[first + j].load(std::memory_order_relaxed);
        family.filter(start, rows, first, count, thresholds, masks, *looks);
        for (int j = 0; j < count; ++j)
          for (uint64_t mask = masks[j] &= all; mask; mask &= mask - 1) family.prefetch(start + std::countr_zero(mask));
        for (int j = 0; j < count; ++j) {
          const int q = first + j;
          if (masks[j] == 0 || given_up(q)) continue;
          int64_t found = 0;
          for (uint64_t mask = family.refine(start, first, j, thresholds[j], masks[j], *looks); mask; mask &= mask - 1) {
            const int64_t row = start + std::countr_zero(mask);
            if (in.allowed && !in.allowed[row]) continue;
            if (in.excluded && in.excluded[q] == row) continue;
            const Interval bounds = family.bounds(q, row, thresholds[j]);
            if (bounds.high < thresholds[j]) continue;
            mine[q].survivors.push_back({row, bounds.high});
            ++found;
            if (bounds.low >= thresholds[j]) offer(mine[q], bounds.low, k, thresholds[j]);
          }
          raise(shared[q], thresholds[j]);
          if (found) kept[q].fetch_add(found, std::memory_order_relaxed);
        }
      }
    }
  });

  Candidates result;
  result.offsets.push_back(0);
  std::vector<double> best;
  std::vector<Survivor> survivors;
  for (int q = 0; q < in.queries; ++q) {
    result.complete.push_back(!given_up(q));
    if (given_up(q)) {
      result.offsets.push_back(static_cast<int64_t>(result.rows.size()));
      continue;
    }
    best.clear();
    survivors.clear();
    for (const auto& thread : tallies) best.insert(best.end(), thread[q].best.begin(), thread[q].best.end());
    double threshold = in.start;
    if (best.size() >= k) {
      std::nth_element(best.begin(), best.begin() + (k - 1), best.end(), std::greater<>{});
      threshold = std::max(threshold, best[k - 1]);
    }
    for (const auto& thread : tallies)
      for (const Survivor& s : thread[q].survivors)
        if (!(s.high < threshold)) survivors.push_back(s);
    std::sort(survivors.begin(), survivors.end(), [](const Survivor& a, const Survivor& b) { return a.row < b.row; });
    for (const Survivor& s : survivors) result.rows.push_back(s.row);
    result.offsets.push_back(static_cast<int64_t>(result.rows.size()));
  }
  return result;
}

}  // namespace kiyas
