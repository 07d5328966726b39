"""Linear maps in front of a measure: `LinearMap` for any base, `Mahalanobis` for 1/(1+d_M).

Rows are mapped once and kept as float32; those float32 rows are what the base measure compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from kiyas.arrays import Array, count, matrix, number
from kiyas.errors import InputError, MeasureError, NotFittedError, message
from kiyas.measures.base import Facts, Measure
from kiyas.measures.covariance import Covariance
from kiyas.measures.inner import Euclidean
from kiyas.measures.mapped import MappedMeasure
from kiyas.measures.rounding import given_array, like, mapped_rows


@dataclass(frozen=True, eq=False)
class LinearMap(MappedMeasure):
    """Any measure on rows mapped by x ↦ (x − center)·matrixᵀ.

    Parameters: ``matrix`` (d_out, d); ``base``, a measure for the mapped rows; ``center`` (d,),
    subtracted first, None for the origin; ``query_center`` (d,), subtracted from queries in its place, None for
    ``center``; ``unit``: divide rows and queries by their length before anything else. `fit` fits the base on the
    mapped rows. `kiyas.fit` makes such maps from pairs that belong together.

    >>> import numpy as np
    >>> from kiyas.measures.inner import Dot
    >>> float(LinearMap(np.array([[2.0, 0.0], [0.0, 1.0]]), Dot())(np.ones(2), np.ones(2)))
    5.0
    """

    name: ClassVar[str] = "linear_map"
    facts: ClassVar[Facts] = Facts(
        title="Linear map in front of a measure", formula="base(M·(A − m_A), M·(B − m_B))",
        range="that of the base",
        scaling="that of the base on the mapped rows; with unit, lengths play no part",
        zero="that of the base; without a center or with unit, a zero vector is mapped to zero",
        domain="that of the base on the mapped rows; mapped values must fit into float32",
        gradient="that of the base",
        source="a change of basis; whitening, relevance-fitted maps (RCA, Bar-Hillel et al. 2005) and adapters have "
               "this form",
        symmetric=False,
        meaning="The base measure, seen through a matrix that stretches, turns or drops directions.",
        cost="the map once a row when rows are added and once a query, then the cost of the base",
        traps="the mapped rows are rounded to float32 and that is what is compared; a map fitted on one model's "
              "vectors means nothing for another's",
    )
    matrix: np.ndarray | None
    base: Measure
    center: np.ndarray | None = None
    query_center: np.ndarray | None = None
    unit: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.unit, bool):
            raise MeasureError(message(self.name, "unit", "True or False", repr(self.unit)))
        if not isinstance(self.base, Measure):
            raise MeasureError(message(self.name, "base", "a measure", repr(self.base)))
        if isinstance(self.base, MappedMeasure):
            raise MeasureError(message(self.name, "base", "an inner, per-dimension or learned measure", self.base.name,
                                       "multiply the matrices instead of nesting maps"))
        if self.matrix is not None:
            object.__setattr__(self, "matrix", given_array(self.matrix, "matrix", self.name, 2))
        for name in ("center", "query_center"):
            if (value := getattr(self, name)) is not None:
                held = given_array(value, name, self.name, 1)
                object.__setattr__(self, name, held)
                if self.matrix is not None and held.shape[0] != self.matrix.shape[1]:
                    raise InputError(message(self.name, name, f"of {self.matrix.shape[1]} dimensions",
                                             f"{held.shape[0]}"))

    @property
    def fitted(self) -> bool:
        return self.matrix is not None and self.base.fitted

    @property
    def compared(self) -> Measure:
        return self.base

    @property
    def dims(self) -> int:
        """Dimensions of the rows that go in."""
        return int(self._matrix().shape[1])

    def transform(self, X: Array) -> Array:
        """The rows as the base compares them: ``X`` (n, d) -> float32 (n, d_out), of X's library and device.

        Each value is correctly rounded, so it does not depend on the batch. Computed on the host.
        """
        return self._mapped(X, "X", "transform", self.center)

    def transform_queries(self, Q: Array) -> Array:
        """Queries as the base compares them: as rows, but by ``query_center`` where there is one."""
        center = self.center if self.query_center is None else self.query_center
        return self._mapped(Q, "Q", "transform_queries", center)

    def _mapped(self, X: Array, name: str, owner: str, center: np.ndarray | None) -> Array:
        W = self._matrix()
        X = matrix(X, name, f"{self.name}.{owner}", dims=W.shape[1])
        return like(X, mapped_rows(X, W, center, owner=self.name, unit=self.unit))

    def fit(self, X: Array) -> Self:
        return self.with_(base=self.base.fit(self.transform(X)))

    def check_rows(self, X: Array, name: str = "vectors") -> None:
        if type(self.base).check_rows is not Measure.check_rows:
            self.base.check_rows(self.transform(X), name)

    def _matrix(self) -> np.ndarray:
        if self.matrix is None:
            raise NotFittedError(f"{self.name}: is not fitted; call fit(X) on the rows of your collection first")
        return self.matrix


@dataclass(frozen=True, eq=False, kw_only=True)
class Mahalanobis(LinearMap):
    """1/(1+d_M) with d_M² = (A−B)ᵀΣ⁻¹(A−B), Σ given or fitted.

    Parameters: ``shrinkage``: None, "ledoit-wolf" or a share from 0 to 1 of the mean variance put in
    place of Σ; ``form``: "total", "diagonal", or an integer for that many leading directions;
    ``cutoff``: directions with a variance at most this share of the largest are dropped;
    ``covariance``: Σ, a (d, d) array or a `Covariance`; None to `fit` it.

    >>> import numpy as np
    >>> m = Mahalanobis(covariance=np.diag([4.0, 1.0]))
    >>> round(float(m.distance(np.array([2.0, 0.0]), np.zeros(2))), 6)
    1.0
    """

    name: ClassVar[str] = "mahalanobis"
    facts: ClassVar[Facts] = Facts(
        title="Mahalanobis", formula="1 / (1 + d_M), d_M = √((A−B)ᵀ Σ⁻¹ (A−B))", range="(0, 1]",
        scaling="unchanged when rows and queries are scaled alike and Σ is fitted again",
        zero="a zero vector is an ordinary point",
        domain="all finite vectors that fit into float32 once mapped",
        gradient="not defined at A = B; smooth elsewhere",
        source="Mahalanobis 1936; Ledoit & Wolf 2004 for the shrinkage; computed as Euclid in whitened space",
        meaning="How far apart, counted in standard deviations of the collection along each direction?",
        cost="the map once a row when rows are added and once a query, then as euclidean",
        traps="a singular Σ inverted as it is gives noise: directions under the cutoff are dropped, and n ≤ d needs "
              "shrinkage; on contrastive text embeddings the total covariance has lowered retrieval quality",
    )
    matrix: np.ndarray | None = field(default=None, metadata={"fitted": True})
    base: Measure = field(default_factory=Euclidean, metadata={"fitted": True})
    center: np.ndarray | None = field(default=None, metadata={"fitted": True})
    query_center: np.ndarray | None = field(default=None, metadata={"fitted": True})
    unit: bool = field(default=False, metadata={"fitted": True})
    shrinkage: str | float | None = None
    form: str | int = "total"
    cutoff: float = 1e-10
    covariance: np.ndarray | Covariance | None = None
    state: Covariance | None = field(default=None, metadata={"fitted": True})
    variances: np.ndarray | None = field(default=None, metadata={"fitted": True})

    def __post_init__(self) -> None:
        self._check_parameters()
        super().__post_init__()
        if self.variances is not None:
            object.__setattr__(self, "variances", given_array(self.variances, "variances", self.name, 1))
        if isinstance(self.covariance, Covariance):
            object.__setattr__(self, "state", self.covariance)
            object.__setattr__(self, "covariance", None)
        elif self.covariance is not None:
            object.__setattr__(self, "covariance", self._given(self.covariance))
            object.__setattr__(self, "state", None)
        if self.matrix is None and (self.state is not None or self.covariance is not None):
            W, variances = self._whitening()
            object.__setattr__(self, "matrix", W)
            object.__setattr__(self, "variances", variances)
            # Differences do not need a center, but taking it out keeps digits for far-off rows.
            object.__setattr__(self, "center", None if self.state is None else self.state.mean)

    def _check_parameters(self) -> None:
        if isinstance(self.shrinkage, str) and self.shrinkage != "ledoit-wolf":
            raise MeasureError(message(self.name, "shrinkage", "None, 'ledoit-wolf' or a number from 0 to 1",
                                       repr(self.shrinkage)))
        if self.shrinkage is not None and not isinstance(self.shrinkage, str):
            number(self.shrinkage, "shrinkage", self.name, "None, 'ledoit-wolf' or a number from 0 to 1", 0, 1)
        if self.form not in ("total", "diagonal"):
            if isinstance(self.form, str):
                raise MeasureError(message(self.name, "form", "'total', 'diagonal' or a number of directions",
                                           repr(self.form)))
            count(self.form, "form", self.name, 1, 1 << 30)
        number(self.cutoff, "cutoff", self.name, "a number from 0 to below 1", 0, 1, open_high=True)

    def _given(self, covariance: Array) -> np.ndarray:
        given = given_array(covariance, "covariance", self.name, 2)
        scale = float(np.max(np.abs(given)))
        if given.shape[0] != given.shape[1] or not np.allclose(given, given.T, rtol=0, atol=1e-6 * scale):
            raise InputError(message(self.name, "covariance", "a symmetric (d, d) array", f"shape {given.shape}"))
        if self.shrinkage == "ledoit-wolf":
            raise MeasureError("mahalanobis: shrinkage='ledoit-wolf' is computed from rows; give a number beside a "
                               "given covariance, or fit(X)")
        return given

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed; the map is found again where it depends on them."""
        if changes.keys() & {"shrinkage", "form", "cutoff", "covariance", "state"} and "matrix" not in changes:
            changes = {"matrix": None, "center": None, "variances": None, **changes}
        return super().with_(**changes)

    # -- fitting -----------------------------------------------------------------------------------

    def fit(self, X: Array) -> Self:
        """A copy whose covariance is that of the rows ``X`` (n, d), n ≥ 2; a given one stays."""
        X = matrix(X, "X", f"{self.name}.fit", dims=None if self.covariance is None else self.dims)
        if self.covariance is not None:
            return self
        if X.shape[0] < 2:
            raise InputError(message(f"{self.name}.fit", "X", "of at least 2 rows", f"{X.shape[0]}"))
        return self.with_(state=Covariance().add(X))

    def update(self, X_in: Array | None = None, X_out: Array | None = None) -> Self:
        """A refreshed copy after rows came in and rows went out; see `Covariance` for the limits.

        Raises `NotFittedError` where there is no fitted covariance to go on from.
        """
        if self.state is None:
            raise NotFittedError("mahalanobis.update: needs a covariance that was fitted on rows; call fit(X) first")
        state = self.state if X_in is None else self.state.add(X_in)
        return self.with_(state=state if X_out is None else state.remove(X_out))

    def _whitening(self) -> tuple[np.ndarray, np.ndarray]:
        """W with WᵀW = Σ⁻¹ on the kept directions, and their variances, largest first."""
        S = self.shrunk_covariance()
        d = S.shape[0]
        if self.form == "diagonal":
            variances = np.diag(S).copy()
            vectors = np.eye(d)
        else:
            variances, vectors = np.linalg.eigh(S)
        order = np.argsort(-variances, kind="stable")
        if isinstance(self.form, int):
            order = order[: count(self.form, "form", self.name, 1, d)]
        top = float(variances[order[0]])
        if top <= 0:
            raise InputError("mahalanobis: all rows are equal, so there is no variance to divide by")
        keep = order[variances[order] > self.cutoff * top]
        return (vectors[:, keep] / np.sqrt(variances[keep])).T.copy(), variances[keep]

    def shrunk_covariance(self) -> np.ndarray:
        """Σ as it is inverted: (1 − s)·Σ + s·(tr Σ / d)·I with s the shrinkage."""
        if self.state is not None:
            S = self.state.covariance()
        elif self.covariance is not None:
            S = np.asarray(self.covariance)
        else:
            raise NotFittedError("mahalanobis: is not fitted; call fit(X) on the rows of your collection first")
        share = self.intensity
        return np.asarray((1 - share) * S + share * (np.trace(S) / S.shape[0]) * np.eye(S.shape[0]))

    # -- what was found ----------------------------------------------------------------------------

    @property
    def intensity(self) -> float:
        """The shrinkage applied: 0 for none, the Ledoit–Wolf intensity where asked for."""
        if self.shrinkage == "ledoit-wolf":
            if self.state is None:
                raise NotFittedError("mahalanobis: is not fitted; call fit(X) first")
            return self.state.ledoit_wolf()
        return 0.0 if self.shrinkage is None else float(self.shrinkage)

    @property
    def rank(self) -> int:
        """Number of directions kept."""
        return int(self._matrix().shape[0])

    @property
    def condition(self) -> float:
        """Largest over smallest kept variance."""
        self._matrix()
        assert self.variances is not None
        return float(self.variances[0] / self.variances[-1])
