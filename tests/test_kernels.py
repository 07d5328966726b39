"""The kernels as Python sees them: what is found, what is refused and why, and that proven bounds hold."""

import math
from dataclasses import replace

import naive
import numpy as np
import pytest
from helpers import DATA, queries_for, vectors

from kiyas import kernels
from kiyas.errors import MeasureError
from kiyas.kernels import _native, coordinate, pooling
from kiyas.kernels.inner import InnerCodes
from kiyas.kernels.request import Request
from kiyas.kernels.rows import SLACK, Growing, native_rows
from kiyas.measures import measure
from kiyas.measures.user import UserCoordinate, UserInner, UserPair
from kiyas.search.rows import Rows

ADVERSARIAL = {"steps": lambda rng, n, d: np.round(2 * rng.normal(size=(n, d))) / 127 * rng.integers(1, 4, (n, 1)),
               "halfway": lambda rng, n, d: (rng.integers(-126, 126, size=(n, d)) + 0.5) / 127,
               "one large": lambda rng, n, d: np.where(np.arange(d) == 0, 1e4, rng.normal(size=(n, d))),
               "opposite": lambda rng, n, d: np.where(rng.random((n, 1)) < 0.5, -1, 1) * rng.normal(size=(1, d))}


def rows_of(kind, n, d, dtype):
    if kind in ADVERSARIAL:
        return ADVERSARIAL[kind](np.random.default_rng(7), n, d).astype(dtype)
    return vectors(kind, n, d, dtype)


@pytest.mark.parametrize("d", [1, 33, 300])
@pytest.mark.parametrize("kind", [*DATA, *ADVERSARIAL])
def test_bounds_hold_the_product(every_level, kind, d):
    level = kernels.level()
    for dtype in ("float32", "float64") if kind not in ("norm spread", "denormals") else ("float32",):
        X = rows_of(kind, 70, d, dtype)
        Q = np.concatenate([queries_for(X, 6), X[:2] * 3, -X[:1]]).astype(np.float64)
        if d > 32 and kind == "halfway":
            Q[0] = np.where(X[0] > 0, 1, -1)  # along the codes' errors
        codes = InnerCodes(d)
        codes.extend(Rows(X), 70, 1)
        norms2 = np.array([naive.Vector(q).square for q in Q])
        np.testing.assert_array_equal(codes.norms2, [naive.Vector(x).square for x in X])
        upper = np.empty((len(Q), 70))
        _native.upper_products(level, codes.native, codes.turned(Q, 1), norms2, 0, upper, 1)
        every = np.arange(70)
        for j, q in enumerate(naive.rows(Q)):
            exact = np.array([naive.dot(q, x) for x in naive.rows(X)])
            low, high = np.empty(70), np.empty(70)
            _native.product_intervals(level, codes.native, codes.turned(Q, 1), norms2, j, every, low, high)
            assert np.all(low <= exact) and np.all(exact <= high), kind
            assert np.all(exact <= upper[j]), kind
            # Bounds that rule nothing out would be safe and useless.
            if kind == "benign" and d > 32 and norms2[j] > 0:
                size = np.sqrt(norms2[j] * codes.norms2)
                assert np.median((high - low) / size) < 0.02 and np.median((upper[j] - exact) / size) < 0.06


def test_upper_bounds_of_later_rows_are_those_of_the_same_rows(every_level):
    X = vectors("benign", 200, 40)
    codes = InnerCodes(40)
    codes.extend(Rows(X), 200, 1)
    Q = queries_for(X, 3).astype(np.float64)
    norms2 = np.array([naive.Vector(q).square for q in Q])
    whole, part = np.empty((3, 200)), np.empty((3, 77))
    _native.upper_products(kernels.level(), codes.native, Q, norms2, 0, whole, 1)
    _native.upper_products(kernels.level(), codes.native, Q, norms2, 96, part, 2)
    np.testing.assert_array_equal(part, whole[:, 96:173])


@pytest.mark.parametrize("d", [1, 7, 8, 9, 40, 333])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_sums_are_rounded_once(every_level, dtype, d):
    X = vectors("outliers", 30, d, "float64").clip(-6e4, 6e4).astype(dtype)
    X[3:6] = np.nextafter(X[0], np.inf)  # cancellation in X[3] − X[0]
    Q = np.concatenate([X[:2], -X[2:3]]).astype(np.float64)
    offsets, which = np.array([0, 30, 60, 90]), np.tile(np.arange(30), 3)
    p, d2 = np.empty(90), np.empty(90)
    native = native_rows(X)
    _native.gram_pairs(kernels.level(), native, Q, pooling.fits_float32(Q), offsets, which, p, d2, 2)
    queries, rows = naive.rows(Q), naive.rows(X)
    np.testing.assert_array_equal(p, [naive.dot(q, x) for q in queries for x in rows])
    np.testing.assert_array_equal(d2, [math.fsum((a - b) * (a - b) for a, b in zip(q, x, strict=True))
                                       for q in queries for x in rows])


def test_every_level_has_a_name_and_the_best_is_used(monkeypatch):
    names = kernels.levels()
    assert names[0] == "baseline" and len(set(names)) == len(names)
    assert kernels.level() == len(names) - 1
    for i, name in enumerate(names):
        monkeypatch.setenv(kernels.LEVEL_VARIABLE, name)
        assert kernels.level() == i
    monkeypatch.setenv(kernels.LEVEL_VARIABLE, "")
    assert kernels.level() == len(names) - 1
    monkeypatch.setenv(kernels.LEVEL_VARIABLE, "none such")
    with pytest.raises(MeasureError, match="'KIYAS_LEVEL' must be one of baseline"):
        kernels.level()
    assert kernels.default_threads() >= 1


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "angular", "ndd", "log_scaled", "hybrid", "tanimoto",
                                  "dice", "tempered_cosine", "poincare", "manhattan", "exponential"])
def test_a_scan_is_found(name):
    assert kernels.find(measure(name), "float32", 384).form is not None
    for dtype in ("float16", "bfloat16", "float64"):
        assert kernels.find(measure(name), dtype, 384).form is not None


@pytest.mark.parametrize(("m", "dtype", "d", "words"), [
    (measure("cosine"), "float32", 31, "31 dimensions: below 32, codes are not smaller"),
    (measure("cosine"), "float32", 60_001, "above 60000, sums of code products overflow"),
    (measure("cosine"), "float128", 384, "rows of dtype float128 have no codes"),
    (UserInner(function=lambda p, a2, b2: -p, name="down"), "float32", 384, "down is not declared increasing=True"),
    (UserPair(function=lambda x, y: np.sum(x * y, axis=-1), name="pair"), "float32", 384, "nothing is known"),
    (measure("exponential", weights=np.arange(1.0, 41)), "float32", 40, "unequal weights"),
    (measure("manhattan", weights=np.arange(1.0, 41), trim=0.1), "float32", 40, "unequal weights"),
    (measure("exponential", bandwidth=1e-200), "float32", 40, "would overflow"),
])
def test_a_refusal_says_why(m, dtype, d, words):
    form, reason = kernels.find(m, dtype, d)
    assert form is None and words in reason


@pytest.mark.parametrize("m", [measure("manhattan", weights=np.arange(1.0, 41)),
                               measure("exponential", weights=np.full(40, 3.0)),
                               measure("exponential", weights=np.where(np.arange(40) < 9, 0.0, 1.0)),
                               measure("exponential", trim=0.3, tiers=0.5, critical=[1]),
                               UserCoordinate(function=lambda delta: -delta)])
def test_what_folds_into_the_rows_is_scanned(m):
    assert kernels.find(m, "float32", 40).form.family == "coordinate"


def test_codes_grow_without_losing_what_is_there():
    part = Growing(np.uint8, 7, SLACK)
    for rows in (3, 3, 4, 50, 51):
        part.grow(rows)
        part.data[(rows - 1) * 7] = rows
        assert part.data.size >= rows * 7 + SLACK and part.data[2 * 7] == 3
    assert part.data[49 * 7] == 50 and part.data[50 * 7] == 51


def test_a_grid_over_rows_all_alike_has_a_step():
    low, step = coordinate._grid(np.full((5, 3), 7.0), (np.full(3, 7.0), np.full(3, 7.0)), False, True)
    assert step == 1.0 and low.tolist() == [7.0] * 3


@pytest.mark.parametrize("cover", [False, True])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("dims", [1, 39, 40])
def test_rows_lie_within_their_error_of_the_grid(cover, split, dims):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(200, dims)), 1e3 * rng.normal(size=(3, dims))])
    form = pooling.PoolingForm.of(measure("manhattan") if cover else UserCoordinate(function=lambda t: -t), dims)
    fold = replace(coordinate.fold_of(measure("manhattan"), form), split=split)
    codes = coordinate.GridCodes.over(fold, lambda i, j: X[i:j], 203)
    codes.extend(native_rows(X), 203, 2)
    error, worst, *coarse = (part.data[:203] for part in codes._row)
    c = codes._codes[0].data[: 203 * (-(-dims // 2) if split else dims)].reshape(203, -1)
    if split:
        low = codes._codes[1].data[: c.size].reshape(c.shape)
        high = np.concatenate([c & 15, c >> 4], axis=1)[:, :dims].astype(np.float64)
        c = 16 * high + np.concatenate([low & 15, low >> 4], axis=1)[:, :dims]
        off = np.abs(X - (codes.low + (16 * high + 8) * codes.step)).sum(axis=1)
        assert np.all(off <= coarse[0]) and np.all(coarse[0] <= off * (1 + 1e-6) + 1e-10)
    gaps = np.abs(X - (codes.low + c * codes.step))
    assert np.all(gaps.sum(axis=1) <= error) and np.all(gaps.max(axis=1) <= worst)
    assert np.all(error <= gaps.sum(axis=1) * (1 + 1e-6) + 1e-10)
    assert codes.nbytes >= 203 * dims


def test_halves_of_bytes_are_made_only_for_what_reads_them():
    own = UserCoordinate(function=lambda t: -t)
    assert not coordinate.fold_of(own, pooling.PoolingForm.of(own, 40)).split
    X = vectors("benign", 50, 40)
    fold = coordinate.fold_of(measure("manhattan"), pooling.PoolingForm.of(measure("manhattan"), 40))
    codes = coordinate.GridCodes.over(fold, lambda i, j: X[i:j], 50)
    codes.extend(native_rows(X), 50, 1)
    lone = _native.GridCodes(codes._codes[0].data, codes._codes[1].data, *(part.data for part in codes._row[:2]), None)
    with pytest.raises(ValueError, match="halves and their errors go together"):
        _native.encode_grid(native_rows(X), codes.grid, 0, 50, lone, 1)
    q = np.zeros((1, 40))
    with pytest.raises(ValueError, match="whole bytes"):
        _native.scan_learned(kernels.level(), codes.grid, codes.native, 20, q, 0.0, 0.0, None, q, np.zeros(1),
                             Request(50, 1, None, None, -1, 1).native(-np.inf))


def test_the_largest_difference_that_reaches_a_score():
    for tau in (1e-300, 0.1, 0.5, 1 - 1e-16, math.exp(-3), 0.999):
        delta = pooling.largest_difference(tau)
        assert np.exp(-np.array([delta]))[0] >= tau > np.exp(-np.nextafter(np.array([delta]), 1e9))[0]
    assert pooling.largest_difference(0.0) == pooling.largest_difference(-1.0) == math.inf
    assert pooling.largest_difference(1.5) == -1


@pytest.mark.parametrize("level", kernels.levels())
def test_a_users_compiled_function_is_scanned_as_the_oracle_has_it(level, monkeypatch):
    pytest.importorskip("numba")
    from helpers import Case, check

    monkeypatch.setenv(kernels.LEVEL_VARIABLE, level)

    def damped(p, a2, b2):
        return p / (1.0 + (a2 * b2) ** 0.5)

    m = UserInner(function=damped, increasing=True, compiled=True)
    for kind in ("benign", "near ties", "zeros", "duplicates"):
        X = vectors(kind, 300, 40)
        index, hits, _ = check(Case(lambda d: m, lambda m: naive.user_inner(damped)), X, queries_for(X, 6))
        assert hits.declared
        least = float(hits.scores[0, 4])
        again = index.search(queries_for(X, 6), k=None, min_score=least)
        assert np.all(again.ids[0, :5] == hits.ids[0, :5])
