"""A coordinate measure as the kernels pool it: live dimensions, widths, weights, trim, threshold, tiers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from kiyas.kernels import _native

NEGATIVE, COMPLEMENT, CLIPPED, EXPONENTIAL = range(4)


@dataclass(frozen=True)
class PoolingForm:
    """What of a coordinate measure depends on the number of dimensions only."""

    measure: Any
    pick: np.ndarray
    weights: np.ndarray | None  # of the live dimensions; None where all are 1
    widths: np.ndarray | None
    dropped: int
    kept: float

    @classmethod
    def of(cls, measure: Any, dims: int) -> PoolingForm:
        """For rows of that many dimensions."""
        live, weights, widths = measure.live(dims), measure.effective_weights(dims), measure.widths(dims)
        pick = np.arange(dims) if live is None else np.flatnonzero(live)
        if weights is not None:
            weights = np.ascontiguousarray(weights[pick])
            weights = None if bool(np.all(weights == 1)) else weights
        dropped = int(measure.dropped(pick.size))
        total = float(pick.size) if weights is None else math.fsum(weights.tolist())
        kept = total - dropped * total / pick.size
        widths = None if widths is None else np.ascontiguousarray(widths[pick])
        return cls(measure, pick, weights, widths, dropped, kept)

    @property
    def plain(self) -> bool:
        """Whether every dimension simply adds up."""
        return self.dropped == 0 and self.measure.threshold_value is None and self.measure.tiers_value is None

    @property
    def below_count(self) -> int:
        """Dimensions below the threshold that make a pair not alike; 0 where there is no threshold."""
        if self.measure.threshold_value is None:
            return 0
        return max(1, math.ceil(float(self.measure.share) * self.pick.size - 1e-9))

    @property
    def profile(self) -> int | None:
        """The compiled profile, or None for a user's function."""
        known = {"manhattan": NEGATIVE, "gower": CLIPPED if getattr(self.measure, "clip", False) else COMPLEMENT,
                 "exponential": EXPONENTIAL}
        return known.get(built_in(self.measure))

    @cached_property
    def native(self) -> Any:
        """For the kernels."""
        m = self.measure
        threshold, tier = m.threshold_value, m.tiers_value
        critical = None if tier is None else np.isin(self.pick, m.critical).astype(np.uint8)
        return _native.Pooling(self.pick, self.widths, self.weights, self.dropped, self._limit(threshold), critical,
                               self._limit(tier))

    def _limit(self, tau: float | None) -> float:
        """τ as the kernels count by it: for the exponential profile, the largest difference that reaches it."""
        if tau is None:
            return math.nan
        return tau if self.profile != EXPONENTIAL else largest_difference(tau)

    def finish(self, kept: float) -> Any:
        """From pooled values to the score, for the kernels; ``kept`` in the units of the loss."""
        best = float(self.measure.similarity(np, np.zeros(1))[0])
        return _native.Finish(built_in(self.measure) == "manhattan", best, kept, self.below_count,
                              self.measure.tiers_value is not None)

    def raw(self, rows: Any, narrow: bool) -> Any | None:
        """The measure on the rows themselves, for the kernels; None for a user's function."""
        profile = self.profile
        return None if profile is None else _native.Raw(rows, profile, self.native, self.finish(self.kept), narrow)


@lru_cache(maxsize=64)
def largest_difference(tau: float) -> float:
    """The largest δ ≥ 0 with e^−δ not below τ, by NumPy's exponential; ∞ where none is, −1 where all are.

    >>> largest_difference(0.0), largest_difference(1.0) < 1e-15, largest_difference(2.0)
    (inf, True, -1.0)
    """
    def reaches(delta: np.ndarray) -> bool:
        return bool(np.exp(-delta)[0] >= tau)

    low, high = np.zeros(1), np.full(1, np.finfo(np.float64).max)
    if reaches(high):
        return math.inf
    if not reaches(low):
        return -1.0
    # Doubles from 0 up are in the order of their bits.
    while high.view(np.int64)[0] - low.view(np.int64)[0] > 1:
        middle = (low.view(np.int64) + (high.view(np.int64) - low.view(np.int64)) // 2).view(np.float64)
        low, high = (middle, high) if reaches(middle) else (low, middle)
    return float(low[0])


def built_in(measure: Any) -> str:
    """The name of a built-in measure; empty for a user's function, which may bear any name."""
    return "" if hasattr(measure, "function") else str(measure.name)


def fits_float32(values: np.ndarray) -> bool:
    """Whether float32 holds the numbers exactly."""
    with np.errstate(over="ignore"):
        return bool(np.all(values.astype(np.float32) == values))

