"""Correctly rounded linear maps of rows, so that no mapped value depends on how it was computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from kiyas.arrays import Array, matrix, namespace, row_blocks, to_numpy, vector
from kiyas.errors import InputError

_UNIT = 2.0**-53  # unit roundoff of float64


def mapped_rows(X: Array, weights: np.ndarray, center: np.ndarray | None = None,
                bias: np.ndarray | None = None, owner: str = "linear_map", unit: bool = False) -> np.ndarray:
    """(X − center)·weightsᵀ + bias, each number correctly rounded to float64 and then to float32.

    With ``unit``, each row is first divided by its length (in float64), and a zero row gives zeros.

    Correct rounding is what makes a row's result the same alone and in any batch, with any BLAS and
    any number of threads: a plain float64 product is taken first, and where its rounding error could
    change the float32, which is rare, that number is summed again with its errors kept. Measured
    cost beside the bare float64 product for 20 000 × 384 rows and a 384 × 384 map: half as much again.

    Parameters: ``X`` (n, d) floats; ``weights`` (out, d), ``center`` (d,), ``bias`` (out,) float64.
    Returns float32 of shape (n, out). Raises `InputError` where a result is too large for float32.
    """
    out = np.empty((X.shape[0], weights.shape[0]), dtype=np.float32)
    with np.errstate(over="ignore"):
        product = _product(weights, bias)
    for start, stop in row_blocks(X.shape[0], max(X.shape[1], weights.shape[0])):
        Z = to_numpy(X[start:stop, :]).astype(np.float64, order="C")
        if unit:
            Z, zero = _unit_rows(Z)
        if center is not None:
            Z -= center
        with np.errstate(over="ignore", invalid="ignore"):
            block = product(Z)
        # Adding zero turns −0 into +0, whose sign could depend on the path taken.
        np.add(block, np.float32(0), out=out[start:stop])
        if unit:
            out[start:stop][zero] = 0
        if not np.all(np.isfinite(out[start:stop])):
            row = start + int(np.argmin(np.all(np.isfinite(out[start:stop]), axis=1)))
            raise InputError(f"{owner}: row {row} is too large for float32 once mapped; rescale the map or the rows")
    return out


def _unit_rows(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of length 1, and which of them are zero and stay so. A row's sum has one order, whatever the batch."""
    largest = np.max(np.abs(Z), axis=1)
    zero = largest == 0
    Z = Z / np.where(zero, 1.0, largest)[:, None]  # first, so that no square overflows or vanishes
    norms = np.sqrt(np.sum(Z * Z, axis=1))
    return Z / np.where(zero, 1.0, norms)[:, None], zero


def _product(weights: np.ndarray, bias: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    add = np.zeros(weights.shape[0]) if bias is None else bias
    if bias is None and np.all(np.count_nonzero(weights, axis=1) <= 1):
        # One factor a result (a diagonal map): the plain product is correctly rounded already.
        at = np.argmax(weights != 0, axis=1)
        factor = weights[np.arange(weights.shape[0]), at]

        def scaled(Z: np.ndarray) -> np.ndarray:
            return np.asarray((Z[:, at] * factor).astype(np.float32))

        return scaled
    norms = np.sqrt(np.sum(weights * weights, axis=1))
    # |fl(w·z + b) − (w·z + b)| ≤ γ·‖w‖‖z‖ + u·|result| for any order of summation, and denormals.
    share = 1.01 * (weights.shape[1] + 2) * _UNIT
    tiny = weights.shape[1] * 2.0**-1074

    def product(Z: np.ndarray) -> np.ndarray:
        Y = Z @ weights.T
        Y += add
        error = np.sqrt(np.sum(Z * Z, axis=1))[:, None] * (share * norms)
        error += (2 * _UNIT) * np.abs(Y) + tiny
        low, high = (Y - error).astype(np.float32), (Y + error).astype(np.float32)
        rows, columns = np.nonzero(low != high)
        for start, stop in row_blocks(rows.size, weights.shape[1], elements=1 << 16):
            i, j = rows[start:stop], columns[start:stop]
            high[i, j] = _rounded_sums(Z[i], weights[j], add[j])
        return np.asarray(high)

    return product


def _rounded_sums(Z: np.ndarray, W: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Row sums of Z·W + bias, correctly rounded to float64, then float32, by error-free steps."""
    product, rest = _two_product(Z, W)
    parts = np.concatenate([product, bias[:, None]], axis=1)
    lost = np.sum(rest, axis=1)
    lost_size = np.sum(np.abs(rest), axis=1)
    while parts.shape[1] > 1:
        if parts.shape[1] % 2:
            parts = np.concatenate([parts, np.zeros((parts.shape[0], 1))], axis=1)
        parts, errors = _two_sum(parts[:, 0::2], parts[:, 1::2])
        lost = lost + np.sum(errors, axis=1)
        lost_size = lost_size + np.sum(np.abs(errors), axis=1)
    total, tail = _two_sum(parts[:, 0], lost)
    # Exact but for the plain sums of the lost parts and the last rounding (whose size is |tail|).
    doubt = np.abs(tail) + 4 * (Z.shape[1] + 2) * _UNIT * lost_size
    result: np.ndarray = total.astype(np.float32)
    open_ = (total - doubt).astype(np.float32) != (total + doubt).astype(np.float32)
    # Products outside the range where their own rounding error can be held go the long way too.
    open_ |= ~np.isfinite(doubt) | np.any((product != 0) & (np.abs(product) < 1e-280), axis=1)
    open_ |= np.any((product == 0) & (Z != 0) & (W != 0), axis=1)
    for k in np.nonzero(open_)[0]:
        result[k] = np.float32(_exact_sum(Z[k], W[k], bias[k]))
    return result


def _exact_sum(z: np.ndarray, w: np.ndarray, bias: float) -> float:
    from fractions import Fraction  # here, because it is rarely needed and slow to import

    total = sum((Fraction(a) * Fraction(b) for a, b in zip(z.tolist(), w.tolist(), strict=True)), Fraction(float(bias)))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum rounded, and what the rounding lost (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The product rounded, and what the rounding lost (Dekker, Veltkamp's split)."""
    p = a * b
    a1, b1 = _high(a), _high(b)
    a2, b2 = a - a1, b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def _high(a: np.ndarray) -> np.ndarray:
    c = a * 134217729.0
    return np.asarray(c - (c - a))


def given_array(value: Any, name: str, owner: str, ndim: int) -> np.ndarray:
    """A parameter as a read-only float64 array, checked."""
    checked = to_numpy(matrix(value, name, owner) if ndim == 2 else vector(value, name, owner))
    array: np.ndarray = np.array(checked, dtype=np.float64)
    array.setflags(write=False)
    return array


def like(X: Array, rows: np.ndarray) -> Array:
    """A NumPy array as one of X's library, on X's device."""
    if isinstance(X, np.ndarray):
        return rows
    rows = rows if rows.flags.writeable else rows.copy()  # PyTorch has no read-only arrays
    return namespace(X).asarray(rows, device=array_api_compat.device(X))
