"""Reductions: a plain engine over the transformed vectors must rank as the measure does."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from kiyas.errors import DomainError, InputError, MeasureError
from kiyas.measures import LinearMap, Mahalanobis, Poincare, list_measures, measure, reduce


def rows(seed, n=300, d=12):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * rng.uniform(0.3, 3, (n, 1))
    X[5] = 0
    return X


def unit(X, norm=1.0):
    return X / np.linalg.norm(X, axis=1, keepdims=True) * norm


M = np.random.default_rng(0).standard_normal((6, 12))
CASES = [
    ("cosine", {}, None), ("dot", {}, None), ("euclidean", {}, None), ("angular", {}, None),
    ("ndd", {}, 2.0), ("ndd(query_norm=0.7)", {}, None), ("log_scaled", {}, 2.0), ("tanimoto", {}, 0.5),
    ("dice", {}, 3.0), ("tempered_cosine(beta=0.5)", {}, None), ("tempered_cosine(beta=1.5)", {}, None),
    ("tempered_cosine(beta=0)", {}, None), ("poincare", {}, None), ("mahalanobis", {}, None),
    ("mahalanobis(form=4)", {}, None), ("manhattan", {}, None), ("manhattan(trim=0.05)", {}, None),
    ("gower", {}, None), ("linear_map(base=cosine)", {"matrix": M}, None),
    ("linear_map(base=ndd(query_norm=2))", {"matrix": M}, None), ("linear_map(base=manhattan)", {"matrix": M}, None),
]
IDS = [c[0] for c in CASES]


def engine(items, queries, target):
    """Values of a plain engine, larger is better."""
    if target == "inner":
        return queries @ items.T
    gap = queries[:, None, :] - items[None, :, :]
    return -(np.abs(gap).sum(axis=2) if target == "l1" else (gap**2).sum(axis=2))


def prepared(spec, parameters, kappa):
    X, Q = rows(1), rows(2, n=9)[:5]
    if "poincare" in spec:
        X, Q = X / 30, Q / 30
    if kappa:
        Q = unit(Q, kappa)
    m = measure(spec, **parameters)
    return X, Q, m if m.fitted else m.fit(X)


def agree(values, scores):
    """The two orders may differ only between scores that are equal to rounding."""
    for value, score in zip(values, scores, strict=True):
        best = score[np.argsort(-value, kind="stable")]
        np.testing.assert_allclose(best, np.sort(score)[::-1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("spec", "parameters", "kappa"), CASES, ids=IDS)
def test_ranks_as_the_measure(spec, parameters, kappa):
    X, Q, m = prepared(spec, parameters, kappa)
    r = reduce(X, m, query_norm=kappa)
    assert r.items.shape[0] == 300
    agree(engine(r.items, r.queries(Q), r.target), m.pairwise(Q, X))


@pytest.mark.parametrize(("spec", "parameters", "kappa"),
                         [c for c in CASES if not any(w in c[0] for w in ("poincare", "manhattan", "gower"))])
@pytest.mark.parametrize("target", ["inner", "l2"])
def test_both_targets(spec, parameters, kappa, target):
    X, Q, m = prepared(spec, parameters, kappa)
    r = reduce(X, m, query_norm=kappa, target=target)
    assert r.target == target
    agree(engine(r.items, r.queries(Q), target), m.pairwise(Q, X))


@pytest.mark.parametrize("target", ["inner", "l2", None])
def test_faiss_ranks_as_the_measure(target):
    faiss = pytest.importorskip("faiss")
    for spec, parameters, kappa in CASES:
        X, Q, m = prepared(spec, parameters, kappa)
        try:
            r = reduce(X, m, query_norm=kappa, target=target)
        except MeasureError:
            continue
        items, queries = (np.ascontiguousarray(x, dtype=np.float32) for x in (r.items, r.queries(Q)))
        index = faiss.IndexFlat(items.shape[1], {"inner": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2,
                                                 "l1": faiss.METRIC_L1}[r.target])
        index.add(items)
        _, found = index.search(queries, 10)
        scores = m.pairwise(Q, X)
        want = -np.sort(-scores, axis=1)[:, :10]
        # FAISS counts in float32, so scores that near may change places.
        np.testing.assert_allclose(np.take_along_axis(scores, found, axis=1), want, rtol=3e-5, atol=3e-6, err_msg=spec)


def test_dead_dimensions_and_weights_of_gower():
    X = np.concatenate([rows(3), np.full((300, 1), 0.1)], axis=1)
    m = measure("gower", weights=[1.0] * 6 + [2.0] * 6 + [5.0]).fit(X)
    r = reduce(X, m)
    assert r.items.shape == (300, 12)
    agree(engine(r.items, r.queries(X[:4]), "l1"), m.pairwise(X[:4], X))


def test_poincare_near_the_rim_in_float64():
    rng = np.random.default_rng(4)
    X = unit(rng.standard_normal((200, 3))) * (1 - 10.0 ** rng.uniform(-6, -1, (200, 1)))
    r = reduce(X, "poincare")
    top = np.argsort(-engine(r.items, r.queries(X[:20]), "inner"), axis=1)[:, :5]
    want = np.argsort(-Poincare().pairwise(X[:20], X), axis=1)[:, :5]
    assert np.mean(top == want) == 1.0


def test_every_measure_is_reduced_or_refused_with_a_reason():
    X = rows(5) / 30
    w = {"learned": {"first_a": M, "first_b": M, "bias1": np.zeros(6), "second": np.ones(6)},
         "linear_map": {"matrix": M, "base": measure("dot")}}
    refused = set()
    for name in list_measures():
        try:
            reduce(X, measure(name, **w.get(name, {})), query_norm=1.0)
        except MeasureError as error:
            assert "has no exact reduction: " in str(error)
            refused.add(name)
    assert refused == {"hybrid", "exponential", "learned"}


@pytest.mark.parametrize(("m", "words"), [
    ("hybrid", "hybrid has no exact reduction: the query's length"),
    ("exponential(trim=0.1)", "exponential has no exact reduction"),
    (measure(lambda p, a2, b2: p, increasing=True, name="mine"), "mine has no exact reduction: nothing is known"),
    ("manhattan(trim=0.1)", "manhattan with trim depends on the pair"),
    ("manhattan(threshold=-0.5)", "manhattan with threshold depends on the pair"),
    ("gower(clip=True)", "gower with clip depends on the pair"),
    ("ndd", "ndd depends on the length of the query.*give query_norm"),
    ("log_scaled", "give query_norm"), ("dice", "give query_norm"),
    (LinearMap(M, measure("hybrid")), "hybrid has no exact reduction"),
])
def test_refusals(m, words):
    with pytest.raises(MeasureError, match=words):
        reduce(rows(6), m)


def test_bad_targets_and_queries():
    with pytest.raises(MeasureError, match="'target' must be 'inner', 'l2', 'l1' or None, got 'ip'"):
        reduce(rows(7), "dot", target="ip")
    with pytest.raises(MeasureError, match="dot has no exact reduction to L1"):
        reduce(rows(7), "dot", target="l1")
    with pytest.raises(MeasureError, match="manhattan is an L1 distance and has no exact reduction to 'l2'"):
        reduce(rows(7), "manhattan", target="l2")
    with pytest.raises(MeasureError, match="poincare goes to target='inner' only"):
        reduce(rows(7) / 30, "poincare", target="l2")
    with pytest.raises(InputError, match="'query_norm' must be a positive number or None, got 0"):
        reduce(rows(7), "ndd", query_norm=0)
    with pytest.raises(InputError, match=r"of rows of norm 1, the query_norm, got norm 2 in row 1"):
        reduce(rows(7), "ndd", query_norm=1).queries(np.array([[1.0] + [0] * 11, [2.0] + [0] * 11]))
    with pytest.raises(InputError, match="'Q' must be of 12 dimensions, got 3"):
        reduce(rows(7), "cosine").queries(np.ones((1, 3)))
    with pytest.raises(DomainError, match="'Q' must lie inside the open unit ball"):
        reduce(rows(7) / 30, "poincare").queries(np.ones((1, 12)))
    with pytest.raises(DomainError, match="'vectors' must lie inside"):
        reduce(rows(7), "poincare")
    with pytest.raises(InputError, match="NaN or infinity in row 0"):
        reduce(np.full((1, 2), np.nan), "dot")


@pytest.mark.parametrize(("spec", "parameters", "kappa"), CASES, ids=IDS)
def test_array_api_strict(spec, parameters, kappa):
    X, Q, m = prepared(spec, parameters, kappa)
    want = reduce(X, m, query_norm=kappa)
    got = reduce(array_api_strict.asarray(X), m, query_norm=kappa)
    assert got.items.dtype == array_api_strict.float64
    np.testing.assert_allclose(np.asarray(got.items), want.items, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(got.queries(array_api_strict.asarray(Q))), want.queries(Q), rtol=1e-12)


def test_an_unfitted_measure_is_fitted_on_the_vectors():
    X = rows(8)
    assert reduce(X, "mahalanobis").measure.fitted
    np.testing.assert_array_equal(reduce(X, "mahalanobis").items, Mahalanobis().fit(X).transform(X))
