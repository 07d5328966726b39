"""Hits at the ends of what a product can be, where a user's function may be steep, infinite, or fall past the end."""

import math

import numpy as np
import pytest

import kiyas
from kiyas import kernels
from kiyas.measures.user import user_measure

RNG = np.random.default_rng(0)


def unit_rows(n, d, decay=1.0):
    X = RNG.normal(size=(n, d)) * decay ** np.arange(d)
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module", params=["flat", "turned"])
def index(request):
    """2000 rows as they are, or 20 000 that are turned for their codes."""
    return kiyas.Index(unit_rows(2000, 64) if request.param == "flat" else unit_rows(20_000, 128, 0.93), measure="dot")


def sums(q, X):
    """p, a² and b² of a query and rows of float32, whose products float64 holds, rounded once."""
    X, q = X.astype(np.float64), q.astype(np.float64)
    p, b2 = (np.array([math.fsum(r) for r in rows.tolist()]) for rows in (X * q, X * X))
    return p, np.full(len(X), math.fsum((q * q).tolist())), b2


def close(p, a2, b2):
    return 1 / (1e-7 + a2 + b2 - 2 * p)


def unbounded(p, a2, b2):
    return 1 / (a2 + b2 - 2 * p)


def opposite(p, a2, b2):
    return -1 / (1e-7 + (a2 * b2) ** 0.5 + p)


def opposite_unbounded(p, a2, b2):
    return -1 / ((a2 * b2) ** 0.5 + p)


def angle(p, a2, b2):
    return -np.arccos(p / (a2 * b2) ** 0.5)


def users(function, compiled):
    if compiled:
        pytest.importorskip("numba")
    return user_measure(function, increasing=True, compiled=compiled)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("function", [close, opposite])
def test_a_steep_function_finds_rows_nearly_equal_or_opposite(index, function, compiled):
    X = index._rows.take(np.arange(len(index)))
    mine = index.using(users(function, compiled))
    for row in (0, len(X) - 5):
        for q in (X[row], X[row] + np.float32(1e-5) * RNG.normal(size=X.shape[1]).astype(np.float32), -X[row]):
            # The best are among those with the largest products, which alone are summed exactly.
            chosen = np.sort(np.argsort(-(X.astype(np.float64) @ q.astype(np.float64)))[:100])
            scores = function(*sums(q, X[chosen]))
            order = np.lexsort((chosen, -scores))
            for k in (1, 2, 5):
                hits = mine.search(q, k=k, threads=1)
                assert hits.path.startswith("certified")
                np.testing.assert_array_equal(hits.ids[0], chosen[order[:k]])
                np.testing.assert_allclose(hits.scores[0], scores[order[:k]], rtol=1e-12)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("d", [16, 64])
@pytest.mark.parametrize("function", [close, unbounded, opposite, opposite_unbounded, angle])
def test_a_function_that_breaks_past_the_end_loses_no_row(function, d, compiled):
    # Rows whose products are exact: what the function is at the very end is what its score is.
    X = RNG.choice([-1.0, 1.0], size=(600, d)).astype(np.float32) / np.float32(math.sqrt(d))
    mine = kiyas.Index(X, measure=users(function, compiled))
    Q = np.concatenate([X[[7, 300]], -X[[7, 300]]])
    many, every = mine.search(Q, k=3, threads=1), mine.search(Q, k=600, threads=1)
    with np.errstate(divide="ignore"):
        for j, q in enumerate(Q):
            scores = function(*sums(q, X))
            order = np.lexsort((np.arange(len(X)), -scores))
            np.testing.assert_array_equal(many.ids[j], order[:3])
            np.testing.assert_array_equal(every.ids[j], order)
            np.testing.assert_allclose(many.scores[j], scores[order[:3]], rtol=1e-12)
            one = mine.search(q, k=1, threads=1)
            assert one.ids[0, 0] == order[0] and not np.isnan(one.scores).any()


def test_bounds_of_a_function_that_falls_or_is_undefined_say_nothing():
    from kiyas.kernels.inner import function_interval

    one = np.ones(4)
    low, high = np.array([-1.0, 0.25, -0.5, 0.5]), np.array([-0.5, 0.5, 2.0, 1.0 + 2.0**-50])
    nan = function_interval(lambda p, a2, b2: np.where((p > 1) | (p < -0.9), np.nan, p), low, high, one, one)
    np.testing.assert_allclose(nan, [[-np.inf, 0.25, -np.inf, -np.inf], [-0.5, 0.5, np.inf, np.inf]], rtol=1e-13)
    falls = function_interval(lambda p, a2, b2: np.where(p < -0.9, 9.0, p), low, high, one, one)
    np.testing.assert_allclose(falls, [[-np.inf, 0.25, -0.5, 0.5], [np.inf, 0.5, 2.0, 1.0]], rtol=1e-13)
    # Past the end it falls, at the end it does not.
    ends = function_interval(lambda p, a2, b2: np.where(p > 1, -7.0, p), np.full(4, 0.5), high, one, one)
    np.testing.assert_allclose(ends[1], [np.inf, 0.5, 1.0, 1.0], rtol=1e-13)


@pytest.mark.parametrize("level", kernels.levels())
def test_the_logarithm_of_the_filter_errs_by_less_than_its_margin(level, monkeypatch):
    monkeypatch.setenv(kernels.LEVEL_VARIABLE, level)
    d, q = 64, np.full(64, 1 / 8, np.float32)
    rng = np.random.default_rng(3)
    for b in np.exp(np.linspace(-1.5, 1.5, 13)):
        # Two rows that codes hold exactly, along the query and with one sign turned, in blocks of their own: the
        # latter scores a hair less than the former, or a hair more.
        for more in (-1.2e-5, 1.2e-5):
            near, far = b, 2 * b + 1
            target = b / np.log1p(b) * (1 + more)
            for _ in range(80):
                middle = (near + far) / 2
                near, far = (middle, far) if (1 - 2 / d) * middle / np.log1p(middle) < target else (near, middle)
            X = rng.choice([-1.0, 1.0], size=(256, d)).astype(np.float32) / 16 * np.float32(min(b, 1))
            X[3], X[200] = q * np.float32(near), q * np.float32(b)
            X[3, 0] *= -1
            p, a2, b2 = sums(q, X)
            scores = p / np.log1p(np.sqrt(a2) * np.sqrt(b2))
            for first, last in ((3, 200), (200, 3)):
                Y = X.copy()
                Y[[first, last]] = X[[3, 200]]
                best = np.argmax(scores[[3, 200]])
                found = kiyas.Index(Y, measure="log_scaled").search(q, k=1, threads=1).ids[0, 0]
                assert found == (first, last)[best], (b, more)
