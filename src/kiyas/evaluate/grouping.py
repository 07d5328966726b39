"""Which queries must be held out together: near-duplicates, and queries that share relevant documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kiyas.arrays import row_blocks

# Cosine from which two queries are taken for one question.
NEAR = 0.95
# Share of relevant documents in common (Jaccard) from which two queries go together; the strictest that still leaves
# folds to deal is taken. Where judgements chain most queries together, no split keeps every shared document apart, and
# what guards against a leak is that no pair of a held-out query's document is fitted on.
SHARES = (0.0, 0.1, 0.25, 0.5)


class Groups(NamedTuple):
    """Who belongs together.

    ``labels`` (queries,) int64; ``number`` of groups; size of the ``largest``; ``share``: two queries that share more
    than this part of their relevant documents are in one.
    """

    labels: np.ndarray
    number: int
    largest: int
    share: float


def group_queries(queries: np.ndarray, gains: Sequence[Mapping[Any, float]], folds: int) -> Groups:
    """Groups of queries (m, d) with ``gains``, none larger than a fold where that can be had.

    >>> group_queries(np.eye(4), [{1: 1}, {1: 1, 2: 1}, {3: 1}, {4: 1}], folds=2).labels.tolist()
    [0, 0, 2, 3]
    """
    near = _near(queries)
    shared = _shared(gains)
    found = Groups(np.arange(len(queries)), len(queries), 1, 1.0)
    for share in SHARES:
        labels = _joined(len(queries), near + [pair for pair, part in shared.items() if part > share])
        sizes = np.unique(labels, return_counts=True)[1]
        found = Groups(labels, sizes.size, int(sizes.max()), share)
        if found.largest <= max(1, len(queries) // folds):
            break
    return found


def _near(queries: np.ndarray) -> list[tuple[int, int]]:
    Q = np.asarray(queries, np.float64)
    norms = np.sqrt((Q * Q).sum(axis=1, keepdims=True))
    Q = Q / np.where(norms > 0, norms, 1.0)
    out = []
    for start, stop in row_blocks(len(Q), len(Q)):
        i, j = np.nonzero(Q[start:stop] @ Q.T >= NEAR)
        out += [(a, b) for a, b in zip((i + start).tolist(), j.tolist(), strict=True) if a < b]
    return out


def _shared(gains: Sequence[Mapping[Any, float]]) -> dict[tuple[int, int], float]:
    """The Jaccard share of relevant documents of every two queries that share one."""
    holders: dict[Any, list[int]] = {}
    sizes = []
    for q, one in enumerate(gains):
        relevant = [document for document, gain in one.items() if gain > 0]
        sizes.append(len(relevant))
        for document in relevant:
            holders.setdefault(document, []).append(q)
    common: dict[tuple[int, int], int] = {}
    for together in holders.values():
        for place, a in enumerate(together):
            for b in together[place + 1:]:
                common[a, b] = common.get((a, b), 0) + 1
    return {(a, b): n / (sizes[a] + sizes[b] - n) for (a, b), n in common.items()}


def _joined(count: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    """The smallest member of each one's group."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(i) for i in range(count)], np.int64)
