// A step of one row and, beside it, a part of the input product of later steps.
//
// The step waits for the bytes of its weights while arithmetic idles; the product, whose rows share each weight, is
// arithmetic and few bytes. One after the other, a sequence pays for both. So a step carries a part of the product for the
// next block of steps: a block has kAheadRows of them, and as many parts complete it. This takes the 32 registers of
// AVX-512; with the sixteen of AVX2 nothing was gained.
#pragma once
#include "recurrent_sums.h"

#if KIYAS_LEVEL >= 2

namespace kiyas {
namespace {

constexpr int kAheadRows = 8;

// acc += the recurrent part of P panels.
template <class Recurrent, class Input, int P>
KIYAS_INLINE void add_and_go_ahead(Sums<P, 1, 4>& acc, const Cell& cell, int64_t panel, const void* const* h,
                                   const Ahead& ahead) {
  // A part takes one stream of the 4·P vectors in P panels. Where there are fewer streams than parts, each part takes a
  // slice of the inputs.
  constexpr int V = Input::stream;
  // As many slices as make kAheadRows parts, and as many groups of the recurrence for one of the product: both are as
  // many operations then.
  constexpr int kSlices = kAheadRows * V / (4 * P), kTurns = kSlices, kRows = kAheadRows / kTurns;
  const int slice = ahead.part % kSlices, vector = ahead.part / kSlices * V;
  const int64_t groups = Input::groups(cell.input.inputs), end = groups * (slice + 1) / kSlices;
  const int64_t at = (panel * 4 + vector) * kLanes, stride = cell.recurrent.panel_bytes;
  const char* w = weights_of(cell.recurrent, panel);
  const char* later = weights_of(cell.input, panel) + vector * (cell.input.panel_bytes / 4);

  typename Recurrent::Sum sum[P][1][4];
  unrolled<4 * P>([&](auto i) KIYAS_INLINE_LAMBDA { sum[i / 4][0][i % 4] = Recurrent::opened(acc[i / 4][0][i % 4]); });
  typename Input::Sum along[kTurns][kRows][V];
  unrolled<kAheadRows * V>([&](auto i) KIYAS_INLINE_LAMBDA {
    constexpr int r = i / V, v = i % V;
    along[r / kRows][r % kRows][v] = slice ? Input::kept(ahead.z[r] + at + v * kLanes)
                                           : Input::opened(load(cell.bias + at + v * kLanes));
  });
  int64_t k = groups * slice / kSlices, kh = 0;
  for (const int64_t all = Recurrent::groups(cell.recurrent.inputs); kh + kTurns <= all && k < end; kh += kTurns, ++k)
    unrolled<kTurns>([&](auto t) KIYAS_INLINE_LAMBDA {
      unrolled<P>([&](auto p) KIYAS_INLINE_LAMBDA {
        Recurrent::template group<1, 4, 2>(sum[p], w + p * stride + (kh + t) * kGroup<2>, stride / 2, h, kh + t);
      });
      Input::template group<kRows, V, V>(along[t], later + k * kGroup<V>, 0, ahead.x + t * kRows, k);
    });
  for (; k < end; ++k)
    unrolled<kTurns>([&](auto t) KIYAS_INLINE_LAMBDA {
      Input::template group<kRows, V, V>(along[t], later + k * kGroup<V>, 0, ahead.x + t * kRows, k);
    });
  unrolled<kAheadRows * V>([&](auto i) KIYAS_INLINE_LAMBDA {
    constexpr int r = i / V, v = i % V;
    const int64_t place = at + v * kLanes;
    const auto value = along[r / kRows][r % kRows][v];
    if (slice < kSlices - 1) Input::keep(ahead.z[r] + place, value);
    else store(ahead.z[r] + place, Input::closed(value, cell.input, place, ahead.x[r], load(cell.bias + place)));
  });
  unrolled<P>([&](auto p) KIYAS_INLINE_LAMBDA {
    finish<Recurrent, 1, 4, 2>(acc[p], sum[p], cell.recurrent, panel + p, h, kh);
  });
}

}  // namespace
}  // namespace kiyas

#endif
