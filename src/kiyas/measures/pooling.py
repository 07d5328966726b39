"""Pooling of per-dimension scores: trimmed weighted total, threshold, tiers.

Pure functions of a profile matrix S of shape (…, d), any array-API library; rows do not see each
other, so a result depends neither on batch nor on block. docs/design.md states the rules.
"""

from __future__ import annotations

from math import floor, fsum
from typing import Any

import array_api_compat
import numpy as np

from kiyas.arrays import Array

# Counts are compared with shares of d; without this slack 0.29·100 would be 28.999…, hence 28.
_SLACK = 1e-9


def dropped(d: int, trim: float) -> int:
    """How many of d dimensions a trim of that share drops: ⌊trim·d⌋, free of rounding.

    >>> dropped(100, 0.29), dropped(9, 0.1)
    (29, 0)
    """
    return floor(trim * d + _SLACK)


def kept_weight(d: int, weights: np.ndarray | None, h: int) -> float:
    """W − M: the weight that stays when the share h/d of the weight W of d dimensions is dropped."""
    if weights is None:
        return float(d - h)
    total = fsum(weights.tolist())
    return total - h * total / d


def trimmed_total(xp: Any, S: Array, weights: np.ndarray | None, h: int) -> tuple[Array, float]:
    """Σ kept wᵢ·sᵢ over the last axis, and Σ kept wᵢ, after the lowest-scoring weight h/d·W is dropped.

    Dimensions go in the order (sᵢ, i) ascending; the one on the boundary keeps the part of its
    weight that is over. Hence the total is continuous in S and does not depend on how ties fall.

    >>> S, w = np.array([0.5, 0.5, 1.0]), np.array([1.0, 3.0, 1.0])
    >>> total, kept = trimmed_total(np, S, w, 1)
    >>> round(float(total / kept), 12)
    0.65
    """
    d = S.shape[-1]
    kept = kept_weight(d, weights, h)
    if weights is None:
        # With equal weights the order of ties changes nothing, so a plain sort is enough.
        return xp.sum(S if h == 0 else xp.sort(S, axis=-1)[..., h:], axis=-1), kept
    w = like(xp, weights, S)
    if h == 0:
        return xp.sum(S * w, axis=-1), kept
    order = xp.argsort(S, axis=-1, stable=True)
    s = _along_last(xp, S, order)
    w = xp.reshape(xp.take(w, xp.reshape(order, (-1,)), axis=0), S.shape)
    over = xp.cumulative_sum(w, axis=-1) - h * fsum(weights.tolist()) / d
    part = xp.minimum(w, xp.maximum(over, xp.zeros_like(over)))
    return xp.sum(s * part, axis=-1), kept


def unlike(xp: Any, S: Array, threshold: float, share: float) -> Array:
    """Whether at least that share of the dimensions score strictly below the threshold.

    >>> unlike(np, np.array([[0.1, 0.2, 0.9], [0.1, 0.5, 0.9]]), 0.5, 2 / 3).tolist()
    [True, False]
    """
    return count_below(xp, S, threshold) >= share * S.shape[-1] - _SLACK


def tier(xp: Any, S: Array, threshold: float) -> Array:
    """2, 1 or 0 (float64) as none, one or two, or more of the dimensions score strictly below the threshold.

    >>> tier(np, np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), 0.5).tolist()
    [2.0, 1.0, 0.0]
    """
    low = count_below(xp, S, threshold)
    return xp.astype(low == 0, xp.float64) + xp.astype(low <= 2, xp.float64)


def count_below(xp: Any, S: Array, threshold: float) -> Array:
    """How many dimensions score strictly below the threshold, float64."""
    return xp.sum(xp.astype(threshold > S, xp.float64), axis=-1)


def like(xp: Any, values: np.ndarray, S: Array) -> Array:
    """Host values as an array of the library and device of ``S``."""
    # Copied, because PyTorch warns of read-only memory.
    return xp.asarray(np.array(values), device=array_api_compat.device(S))


def _along_last(xp: Any, S: Array, order: Array) -> Array:
    # take_along_axis is too new for some array libraries; a take on the flat array does the same.
    d = S.shape[-1]
    flat = xp.reshape(order, (-1, d))
    starts = d * xp.arange(flat.shape[0], dtype=flat.dtype, device=array_api_compat.device(S))
    return xp.reshape(xp.take(xp.reshape(S, (-1,)), xp.reshape(flat + starts[:, None], (-1,)), axis=0), S.shape)
