"""What the tests of search share: measures with their oracles, data, and the comparison of hits with the oracle."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import naive
import numpy as np

import kiyas
from kiyas.measures import measure as make_measure
from kiyas.measures.user import UserCoordinate, UserInner, UserPair

# -- comparing --------------------------------------------------------------------------------------------------------


def ulps(a, b):
    """Distance of two finite numbers in units in the last place of the larger."""
    return abs(a - b) / float(np.spacing(max(abs(a), abs(b), np.finfo(float).tiny)))


def assert_same_hits(hits, orders, k, *, allowed=None, excluded=None, min_score=None, shown=None, slack=4.0,
                     score_ulps=8.0, row_of=None):
    """Hits are those of the oracle, up to rows whose oracle scores lie within ``slack`` ulp of each other.

    ``orders``: the oracle's table, queries × rows; ``excluded``: a row a query; ``shown``: what turns an order into
    the reported score; ``row_of``: row numbers of ids, where ids are no row numbers.
    """
    assert hits.ids.shape == hits.scores.shape == (len(orders), k), (hits.ids.shape, (len(orders), k))
    assert hits.scores.dtype == np.float64
    for j, scores in enumerate(orders):
        wanted = naive.top_k(scores, k, allowed, None if excluded is None else excluded[j],
                             None if min_score is None or shown is not None else min_score)
        if shown is not None and min_score is not None:
            wanted = [(row, s) for row, s in wanted if shown(s) >= min_score]
        missing = np.isnan(hits.scores[j])
        got = [i if row_of is None else row_of[i] for i in hits.ids[j][~missing].tolist()]
        assert missing.tolist() == sorted(missing.tolist()), f"query {j}: a gap among the hits"
        assert all(i in (-1, None) for i in hits.ids[j][missing].tolist()), f"query {j}: an id beside NaN"
        assert len(got) == len(wanted), f"query {j}: {len(got)} hits, {len(wanted)} wanted"
        assert len(set(got)) == len(got), f"query {j}: a row twice"
        for place, (row, (expected, best)) in enumerate(zip(got, wanted, strict=True)):
            assert allowed is None or allowed[row], f"query {j}: row {row} is not allowed"
            assert excluded is None or row != excluded[j], f"query {j}: row {row} is excluded"
            assert row == expected or ulps(scores[row], best) < slack, \
                f"query {j}, place {place}: row {row} of {scores[row]!r}, not row {expected} of {best!r}"
            reported = scores[row] if shown is None else shown(scores[row])
            assert ulps(hits.scores[j, place], reported) <= score_ulps, \
                f"query {j}, row {row}: score {hits.scores[j, place]!r}, not {reported!r}"
        if shown is None:
            for a, b, s, t in zip(got, got[1:], hits.scores[j], hits.scores[j][1:], strict=False):
                assert s > t or (s == t and a < b), f"query {j}: rows {a} and {b} out of order ({s!r}, {t!r})"


def assert_identical(hits, others):
    """The same ids and scores, bit for bit."""
    np.testing.assert_array_equal(hits.ids, others.ids)
    np.testing.assert_array_equal(hits.scores, others.scores)


# -- data -------------------------------------------------------------------------------------------------------------


def _rng(*key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def _benign(rng, n, d):
    return rng.normal(size=(n, d)) * rng.lognormal(0, 0.5, size=(n, 1))


def _near_ties(rng, n, d):
    return rng.normal(size=(1, d)) * (1 + 1e-7 * rng.normal(size=(n, d)))


def _duplicates(rng, n, d):
    return _benign(rng, max(1, n // 6), d)[rng.integers(0, max(1, n // 6), n)]


def _zeros(rng, n, d):
    X = _benign(rng, n, d)
    X[rng.random(n) < 0.4] = 0
    X[rng.random((n, d)) < 0.3] = 0
    return X


def _norm_spread(rng, n, d):
    # float16 and squares in float32 are left behind; coordinates hold up to 1e30 in float32
    return rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-30, 30, size=(n, 1))


def _denormals(rng, n, d):
    return rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-44, -37, size=(n, 1))


def _constant(rng, n, d):
    X = _benign(rng, n, d)
    X[:, ::3] = 7
    return X


def _outliers(rng, n, d):
    X = _benign(rng, n, d)
    X[rng.random((n, d)) < 0.01] *= 1e4
    return X


DATA: dict[str, Callable[..., np.ndarray]] = {
    "benign": _benign,
    "duplicates": _duplicates,
    "zeros": _zeros,
    "norm spread": _norm_spread,
    "near ties": _near_ties,
    "denormals": _denormals,
    "all identical": lambda rng, n, d: np.tile(rng.normal(size=(1, d)), (n, 1)),
    "constant dimensions": _constant,
    "shifted": lambda rng, n, d: 1e6 + rng.normal(size=(n, d)),
    "small integers": lambda rng, n, d: rng.integers(-2, 3, size=(n, d)).astype(float),
    "outliers": _outliers,
}


def vectors(kind, n, d, dtype="float32", seed=0):
    """Rows of a kind of data, (n, d)."""
    X = DATA[kind](_rng(kind, d, seed), n, d)
    return (X - 999_900 if kind == "shifted" and dtype == "float16" else X).astype(dtype)


def queries_for(X, m, seed=0):
    """Queries near the rows, among them, far from them, and zero; (m, d) float64 that X's dtype holds."""
    rng = _rng("queries", X.shape, seed)
    wide = X.astype(np.float64)
    with np.errstate(all="ignore"):
        kinds = [wide[rng.integers(len(X))], wide[rng.integers(len(X))] * (1 + 1e-3 * rng.normal(size=X.shape[1])),
                 wide.mean(axis=0) + 1e-3 * wide.std(axis=0) * rng.normal(size=X.shape[1]),
                 -3 * wide[rng.integers(len(X))], np.zeros(X.shape[1]), rng.normal(size=X.shape[1])]
        chosen = np.array([kinds[i % len(kinds)] for i in range(m)]).astype(X.dtype)
    return np.where(np.isfinite(chosen.astype(np.float64)), chosen, 0).astype(X.dtype)


def into_ball(*arrays, share=0.95):
    """Arrays scaled by one number, so that all their rows lie in the unit ball, each in its dtype."""
    with np.errstate(over="ignore"):
        longest = max(float(np.sqrt(np.max(np.sum((a.astype(np.float64)) ** 2, axis=1)))) for a in arrays)
    return [(a.astype(np.float64) * (share / longest if longest > 0 else 1)).astype(a.dtype) for a in arrays]


# -- measures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A measure for d dimensions and the oracle of its fitted form."""

    make: Callable[[int], Any]
    oracle: Callable[[Any], Callable[[list[float], list[float]], float]]
    ball: bool = False
    learned: bool = False
    score_ulps: float = 8.0

    def index(self, X):
        return kiyas.Index(X, measure=self.make(X.shape[1]))

    @property
    def shown(self):
        return naive.sigmoid if self.learned else None


def _inner(spec, **parameters):
    name = spec.partition("(")[0]
    # The score of an angle is 1 − θ/π, where roundings of θ near π/2 weigh more than those of the score.
    return Case(lambda d: make_measure(spec), lambda m: naive.inner(name, **parameters), ball=name == "poincare",
                score_ulps=64 if name in ("angular", "hybrid") else 8)


def _coordinate(name, **parameters):
    def make(d):
        given = {key: value(d) if callable(value) else value for key, value in parameters.items()}
        return make_measure(name, **given)

    return Case(make, coordinate_oracle, score_ulps=32)


def coordinate_oracle(m):
    """The oracle of a fitted coordinate measure, told by its parameters."""
    def order(q, x):
        d = len(q)
        profile = "gower clipped" if getattr(m, "clip", False) else m.name
        if isinstance(m, UserCoordinate):
            profile = lambda t: float(m.function(np.array([t]))[0])  # noqa: E731
        manhattan = m.name == "manhattan" and not isinstance(m, UserCoordinate)
        widths, live = m.widths(d), m.live(d)
        weights = m.fitted_weights if isinstance(m.weights, str) else m.weights
        return naive.coordinate(profile, None if widths is None else widths.tolist(), live, weights,
                                m.critical, manhattan, trim=m.trim, threshold=m.threshold_value, share=m.share,
                                tiers=m.tiers_value)(q, x)

    return order


def _weights(d):
    w = _rng("weights", d).uniform(0.2, 3, d)
    w[d // 2] = 0 if d > 1 else 1
    return w


def _zero_one(d):
    w = np.ones(d)
    w[: d // 3] = 0
    return w


def _critical(d):
    return [int(i) for i in np.unique(np.linspace(0, d - 1, 5).astype(int))]


def _mapped(m):
    base = naive.inner(m.base.name) if m.base.name in naive.naive_inner.NAMES else coordinate_oracle(m.base)
    return naive.Mapped(m.matrix, base, m.center)


def _turn(d, base):
    W = _rng("turn", d).normal(size=(max(1, min(d, 40)), d)) / np.sqrt(d)
    return kiyas.LinearMap(W.astype(np.float32), make_measure(base), center=_rng("center", d).normal(size=d))


def _corrected(name, k, mapped=False):
    def make(d):
        return make_measure(name, k=k, **({"base": _turn(d, "cosine")} if mapped else {}))

    def oracle(m):
        image = _mapped(m.base).image if mapped else lambda x: x
        return naive.Corrected(name, k, m.reference, image)

    return Case(make, oracle, score_ulps=1e5)


def network(d, hidden=40, alpha=0.0, sign=0, bias2=-1.0):
    """A learned measure with random weights, some of the second layer zero."""
    rng = _rng("network", d, hidden)
    second = rng.normal(size=hidden)
    second[3 % hidden] = 0
    if sign:
        second = sign * np.abs(second)
    scale = np.sqrt(d)
    return make_measure("learned", first_a=(rng.normal(size=(hidden, d)) / scale).astype(np.float32),
                        first_b=(rng.normal(size=(hidden, d)) / scale).astype(np.float32),
                        bias1=rng.normal(size=hidden), second=second, bias2=bias2, alpha=alpha)


def _learned(**parameters):
    return Case(lambda d: network(d, **parameters), lambda m: naive.Learned(
        m.first_a, m.first_b, m.bias1, m.second, m.bias2, m.alpha), learned=True, score_ulps=1e5)


def _rising(p, a2, b2):
    return p / (1 + np.sqrt(a2 * b2))


def _any(p, a2, b2):
    return -(p * p) / (1 + a2 + b2)


def _cauchy(delta):
    return 1 / (1 + delta * delta)


def _steps(delta):
    return -np.floor(delta * 3)


def _chebyshev(x, y):
    return -np.max(np.abs(x - y), axis=-1)


MEASURES: dict[str, Case] = {
    "cosine": _inner("cosine"),
    "dot": _inner("dot"),
    "euclidean": _inner("euclidean"),
    "angular": _inner("angular"),
    "ndd": _inner("ndd"),
    "ndd κ=0.7": _inner("ndd(query_norm=0.7)", query_norm=0.7),
    "log_scaled": _inner("log_scaled"),
    "hybrid": _inner("hybrid"),
    "tanimoto": _inner("tanimoto"),
    "dice": _inner("dice"),
    "tempered_cosine": _inner("tempered_cosine", beta=0.5),
    "tempered_cosine β=-1.5": _inner("tempered_cosine(beta=-1.5)", beta=-1.5),
    "tempered_cosine β=2.5": _inner("tempered_cosine(beta=2.5)", beta=2.5),
    "poincare": _inner("poincare"),
    "manhattan": _coordinate("manhattan"),
    "manhattan weights": _coordinate("manhattan", weights=_weights),
    "manhattan trim": _coordinate("manhattan", trim=0.25),
    "manhattan threshold": _coordinate("manhattan", threshold=-0.5, share=0.6),
    "manhattan tiers": _coordinate("manhattan", tiers=-1.0, critical=_critical),
    "gower": _coordinate("gower"),
    "gower clip": _coordinate("gower", clip=True),
    "gower quantile": _coordinate("gower", quantile=0.05),
    "gower weights": _coordinate("gower", ranges=lambda d: np.linspace(1, 2, d), weights=_weights),
    "gower trim": _coordinate("gower", trim=0.2),
    "gower clip threshold": _coordinate("gower", clip=True, ranges=lambda d: np.linspace(1, 2, d), threshold=0.7),
    "gower clip tiers": _coordinate("gower", clip=True, ranges=lambda d: np.linspace(1, 2, d), tiers=0.6,
                                    critical=_critical),
    "exponential": _coordinate("exponential"),
    "exponential narrow": _coordinate("exponential", bandwidth=0.05),
    "exponential widths": _coordinate("exponential", bandwidth=lambda d: np.linspace(0.1, 2, d)),
    "exponential fitted": _coordinate("exponential", bandwidth="fitted"),
    "exponential trim": _coordinate("exponential", bandwidth=0.5, trim=0.1),
    "exponential trim half": _coordinate("exponential", trim=0.5),
    "exponential weights": _coordinate("exponential", weights=_weights),
    "exponential weights trim": _coordinate("exponential", weights=_weights, trim=0.3),
    "exponential 0/1 weights": _coordinate("exponential", weights=_zero_one),
    "exponential threshold": _coordinate("exponential", threshold=kiyas.Quantile(0.3), share=0.5),
    "exponential tiers": _coordinate("exponential", tiers=0.4, critical=_critical, trim=0.1),
    "mahalanobis": Case(lambda d: make_measure("mahalanobis", shrinkage=0.1), _mapped),
    "mahalanobis diagonal": Case(lambda d: make_measure("mahalanobis", form="diagonal"), _mapped),
    "linear_map cosine": Case(lambda d: _turn(d, "cosine"), _mapped),
    "linear_map exponential": Case(lambda d: _turn(d, "exponential(trim=0.1)"), _mapped, score_ulps=32),
    "csls": _corrected("csls", k=5),
    "csls linear_map": _corrected("csls", k=3, mapped=True),
    "local_scaling": _corrected("local_scaling", k=4),
    "learned": _learned(),
    "learned α": _learned(alpha=1.5),
    "learned −α": _learned(alpha=-2.0, sign=-1),
    "learned positive": _learned(sign=1, bias2=0.0),
    "linear_map learned": Case(lambda d: kiyas.LinearMap(_turn(d, "cosine").matrix, network(min(d, 40), alpha=1.5)),
                               lambda m: naive.Mapped(m.matrix, naive.Learned(
                                   m.base.first_a, m.base.first_b, m.base.bias1, m.base.second, m.base.bias2,
                                   m.base.alpha)), learned=True, score_ulps=1e5),
    "user rising": Case(lambda d: UserInner(function=_rising, increasing=True), lambda m: naive.user_inner(_rising)),
    "user inner": Case(lambda d: UserInner(function=_any), lambda m: naive.user_inner(_any)),
    "user coordinate": Case(lambda d: UserCoordinate(function=_cauchy, trim=0.1), coordinate_oracle, score_ulps=32),
    "user steps": Case(lambda d: UserCoordinate(function=_steps), coordinate_oracle, score_ulps=32),
    "user pair": Case(lambda d: UserPair(function=_chebyshev), lambda m: naive.user_pair(_chebyshev)),
}


# Data without a spread has nothing to fit.
UNFITTABLE = ("gower", "gower clip", "gower quantile", "gower trim", "exponential fitted", "mahalanobis",
              "mahalanobis diagonal")


def problem(case, kind, n, d, m=3, dtype="float32", seed=0):
    """Rows and queries of a kind of data that lie in the measure's domain."""
    X = vectors(kind, n, d, dtype, seed)
    Q = queries_for(X, m, seed)
    return into_ball(X, Q) if case.ball else (X, Q)


def check(case, X, Q, k=10, hits=None, index=None, **asked):
    """Search, compare with the oracle, and return index, hits and the oracle's table."""
    index = case.index(X) if index is None else index
    k = min(k, len(X))
    orders = naive.table(case.oracle(index.measure), Q, X)
    hits = index.search(Q, k=k, **asked) if hits is None else hits
    assert_same_hits(hits, orders, k, shown=case.shown, score_ulps=case.score_ulps)
    return index, hits, orders
