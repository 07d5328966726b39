// Embedding a hierarchy: one pass of stochastic gradient descent over its pairs (Nickel & Kiela 2017).
#pragma once
#include <cstdint>

namespace kiyas {

enum class Space : int { poincare = 0, euclidean = 1 };

// For each pair (below, above) with its negatives (−1 for none), the loss −log softmax(−d)[above] over above and the
// negatives, d the hyperbolic or the squared Euclidean distance from below, and one step against its gradient. In the
// ball the step is Riemannian, and a point that it takes beyond `radius` is put back onto it. Pairs go one after the
// other, so the result depends on nothing but the arguments. Returns the sum of the losses.
double hierarchy_pass(Space space, double* points, int64_t dims, const int64_t* below, const int64_t* above,
                      int64_t pairs, const int64_t* negatives, int64_t each, double rate, double radius);

}  // namespace kiyas
