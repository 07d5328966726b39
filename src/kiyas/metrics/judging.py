"""Where the relevant documents of each query came: rankings, ranks, and judgements looked up in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.arrays import Array, count, dtype_name, number, row_blocks, to_numpy
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
                                 f"{values.shape[0]} row numbers from 0 to {values.shape[1] - 1}", brief(targets)))
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
    rows = id_rows(ranked, "ranks_of_target")
    wanted = targets if isinstance(targets, (list, tuple)) else to_numpy(targets).tolist()
    if len(wanted) != len(rows):
        raise InputError(message("ranks_of_target", "targets", f"of {len(rows)} ids, one a query", len(wanted)))
    _same_kind(rows, wanted, "ranks_of_target", "targets")
    return np.array([row.index(t) + 1 if t in row else 0 for row, t in zip(rows, wanted, strict=True)], np.int64)


def known_items(ranks: Array, depth: int | None = None) -> Judged:
    """Each query has one relevant document, found at ``ranks[q]`` (0: not found within ``depth``).

    ``depth`` None means that the rank is known wherever it is, as from `ranks_in_scores`; with 0
    among such ranks, or for ranks from a ranking that was cut at k, give ``depth=k``.

    >>> from kiyas.metrics import reciprocal_rank
    >>> reciprocal_rank(known_items([1, 4, 0], depth=10), k=10).tolist()
    [1.0, 0.25, 0.0]
    """
    values = np.asarray(to_numpy(ranks))
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0:
        raise InputError(message("known_items", "ranks", "a 1-D array of ranks from 1, or 0 for not found",
                                 brief(ranks)))
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
    look = _NumberRows(ranked) if is_number_array(ranked) else _IdRows(ranked)
    per_row = aligned(judgements, queries, len(look.ends))
    look.require_same_kind([key for one in per_row for key in one])
    found: list[tuple[int, int, float]] = []
    for q, gains in enumerate(per_row):
        place = look.places(q, gains)
        pairs = []
        for document, gain in gains.items():
            value = number(gain, "judgements", "judge", f"gains of 0 or above (query {q}, document {document!r})",
                           0.0, math.inf, open_high=True)
            if value > 0:
                pairs.append((place.get(document, 0), value))
        pairs.sort(key=lambda pair: (pair[0] == 0, pair[0]))
        found.extend((q, rank, value) for rank, value in pairs)
    depth = len(ranked[0])
    table = np.array(found, np.float64).reshape(-1, 3)
    return Judged(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2].copy(),
                  len(look.ends), depth, bool((look.ends < depth).all()))


class _IdRows:
    """Rankings of any ids, looked up in a dictionary a row; ``ends`` (queries,) says how long each is."""

    def __init__(self, ranked: Array) -> None:
        self._rows = id_rows(ranked, "judge")
        self.ends = np.array([len(row) for row in self._rows])

    def require_same_kind(self, keys: Sequence[Any]) -> None:
        _same_kind(self._rows, keys, "judge", "judgements")

    def places(self, q: int, _gains: Judgements) -> Mapping[Any, int]:
        """Rank of each document of row q."""
        place = {document: rank for rank, document in enumerate(self._rows[q], 1)}
        if len(place) != len(self._rows[q]):
            raise _repeated(q)
        return place


class _NumberRows:
    """The same for arrays of integers, without a Python object for each."""

    def __init__(self, ranked: Array) -> None:
        self._rows = np.asarray(to_numpy(ranked))
        self.ends = row_ends(self._rows, "judge")
        ordered = np.sort(self._rows, axis=1)
        again = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != -1)).any(axis=1)
        if again.any():
            raise _repeated(int(again.argmax()))

    def require_same_kind(self, keys: Sequence[Any]) -> None:
        _same_kind([self._rows[self._rows != -1][:1].tolist()], keys, "judge", "judgements")

    def places(self, q: int, gains: Judgements) -> Mapping[Any, int]:
        """Rank of each judged document of row q."""
        wanted = [key for key in gains if isinstance(key, (int, np.integer)) and key != -1]
        if not wanted:
            return {}
        which, place = np.nonzero(self._rows[q] == np.array(wanted)[:, None])
        return {wanted[i]: rank + 1 for i, rank in zip(which.tolist(), place.tolist(), strict=True)}


def _repeated(q: int) -> InputError:
    return InputError(message("judge", "ranked", "without an id twice in a row", f"a repeated id in row {q}"))


def _scores(scores: Array, owner: str) -> np.ndarray:
    values = np.asarray(to_numpy(scores))
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise InputError(message(owner, "scores", "a 2-D array of numbers, shape (queries, rows)", brief(scores)))
    if np.isnan(values).any():
        raise InputError(message(owner, "scores", "without NaN", "NaN", "drop the rows that cannot be compared"))
    # Negating integers to sort them downwards overflows at the ends of their range, unsigned ones everywhere.
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def id_rows(ranked: Array, owner: str) -> list[list[Any]]:
    """Rows of ids as Python objects, each ended at its padding."""
    wanted = "a (queries, k) array of ids, best first"
    rows = ranked if isinstance(ranked, (list, tuple)) else to_numpy(ranked).tolist()
    if not isinstance(rows, (list, tuple)) or not rows or not all(isinstance(row, (list, tuple)) for row in rows):
        raise InputError(message(owner, "ranked", wanted, brief(ranked)))
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise InputError(message(owner, "ranked", wanted, "rows of lengths " + _lengths(rows),
                                 "end short rows with -1 or None"))
    if is_number_array(ranked):
        return [row[:end] for row, end in zip(rows, row_ends(np.asarray(to_numpy(ranked)), owner), strict=True)]
    out = []
    for q, row in enumerate(rows):
        end = next((i for i, x in enumerate(row) if _is_padding(x)), len(row))
        if not all(_is_padding(x) for x in row[end:]):
            raise InputError(message(owner, "ranked", "without an id after the end (-1 or None) of a row",
                                     f"one in row {q}"))
        out.append(list(row[:end]))
    return out


def is_number_array(ranked: Array) -> bool:
    """Whether rankings are an array (queries, k) of integers rather than lists or ids of another type."""
    shape = getattr(ranked, "shape", None)
    return shape is not None and len(shape) == 2 and 0 not in shape and \
        dtype_name(ranked).startswith(("int", "uint"))


def row_ends(rows: np.ndarray, owner: str) -> np.ndarray:
    """How many ids each row of integers has before its padding (−1), which nothing may follow."""
    there = rows != -1
    ends = there.sum(axis=1)
    after = (there[:, 1:] & ~there[:, :-1]).any(axis=1)
    if after.any():
        raise InputError(message(owner, "ranked", "without an id after the end (-1 or None) of a row",
                                 f"one in row {int(after.argmax())}"))
    return np.asarray(ends)


def _is_padding(x: object) -> bool:
    return x is None or (isinstance(x, (int, np.integer)) and x == -1)


def _lengths(rows: Sequence[Sequence[Any]]) -> str:
    return ", ".join(str(n) for n in sorted({len(row) for row in rows})[:4])


def aligned(judgements: Any, queries: Iterable[Any] | None, rows: int) -> list[Judgements]:
    """One {id: gain} for each row, however they were given; see `judge`."""
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


def _within(x: np.ndarray, low: int, high: int) -> bool:
    return bool(x.min() >= low and x.max() <= high)


def brief(x: object) -> str:
    """An argument for a message."""
    shape = getattr(x, "shape", None)
    return f"shape {tuple(shape)} of {getattr(x, 'dtype', '?')}" if shape is not None else repr(x)[:60]
