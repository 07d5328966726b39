"""Linear maps: correctly rounded rows, any base, Mahalanobis with its fits and updates."""

from __future__ import annotations

import math
import re

import array_api_strict
import naive_inner as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import kiyas
from kiyas import Index
from kiyas.errors import DomainError, InputError, MeasureError, NotFittedError
from kiyas.measures import (
    Cosine,
    Covariance,
    Dot,
    Euclidean,
    Gower,
    LinearMap,
    Mahalanobis,
    Manhattan,
    Poincare,
    measure,
)
from kiyas.measures.rounding import mapped_rows


def rows(seed, n=40, d=7, scale=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return X if scale is None else X * scale


# -- rounding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 4), (9, 17, 2), (6, 33, 40)])
def test_mapped_rows_are_correctly_rounded(shape, dtype):
    n, d, out = shape
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, d)).astype(dtype)
    W, bias = rng.standard_normal((out, d)), rng.standard_normal(out)
    want = [[naive.half(w, x, b) for w, b in zip(W, bias, strict=True)] for x in X]
    np.testing.assert_array_equal(mapped_rows(X, W, bias=bias), np.array(want))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_rounding_of_hostile_numbers(data):
    d = data.draw(st.integers(1, 5))
    whole = st.integers(-(2**24), 2**24).map(float)
    wild = st.floats(-1e18, 1e18, allow_subnormal=True)
    numbers = st.one_of(whole, wild, st.sampled_from([0.0, -0.0, 1.5, 2.0**-30, -(2.0**-149), 1e-200, 1 + 2.0**-24]))
    X = data.draw(hnp.arrays(np.float64, (3, d), elements=numbers))
    W = data.draw(hnp.arrays(np.float64, (2, d), elements=numbers))
    bias = data.draw(hnp.arrays(np.float64, (2,), elements=numbers))
    want = np.array([[naive.half(w, x, b) for w, b in zip(W, bias, strict=True)] for x in X])
    np.testing.assert_array_equal(mapped_rows(X, W, bias=bias), want)
    np.testing.assert_array_equal(mapped_rows(X, W), np.array([[naive.half(w, x) for w in W] for x in X]))


def test_ties_and_cancellation_are_rounded_right():
    """Sums that lie on or by a hair beside the middle of two float32 numbers."""
    half = 1 + 2.0**-24
    X = np.array([[1.0, 2.0**-24, 2.0**-60], [1.0, 2.0**-24, -(2.0**-60)], [1.0, 2.0**-24, 0.0],
                  [1e16, -1e16, half], [1e16, 2.0**-24, -1e16 + 1]])
    W = np.ones((1, 3))
    want = np.array([[naive.half(W[0], x)] for x in X])
    np.testing.assert_array_equal(mapped_rows(X, W), want)
    # By definition the sum is rounded to float64 first, so 2⁻⁶⁰ does not move it off the middle.
    assert want[0, 0] == want[1, 0] == want[2, 0] == 1.0


def test_a_row_does_not_depend_on_its_batch():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((301, 96)).astype(np.float32)
    m = LinearMap(rng.standard_normal((70, 96)), Cosine(), center=rng.standard_normal(96))
    whole = m.transform(X)
    assert whole.dtype == np.float32
    for start, stop in ((0, 1), (300, 301), (7, 24), (100, 299)):
        np.testing.assert_array_equal(m.transform(X[start:stop]), whole[start:stop])
    np.testing.assert_array_equal(m.transform(np.asfortranarray(X)), whole)
    np.testing.assert_array_equal(m.transform(X[::-1]), whole[::-1])
    np.testing.assert_array_equal(m.transform(X.astype(np.float64)), whole)


def test_many_blocks():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((70_000, 20)).astype(np.float32)
    W = rng.standard_normal((3, 20))
    whole = mapped_rows(X, W)
    np.testing.assert_allclose(whole, X.astype(float) @ W.T, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(mapped_rows(X[65_000:65_003], W), whole[65_000:65_003])


def test_too_large_for_float32():
    m = LinearMap(np.array([[1e30, 0.0], [0.0, 1.0]]), Dot())
    with pytest.raises(InputError, match="linear_map: row 1 is too large for float32 once mapped"):
        m.transform(np.array([[1.0, 1.0], [1e10, 1.0]]))
    with pytest.raises(InputError, match="row 0 is too large"):
        LinearMap(np.full((1, 2), 1e300), Dot()).transform(np.array([[1e300, 1.0]]))


def test_no_negative_zero():
    assert not np.signbit(mapped_rows(np.array([[-0.0, -1e-300]]), np.eye(2))).any()


# -- LinearMap -------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["cosine", "dot", "ndd(query_norm=2)", "euclidean", "manhattan",
                                  "exponential(trim=0.25)"])
def test_any_base_compares_the_mapped_rows(base):
    rng = np.random.default_rng(5)
    A, B, M, c = (rng.standard_normal(s) for s in ((4, 5), (6, 5), (3, 5), 5))
    base = measure(base)
    m = LinearMap(M, base, c)
    mapped = [((X - c) @ M.T).astype(np.float32) for X in (A, B)]
    np.testing.assert_allclose(m.pairwise(A, B), base.pairwise(*mapped), rtol=1e-5)
    np.testing.assert_array_equal(m.pairwise(A, B), base.pairwise(m.transform(A), m.transform(B)))
    np.testing.assert_array_equal(m.paired(A, B[:4]), base.paired(m.transform(A), m.transform(B[:4])))
    assert m(A[0], B[1]) == base(m.transform(A[:1])[0], m.transform(B[1:2])[0])
    assert m.kernel() == base.kernel()
    assert (m.dims, m.fitted) == (5, True)


def test_profile_and_distance_come_from_the_base():
    M = np.diag([2.0, 3.0])
    np.testing.assert_allclose(LinearMap(M, Manhattan()).profile([1.0, 1.0], [0.0, 0.0]), [-2, -3])
    assert LinearMap(M, Euclidean()).distance([1.0, 0.0], [0.0, 0.0]) == 2.0
    with pytest.raises(MeasureError, match="no per-dimension profile"):
        LinearMap(M, Cosine()).profile([1.0, 1.0], [0.0, 0.0])


def test_fit_fits_the_base_on_mapped_rows():
    X = rows(6, d=3)
    m = LinearMap(np.diag([1.0, 10.0, 0.5]), Gower())
    assert not m.fitted
    with pytest.raises(NotFittedError, match="gower"):
        m.pairwise(X, X)
    fitted = m.fit(X)
    np.testing.assert_array_equal(fitted.pairwise(X, X), Gower().fit(m.transform(X)).pairwise(*[m.transform(X)] * 2))


def test_domain_is_checked_after_the_map():
    m = LinearMap(np.eye(2) * 0.1, Poincare())
    assert m([3.0, 4.0], [0.0, 0.0]) == pytest.approx(1 / (1 + 2 * math.atanh(0.5)), rel=1e-6)
    m.check_rows(np.array([[9.0, 0.0]]))
    for call in (lambda X: m.check_rows(X), lambda X: m.pairwise(X, X)):
        with pytest.raises(DomainError, match="open unit ball, got norm 2 in row 1"):
            call(np.array([[3.0, 4.0], [20.0, 0.0]]))


def test_array_libraries():
    rng = np.random.default_rng(7)
    A, B, M = (rng.standard_normal(s) for s in ((4, 5), (6, 5), (3, 5)))
    m = LinearMap(M, Euclidean())
    got = m.pairwise(array_api_strict.asarray(A), array_api_strict.asarray(B))
    assert got.dtype == array_api_strict.float64
    np.testing.assert_allclose(np.asarray(got), m.pairwise(A, B), rtol=1e-12)
    assert m.transform(array_api_strict.asarray(A)).dtype == array_api_strict.float32
    A.setflags(write=False)
    np.testing.assert_array_equal(m.transform(A), np.asarray(m.transform(array_api_strict.asarray(A))))


@pytest.mark.torch
def test_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    A, M = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    for m in (LinearMap(M, Euclidean()), Mahalanobis().fit(rng.standard_normal((30, 5)))):
        got = m.transform(torch.from_numpy(A))
        assert got.dtype == torch.float32
        np.testing.assert_array_equal(got.numpy(), m.transform(A))
        np.testing.assert_allclose(m.pairwise(torch.from_numpy(A), torch.from_numpy(A)), m.pairwise(A, A), rtol=1e-7)


def test_bad_maps():
    with pytest.raises(InputError, match=r"linear_map: 'matrix' must be a 2-D array of floats"):
        LinearMap(np.ones(3), Dot())
    with pytest.raises(InputError, match="'center' must be of 3 dimensions, got 2"):
        LinearMap(np.ones((2, 3)), Dot(), np.ones(2))
    with pytest.raises(MeasureError, match="linear_map: 'base' must be a measure, got 'dot'"):
        LinearMap(np.ones((2, 3)), "dot")
    with pytest.raises(MeasureError, match="multiply the matrices instead of nesting maps"):
        LinearMap(np.eye(2), LinearMap(np.eye(2), Dot()))
    with pytest.raises(InputError, match="'X' must be of 3 dimensions, got 2"):
        LinearMap(np.ones((2, 3)), Dot()).transform(np.ones((1, 2)))
    with pytest.raises(InputError, match="'b' must be of 3 dimensions, got 2"):
        LinearMap(np.ones((2, 3)), Dot())([1.0, 2, 3], [1.0, 2])
    m = LinearMap(np.eye(2), Dot())
    with pytest.raises(ValueError, match="read-only"):
        m.matrix[0, 0] = 2


# -- Mahalanobis -----------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 7, 20])
def test_agrees_with_the_loops(d):
    X = rows(9, n=60, d=d) + 3
    m = Mahalanobis().fit(X)
    S = naive.covariance(X)
    np.testing.assert_allclose(m.shrunk_covariance(), S, rtol=1e-10, atol=1e-10)
    for a, b in zip(X[:5], X[5:10], strict=True):
        want = naive.mahalanobis_distance(a, b, S)
        assert m.distance(a, b) == pytest.approx(want, rel=1e-5)
        assert m(a, b) == pytest.approx(1 / (1 + want), rel=1e-5)
    assert m.distance(X[0], X[0]) == 0
    assert m.rank == d
    values = np.linalg.eigvalsh(S)
    assert m.condition == pytest.approx(values[-1] / values[0], rel=1e-6)


def test_given_covariance_equals_fitted():
    X = rows(10)
    S = naive.covariance(X)
    given = Mahalanobis(covariance=S)
    assert given.fitted
    np.testing.assert_allclose(given.pairwise(X[:5], X), Mahalanobis().fit(X).pairwise(X[:5], X), rtol=1e-4)
    assert given.fit(X) is given


def test_unchanged_by_any_invertible_map():
    X = rows(11)
    T = np.random.default_rng(12).standard_normal((7, 7)) + 4 * np.eye(7)
    np.testing.assert_allclose(Mahalanobis().fit(X @ T).pairwise(X[:5] @ T, X @ T),
                               Mahalanobis().fit(X).pairwise(X[:5], X), rtol=1e-4)


def test_dead_dimensions_and_few_rows_are_safe():
    X = rows(13, n=50, d=6)
    dead = np.concatenate([X, np.full((50, 1), 0.1), 1e-33 * rows(14, n=50, d=1), X[:, :1]], axis=1)
    m = Mahalanobis().fit(dead)
    assert m.rank == 6
    np.testing.assert_allclose(m.pairwise(dead, dead)[:5], Mahalanobis().fit(X).pairwise(X, X)[:5], rtol=1e-4)
    few = Mahalanobis().fit(rows(15, n=5, d=12))
    assert few.rank == 4
    assert few.condition < 1e10
    shrunk = Mahalanobis(shrinkage="ledoit-wolf").fit(rows(15, n=5, d=12))
    assert shrunk.rank == 12
    assert 0 < shrunk.intensity <= 1


def test_far_off_rows_keep_their_digits():
    X = rows(16)
    near, far = Mahalanobis().fit(X), Mahalanobis().fit(X + 1e6)
    np.testing.assert_allclose(far.pairwise(X[:5] + 1e6, X + 1e6), near.pairwise(X[:5], X), rtol=1e-5)


def test_shrinkage():
    X = rows(17)
    S = naive.covariance(X)
    m = Mahalanobis(shrinkage=0.25).fit(X)
    np.testing.assert_allclose(m.shrunk_covariance(), 0.75 * S + 0.25 * np.trace(S) / 7 * np.eye(7), rtol=1e-10)
    lw = Mahalanobis(shrinkage="ledoit-wolf").fit(X)
    assert lw.intensity == pytest.approx(naive.ledoit_wolf(X), rel=1e-10)
    whole = Mahalanobis(shrinkage=1).fit(X)
    assert whole.distance(X[0], X[1]) == pytest.approx(math.dist(X[0], X[1]) / math.sqrt(np.trace(S) / 7), rel=1e-6)
    np.testing.assert_allclose(Mahalanobis(covariance=S, shrinkage=0.25).matrix, m.matrix, atol=1e-6)


def test_forms():
    X = rows(18)
    S = naive.covariance(X)
    diagonal = Mahalanobis(form="diagonal").fit(X)
    assert diagonal.distance(X[0], X[1]) == pytest.approx(
        math.sqrt(sum((X[0] - X[1]) ** 2 / np.diag(S))), rel=1e-6)
    low = Mahalanobis(form=3).fit(X)
    assert low.rank == 3
    assert low.transform(X).shape == (40, 3)
    values, vectors = np.linalg.eigh(S)
    along = (X[0] - X[1]) @ vectors[:, -3:]
    assert low.distance(X[0], X[1]) == pytest.approx(math.sqrt(sum(along**2 / values[-3:])), rel=1e-6)
    assert Mahalanobis(cutoff=0.999999).fit(X).rank == 1


def test_updates_equal_a_fresh_fit():
    X, Y = rows(19), rows(20, n=25)
    m = Mahalanobis().fit(X)
    np.testing.assert_allclose(m.update(Y).shrunk_covariance(), naive.covariance(np.concatenate([X, Y])), rtol=1e-9,
                               atol=1e-9)
    back = m.update(Y).update(X_out=Y)
    np.testing.assert_allclose(back.pairwise(X, X), m.pairwise(X, X), rtol=1e-5)
    swapped = m.update(Y, X[:10])
    assert swapped.state.count == 55
    np.testing.assert_allclose(swapped.shrunk_covariance(), naive.covariance(np.concatenate([X[10:], Y])), rtol=1e-9,
                               atol=1e-9)
    # The measure itself is a value: it stays as it was.
    np.testing.assert_array_equal(m.matrix, Mahalanobis().fit(X).matrix)


def test_changed_parameters_find_the_map_again():
    X = rows(21)
    m = Mahalanobis().fit(X)
    np.testing.assert_array_equal(m.with_(form=2).matrix, Mahalanobis(form=2).fit(X).matrix)
    np.testing.assert_array_equal(measure(m, shrinkage=0.5).matrix, Mahalanobis(shrinkage=0.5).fit(X).matrix)
    given = Mahalanobis(covariance=Covariance().add(X))
    np.testing.assert_array_equal(given.matrix, m.matrix)


def test_mahalanobis_is_a_linear_map_with_euclid_behind():
    m = Mahalanobis().fit(rows(22))
    assert isinstance(m, LinearMap)
    assert m.kernel().kind == "euclidean"
    assert str(m) == "mahalanobis"
    assert str(Mahalanobis(form=3, shrinkage="ledoit-wolf")) == "mahalanobis(shrinkage='ledoit-wolf', form=3)"
    np.testing.assert_allclose(m.matrix @ m.shrunk_covariance() @ m.matrix.T, np.eye(7), atol=1e-8)


def test_not_fitted():
    m = Mahalanobis()
    assert not m.fitted
    for call in (lambda: m([1.0], [2.0]), lambda: m.transform([[1.0]]), lambda: m.dims, lambda: m.rank,
                 lambda: m.condition, lambda: m.shrunk_covariance(), lambda: m.update([[1.0]]),
                 lambda: Mahalanobis(shrinkage="ledoit-wolf").intensity):
        with pytest.raises(NotFittedError, match="mahalanobis"):
            call()
    with pytest.raises(NotFittedError, match="fitted on rows"):
        Mahalanobis(covariance=np.eye(2)).update([[1.0, 2.0]])


def test_bad_parameters():
    with pytest.raises(MeasureError, match="'shrinkage' must be None, 'ledoit-wolf' or a number"):
        Mahalanobis(shrinkage="oas")
    with pytest.raises(InputError, match=r"'shrinkage' must be .* a number from 0 to 1, got 1\.5"):
        Mahalanobis(shrinkage=1.5)
    with pytest.raises(MeasureError, match="'form' must be 'total', 'diagonal' or a number of directions, got 'full'"):
        Mahalanobis(form="full")
    with pytest.raises(InputError, match="'form' must be an integer from 1"):
        Mahalanobis(form=0)
    with pytest.raises(InputError, match="'form' must be an integer from 1 to 7, got 8"):
        Mahalanobis(form=8).fit(rows(23))
    with pytest.raises(InputError, match="'cutoff' must be a number from 0 to below 1, got 1"):
        Mahalanobis(cutoff=1)
    with pytest.raises(InputError, match="symmetric"):
        Mahalanobis(covariance=[[1.0, 2.0], [0.0, 1.0]])
    with pytest.raises(InputError, match="symmetric"):
        Mahalanobis(covariance=[[1.0, 2.0]])
    with pytest.raises(MeasureError, match="computed from rows"):
        Mahalanobis(covariance=np.eye(2), shrinkage="ledoit-wolf")
    with pytest.raises(InputError, match="all rows are equal"):
        Mahalanobis().fit(np.ones((5, 3)))
    with pytest.raises(InputError, match="must be of at least 2 rows, got 1"):
        Mahalanobis().fit(np.ones((1, 3)))


# -- queries of their own, rows of length 1 ---------------------------------------------------------------------------


def test_a_query_center_and_unit_rows_are_the_formula_in_float64():
    rng = np.random.default_rng(5)
    W, rows, cols = rng.normal(size=(4, 6)), rng.normal(size=(5, 6)) * 9, rng.normal(size=(7, 6)) * 0.01
    mq, md = rng.normal(size=6) * 0.1, rng.normal(size=6) * 0.1
    m = LinearMap(W, Cosine(), md, mq, unit=True)
    unit = lambda X: X / np.sqrt((X * X).sum(axis=1))[:, None]  # noqa: E731
    A, B = ((unit(rows) - mq) @ W.T).astype(np.float32), ((unit(cols) - md) @ W.T).astype(np.float32)
    assert np.array_equal(m.transform_queries(rows), A)
    assert np.array_equal(m.transform(cols), B)
    a, b = unit(A.astype(np.float64)), unit(B.astype(np.float64))
    np.testing.assert_allclose(m.pairwise(rows, cols), a @ b.T, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(m.pairwise(rows * 7, cols), m.pairwise(rows, cols), atol=1e-6)


def test_unit_rows_are_mapped_alone_as_in_any_batch_and_layout():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(300, 130)) * np.exp(rng.normal(size=(300, 1)) * 20)
    m = LinearMap(rng.normal(size=(130, 130)), Cosine(), rng.normal(size=130), unit=True)
    whole = m.transform(X)
    assert np.array_equal(whole, np.concatenate([m.transform(x[None]) for x in X]))
    assert np.array_equal(whole, m.transform(np.asfortranarray(X)))
    assert np.array_equal(whole[::-1], m.transform(X[::-1]))


def test_zero_rows_stay_zero_and_huge_or_tiny_ones_keep_their_direction():
    m = LinearMap(np.eye(2), Cosine(), np.array([0.5, 0.0]), unit=True)
    rows = m.transform(np.array([[0.0, 0.0], [3e200, 4e200], [3e-200, 4e-200]]))
    assert rows.tolist() == [[0.0, 0.0], *[[np.float32(0.6 - 0.5), np.float32(0.8)]] * 2]


def test_an_index_searches_and_saves_a_map_with_a_query_center(tmp_path):
    rng = np.random.default_rng(7)
    rows, queries = rng.normal(size=(60, 8)).astype(np.float32), rng.normal(size=(5, 8)).astype(np.float32)
    m = LinearMap(rng.normal(size=(8, 8)), Cosine(), rng.normal(size=8) * 0.1, rng.normal(size=8) * 0.1, unit=True)
    index = Index(rows, measure=m)
    hits = index.search(queries, k=5)
    expected = np.argsort(-m.pairwise(queries, rows), axis=1, kind="stable")[:, :5]
    assert np.array_equal(hits.ids, expected)
    index.save(tmp_path / "i")
    again = Index.load(tmp_path / "i")
    assert np.array_equal(again.search(queries, k=5).scores, hits.scores)
    reduced = kiyas.reduce(rows, m)
    assert np.array_equal(np.argsort(-(reduced.queries(queries) @ reduced.items.T), axis=1)[:, :5], expected)


@pytest.mark.parametrize(("given", "words"), [
    ({"query_center": np.zeros(3)}, "linear_map: 'query_center' must be of 2 dimensions, got 3"),
    ({"unit": 1}, "linear_map: 'unit' must be True or False, got 1"),
])
def test_errors_of_the_new_parameters_say_what_is_wrong(given, words):
    with pytest.raises((InputError, MeasureError), match=re.escape(words)):
        LinearMap(np.eye(2), Cosine(), **given)
