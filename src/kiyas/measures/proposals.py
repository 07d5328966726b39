"""What data proposes for a coordinate measure: weights, critical dimensions, ranges, deviations.

Rows are read in blocks, so that a memory map is never read into memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import array_api_compat
import numpy as np

from kiyas.arrays import Array, count, matrix, namespace, row_blocks, to_numpy
from kiyas.errors import InputError, MeasureError, message

if TYPE_CHECKING:
    from kiyas.measures.coordinate import CoordinateMeasure

# Columns whose scale is below this share of the median scale carry rounding rather than meaning.
_RELATIVE = 1e-3
# Quantiles of longer collections are taken on this many rows, drawn with a fixed seed.
QUANTILE_ROWS = 200_000


def propose_weights(X: Array | None = None, by: str | None = None, *, pairs: tuple[Array, Array] | None = None,
                    measure: CoordinateMeasure | None = None) -> np.ndarray:
    """Weights for the dimensions, proposed from data; float64 of shape (d,), averaging 1.

    - ``propose_weights(X)``, ``by="variance"``: in proportion to the variance of each dimension of
      the rows ``X`` (n, d).
    - ``propose_weights(pairs=(A, B))``, ``by="discrimination"``: rows A[i] and B[i] belong together.
      Each dimension is weighed by how far the scores of such pairs lie above those of shuffled
      pairs: the difference of the two means over the pooled standard deviation, 0 where negative.
      ``measure`` gives the scores (a coordinate measure, fitted if it needs to be); −|aᵢ−bᵢ| without.

    Raises `InputError` where the data says nothing (no variance, no dimension that tells pairs apart).

    >>> propose_weights([[0.0, 0.0], [2.0, 4.0]]).tolist()
    [0.4, 1.6]
    """
    owner = "propose_weights"
    raw = _raw_weights(owner, X, by, pairs, measure)
    if not bool(np.any(raw > 0)):
        given = "X" if pairs is None else "pairs"
        wanted = "rows that differ" if pairs is None else "pairs that some dimension tells from shuffled ones"
        raise InputError(message(owner, given, wanted, "a weight of 0 in every dimension"))
    # By the largest first, since sums of huge variances could overflow.
    raw = raw / raw.max()
    return np.asarray(raw / raw.mean())


def propose_critical(X: Array | None = None, by: str | None = None, *, count: int,
                     pairs: tuple[Array, Array] | None = None,
                     measure: CoordinateMeasure | None = None) -> tuple[int, ...]:
    """The ``count`` dimensions of highest proposed weight, ascending: critical ones for ``tiers``.

    The other arguments are those of `propose_weights`; of equal weights the lower dimension wins.
    Raises `InputError` where fewer dimensions than ``count`` have a weight above 0.

    >>> propose_critical([[0.0, 0.0, 1.0], [2.0, 4.0, 1.0]], count=1)
    (1,)
    """
    weights = propose_weights(X, by, pairs=pairs, measure=measure)
    n = _count(count, weights.shape[0])
    if n > (useful := int(np.count_nonzero(weights))):
        raise InputError(message("propose_critical", "count", f"at most {useful}, the dimensions of a weight above 0",
                                 n))
    best = np.argsort(-weights, kind="stable")[:n]
    return tuple(sorted(int(i) for i in best))


def _count(value: int, dims: int) -> int:
    return count(value, "count", "propose_critical", 1, dims)


def _raw_weights(owner: str, X: Array | None, by: str | None, pairs: tuple[Array, Array] | None,
                 measure: CoordinateMeasure | None) -> np.ndarray:
    if (X is None) == (pairs is None):
        raise InputError(message(owner, "X", "given, or else 'pairs'", "both" if pairs is not None else "neither"))
    known = "variance" if pairs is None else "discrimination"
    if by not in (None, known):
        raise MeasureError(message(owner, "by", f"{known!r} where {'X' if pairs is None else 'pairs'} is given",
                                   repr(by)))
    if pairs is None:
        if measure is not None:
            raise MeasureError(message(owner, "measure", "left out where X is given", measure,
                                       "variance looks at the rows alone"))
        return column_moments(matrix(X, "X", owner))[1]
    return _discrimination(owner, pairs, measure)


def _discrimination(owner: str, pairs: tuple[Array, Array], measure: CoordinateMeasure | None) -> np.ndarray:
    if not isinstance(pairs, (tuple, list)) or len(pairs) != 2:
        raise InputError(message(owner, "pairs", "two arrays (A, B) whose rows belong together",
                                 type(pairs).__name__))
    A = matrix(pairs[0], "pairs[0]", owner)
    B = matrix(pairs[1], "pairs[1]", owner, dims=A.shape[1])
    n = A.shape[0]
    if B.shape[0] != n or n < 2:
        raise InputError(message(owner, "pairs", "two arrays of as many rows, two or more",
                                 f"{n} and {B.shape[0]} rows"))
    # Each row of a random round goes with the next one's partner: no row meets its own.
    round_ = np.random.default_rng(0).permutation(n)
    rows = np.arange(n)
    high, spread = _moments(_scores(A, B, rows, rows, measure))
    low, other = _moments(_scores(A, B, round_, np.roll(round_, -1), measure))
    deviation = np.sqrt((spread + other) / 2)
    gain = np.nan_to_num(np.maximum(high - low, 0.0), nan=0.0)  # dimensions the measure drops are NaN
    deviation = np.nan_to_num(deviation, nan=0.0)
    if deviation.max() == 0:
        return np.asarray(gain > 0, dtype=np.float64)
    return np.asarray(gain / np.maximum(deviation, _RELATIVE * deviation.max()))


def _scores(A: Array, B: Array, i: np.ndarray, j: np.ndarray,
            measure: CoordinateMeasure | None) -> Iterator[np.ndarray]:
    for start, stop in row_blocks(i.shape[0], A.shape[1]):
        a, b = rows_at(A, i[start:stop]), rows_at(B, j[start:stop])
        yield -np.abs(a - b) if measure is None else measure.profiles(a, b)


# -- columns ---------------------------------------------------------------------------------------


def column_moments(X: Array) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (of the population) of every column, float64."""
    return _moments(_blocks(X))


def column_span(X: Array, quantile: float) -> np.ndarray:
    """From the ``quantile`` to the 1 − ``quantile`` of every column (0: the whole range), float64.

    Collections of more than `QUANTILE_ROWS` rows give quantiles of that many rows, drawn without
    replacement with a fixed seed; the whole range always looks at every row.
    """
    if quantile == 0:
        low = np.full(X.shape[1], np.inf)
        high = -low
        for block in _blocks(X):
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        return np.asarray(high - low)
    rows = X.shape[0]
    chosen = np.arange(rows)
    if rows > QUANTILE_ROWS:
        chosen = np.sort(np.random.default_rng(0).choice(rows, QUANTILE_ROWS, replace=False))
    span = np.empty(X.shape[1])
    # Column groups, because a quantile needs all rows of its column at once.
    for start, stop in row_blocks(X.shape[1], chosen.shape[0], elements=1 << 23):
        part = X[:, start:stop]
        columns = np.asarray(to_numpy(part) if rows <= QUANTILE_ROWS else rows_at(part, chosen), dtype=np.float64)
        low, high = np.quantile(columns, [quantile, 1 - quantile], axis=0)
        span[start:stop] = high - low
    return span


def live_columns(scale: np.ndarray) -> np.ndarray:
    """Which columns vary enough to count: scale above 0 and at least 0.001 of the median scale.

    >>> live_columns(np.array([1.0, 2.0, 3.0, 1e-9, 0.0])).tolist()
    [True, True, True, False, False]
    """
    return np.asarray((scale > 0) & (scale >= _RELATIVE * np.median(scale)))


def rows_at(X: Array, rows: np.ndarray) -> np.ndarray:
    """Chosen rows on the host, float64."""
    if isinstance(X, np.ndarray):
        return np.asarray(X[rows], dtype=np.float64)
    xp = namespace(X)
    index = xp.asarray(rows, device=array_api_compat.device(X))
    return np.asarray(to_numpy(xp.take(X, index, axis=0)), dtype=np.float64)


def _blocks(X: Array) -> Iterator[np.ndarray]:
    for start, stop in row_blocks(X.shape[0], X.shape[1]):
        yield np.asarray(to_numpy(X[start:stop, :]), dtype=np.float64)


def _moments(blocks: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over all rows of the blocks, by merging centred sums (Chan, Golub & LeVeque)."""
    seen, shift, mean, squares = 0, np.zeros(1), np.zeros(1), np.zeros(1)
    for block in blocks:
        if seen == 0:
            shift = block[0].copy()  # as the origin, so that a constant column has a variance of exactly 0
        block = block - shift
        n = block.shape[0]
        own = block.mean(axis=0)
        gap = own - mean
        squares = squares + ((block - own) ** 2).sum(axis=0) + gap**2 * (seen * n / (seen + n))
        mean = mean + gap * (n / (seen + n))
        seen += n
    return shift + mean, squares / seen
