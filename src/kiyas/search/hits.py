"""The answer of a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Hits:
    """Ids and scores, best first; always two-dimensional, a row for each query.

    - ``ids`` (queries, k): int64 row numbers, or the ids the index was given; −1 (or None, where ids
      are no integers) ends a row with fewer hits than columns;
    - ``scores`` (queries, k): float64, larger is more alike; NaN beside a missing id;
    - ``rescored`` (queries,): how many rows were scored exactly to answer; the bound ruled out the rest;
    - ``path``: how candidates were found, and why so;
    - ``declared``: the ranking rests on a user's declaration that the function increases in p.
    """

    ids: np.ndarray
    scores: np.ndarray
    rescored: np.ndarray
    path: str = ""
    declared: bool = field(default=False)

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def row(self, query: int = 0) -> list[tuple[Any, float]]:
        """The hits of one query as (id, score), without the missing ones.

        >>> Hits(np.array([[4, -1]]), np.array([[0.5, np.nan]]), np.array([2])).row()
        [(4, 0.5)]
        """
        pairs = zip(self.ids[query].tolist(), self.scores[query].tolist(), strict=True)
        return [(i, s) for i, s in pairs if s == s]
