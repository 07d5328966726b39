"""Metrics of pair tasks: how well similarities of pairs follow a person's scores or labels."""

from __future__ import annotations

import numpy as np

from kiyas.arrays import Array, to_numpy
from kiyas.errors import InputError, message
from kiyas.metrics.judging import brief


def pearson(a: Array, b: Array) -> float:
    """Pearson's correlation of two arrays (n,); NaN where one of them is constant.

    >>> round(pearson([1, 2, 3], [2, 4, 7]), 4)
    0.9934
    """
    x, y = _both(a, b, "pearson")
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x * x).sum()) * np.sqrt((y * y).sum()))
    return float(np.clip((x * y).sum() / scale, -1.0, 1.0)) if scale else float("nan")


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation of two arrays (n,), ties at their mean rank; NaN where one of them is constant.

    >>> round(spearman([10, 20, 30], [1, 100, 50]), 12)
    0.5
    """
    x, y = _both(a, b, "spearman")
    return pearson(_mean_ranks(x), _mean_ranks(y))


def pair_average_precision(scores: Array, labels: Array) -> float:
    """Average precision of scores (n,) for labels (n,) of 0 and 1: Σ (Rᵢ − Rᵢ₋₁)·Pᵢ over the different scores.

    Equal scores are one threshold, so their order does not matter.

    >>> round(pair_average_precision([0.9, 0.8, 0.7], [1, 0, 1]), 4)
    0.8333
    """
    x, y = _both(scores, labels, "pair_average_precision")
    if not np.isin(y, (0, 1)).all() or not y.any():
        raise InputError(message("pair_average_precision", "labels", "0 or 1, at least one of them 1", brief(labels)))
    order = np.argsort(-x, kind="stable")
    found = np.cumsum(y[order])
    ends = np.append(np.flatnonzero(np.diff(x[order])), x.size - 1)
    precision = found[ends] / (ends + 1)
    return float((np.diff(found[ends], prepend=0) * precision).sum() / found[-1])


def _mean_ranks(x: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place])


def _both(a: Array, b: Array, owner: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(to_numpy(v)) for v in (a, b))
    if x.ndim != 1 or x.shape != y.shape or x.size < 2 or x.dtype.kind not in "fiub" or y.dtype.kind not in "fiub":
        raise InputError(message(owner, "b", f"numbers of shape {x.shape}, at least two", brief(b)))
    x, y = x.astype(np.float64), y.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(message(owner, "b", "finite, as the other", "NaN or infinity"))
    return x, y
