import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiyas.errors import InputError, KiyasError, MeasureError
from kiyas.measures.profiles import Exponential, Gower
from kiyas.measures.proposals import column_moments, column_span, live_columns, propose_critical, propose_weights


def aligned(n=400, noise=(0.1, 1.0, 10.0)):
    rng = np.random.default_rng(2)
    A = rng.normal(size=(n, len(noise)))
    return A, A + rng.normal(size=A.shape) * noise


def test_variance_weights_average_one():
    X = np.random.default_rng(1).normal(size=(500, 3)) * [1.0, 2.0, 0.0] + 1e6
    w = propose_weights(X)
    np.testing.assert_allclose(w, 3 * X.var(axis=0) / X.var(axis=0).sum(), rtol=1e-8)
    assert w[2] == 0.0
    np.testing.assert_array_equal(propose_weights(X, by="variance"), w)
    np.testing.assert_array_equal(propose_weights(array_api_strict.asarray(X)), w)


def test_weights_of_huge_and_tiny_variances_stay_finite():
    X = np.array([[1e150, 1e-150], [0.0, 0.0]])
    assert propose_weights(X).tolist() == [2.0, 0.0]


def test_discrimination_prefers_dimensions_that_tell_pairs_apart():
    w = propose_weights(pairs=aligned())
    assert w[0] > w[1] > w[2] >= 0
    assert w.mean() == pytest.approx(1)
    np.testing.assert_array_equal(propose_weights(pairs=aligned(), by="discrimination"), w)
    assert propose_critical(pairs=aligned(), count=1) == (0,)


def test_discrimination_is_what_it_says():
    A, B = aligned(n=50)
    order = np.random.default_rng(0).permutation(50)
    matched, other = -np.abs(A - B), -np.abs(A[order] - B[np.roll(order, -1)])
    raw = (matched.mean(0) - other.mean(0)) / np.sqrt((matched.var(0) + other.var(0)) / 2)
    raw = np.maximum(raw, 0)
    np.testing.assert_allclose(propose_weights(pairs=(A, B)), raw / raw.mean(), rtol=1e-10)


def test_discrimination_under_a_measure():
    A, B = aligned()
    A[:, 1] = B[:, 1] = 3.0
    w = propose_weights(pairs=(A, B), measure=Gower().fit(A))
    assert w[1] == 0 and w[0] > w[2]
    assert propose_weights(pairs=(A, B), measure=Exponential(bandwidth=0.1))[0] > 1


def test_perfect_pairs_without_spread():
    # Two rows: a matched pair always differs by 0, a shuffled one always by 1.
    A = np.array([[0.0, 5.0], [1.0, 5.0]])
    assert propose_weights(pairs=(A, A)).tolist() == [2.0, 0.0]


def test_critical_dimensions_are_ascending_and_ties_go_to_the_lower():
    X = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 3.0, 3.0, 3.0]])
    assert propose_critical(X, count=2) == (1, 2)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1, 1)), min_size=1, max_size=40))
def test_moments_are_those_of_numpy(rows):
    X = np.array(rows)
    mean, variance = column_moments(X)
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(variance, X.var(axis=0), rtol=1e-9, atol=1e-9)


def test_moments_over_several_blocks():
    X = np.random.default_rng(4).normal(size=(300_000, 8)) + 1e8
    mean, variance = column_moments(X)
    near = X - 1e8  # exact, and free of the rounding NumPy's own mean suffers so far from 0
    np.testing.assert_allclose(mean - 1e8, near.mean(axis=0), atol=2e-8)
    np.testing.assert_allclose(variance, near.var(axis=0), rtol=1e-9)
    X[:, 0] = 0.1
    assert column_moments(X)[1][0] == 0.0


def test_spans():
    X = np.arange(101.0)[:, None] * [1.0, 2.0]
    assert column_span(X, 0).tolist() == [100.0, 200.0]
    np.testing.assert_allclose(column_span(X, 0.1), [80.0, 160.0])
    assert column_span(X.astype(np.float16), 0).dtype == np.float64


def test_live_columns_with_a_median_of_zero():
    assert live_columns(np.array([0.0, 0.0, 1e-30])).tolist() == [False, False, True]


GOOD = np.eye(3)
ERRORS = [
    (lambda: propose_weights(), InputError, "propose_weights: 'X' must be given, or else 'pairs', got neither"),
    (lambda: propose_weights(GOOD, pairs=(GOOD, GOOD)), InputError, "got both"),
    (lambda: propose_weights(GOOD, by="discrimination"), MeasureError, "'by' must be 'variance' where X is given"),
    (lambda: propose_weights(pairs=(GOOD, GOOD), by="variance"), MeasureError, "'by' must be 'discrimination'"),
    (lambda: propose_weights(GOOD, measure=Exponential()), MeasureError, "'measure' must be left out where X is given"),
    (lambda: propose_weights(pairs=GOOD), InputError, "'pairs' must be two arrays (A, B)"),
    (lambda: propose_weights(pairs=(GOOD, GOOD[:2])), InputError, "of as many rows, two or more, got 3 and 2 rows"),
    (lambda: propose_weights(pairs=(GOOD[:1], GOOD[:1])), InputError, "two or more"),
    (lambda: propose_weights(pairs=(GOOD, GOOD[:, :2])), InputError, "'pairs[1]' must be of 3 dimensions"),
    (lambda: propose_weights(np.ones((3, 2))), InputError, "'X' must be rows that differ"),
    (lambda: propose_weights(pairs=(np.ones((3, 2)), np.ones((3, 2)))), InputError, "tells from shuffled ones"),
    (lambda: propose_critical(GOOD, count=0), InputError, "'count' must be an integer from 1 to 3, got 0"),
    (lambda: propose_critical(GOOD, count=4), InputError, "'count' must be an integer from 1 to 3"),
    (lambda: propose_critical(GOOD * [1, 0, 1], count=3), InputError, "'count' must be at most 2"),
]


@pytest.mark.parametrize("act, kind, words", ERRORS, ids=range(len(ERRORS)))
def test_errors_say_what_is_wrong(act, kind, words):
    with pytest.raises(KiyasError) as caught:
        act()
    assert type(caught.value) is kind
    assert words in str(caught.value)
