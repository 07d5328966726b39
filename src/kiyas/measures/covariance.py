"""A running mean and covariance: rows in, rows out, parts merged; always in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiyas.arrays import Array, matrix, row_blocks, to_numpy
from kiyas.errors import InputError, message

_UNIT = 2.0**-53  # unit roundoff of float64


@dataclass(frozen=True, eq=False, repr=False)
class Covariance:
    """Mean and covariance of rows seen so far, immutable: every change returns a new one.

    Besides the mean and the scatter Σ(x−μ)(x−μ)ᵀ it carries Σ‖x−μ‖²(x−μ) and Σ‖x−μ‖⁴, one vector and
    one number, from which the Ledoit–Wolf intensity follows without the rows. Parts are merged by
    the pairwise formulas of Chan, Golub & LeVeque (1983), which keep their digits however far the
    rows lie from the origin.

    Limits: `remove` must be given rows that were added; it subtracts, so each removal loses about
    log10(scatter before / scatter after) digits of the 16. One that would leave fewer than about 4 in
    a dimension that varied raises `InputError`: build the state again from the rows that stay. The
    intensity of `ledoit_wolf` rests on fourth powers and loses twice as many.

    >>> import numpy as np
    >>> c = Covariance().add(np.array([[0.0, 0.0], [2.0, 0.0]])).add(np.array([[1.0, 3.0]]))
    >>> c.count, c.mean.tolist(), c.covariance().tolist()
    (3, [1.0, 1.0], [[1.0, 0.0], [0.0, 3.0]])
    """

    count: int = 0
    mean: np.ndarray | None = None
    scatter: np.ndarray | None = None
    third: np.ndarray | None = None
    fourth: float = 0.0

    def __repr__(self) -> str:
        return f"Covariance({self.count} rows)" if self.mean is None else (
            f"Covariance({self.count} rows, {self.mean.shape[0]} dims)")

    def add(self, rows: Array) -> Covariance:
        """With the rows (n, d) in."""
        dims = None if self.mean is None else self.mean.shape[0]
        rows = matrix(rows, "rows", "Covariance.add", dims=dims)
        total = self
        for start, stop in row_blocks(rows.shape[0], rows.shape[1]):
            total = total.merge(_of_block(to_numpy(rows[start:stop, :]).astype(np.float64)))
        return total

    def merge(self, other: Covariance) -> Covariance:
        """Both together, as if one had seen the rows of either."""
        if other.mean is None or self.mean is None:
            return self if other.mean is None else other
        if other.mean.shape != self.mean.shape:
            raise InputError(message("Covariance.merge", "other", f"of {self.mean.shape[0]} dimensions",
                                     f"{other.mean.shape[0]}"))
        n = self.count + other.count
        mean = self.mean + (other.mean - self.mean) * (other.count / n)
        a, b = self._about(mean), other._about(mean)
        return _frozen(n, mean, a[0] + b[0], a[1] + b[1], a[2] + b[2])

    def remove(self, rows: Array) -> Covariance:
        """With the rows (n, d) out; they must have been added before."""
        if self.mean is None or self.scatter is None:
            raise InputError("Covariance.remove: holds no rows yet")
        rows = matrix(rows, "rows", "Covariance.remove", dims=self.mean.shape[0])
        gone = Covariance().add(rows)
        assert gone.mean is not None
        n = self.count - gone.count
        if n < 0:
            raise InputError(message("Covariance.remove", "rows", f"at most {self.count} rows", gone.count))
        if n == 0:
            return Covariance()
        mean = self.mean + (self.mean - gone.mean) * (gone.count / n)
        a, b = self._about(mean), gone._about(mean)
        scatter = a[0] - b[0]
        left, before = np.diag(scatter), np.diag(a[0])
        size = np.maximum(np.abs(self.mean), np.abs(gone.mean))
        constant = (before <= self.count * (16 * _UNIT * size) ** 2) | (n == 1)
        scatter[constant, :] = 0.0
        scatter[:, constant] = 0.0
        if np.any(~constant & (left < 1e4 * _UNIT * self.count**0.5 * before)):
            raise InputError("Covariance.remove: too few digits would be left (were all these rows added before?); "
                             "build the covariance again from the rows that stay")
        return _frozen(n, mean, scatter, a[1] - b[1], max(a[2] - b[2], 0.0))

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """Scatter / (count − ddof), shape (d, d); needs at least ``ddof`` + 1 rows."""
        if self.scatter is None or self.count <= ddof:
            raise InputError(f"Covariance.covariance: needs at least {ddof + 1} rows, holds {self.count}")
        return np.asarray(self.scatter / (self.count - ddof))

    def ledoit_wolf(self) -> float:
        """The shrinkage intensity of Ledoit & Wolf (2004), from 0 to 1, towards (tr Σ / d)·I.

        With S = scatter/n: the mean squared error of S about itself over rows, β² = (1/n²)·Σ‖xxᵀ − S‖²,
        against its distance from the target, δ² = ‖S − (tr S/d)·I‖²; the intensity is β²/δ², at most 1.
        """
        S = self.covariance(ddof=0)
        d = S.shape[0]
        square = float(np.sum(S * S))
        beta = (self.fourth / self.count - square) / self.count
        centre = S - np.eye(d) * (np.trace(S) / d)
        delta = float(np.sum(centre * centre))
        return 0.0 if delta == 0 else float(min(max(beta / delta, 0.0), 1.0))

    def _about(self, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Scatter, third and fourth sums about another point (x − mean = y + s, Σy = 0)."""
        assert self.mean is not None and self.scatter is not None and self.third is not None
        s = self.mean - mean
        s2 = float(s @ s)
        trace = float(np.trace(self.scatter))
        pulled = self.scatter @ s
        scatter = self.scatter + self.count * np.outer(s, s)
        third = self.third + 2 * pulled + (trace + self.count * s2) * s
        fourth = self.fourth + 4 * float(s @ pulled) + 4 * float(s @ self.third) + s2 * (2 * trace + self.count * s2)
        return scatter, third, fourth


def _of_block(X: np.ndarray) -> Covariance:
    mean = np.mean(X, axis=0)
    Y = X - mean
    # The mean itself was rounded: the small mean that is left over is taken out as well.
    rest = np.mean(Y, axis=0)
    Y -= rest
    length2 = np.sum(Y * Y, axis=1)
    return _frozen(X.shape[0], mean + rest, Y.T @ Y, Y.T @ length2, float(np.sum(length2 * length2)))


def _frozen(count: int, mean: np.ndarray, scatter: np.ndarray, third: np.ndarray, fourth: float) -> Covariance:
    scatter = (scatter + scatter.T) / 2
    for array in (mean, scatter, third):
        array.setflags(write=False)
    return Covariance(count, mean, scatter, third, fourth)
