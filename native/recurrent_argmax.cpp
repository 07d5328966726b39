#include "recurrent_argmax.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "recurrent_room.h"

namespace kiyas {
namespace {

// Outputs nearer than this are left to the caller: after a softmax, whose exponential is within 4 units in the last
// place, they might be one number.
constexpr float kApart = 1e-6f;
// Bounds are computed in double and rounded to float: this covers that, and the few operations on them.
constexpr double kRoundedUp = 1 + 1e-5;
constexpr double kUnit = 0x1p-24;

}  // namespace

// With ŵ and x̂ what codes stand for, e = w - ŵ and d = x - x̂:
//   |w·x - ŵ·x̂| <= ‖e‖‖x‖ + ‖ŵ‖‖d‖.
// Both products are rounded: a sum of n products, each multiplication and addition rounded, is off by at most
// 2n·2⁻²⁴·(|b| + ‖w‖‖x‖) and what is flushed to zero; the sum of codes is exact, and a few roundings follow it.
Argmax::Argmax(const Dense& dense, const float* weights, const float* bias) : dense_(dense), level_(dense.level()) {
  const int64_t n = dense.inputs(), outputs = dense.outputs();
  const auto rows = plain_rows(outputs, level_.lanes);
  codes_ = pack(level_, weights, n, rows, 4, Precision::int8);
  const auto width = static_cast<int64_t>(rows.size());
  for (Aligned* each : {&bias_, &near_, &far_}) *each = Aligned(width * static_cast<int64_t>(sizeof(float)));
  std::fill(bias_.as<float>() + outputs, bias_.as<float>() + width, -std::numeric_limits<float>::infinity());
  const double roundings = (2.0 * static_cast<double>(n) + 32) * kUnit;
  for (int64_t o = 0; o < outputs; ++o) {
    const float* row = weights + o * n;
    const double step = code_step(row, n), scale = codes_.product.scale[o];
    double lost = 0, coded = 0;
    for (int64_t k = 0; k < n; ++k) {
      const double value = scale * code_of(row[k], step), gap = row[k] - value;
      coded += value * value, lost += gap * gap;
    }
    const double size = std::sqrt(coded), gap = std::sqrt(lost);
    near_.as<float>()[o] = static_cast<float>((gap + roundings * (2 * size + gap) + 1e-30) * kRoundedUp);
    far_.as<float>()[o] = static_cast<float>(size * (1 + roundings) * kRoundedUp);
    bias_.as<float>()[o] = bias ? bias[o] : 0.0f;
    row_ = std::max(row_, size + gap);
    most_ = std::max(most_, std::fabs(static_cast<double>(bias_.as<float>()[o])));
  }
  // What is flushed to zero is below 2⁻¹²⁶, of each of n products of codes up to 127². What is left out has to be apart
  // from the largest, too: it counts for both.
  always_ = static_cast<float>((roundings * most_ + 1e-28 + kApart) * kRoundedUp);
}

int64_t Argmax::of(const float* x) const {
  const Product& p = codes_.product;
  if (!level_.all_finite(x, p.inputs)) return -1;
  const Flush flush;
  const int64_t width = p.vectors * level_.lanes, outputs = dense_.outputs(), bytes = prepared_bytes(p);
  Arena arena(bytes + p.panels * (width * 4 + 8) + 3 * kLine);
  uint8_t* prepared = arena.take<uint8_t>(bytes);
  float* z = arena.take<float>(p.panels * width);
  int64_t* panels = arena.take<int64_t>(p.panels);
  level_.prepare(p, x, prepared);
  const void* in = prepared;
  level_.product(p, 0, p.panels, bias_.as<float>(), &in, 1, &z);

  double squares = 0, top = 0;
  for (int64_t k = 0; k < p.inputs; ++k) {
    const double v = x[k];
    squares += v * v, top = std::max(top, std::fabs(v));
  }
  // No sum on the way is larger than this; far from where floats end, it is as bounded above.
  if (!(most_ + row_ * std::sqrt(squares) < 1e38)) return -1;
  // A code is the nearest to its number but for the rounding of the scale; numbers up to 1e-30 are given none, and what is
  // flushed to zero is less.
  const double lost = std::sqrt(static_cast<double>(p.inputs)) * (top / 127 * 0.5001 + 2e-30);
  const auto size = static_cast<float>(std::sqrt(squares) * kRoundedUp), gap = static_cast<float>(lost * kRoundedUp);
  const int64_t left =
      level_.reaching(z, near_.as<float>(), far_.as<float>(), size, gap, always_, p.panels, panels);

  int64_t best = -1;
  float first = -std::numeric_limits<float>::infinity(), second = first;
  for (int64_t i = 0; i < left; ++i) {
    const int64_t from = panels[i] * width, to = std::min(from + width, outputs);
    dense_.panel(panels[i], x, z + from);
    for (int64_t o = from; o < to; ++o) {
      if (!(z[o] <= FLT_MAX)) return -1;
      if (z[o] > first) second = first, first = z[o], best = o;
      else second = std::max(second, z[o]);
    }
  }
  return first - second >= kApart ? best : -1;  // not where both are -infinity: NaN
}

}  // namespace kiyas
