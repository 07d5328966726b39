// Per-dimension scores of a pair and their pooling (docs/design.md), summed to the correctly rounded double.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "level.h"

namespace kiyas {

// The score of a dimension by its difference δ: -δ, 1-δ, max(0, 1-δ), e^-δ.
enum class Profile : int { negative = 0, complement = 1, clipped = 2, exponential = 3 };

struct Pooling {
  const int64_t* pick;      // the live dimensions
  const double* width;      // what their differences are divided by, or null
  const double* weight;     // their weights, or null for 1
  int64_t dims;             // how many
  int64_t dropped;          // trimmed dimensions; with weights, their share of the mass
  // Scores under them are counted, in `below` and, of critical dimensions, in `low`; NaN for none. For the
  // exponential profile they are the largest differences δ whose scores are not under them: what counts
  // must not hang on the last bit of e^-δ.
  double threshold;
  const uint8_t* critical;  // marks the dimensions of the tiers, or null
  double tier;
};

struct Pooled {
  double total;  // Σ kept wᵢ·sᵢ
  int64_t below, low;
};

// Room to work in, one a thread.
struct Scratch {
  std::vector<double> score, term;
  std::vector<int64_t> order;
};

// Pools scratch.score, whose order it may change.
Pooled pool(const Level& level, Scratch& scratch, const Pooling& pooling);

// Scores of the pair (q, x), both of `dims` dimensions, pooled.
Pooled pool_pair(const Level& level, Scratch& scratch, Profile profile, const Pooling& pooling, const double* q,
                 const double* x, int64_t dims);

// From pooled values to the score of the measure.
struct Finish {
  bool reciprocal;          // 1/(1 + loss) (manhattan), else total/kept
  double best;              // score of a dimension without difference
  double kept;              // weight mass that counts
  int64_t threshold_count;  // dimensions below the threshold that make a pair not alike; 0 for no threshold
  bool tiers;

  double by_loss(double loss) const { return reciprocal ? 1 / (1 + (loss > 0 ? loss : 0)) : best - loss / kept; }
  double by_total(const Pooled& pooled) const;
  // The largest loss whose score reaches the threshold; infinite where every loss may.
  double most_loss(double threshold) const;
  // Room for all roundings between a loss of that size and its score: scores that round to the same double tie.
  double slack(double loss) const {
    return 1e-12 * ((reciprocal ? 1 : kept * (1 + std::fabs(best))) + std::fabs(loss));
  }
};

inline double tier_of(int64_t low) { return low == 0 ? 2.0 : low <= 2 ? 1.0 : 0.0; }

}  // namespace kiyas
