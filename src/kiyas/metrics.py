"""Ranking metrics, computed from ranks, and bootstrap intervals.

Two steps: first `judge` (or `known_items`) says at which rank every relevant document came, then each
metric is a function of that `Judged` value and returns one number a query:

    judged = judge(hits.ids, judgements)          # or known_items(ranks_of_target(hits.ids, targets))
    ndcg(judged, k=10)                            # (queries,) float64
    bootstrap_interval(ndcg(judged, k=10)[judged.answerable])

Only ranks enter, never scores, so equal scores cannot change a metric once the ranking is fixed
(`rank_rows`: higher score, then lower row). A query without a relevant document says nothing about
a ranking: it gets NaN, and ``judged.answerable`` leaves it out. See docs/metrics.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kiyas.arrays import Array, count, number, row_blocks, to_numpy
from kiyas.errors import InputError, message

Judgements = Mapping[Any, float]


@dataclass(frozen=True, eq=False)
class Judged:
    """Where the relevant documents of each query came in its ranking.

    One entry a (query, relevant document) pair, sorted by query, then rank, those not retrieved last:
    ``queries`` (pairs,) int64 row of the query; ``ranks`` (pairs,) int64, 1 for the first, 0 for not
    retrieved; ``gains`` (pairs,) float64, above 0. ``count`` queries were ranked to ``depth``
    documents each; ``complete`` says that deeper cut-offs are answered as well, the rankings having
    ended rather than been cut.
    """

    queries: np.ndarray
    ranks: np.ndarray
    gains: np.ndarray
    count: int
    depth: int
    complete: bool

    @property
    def relevant(self) -> np.ndarray:
        """Number of relevant documents of each query, (queries,) int64."""
        return np.bincount(self.queries, minlength=self.count)

    @property
    def answerable(self) -> np.ndarray:
        """Whether a query has a relevant document at all, (queries,) bool."""
        return self.relevant > 0


class Interval(NamedTuple):
    """A mean and the two ends of its confidence interval."""

    mean: float
    low: float
    high: float


def rank_rows(scores: Array, k: int | None = None) -> np.ndarray:
    """The rows of the best ``k`` scores (all, if None), (queries, rows) → (queries, k) int64.

    Order: higher score, then lower row. Raises `InputError` for NaN.

    >>> rank_rows(np.array([[0.5, 0.9, 0.5, 0.1]])).tolist()
    [[1, 0, 2, 3]]
    """
    values = _scores(scores, "rank_rows")
    depth = values.shape[1] if k is None else count(k, "k", "rank_rows", 1, values.shape[1])
    order = np.empty((values.shape[0], depth), np.int64)
    for start, stop in row_blocks(*values.shape):
        order[start:stop] = np.argsort(-values[start:stop], axis=1, kind="stable")[:, :depth]
    return order


def ranks_in_scores(scores: Array, targets: Array) -> np.ndarray:
    """The rank of row ``targets[q]`` among all rows, from scores (queries, rows); (queries,) int64 from 1.

    The same order as `rank_rows`, without sorting. Raises `InputError` for NaN or a target outside.

    >>> ranks_in_scores(np.array([[0.5, 0.9, 0.5, 0.1]]), [2]).tolist()
    [3]
    """
    values = _scores(scores, "ranks_in_scores")
    rows = np.asarray(to_numpy(targets))
    if rows.shape != values.shape[:1] or rows.dtype.kind not in "iu" or not _within(rows, 0, values.shape[1] - 1):
        raise InputError(message("ranks_in_scores", "targets",
                                 f"{values.shape[0]} row numbers from 0 to {values.shape[1] - 1}", _brief(targets)))
    ranks = np.empty(values.shape[0], np.int64)
    columns = np.arange(values.shape[1])
    for start, stop in row_blocks(*values.shape):
        block, row = values[start:stop], rows[start:stop, None]
        own = np.take_along_axis(block, row, axis=1)
        ranks[start:stop] = 1 + ((block > own) | ((block == own) & (columns < row))).sum(axis=1)
    return ranks


def ranks_of_target(ranked: Array, targets: Array) -> np.ndarray:
    """The rank of ``targets[q]`` in row q of ``ranked`` (queries, k) ids: (queries,) int64, 0 where it is absent.

    >>> ranks_of_target([[7, 3, 9], [4, 5, 6]], [9, 1]).tolist()
    [3, 0]
    """
    rows = _ranked(ranked, "ranks_of_target")
    wanted = targets if isinstance(targets, (list, tuple)) else to_numpy(targets).tolist()
    if len(wanted) != len(rows):
        raise InputError(message("ranks_of_target", "targets", f"of {len(rows)} ids, one a query", len(wanted)))
    _same_kind(rows, wanted, "ranks_of_target", "targets")
    return np.array([row.index(t) + 1 if t in row else 0 for row, t in zip(rows, wanted, strict=True)], np.int64)


def known_items(ranks: Array, depth: int | None = None) -> Judged:
    """Each query has one relevant document, found at ``ranks[q]`` (0: not found within ``depth``).

    ``depth`` None means that the rank is known wherever it is, as from `ranks_in_scores`; with 0
    among such ranks, or for ranks from a ranking that was cut at k, give ``depth=k``.

    >>> reciprocal_rank(known_items([1, 4, 0], depth=10), k=10).tolist()
    [1.0, 0.25, 0.0]
    """
    values = np.asarray(to_numpy(ranks))
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0:
        raise InputError(message("known_items", "ranks", "a 1-D array of ranks from 1, or 0 for not found",
                                 _brief(ranks)))
    values = values.astype(np.int64)
    highest = int(values.max())
    if depth is None:
        if not values.all():
            raise InputError(message("known_items", "depth", "given where a rank is 0 (not found)", "None",
                                     "say how deep the rankings went"))
        limit = highest
    else:
        limit = count(depth, "depth", "known_items", max(1, highest), 2**62)
    queries = np.arange(values.size, dtype=np.int64)
    return Judged(queries, values, np.ones(values.size), values.size, limit, depth is None)


def judge(ranked: Array, judgements: Sequence[Judgements] | Mapping[Any, Judgements],
          queries: Iterable[Any] | None = None) -> Judged:
    """Look up where the judged documents came in the rankings.

    ``ranked`` (queries, k) ids, best first; −1 or None after the end of a ranking (as `Hits` has
    them). ``judgements``: one mapping {id: gain} for each row, or {query: {id: gain}} with
    ``queries`` naming the query of each row (a query that is not in it has no judgements). A gain is
    0 (not relevant) or above. Unjudged documents count as not relevant.

    Raises `InputError` for an id that comes twice in a row, a gain below 0, and ids whose type never
    matches (judgements read from JSON have text keys; row numbers are integers).

    >>> judged = judge([[3, 1, 2]], [{1: 2, 9: 1}])
    >>> judged.ranks.tolist(), judged.gains.tolist(), judged.relevant.tolist()
    ([2, 0], [2.0, 1.0], [2])
    """
    rows = _ranked(ranked, "judge")
    per_row = _aligned(judgements, queries, len(rows))
    _same_kind(rows, [key for one in per_row for key in one], "judge", "judgements")
    found: list[tuple[int, int, float]] = []
    for q, (row, gains) in enumerate(zip(rows, per_row, strict=True)):
        place = {document: rank for rank, document in enumerate(row, 1)}
        if len(place) != len(row):
            raise InputError(message("judge", "ranked", "without an id twice in a row", f"a repeated id in row {q}"))
        pairs = []
        for document, gain in gains.items():
            value = number(gain, "judgements", "judge", f"gains of 0 or above (query {q}, document {document!r})",
                           0.0, math.inf, open_high=True)
            if value > 0:
                pairs.append((place.get(document, 0), value))
        pairs.sort(key=lambda pair: (pair[0] == 0, pair[0]))
        found.extend((q, rank, value) for rank, value in pairs)
    depth = len(ranked[0])
    ended = all(len(row) < depth for row in rows)
    table = np.array(found, np.float64).reshape(-1, 3)
    return Judged(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2].copy(),
                  len(rows), depth, ended)


def ndcg(judged: Judged, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain at ``k``: (queries,) float64 in [0, 1].

    Gains are linear, gain/log₂(rank+1); the ideal ranks **all** judged documents, retrieved or not,
    as trec_eval does.
    """
    k = _cut(judged, k, "ndcg")
    got = np.where(_found(judged, k), judged.gains / np.log2(judged.ranks + 1.0, where=judged.ranks > 0,
                                                             out=np.ones(judged.ranks.size)), 0.0)
    place = _place(judged)
    order = np.lexsort((-judged.gains, judged.queries))
    ideal = np.where(place <= k, judged.gains[order] / np.log2(place + 1.0), 0.0)
    return _ratio(_sum(judged, got), _sum(judged, ideal))


def average_precision(judged: Judged, k: int | None = None) -> np.ndarray:
    """Mean of the precisions at the ranks of the relevant documents: (queries,) float64 in [0, 1].

    The denominator is the number of all relevant documents. ``k`` None takes the whole ranking.
    Its mean over queries is MAP.
    """
    found = _found(judged, _cut(judged, k, "average_precision"))
    # Retrieved documents come first within a query, in the order of their ranks.
    precision = np.where(found, _place(judged) / np.maximum(judged.ranks, 1), 0.0)
    return _ratio(_sum(judged, precision), judged.relevant)


def reciprocal_rank(judged: Judged, k: int | None = None) -> np.ndarray:
    """1/rank of the first relevant document, 0 if there is none within ``k``: (queries,) float64 in [0, 1].

    Its mean over queries is MRR.
    """
    found = _found(judged, _cut(judged, k, "reciprocal_rank"))
    first = found & (_place(judged) == 1)
    return _answered(judged, _sum(judged, np.where(first, 1.0 / np.maximum(judged.ranks, 1), 0.0)))


def recall(judged: Judged, k: int) -> np.ndarray:
    """Share of the relevant documents that came within ``k``: (queries,) float64 in [0, 1]."""
    return _ratio(_sum(judged, _found(judged, _cut(judged, k, "recall"))), judged.relevant)


def precision(judged: Judged, k: int) -> np.ndarray:
    """Relevant documents within ``k``, over ``k``: (queries,) float64 in [0, 1]."""
    k = _cut(judged, k, "precision")
    return _answered(judged, _sum(judged, _found(judged, k)) / k)


def success(judged: Judged, k: int) -> np.ndarray:
    """1 if a relevant document came within ``k``, else 0: (queries,) float64. With known items: recall@k."""
    return _answered(judged, np.minimum(_sum(judged, _found(judged, _cut(judged, k, "success"))), 1.0))


_METRICS: dict[str, Any] = {"ndcg": ndcg, "map": average_precision, "mrr": reciprocal_rank, "recall": recall,
                            "precision": precision, "success": success}


def measure_ranking(judged: Judged, names: Iterable[str] = ("ndcg@10", "map", "recall@100")) -> dict[str, np.ndarray]:
    """Several metrics by their standard names, each (queries,) float64.

    Names: ``ndcg@k``, ``recall@k``, ``precision@k``, ``success@k``, ``map``, ``map@k``, ``mrr``, ``mrr@k``.

    >>> measure_ranking(judge([[3, 1, 2]], [{1: 2, 9: 1}]), ["mrr", "recall@3"])
    {'mrr': array([0.5]), 'recall@3': array([0.5])}
    """
    return {name: _named(name)(judged) for name in names}


def bootstrap_interval(values: Array, level: float = 0.95, samples: int = 10_000, seed: int = 0) -> Interval:
    """The mean of ``values`` (queries,) and its percentile bootstrap interval, resampling queries.

    Deterministic for a given seed and NumPy version. Raises `InputError` for fewer than two values
    and for NaN (leave out the queries without a relevant document: ``values[judged.answerable]``).

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    owner = "bootstrap_interval"
    data = np.asarray(to_numpy(values))
    if data.ndim != 1 or data.size < 2 or data.dtype.kind not in "fiub":
        raise InputError(message(owner, "values", "a 1-D array of at least two numbers", _brief(values)))
    data = data.astype(np.float64)
    if not np.isfinite(data).all():
        raise InputError(message(owner, "values", "finite", f"{data[~np.isfinite(data)][0]}",
                                 "leave out the queries without a relevant document: values[judged.answerable]"))
    level = number(level, "level", owner, "a number between 0 and 1", 0.0, 1.0, open_low=True, open_high=True)
    samples = count(samples, "samples", owner, 1, 10**9)
    generator = np.random.default_rng(count(seed, "seed", owner, 0, 2**63))
    means = np.empty(samples)
    for start, stop in row_blocks(samples, data.size):
        chosen = generator.integers(data.size, size=(stop - start, data.size), dtype=np.uint32)
        means[start:stop] = data[chosen].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(data.mean()), float(low), float(high))


def bootstrap_difference(values: Array, baseline: Array, level: float = 0.95, samples: int = 10_000,
                         seed: int = 0) -> Interval:
    """The mean of ``values − baseline`` over the same queries, and its paired bootstrap interval.

    >>> bootstrap_difference([0.5, 0.75], [0.25, 0.5])
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    a, b = (np.asarray(to_numpy(x)) for x in (values, baseline))
    if a.shape != b.shape or a.ndim != 1 or a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        raise InputError(message("bootstrap_difference", "baseline", f"numbers of the same queries, shape {a.shape}",
                                 f"shape {b.shape}"))
    return bootstrap_interval(a.astype(np.float64) - b.astype(np.float64), level, samples, seed)


def _named(name: str) -> Any:
    match = re.fullmatch(r"(\w+?)(?:@([1-9]\d*))?", name) if isinstance(name, str) else None
    if match is None or match[1] not in _METRICS or (match[2] is None and match[1] not in ("map", "mrr")):
        raise InputError(message("measure_ranking", "names", "of ndcg@k, recall@k, precision@k, success@k, map, "
                                 "map@k, mrr and mrr@k", repr(name)))
    function, k = _METRICS[match[1]], match[2]
    return lambda judged: function(judged, None if k is None else int(k))


def _scores(scores: Array, owner: str) -> np.ndarray:
    values = np.asarray(to_numpy(scores))
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise InputError(message(owner, "scores", "a 2-D array of numbers, shape (queries, rows)", _brief(scores)))
    if np.isnan(values).any():
        raise InputError(message(owner, "scores", "without NaN", "NaN", "drop the rows that cannot be compared"))
    # Negating integers to sort them downwards overflows at the ends of their range, unsigned ones everywhere.
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _ranked(ranked: Array, owner: str) -> list[list[Any]]:
    """Rows of ids as Python objects, each ended at its padding."""
    wanted = "a (queries, k) array of ids, best first"
    rows = ranked if isinstance(ranked, (list, tuple)) else to_numpy(ranked).tolist()
    if not isinstance(rows, (list, tuple)) or not rows or not all(isinstance(row, (list, tuple)) for row in rows):
        raise InputError(message(owner, "ranked", wanted, _brief(ranked)))
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise InputError(message(owner, "ranked", wanted, "rows of lengths " + _lengths(rows),
                                 "end short rows with -1 or None"))
    out = []
    for q, row in enumerate(rows):
        end = next((i for i, x in enumerate(row) if _is_padding(x)), len(row))
        if not all(_is_padding(x) for x in row[end:]):
            raise InputError(message(owner, "ranked", "without an id after the end (-1 or None) of a row",
                                     f"one in row {q}"))
        out.append(list(row[:end]))
    return out


def _is_padding(x: object) -> bool:
    return x is None or (isinstance(x, (int, np.integer)) and x == -1)


def _lengths(rows: Sequence[Sequence[Any]]) -> str:
    return ", ".join(str(n) for n in sorted({len(row) for row in rows})[:4])


def _aligned(judgements: Any, queries: Iterable[Any] | None, rows: int) -> list[Judgements]:
    wanted = "a mapping {id: gain} for each row, or {query: {id: gain}} with queries="
    if isinstance(judgements, Mapping):
        if queries is None:
            raise InputError(message("judge", "queries", "the query of each row, as judgements are by query", "None"))
        names = list(queries)
        if len(names) != rows or len(set(names)) != rows:
            raise InputError(message("judge", "queries", f"{rows} different queries, one a row",
                                     f"{len(names)} ({len(set(names))} different)"))
        if not any(name in judgements for name in names):
            raise InputError(message("judge", "queries", "in the judgements", f"none that is, such as {names[0]!r}",
                                     "text and integer names differ"))
        per_row = [judgements.get(name, {}) for name in names]
    else:
        if queries is not None:
            raise InputError(message("judge", "queries", "left out where judgements are given by row", "both"))
        per_row = list(judgements)
    if len(per_row) != rows or not all(isinstance(one, Mapping) for one in per_row):
        raise InputError(message("judge", "judgements", wanted, f"{len(per_row)} for {rows} rows"))
    return per_row


def _same_kind(rows: list[list[Any]], others: Sequence[Any], owner: str, name: str) -> None:
    """Ids of two types can never be equal: a ranking of row numbers against text keys would score a silent 0."""
    def kinds(values: Iterable[Any]) -> set[str]:
        return {"integers" if isinstance(v, (int, np.integer)) else type(v).__name__ for v in values}
    ours, theirs = kinds(x for row in rows for x in row), kinds(others)
    if ours and theirs and not ours & theirs:
        raise InputError(message(owner, name, f"by ids of the ranking's type ({'/'.join(sorted(ours))})",
                                 "/".join(sorted(theirs))))


def _cut(judged: Judged, k: int | None, owner: str) -> int:
    if k is None:
        return judged.depth
    high = 2**62 if judged.complete else judged.depth
    return count(k, "k", owner, 1, high, "rank deeper: beyond the depth of the rankings nothing is known")


def _found(judged: Judged, k: int) -> np.ndarray:
    return np.asarray((judged.ranks > 0) & (judged.ranks <= k))


def _place(judged: Judged) -> np.ndarray:
    """1, 2, 3, … within each query."""
    relevant = judged.relevant
    return np.asarray(np.arange(1, judged.queries.size + 1) - np.repeat(np.cumsum(relevant) - relevant, relevant))


def _sum(judged: Judged, values: np.ndarray) -> np.ndarray:
    return np.asarray(np.bincount(judged.queries, weights=values, minlength=judged.count))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))


def _answered(judged: Judged, values: np.ndarray) -> np.ndarray:
    return np.where(judged.answerable, values, np.nan)


def _within(x: np.ndarray, low: int, high: int) -> bool:
    return bool(x.min() >= low and x.max() <= high)


def _brief(x: object) -> str:
    shape = getattr(x, "shape", None)
    return f"shape {tuple(shape)} of {getattr(x, 'dtype', '?')}" if shape is not None else repr(x)[:60]
