// Activations on vectors of the level being compiled. The same code serves whole vectors and tails.
#pragma once
#include <cmath>

#include "float_vectors.h"
#include "recurrent.h"

namespace kiyas {
namespace {

// eˣ - 1 on the reduced range and the power of two: x = n·ln 2 + r, |r| <= ln 2 / 2. Coefficients fitted for the least
// relative error of eʳ (3e-9).
struct Reduced {
  F minus_one, n;
};

KIYAS_INLINE Reduced reduce(F x) {
  x = most(every(-104.0f), least(every(89.0f), x));  // keeps NaN
  const F n = nearest(x * every(1.44269504f));
  F r = fused(n, every(-0.693359375f), x);
  r = fused(n, every(2.12194440e-4f), r);
  F q = every(1.38146104e-3f);
  q = fused(q, r, every(8.36871114e-3f));
  q = fused(q, r, every(4.16683875e-2f));
  q = fused(q, r, every(1.66665207e-1f));
  q = fused(q, r, every(4.99999935e-1f));
  return {fused(r * r, q, r), n};
}

KIYAS_INLINE F exponential(F x) {
  const Reduced e = reduce(x);
  return times_power(e.minus_one + every(1.0f), e.n);
}

KIYAS_INLINE F exponential_minus_one(F x) {  // for x <= 0
  const Reduced e = reduce(x);
  const F s = times_power(every(1.0f), e.n);
  return fused(s, e.minus_one, s - every(1.0f));
}

// A quotient whose division is still to be made: one division serves a product of several.
struct Ratio {
  F over, under;
};

// The sigmoid is one over this.
KIYAS_INLINE F sigmoid_under(F x) { return every(1.0f) + exponential(every(0.0f) - x); }
KIYAS_INLINE F sigmoid(F x) { return every(1.0f) / sigmoid_under(x); }

// x·P(x²)/Q(x²), fitted on [0, 9.02] for the least relative error (2.1e-8); beyond, tanh rounds to 1.
KIYAS_INLINE Ratio hyperbolic_tangent_ratio(F x) {
  x = most(every(-9.02f), least(every(9.02f), x));
  const F y = x * x;
  F p = every(1.33189722e-8f);
  p = fused(p, y, every(2.05834071e-5f));
  p = fused(p, y, every(3.49403002e-3f));
  p = fused(p, y, every(1.33797141e-1f));
  p = fused(p, y, every(1.0f));
  F q = every(7.76197789e-7f);
  q = fused(q, y, every(3.28308543e-4f));
  q = fused(q, y, every(2.58710560e-2f));
  q = fused(q, y, every(4.67130294e-1f));
  q = fused(q, y, every(1.0f));
  return {x * p, q};
}
KIYAS_INLINE F within_one(F x) { return most(every(-1.0f), least(every(1.0f), x)); }
KIYAS_INLINE F hyperbolic_tangent(F x) {
  const Ratio t = hyperbolic_tangent_ratio(x);
  return within_one(t.over / t.under);
}

// Rarely met: by the C library in double, lane by lane.
template <class Function>
inline F by_lane(F x, const Function& of) {
  float lane[kLanes];
  store(lane, x);
  for (float& v : lane) v = static_cast<float>(of(static_cast<double>(v)));
  return load(lane);
}

inline double softplus(double x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))); }

inline F rare(Activation kind, F x) {
  switch (kind) {
    case Activation::softplus: return by_lane(x, softplus);
    case Activation::gelu: return by_lane(x, [](double v) { return 0.5 * v * std::erfc(-v * 0.70710678118654752440); });
    case Activation::gelu_tanh:
      return by_lane(x, [](double v) {
        return 0.5 * v * (1 + std::tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)));
      });
    default: return by_lane(x, [](double v) { return v * std::tanh(softplus(v)); });  // mish
  }
}

KIYAS_INLINE F apply(Act act, F x) {
  const F zero = every(0.0f), one = every(1.0f);
  switch (act.kind) {
    case Activation::linear: return x;
    case Activation::sigmoid: return sigmoid(x);
    case Activation::tanh: return hyperbolic_tangent(x);
    case Activation::relu: return most(zero, x);
    case Activation::hard_sigmoid: return least(one, most(zero, fused(every(act.alpha), x, every(act.beta))));
    case Activation::softsign: return x / (one + absolute(x));
    case Activation::elu: return pick(below(zero, x), x, every(act.alpha) * exponential_minus_one(least(zero, x)));
    case Activation::selu:
      return every(1.05070099f) * pick(below(zero, x), x, every(1.67326324f) * exponential_minus_one(least(zero, x)));
    case Activation::exponential: return exponential(x);
    case Activation::swish: return x * sigmoid(x);
    case Activation::relu6: return least(every(6.0f), most(zero, x));
    case Activation::leaky_relu: return pick(below(x, zero), every(act.alpha) * x, x);
    default: return rare(act.kind, x);
  }
}

}  // namespace
}  // namespace kiyas
