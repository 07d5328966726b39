// A step of one row and, beside it, a part of the input product of later steps.
//
// The step waits for the bytes of its weights while arithmetic idles; the product, whose rows share each weight, is
// arithmetic and few bytes. One after the other, a sequence pays for both. So a step carries a part of the product for the
// next block of steps: as many parts as a block has rows complete it. This takes the 32 registers of AVX-512; with the
// sixteen of AVX2 nothing was gained.
#pragma once
#include "recurrent_sums.h"

#if KIYAS_LEVEL >= 2

namespace kiyas {
namespace {

// Rows of a block. Sixteen read half as many bytes of x's weights as eight, which pays where all weights outgrow the second
// cache; their first block is twice as long, and so must the sequence be. Only codes side by side leave the registers.
constexpr int kFewAhead = 8, kManyAhead = 16;
constexpr int64_t kTimeForMany = 64, kBytesForMany = 1'500'000;

// Group k of the product for R rows of the block, from row `first` on.
template <class Input, int R, int V>
KIYAS_INLINE void later_group(typename Input::Sum (&sum)[R][V], const char* w, const Ahead& ahead, int first, int64_t k) {
#if KIYAS_LEVEL >= 3
  if constexpr (V == 1) return Input::beside(sum, w, ahead.codes, k);
#endif
  Input::template group<R, V, V>(sum, w, 0, ahead.x + first, k);
}

// acc += the recurrent part of P panels.
template <class Recurrent, class Input, int P, int Rows>
KIYAS_INLINE void add_and_go_ahead(Sums<P, 1, 4>& acc, const Cell& cell, int64_t panel, const void* const* h,
                                   const Ahead& ahead) {
  // A part takes one stream of the 4·P vectors in P panels. Where there are fewer streams than parts, each part takes a
  // slice of the inputs.
  constexpr int V = Input::stream;
  // As many slices as make Rows parts, and as many groups of the recurrence for one of the product: both are as many
  // operations then. Rows are dealt out among these groups, but for those whose codes stand side by side.
  constexpr int kSlices = Rows * V / (4 * P), kTurns = V == 1 ? 1 : kSlices, kRows = Rows / kTurns;
  const int slice = ahead.part % kSlices, vector = ahead.part / kSlices * V;
  const int64_t groups = Input::groups(cell.input.inputs), end = groups * (slice + 1) / kSlices;
  const int64_t at = (panel * 4 + vector) * kLanes, stride = cell.recurrent.panel_bytes;
  const char* w = weights_of(cell.recurrent, panel);
  const char* later = weights_of(cell.input, panel) + vector * (cell.input.panel_bytes / 4);

  typename Recurrent::Sum sum[P][1][4];
  unrolled<4 * P>([&](auto i) KIYAS_INLINE_LAMBDA { sum[i / 4][0][i % 4] = Recurrent::opened(acc[i / 4][0][i % 4]); });
  typename Input::Sum along[kTurns][kRows][V];
  unrolled<Rows * V>([&](auto i) KIYAS_INLINE_LAMBDA {
    constexpr int r = i / V, v = i % V;
    along[r / kRows][r % kRows][v] = slice ? Input::kept(ahead.z[r] + at + v * kLanes)
                                           : Input::opened(load(cell.bias + at + v * kLanes));
  });
  int64_t k = groups * slice / kSlices, kh = 0;
  for (const int64_t all = Recurrent::groups(cell.recurrent.inputs); kh + kSlices <= all && k < end; kh += kSlices, ++k)
    unrolled<kSlices>([&](auto t) KIYAS_INLINE_LAMBDA {
      unrolled<P>([&](auto p) KIYAS_INLINE_LAMBDA {
        Recurrent::template group<1, 4, 2>(sum[p], w + p * stride + (kh + t) * kGroup<2>, stride / 2, h, kh + t);
      });
      if constexpr (t < kTurns) later_group<Input, kRows, V>(along[t], later + k * kGroup<V>, ahead, t * kRows, k);
    });
  for (; k < end; ++k)
    unrolled<kTurns>([&](auto t) KIYAS_INLINE_LAMBDA {
      later_group<Input, kRows, V>(along[t], later + k * kGroup<V>, ahead, t * kRows, k);
    });
  if (slice < kSlices - 1) {
    unrolled<Rows * V>([&](auto i) KIYAS_INLINE_LAMBDA {
      constexpr int r = i / V, v = i % V;
      Input::keep(ahead.z[r] + at + v * kLanes, along[r / kRows][r % kRows][v]);
    });
  } else {
    // All are closed before any is stored: for what a store may have changed, everything would be read anew.
    F value[Rows][V];
    unrolled<Rows * V>([&](auto i) KIYAS_INLINE_LAMBDA {
      constexpr int r = i / V, v = i % V;
      const int64_t place = at + v * kLanes;
      value[r][v] = Input::closed(along[r / kRows][r % kRows][v], cell.input, place, ahead.x[r], load(cell.bias + place));
    });
    float* z[Rows];
    for (int r = 0; r < Rows; ++r) z[r] = ahead.z[r] + at;
    unrolled<Rows * V>([&](auto i) KIYAS_INLINE_LAMBDA { store(z[i / V] + i % V * kLanes, value[i / V][i % V]); });
  }
  unrolled<P>([&](auto p) KIYAS_INLINE_LAMBDA {
    finish<Recurrent, 1, 4, 2>(acc[p], sum[p], cell.recurrent, panel + p, h, kh);
  });
}

}  // namespace
}  // namespace kiyas

#endif
