"""Certified scan of the inner family: int8 codes with the norm of what they leave out (docs/exact.md)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kiyas.kernels import _native, level
from kiyas.kernels.request import Found, Request
from kiyas.kernels.rows import GROUP, SLACK, Growing
from kiyas.kernels.turn import Turn, turn_of

_KINDS = {"cosine": 0, "dot": 1, "euclidean": 2, "ndd": 3, "log_scaled": 4, "hybrid": 5, "dice": 6,
          "tempered_cosine": 7, "poincare": 8}
# Rows whose bounds a Python function sees at a time: large enough to hide the call, small enough for the cache.
_FUNCTION_ROWS = 16_384


class InnerCodes:
    """Codes of all rows: a byte a dimension and 24 bytes a row; shared by every measure of the family.

    Where the rows' spectrum allows, rows are turned so that what matters comes first (`kiyas.kernels.turn`), and
    the first look goes to the head of their codes only.
    """

    def __init__(self, dims: int) -> None:
        self._dims = dims
        self._turn: Turn | None = None
        self._head = self._tail = Growing(np.uint8)
        self._row = [Growing(np.float32) for _ in range(4)] + [Growing(np.float64)]
        self.rows = 0
        self.native: Any = None

    def extend(self, rows: Any, count: int, threads: int) -> None:
        """Encode the rows up to ``count`` that have no codes yet; ``rows`` gives ``native()`` and ``block(i, j)``."""
        if count == self.rows:
            return
        if self.native is None:
            self._turn = turn_of(rows.block, count, self._dims)
            head = self._dims if self._turn is None else self._turn.head
            # Heads lie in groups of rows, four dimensions of each row after the other (native/products.h).
            self._head, self._tail = Growing(np.uint8, -(-head // 4) * 4), Growing(np.uint8, self._dims - head, SLACK)
        self._head.grow(-(-count // GROUP) * GROUP)
        for part in (self._tail, *self._row):
            part.grow(count)
        head = self._dims if self._turn is None else self._turn.head
        turn = self._turn
        self.native = _native.InnerCodes(self._head.data, self._tail.data, head, self._dims - head,
                                         *(part.data for part in self._row), 0.0 if turn is None else turn.error,
                                         None if turn is None else turn.matrix)
        _native.norms2(level(), rows.native(), self.rows, count, self._row[4].data[self.rows :], threads)
        _native.encode_inner(level(), rows.native(), self.rows, count, self.native, threads)
        self.rows = count

    def turned(self, queries: np.ndarray, threads: int) -> np.ndarray:
        """Float64 queries (m, d) as the codes see them."""
        if self._turn is None:
            return queries
        out = np.empty(queries.shape)
        with np.errstate(over="ignore"):
            _native.turn_vectors(level(), self._turn.matrix, queries, out, threads)
        return out

    @property
    def norms2(self) -> np.ndarray:
        """‖x‖² of every row, correctly rounded."""
        return self._row[4].data[: self.rows]

    @property
    def nbytes(self) -> int:
        """Bytes held by codes and what goes with them."""
        return sum(part.nbytes for part in (self._head, self._tail, *self._row))


class InnerScan:
    """A measure of the family over codes: which rows may be among the k best."""

    def __init__(self, form: Any, measure: Any) -> None:
        self._kind, self._parameters, self._measure = form.kind, form.parameters, measure
        self._factor: np.ndarray | None = None

    def candidates(self, codes: InnerCodes, queries: np.ndarray, norms2: np.ndarray, request: Request,
                   start: float) -> Found:
        """(complete, offsets, rows) for float64 queries (m, d) with their squared norms."""
        queries = codes.turned(queries, request.threads)
        if self._kind == "user":
            return self._by_function(codes, queries, norms2, request, start)
        kind = _KINDS[self._kind]
        parameter = float(self._parameters.get("query_norm", self._parameters.get("beta", 0.0)))
        factor = self._row_factor(codes)
        found: Found = _native.scan_inner(level(), kind, parameter, codes.native, factor, queries, norms2,
                                          request.native(self._surrogate(start)))
        return found

    def _row_factor(self, codes: InnerCodes) -> np.ndarray | None:
        """What the filter needs of a row beside its norm, in float32; NaN (which passes) beyond its range."""
        if self._kind not in ("tempered_cosine", "poincare"):
            return None
        if self._factor is None or self._factor.shape[0] != codes.rows:
            norms2 = codes.norms2
            if self._kind == "poincare":
                norms = np.sqrt(norms2)
                factor = (1 - norms) * (1 + norms) * (1 + 1e-6)
            else:
                with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                    factor = norms2 ** (self._parameters["beta"] / 2)
                factor[~((factor > 1e-30) & (factor < 1e30))] = np.nan
            self._factor = factor.astype(np.float32)
        return self._factor

    def _surrogate(self, score: float) -> float:
        """The least surrogate of rows that reach a score, a little below."""
        if score == -math.inf:
            return score
        name = self._measure.name
        if name == "angular":
            score = math.cos(math.pi * (1 - min(max(score, 0.0), 1.0)))
        elif name == "tanimoto":
            score = 2 * score / (1 + score) if score > -1 else -math.inf
        elif name in ("euclidean", "poincare"):
            if score <= 0:
                return -math.inf
            reach = max(0.0, 1 / score - 1)
            if name == "poincare":
                reach = math.sinh(reach / 2) if reach < 700 else math.inf
            score = -reach
        return score - 1e-9 * (1 + abs(score))

    def _by_function(self, codes: InnerCodes, queries: np.ndarray, norms2: np.ndarray, request: Request,
                     start: float) -> Found:
        address = self._parameters.get("address")
        if address is not None:
            # The function rounds: what reaches the start may round below it at the end of an interval.
            start -= 1e-14 * abs(start) if math.isfinite(start) else 0.0
            found: Found = _native.scan_function(level(), address, codes.native, queries, norms2,
                                                 request.native(start))
            return found
        return _function_candidates(self._parameters["function"], codes, queries, norms2, request, start)


def _function_candidates(function: Any, codes: InnerCodes, queries: np.ndarray, norms2: np.ndarray, request: Request,
                         start: float) -> Found:
    """The scan for a NumPy function of (p, a², b²): upper bounds of p block by block, the tight interval of the
    rows that pass, and the k best lower bounds so far as the threshold.
    """
    m, n, k = queries.shape[0], codes.rows, request.k
    allowed, excluded = request.allowed, request.excluded
    best = np.full((m, k), -np.inf)
    threshold = np.full(m, start)
    kept: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(m)]
    found = np.zeros(m, np.int64)
    limit = request.limit if request.limit >= 0 else n
    begin = stop = 0
    while stop < n:
        # Small blocks first: a threshold is known before many rows have passed without one.
        begin, stop = stop, min(n, -(-max(256, 8 * stop, k) // GROUP) * GROUP, stop + _FUNCTION_ROWS)
        rows = stop - begin
        upper = np.empty((m, rows))
        _native.upper_products(level(), codes.native, queries, norms2, begin, upper, request.threads)
        b2 = codes.norms2[begin : begin + rows]
        for j in np.flatnonzero(found <= limit).tolist():
            value = _past_end(function, np.maximum, upper[j], np.full(rows, norms2[j]), b2)
            passed = ~(value < threshold[j] - 1e-14 * abs(threshold[j])) if math.isfinite(threshold[j]) else \
                np.ones(rows, bool)
            if allowed is not None:
                passed &= allowed[begin : begin + rows] != 0
            which = np.flatnonzero(passed) + begin
            if excluded is not None:
                which = which[which != excluded[j]]
            if which.size == 0:
                continue
            low, high = _function_interval(function, codes, queries, norms2, j, which)
            keep = ~(high < threshold[j])
            which, low, high = which[keep], low[keep], high[keep]
            kept[j].append((which, high))
            found[j] += which.size
            merged = np.concatenate([best[j], low])
            best[j] = np.partition(merged, merged.size - k)[merged.size - k :]
            threshold[j] = max(threshold[j], best[j].min())
    survivors = []
    for j in range(m):
        whole = kept[j] if found[j] <= limit else []
        rows_j = np.concatenate([r for r, _ in whole]) if whole else np.empty(0, np.int64)
        high_j = np.concatenate([h for _, h in whole]) if whole else np.empty(0)
        survivors.append(rows_j[~(high_j < threshold[j])])
    offsets = np.concatenate([[0], np.cumsum([s.size for s in survivors])]).astype(np.int64)
    return (found <= limit).astype(np.uint8), offsets, np.concatenate(survivors).astype(np.int64)


def _function_interval(function: Any, codes: InnerCodes, queries: np.ndarray, norms2: np.ndarray, query: int,
                       rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.empty(rows.size), np.empty(rows.size)
    _native.product_intervals(level(), codes.native, queries, norms2, query, rows, low, high)
    return function_interval(function, low, high, np.full(rows.size, norms2[query]), codes.norms2[rows])


def function_interval(function: Any, low: np.ndarray, high: np.ndarray, a2: np.ndarray,
                      b2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a user's function, increasing in p, lies between where p lies between ``low`` and ``high``.

    Infinite where it does not say: it is NaN, or falls.
    """
    low = _past_end(function, np.minimum, low, a2, b2)
    high = _past_end(function, np.maximum, high, a2, b2)
    with np.errstate(invalid="ignore"):
        # The function rounds too: a few units in the last place either way.
        low, high = low - 1e-14 * np.abs(low), high + 1e-14 * np.abs(high)
        mute = np.isnan(high) | (low > high)
    return np.where(np.isnan(low) | mute, -np.inf, low), np.where(mute, np.inf, high)


def _past_end(function: Any, worst: Any, p: np.ndarray, a2: np.ndarray, b2: np.ndarray) -> np.ndarray:
    """The function at p, and for p beyond what two vectors can have (as it may round) the worst of it there and at
    that end: past it, it may fall or be NaN, and NaN is what it then is.
    """
    value: np.ndarray = function(p, a2, b2)
    with np.errstate(over="ignore", under="ignore"):
        near = np.nonzero(p * p >= 0.5 * (a2 * b2))  # few, so that most rows are spared roots
    p, a2, b2 = p[near], a2[near], b2[near]
    end = np.minimum(np.sqrt(a2) * np.sqrt(b2), (a2 + b2) / 2)
    past = np.abs(p) > end
    if past.any():
        value, at = np.array(value), tuple(places[past] for places in near)
        value[at] = worst(value[at], function(np.copysign(end, p)[past], a2[past], b2[past]))
    return value
