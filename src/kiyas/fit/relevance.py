"""Relevance-fitted linear maps: closed form, from pairs that belong together.

With q̂ = q/‖q‖, d̂ = d/‖d‖ for each pair, and S its scatter of differences, the mean of (q̂ − d̂)(q̂ − d̂)ᵀ:

    C = the mean of S/tr(S) over the kinds of pairs given
    C_λ = (1 − λ)·C + λ·tr(C)/d·I
    score(A, B) = cosine(C_λ^(−1/2)·(Â − m_A), C_λ^(−1/2)·(B̂ − m_B))

m_A is the mean of the queries, m_B that of the documents: what all queries share says nothing of any of them, and
queries and documents do not share the same. Directions in which a query and its document often differ count less
(relevant component analysis, RCA, of Bar-Hillel et al. 2005, with shrinkage). At λ = 1 only the centring is left.
Rows are mapped once, so a search costs what cosine costs, and `kiyas.reduce` exports to any inner-product engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kiyas.arrays import Array, matrix, number, row_blocks
from kiyas.errors import InputError, message
from kiyas.fit.pairs import Pairs, unit_rows
from kiyas.measures import Cosine, LinearMap

# λ of the maps that fitting chooses from, weak to strong. Weaker than 0.95 is centring alone. Stronger ones than 0.7
# keep gaining on pairs like those fitted on, titles and texts, and not on people's queries, so they are not offered.
SHRINKAGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a map is made of: the spectrum of C (``values`` ascending, ``vectors`` in columns) and the two means."""

    values: np.ndarray
    vectors: np.ndarray
    query_center: np.ndarray
    center: np.ndarray

    def factors(self, shrinkage: float) -> np.ndarray:
        """The stretch of each direction of ``vectors``, relative to the mean: C_λ^(−1/2)·√(tr(C)/d)."""
        lam = number(shrinkage, "shrinkage", "relevance_map", "a number above 0 and at most 1", 0, 1, open_low=True)
        mean = self.values.mean()
        return np.asarray(((1 - lam) * self.values / mean + lam) ** -0.5)

    def map(self, shrinkage: float) -> LinearMap:
        """The measure."""
        stretched = self.vectors * self.factors(shrinkage)
        matrix = np.eye(self.values.size) if shrinkage == 1 else stretched @ self.vectors.T
        return LinearMap(matrix, Cosine(), self.center, self.query_center, unit=True)

    def scores(self, queries: np.ndarray, documents: np.ndarray, shrinkages: Sequence[float]) -> Iterator[np.ndarray]:
        """Scores (queries, documents) under each map, of rows of length 1; for choosing, so without rounding care."""
        Q, D = (queries - self.query_center) @ self.vectors, (documents - self.center) @ self.vectors
        Q[~queries.any(axis=1)] = 0  # as in the measure: what has no direction is like nothing
        D[~documents.any(axis=1)] = 0
        for shrinkage in shrinkages:
            w = self.factors(shrinkage)
            A, B = Q * w, D * w
            norms = np.sqrt((B * B).sum(axis=1))
            lengths = np.sqrt((A * A).sum(axis=1))
            scores = A @ B.T
            scores /= np.where(norms > 0, norms, 1.0)
            scores /= np.where(lengths > 0, lengths, 1.0)[:, None]
            yield scores


def statistics(kinds: Sequence[Pairs], queries: Array, documents: Array) -> Statistics:
    """The statistics of a map; ``queries`` and ``documents`` (rows of any length) give the two means."""
    if not kinds or len({one.queries.shape[1] for one in kinds}) != 1:
        raise InputError(message("relevance_map", "pairs", "one kind or more, all of the same dimensions",
                                 f"{len(kinds)}"))
    total = np.zeros((kinds[0].queries.shape[1],) * 2)
    for one in kinds:
        difference = unit_rows(one.queries) - unit_rows(one.documents)
        S = difference.T @ difference / len(one)
        if (trace := float(np.trace(S))) <= 0:
            raise InputError("relevance_map: queries and documents of the pairs are equal, so they say nothing about "
                             "which directions to trust")
        total += S / trace
    values, vectors = np.linalg.eigh(total / len(kinds))
    return Statistics(np.maximum(values, 0.0), vectors, _mean_direction(queries, "queries"),
                      _mean_direction(documents, "documents"))


def relevance_map(pairs: Pairs | Sequence[Pairs], queries: Array, documents: Array,
                  shrinkage: float = 0.8) -> LinearMap:
    """The map of the formula above, as a measure.

    ``pairs``: of one kind or several (from judgements, from texts), each kind counts alike. ``queries`` (m, d) and
    ``documents`` (n, d) give the means; queries of the kind that will be asked, in any number. ``shrinkage``: λ, above
    0 and at most 1.

    >>> rng = np.random.default_rng(0)
    >>> D = rng.normal(size=(50, 4))
    >>> pairs = Pairs(D + rng.normal(size=(50, 4)) * [3, 0.1, 0.1, 0.1], D, np.arange(50))
    >>> m = relevance_map(pairs, pairs.queries, D)
    >>> bool(np.diag(m.matrix).argmin() == 0)
    True
    """
    kinds = [pairs] if isinstance(pairs, Pairs) else list(pairs)
    return statistics(kinds, queries, documents).map(shrinkage)


def _mean_direction(X: Array, name: str) -> np.ndarray:
    X = matrix(X, name, "relevance_map")
    total = np.zeros(X.shape[1])
    for start, stop in row_blocks(X.shape[0], X.shape[1]):  # a memory map is never read at once
        total += unit_rows(X[start:stop, :]).sum(axis=0)
    return np.asarray(total / X.shape[0])
