"""How a recurrent layer is run over a batch: without its padding, by a compiled cell or by the plain one.

A step that a mask passes over changes nothing, so it is not computed at all: the valid steps of each row are drawn
together, rows are sorted by their number, and what comes out is put back where it belongs. Padding in front, behind or
between costs nothing then. The compiled cells do the same by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from kiyas.kernels.recurrent import Linear
from kiyas.recurrent.layers.base import Arrays, Context, Signal


class Cells(Protocol):
    """What runs the steps: a kernel, or `PlainCells`. State arrays are (batch, width), the output's first.

    ``lengths`` (batch,): outputs behind are zero, ``reverse`` begins at the row's end. ``mask`` (batch, time): a masked
    step changes no state; its output is the one before it in order of processing, zero before the first, or always zero
    with ``zero_masked``. A row without steps keeps its state.
    """

    def sequence(self, x: np.ndarray, state: Any = None, *, lengths: Any = None, mask: Any = None,
                 zero_masked: bool = False, reverse: bool = False, threads: int = 1) -> tuple[np.ndarray, Arrays]:
        """From x (batch, time, inputs) to y (batch, time, width) in order of time, and the state at the rows' ends."""

    def last(self, x: np.ndarray, state: Any = None, *, lengths: Any = None, mask: Any = None, reverse: bool = False,
             threads: int = 1) -> tuple[np.ndarray, Arrays]:
        """As `sequence`, with y (batch, width) of the last step; zeros for a row without steps."""

    def step(self, x: np.ndarray, state: Any = None) -> tuple[np.ndarray, Arrays]:
        """From x (batch, inputs) to y (batch, width) and the new state."""


class PlainCells:
    """The equations of `kiyas.recurrent.cell` over sequences, for options that the compiled cells lack.

    ``input_product``: W·x + b; ``widths`` of the state arrays; ``advance(zx, state)``: one step from that product
    (rows, gates·n) and the state.
    """

    def __init__(self, input_product: Linear, widths: tuple[int, ...],
                 advance: Callable[[np.ndarray, Arrays], Arrays]) -> None:
        self._input, self._widths, self._advance = input_product, widths, advance

    def step(self, x: np.ndarray, state: Arrays | None = None) -> tuple[np.ndarray, Arrays]:
        """One step for every row."""
        new = self._advance(self._input(x), self._begin(state, x.shape[0]))
        return new[0], new

    def sequence(self, x: np.ndarray, state: Arrays | None = None, *, lengths: np.ndarray | None = None,
                 mask: np.ndarray | None = None, zero_masked: bool = False, reverse: bool = False,
                 threads: int = 1) -> tuple[np.ndarray, Arrays]:
        """All steps of every row; see `Cells`."""
        if mask is not None:
            x, lengths = _packed(x, mask)
        y = np.zeros((x.shape[0], x.shape[1], self._widths[0]), np.float32)
        new = self._run(x, state, lengths, reverse, threads, y)
        return (y if mask is None else _spread(y, mask, reverse, zero_masked)), new

    def last(self, x: np.ndarray, state: Arrays | None = None, *, lengths: np.ndarray | None = None,
             mask: np.ndarray | None = None, reverse: bool = False, threads: int = 1) -> tuple[np.ndarray, Arrays]:
        """The output of each row's last step; see `Cells`."""
        if mask is not None:
            x, lengths = _packed(x, mask)
        new = self._run(x, state, lengths, reverse, threads, None)
        return (new[0] if lengths is None else np.where((lengths > 0)[:, None], new[0], np.float32(0))), new

    def _run(self, x: np.ndarray, state: Arrays | None, lengths: np.ndarray | None, reverse: bool, threads: int,
             y: np.ndarray | None) -> Arrays:
        """Step by step over the rows that have not ended yet, longest first."""
        batch, time = x.shape[:2]
        ends = np.full(batch, time) if lengths is None else lengths
        order = np.argsort(-ends, kind="stable")
        state = tuple(s[order] for s in self._begin(state, batch))
        if time:
            zx = self._input(x.reshape(batch * time, -1), threads=threads).reshape(batch, time, -1)
        for s in range(int(ends.max(initial=0))):
            active = int(np.searchsorted(-ends[order], -s, side="left"))
            rows = order[:active]
            t = ends[rows] - 1 - s if reverse else s
            new = self._advance(zx[rows, t], tuple(a[:active] for a in state))
            for a, b in zip(state, new, strict=True):
                a[:active] = b
            if y is not None:
                y[rows, t] = new[0]
        back = np.empty_like(order)
        back[order] = np.arange(batch)
        return tuple(a[back] for a in state)

    def _begin(self, state: Arrays | None, batch: int) -> Arrays:
        return tuple(np.zeros((batch, w), np.float32) for w in self._widths) if state is None else state


def run(cells: Cells, x: np.ndarray, signal: Signal, state: Arrays | None, context: Context, *, reverse: bool,
        every: bool, zero_masked: bool) -> tuple[np.ndarray, Arrays]:
    """Outputs of a sequence, in order of time, and the state after it.

    ``every``: outputs of all steps (batch, time, width), else that of the last one in order of processing (batch,
    width). What `Cells` do, and what a layer does further: a resumed sequence that begins with masked steps shows the
    last output of what came before; with ``zero_masked`` the last output is zero where the last step is masked, as in
    Keras; and a length of 0 gives a state of zeros, as ONNX Runtime does.
    """
    lengths = signal.lengths
    mask: np.ndarray | None = None if signal.mask is None or signal.mask.all() else signal.mask
    if x.shape[1] == 1 and mask is None and lengths is None:
        h, new = cells.step(x[:, 0], state)
        return (h[:, None].copy() if every else h.copy()), new
    if not every:
        y, new = cells.last(x, state, lengths=lengths, mask=mask, reverse=reverse, threads=context.threads)
        y = y.copy() if y is new[0] else y
    else:
        y, new = cells.sequence(x, state, lengths=lengths, mask=mask, zero_masked=zero_masked, reverse=reverse,
                                threads=context.threads)
    if lengths is not None and not lengths.all():
        new = tuple(np.where((lengths > 0)[:, None], s, np.float32(0)) for s in new)
    if mask is not None and zero_masked:
        if not every:
            y = np.where(mask[:, [0 if reverse else -1]], y, np.float32(0))
    elif mask is not None and context.resumed and state is not None:
        before = state[0]
        if every:
            rows, times = np.nonzero(np.cumsum(mask, axis=1) == 0)
            y[rows, times] = before[rows]
        else:
            y = np.where(mask.sum(axis=1)[:, None] > 0, y, before)
    return y, new


def _packed(x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The valid steps of each row drawn together at its front, and their numbers."""
    lengths = mask.sum(axis=1)
    places = np.argsort(~mask, axis=1, kind="stable")[:, :lengths.max()]
    return np.take_along_axis(x, places[:, :, None], axis=1), lengths


def _spread(y: np.ndarray, mask: np.ndarray, reverse: bool, zero_masked: bool) -> np.ndarray:
    """Outputs of the valid steps put back where they belong, and what stands between them."""
    taken = np.cumsum(mask, axis=1)
    # The packed step that each step shows: the last one taken, going forward; the next one, going backward.
    step = taken - mask if reverse else taken - 1
    shows: np.ndarray = mask if zero_masked else np.logical_and(step < taken[:, -1:], step >= 0)
    out = np.zeros((*mask.shape, y.shape[2]), np.float32)
    rows, times = np.nonzero(shows)
    out[rows, times] = y[rows, step[rows, times]]
    return out
