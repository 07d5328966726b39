"""The inner family against loop oracles, on every array library, with hostile data."""

from __future__ import annotations

import math
import zlib

import array_api_strict
import naive_inner as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kiyas.arrays import namespace
from kiyas.errors import DomainError, InputError, MeasureError
from kiyas.measures import NDD, Cosine, Euclidean, InnerMeasure, Poincare, TemperedCosine, list_measures, measure

NAMES = naive.NAMES
DISTANCES = [*naive.DISTANCES, "angular"]
VARIANTS = [(name, {}) for name in NAMES] + [
    ("ndd", {"query_norm": 0.7}), ("tempered_cosine", {"beta": 1.25}), ("tempered_cosine", {"beta": -1.0}),
]
IDS = [name + "".join(f"-{k}{v}" for k, v in p.items()) for name, p in VARIANTS]


def data(name, seed, n=7, m=9, d=13, dtype=np.float64):
    """Rows that the measure is defined on: inside the ball for poincare."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    A, B = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    B[:, :] *= rng.uniform(0.2, 4, (m, 1))
    B[0], B[1], A[1] = A[0], 2 * A[2], 0
    B[2] = A[3] + 1e-7 * rng.standard_normal(d)
    B[3] = -A[0]
    if name == "poincare":
        A, B = A / 30, B / 60
    return A.astype(dtype), B.astype(dtype)


def atol(name):
    """Near parallel vectors of unequal length the Gram quantities hold θ only to the root of the unit roundoff."""
    return 2e-8 if name == "angular" else 1e-13


def test_every_inner_measure_of_the_catalogue_has_an_oracle():
    from kiyas.measures import measure_class

    assert [n for n in list_measures() if issubclass(measure_class(n), InnerMeasure)] == NAMES


@pytest.mark.parametrize(("name", "parameters"), VARIANTS, ids=IDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_agrees_with_the_loops(name, parameters, dtype):
    A, B = data(name, 1, dtype=dtype)
    m = measure(name, **parameters)
    want = naive.pairwise(name, A, B, **parameters)
    got = m.pairwise(A, B)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=atol(name))
    np.testing.assert_allclose(m.paired(A, B[:7]), np.diag(want), rtol=1e-10, atol=atol(name))
    np.testing.assert_allclose(m(A[0], B[5]), want[0, 5], rtol=1e-10, atol=atol(name))


@pytest.mark.parametrize(("name", "parameters"), VARIANTS, ids=IDS)
def test_read_only_and_strided_arrays(name, parameters):
    A, B = data(name, 2)
    m = measure(name, **parameters)
    want = m.pairwise(A, B)
    A.setflags(write=False)
    B.setflags(write=False)
    np.testing.assert_array_equal(m.pairwise(A, B), want)
    wide = np.repeat(A, 2, axis=1)[:, ::2]
    np.testing.assert_allclose(m.pairwise(wide, np.asfortranarray(B)), want, rtol=1e-12, atol=atol(name))
    np.testing.assert_array_equal(m.paired(A[::-1], B[:7]), m.paired(A[::-1].copy(), B[:7]))


@pytest.mark.parametrize(("name", "parameters"), VARIANTS, ids=IDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_array_api_strict(name, parameters, dtype):
    A, B = data(name, 3, dtype=dtype)
    m = measure(name, **parameters)
    SA, SB = array_api_strict.asarray(A), array_api_strict.asarray(B)
    for got, want in ((m.pairwise(SA, SB), m.pairwise(A, B)), (m.paired(SA, SB[:7, :]), m.paired(A, B[:7])),
                      (m(SA[0, :], SB[2, :]), m(A[0], B[2]))):
        assert namespace(got) is array_api_strict
        assert got.dtype == array_api_strict.float64
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-10, atol=atol(name))
    if name in DISTANCES:
        np.testing.assert_allclose(np.asarray(m.distance(SA[0, :], SB[4, :])), m.distance(A[0], B[4]), rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize(("name", "parameters"), VARIANTS, ids=IDS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_torch(name, parameters, dtype):
    torch = pytest.importorskip("torch")
    A, B = (torch.from_numpy(x).to(getattr(torch, dtype)) for x in data(name, 4))
    m = measure(name, **parameters)
    got = m.pairwise(A, B)
    assert isinstance(got, torch.Tensor)
    assert got.dtype == torch.float64
    wide = [x.double().numpy() for x in (A, B)]
    np.testing.assert_allclose(got.numpy(), naive.pairwise(name, *wide, **parameters), rtol=1e-10, atol=atol(name))
    np.testing.assert_allclose(m.paired(A, B[:7]).numpy(), m.paired(wide[0], wide[1][:7]), rtol=1e-10, atol=atol(name))


@pytest.mark.torch
def test_torch_gradients_reach_the_vectors():
    torch = pytest.importorskip("torch")
    for name in NAMES:
        A, B = (torch.from_numpy(x).requires_grad_() for x in data(name, 5))
        score = measure(name).paired(A[4:6, :], B[4:6, :])
        score.sum().backward()
        assert torch.all(torch.isfinite(A.grad[4:6])), name
        assert A.grad[4:6].abs().sum() > 0, name


@pytest.mark.parametrize("name", DISTANCES)
def test_distances(name):
    A, B = data(name, 6)
    m = measure(name)
    for a in A:
        for b in B:
            want = naive.distance(name, a, b)
            np.testing.assert_allclose(m.distance(a, b), want, rtol=1e-9, atol=5e-8 if name == "angular" else 1e-13)
        assert m.distance(a, a) == (1 if name == "cosine" and not a.any() else
                                    math.pi / 2 if name == "angular" and not a.any() else 0)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in DISTANCES])
def test_measures_without_a_distance_say_so(name):
    with pytest.raises(MeasureError, match="has no distance of its own"):
        measure(name).distance([1.0], [2.0])


@pytest.mark.parametrize("name", NAMES)
def test_no_profile(name):
    with pytest.raises(MeasureError, match="no per-dimension profile"):
        measure(name).profile([1.0], [2.0])


# -- hostile data ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cosine", "euclidean", "angular", "hybrid", "dice", "tanimoto", "poincare", "ndd"])
@pytest.mark.parametrize("step", [1e-3, 1e-7, 1e-11])
def test_near_duplicates_keep_their_digits(name, step):
    rng = np.random.default_rng(7)
    A = rng.standard_normal((5, 24)) / 10
    B = A + step * rng.standard_normal((5, 24))
    m = measure(name)
    want = naive.pairwise(name, A, B)
    np.testing.assert_allclose(m.pairwise(A, B), want, rtol=1e-12)
    if name in DISTANCES:
        for a, b in zip(A, B, strict=True):
            d2 = naive.gram(a, b)[3]
            exact = {"euclidean": math.sqrt(d2), "poincare": naive.hyperbolic(*naive.gram(a, b)),
                     "angular": (1 - naive.angular(a, b)) * math.pi,
                     "dice": d2 / (sum(naive.gram(a, b)[1:3])),
                     "tanimoto": d2 / (sum(naive.gram(a, b)[1:3]) - naive.gram(a, b)[0])}.get(name)
            if exact is not None:
                tolerance = 1e-8 if step > 1e-8 else 1e-4
                np.testing.assert_allclose(float(m.distance(a, b)), exact, rtol=tolerance)


def test_far_from_the_origin():
    rng = np.random.default_rng(8)
    A, B = rng.standard_normal((6, 17)) + 1e6, rng.standard_normal((8, 17)) + 1e6
    for name in set(NAMES) - {"poincare"}:
        np.testing.assert_allclose(measure(name).pairwise(A, B), naive.pairwise(name, A, B), rtol=1e-9, atol=atol(name),
                                   err_msg=name)
    assert Euclidean().distance(A[0], B[0]) == pytest.approx(math.dist(A[0], B[0]), rel=1e-14)


def test_denormals_and_huge_norm_spread():
    rng = np.random.default_rng(9)
    A = rng.standard_normal((6, 11)) * 10.0 ** np.array([-300, -140, -20, 0, 20, 140])[:, None]
    B = rng.standard_normal((6, 11)) * 10.0 ** np.array([140, 20, 0, -20, -140, -310])[:, None]
    for name in set(NAMES) - {"poincare"}:
        got, want = measure(name).pairwise(A, B), naive.pairwise(name, A, B)
        assert np.all(np.isfinite(got)), name
        # Squares below the smallest double are zero, so such vectors count as zero vectors.
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_common_huge_scale_does_not_overflow_ratios():
    a = np.array([3e150, 4e150])
    assert Cosine()(a, a) == 1.0
    assert measure("angular")(a, a) == 1.0


@pytest.mark.parametrize(("name", "parameters"), VARIANTS, ids=IDS)
def test_zero_rule(name, parameters):
    m = measure(name, **parameters)
    zero, b = np.zeros(3), np.array([0.5, 0.0, 0.25])
    both = {"euclidean": 1.0, "poincare": 1.0, "angular": 0.5}.get(name, 0.0)
    one = {"euclidean": 1 / (1 + math.sqrt(0.3125)), "angular": 0.5,
           "poincare": 1 / (1 + 2 * math.atanh(math.sqrt(0.3125)))}.get(name, 0.0)
    assert m(zero, zero) == both
    assert m(zero, b) == pytest.approx(one, rel=1e-14)
    assert m(b, zero) == pytest.approx(one, rel=1e-14)
    np.testing.assert_allclose(m.pairwise(np.stack([zero, b]), np.stack([zero, b]))[[0, 0, 1], [0, 1, 0]],
                               [both, one, one], rtol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_increasing_in_p(name):
    """At fixed norms, a larger dot product scores higher."""
    rng = np.random.default_rng(10)
    m = measure(name)
    for _ in range(50):
        a, b = 10.0 ** rng.uniform(-2, -0.05 if name == "poincare" else 2, 2)
        c = np.sort(rng.uniform(-1, 1, 20))
        p = c * a * b
        score = m.formula(namespace(p), p, np.array(a * a), np.array(b * b), a * a + b * b - 2 * p)
        assert np.all(np.diff(score) > 0)


BOUNDS = {"cosine": (-1, 1), "angular": (0, 1), "euclidean": (0, 1), "poincare": (0, 1), "dice": (-1, 1),
          "tanimoto": (-1 / 3, 1)}

# Every float32, its subnormals too: their squares are ordinary float64 numbers.
vectors = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(3)),
                     elements=st.floats(-2.0**100, 2.0**100, width=32, allow_subnormal=True))


@settings(max_examples=150, deadline=None)
@given(A=vectors, B=vectors)
def test_ranges_symmetry_and_agreement(A, B):
    for name in NAMES:
        m = measure(name)
        X, Y = (A.astype(float), B.astype(float)) if name != "poincare" else (_into_ball(A), _into_ball(B))
        got = m.pairwise(X, Y)
        assert np.all(np.isfinite(got)), name
        low, high = BOUNDS.get(name, (-math.inf, math.inf))
        slack = 1e-12
        assert np.all((got >= low - slack) & (got <= high + slack)), name
        if m.facts.symmetric:
            np.testing.assert_allclose(m.pairwise(Y, X).T, got, rtol=1e-12, atol=1e-300)
        want = naive.pairwise(name, X, Y)
        scale = np.sqrt(np.sum(X * X, axis=1))[:, None] * np.sqrt(np.sum(Y * Y, axis=1))[None, :]
        if name in BOUNDS:
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7, err_msg=name)
        elif name in ("dot", "hybrid", "ndd", "log_scaled"):
            # The error of p is a share of ‖A‖‖B‖, whatever cancels in it.
            assert np.all(np.abs(got - want) <= 1e-12 * np.abs(want) + 1e-12 * scale), name


def _into_ball(X):
    X = X.astype(float)
    norm = np.sqrt(np.sum(X * X, axis=1, keepdims=True))
    return X / (1.000001 * norm + 1e-3)


def test_self_similarity_is_one_for_the_measures_that_have_it():
    rng = np.random.default_rng(11)
    A = rng.standard_normal((20, 31)) * 10.0 ** rng.uniform(-5, -1, (20, 1))
    for name in ("euclidean", "angular", "dice", "tanimoto", "poincare", "cosine"):
        np.testing.assert_allclose(np.diag(measure(name).pairwise(A, A)), 1.0, rtol=1e-15)


def test_scaling_facts():
    A, B = data("cosine", 12)
    for name, s, t in [("cosine", 3.0, 0.1), ("angular", 3.0, 0.1), ("dice", 4.0, 4.0), ("tanimoto", 0.25, 0.25)]:
        np.testing.assert_allclose(measure(name).pairwise(s * A, t * B), measure(name).pairwise(A, B), rtol=1e-7,
                                   atol=1e-8)
    np.testing.assert_allclose(NDD().pairwise(8 * A, 8 * B), 8 * NDD().pairwise(A, B), rtol=1e-12)
    m = TemperedCosine(beta=0.3)
    np.testing.assert_allclose(m.pairwise(2 * A, 5 * B), 2 * 5**0.7 * m.pairwise(A, B), rtol=1e-12)


def test_tempered_cosine_ends():
    A, B = data("cosine", 13)
    np.testing.assert_array_equal(TemperedCosine(beta=0.0).pairwise(A, B), measure("dot").pairwise(A, B))
    row = np.linalg.norm(A, axis=1)[:, None]
    np.testing.assert_allclose(TemperedCosine(beta=1.0).pairwise(A, B), Cosine().pairwise(A, B) * row, rtol=1e-12)


# -- parameters and errors -------------------------------------------------------------------------


def test_query_norm_takes_the_length_of_the_query_out():
    A, B = data("ndd", 14)
    m = NDD(query_norm=1.5)
    np.testing.assert_allclose(m.pairwise(100 * A, B), m.pairwise(A, B), rtol=1e-12)
    unit = 1.5 * A[0] / np.linalg.norm(A[0])
    np.testing.assert_allclose(m.paired(A[:1], B[4:5]), NDD().paired(unit[None], B[4:5]), rtol=1e-12)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "1", True])
def test_query_norm_is_checked(value):
    with pytest.raises(InputError, match="ndd: 'query_norm' must be a positive number or None, got"):
        NDD(query_norm=value)


@pytest.mark.parametrize("value", [9, -8.1, math.nan, None, "x"])
def test_beta_is_checked(value):
    with pytest.raises(InputError, match="tempered_cosine: 'beta' must be a number from −8 to 8, got"):
        TemperedCosine(beta=value)


def test_poincare_domain_words():
    inside, rim = np.array([[0.5, 0.5]]), np.array([[0.0, 0.1], [0.6, 0.8]])
    with pytest.raises(DomainError, match=(r"poincare: 'B' must lie inside the open unit ball, got norm 1 in row 1; "
                                           r"map the vectors in first, e.g. with kiyas.measures.scale_into_ball")):
        Poincare().pairwise(inside, rim)
    with pytest.raises(DomainError, match="'A' must lie inside the open unit ball, got norm 5 in row 0"):
        Poincare()([3.0, 4.0], [0.0, 0.0])
    with pytest.raises(DomainError, match="'vectors'"):
        Poincare().check_rows(rim)


def test_poincare_near_the_rim():
    a, b = np.array([1 - 1e-12, 0.0]), np.array([0.0, 1 - 1e-12])
    # d = 2·asinh(√2/(2·1e-12)) up to the half gap; the textbook arcosh form agrees to 1e-4 here.
    assert Poincare().distance(a, b) == pytest.approx(2 * math.asinh(math.sqrt(2) / (2e-12)), rel=1e-5)
    assert Poincare().distance(a, np.zeros(2)) == pytest.approx(2 * math.atanh(1 - 1e-12), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments(name):
    m = measure(name)
    good = np.full((2, 3), 0.1)
    with pytest.raises(InputError, match=f"{name}: 'B' must be of 3 dimensions, got 2"):
        m.pairwise(good, good[:, :2])
    with pytest.raises(InputError, match="of 2 rows, one for each of A, got 1"):
        m.paired(good, good[:1])
    with pytest.raises(InputError, match="NaN or infinity in row 1"):
        m.pairwise(good, np.array([[0.1, 0.1, 0.1], [0.1, np.nan, 0.1]]))
    with pytest.raises(InputError, match=r"a 1-D array of floats"):
        m(good, good)
    with pytest.raises(InputError, match="dtype object"):
        m.pairwise(good, np.array([["a", "b", "c"]], dtype=object))


def test_norms_beyond_float64_are_refused():
    for call in (Cosine().pairwise, Cosine().paired):
        with pytest.raises(InputError, match=r"'B' must be of rows whose squared norm fits .* in row 1"):
            call([[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1e200, 1.0]])


def test_integers_are_taken_as_floats():
    assert Cosine()([3, 4], [3, 4]) == 1.0
    assert measure("dot").pairwise(np.array([[1, 2]]), np.array([[3, 4]], dtype=np.uint8))[0, 0] == 11.0


def test_kernel_forms():
    for name in NAMES:
        form = measure(name).kernel()
        assert form.family == "inner"
        assert form.kind in {"cosine", "dot", "euclidean", "ndd", "log_scaled", "hybrid", "dice", "tempered_cosine",
                             "poincare"}
    assert NDD(query_norm=2.0).kernel().parameters == {"query_norm": 2.0}
    assert measure("ndd").kernel().parameters == {"query_norm": 0.0}
