"""The coordinate family: a score for every dimension, then a choice of how to pool them.

δᵢ = |xᵢ−yᵢ|, divided by a width, is mapped to a score sᵢ that never rises with δᵢ; the scores are
pooled by the rules of docs/design.md. Because every step is monotone in every δᵢ, bounds on the δᵢ
bound the score (docs/exact.md). `kiyas.measures.profiles` has the measures themselves.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any, Self

import numpy as np

from kiyas.arrays import Array, dtype_name, is_numpy, matrix, namespace, number, row_blocks, to_numpy, vector
from kiyas.errors import InputError, MeasureError, NotFittedError, message
from kiyas.measures import pooling
from kiyas.measures.base import KernelForm, Measure
from kiyas.measures.proposals import propose_weights, rows_at

_INF = float("inf")
_BLOCK = 1 << 22
_LARGEST = 1e150
# Scores looked at to calibrate a Quantile: enough for three digits of the quantile, at little cost.
_CALIBRATION_SCORES = 1 << 21

FITTED = {"fitted": True}


@dataclass(frozen=True, repr=False)
class Quantile:
    """A threshold to be calibrated by ``fit(X)``: the q-quantile of the per-dimension scores of random pairs of rows.

    >>> Quantile(0.1)
    Quantile(0.1)
    """

    q: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "q", number(self.q, "q", "Quantile", "a number from 0 to 1", 0, 1))

    def __repr__(self) -> str:
        return f"Quantile({self.q!r})"


@dataclass(frozen=True, eq=False, kw_only=True)
class CoordinateMeasure(Measure):
    """A measure that scores every dimension by itself and pools the scores.

    Parameters, all by keyword:

    - ``weights``: None (all 1), an array (d,) of numbers ≥ 0, or ``"variance"``, proposed from the rows at ``fit``.
    - ``trim``: the share of the weight, lowest scores first, that is dropped before averaging.
    - ``threshold``, ``share``: a pair with at least that share of its dimensions strictly below the threshold
      scores 0. A number, or ``Quantile(q)`` to be calibrated by ``fit``.
    - ``tiers``, ``critical``: of the critical dimensions, none, one or two, or more strictly below ``tiers`` make
      tier 2, 1 or 0, which is added to the score. A number, or ``Quantile(q)`` of the scores of these dimensions.

    Subclasses define ``similarity`` and, where theirs differ, ``widths``, ``live``, ``finish`` and ``kind``.
    """

    weights: Any = None
    trim: float = 0.0
    threshold: float | Quantile | None = None
    share: float = 0.7
    tiers: float | Quantile | None = None
    critical: Sequence[int] | None = None
    fitted_weights: np.ndarray | None = field(default=None, metadata=FITTED)
    fitted_threshold: np.ndarray | None = field(default=None, metadata=FITTED)
    fitted_tiers: np.ndarray | None = field(default=None, metadata=FITTED)

    def __post_init__(self) -> None:
        if isinstance(self.weights, str):
            if self.weights != "variance":
                raise MeasureError(message(self.name, "weights", "an array (d,), 'variance' or None",
                                           repr(self.weights)))
        elif self.weights is not None:
            self._own("weights", self._numbers(self.weights, "weights", "numbers ≥ 0, one of them positive", zero=True))
        self._own("trim", number(self.trim, "trim", self.name, "a number from 0 to below 1", 0, 1, open_high=True))
        self._own("share", number(self.share, "share", self.name, "a number above 0 and up to 1", 0, 1, open_low=True))
        for name in ("threshold", "tiers"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Quantile):
                self._own(name, number(value, name, self.name, "a finite number, a Quantile or None", -_INF, _INF,
                                       open_low=True, open_high=True))
        if self.threshold is None and self.share != 0.7:
            raise MeasureError(message(self.name, "share", "left out where no threshold is given", self.share))
        if (self.tiers is None) != (self.critical is None):
            missing, given = ("tiers", "critical") if self.tiers is None else ("critical", "tiers")
            raise MeasureError(message(self.name, missing, f"given where '{given}' is", "None"))
        if self.critical is not None:
            self._own("critical", self._dimensions(self.critical))

    # -- what subclasses say -----------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """``linear`` (1 − s or −s is the scaled difference itself), ``exponential`` or ``function``."""
        return "function"

    @abstractmethod
    def similarity(self, xp: Any, delta: Array) -> Array:
        """Scores of the scaled differences δ/width: elementwise, never rising with them."""

    def widths(self, dim: int) -> np.ndarray | None:
        """What the differences of every dimension are divided by, float64 (d,); None for 1."""
        return None

    def live(self, dim: int) -> np.ndarray | None:
        """Which dimensions count, bool (d,); None for all."""
        return None

    def finish(self, xp: Any, total: Array, kept: float) -> Array:
        """The pooled score from the kept Σ wᵢ·sᵢ and the kept Σ wᵢ."""
        return total / kept

    def loss(self, xp: Any, delta: Array) -> Array:
        """What a dimension adds to ``distance``: 1 − s without the loss of digits near s = 1."""
        raise MeasureError(f"{self.name}: has no distance of its own")

    def _fit_widths(self, X: Array) -> Self:
        return self

    # -- what search reads -------------------------------------------------------------------------

    def kernel(self) -> KernelForm | str:
        return KernelForm("coordinate", self.kind, {})

    def effective_weights(self, dim: int) -> np.ndarray | None:
        """Weights, float64 (d,), with 0 in dimensions that are not live; None where all are 1."""
        weights = self.fitted_weights if isinstance(self.weights, str) else self.weights
        live = self.live(dim)
        if self.weights is None:
            return None if live is None else live.astype(np.float64)
        weights = self._length(weights, "weights", dim)
        if live is not None:
            weights = np.where(live, weights, 0.0)
        return None if bool(np.all(weights == 1)) else weights

    def dropped(self, d_live: int) -> int:
        """The h = ⌊trim·d⌋ of d live dimensions whose share of the weight is dropped."""
        return pooling.dropped(d_live, self.trim)

    @property
    def threshold_value(self) -> float | None:
        """τ of ``threshold``, calibrated if it was a Quantile; None where there is none (or none yet)."""
        return _value(self.threshold, self.fitted_threshold)

    @property
    def tiers_value(self) -> float | None:
        """τ of ``tiers``, calibrated if it was a Quantile; None where there is none (or none yet)."""
        return _value(self.tiers, self.fitted_tiers)

    @property
    def fitted(self) -> bool:
        return not ((isinstance(self.weights, str) and self.fitted_weights is None)
                    or (isinstance(self.threshold, Quantile) and self.fitted_threshold is None)
                    or (isinstance(self.tiers, Quantile) and self.fitted_tiers is None))

    def check_rows(self, X: Array, name: str = "vectors") -> None:
        self._live_weights(X.shape[1])
        self._check_size(X, name)

    # -- comparing ---------------------------------------------------------------------------------

    def profile(self, a: Array, b: Array) -> Array:
        """The score sᵢ of every dimension, shape (d,): NaN in dimensions that are not live."""
        a = vector(a, "a", self.name)
        b = vector(b, "b", self.name, dims=a.shape[0])
        xp, A, B = self._checked(a[None, :], b[None, :])
        live = self.live(A.shape[1])
        s = self._scores(xp, A, B)[0, :]
        if live is None:
            return s
        place = pooling.like(xp, np.maximum(np.cumsum(live) - 1, 0), s)
        s = xp.take(s, place, axis=0)
        return xp.where(pooling.like(xp, live, s), s, xp.full_like(s, float("nan")))

    def profiles(self, A: Array, B: Array) -> np.ndarray:
        """Profiles row by row on the host: ``A``, ``B`` (n, d) -> float64 (n, d), NaN where not live."""
        xp, A, B = self._checked(A, B)
        out = np.full(A.shape, np.nan)
        live = self.live(A.shape[1])
        out[:, slice(None) if live is None else live] = to_numpy(self._scores(xp, A, B))
        return out

    def _scores(self, xp: Any, A: Array, B: Array) -> Array:
        """Scores of the live dimensions of broadcast rows: (…, d) and (…, d) -> (…, d_live)."""
        return self.similarity(xp, self._differences(xp, A, B))

    def _differences(self, xp: Any, A: Array, B: Array) -> Array:
        dim = A.shape[-1]
        live, widths = self.live(dim), self.widths(dim)
        if live is not None:
            chosen = pooling.like(xp, np.flatnonzero(live), A)
            A, B = xp.take(A, chosen, axis=-1), xp.take(B, chosen, axis=-1)
        delta = xp.abs(A - B)
        if is_numpy(delta):
            delta = np.ascontiguousarray(delta)  # NumPy adds up in the order of memory; scores must not depend on it
        if widths is None:
            return delta
        with np.errstate(over="ignore"):  # beyond all measure, and scored so
            return delta / pooling.like(xp, widths if live is None else widths[live], delta)

    def _live_weights(self, dim: int) -> tuple[int, np.ndarray | None]:
        """Number of live dimensions and their weights, checked against the number of dimensions."""
        live, weights = self.live(dim), self.effective_weights(dim)
        self.widths(dim)
        d = dim if live is None else int(live.sum())
        if weights is not None and live is not None:
            weights = weights[live]
        if d == 0:
            raise InputError(f"{self.name}: all {dim} dimensions are constant over the rows it is fitted on; give "
                             "rows that vary, or another measure")
        if weights is not None and fsum(weights.tolist()) <= 0:
            raise InputError(f"{self.name}: no dimension with a weight above 0 is left of {dim}")
        if self.dropped(d) >= d:
            raise InputError(message(self.name, "trim", f"small enough to leave one of {d} dimensions", self.trim))
        for i in self.critical or ():
            if i >= dim:
                raise InputError(message(self.name, "critical", f"dimensions from 0 to {dim - 1}", i))
            if live is not None and not live[i]:
                raise InputError(message(self.name, "critical", "dimensions that vary", i,
                                         "that one is constant (or nearly) and was dropped"))
        return d, None if weights is not None and bool(np.all(weights == 1)) else weights

    def _total(self, xp: Any, S: Array, dim: int) -> tuple[Array, float]:
        d, weights = self._live_weights(dim)
        return pooling.trimmed_total(xp, S, weights, self.dropped(d))

    def pool(self, xp: Any, S: Array, dim: int) -> Array:
        """The score from the scores of the live dimensions, (…, d_live) -> (…,); ``dim`` counts all dimensions."""
        score = self.finish(xp, *self._total(xp, S, dim))
        if (tau := self.threshold_value) is not None:
            score = xp.where(pooling.unlike(xp, S, tau, self.share), xp.zeros_like(score), score)
        if (tau := self.tiers_value) is not None:
            columns = pooling.like(xp, self._critical_places(dim), S)
            score = pooling.tier(xp, xp.take(S, columns, axis=-1), tau) + score
        return score

    def _critical_places(self, dim: int) -> np.ndarray:
        """The critical dimensions as places among the live ones."""
        critical, live = np.asarray(self.critical), self.live(dim)
        return critical if live is None else np.asarray(np.cumsum(live) - 1)[critical]

    def _paired(self, xp: Any, A: Array, B: Array) -> Array:
        dim = A.shape[1]
        return xp.concat([self.pool(xp, self._scores(xp, A[i:j, :], B[i:j, :]), dim)
                          for i, j in row_blocks(A.shape[0], dim, _BLOCK)])

    def _pairwise(self, xp: Any, A: Array, B: Array) -> Array:
        dim = A.shape[1]
        columns = list(row_blocks(B.shape[0], dim, _BLOCK))
        width = (columns[0][1] - columns[0][0]) * dim
        return xp.concat([
            xp.concat([self.pool(xp, self._scores(xp, A[i:j, None, :], B[None, k:m, :]), dim) for k, m in columns],
                      axis=1)
            for i, j in row_blocks(A.shape[0], width, _BLOCK)])

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        """Σ kept wᵢ·lossᵢ / Σ kept wᵢ: 1 − score, as it is before threshold and tiers."""
        total, kept = self._lost(xp, A, B)
        return total / kept

    def _lost(self, xp: Any, A: Array, B: Array) -> tuple[Array, float]:
        total, kept = self._total(xp, -self.loss(xp, self._differences(xp, A, B)), A.shape[1])
        return 0 - total, kept

    # -- fitting -----------------------------------------------------------------------------------

    def fit(self, X: Array) -> Self:
        """A copy fitted on the rows ``X`` (n, d): widths, proposed weights, calibrated thresholds.

        Rows are read in blocks. A Quantile is taken over about two million scores of pairs of
        different rows drawn with a fixed seed, so the same rows always give the same threshold.
        """
        X = matrix(X, "X", f"{self.name}.fit")
        self._check_size(X, "X")
        fresh = self._fit_widths(X)
        if isinstance(self.weights, str):
            fresh = fresh.with_(fitted_weights=propose_weights(X, by=self.weights))
        dim = X.shape[1]
        fresh._live_weights(dim)
        if isinstance(self.threshold, Quantile):
            live = fresh.live(dim)
            tau = fresh._calibrated(X, self.threshold.q, np.arange(dim if live is None else int(live.sum())))
            fresh = fresh.with_(fitted_threshold=tau)
        if isinstance(self.tiers, Quantile):
            fresh = fresh.with_(fitted_tiers=fresh._calibrated(X, self.tiers.q, fresh._critical_places(dim)))
        return fresh

    def _calibrated(self, X: Array, q: float, places: np.ndarray) -> np.ndarray:
        rows, dim = X.shape
        if rows < 2:
            raise InputError(message(f"{self.name}.fit", "X", "of two rows or more, to calibrate a Quantile", rows))
        pairs = min(max(_CALIBRATION_SCORES // places.shape[0], 64), 100_000)
        rng = np.random.default_rng(0)
        i = rng.integers(0, rows, pairs)
        j = (i + rng.integers(1, rows, pairs)) % rows
        scores = [self._scores(np, rows_at(X, i[a:b]), rows_at(X, j[a:b]))[:, places]
                  for a, b in row_blocks(pairs, dim)]
        return np.asarray([np.quantile(np.concatenate(scores), q)])

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed; what had been fitted for the old values is forgotten."""
        stale = {fitted for name in changes for fitted in self._fitted_from(name)}
        return super().with_(**{name: None for name in stale if name not in changes}, **changes)

    def _fitted_from(self, name: str) -> tuple[str, ...]:
        """The fitted fields that depend on a parameter."""
        return {"weights": ("fitted_weights",), "threshold": ("fitted_threshold",), "tiers": ("fitted_tiers",),
                "critical": ("fitted_tiers",)}.get(name, ())

    # -- checks ------------------------------------------------------------------------------------

    def _check_size(self, X: Array, name: str) -> None:
        """Refuse numbers whose differences and variances would overflow; only float64 can hold such."""
        if dtype_name(X) != "float64":
            return
        xp = namespace(X)
        for start, stop in row_blocks(X.shape[0], X.shape[1]):
            good = xp.all(xp.abs(X[start:stop, :]) <= _LARGEST, axis=1)
            if not bool(xp.all(good)):
                row = start + int(xp.argmin(xp.astype(good, xp.int8)))
                raise InputError(message(self.name, name, f"of numbers up to {_LARGEST:g}",
                                         f"a larger one in row {row}", "divide all vectors by a common number"))

    def _own(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _numbers(self, values: Any, name: str, wanted: str, *, zero: bool) -> np.ndarray:
        """A read-only float64 copy (d,) of numbers above 0, or from 0 with ``zero``."""
        v = np.array(to_numpy(vector(values, name, self.name)), dtype=np.float64)
        wrong = v < 0 if zero else v <= 0
        if bool(np.any(wrong)) or not bool(np.any(v > 0)):
            i = int(np.argmax(wrong))
            raise InputError(message(self.name, name, wanted, f"{v[i]} in dimension {i}"))
        v.flags.writeable = False
        return v

    def _dimensions(self, critical: Any) -> tuple[int, ...]:
        wanted = "different dimensions, integers from 0, at least one"
        try:
            listed = list(critical)
        except TypeError:
            listed = []
        good = all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) and i >= 0 for i in listed)
        if not good or not listed or len(set(listed)) != len(listed):
            raise InputError(message(self.name, "critical", wanted, repr(critical)))
        return tuple(int(i) for i in listed)

    def _length(self, values: np.ndarray | None, name: str, dim: int) -> np.ndarray:
        if values is None:
            raise NotFittedError(f"{self.name}: is not fitted; call fit(X) on the rows of your collection first")
        if values.shape != (dim,):
            raise InputError(message(self.name, name, f"of {dim} dimensions, as the vectors", len(values)))
        return values


def _value(given: float | Quantile | None, fitted: np.ndarray | None) -> float | None:
    if isinstance(given, Quantile):
        return None if fitted is None else float(fitted[0])
    return given
