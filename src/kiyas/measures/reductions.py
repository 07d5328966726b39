"""Reductions: vectors for a plain inner-product, L2 or L1 engine that then ranks as the measure does.

Exact in real arithmetic; the engine's own rounding comes on top. Where no fixed vectors can give the
ranking, `reduce` raises with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.arrays import Array, float64, matrix, namespace, number
from kiyas.errors import InputError, MeasureError, NotFittedError, message
from kiyas.measures import catalogue
from kiyas.measures.base import Measure
from kiyas.measures.coordinate import CoordinateMeasure
from kiyas.measures.gram import ratio
from kiyas.measures.inner import NDD, TemperedCosine
from kiyas.measures.mapped import MappedMeasure
from kiyas.measures.profiles import Gower, Manhattan
from kiyas.measures.rounding import like

_Map = Callable[[Any, Array], Array]

_NONE = {
    "hybrid": "the query's length and A·B enter together, so no fixed item vectors give its order",
    "exponential": "a mean of exponentials is no inner product, L2 or L1 distance of fixed vectors",
    "learned": "a relu between the halves is no inner product of fixed vectors",
}


@dataclass(frozen=True, eq=False, repr=False)
class Reduction:
    """Transformed vectors for another engine; ``target`` is "inner" (largest first), "l2" or "l1" (smallest first).

    ``items`` (n, d′) float64 go into the engine; `queries` transforms what is asked.
    """

    items: Array
    target: str
    measure: Measure
    _queries: _Map
    _check: Callable[[Array], None]

    def __repr__(self) -> str:
        n, d = self.items.shape
        return f"Reduction({n} items of {d} dimensions for {self.target!r}, {self.measure})"

    def queries(self, Q: Array) -> Array:
        """Queries for the engine: ``Q`` (q, d) -> float64 (q, d′). The same checks as for the measure's own."""
        Q = matrix(Q, "Q", "Reduction.queries")
        self._check(Q)
        xp = namespace(Q)
        return self._queries(xp, float64(xp, Q))


def reduce(vectors: Array, measure: str | Measure, query_norm: float | None = None,
           target: str | None = None) -> Reduction:
    """Vectors that make a plain engine rank by ``measure``.

    Parameters: ``vectors`` (n, d); ``measure``, fitted on them here if it needs fitting; ``query_norm``, the one length
    that all queries have, which ndd, log_scaled, tanimoto and dice need (`Reduction.queries` checks it);
    ``target``: "inner", "l2" or "l1", None for the measure's natural one.
    Raises `MeasureError` with the reason where there is no exact reduction.

    >>> import numpy as np
    >>> r = reduce(np.array([[3.0, 4.0], [2.0, 0.0]]), "cosine")
    >>> r.items.tolist(), r.target, r.queries(np.array([[1.0, 0.0]])).tolist()
    ([[0.6, 0.8], [1.0, 0.0]], 'inner', [[1.0, 0.0]])
    """
    m = catalogue.measure(measure)
    if target not in (None, "inner", "l2", "l1"):
        raise MeasureError(message("reduce", "target", "'inner', 'l2', 'l1' or None", repr(target)))
    if query_norm is not None:
        number(query_norm, "query_norm", "reduce", "a positive number or None", 0, float("inf"), open_low=True,
               open_high=True)
    X = matrix(vectors, "vectors", "reduce")
    if not m.fitted:
        m = m.fit(X)
    if not m.fitted:
        raise NotFittedError(f"reduce: {m.name} is not fitted; fit it first")
    m.check_rows(X)
    return _reduced(m, X, query_norm, target)


def _reduced(m: Measure, X: Array, kappa: float | None, target: str | None) -> Reduction:
    if isinstance(m, MappedMeasure):
        inner = _reduced(m.compared, m.transform(X), kappa, target)
        return Reduction(inner.items, inner.target, m,
                         lambda xp, Q: inner._queries(xp, float64(xp, m.transform_queries(Q))),
                         lambda Q: inner._check(m.transform_queries(Q)))
    xp = namespace(X)
    X = float64(xp, X)
    check = _checker(m, X.shape[1], None)
    if isinstance(m, CoordinateMeasure):
        items, queries = _l1(m, xp, X, target)
        return Reduction(items, "l1", m, queries, check)
    if target == "l1":
        raise MeasureError(f"reduce: {m.name} has no exact reduction to L1")
    if m.name == "euclidean" and target != "inner":
        return Reduction(X, "l2", m, lambda _, Q: Q, check)
    items, queries, kappa = _inner(m, xp, X, kappa)
    check = _checker(m, X.shape[1], kappa)
    if target != "l2":
        return Reduction(items, "inner", m, queries, check)
    if m.name == "poincare":
        raise MeasureError("reduce: poincare goes to target='inner' only; the lengths of its items differ so much "
                           "that an L2 form would lose their digits")
    # All items get one length M by one more coordinate; then d² = M² + ‖q‖² − 2·q·item falls as q·item rises.
    square = xp.sum(items * items, axis=1)
    rest = xp.max(square) - square
    return Reduction(xp.concat([items, xp.sqrt(rest)[:, None]], axis=1), "l2", m,
                     lambda xp, Q: _append(xp, queries(xp, Q), 0.0), check)


def _inner(m: Measure, xp: Any, X: Array, kappa: float | None) -> tuple[Array, _Map, float | None]:
    """Items, the map of queries, and the norm that queries must have (None for any)."""
    b2 = xp.sum(X * X, axis=1)[:, None]
    b = xp.sqrt(b2)
    same: _Map = lambda _, Q: Q  # noqa: E731
    match m.name:
        case "dot":
            return X, same, None
        case "cosine" | "angular":
            return ratio(xp, X, b + 0 * X), same, None
        case "euclidean":
            return xp.concat([X, b2], axis=1), lambda xp, Q: _append(xp, 2 * Q, -1.0), None
        case "tempered_cosine":
            assert isinstance(m, TemperedCosine)
            return ratio(xp, X, b**m.beta + 0 * X) if m.beta else X, same, None
        case "poincare":
            alpha = 1 / ((1 - b) * (1 + b))
            return xp.concat([alpha * X, alpha], axis=1), _lifted, None
        case "ndd":
            assert isinstance(m, NDD)
            # A query norm of the measure itself holds for queries of any length: it ranks by p/a.
            k = m.query_norm or _given(m, kappa)
            return X * (2**0.5 / xp.sqrt(k * k + b2)), same, None if m.query_norm else k
        case "log_scaled":
            k = _given(m, kappa)
            return ratio(xp, X, xp.log1p(k * b) + 0 * X), same, k
        case "tanimoto" | "dice":
            k = _given(m, kappa)
            return X / (k * k + b2), same, k
    raise MeasureError(f"reduce: {m.name} has no exact reduction: "
                       + _NONE.get(m.name, "nothing is known of its form beyond its values"))


def _lifted(xp: Any, Q: Array) -> Array:
    return xp.concat([2 * Q, -(1 + xp.sum(Q * Q, axis=1)[:, None])], axis=1)


def _given(m: Measure, kappa: float | None) -> float:
    if kappa is None:
        raise MeasureError(f"reduce: {m.name} depends on the length of the query, so an exact reduction needs one "
                           "length for all queries: give query_norm")
    return float(kappa)


def _append(xp: Any, Q: Array, value: float) -> Array:
    return xp.concat([Q, xp.full_like(Q[:, :1], value)], axis=1)


def _checker(m: Measure, dims: int, kappa: float | None) -> Callable[[Array], None]:
    def check(Q: Array) -> None:
        Q = matrix(Q, "Q", "Reduction.queries", dims=dims)
        m.check_rows(Q, "Q")
        if kappa is None:
            return
        xp = namespace(Q)
        Q = float64(xp, Q)
        norm = xp.sqrt(xp.sum(Q * Q, axis=1))
        wrong = xp.abs(norm - kappa) > 1e-5 * kappa
        if bool(xp.any(wrong)):
            row = int(xp.argmax(xp.astype(wrong, xp.int8)))
            raise InputError(message("Reduction.queries", "Q", f"of rows of norm {kappa:g}, the query_norm",
                                     f"norm {float(norm[row]):.6g} in row {row}", "scale the queries to it"))

    return check


def _l1(m: CoordinateMeasure, xp: Any, X: Array, target: str | None) -> tuple[Array, _Map]:
    if not isinstance(m, Manhattan | Gower):
        raise MeasureError(f"reduce: {m.name} has no exact reduction: "
                           + _NONE.get(m.name, "nothing is known of its form beyond its values"))
    if target not in (None, "l1"):
        raise MeasureError(f"reduce: {m.name} is an L1 distance and has no exact reduction to {target!r}")
    dims = X.shape[1]
    live = m.live(dims)
    places = list(range(dims)) if live is None else [i for i in range(dims) if live[i]]
    for name, used in (("trim", m.dropped(len(places)) > 0), ("threshold", m.threshold is not None),
                       ("tiers", m.tiers is not None), ("clip", getattr(m, "clip", False))):
        if used:
            raise MeasureError(f"reduce: {m.name} with {name} depends on the pair, so no fixed vectors give its order")
    weights, widths = m.effective_weights(dims), m.widths(dims)
    factors = [(1.0 if weights is None else float(weights[i])) / (1.0 if widths is None else float(widths[i]))
               for i in places]

    def scaled(xp: Any, Z: Array) -> Array:
        kept = xp.take(Z, like(Z, np.asarray(places)), axis=1)
        return kept * like(Z, np.asarray(factors))

    return scaled(xp, X), scaled
