"""What the nearest neighbours say: intrinsic dimension, hubs, duplicates, concentration of distances."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kiyas.search import Index

# Levina & Bickel's estimator is steady from about ten to a few tens of neighbours.
NEIGHBOURS = 20
# How many answers of each row are counted for hubs.
HUB_ANSWERS = 10
# In how many parts all rows search, so that a person sees it go on.
PARTS = 8


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest rows of each row, itself left out: Euclidean ``distances`` (n, k), rising; ``rows`` (n, k)."""

    rows: np.ndarray
    distances: np.ndarray


def neighbours(index: Index, k: int = NEIGHBOURS, told: Callable[[], None] = lambda: None) -> Neighbours:
    """Exact neighbours by Euclidean distance of every row of an index (without ids of its own).

    ``told`` is called `PARTS` times on the way.
    """
    rows, scores = answers_of_rows(index.using("euclidean"), min(k, len(index) - 1), told)
    # The score is 1/(1+d), which says nothing more of a d below 1e-16; such rows are duplicates.
    return Neighbours(rows, np.maximum(1 / scores - 1, 0.0))


def answers_of_rows(index: Index, k: int, told: Callable[[], None] = lambda: None) -> tuple[np.ndarray, np.ndarray]:
    """Rows and scores of the ``k`` best answers of every row, itself left out; ``told`` is called `PARTS` times."""
    found = []
    for part in np.array_split(np.arange(len(index)), PARTS):
        if part.size:
            hits = index.neighbours(part, k=k)
            found.append((hits.ids, hits.scores))
        told()
    return np.concatenate([ids for ids, _ in found]), np.concatenate([scores for _, scores in found])


def two_nn(near: Neighbours) -> tuple[float, np.ndarray]:
    """Intrinsic dimension by TwoNN (Facco et al. 2017), and the ratios μ = r₂/r₁ it is read from, sorted.

    μ follows 1 − μ^(−D) where density is locally even: D = (N − 1)/Σ ln μ over the smallest 90 % of μ, the rest taken
    at the largest of these (a censored maximum likelihood; far pairs break the assumption first). Leave
    out duplicates before: a neighbour that is there twice makes a ratio of 1. NaN with fewer than ten usable rows.
    """
    first, second = near.distances[:, 0], near.distances[:, 1]
    usable = first > 0
    ratios = np.sort(second[usable] / first[usable])
    ratios = ratios[np.isfinite(ratios)]
    kept = int(0.9 * ratios.size)
    if kept < 9:
        return float("nan"), ratios
    logs = np.log(ratios[:kept])
    total = logs.sum() + (ratios.size - kept) * logs[-1]
    return float((kept - 1) / total) if total > 0 else float("inf"), ratios


def levina_bickel(near: Neighbours) -> float:
    """Intrinsic dimension by maximum likelihood over k neighbours (Levina & Bickel 2004).

    Inverses are averaged (MacKay & Ghahramani 2005): D⁻¹ = mean over rows of the mean over j < k of ln(r_k/r_j). Rows
    with duplicates are left out. NaN with fewer than ten usable rows or three neighbours.
    """
    distances = near.distances[near.distances[:, 0] > 0]
    if len(distances) < 10 or distances.shape[1] < 3:
        return float("nan")
    logs = np.log(distances[:, -1:] / distances[:, :-1])
    inverse = logs.mean()
    return float(1 / inverse) if inverse > 0 else float("inf")


class Hubness(NamedTuple):
    """How unevenly rows are answers: ``counts`` (n,), how often each is among the first k of a query.

    ``skewness`` of the counts; ``robin_hood``: the share of answers that would have to move for all rows to have
    equally many; ``never``: the share of rows that are no answer at all; ``largest``: the most answers of one row.
    """

    counts: np.ndarray
    skewness: float
    robin_hood: float
    never: float
    largest: int


def hubness(answers: np.ndarray, rows: int) -> Hubness:
    """From the answers (queries, k) of a search over so many rows.

    >>> found = hubness(np.array([[0], [0], [0], [1]]), 4)
    >>> found.counts.tolist(), found.never, found.robin_hood, found.largest
    ([3, 1, 0, 0], 0.5, 0.5, 3)
    """
    counts = np.bincount(answers[answers >= 0].ravel(), minlength=rows)
    centred = counts - counts.mean()
    spread = np.sqrt((centred**2).mean())
    skew = float((centred**3).mean() / spread**3) if spread > 0 else 0.0
    robin = float(np.abs(centred).sum() / (2 * counts.sum())) if counts.any() else 0.0
    return Hubness(counts, skew, robin, float((counts == 0).mean()), int(counts.max()))


def different_rows(X: np.ndarray) -> np.ndarray:
    """The rows that are equal, bit for bit, to none before."""
    seen: dict[bytes, int] = {}
    for place, row in enumerate(X):
        seen.setdefault(hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest(), place)
    return np.fromiter(seen.values(), np.int64)


def contrast(near: Neighbours, pairs: np.ndarray) -> tuple[float, float]:
    """(coefficient of variation of the distances of random pairs, their mean over the median nearest distance).

    The second is the relative contrast with the mean in place of the farthest; infinite where half the rows have a
    duplicate.
    """
    nearest = float(np.median(near.distances[:, 0]))
    mean = float(pairs.mean())
    return float(pairs.std() / mean) if mean > 0 else 0.0, mean / nearest if nearest > 0 else float("inf")


def random_pairs(X: np.ndarray, seed: int, count: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(Euclidean distance, cosine, absolute differences of one random coordinate) of random pairs of different rows."""
    generator = np.random.default_rng(seed)
    a = generator.integers(len(X), size=count)
    b = (a + generator.integers(1, len(X), size=count)) % len(X)
    coordinate = generator.integers(X.shape[1], size=count)
    distances, cosines, deltas = np.empty(count), np.empty(count), np.empty(count)
    for start in range(0, count, 2000):
        part = slice(start, min(start + 2000, count))
        x, y = np.asarray(X[a[part]], np.float64), np.asarray(X[b[part]], np.float64)
        distances[part] = np.sqrt(((x - y) ** 2).sum(axis=1))
        scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        cosines[part] = np.divide((x * y).sum(axis=1), scale, out=np.zeros(len(scale)), where=scale > 0)
        rows = np.arange(len(x))
        deltas[part] = np.abs(x[rows, coordinate[part]] - y[rows, coordinate[part]])
    return distances, cosines, deltas
