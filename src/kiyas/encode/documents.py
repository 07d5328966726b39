"""Hits of passages to hits of documents, and whether enough passages were fetched to be certain.

Hits come best first, so a passage that was not fetched scores at most as much as the last one that
was. That alone bounds every document's score from above, and decides whether the best documents are
proven (docs/texts.md has the argument).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kiyas.arrays import Array, count, to_numpy
from kiyas.errors import InputError, message

# Of how many of a document's passages the score is made.
_BY = {"best": 1, "mean3": 3}


class DocumentHits(NamedTuple):
    """Documents best first: higher score, then lower document.

    ``documents`` (queries, k) int64, −1 after the end of a row; ``scores`` (queries, k) float64, NaN there;
    ``passages`` (queries, k) int64, the best passage of each, −1 there. ``exact`` (queries,) bool: the row is
    proven to be what fetching every passage would give.
    """

    documents: np.ndarray
    scores: np.ndarray
    passages: np.ndarray
    exact: np.ndarray


def documents_from_passages(ids: Array, scores: Array, documents: Array, k: int, by: str = "best") -> DocumentHits:
    """The best ``k`` documents of passage hits.

    ``ids`` (queries, fetched) integer rows of passages, −1 after the end of a row; ``scores`` the same shape,
    never rising within a row, as hits come. ``documents`` (passages,) the document of every passage there is
    (`Passages.documents`), −1 for a passage that a filter leaves out. ``by``: "best", the score of the best
    passage; "mean3", the mean of the best three (of all, where a document has fewer).

    A row that ended (−1) holds every passage that could be a hit: those left out by a filter or by a
    lowest score then count as not there. Raises `InputError` for hits that are no such hits.

    >>> hits = documents_from_passages([[4, 1, 5, 0]], [[.9, .8, .7, .1]], [0, 0, 1, 1, 2, 2], k=2)
    >>> hits.documents.tolist(), hits.scores.tolist(), hits.passages.tolist(), hits.exact.tolist()
    ([[2, 0]], [[0.9, 0.8]], [[4, 1]], [True])
    """
    rows, values, owners, depth = _checked(ids, scores, documents, by)
    queries, fetched = rows.shape
    sizes = np.bincount(owners[owners >= 0], minlength=1)
    k = count(k, "k", "documents_from_passages", 1, max(1, int((sizes > 0).sum())))
    # One group for each (query, document), its passages in the order of the hits.
    query, place = np.nonzero(rows >= 0)
    row, score = rows[query, place], values[query, place]
    owner = owners[row]
    order = np.lexsort((place, owner, query))
    query, owner, row, score = query[order], owner[order], row[order], score[order]
    new = np.ones(query.size, bool)
    new[1:] = (query[1:] != query[:-1]) | (owner[1:] != owner[:-1])
    starts = np.flatnonzero(new)
    seen = np.diff(starts, append=query.size)
    query, owner, row = query[starts], owner[starts], row[starts]
    # A row that ended has nothing unseen; else the unseen score at most the last one.
    ended = rows[:, -1] < 0 if fetched < (owners >= 0).sum() else np.ones(queries, bool)
    last = np.where(ended, -np.inf, values[:, -1])
    parts = np.where(ended[query], np.minimum(seen, depth), np.minimum(sizes[owner], depth))
    known = np.minimum(seen, parts)
    score, bound = _means(score, starts, known, parts, last[query])
    ranked = np.lexsort((owner, -score, query))
    out = DocumentHits(np.full((queries, k), -1, np.int64), np.full((queries, k), np.nan),
                       np.full((queries, k), -1, np.int64), np.zeros(queries, bool))
    bounds = np.searchsorted(query, np.arange(queries + 1))
    for q in range(queries):
        mine = ranked[bounds[q]:bounds[q + 1]]
        top = mine[:k]
        out.documents[q, :top.size], out.scores[q, :top.size] = owner[top], score[top]
        out.passages[q, :top.size] = row[top]
        out.exact[q] = ended[q] or _proven(top, mine, owner, score, bound, known == parts, k, last[q], sizes)
    return out


def search_documents(search: Callable[[np.ndarray, int], tuple[Array, Array]], queries: int, documents: Array, k: int,
                     by: str = "best", fetch: int | None = None) -> DocumentHits:
    """The exact best ``k`` documents: passages are fetched until they are proven.

    ``search(rows, fetch)`` gives (ids, scores), (rows, fetch), of the queries of those numbers. It is asked
    again, for twice as many, only for the queries that are not proven yet; at worst for all passages.
    ``fetch``: how many the first time (None: 4·k for "best", 12·k for "mean3").
    """
    owners = np.asarray(to_numpy(documents))
    passages = int((owners >= 0).sum()) if owners.dtype.kind in "iu" else 0
    depth = 4 * _BY.get(by, 1) * k if fetch is None else count(fetch, "fetch", "search_documents", 1, 2**62)
    open_rows = np.arange(count(queries, "queries", "search_documents", 1, 2**62))
    out: DocumentHits | None = None
    while True:
        depth = min(depth, max(1, passages))
        ids, scores = search(open_rows, depth)
        if tuple(np.shape(ids)) != (open_rows.size, depth):
            raise InputError(message("search_documents", "search", f"a function that gives ids of shape "
                                     f"{(open_rows.size, depth)} here", f"shape {tuple(np.shape(ids))}"))
        hits = documents_from_passages(ids, scores, owners, k, by)
        if out is None:
            out = hits
        else:
            for ours, theirs in zip(out, hits, strict=True):
                ours[open_rows] = theirs
        open_rows = open_rows[~hits.exact]
        if not open_rows.size:
            return out
        depth *= 2


def _means(score: np.ndarray, starts: np.ndarray, known: np.ndarray, parts: np.ndarray,
           last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each group's first ``known`` scores, and what it is at most once all ``parts`` are known.

    Both are added up in the same order, so that rounding cannot put a score above its bound.
    """
    total, most = np.zeros(starts.size), np.zeros(starts.size)
    for i in range(3):
        own = score[np.minimum(starts + i, score.size - 1)]
        total = np.where(i < known, total + own, total)
        most = np.where(i < known, most + own, np.where(i < parts, most + last, most))
    return total / known, most / parts


def _proven(top: np.ndarray, mine: np.ndarray, owner: np.ndarray, score: np.ndarray, bound: np.ndarray,
            complete: np.ndarray, k: int, last: float, sizes: np.ndarray) -> bool:
    """Whether no other document can come before the last of ``top``, nor one of them move."""
    if top.size < k or not complete[top].all():
        return False
    worst, lowest = score[top[-1]], owner[top[-1]]
    others = mine[k:]
    others = others[~complete[others]]
    if not ((bound[others] < worst) | ((bound[others] == worst) & (owner[others] > lowest))).all():
        return False
    unseen = np.flatnonzero(sizes > 0)
    unseen = unseen[~np.isin(unseen, owner[mine])]
    if not unseen.size:
        return True
    # At most this, rounding included: the mean of as many scores as there can be, all as high as the last.
    highest = max(last, (last + last) / 2, (last + last + last) / 3)
    return bool(worst > highest or (worst == highest and lowest < unseen[0]))


def _checked(ids: Array, scores: Array, documents: Array, by: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    name = "documents_from_passages"
    if by not in _BY:
        raise InputError(message(name, "by", " or ".join(map(repr, _BY)), repr(by)))
    owners, rows, values = (np.asarray(to_numpy(x)) for x in (documents, ids, scores))
    if owners.ndim != 1 or owners.dtype.kind not in "iu" or not owners.size or owners.min() < -1 or owners.max() < 0:
        raise InputError(message(name, "documents", "the document (0 or above, -1 left out) of each passage",
                                 f"shape {owners.shape} of {owners.dtype}"))
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or 0 in rows.shape or rows.min() < -1 or rows.max() >= owners.size:
        raise InputError(message(name, "ids", f"(queries, fetched) rows of the {owners.size} passages, or -1",
                                 f"shape {rows.shape} of {rows.dtype}"))
    if values.shape != rows.shape or values.dtype.kind not in "fiu":
        raise InputError(message(name, "scores", f"numbers of shape {rows.shape}", f"shape {values.shape}"))
    rows, values = rows.astype(np.int64), values.astype(np.float64)
    there = rows >= 0
    falling = (values[:, 1:] <= values[:, :-1]) | ~there[:, 1:]
    if not falling.all() or (there[:, 1:] & ~there[:, :-1]).any() or not np.isfinite(values[there]).all():
        raise InputError(message(name, "scores", "best first, and finite up to the end of a row",
                                 f"other in row {_first(values, there)}", "pass the hits as a search gives them"))
    ordered = np.sort(rows, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any() or (owners[rows[there]] < 0).any():
        raise InputError(message(name, "ids", "different passages, none of them left out by -1 in documents",
                                 "others"))
    return rows, values, owners.astype(np.int64), _BY[by]


def _first(values: np.ndarray, there: np.ndarray) -> int:
    bad = (there[:, 1:] & (~there[:, :-1] | ~(values[:, 1:] <= values[:, :-1]))).any(axis=1)
    return int(np.argmax(bad | (~np.isfinite(values) & there).any(axis=1)))
