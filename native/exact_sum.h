// Sums rounded once: the correctly rounded double of the exact sum of doubles.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace kiyas {

// a + b = s + e exactly (Knuth).
inline void two_sum(double a, double b, double& s, double& e) {
  s = a + b;
  const double bb = s - a;
  e = (a - (s - bb)) + (b - bb);
}

// Correctly rounded sum of the terms (Shewchuk's partials, ties as in CPython's math.fsum).
double exact_sum(const double* terms, int64_t count);

// Rounds hi + lo if an error of at most `error` in lo cannot change the outcome. A true answer means
// that `result` is the correctly rounded value of the exact sum.
inline bool rounds_alike(double hi, double lo, double error, double& result) {
  double rest;
  two_sum(hi, lo, result, rest);
  return result + (rest + error) == result && result + (rest - error) == result;
}

}  // namespace kiyas
