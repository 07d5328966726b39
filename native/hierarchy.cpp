#include "hierarchy.h"

#include <cmath>
#include <vector>

namespace kiyas {
namespace {

double dot(const double* x, const double* y, int64_t dims) {
  double sum = 0;
  for (int64_t i = 0; i < dims; ++i) sum += x[i] * y[i];
  return sum;
}

double distance2(const double* x, const double* y, int64_t dims) {
  double sum = 0;
  for (int64_t i = 0; i < dims; ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}

// 1 − ‖x‖², each factor apart so that it keeps its digits near the rim.
double gap(const double* x, int64_t dims) {
  const double norm = std::sqrt(dot(x, x, dims));
  return (1 - norm) * (1 + norm);
}

class Pass {
 public:
  Pass(Space space, double* points, int64_t dims, int64_t each, double rate, double radius)
      : space_(space), points_(points), dims_(dims), rate_(rate), radius_(radius), other_(each + 1), gap_(each + 1),
        square_(each + 1), slope_(each + 1), share_(each + 1), step_((each + 1) * dims), own_(dims) {}

  double pair(int64_t below, int64_t above, const int64_t* negatives, int64_t each) {
    int64_t count = 0;
    other_[count++] = above;
    for (int64_t j = 0; j < each; ++j)
      if (negatives[j] >= 0) other_[count++] = negatives[j];
    double* u = points_ + below * dims_;
    const double loss = space_ == Space::poincare ? hyperbolic(u, count) : euclidean(u, count);
    move(u, own_.data());
    for (int64_t j = 0; j < count; ++j) move(points_ + other_[j] * dims_, step_.data() + j * dims_);
    return loss;
  }

 private:
  double hyperbolic(const double* u, int64_t count) {
    const double alpha = gap(u, dims_);
    double total = 0;
    for (int64_t j = 0; j < count; ++j) {
      const double* v = points_ + other_[j] * dims_;
      square_[j] = distance2(u, v, dims_);
      gap_[j] = gap(v, dims_);
      // d = 2·asinh(√t), so that e^−d = 1/(√t + √(1 + t))² needs no exponential.
      const double t = square_[j] / (alpha * gap_[j]), root = std::sqrt(t), other = std::sqrt(1 + t);
      const double inverse = root + other;
      slope_[j] = root * other;
      share_[j] = 1 / (inverse * inverse);
      total += share_[j];
    }
    own_.assign(own_.size(), 0.0);
    double along = 0;
    for (int64_t j = 0; j < count; ++j) {
      const double* v = points_ + other_[j] * dims_;
      double* step = step_.data() + j * dims_;
      const double pull = (j == 0 ? 1.0 : 0.0) - share_[j] / total;  // ∂loss/∂d
      // Two points in one place have no direction to move in.
      const double w = slope_[j] > 0 ? pull / (2 * slope_[j]) : 0.0;
      const double of_u = w / gap_[j], of_v = w / alpha;
      along += of_u * (alpha + square_[j]);
      for (int64_t i = 0; i < dims_; ++i) {
        own_[i] -= alpha * of_u * v[i];
        step[i] = of_v * ((gap_[j] + square_[j]) * v[i] - gap_[j] * u[i]);
      }
    }
    for (int64_t i = 0; i < dims_; ++i) own_[i] += along * u[i];
    return std::log(total / share_[0]);
  }

  double euclidean(const double* u, int64_t count) {
    double nearest = HUGE_VAL, total = 0;
    for (int64_t j = 0; j < count; ++j) {
      square_[j] = distance2(u, points_ + other_[j] * dims_, dims_);
      if (square_[j] < nearest) nearest = square_[j];
    }
    for (int64_t j = 0; j < count; ++j) total += share_[j] = std::exp(nearest - square_[j]);
    own_.assign(own_.size(), 0.0);
    for (int64_t j = 0; j < count; ++j) {
      const double* v = points_ + other_[j] * dims_;
      double* step = step_.data() + j * dims_;
      const double pull = (j == 0 ? 1.0 : 0.0) - share_[j] / total;
      for (int64_t i = 0; i < dims_; ++i) {
        step[i] = 2 * pull * (v[i] - u[i]);
        own_[i] -= step[i];
      }
    }
    return std::log(total) + square_[0] - nearest;
  }

  void move(double* x, const double* step) {
    for (int64_t i = 0; i < dims_; ++i) x[i] -= rate_ * step[i];
    if (space_ != Space::poincare) return;
    const double norm = std::sqrt(dot(x, x, dims_));
    if (norm > radius_)
      for (int64_t i = 0; i < dims_; ++i) x[i] *= radius_ / norm;
  }

  const Space space_;
  double* points_;
  const int64_t dims_;
  const double rate_, radius_;
  std::vector<int64_t> other_;
  std::vector<double> gap_, square_, slope_, share_, step_, own_;
};

}  // namespace

double hierarchy_pass(Space space, double* points, int64_t dims, const int64_t* below, const int64_t* above,
                      int64_t pairs, const int64_t* negatives, int64_t each, double rate, double radius) {
  Pass pass(space, points, dims, each, rate, radius);
  double loss = 0;
  for (int64_t i = 0; i < pairs; ++i) loss += pass.pair(below[i], above[i], negatives + i * each, each);
  return loss;
}

}  // namespace kiyas
