"""Turned rows: what is stored of them bounds them, and no id depends on a turn."""

import math

import numpy as np
import pytest

import kiyas
from kiyas import kernels
from kiyas.kernels import _native, turn
from kiyas.kernels.inner import InnerCodes
from kiyas.search.rows import Rows

MEASURES = ["cosine", "dot", "euclidean", "angular", "ndd", "ndd(query_norm=0.5)", "log_scaled", "hybrid", "tanimoto",
            "tempered_cosine(beta=1.3)"]


@pytest.fixture(autouse=True)
def turned_however_small(monkeypatch):
    monkeypatch.setattr(turn, "LEAST_ROWS", 0)


def _rows(seed, n=3000, d=192, decay=1.0):
    """Rows whose energy lies along few axes, in a basis of their own, with duplicates, zeros and odd lengths."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -decay @ basis * rng.lognormal(0, 1, (n, 1))
    X[5], X[7], X[9], X[11] = 0, X[8], X[8] * 1e-25, X[8] * 1e20
    return X.astype(np.float32), rng


def _codes(X):
    codes = InnerCodes(X.shape[1])
    codes.extend(Rows(X), X.shape[0], 2)
    return codes


def _turn(X):
    return turn.turn_of(lambda i, j: X[i:j], X.shape[0], X.shape[1])


def test_a_turn_is_taken_where_it_pays_and_only_there():
    X, rng = _rows(0)
    assert _turn(X).head < 192
    assert _turn(rng.standard_normal((3000, 192)).astype(np.float32)) is None
    assert _turn(np.ones((3000, 192), np.float32) * 3) is None or _turn(np.ones((3000, 192), np.float32)).head == 64


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("level", kernels.levels())
def test_ids_do_not_depend_on_a_turn(measure, level, monkeypatch):
    monkeypatch.setenv(kernels.LEVEL_VARIABLE, level)
    X, rng = _rows(1)
    Q = np.concatenate([X[rng.integers(0, 3000, 6)] * 1.1, X[[5, 8, 11]], rng.standard_normal((3, 192))])
    turned = kiyas.Index(X, measure).search(Q, k=10)
    monkeypatch.setattr(turn, "LEAST_ROWS", 10**9)
    plain = kiyas.Index(X, measure).search(Q, k=10)
    np.testing.assert_array_equal(turned.ids, plain.ids)
    np.testing.assert_array_equal(turned.scores, plain.scores)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("level", range(len(kernels.levels())))
def test_turned_rows_are_as_near_as_is_said(dtype, level):
    X, _ = _rows(2)
    X = X[np.abs(X).max(axis=1) < 1e4].astype(dtype)
    t = _turn(X)
    assert t is not None
    rows = X[:40].astype(np.float64)
    out = np.empty(rows.shape)
    _native.turn_vectors(level, t.matrix, rows, out, 2)
    # The orthogonal matrix nearest to the float32 one: lengths and products are kept by it exactly.
    u, _, v = np.linalg.svd(t.matrix.astype(np.float64))
    exact = np.array([[math.fsum(a * b for a, b in zip(x, m, strict=True)) for m in (u @ v).T.tolist()]
                      for x in rows.tolist()])
    assert np.all(np.linalg.norm(out - exact, axis=1) <= t.error * np.linalg.norm(rows, axis=1) + 1e-300)


@pytest.mark.parametrize("level", range(len(kernels.levels())))
def test_bounds_hold_the_product(level):
    X, rng = _rows(3, n=600)
    codes = _codes(X)
    Q = np.concatenate([X[:4].astype(np.float64), rng.standard_normal((4, 192)), X[[11]].astype(np.float64)])
    norms2 = np.array([math.fsum(q * q) for q in Q])
    turned = codes.turned(Q, 2)
    upper = np.empty((len(Q), len(X)))
    _native.upper_products(level, codes.native, turned, norms2, 0, upper, 2)
    rows = np.arange(len(X))
    for j, q in enumerate(Q):
        exact = np.array([math.fsum(q * x) for x in X.astype(np.float64)])
        low, high = np.empty(len(X)), np.empty(len(X))
        _native.product_intervals(level, codes.native, turned, norms2, j, rows, low, high)
        assert np.all(low <= exact)
        assert np.all(exact <= high)
        assert np.all(exact <= upper[j])
        # And they are worth something: on ordinary rows, a few hundredths of ab.
        size = np.sqrt(norms2[j] * np.maximum(codes.norms2, 1e-300))
        ordinary = (codes.norms2 > 1e-6) & (codes.norms2 < 1e6)
        if 1e-6 < norms2[j] < 1e6:
            assert np.median(((high - low) / size)[ordinary]) < 0.05


def test_rows_added_later_are_turned_alike():
    X, rng = _rows(4)
    index = kiyas.Index(X[:2000], "cosine")
    index.search(X[0], k=1)
    index.add(X[2000:])
    Q = X[rng.integers(0, 3000, 8)]
    np.testing.assert_array_equal(index.search(Q, k=5).ids, kiyas.Index(X, "cosine").search(Q, k=5).ids)


def test_codes_stay_small():
    X, _ = _rows(5, n=2000, d=256)
    assert _codes(X).nbytes <= 1.1 * X.size
