"""The Gram quantities of pairs of rows: p = A·B, a² = ‖A‖², b² = ‖B‖², d² = ‖A−B‖²; their quotient and their chord.

d² comes by differences where A ≈ B, because a² + b² − 2p loses its digits there.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from kiyas.arrays import Array, row_blocks
from kiyas.errors import InputError

# Below this share of a² + b², the expansion a² + b² − 2p has lost so many of its 53 bits that d² is
# computed again by differences: 1e-6 leaves at least 33 good bits to the pairs that are not.
_NEAR = 1e-6

# Squared norms up to this leave room for d² ≤ 2(a² + b²).
_LARGEST = 4e307


def gram_paired(xp: Any, A: Array, B: Array) -> tuple[Array, Array, Array, Array]:
    """Gram quantities p, a², b², d² row by row; d² by differences."""
    with np.errstate(over="ignore", invalid="ignore"):  # refused just below
        D = A - B
        p, a2, b2, d2 = (xp.sum(X * Y, axis=1) for X, Y in ((A, B), (A, A), (B, B), (D, D)))
    _require_squares(xp, a2, b2)
    return p, a2, b2, d2


def gram_pairwise(xp: Any, A: Array, B: Array) -> tuple[Array, Array, Array, Array]:
    """Gram quantities p (n, m), a² (n, 1), b² (1, m), d² (n, m); near pairs get d² by differences."""
    with np.errstate(over="ignore", invalid="ignore"):  # refused just below
        a2, b2 = xp.sum(A * A, axis=1)[:, None], xp.sum(B * B, axis=1)[None, :]
    _require_squares(xp, a2, b2)
    p = A @ xp.matrix_transpose(B)
    scale = a2 + b2
    d2 = scale - 2 * p
    near_i, near_j = xp.nonzero(d2 < _NEAR * scale)
    d2 = xp.where(d2 < 0, xp.zeros_like(d2), d2)
    blocks = []
    for start, stop in row_blocks(near_i.shape[0], A.shape[1]):
        D = xp.take(A, near_i[start:stop], axis=0) - xp.take(B, near_j[start:stop], axis=0)
        blocks.append(xp.sum(D * D, axis=1))
    return p, a2, b2, _put(xp, d2, near_i, near_j, xp.concat(blocks)) if blocks else d2


def _put(xp: Any, X: Array, i: Array, j: Array, values: Array) -> Array:
    """X with X[i, j] = values; (i, j) in row-major order, as nonzero gives them."""
    if isinstance(X, np.ndarray) or array_api_compat.is_torch_array(X) or array_api_compat.is_cupy_array(X):
        X[i, j] = values
        return X
    # The standard has no assignment by index arrays: every place looks itself up among the flat indices.
    flat, here = i * X.shape[1] + j, xp.reshape(xp.arange(X.shape[0] * X.shape[1], dtype=i.dtype), X.shape)
    at = xp.reshape(xp.searchsorted(flat, xp.reshape(here, (-1,))), (-1,))
    at = xp.where(at < flat.shape[0], at, xp.zeros_like(at))
    hit = xp.reshape(xp.take(flat, at), X.shape) == here
    return xp.where(hit, xp.reshape(xp.take(values, at), X.shape), X)


def _require_squares(xp: Any, a2: Array, b2: Array) -> None:
    for name, square in (("A", a2), ("B", b2)):
        finite = xp.reshape(square <= _LARGEST, (-1,))
        if not bool(xp.all(finite)):
            row = int(xp.argmin(xp.astype(finite, xp.int8)))
            raise InputError(f"'{name}' must be of rows whose squared norm fits into float64, got a larger one in "
                             f"row {row}; divide all vectors by a common number")


def ratio(xp: Any, top: Array, bottom: Array) -> Array:
    """The quotient, and 0 where bottom is 0 (the zero-vector rule of the family)."""
    zero = bottom == 0
    return xp.where(zero, xp.zeros_like(top), top / xp.where(zero, xp.ones_like(bottom), bottom))


def chord2(xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
    """‖A/a − B/b‖², in [0, 4].

    (d² − (a−b)²)/(ab) keeps its digits where A and B are near, 2 − 2p/(ab) where one is far longer.
    """
    a, b = xp.sqrt(a2), xp.sqrt(b2)
    gap = a - b
    ab = a * b + 0 * d2
    return xp.clip(xp.where(d2 <= ab, ratio(xp, d2 - gap * gap, ab), 2 - 2 * ratio(xp, p, ab)), 0.0, 4.0)
