"""Certified scan of the coordinate family: a byte a dimension on one grid (docs/exact.md).

Bandwidths, ranges and weights are folded into the rows, so that one step serves every dimension and
Σ|x−q| is a sum of absolute byte differences. Curved profiles go through a table of 16 segments;
trimming through its dual bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kiyas.arrays import row_blocks, to_numpy
from kiyas.kernels import _native, level
from kiyas.kernels.pooling import PoolingForm, built_in
from kiyas.kernels.request import Found, Request
from kiyas.kernels.rows import SLACK, Growing

_SAMPLE = 4096
# Share of the full range that the grid covers: rows beyond it pay with a larger error of their own, all others
# gain from a finer step.
_COVER = (1.0, 0.85, 0.72, 0.6, 0.5, 0.44, 0.4, 0.36, 0.33, 0.3, 0.25, 0.2, 0.1)
# Values of rows go up to this, and so may what they are multiplied by.
_LARGEST = 1e150


def refusal(measure: Any, dims: int) -> str:
    """Why no codes are made for a coordinate measure; empty where they are."""
    form = PoolingForm.of(measure, dims)
    smallest = 1.0 if form.widths is None else float(form.widths.min())
    heaviest = 1.0 if form.weights is None else float(form.weights.max())
    if heaviest > _LARGEST * min(smallest, 1.0):
        return f"widths of {smallest:g} and weights of {heaviest:g} would overflow when folded into the rows"
    if form.weights is None or (form.plain and (measure.kind == "linear" or _alike(form.weights))):
        return ""
    return "unequal weights with a curved, trimmed, thresholded or tiered profile do not fold into the rows"


def _alike(weights: np.ndarray) -> bool:
    return np.unique(weights[weights > 0]).size == 1


@dataclass
class Fold:
    """x' = x[pick]·scale, and what the scan is told of the measure on it."""

    pick: np.ndarray
    scale: np.ndarray
    kept: float
    linear: bool
    full_range: bool  # no row may leave the grid
    key: bytes
    split: bool = True  # whether halves of bytes lie apart

    def rows(self, X: np.ndarray) -> np.ndarray:
        """Folded rows, float64."""
        return np.ascontiguousarray(np.asarray(X)[:, self.pick].astype(np.float64) * self.scale)


def fold_of(measure: Any, form: PoolingForm) -> Fold:
    """How a coordinate measure folds into the rows."""
    pick, weights = form.pick, form.weights
    kept = float(pick.size - form.dropped)
    scale = np.ones(pick.size) if form.widths is None else 1 / form.widths
    if weights is not None:
        chosen = weights > 0
        pick, scale, weights = pick[chosen], scale[chosen], weights[chosen]
        if measure.kind == "linear":
            scale, kept = scale * weights, form.kept
        else:
            kept = float(pick.size)
    # Where only tables bound a score, they count differences: no row may leave the grid.
    full = form.profile is None
    key = pick.tobytes() + scale.tobytes() + (b"full" if full else b"")
    linear = measure.kind == "linear" and form.dropped == 0
    # Tables alone bound nothing by high halves.
    return Fold(pick.astype(np.int64), scale, kept, linear, full, key, split=not full)


def _lipschitz(measure: Any) -> float:
    """Steepest rise of the loss 1 − s (or −s) with the folded difference."""
    return 1.0 if built_in(measure) else math.inf


class GridCodes:
    """Codes of all folded rows: a byte a dimension and 12 bytes a row.

    The halves of the bytes lie apart where ``fold`` says so: the scan for one query reads the high halves only.
    """

    def __init__(self, fold: Fold, sample: np.ndarray, span: tuple[np.ndarray, np.ndarray]) -> None:
        self.fold = fold
        self.low, self.step = _grid(sample, span, fold.full_range, fold.split)
        self.grid = _native.Grid(fold.pick, fold.scale, self.low, self.step)
        width = -(-fold.pick.size // 2) if fold.split else fold.pick.size
        self._codes = [Growing(np.uint8, width, SLACK) for _ in range(1 + fold.split)]
        self._row = [Growing(np.float32) for _ in range(2 + fold.split)]
        self.rows = 0
        self.native: Any = None

    @classmethod
    def over(cls, fold: Fold, X: Any, count: int) -> GridCodes:
        """With a grid laid over rows; ``X`` gives the rows ``X(start, stop)`` as an array (stop−start, d)."""
        stride = max(1, count // _SAMPLE)
        least = np.full(fold.pick.size, np.inf)
        most = -least
        sample = []
        for start, stop in row_blocks(count, max(1, fold.pick.size)):
            block = fold.rows(to_numpy(X(start, stop)))
            np.minimum(least, block.min(axis=0), out=least)
            np.maximum(most, block.max(axis=0), out=most)
            sample.append(block[(-start) % stride :: stride].copy())  # a view would keep the block
        return cls(fold, np.concatenate(sample), (least, most))

    def extend(self, rows: Any, count: int, threads: int) -> None:
        """Encode the rows up to ``count`` that have no codes yet."""
        if count == self.rows:
            return
        for part in (*self._codes, *self._row):
            part.grow(count)
        codes, row = [part.data for part in self._codes], [part.data for part in self._row]
        self.native = _native.GridCodes(codes[0], codes[1] if self.fold.split else None, row[0], row[1],
                                        row[2] if self.fold.split else None)
        _native.encode_grid(rows, self.grid, self.rows, count, self.native, threads)
        self.rows = count

    @property
    def nbytes(self) -> int:
        """Bytes held by codes and what goes with them."""
        return sum(part.nbytes for part in (*self._codes, *self._row))


def _grid(sample: np.ndarray, span: tuple[np.ndarray, np.ndarray], full: bool,
          split: bool) -> tuple[np.ndarray, float]:
    """Lowest value of every dimension, and the step, that leave the least error on the sample.

    ``split``: that of whole bytes and that of their high halves together.
    """
    least, most = span
    whole = float(np.max(most - least, initial=0.0)) / 255
    if not whole > 0:
        return least, 1.0
    if full:
        # A hair more than the range, so that its ends round to codes 0 and 255 and not beyond.
        return least, whole * (1 + 1e-9)
    middle = (least + most) / 2
    best, chosen = math.inf, 1.0
    for cover in _COVER:
        step = whole * cover
        low = middle - 127.5 * step
        code = np.clip(np.rint((sample - low) / step), 0, 255)
        error = float(np.abs(sample - (low + code * step)).sum())
        if split:
            error += float(np.abs(sample - (low + (code // 16 * 16 + 8) * step)).sum())
        if error < best:
            best, chosen = error, cover
    step = whole * chosen
    return middle - 127.5 * step, step


class CoordinateScan:
    """A coordinate measure over codes, or over the rows themselves: which rows may be among the k best."""

    def __init__(self, measure: Any, dims: int) -> None:
        self._measure = measure
        self.form = PoolingForm.of(measure, dims)
        self._made: tuple[float, Any] | None = None

    @cached_property
    def fold(self) -> Fold:
        """How rows become codes."""
        return fold_of(self._measure, self.form)

    def candidates(self, codes: GridCodes, rows: Any, queries: np.ndarray, narrow: bool, request: Request,
                   start: float) -> Found:
        """(complete, offsets, rows) for queries (m, d); ``narrow``: float32 holds them."""
        if self._made is None or self._made[0] != codes.step:
            self._made = (codes.step, self._native_measure(codes.step))
        found: Found = _native.scan_coordinate(level(), codes.grid, codes.native, self._made[1],
                                               self.fold.rows(queries), self.form.raw(rows, narrow), queries,
                                               request.native(start))
        return found

    def raw_candidates(self, rows: Any, queries: np.ndarray, narrow: bool, request: Request, start: float) -> Found:
        """The same from the rows themselves; not for a user's function."""
        found: Found = _native.scan_raw(level(), self.form.raw(rows, narrow), queries, request.native(start))
        return found

    def _native_measure(self, step: float) -> Any:
        m, form = self._measure, self.form
        k = np.arange(256.0)

        def score(steps: np.ndarray) -> np.ndarray:
            return np.asarray(m.similarity(np, steps * step), dtype=np.float64)

        best = float(score(np.zeros(1))[0])
        nearer, farther = np.maximum(k - 1, 0) * (1 - 1e-6), (k + 1) * (1 + 1e-6)
        loss = [np.maximum.accumulate(best - score(steps)) for steps in (k, nearer, farther)]
        threshold, tier = m.threshold_value, m.tiers_value
        places = np.empty(0, np.int64) if tier is None else np.searchsorted(form.pick, np.asarray(m.critical))

        def below(tau: float | None, steps: np.ndarray) -> np.ndarray:
            return np.zeros(256, np.uint8) if tau is None else (score(steps) < tau).astype(np.uint8)

        return _native.Coordinate(
            self.fold.linear, form.finish(self.fold.kept), form.dropped, _lipschitz(m), *loss,
            below(threshold, nearer), below(threshold, farther), places.astype(np.int64), below(tier, nearer),
            below(tier, farther))
