"""Rankings of a collection under a measure, and whether two measures rank alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.encode.collection import Collection
from kiyas.errors import InputError, message
from kiyas.measures.base import Measure
from kiyas.search import Index

# Two rankings are one if they swap only documents whose scores differ by less than this share of the spread of the
# row's scores: float32 vectors of length 1 have lengths of 1 ± 1e-7, which moves what is all but tied.
_ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class Ranking:
    """``rows`` (queries, depth) int64 of documents, best first, −1 after the end; ``scores`` the same shape, NaN there.

    ``complete``: every row holds all documents there are.
    """

    rows: np.ndarray
    scores: np.ndarray
    complete: bool

    def without(self, excluded: Sequence[int | None]) -> Ranking:
        """Without one document of each query (its number, or None), which is the query itself."""
        own = np.array([-2 if row is None else row for row in excluded], np.int64)
        keep = self.rows != own[:, None]
        if self.complete:
            # Those that held the query end one earlier, as a ranking that ended does.
            order = np.argsort(~keep, axis=1, kind="stable")
            rows, scores = (np.take_along_axis(x, order, axis=1) for x in (self.rows, self.scores))
            gone = ~np.take_along_axis(keep, order, axis=1)
            return Ranking(np.where(gone, -1, rows), np.where(gone, np.nan, scores), True)
        # Each row gives up one document, its own or its last, so that all stay equally deep.
        keep[keep.all(axis=1), -1] = False
        shape = (self.rows.shape[0], self.rows.shape[1] - 1)
        return Ranking(self.rows[keep].reshape(shape), self.scores[keep].reshape(shape), False)


def rank_collection(collection: Index | Collection, queries: np.ndarray, depth: int,
                    measure: str | Measure | Callable[..., Any] | None = None, by: str = "best") -> Ranking:
    """The ``depth`` best documents of each query (all, if there are fewer), exactly, as a search finds them.

    ``queries`` (m, d). Documents are known by their place in the order of ids. ``by``: see `Collection.search`.
    """
    count = len(collection)
    k = min(depth, count)
    if isinstance(collection, Collection):
        hits = collection.rank(queries, k, measure, by)
        rows, scores = hits.documents, hits.scores
    else:
        index = collection if measure is None else collection.using(measure)
        found = index.search(queries, k)
        scores = found.scores
        rows = _places(found.ids, index.ids)
    if k < count:
        return Ranking(rows, scores, False)
    # A row that ended says that nothing more is to come, whatever the depth asked for.
    end = np.full((rows.shape[0], 1), -1)
    return Ranking(np.hstack([rows, end]), np.hstack([scores, np.full(end.shape, np.nan)]), True)


def _places(found: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The place of each id that was found in the order of ids, −1 for none."""
    if ids.dtype.kind in "iu" and (ids == np.arange(ids.size)).all():
        return found
    place = {name: row for row, name in enumerate(ids.tolist())}
    return np.array([[place.get(name, -1) for name in row] for row in found.tolist()], np.int64)


def rank_alike(a: Ranking, b: Ranking, depth: int | None = None) -> bool:
    """Whether two rankings of the same queries are the same to ``depth``, but for what is tied up to rounding.

    They may differ only by swaps of documents that both score alike, within 1e-5 of the spread of that query's scores:
    a measure that ties what another tells apart does not rank as it does. Rankings without scores must be equal.

    >>> a = Ranking(np.array([[0, 1, 2]]), np.array([[0.9, 0.89999999, 0.1]]), True)
    >>> b = Ranking(np.array([[1, 0, 2]]), np.array([[0.7, 0.69999999, 0.2]]), True)
    >>> rank_alike(a, b), rank_alike(a, Ranking(b.rows, np.array([[0.7, 0.6, 0.2]]), True))
    (True, False)
    """
    if a.rows.shape[0] != b.rows.shape[0]:
        raise InputError(message("rank_alike", "b", f"of {a.rows.shape[0]} queries", f"{b.rows.shape[0]}"))
    width = min(a.rows.shape[1], b.rows.shape[1])
    k = width if depth is None else min(depth, width)
    differ = np.flatnonzero((a.rows[:, :k] != b.rows[:, :k]).any(axis=1))
    return all(_only_ties_swapped(a, b, q, k) and _only_ties_swapped(b, a, q, k) for q in differ.tolist())


def _only_ties_swapped(a: Ranking, b: Ranking, q: int, k: int) -> bool:
    """Whether ``b`` scores what ``a`` has at each of the first k places as what it has there itself."""
    end = int((b.rows[q, :k] != -1).sum())
    if end != int((a.rows[q, :k] != -1).sum()):
        return False
    held = dict(zip(b.rows[q].tolist(), b.scores[q].tolist(), strict=True))
    theirs = b.scores[q, :end]
    mine = np.array([held.get(row, np.nan) for row in a.rows[q, :end].tolist()])
    if np.isnan(mine).any() or np.isnan(theirs).any():
        return False
    return bool((np.abs(mine - theirs) <= _ROUNDING * np.ptp(theirs)).all())
