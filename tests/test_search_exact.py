"""Search answers as the oracle does: every measure, on benign and on hostile rows."""

import math

import naive
import numpy as np
import pytest
from helpers import DATA, MEASURES, UNFITTABLE, Case, check, coordinate_oracle, network, problem

import kiyas
from kiyas.errors import InputError
from kiyas.measures import measure as make_measure
from kiyas.measures.user import UserCoordinate

DIMS = [1, 3, 15, 16, 17, 31, 32, 33, 97, 384, 4096]
REPRESENTATIVES = ["cosine", "euclidean", "ndd", "hybrid", "poincare", "manhattan", "exponential trim", "gower clip",
                   "exponential tiers", "learned α", "user rising"]


def test_every_measure_of_the_catalogue_has_a_case():
    named = {name.split()[0] for name in MEASURES}
    assert set(kiyas.list_measures()) <= named


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("kind", DATA)
def test_hits_are_those_of_the_oracle(name, kind):
    case = MEASURES[name]
    X, Q = problem(case, kind, 90, 33)
    if kind == "all identical" and name in UNFITTABLE:
        with pytest.raises(InputError):
            case.index(X)
        return
    check(case, X, Q)


@pytest.mark.parametrize("d", DIMS)
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_any_number_of_dimensions(name, d, small_codes):
    case = MEASURES[name]
    X, Q = problem(case, "benign", 40 if d < 4096 else 12, d, m=2)
    if name == "gower clip" and d == 1:
        X[0] = X[1] + 1  # a range to divide by
    check(case, X, Q, k=5)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("kind", ["benign", "duplicates", "shifted", "zeros"])
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_any_float(name, kind, dtype):
    case = MEASURES[name]
    X, Q = problem(case, kind, 60, 40, m=2, dtype=dtype)
    check(case, X, Q)


@pytest.mark.parametrize("k", [1, 10, 90])
@pytest.mark.parametrize("name", MEASURES)
def test_any_k(name, k):
    case = MEASURES[name]
    X, Q = problem(case, "zeros", 90, 48, m=2, seed=k)
    check(case, X, Q, k=k)


# -- single traps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 20, 40])
def test_near_the_rim_of_the_ball(d):
    """1 − ‖x‖² keeps few digits there: bounds must be of the very norms that scores are made of."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1500, d))
    X *= (1 - 10.0 ** rng.uniform(-15.5, -13, size=(1500, 1))) / np.linalg.norm(X, axis=1, keepdims=True)
    X = X[np.sum(X * X, axis=1) < 1 - 1e-15]
    Q = np.concatenate([np.zeros((2, d)), X[:2]])
    Q[1, 0] = 0.3
    check(MEASURES["poincare"], X, Q)


@pytest.mark.parametrize("name", ["exponential", "manhattan", "gower", "cosine"])
def test_a_users_function_may_bear_the_name_of_a_built_in_measure(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 40)).astype(np.float32)
    Q = X[:3] + np.float32(0.05) * rng.normal(size=(3, 40)).astype(np.float32)

    def steep(delta):
        return np.exp(-100 * delta)

    check(Case(lambda d: UserCoordinate(function=steep, name=name), coordinate_oracle, score_ulps=32), X, Q)


@pytest.mark.parametrize("width", [1e-38, 1e-40, 1e-310, 1e30])
@pytest.mark.parametrize("trim", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bandwidths_whose_reciprocal_overflows(width, trim, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(-1, 2, size=(300, 40)).astype(dtype)
    Q = X[:3].copy()
    Q[:, :9] += 1
    case = Case(lambda d: make_measure("exponential", bandwidth=width, trim=trim), coordinate_oracle, score_ulps=32)
    check(case, X, Q)


@pytest.mark.parametrize("rule", ["threshold", "tiers"])
def test_values_that_lie_on_a_threshold_are_not_below_it(rule):
    rng = np.random.default_rng(0)
    X = (rng.integers(-8, 8, size=(60, 40)) / 4).astype(np.float32)
    for quarters in range(1, 17):
        for tau in {math.exp(-quarters / 4), float(np.exp(-quarters / 4))}:
            beside = {"share": 0.5} if rule == "threshold" else {"critical": [0, 3, 5, 7]}
            m = make_measure("exponential", **{rule: tau}, **beside)
            check(Case(lambda d, m=m: m, coordinate_oracle, score_ulps=32), X, X[:1])


@pytest.mark.parametrize("make", [
    lambda: make_measure("gower", ranges=np.ones(40), weights=np.full(40, 1e9)),
    lambda: make_measure("exponential", weights=np.full(40, 1e9)),
    lambda: make_measure("exponential", weights=1e9 * np.linspace(1, 2, 40), trim=0.1),
    lambda: UserCoordinate(function=lambda delta: 1e9 - delta),
], ids=["gower", "exponential", "trimmed", "user"])
def test_losses_below_the_last_place_of_a_score_tie(make):
    X = np.zeros((1500, 40), np.float32)
    X[:, 1:9] = 1 + np.random.default_rng(0).random((1500, 8))
    X[200:300] = 0
    X[200:300, 0] = 1e-17 * np.arange(100, 0, -1)
    index = kiyas.Index(X, make())
    hits = index.search(np.zeros(40), k=1400)
    assert hits.ids[0, :100].tolist() == list(range(200, 300)) and np.ptp(hits.scores[0, :100]) == 0
    best = index.search(np.zeros(40), k=200, min_score=float(hits.scores[0, 0]))
    assert best.ids[0, :100].tolist() == list(range(200, 300)) and np.all(best.ids[0, 100:] == -1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiers_over_tiny_pooled_scores(dtype):
    """2 + 1/(1 + 4e7) keeps eight digits of the pooled score: rows that tie must all be there."""
    X = (1e6 + 1e-4 * np.random.default_rng(0).normal(size=(800, 40))).astype(dtype)
    m = make_measure("manhattan", tiers=-2e6, critical=[0, 1])
    index, Q = kiyas.Index(X, m), np.eye(1, 40)
    every = index.search(Q, k=800)
    for score in np.unique(every.scores):
        got = index.search(Q, k=700, min_score=float(score))
        reached = min(700, int(np.sum(every.scores >= score)))
        np.testing.assert_array_equal(got.ids[0, :reached], every.ids[0, :reached])


@pytest.mark.parametrize("kappa", [1e-44, 3e-44, 1e-40, 1e-30, 1e30, 1e38, 1e150])
@pytest.mark.parametrize("size", [1, 1e-8])
def test_query_norms_beyond_float32(kappa, size):
    """Rows and queries that codes hold without error, so that the rounding of float32 is all there is."""
    rng = np.random.default_rng(3)
    X = (size * rng.integers(-1, 2, size=(1500, 200))).astype(np.float32)
    Q = (size * (2 * rng.integers(0, 2, size=(4, 200)) - 1)).astype(np.float32)
    case = Case(lambda d: make_measure("ndd", query_norm=kappa), lambda m: naive.inner("ndd", query_norm=kappa))
    check(case, X, Q)


@pytest.mark.parametrize(("beta", "query", "row"), [
    (8, 1e-15, 5e3), (8, 1e-10, 3e3), (-8, 1e10, 1e-4), (-8, 1e-15, 1e-3)])
def test_scores_beyond_float32(beta, query, row):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(1, 40))
    base /= np.linalg.norm(base)
    X = (row * (base + 1e-5 * rng.normal(size=(1500, 40)))).astype(np.float32)
    Q = (query * (base + 0.1 * rng.normal(size=(9, 40)))).astype(np.float32)
    case = Case(lambda d: make_measure("tempered_cosine", beta=beta),
                lambda m: naive.inner("tempered_cosine", beta=beta), score_ulps=32)
    check(case, X, Q)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_network_without_a_second_layer(alpha):
    m = network(40, alpha=alpha).with_(second=np.zeros(40))
    X, Q = problem(MEASURES["learned"], "benign", 300, 40)
    check(Case(lambda d: m, MEASURES["learned"].oracle, learned=True, score_ulps=1e5), X, Q)


@pytest.mark.parametrize("name", ["learned", "learned α"])
def test_logits_beyond_what_a_sigmoid_shows(name):
    m = network(36, hidden=40, alpha=1.0 if "α" in name else 0.0)
    X, Q = problem(MEASURES[name], "benign", 200, 36)
    case = Case(lambda d: m, MEASURES[name].oracle, learned=True, score_ulps=1e9)
    index = case.index(X * 300)
    orders = naive.table(case.oracle(m), Q, X * 300)
    for j, hits in enumerate(index.search(Q, k=200).ids.tolist()):
        assert hits == [row for row, _ in naive.top_k(orders[j], 200)]


def test_denormal_rows_of_every_float():
    for dtype, size in (("float16", 6e-8), ("float32", 1e-45), ("float64", 5e-324)):
        X = (np.random.default_rng(0).integers(-3, 4, size=(60, 40)) * size).astype(dtype)
        for name in ("cosine", "euclidean", "manhattan", "exponential", "hybrid"):
            check(MEASURES[name], X, X[:3])


def test_a_bias_that_cancels_the_network():
    """The logit is rounded once: sums that differ in the last place only must not tie before the bias is taken off."""
    h = 40
    second = np.full(h, 1e-9)
    second[0] = 1.0
    X = np.random.default_rng(5).normal(size=(300, h)).astype(np.float32)
    X[:, 0] = 2.0**20
    for alpha in (0.0, 1e-9):
        m = make_measure("learned", first_a=np.zeros((h, h)), first_b=np.eye(h), bias1=np.zeros(h), second=second,
                         bias2=-(2.0**20), alpha=alpha)
        case = Case(lambda d, m=m: m, MEASURES["learned"].oracle, learned=True)
        check(case, X, X[:2], k=20)


@pytest.mark.parametrize("d", [32, 33])
@pytest.mark.parametrize("name", ["manhattan", "exponential(trim=0.3)"])
def test_one_query_that_gives_up_looking_at_high_halves(name, d):
    # More rows than the trial takes, most of which coarse codes cannot rule out, as outliers stretch the grid.
    rng = np.random.default_rng(5)
    X = rng.standard_t(1.5, size=(40_000, d)).astype(np.float32)
    X[20_000:] = np.round(X[20_000:])
    Q = np.concatenate([X[rng.integers(40_000, size=9)], 3 * rng.standard_t(1.5, size=(8, d))]).astype(np.float32)
    index = kiyas.Index(X, measure=name)
    batch = index.search(Q, k=7, threads=1)
    for j in (0, 9, 16):  # the last is the one left over when sixteen are taken together
        one = index.search(Q[j], k=7, threads=1)
        np.testing.assert_array_equal(one.ids[0], batch.ids[j])
        np.testing.assert_array_equal(one.scores[0], batch.scores[j])
        plain = make_measure(name).pairwise(Q[j : j + 1].astype(np.float64), X.astype(np.float64))[0]
        np.testing.assert_allclose(one.scores[0], np.sort(plain)[::-1][:7], rtol=1e-13)
        np.testing.assert_allclose(plain[one.ids[0]], one.scores[0], rtol=1e-13)
