"""How the rows fill their space: direction, spread over dimensions, dimensions that are dead or rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiyas.arrays import Array, float64, matrix, namespace, row_blocks, to_numpy

# A dimension whose deviation is below this share of the median one carries nothing but rounding.
_DEAD = 1e-3
# An eigenvalue below this share of the largest is rounding of float32.
_RANK = 1e-6


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows (n, d), in float64: what direction, covariance and dimensions are judged by.

    ``mean`` and ``deviation`` (d,) of the coordinates; ``direction`` (d,): mean of the rows at length 1;
    ``eigenvalues`` (d,) of the covariance, largest first; ``norms`` (n,); ``low`` and ``high`` (d,): ranges.
    """

    rows: int
    mean: np.ndarray
    deviation: np.ndarray
    direction: np.ndarray
    eigenvalues: np.ndarray
    norms: np.ndarray
    low: np.ndarray
    high: np.ndarray


def moments(X: Array) -> Moments:
    """One pass over the rows, in blocks."""
    X = matrix(X, "X", "diagnose")
    xp = namespace(X)
    n, d = X.shape
    total, square = np.zeros(d), np.zeros((d, d))
    direction, norms = np.zeros(d), []
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    first = to_numpy(float64(xp, X[:1, :]))[0]
    for start, stop in row_blocks(n, d):
        block = np.asarray(to_numpy(float64(xp, X[start:stop, :])))
        length = np.sqrt((block * block).sum(axis=1))
        norms.append(length)
        direction += np.divide(block, length[:, None], out=np.zeros_like(block), where=length[:, None] > 0).sum(axis=0)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        # Shifted by a row, so that a large mean does not drown the spread.
        block = block - first
        total += block.sum(axis=0)
        square += block.T @ block
    mean = total / n
    covariance = square / n - np.outer(mean, mean)
    values = np.linalg.eigvalsh(covariance)[::-1]
    return Moments(n, mean + first, np.sqrt(np.maximum(np.diag(covariance), 0)), direction / n, np.maximum(values, 0),
                   np.concatenate(norms), low, high)


def anisotropy(held: Moments) -> float:
    """Mean cosine of two different rows: (n‖ū‖² − 1)/(n − 1), ū the mean of the rows at length 1. Exact, no sampling.

    Rows of length 0 have no direction and are not counted.
    """
    n = int((held.norms > 0).sum())
    mean = held.direction * (held.rows / n)
    return float((n * (mean @ mean) - 1) / (n - 1))


def participation_ratio(held: Moments) -> float:
    """(Σλ)²/Σλ², λ the eigenvalues of the covariance: over how many directions the variance is spread."""
    v = held.eigenvalues
    return float(v.sum() ** 2 / (v * v).sum()) if v.any() else 0.0


def isoscore(held: Moments) -> float:
    """IsoScore (Rudman et al. 2022), which is (PR − 1)/(D − 1) exactly: 0 on a line, 1 for equal variances."""
    d = held.eigenvalues.size
    return (participation_ratio(held) - 1) / (d - 1) if d > 1 else 1.0


def effective_rank(held: Moments) -> float:
    """exp(−Σ p ln p), p = λ/Σλ (Roy & Vetterli 2007)."""
    p = held.eigenvalues[held.eigenvalues > 0]
    p = p / p.sum()
    return float(np.exp(-(p * np.log(p)).sum())) if p.size else 0.0


def rank(held: Moments) -> int:
    """Number of eigenvalues above 1e-6 of the largest."""
    return int((held.eigenvalues > _RANK * held.eigenvalues[0]).sum())


def dead_dimensions(held: Moments) -> np.ndarray:
    """Dimensions whose standard deviation is below 1/1000 of the median one."""
    return np.flatnonzero(held.deviation < _DEAD * np.median(held.deviation))


def direction_shares(held: Moments) -> np.ndarray:
    """Each dimension's share of ‖ū‖², hence of the mean cosine: (d,), sum 1."""
    square = held.direction * held.direction
    return np.asarray(square / square.sum()) if square.any() else square
