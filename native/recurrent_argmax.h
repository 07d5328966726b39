// Where a dense product is largest, without reading all its weights.
//
// A first look by 8-bit weights gives every output with a bound on its error. Panels that cannot hold the largest by these
// bounds are left out, and the few others are computed as Dense::run does: the same argmax, at a quarter of the bytes.
#pragma once
#include "recurrent.h"

namespace kiyas {

class Argmax {
 public:
  // `dense` is of these weights, in float32, and this bias (or null), all finite; sums of its 8-bit products fit 32 bits.
  Argmax(const Dense& dense, const float* weights, const float* bias);

  // The output of W·x + b that is largest, or -1 where that is not certain: sums may overflow, or another output is so near
  // that a softmax may make the two equal.
  int64_t of(const float* x) const;
  int64_t inputs() const { return codes_.product.inputs; }
  int64_t bytes() const { return codes_.weights.bytes() + 3 * bias_.bytes(); }

 private:
  const Dense& dense_;
  const RecurrentLevel& level_;
  Packed codes_;
  Aligned bias_;        // -infinity past the last output
  Aligned near_, far_;  // of each output: error for each unit of ‖x‖, and of what x loses by its own codes
  float always_ = 0;    // error of every output
  double row_ = 0, most_ = 0;  // largest norm of a row of weights, largest bias
};

}  // namespace kiyas
