"""Why a row scored as it did, dimension by dimension."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiyas.arrays import Array, to_numpy
from kiyas.errors import MeasureError
from kiyas.measures.balls import Poincare
from kiyas.measures.coordinate import CoordinateMeasure
from kiyas.measures.hubness import HubnessCorrected
from kiyas.measures.inner import Angular, Euclidean, InnerMeasure
from kiyas.measures.learned import Learned
from kiyas.measures.linear import LinearMap
from kiyas.measures.mapped import MappedMeasure
from kiyas.measures.profiles import Manhattan
from kiyas.search.scan import Asked, View


@dataclass(frozen=True, eq=False)
class Explanation:
    """The score of one pair and what every dimension contributed.

    - ``score``: as a search reports it;
    - ``contributions`` (d,): they and ``rest`` sum to ``total``;
    - ``total``: the score, or the quantity that ``pooling`` says the score is made of;
    - ``rest``: what belongs to no dimension (a bias);
    - ``pooling``: in words, how the contributions make the score;
    - ``mapped``: dimensions are those behind a linear map.
    """

    score: float
    contributions: np.ndarray
    total: float
    pooling: str
    rest: float = 0.0
    mapped: bool = False

    def helped(self, count: int = 5) -> list[tuple[int, float]]:
        """Dimensions that raised the score most against the mean dimension, as (dimension, contribution)."""
        return self._ranked(np.argsort(-self.contributions, kind="stable"), count)

    def hurt(self, count: int = 5) -> list[tuple[int, float]]:
        """Dimensions that raised it least or lowered it, as (dimension, contribution)."""
        return self._ranked(np.argsort(self.contributions, kind="stable"), count)

    def _ranked(self, order: np.ndarray, count: int) -> list[tuple[int, float]]:
        return [(int(i), float(self.contributions[i])) for i in order[:count]]


def explain(view: View, query: Array, row: np.ndarray) -> Explanation:
    """Explain one query (1, d) and one row (its number in an array) under the measure of a view."""
    values = view.queries(query)
    score = _score(view, values, row)
    x, y = values[0], view.target.take(row).astype(np.float64)[0]
    measure, mapped = view.base, isinstance(view.measure, MappedMeasure)
    if isinstance(view.measure, HubnessCorrected):
        return _corrected(x, y, score, isinstance(view.measure.base, LinearMap))
    if isinstance(measure, InnerMeasure):
        return _inner(measure, x, y, score, mapped)
    if isinstance(measure, CoordinateMeasure):
        return _coordinate(measure, x, y, score, mapped)
    if isinstance(measure, Learned):
        return _learned(measure, x, y, score, mapped)
    raise MeasureError(f"{measure.name}: is a function of two whole vectors, so no dimension has a part in it")


def _score(view: View, values: np.ndarray, row: np.ndarray) -> float:
    allowed = np.zeros(view.rows.count, np.uint8)
    allowed[row] = 1
    _, order = view.search(values, Asked(1, allowed, None, -np.inf, 1))
    return float(view.report(order)[0])


def _inner(measure: InnerMeasure, x: np.ndarray, y: np.ndarray, score: float, mapped: bool) -> Explanation:
    product, square = x * y, (x - y) ** 2
    p, d2 = float(product.sum()), float(square.sum())
    if isinstance(measure, (Euclidean, Poincare)):
        # Every dimension starts with its share of 1 and loses by its share of d².
        lost = square / d2 * (1 - score) if d2 > 0 else np.zeros_like(square)
        name = "hyperbolic" if isinstance(measure, Poincare) else "Euclidean"
        return Explanation(score, 1 / x.size - lost, score,
                           f"sums to the score: an equal share of 1, less what the {name} distance takes by shares of "
                           "(xᵢ−yᵢ)²", mapped=mapped)
    if isinstance(measure, Angular):
        length = float(np.linalg.norm(x) * np.linalg.norm(y))
        part = product / length if length > 0 else np.zeros_like(product)
        return Explanation(score, part, float(part.sum()), "sums to the cosine c; score = 1 − arccos(c)/π",
                           mapped=mapped)
    if p == 0:
        return Explanation(score, product, p, "sums to A·B, which is 0", mapped=mapped)
    return Explanation(score, product * (score / p), score, "sums to the score: xᵢ·yᵢ times score/(A·B)", mapped=mapped)


def _corrected(x: np.ndarray, y: np.ndarray, score: float, mapped: bool) -> Explanation:
    part = x * y
    return Explanation(score, part[:-1], score, "with what the row's own neighbourhood takes, sums to the score",
                       rest=float(part[-1]), mapped=mapped)


def _coordinate(measure: CoordinateMeasure, x: np.ndarray, y: np.ndarray, score: float, mapped: bool) -> Explanation:
    dims = x.size
    live = measure.live(dims)
    pick = np.arange(dims) if live is None else np.flatnonzero(live)
    s = measure.profiles(x[None, :], y[None, :])[0][pick]
    weights = measure.effective_weights(dims)
    w = np.ones(pick.size) if weights is None else weights[pick]
    kept = _kept_weights(s, w, measure.dropped(pick.size))
    mass = float(kept.sum())
    part = np.zeros(dims)
    trimmed = int(np.count_nonzero((kept == 0) & (w > 0)))
    note = f", {trimmed} lowest dimensions trimmed" if trimmed else ""
    pooled = float(measure.finish(np, float(np.sum(kept * s)), mass))
    if isinstance(measure, Manhattan):
        loss = -(kept * s)
        total = float(loss.sum())
        part[pick] = kept / mass - (loss / total * (1 - pooled) if total > 0 else 0.0)
        text = f"a share of 1 each, less what the distance takes by shares of |xᵢ−yᵢ|{note}"
    else:
        part[pick] = kept * s / mass
        text = f"weighted mean of the per-dimension scores{note}"
    if measure.threshold_value is not None or measure.tiers_value is not None:
        return Explanation(score, part, pooled, f"sums to the pooled score ({text}); {_rules(measure)}", mapped=mapped)
    return Explanation(score, part, pooled, f"sums to the score: {text}", mapped=mapped)


def _rules(measure: CoordinateMeasure) -> str:
    rules = []
    if (tau := measure.threshold_value) is not None:
        rules.append(f"0 where {measure.share:.0%} of the dimensions score below {tau:g}")
    if (tau := measure.tiers_value) is not None:
        rules.append(f"plus tier 2, 1 or 0 as none, up to two or more critical dimensions score below {tau:g}")
    return "; ".join(rules)


def _kept_weights(s: np.ndarray, w: np.ndarray, dropped: int) -> np.ndarray:
    """Weights after the trim: the boundary dimension keeps what is over."""
    order = np.argsort(s, kind="stable")
    over = np.cumsum(w[order]) - dropped * float(w.sum()) / w.size
    kept = np.empty_like(w)
    kept[order] = np.clip(over, 0.0, w[order])
    return kept


def _learned(measure: Learned, x: np.ndarray, y: np.ndarray, score: float, mapped: bool) -> Explanation:
    u, v = (to_numpy(h)[0].astype(np.float64) for h in (measure.halves_a(x[None, :]), measure.halves_b(y[None, :])))
    active = measure.second * (u + v > 0)
    part = (active @ measure.first_a) * x + (active @ measure.first_b) * y
    rest = float(active @ measure.bias1) + measure.bias2
    if measure.alpha:
        length = float(np.linalg.norm(x) * np.linalg.norm(y))
        part = part + (measure.alpha * x * y / length if length > 0 else 0.0)
    return Explanation(score, part, float(part.sum()) + rest,
                       "with the bias, sums to the logit through the active units; score = sigmoid(logit)", rest=rest,
                       mapped=mapped)

