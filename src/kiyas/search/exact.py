"""Exact scores of candidate pairs: sums rounded once, then the measure's own formula.

Whatever path found the candidates, their scores come from here, so no path can change an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from kiyas import kernels
from kiyas.arrays import row_blocks
from kiyas.kernels import _native
from kiyas.kernels.pooling import PoolingForm, fits_float32
from kiyas.kernels.rows import native_rows
from kiyas.measures.base import Measure
from kiyas.measures.coordinate import CoordinateMeasure
from kiyas.measures.inner import Cosine, InnerMeasure
from kiyas.measures.learned import Learned
from kiyas.search.rows import Rows


@dataclass
class Pairs:
    """Candidates: query j goes with rows[offsets[j]:offsets[j+1]], ascending."""

    offsets: np.ndarray
    rows: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        """Candidates of each query."""
        return np.asarray(self.offsets[1:] - self.offsets[:-1])

    @cached_property
    def queries(self) -> np.ndarray:
        """The query of each pair."""
        return np.repeat(np.arange(self.offsets.size - 1), self.counts)

    def filled(self, queries: np.ndarray, others: Pairs) -> Pairs:
        """With the candidates of some queries, which have none here, taken from ``others``."""
        parts = [self.rows[i:j] for i, j in pairwise(self.offsets.tolist())]
        for query, (i, j) in zip(queries.tolist(), pairwise(others.offsets.tolist()), strict=True):
            parts[query] = others.rows[i:j]
        return Pairs(np.concatenate([[0], np.cumsum([p.size for p in parts])]), np.concatenate(parts))


@dataclass
class Queries:
    """Queries on the host: float64 (m, d), their squared norms, and whether float32 holds them exactly."""

    values: np.ndarray
    norms2: np.ndarray
    narrow: bool

    @classmethod
    def of(cls, values: np.ndarray) -> Queries:
        """From float64 (m, d)."""
        values = np.ascontiguousarray(values)
        norms2 = np.empty(values.shape[0])
        _native.norms2(kernels.level(), native_rows(values), 0, values.shape[0], norms2, 1)
        return cls(values, norms2, fits_float32(values))

    def part(self, start: int, stop: int) -> Queries:
        """Queries [start, stop)."""
        return Queries(self.values[start:stop], self.norms2[start:stop], self.narrow)

    def of_rows(self, chosen: np.ndarray) -> Queries:
        """Chosen queries."""
        return Queries(np.ascontiguousarray(self.values[chosen]), self.norms2[chosen], self.narrow)


def scores(measure: Measure, rows: Rows, halves: tuple[Rows, np.ndarray] | None, queries: Queries, pairs: Pairs,
           threads: int) -> np.ndarray:
    """What the hits are ordered by, float64, one for each pair: the score, or the logit of a learned measure.

    ``halves``: rows' halves and queries' halves (float64) of a learned measure.
    """
    if pairs.rows.size == 0:
        return np.empty(0)
    native, which, norms2 = _on_host(rows, pairs, threads, isinstance(measure, (InnerMeasure, Learned)))
    at = Pairs(pairs.offsets, which)
    if isinstance(measure, InnerMeasure):
        return _inner(measure, native, norms2, queries, at, threads)
    if isinstance(measure, Learned):
        assert halves is not None
        return _learned(measure, halves, native, norms2, queries, pairs, at, threads)
    if isinstance(measure, CoordinateMeasure):
        return _coordinate(measure, rows, native, queries, pairs, at, threads)
    return _paired(measure, rows, queries, pairs)


def _on_host(rows: Rows, pairs: Pairs, threads: int, with_norms: bool) -> tuple[Any, np.ndarray, np.ndarray]:
    """Rows for the kernels, the pairs' rows among them, and the squared norm of each pair's row."""
    norms2 = rows.norms2(threads)[pairs.rows] if with_norms else np.empty(0)
    if rows.on_host:
        return rows.native(), pairs.rows, norms2
    distinct, which = np.unique(pairs.rows, return_inverse=True)
    return native_rows(np.ascontiguousarray(rows.take(distinct))), which.astype(np.int64), norms2


def _gram(native: Any, queries: Queries, pairs: Pairs, threads: int) -> tuple[np.ndarray, np.ndarray]:
    p, d2 = np.empty(pairs.rows.size), np.empty(pairs.rows.size)
    _native.gram_pairs(kernels.level(), native, queries.values, queries.narrow, pairs.offsets, pairs.rows, p, d2,
                       threads)
    return p, d2


def _inner(measure: InnerMeasure, native: Any, b2: np.ndarray, queries: Queries, pairs: Pairs,
           threads: int) -> np.ndarray:
    p, d2 = _gram(native, queries, pairs, threads)
    a2 = queries.norms2[pairs.queries]
    return np.asarray(measure.formula(np, p, a2, b2, d2), dtype=np.float64)


def _learned(measure: Learned, halves: tuple[Rows, np.ndarray], native: Any, b2: np.ndarray, queries: Queries,
             pairs: Pairs, at: Pairs, threads: int) -> np.ndarray:
    rows, of_queries = halves
    logit = np.zeros(pairs.rows.size)
    if measure.alpha:
        logit += measure.alpha * _inner(Cosine(), native, b2, queries, at, threads)
    weights = np.append(measure.second, measure.bias2)
    _native.relu_pairs(kernels.level(), rows.native(), of_queries, weights, pairs.offsets, pairs.rows, logit, threads)
    return logit


def _coordinate(measure: CoordinateMeasure, rows: Rows, native: Any, queries: Queries, pairs: Pairs, at: Pairs,
                threads: int) -> np.ndarray:
    form = PoolingForm.of(measure, rows.dims)
    total = np.empty(pairs.rows.size)
    below, low = np.empty(pairs.rows.size, np.int64), np.empty(pairs.rows.size, np.int64)
    if form.profile is not None:
        _native.coordinate_pairs(kernels.level(), native, queries.values, form.profile, form.native, at.offsets,
                                 at.rows, total, below, low, threads)
    else:
        for start, stop in row_blocks(pairs.rows.size, rows.dims):
            x = rows.take(pairs.rows[start:stop]).astype(np.float64)[:, form.pick]
            delta = np.abs(queries.values[pairs.queries[start:stop]][:, form.pick] - x)
            if form.widths is not None:
                delta /= form.widths
            part = np.ascontiguousarray(measure.similarity(np, delta), dtype=np.float64)
            _native.pool_profiles(kernels.level(), part, form.native, total[start:stop], below[start:stop],
                                  low[start:stop], threads)
    score = np.asarray(measure.finish(np, total, form.kept), dtype=np.float64)
    if form.below_count:
        score = np.where(below >= form.below_count, 0.0, score)
    if measure.tiers_value is not None:
        score = np.where(low == 0, 2.0, np.where(low <= 2, 1.0, 0.0)) + score
    return score


def _paired(measure: Measure, rows: Rows, queries: Queries, pairs: Pairs) -> np.ndarray:
    of_pair = pairs.queries
    out = np.empty(pairs.rows.size)
    for start, stop in row_blocks(pairs.rows.size, rows.dims):
        out[start:stop] = measure.paired(queries.values[of_pair[start:stop]],
                                         rows.take(pairs.rows[start:stop]).astype(np.float64))
    return out


def select(pairs: Pairs, order: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each query by (value descending, row ascending): places in ``pairs`` (m, k), −1 for none."""
    m = pairs.offsets.size - 1
    if m == 1 and pairs.rows.size >= k:
        best = np.lexsort((pairs.rows, -order))[None, :k]
        return best, np.ones(best.shape, bool)
    query = pairs.queries
    ranked = np.lexsort((pairs.rows, -order, query))
    place = np.arange(ranked.size) - np.repeat(pairs.offsets[:-1], pairs.counts)
    good = place < k
    chosen = np.full((m, k), -1, np.int64)
    chosen[query[good], place[good]] = ranked[good]
    return chosen, chosen >= 0
