"""The running covariance: added, merged and removed rows against one fresh look."""

from __future__ import annotations

import itertools

import naive_inner as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiyas.errors import InputError
from kiyas.measures import Covariance


def rows(seed, n=50, d=6, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.standard_t(5, (n, d)) @ rng.standard_normal((d, d)) + shift


def same(a, b, rtol=1e-9):
    assert a.count == b.count
    scale = np.sqrt(np.diag(b.scatter))
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(a.scatter, b.scatter, rtol=0, atol=rtol * np.outer(scale, scale).max())
    np.testing.assert_allclose(a.third, b.third, rtol=0, atol=rtol * (scale.max() ** 3))
    np.testing.assert_allclose(a.fourth, b.fourth, rtol=rtol)


@pytest.mark.parametrize("shift", [0.0, 1.0, 1e6])
def test_equals_the_loops(shift):
    X = rows(1, shift=shift)
    c = Covariance().add(X)
    np.testing.assert_allclose(c.mean, X.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(c.covariance(), naive.covariance(X), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(c.covariance(ddof=0), c.covariance() * 49 / 50, rtol=1e-14)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, 49), max_size=5), shift=st.sampled_from([0.0, 100.0]))
def test_any_partition_gives_the_same(cuts, shift):
    X = rows(2, shift=shift)
    whole = Covariance().add(X)
    edges = [0, *sorted(set(cuts)), 50]
    parts = [Covariance().add(X[i:j]) for i, j in itertools.pairwise(edges)]
    left = Covariance()
    for part in parts:
        left = left.merge(part)
    right = Covariance()
    for part in reversed(parts):
        right = part.merge(right)
    same(left, whole)
    same(right, whole)


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_removing_undoes_adding(shift):
    X, Y = rows(3, shift=shift), rows(4, n=30, shift=shift + 1)
    same(Covariance().add(X).add(Y).remove(Y), Covariance().add(X), rtol=1e-8)
    window = Covariance().add(X[:20])
    for i in range(20, 50):
        window = window.add(X[i:i + 1]).remove(X[i - 20:i - 19])
    same(window, Covariance().add(X[30:]), rtol=1e-7)


def test_a_state_is_a_value():
    X = rows(5)
    c = Covariance().add(X[:10])
    before = c.scatter.copy()
    c.add(X)
    c.remove(X[:3])
    np.testing.assert_array_equal(c.scatter, before)
    with pytest.raises(ValueError, match="read-only"):
        c.scatter[0, 0] = 1
    with pytest.raises(AttributeError):
        c.count = 3
    assert repr(c) == "Covariance(10 rows, 6 dims)"
    assert repr(Covariance()) == "Covariance(0 rows)"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_summed_in_float64(dtype):
    X = rows(6).astype(dtype)
    np.testing.assert_allclose(Covariance().add(X).covariance(), naive.covariance(X.astype(float)), rtol=1e-9,
                               atol=1e-9)


def test_many_blocks_equal_one(monkeypatch):
    from kiyas.measures import covariance

    X = rows(7, n=500)
    whole = Covariance().add(X)
    monkeypatch.setattr(covariance, "row_blocks", lambda n, d: ((i, min(i + 7, n)) for i in range(0, n, 7)))
    same(Covariance().add(X), whole)


def test_ledoit_wolf_against_the_loop():
    for seed, n, d in ((8, 12, 4), (9, 200, 5), (10, 6, 20)):
        X = rows(seed, n=n, d=d)
        c = Covariance().add(X)
        assert c.ledoit_wolf() == pytest.approx(naive.ledoit_wolf(X), rel=1e-10)
        parts = Covariance().add(X[:3]).add(X[3:])
        assert parts.ledoit_wolf() == pytest.approx(naive.ledoit_wolf(X), rel=1e-9)
        assert Covariance().add(rows(99, d=d)).add(X).remove(rows(99, d=d)).ledoit_wolf() == pytest.approx(
            naive.ledoit_wolf(X), rel=1e-5)


def test_ledoit_wolf_against_stored_numbers():
    """Made by scikit-learn 1.9: ledoit_wolf(X)[1] on these rows."""
    X = np.sin(np.arange(300.0).reshape(60, 5) ** 1.5) * [1.0, 2.0, 3.0, 4.0, 5.0]
    assert Covariance().add(X).ledoit_wolf() == pytest.approx(0.0853875850565343, rel=1e-12)
    X = np.cos(np.arange(120.0).reshape(40, 3) ** 1.3) * [1.0, 2.0, 5.0] + 7
    assert Covariance().add(X).ledoit_wolf() == pytest.approx(0.0547727087052616, rel=1e-12)


def test_ledoit_wolf_of_equal_variances_and_of_nothing():
    assert Covariance().add(np.ones((4, 2))).ledoit_wolf() == 0.0
    assert Covariance().add(rows(11, d=1)).ledoit_wolf() == 0.0


def test_constant_and_dead_dimensions_survive_removal():
    X = np.concatenate([rows(12), np.full((50, 1), 0.1), np.full((50, 1), 1e-33)], axis=1)
    c = Covariance().add(X[:20]).add(X[20:]).remove(X[:10])
    np.testing.assert_array_equal(c.scatter[6:, :], 0)
    same(c, Covariance().add(X[10:]), rtol=1e-8)


def test_removal_down_to_one_row_and_none():
    X = rows(13, n=3)
    one = Covariance().add(X).remove(X[:2])
    assert one.count == 1
    np.testing.assert_allclose(one.mean, X[2], rtol=1e-12)
    assert not one.scatter.any()
    assert Covariance().add(X).remove(X).mean is None


def test_lost_digits_are_refused():
    X = rows(14)
    outlier = np.full((1, 6), 1e9)
    with pytest.raises(InputError, match="too few digits would be left"):
        Covariance().add(X).add(outlier).remove(outlier)
    with pytest.raises(InputError, match="were all these rows added before"):
        Covariance().add(X).remove(X[:10] * 100)


def test_bad_arguments():
    c = Covariance().add(rows(15))
    with pytest.raises(InputError, match="'rows' must be of 6 dimensions, got 2"):
        c.add(np.ones((2, 2)))
    with pytest.raises(InputError, match="'other' must be of 6 dimensions, got 2"):
        c.merge(Covariance().add(np.ones((2, 2))))
    with pytest.raises(InputError, match="at most 50 rows, got 60"):
        c.remove(rows(16, n=60))
    with pytest.raises(InputError, match="holds no rows yet"):
        Covariance().remove(rows(17))
    with pytest.raises(InputError, match="needs at least 2 rows, holds 0"):
        Covariance().covariance()
    with pytest.raises(InputError, match="NaN or infinity in row 0"):
        c.add(np.full((1, 6), np.nan))
