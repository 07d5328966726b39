"""Candidates without codes: a plain product of rows and queries, and the error bound of its own rounding.

Runs where the rows are (NumPy, PyTorch or CuPy arrays), in their own precision: blocks of rows, one
matrix product, the measure's formula on both ends of the interval, the k best lower bounds so far.
Measures that are no function of the product are compared in float64 by their own formula, block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import array_api_compat
import numpy as np

from kiyas.arrays import Array, float64, namespace, row_blocks, to_numpy
from kiyas.kernels.inner import function_interval
from kiyas.measures.base import Measure
from kiyas.measures.coordinate import CoordinateMeasure
from kiyas.measures.inner import Cosine, InnerMeasure
from kiyas.measures.learned import Learned
from kiyas.measures.user import UserInner
from kiyas.search.exact import Pairs, Queries
from kiyas.search.rows import Rows

# Numbers a block of scores holds; a few arrays of that size live at a time.
_BLOCK = 1 << 22
_QUERIES = 64


def candidates(measure: Measure, rows: Rows, halves: tuple[Rows, np.ndarray] | None, queries: Queries, k: int,
               allowed: np.ndarray | None, excluded: np.ndarray | None, start: float, threads: int) -> Pairs:
    """Rows that may be among the k best of each query, none left out that is."""
    parts = [_of_queries(measure, rows, halves, queries.part(i, j), slice(i, j), k, allowed, excluded, start, threads)
             for i, j in row_blocks(queries.values.shape[0], 1, _QUERIES)]
    counts = np.concatenate([p.counts for p in parts])
    return Pairs(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), np.concatenate([p.rows for p in parts]))


def everything(rows: int, queries: int, allowed: np.ndarray | None, excluded: np.ndarray | None) -> Pairs:
    """All allowed rows for every query."""
    all_rows = np.arange(rows) if allowed is None else np.flatnonzero(allowed)
    if excluded is None:
        return Pairs(np.arange(queries + 1) * all_rows.size, np.tile(all_rows, queries))
    each = [all_rows[all_rows != e] for e in excluded]
    return Pairs(np.concatenate([[0], np.cumsum([e.size for e in each])]).astype(np.int64), np.concatenate(each))


def _of_queries(measure: Measure, rows: Rows, halves: tuple[Rows, np.ndarray] | None, queries: Queries, part: slice,
                k: int, allowed: np.ndarray | None, excluded: np.ndarray | None, start: float, threads: int) -> Pairs:
    m = queries.values.shape[0]
    best = np.full((m, k), -np.inf)
    threshold = np.full(m, start)
    kept: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(m)]
    bounds = _bounds(measure, rows, None if halves is None else (halves[0], halves[1][part]), queries, threads)
    xp = namespace(rows.base)
    width = max(m, rows.dims if isinstance(measure, (InnerMeasure, Learned)) else m * rows.dims)
    # Products that overflow float32 bound nothing, and are treated so.
    with full_precision(rows.base), np.errstate(over="ignore", invalid="ignore"):
        for begin, end in row_blocks(rows.count, width, _BLOCK):
            low, high = bounds(begin, end)  # (m, rows) float64, where the rows are
            usable = None if allowed is None else allowed[begin:end] != 0
            for j in range(m if excluded is not None else 0):
                if begin <= excluded[part][j] < end:  # type: ignore[index]
                    low[j, int(excluded[part][j]) - begin] = -np.inf  # type: ignore[index]
            low_k = _largest(xp, low, min(k, end - begin), usable)
            best = -np.partition(-np.concatenate([best, low_k], axis=1), k - 1, axis=1)[:, :k]
            threshold = np.maximum(threshold, best.min(axis=1))
            limit = xp.asarray(threshold[:, None], device=array_api_compat.device(high))
            query, row = (to_numpy(v) for v in xp.nonzero(~(high < limit - 1e-13 * xp.abs(limit)))) \
                if np.all(np.isfinite(threshold)) else _all_pairs(m, end - begin)
            if usable is not None:
                good = usable[row]
                query, row = query[good], row[good]
            value = to_numpy(high)[query, row]
            for j in np.unique(query):
                mine = query == j
                kept[j].append((row[mine] + begin, value[mine]))
    survivors = []
    for j in range(m):
        which = np.concatenate([r for r, _ in kept[j]]) if kept[j] else np.empty(0, np.int64)
        value = np.concatenate([v for _, v in kept[j]]) if kept[j] else np.empty(0)
        if np.isfinite(threshold[j]):
            which = which[~(value < threshold[j] - 1e-13 * abs(threshold[j]))]
        if excluded is not None:
            which = which[which != excluded[part][j]]
        survivors.append(which.astype(np.int64))
    offsets = np.concatenate([[0], np.cumsum([s.size for s in survivors])]).astype(np.int64)
    return Pairs(offsets, np.concatenate(survivors))


def _all_pairs(m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(m), n), np.tile(np.arange(n), m)


def _largest(xp: Any, low: Array, k: int, usable: np.ndarray | None) -> np.ndarray:
    """The k largest lower bounds of each query, on the host; −inf where there are fewer."""
    if usable is not None:
        mask = xp.asarray(usable[None, :], device=array_api_compat.device(low))
        low = xp.where(mask, low, xp.full_like(low, -np.inf))
    if array_api_compat.is_torch_array(low):
        return np.asarray(to_numpy(low.topk(k, dim=1).values))
    values = to_numpy(low)
    return np.asarray(-np.partition(-values, k - 1, axis=1)[:, :k])


def _bounds(measure: Measure, rows: Rows, halves: tuple[Rows, np.ndarray] | None, queries: Queries,
            threads: int) -> Any:
    """A function of (begin, end) that gives intervals of the scores of a block of rows."""
    xp = namespace(rows.base)

    def here(x: np.ndarray) -> Array:
        return xp.asarray(x, device=array_api_compat.device(rows.base))

    q, a2 = here(queries.values), here(queries.norms2)[:, None]
    # The very norms that scores are made of: where a formula hangs on the last bit of a norm (near the rim of
    # the Poincaré ball), others would bound other scores.
    b2 = rows.norms2(threads) if isinstance(measure, InnerMeasure) or halves is not None else np.empty(0)

    def inner(of: InnerMeasure, i: int, j: int) -> tuple[Array, Array]:
        return _inner_bounds(xp, of, rows.block(i, j), q, rows.dtype, a2, here(b2[i:j])[None, :])

    if isinstance(measure, InnerMeasure):
        return lambda i, j: inner(measure, i, j)
    if isinstance(measure, Learned):
        assert halves is not None
        return lambda i, j: _learned_bounds(xp, measure, here(halves[0].block(i, j)), here(halves[1]),
                                            lambda: inner(Cosine(), i, j))
    return lambda i, j: _direct_bounds(xp, measure, rows.block(i, j), q)


def _inner_bounds(xp: Any, measure: InnerMeasure, block: Array, q: Array, dtype: str, a2: Array,
                  b2: Array) -> tuple[Array, Array]:
    wide = dtype == "float64"
    compute = xp.float64 if wide else xp.float32
    x = block if wide else xp.astype(block, xp.float32)
    p = float64(xp, xp.astype(q, compute) @ xp.matrix_transpose(x))
    # |fl(p) − p| ≤ γ·Σ|qᵢxᵢ| ≤ γ·ab for any order of summation, the query's own rounding included; denormal
    # products may be flushed to zero.
    unit, tiny = (2.0**-53, 0.0) if wide else (2.0**-24, 2.0**-126)
    dims = block.shape[1]
    reach = xp.sqrt(a2) * xp.sqrt(b2)
    error = (1.01 * (dims + 4) * unit + 1e-12) * reach + 1e-12 * (a2 + b2)
    if tiny:
        error = error + dims * tiny * (2 + xp.max(xp.abs(q)))
    own = measure.kernel() if isinstance(measure, UserInner) else None
    # So that d² can be 0 whatever its roundings; a user's function is asked no further out than p itself may round.
    most = xp.minimum(reach, (a2 + b2) / 2) * (1 + (1e-12 if own is None else 2.0**-50))
    infinite = ~xp.isfinite(p)
    p = xp.where(infinite, xp.zeros_like(p), p)
    low = xp.where(infinite, -most, xp.maximum(p - error, -most))
    high = xp.where(infinite, most, xp.minimum(p + error, most))
    if own is not None:
        assert not isinstance(own, str)  # undeclared functions have no bounds: all rows are compared
        ends = function_interval(own.parameters["function"], *map(to_numpy, (low, high, a2 + 0 * p, b2 + 0 * p)))
        device = array_api_compat.device(p)
        return xp.asarray(ends[0], device=device), xp.asarray(ends[1], device=device)
    return (_rounded(xp, _formula(xp, measure, low, a2, b2), -1), _rounded(xp, _formula(xp, measure, high, a2, b2), 1))


def _formula(xp: Any, measure: InnerMeasure, p: Array, a2: Array, b2: Array) -> Array:
    d2 = a2 + b2 - 2 * p
    d2 = xp.where(d2 < 0, xp.zeros_like(d2), d2)
    return measure.formula(xp, p, a2 + 0 * p, b2 + 0 * p, d2)


def _rounded(xp: Any, score: Array, sign: int) -> Array:
    """The score moved outwards by more than its formula's rounding; NaN bounds nothing."""
    moved = score + sign * 1e-14 * xp.abs(score)
    return xp.where(xp.isnan(moved), xp.full_like(moved, sign * np.inf), moved)


def _learned_bounds(xp: Any, measure: Learned, v: Array, u: Array,
                    cosine: Callable[[], tuple[Array, Array]]) -> tuple[Array, Array]:
    v = float64(xp, v)
    second = xp.asarray(np.array(measure.second), device=array_api_compat.device(v))
    logit = xp.stack([(xp.clip(u[j, :][None, :] + v, 0.0, None) @ second) for j in range(u.shape[0])], axis=0)
    logit = logit + measure.bias2
    size = xp.max(xp.abs(u)) + xp.max(xp.abs(v))
    slack = 1e-15 * (measure.hidden + 8) * size * float(np.abs(measure.second).sum()) + 1e-13 * xp.abs(logit)
    low, high = logit - slack, logit + slack
    if measure.alpha:
        c_low, c_high = cosine()
        ends = (measure.alpha * c_low, measure.alpha * c_high)
        slack = 1e-13 * (abs(measure.alpha) + abs(measure.bias2))
        low, high = low + xp.minimum(*ends) - slack, high + xp.maximum(*ends) + slack
    return low, high


def _direct_bounds(xp: Any, measure: Measure, block: Array, q: Array) -> tuple[Array, Array]:
    """By the measure's own float64 formula, whose sums of d terms round by less than this slack."""
    score = measure.pairwise(q, float64(xp, block))
    # Σ|terms| is at most |Σ terms| and twice the terms above 0, none of which is above the score at δ = 0.
    largest = xp.abs(score) + 2
    if isinstance(measure, CoordinateMeasure):
        largest = largest + 2 * abs(float(measure.similarity(np, np.zeros(1))[0]))
    slack = 1e-15 * (block.shape[1] + 64) * largest
    return score - slack, score + slack


@contextmanager
def full_precision(array: Array) -> Iterator[None]:
    """PyTorch's float32 products in full float32 inside (no TF32, no bfloat16), as before outside."""
    if not array_api_compat.is_torch_array(array):
        yield
        return
    import torch

    before = torch.get_float32_matmul_precision()
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
