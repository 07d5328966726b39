"""The named maps into the unit ball."""

from __future__ import annotations

import math

import array_api_strict
import numpy as np
import pytest

from kiyas.errors import DomainError, InputError
from kiyas.measures import Euclidean, Poincare, exp_map, scale_into_ball


def rows(seed, n=20, d=5):
    return np.random.default_rng(seed).standard_normal((n, d)) * 7


@pytest.mark.parametrize("eps", [1e-9, 1e-5, 0.5])
def test_scaled_rows_lie_inside_and_keep_their_shape(eps):
    X = rows(1)
    Y, radius = scale_into_ball(X, eps=eps)
    assert np.linalg.norm(Y, axis=1).max() == pytest.approx(1 / (1 + eps), rel=1e-14)
    assert np.linalg.norm(Y, axis=1).max() < 1
    np.testing.assert_allclose(Y * radius, X, rtol=1e-14)
    Poincare().check_rows(Y)
    again, same = scale_into_ball(X[:3], radius)
    np.testing.assert_array_equal(again, Y[:3])
    assert same == radius


def test_a_query_outside_the_given_radius_is_refused():
    X = rows(2)
    _, radius = scale_into_ball(X)
    with pytest.raises(DomainError, match=r"scale_into_ball: row 1 has norm .* outside the radius"):
        scale_into_ball(np.stack([X[0], 100 * X[0]]), radius)


def test_the_exponential_map():
    X = rows(3) / 10
    X[4] = 0
    Y = exp_map(X)
    norm = np.linalg.norm(X, axis=1)
    np.testing.assert_allclose(np.linalg.norm(Y, axis=1), np.tanh(norm), rtol=1e-14)
    centre = np.zeros(5)
    for x, y in zip(X, Y, strict=True):
        assert Poincare().distance(centre, y) == pytest.approx(2 * np.linalg.norm(x), rel=1e-10)
    np.testing.assert_array_equal(Y[4], 0)


def test_rows_that_would_reach_the_rim_are_refused():
    with pytest.raises(DomainError, match="exp_map: row 1 has norm 40, which is rounded onto the rim"):
        exp_map(np.array([[1.0, 0.0], [0.0, 40.0]]))
    assert np.linalg.norm(exp_map(np.array([[18.0, 0.0]]))) < 1


def test_a_small_radius_ranks_as_euclid():
    X, Q = rows(4, n=200), rows(5, n=3)
    _, radius = scale_into_ball(np.concatenate([X, Q]), eps=1e4)
    got = Poincare().pairwise(scale_into_ball(Q, radius)[0], scale_into_ball(X, radius)[0])
    np.testing.assert_array_equal(np.argsort(-got, axis=1)[:, :20],
                                  np.argsort(-Euclidean().pairwise(Q, X), axis=1)[:, :20])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_libraries_and_dtypes(dtype):
    X = rows(6).astype(dtype)
    S = array_api_strict.asarray(X)
    Y, _ = scale_into_ball(S)
    assert Y.dtype == array_api_strict.float64
    np.testing.assert_allclose(np.asarray(Y), scale_into_ball(X)[0], rtol=1e-14)
    np.testing.assert_allclose(np.asarray(exp_map(S / 10)), exp_map(X / np.asarray(10, dtype=dtype)), rtol=1e-14)


@pytest.mark.torch
def test_torch():
    torch = pytest.importorskip("torch")
    X = torch.from_numpy(rows(7))
    assert isinstance(exp_map(X / 10), torch.Tensor)
    np.testing.assert_allclose(scale_into_ball(X)[0].numpy(), scale_into_ball(X.numpy())[0], rtol=1e-14)


def test_bad_arguments():
    with pytest.raises(InputError, match="'eps' must be a positive number, got 0"):
        scale_into_ball(rows(8), eps=0)
    with pytest.raises(InputError, match="'radius' must be a positive number, got -1"):
        scale_into_ball(rows(8), radius=-1)
    with pytest.raises(InputError, match="only zero rows"):
        scale_into_ball(np.zeros((2, 3)))
    np.testing.assert_array_equal(scale_into_ball(np.zeros((2, 3)), radius=2.0)[0], 0)
    with pytest.raises(InputError, match="a 2-D array"):
        exp_map(np.ones(3))
    assert math.isfinite(exp_map(np.full((1, 1), 1e-300))[0, 0])
