"""How a recurrent layer is run over a batch: without its padding, by a compiled cell or by the plain one.

A step that a mask passes over changes nothing, so it is not computed at all: the valid steps of each row are drawn
together, rows are sorted by their number, and what comes out is put back where it belongs. Padding in front, behind or
between costs nothing then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from kiyas.kernels.recurrent import Linear
from kiyas.recurrent.layers.base import Arrays, Context, Signal


class Cells(Protocol):
    """What runs the steps: a kernel, or `PlainCells`. State arrays are (batch, width), the output's first."""

    def sequence(self, x: np.ndarray, state: Any = None, *, lengths: Any = None, reverse: bool = False,
                 threads: int = 1) -> tuple[np.ndarray, Arrays]:
        """X (batch, time, inputs) -> y (batch, time, width) in order of time, and the state at the rows' ends."""

    def last(self, x: np.ndarray, state: Any = None, *, lengths: Any = None, reverse: bool = False,
             threads: int = 1) -> tuple[np.ndarray, Arrays]:
        """As `sequence`, with y (batch, width) of the last step; zeros for a row without steps."""

    def step(self, x: np.ndarray, state: Any = None) -> tuple[np.ndarray, Arrays]:
        """X (batch, inputs) -> y (batch, width) and the new state."""


class PlainCells:
    """The equations of `kiyas.recurrent.cell` over sequences, for options that the compiled cells lack.

    ``input``: the product W·x + b; ``advance(zx, state)``: one step from that product (rows, gates·n) and the state.
    """

    def __init__(self, input_product: Linear, widths: tuple[int, ...],
                 advance: Callable[[np.ndarray, Arrays], Arrays]) -> None:
        self._input, self._widths, self._advance = input_product, widths, advance

    def step(self, x: np.ndarray, state: Arrays | None = None) -> tuple[np.ndarray, Arrays]:
        """One step for every row."""
        new = self._advance(self._input(x), self._begin(state, x.shape[0]))
        return new[0], new

    def sequence(self, x: np.ndarray, state: Arrays | None = None, *, lengths: np.ndarray | None = None,
                 reverse: bool = False, threads: int = 1) -> tuple[np.ndarray, Arrays]:
        """All steps of every row; rows that have ended leave the batch."""
        y = np.zeros((x.shape[0], x.shape[1], self._widths[0]), np.float32)
        return y, self._run(x, state, lengths, reverse, threads, y)

    def last(self, x: np.ndarray, state: Arrays | None = None, *, lengths: np.ndarray | None = None,
             reverse: bool = False, threads: int = 1) -> tuple[np.ndarray, Arrays]:
        """The output of each row's last step."""
        new = self._run(x, state, lengths, reverse, threads, None)
        return (new[0] if lengths is None else np.where((lengths > 0)[:, None], new[0], np.float32(0))), new

    def _run(self, x: np.ndarray, state: Arrays | None, lengths: np.ndarray | None, reverse: bool, threads: int,
             y: np.ndarray | None) -> Arrays:
        batch, time = x.shape[:2]
        ends = np.full(batch, time) if lengths is None else lengths
        order = np.argsort(-ends, kind="stable")
        zx = self._input(x.reshape(batch * time, -1), threads=threads).reshape(batch, time, -1)
        state = tuple(s[order] for s in self._begin(state, batch))
        for s in range(int(ends.max(initial=0))):
            active = int(np.searchsorted(-ends[order], -s, side="left"))  # rows longer than s come first
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
    width). At masked steps the output is the one before it in order of processing, zero before the first (in a resumed
    sequence the last output of what came before), or always zero with ``zero_masked``. Behind a row's length outputs
    are zero, and the state is that at its end; a length of 0 gives a state of zeros, as ONNX Runtime does.
    """
    valid = signal.valid()
    if valid is None or valid.all():
        how = cells.sequence if every else cells.last
        y, new = how(x, state, reverse=reverse, threads=context.threads)
        return (y.copy() if y is new[0] else y), new
    lengths = valid.sum(axis=1)
    packed, order = _packed(x, valid, lengths)
    inner = None if state is None else tuple(np.ascontiguousarray(s[order]) for s in state)
    if packed.shape[1]:
        how = cells.sequence if every else cells.last
        y, new = how(packed, inner, lengths=lengths[order], reverse=reverse, threads=context.threads)
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        y, new = y[back], tuple(s[back] for s in new)
    else:  # no row has a step
        _, some = cells.last(x[:, :1], state, threads=context.threads)
        new = tuple(np.zeros_like(s) for s in some) if state is None else tuple(s.copy() for s in state)
        y = np.zeros((x.shape[0], 0, new[0].shape[1]) if every else new[0].shape, np.float32)
    before = state[0] if state is not None and context.resumed and signal.lengths is None else None
    if signal.lengths is not None:
        new = tuple(np.where((lengths > 0)[:, None], s, np.float32(0)) for s in new)
        zero_masked = True
    if every:
        return _spread(y, valid, lengths, reverse, zero_masked, before), new
    if signal.lengths is None:
        if zero_masked:
            y = np.where(valid[:, 0 if reverse else -1, None], y, np.float32(0))
        elif before is not None:
            y = np.where((lengths > 0)[:, None], y, before)
    return y, new


def _packed(x: np.ndarray, valid: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The valid steps of each row drawn together at its front, longest row first; and the order of the rows."""
    order = np.argsort(-lengths, kind="stable")
    top = int(lengths[order[0]])
    x, valid = x[order], valid[order]
    if not np.array_equal(valid, np.arange(valid.shape[1]) < lengths[order, None]):
        places = np.argsort(~valid, axis=1, kind="stable")[:, :top]
        x = np.take_along_axis(x, places[:, :, None] if x.ndim == 3 else places, axis=1)
    return np.ascontiguousarray(x[:, :top]), order


def _spread(y: np.ndarray, valid: np.ndarray, lengths: np.ndarray, reverse: bool, zero_masked: bool,
            before: np.ndarray | None) -> np.ndarray:
    """Outputs of the valid steps put back where they belong; see `run` for what stands between."""
    batch, time = valid.shape
    taken = np.cumsum(valid, axis=1)
    # The packed step that each step shows: the last one taken, going forward; the next one, going backward.
    step = taken - valid if reverse else taken - 1
    shows = valid if zero_masked else (step < lengths[:, None]) & (step >= 0)
    out = np.zeros((batch, time, y.shape[2]), np.float32)
    rows, times = np.nonzero(shows)
    out[rows, times] = y[rows, step[rows, times]]
    if before is not None and not zero_masked:
        rows, times = np.nonzero(~shows)
        out[rows, times] = before[rows]
    return out
