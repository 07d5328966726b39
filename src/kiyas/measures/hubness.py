"""Hubness corrections: a row that is near to everything is taken down by how near it is to its own neighbours.

The correction of a row comes from the rows that the measure was fitted on, never from queries. It rides along as
one more coordinate of the row, so that a search is that of an inner product, exact and as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from kiyas.arrays import Array, count, matrix, row_blocks, to_numpy
from kiyas.errors import InputError, MeasureError, NotFittedError, message
from kiyas.measures.base import Facts, Measure
from kiyas.measures.inner import Cosine, Dot
from kiyas.measures.linear import LinearMap
from kiyas.measures.mapped import MappedMeasure
from kiyas.measures.rounding import like

# The most that float32 rows rounded to unit length are off it, with room.
_UNIT = 1 + 1e-6
# Columns of a block of products that are looked at first.
_FIRST = 2048
# A row whose neighbours are copies of it has no scale of its own; below this, 1/scale would drown float32.
_LEAST_SCALE = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class HubnessCorrected(MappedMeasure):
    """What csls and local_scaling share: r(B), the mean similarity of a row to its k nearest fitted rows.

    A row that is itself among the fitted ones is not counted among its neighbours.
    """

    base: Measure = field(default_factory=Cosine)
    k: int = 10
    reference: np.ndarray | None = field(default=None, metadata={"fitted": True})
    density: np.ndarray | None = field(default=None, metadata={"fitted": True})

    bases: ClassVar[tuple[type[Measure], ...]] = (Cosine,)

    def __post_init__(self) -> None:
        count(self.k, "k", self.name, 1, 1 << 30)
        base = self._compared_base
        if not isinstance(base, self.bases):
            names = " or ".join(cls.name for cls in self.bases)
            got = base.name if isinstance(base, Measure) else repr(base)
            raise MeasureError(message(self.name, "base", f"{names}, or a linear_map in front of it", got,
                                       "the correction must be one more coordinate of an inner product to stay exact"))
        for name in ("reference", "density"):
            value = getattr(self, name)
            if value is not None:
                value = np.array(value, dtype=np.float32)
                value.setflags(write=False)
                object.__setattr__(self, name, value)

    @property
    def fitted(self) -> bool:
        return self.reference is not None and self.base.fitted

    @property
    def compared(self) -> Measure:
        return Dot()

    def fit(self, X: Array, progress: Callable[[int, int], None] | None = None) -> Self:
        """A copy fitted on the rows ``X`` (n, d), n > k: they are kept, and r of each is found.

        One product of all rows with all rows; ``progress(done, total)`` counts rows. Raises `InputError` where there
        are not more than ``k`` rows.
        """
        X = matrix(X, "X", f"{self.name}.fit")
        if X.shape[0] <= self.k:
            raise InputError(message(f"{self.name}.fit", "X", f"of more than k = {self.k} rows", f"{X.shape[0]}"))
        base = self.base if self.base.fitted else self.base.fit(X)
        rows = _directions(base, X, self.name)
        bare = self.with_(base=base, reference=rows, density=np.zeros(rows.shape[0]))
        return bare.with_(density=bare._found_density(rows, progress))

    def transform(self, X: Array) -> Array:
        X = matrix(X, "X", f"{self.name}.transform", dims=self._dims)
        rows = _directions(self.base, X, self.name)
        return like(X, self._lifted(rows, self._density(rows)))

    def transform_queries(self, Q: Array) -> Array:
        Q = matrix(Q, "Q", f"{self.name}.transform_queries", dims=self._dims)
        return like(Q, self._lifted_query(_directions(self.base, Q, self.name, queries=True)))

    def neighbourhood(self, X: Array) -> np.ndarray:
        """R of rows ``X`` (n, d): the mean similarity to their k nearest fitted rows, float32 (n,)."""
        X = matrix(X, "X", f"{self.name}.neighbourhood", dims=self._dims)
        return self._density(_directions(self.base, X, self.name))

    # -- for subclasses ----------------------------------------------------------------------------

    def _lifted(self, rows: np.ndarray, density: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _lifted_query(self, rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    # -- r -----------------------------------------------------------------------------------------

    @property
    def _compared_base(self) -> Any:
        return self.base.base if isinstance(self.base, LinearMap) else self.base

    @property
    def _dims(self) -> int:
        if self.reference is None:
            raise NotFittedError(f"{self.name}: is not fitted; call fit(X) on the rows of your collection first")
        return self.base.dims if isinstance(self.base, LinearMap) else int(self.reference.shape[1])

    @cached_property
    def _places(self) -> dict[bytes, int]:
        """The first place of each fitted row, by its bytes."""
        assert self.reference is not None
        places: dict[bytes, int] = {}
        for i, row in enumerate(self.reference):
            places.setdefault(row.tobytes(), i)
        return places

    def _density(self, rows: np.ndarray) -> np.ndarray:
        """R of rows: looked up for those fitted on, found for others."""
        assert self.density is not None
        places = np.fromiter((self._places.get(row.tobytes(), -1) for row in rows), np.int64, rows.shape[0])
        found = self.density[places]
        new = np.flatnonzero(places < 0)
        if new.size:
            found[new] = self._found_density(rows[new])
        return found

    def _found_density(self, rows: np.ndarray, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Mean of the k largest products with the fitted rows, the row itself left out.

        A float32 product names those that may be among the k largest, by the bound of its rounding; they are summed
        in float64, each pair by itself, so that r does not depend on what else is in the batch.
        """
        assert self.reference is not None
        X, n, d = self.reference, rows.shape[0], rows.shape[1]
        long = _UNIT if isinstance(self._compared_base, Cosine) else max(
            float(np.sqrt(np.max(np.sum(Z.astype(np.float64) ** 2, axis=1)))) for Z in (X, rows))
        slack = 2 * (1.01 * (d + 4) * 2.0**-24 * long * long + d * 2.0**-126)
        out = np.empty(n, np.float32)
        for start, stop in row_blocks(n, X.shape[0], elements=1 << 23):
            block = rows[start:stop]
            # Squares that overflow float32 bound nothing.
            S = block @ X.T if long < 1e15 else block.astype(np.float64) @ X.T.astype(np.float64)
            for place, row in enumerate(block):
                own = self._places.get(row.tobytes())
                if own is not None:
                    S[place, own] = -np.inf
            i, j = np.nonzero(self._reach(S, slack) <= S)
            value = np.empty(i.size)
            for a, b in row_blocks(i.size, d):
                value[a:b] = np.sum(block[i[a:b]].astype(np.float64) * X[j[a:b]].astype(np.float64), axis=1)
            order = np.lexsort((-value, i))
            first = np.searchsorted(i, np.arange(stop - start))
            best = value[order][first[:, None] + np.arange(self.k)]
            out[start:stop] = np.sum(best, axis=1) / self.k
            if progress is not None:
                progress(stop, n)
        return out

    def _reach(self, S: np.ndarray, slack: float) -> np.ndarray:
        """A threshold for each row of products that none of its k largest is below: (rows, 1)."""
        most = S.shape[1]
        part = S[:, : max(self.k, _FIRST)]
        least = np.partition(part, part.shape[1] - self.k, axis=1)[:, [part.shape[1] - self.k]]
        if part.shape[1] < most:
            # The k-th largest of the first columns bounds that of all; few lie above it, and among them it is found.
            i, j = np.nonzero(least <= S)
            value = S[i, j]
            order = np.lexsort((-value, i))
            least = value[order][np.searchsorted(i, np.arange(S.shape[0])) + self.k - 1][:, None]
        return np.asarray((least.astype(np.float64) - slack).astype(S.dtype))


def _directions(base: Measure, X: Array, owner: str, queries: bool = False) -> np.ndarray:
    """Rows, or queries, as the base compares them: float32, of unit length (or zero) for cosine."""
    mapped = X
    if isinstance(base, LinearMap):
        mapped = base.transform_queries(X) if queries else base.transform(X)
    Z = np.ascontiguousarray(to_numpy(mapped), dtype=np.float64)
    compared = base.base if isinstance(base, LinearMap) else base
    if isinstance(compared, Cosine):
        # The largest value first, so that no square overflows or vanishes.
        largest = np.max(np.abs(Z), axis=1, keepdims=True)
        Z = Z / np.where(largest > 0, largest, 1)
        norm = np.sqrt(np.sum(Z * Z, axis=1, keepdims=True))
        Z = Z / np.where(norm > 0, norm, 1)
    with np.errstate(over="ignore"):
        rows = Z.astype(np.float32) + np.float32(0)  # −0 becomes +0, as both are one row
    if not np.all(np.isfinite(rows)):
        raise InputError(f"{owner}: row {int(np.argmin(np.all(np.isfinite(rows), axis=1)))} is too large for float32; "
                         "divide all vectors by a common number")
    return rows


@dataclass(frozen=True, eq=False, kw_only=True)
class CSLS(HubnessCorrected):
    """2·base(A, B) − r(B), r(B) the mean similarity of B to its ``k`` nearest rows of the collection.

    Parameters: ``base``: cosine, dot, or a linear map in front of one; ``k``. `fit` finds r from the rows alone.
    The usual definition takes off r(A), too, which is the same for all rows of a query and changes no ranking.

    >>> import numpy as np
    >>> m = CSLS(k=1).fit(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> m.pairwise(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])).round(4).tolist()
    [[0.4142, 1.4142]]
    """

    name: ClassVar[str] = "csls"
    facts: ClassVar[Facts] = Facts(
        title="CSLS (hubness-corrected)",
        formula="2·base(A, B) − r(B), r(B) = mean of base(B, X) over the k nearest rows X of the collection",
        range="[−3, 3] for cosine",
        scaling="for cosine, unchanged by any positive scaling",
        zero="2·0 − 0 against a zero row, as its cosine is 0 to all",
        symmetric=False,
        domain="all finite vectors; rows are kept as float32",
        gradient="none: r is a step in which rows are near",
        source="Conneau et al. 2018 (arXiv 1710.04087), without the query's own term, which changes no ranking; "
               "Radovanović et al. 2010 on hubs",
        meaning="How near, beyond what this row is to everything in its part of the space?",
        cost="once, a product of all rows with all rows; then one matrix product of d + 1 dimensions",
        traps="not symmetric: A is the query, B the row; scores of two queries cannot be compared, as each lacks its "
              "own r; better on one collection of three here: measure it; keeps a float32 copy of the rows it was "
              "fitted on",
    )
    bases: ClassVar[tuple[type[Measure], ...]] = (Cosine, Dot)

    def _lifted(self, rows: np.ndarray, density: np.ndarray) -> np.ndarray:
        return np.concatenate([rows, density[:, None]], axis=1)

    def _lifted_query(self, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([2 * rows, np.full((rows.shape[0], 1), -1, np.float32)], axis=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class LocalScaling(HubnessCorrected):
    """1 − (1 − cos(A, B))/s(B), s(B) the mean cosine distance of B to its ``k`` nearest rows of the collection.

    Parameters: ``base``: cosine, or a linear map in front of it; ``k``. `fit` finds s from the rows alone; it counts
    as 0.001 where it is less.

    >>> import numpy as np
    >>> m = LocalScaling(k=1).fit(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    >>> m.pairwise(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.6, 0.8]])).round(4).tolist()
    [[1.0, -1.0]]
    """

    name: ClassVar[str] = "local_scaling"
    facts: ClassVar[Facts] = Facts(
        title="Local scaling (hubness-corrected)",
        formula="1 − (1 − cos(A, B))/s(B), s(B) = max(0.001, mean of 1 − cos(B, X) over the k nearest rows X of the "
                "collection)",
        range="[−1999, 1]",
        scaling="unchanged by any positive scaling",
        zero="1 − 1/s(B) if either vector is zero",
        symmetric=False,
        domain="all finite vectors; rows are kept as float32",
        gradient="none: s is a step in which rows are near",
        source="Zelnik-Manor & Perona 2004 and Schnitzer et al. 2012 (NICDM) for distances over local scales, here "
               "with the row's scale alone, as the query's changes no ranking",
        meaning="Nearer than this row's own neighbours are to it? 1 for the same direction, 0 for just as near.",
        cost="once, a product of all rows with all rows; then one matrix product of d + 1 dimensions",
        traps="not symmetric: A is the query, B the row; isolated rows have a large s and come near to everything; "
              "keeps a float32 copy of the rows it was fitted on; where s is small, float32 leaves 6e-8/s of error in "
              "a score",
    )

    def _lifted(self, rows: np.ndarray, density: np.ndarray) -> np.ndarray:
        scale = np.maximum(_LEAST_SCALE, 1 - density.astype(np.float64))[:, None]
        return np.concatenate([rows / scale, 1 - 1 / scale], axis=1).astype(np.float32)

    def _lifted_query(self, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rows, np.ones((rows.shape[0], 1), np.float32)], axis=1)
