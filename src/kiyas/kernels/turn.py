"""An orthogonal turn of the rows that puts what matters first (principal axes, uncentred).

A product is unchanged when both sides are turned alike, so codes may hold turned rows. Where most of the rows'
energy lies along few axes, the head of the codes with the norm of the tail rules out nearly all rows, and the scan
reads a third of the bytes. Where it does not (isotropic rows), there is no turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.arrays import to_numpy

# Below, a scan is so short, and above, finding the axes so long, that a turn does not pay.
LEAST_ROWS = 20_000
MOST_DIMS = 1536
_SAMPLE = 8192
# Rows of the sample that are multiplied at a time.
_BLOCK = 512
_STEP = 64
# Rows of the sample that stand for queries, and the place of the hit whose score the bounds have to reach: earlier
# than the tenth, as the collection has more near rows than its sample.
_QUERIES, _HIT = 64, 4
# What looking at a row that the head lets through costs, in rows scanned whole.
_LOOK = 60
# A turn has to save this share of the scan.
_WORTH = 0.8
# Dimensions the kernel sums in float32 before float64 takes over (kTurnPart): what a turned vector is off by.
_PART = 64


@dataclass(frozen=True)
class Turn:
    """``matrix`` (d, d) float32, nearly orthogonal; ``head`` leading dimensions.

    ``error``: how far a turned vector may be, relative to its norm, from the one that an orthogonal matrix turned.
    """

    matrix: np.ndarray
    head: int
    error: float


def turn_of(block: Callable[[int, int], Any], count: int, dims: int) -> Turn | None:
    """The turn for rows ``block(start, stop)``, or None where it would not pay."""
    if count < LEAST_ROWS or not 2 * _STEP <= dims <= MOST_DIMS:
        return None
    stride = count / _SAMPLE if count > _SAMPLE else 1.0
    chosen = np.unique((np.arange(min(count, _SAMPLE)) * stride).astype(np.int64))
    # Sixteen runs of neighbours, so that a memory map is not read all over.
    runs = [to_numpy(block(int(r[0]), int(r[0]) + r.size)) for r in np.array_split(chosen, 16)]
    with np.errstate(over="ignore"):
        sample = _unit_rows(np.concatenate(runs, dtype=np.float32))
    if sample.shape[0] < 2 * dims:
        return None
    second = np.zeros((dims, dims))
    for part in _parts(sample):
        wide = part.astype(np.float64)
        second += wide.T @ wide
    _, axes = np.linalg.eigh(second / sample.shape[0])
    matrix = np.ascontiguousarray(axes[:, ::-1])
    for part in _parts(sample):
        part[:] = part @ matrix
    head = _best_head(sample)
    if head == dims:
        return None
    # What the products above assume: an orthogonal matrix to far below the slack of the bounds.
    defect = float(np.linalg.norm(matrix.T @ matrix - np.eye(dims)))
    if not defect < 1e-11:
        return None
    narrow = matrix.astype(np.float32)
    unit = 2.0**-24
    # |fl(Σ xᵢmᵢⱼ) − Σ xᵢmᵢⱼ| ≤ γ·Σ|xᵢmᵢⱼ| in every part, over all columns at most γ·√d·‖x‖; x and m rounded to float32.
    error = 1.05 * ((_PART + 4) * unit * dims**0.5 + float(np.linalg.norm(matrix - narrow)) + unit) + defect
    return Turn(narrow, head, error)


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    """Views of some rows each: BLAS keeps what memory its largest product took."""
    return [rows[i : i + _BLOCK] for i in range(0, rows.shape[0], _BLOCK)]


def _unit_rows(sample: np.ndarray) -> np.ndarray:
    """Rows of a sample at norm 1, float32, without those whose norm float32 cannot square."""
    norms = np.sqrt(np.concatenate([np.sum(part.astype(np.float64) ** 2, axis=1) for part in _parts(sample)]))
    usable = (norms > 1e-15) & (norms < 1e15)
    sample = sample[usable]
    sample /= norms[usable, None].astype(np.float32)
    return sample


def _best_head(rows: np.ndarray) -> int:
    """The length of head that makes a scan cheapest, on turned unit rows some of which stand for queries."""
    n, dims = rows.shape
    queries = rows[:: max(1, n // _QUERIES)][:_QUERIES]
    whole = np.concatenate([queries @ part.T for part in _parts(rows)], axis=1)
    reach = np.partition(whole, n - 1 - _HIT, axis=1)[:, n - 1 - _HIT, None]
    best, least = int(dims), _WORTH * dims
    for head in range(_STEP, dims, _STEP):
        rest_of_queries = np.sqrt(np.sum(queries[:, head:] ** 2, axis=1))[:, None]
        passed = 0
        for part in _parts(rows):
            rest = np.sqrt(np.sum(part[:, head:] ** 2, axis=1))
            reached = queries[:, :head] @ part[:, :head].T + rest_of_queries * rest >= reach
            passed += int(np.count_nonzero(reached))
        cost = head + _LOOK * dims * passed / (queries.shape[0] * n)
        if cost < least:
            best, least = head, cost
    return best
