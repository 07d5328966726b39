"""The profiles of the coordinate family: how manhattan, gower and exponential score one dimension.

Each says what a difference is divided by, what score it gets, and what of it is fitted; pooling is the
family's own (`kiyas.measures.coordinate`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from kiyas.arrays import Array, number
from kiyas.errors import InputError, MeasureError, message
from kiyas.measures.base import Facts
from kiyas.measures.coordinate import FITTED, CoordinateMeasure
from kiyas.measures.proposals import column_moments, column_span, live_columns

_INF = float("inf")


@dataclass(frozen=True, eq=False, kw_only=True)
class Manhattan(CoordinateMeasure):
    """1 / (1 + Σ wᵢ·|xᵢ−yᵢ|), with profile −|xᵢ−yᵢ|.

    >>> import numpy as np
    >>> x, y = np.array([0.0, 0.0]), np.array([1.0, 3.0])
    >>> float(Manhattan()(x, y)), float(Manhattan().distance(x, y)), Manhattan().profile(x, y).tolist()
    (0.2, 4.0, [-1.0, -3.0])
    """

    name: ClassVar[str] = "manhattan"
    facts: ClassVar[Facts] = Facts(
        title="Manhattan (L1, city block)", formula="1 / (1 + Σ wᵢ·|xᵢ − yᵢ|)", range="(0, 1]",
        scaling="not homogeneous: a common scaling keeps the ranking, not the values or thresholds",
        zero="1/(1 + Σ wᵢ·|yᵢ|) against a zero vector",
        gradient="not defined where xᵢ = yᵢ; 1/(1 + L1) keeps the ranking of −L1",
        source="the usual distance-to-similarity map of the L1 norm; with trim it ranks as the dynamic partial "
               "function of Li, Chang & Wu, ICIP 2002",
        meaning="How far apart are the two when every dimension is walked by itself?",
        cost="d subtractions, absolute values and additions a pair; no matrix product",
        traps="a rotation of the space, which leaves cosine and Euclid alone, changes the ranking; a threshold is "
              "negative, as the profile is −|xᵢ − yᵢ|; weights are not normalised, so doubling them changes the "
              "score; a trimmed distance is no metric and is 0 for vectors that differ in dropped dimensions only",
    )

    @property
    def kind(self) -> str:
        return "linear"

    def similarity(self, xp: Any, delta: Array) -> Array:
        return 0 - delta  # and not −δ, which would turn 0 to −0

    def finish(self, xp: Any, total: Array, kept: float) -> Array:
        return 1 / (1 - total)

    def loss(self, xp: Any, delta: Array) -> Array:
        return delta

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        """Σ kept wᵢ·δᵢ, the L1 distance as weighted and trimmed."""
        return self._lost(xp, A, B)[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Gower(CoordinateMeasure):
    """Mean of sᵢ = 1 − |xᵢ−yᵢ|/Rᵢ, Rᵢ the range of dimension i in the collection.

    ``ranges``: the Rᵢ (d,), or None to take them from the rows at ``fit``; ``quantile``: measure the
    range from this quantile to 1 − this quantile (0.01: without the outer 1 % on each side);
    ``clip``: whether a score below 0, of a difference larger than the range, counts as 0.
    Dimensions of a range below 0.001 of the median range are dropped.

    >>> m = Gower().fit([[0.0, 0.0], [2.0, 10.0]])
    >>> float(m(np.array([0.0, 0.0]), np.array([1.0, 2.0])))
    0.65
    """

    name: ClassVar[str] = "gower"
    facts: ClassVar[Facts] = Facts(
        title="Gower", formula="Σ wᵢ·sᵢ / Σ wᵢ, sᵢ = 1 − |xᵢ − yᵢ| / Rᵢ, Rᵢ = maxᵢ − minᵢ",
        range="[0, 1] within the fitted ranges; below 0 beyond them unless clip=True",
        scaling="unchanged when a dimension is shifted or scaled for all vectors alike, ranges included",
        zero="an ordinary point",
        domain="all finite vectors, once fitted or with ranges given",
        gradient="constant within a side of xᵢ = yᵢ; not defined there",
        source="Gower 1971 (mean character difference), numeric characters only",
        meaning="Of each dimension's whole range, what share do the two have between them?",
        cost="as manhattan: ranges and weights fold into the vectors",
        traps="one outlier row stretches the ranges and reorders most of the results: use quantile=0.01; "
              "queries outside the corpus give sᵢ < 0: clip=True or accept it; a constant dimension would divide by "
              "nearly 0, so dimensions with Rᵢ < 0.001·median(R) are dropped; ranges stay as fitted when rows are "
              "added; a rotation of the space changes the ranking",
    )
    ranges: Any = None
    quantile: float = 0.0
    clip: bool = False
    fitted_ranges: np.ndarray | None = field(default=None, metadata=FITTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ranges is not None:
            self._own("ranges", self._numbers(self.ranges, "ranges", "numbers ≥ 0, one of them positive", zero=True))
        self._own("quantile", number(self.quantile, "quantile", self.name, "a number from 0 to below 0.5", 0, 0.5,
                                     open_high=True))
        if self.ranges is not None and self.quantile != 0:
            raise MeasureError(message(self.name, "quantile", "left out where ranges are given", self.quantile))
        if not isinstance(self.clip, bool):
            raise InputError(message(self.name, "clip", "True or False", repr(self.clip)))
        if self.tiers is not None and not self.clip:
            raise MeasureError(message(self.name, "clip", "True where tiers are given", False,
                                       "tiers need a pooled score in [0, 1]"))

    @property
    def kind(self) -> str:
        return "function" if self.clip else "linear"

    @property
    def fitted(self) -> bool:
        return super().fitted and (self.ranges is not None or self.fitted_ranges is not None)

    def live(self, dim: int) -> np.ndarray | None:
        ranges = self._ranges(dim)
        live = live_columns(ranges)
        return None if bool(live.all()) else live

    def widths(self, dim: int) -> np.ndarray | None:
        ranges = self._ranges(dim)
        return np.where(live_columns(ranges), ranges, 1.0)

    def _ranges(self, dim: int) -> np.ndarray:
        ranges = self.fitted_ranges if self.ranges is None else self.ranges
        return self._length(ranges, "ranges", dim)

    def _fitted_from(self, name: str) -> tuple[str, ...]:
        if name in ("ranges", "quantile"):
            return ("fitted_ranges", "fitted_threshold", "fitted_tiers")
        return super()._fitted_from(name)

    def similarity(self, xp: Any, delta: Array) -> Array:
        return 1 - self.loss(xp, delta)

    def loss(self, xp: Any, delta: Array) -> Array:
        return xp.minimum(delta, xp.ones_like(delta)) if self.clip else delta

    def _fit_widths(self, X: Array) -> Self:
        if self.ranges is not None:
            return self
        return self.with_(fitted_ranges=column_span(X, self.quantile))


@dataclass(frozen=True, eq=False, kw_only=True)
class Exponential(CoordinateMeasure):
    """Mean of sᵢ = e^(−|xᵢ−yᵢ|/h).

    ``bandwidth``: h, a number, an array (d,) of numbers, or ``"fitted"``: each dimension's standard deviation in
    the rows given to ``fit``, where dimensions below 0.001 of the median deviation are dropped.

    >>> m = Exponential(trim=0.5)
    >>> float(m(np.array([0.0, 0.0]), np.array([0.0, 9.0])))
    1.0
    """

    name: ClassVar[str] = "exponential"
    facts: ClassVar[Facts] = Facts(
        title="Exponential (Laplacian correntropy)", formula="Σ wᵢ·sᵢ / Σ wᵢ, sᵢ = e^(−|xᵢ − yᵢ| / h)",
        range="(0, 1]; 0 where every e^(−δ/h) underflows",
        scaling="depends on the unit of the embedding unless the bandwidth h is scaled along",
        zero="an ordinary point",
        gradient="not defined where xᵢ = yᵢ; smooth elsewhere",
        source="correntropy with a Laplacian kernel, Liu, Pokharel & Príncipe 2007; a mean of kernels, not e^(−L1)",
        meaning="In how many dimensions do the two agree? Beyond a few h, farther is no worse.",
        cost="d exponentials a pair, or d table look-ups in a compiled scan",
        traps="unit vectors of 384 dimensions differ by about 0.04 in each, so with h = 1 e^(−δ) ≈ 1 − δ and the "
              "ranking is nearly manhattan's: choose h near the differences; h fitted as the standard deviation made "
              "rankings slightly worse on sentence embeddings, so measure before use; trimming drops the dimensions "
              "that disagree most; a rotation of the space changes the ranking",
    )
    bandwidth: Any = 1.0
    fitted_bandwidth: np.ndarray | None = field(default=None, metadata=FITTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.bandwidth, str):
            if self.bandwidth != "fitted":
                raise MeasureError(message(self.name, "bandwidth", "a positive number, an array (d,) or 'fitted'",
                                           repr(self.bandwidth)))
        elif self.bandwidth is None or np.ndim(self.bandwidth) == 0:
            self._own("bandwidth", number(self.bandwidth, "bandwidth", self.name,
                                          "a positive number, an array (d,) or 'fitted'", 0, _INF,
                                          open_low=True, open_high=True))
        else:
            self._own("bandwidth", self._numbers(self.bandwidth, "bandwidth", "positive numbers", zero=False))

    @property
    def kind(self) -> str:
        return "exponential"

    @property
    def fitted(self) -> bool:
        return super().fitted and not (isinstance(self.bandwidth, str) and self.fitted_bandwidth is None)

    def live(self, dim: int) -> np.ndarray | None:
        if not isinstance(self.bandwidth, str):
            return None
        live = live_columns(self._length(self.fitted_bandwidth, "bandwidth", dim))
        return None if bool(live.all()) else live

    def widths(self, dim: int) -> np.ndarray | None:
        if isinstance(self.bandwidth, float):
            return None if self.bandwidth == 1 else np.full(dim, self.bandwidth)
        if not isinstance(self.bandwidth, str):
            return self._length(self.bandwidth, "bandwidth", dim)
        deviation = self._length(self.fitted_bandwidth, "bandwidth", dim)
        return np.where(live_columns(deviation), deviation, 1.0)

    def _fitted_from(self, name: str) -> tuple[str, ...]:
        if name == "bandwidth":
            return ("fitted_bandwidth", "fitted_threshold", "fitted_tiers")
        return super()._fitted_from(name)

    def similarity(self, xp: Any, delta: Array) -> Array:
        return xp.exp(-delta)

    def loss(self, xp: Any, delta: Array) -> Array:
        return 0 - xp.expm1(-delta)

    def _fit_widths(self, X: Array) -> Self:
        if not isinstance(self.bandwidth, str):
            return self
        return self.with_(fitted_bandwidth=np.sqrt(column_moments(X)[1]))
