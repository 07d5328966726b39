"""Rows given as PyTorch arrays stay where they are and are answered as NumPy's are."""

import numpy as np
import pytest
from helpers import DATA, MEASURES, assert_identical, problem

import kiyas
from kiyas.errors import InputError

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


# What a measure cannot be fitted on, or what a device's own float cannot hold.
@pytest.mark.parametrize("kind", [k for k in DATA if k != "all identical"])
@pytest.mark.parametrize("name", MEASURES)
def test_answers_are_those_of_numpy(torch, name, kind):
    case = MEASURES[name]
    X, Q = problem(case, kind, 120, 36, m=4)
    host = case.index(X)
    there = kiyas.Index(torch.tensor(X), host.measure)
    assert "on a device of their own" in there.info["path"]
    assert_identical(there.search(torch.tensor(Q), k=10), host.search(Q, k=10))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["cosine", "euclidean", "poincare", "exponential trim", "mahalanobis", "learned α"])
def test_any_float(torch, name, dtype):
    case = MEASURES[name]
    X, Q = problem(case, "benign", 120, 36, m=4)
    rows = torch.tensor(X).to(getattr(torch, dtype))
    host = case.index(rows.float().numpy() if dtype != "float64" else X.astype(np.float64))
    got = kiyas.Index(rows, host.measure).search(Q, k=10)
    assert_identical(got, host.search(Q, k=10))


@pytest.mark.parametrize("name", ["cosine", "angular", "hybrid", "manhattan", "exponential tiers", "learned",
                                  "user pair"])
def test_filters_ranges_and_neighbours(torch, name):
    case = MEASURES[name]
    X, Q = problem(case, "near ties", 120, 36, m=4)
    host = case.index(X)
    there = kiyas.Index(torch.tensor(X), host.measure)
    mask = np.arange(120) % 3 > 0
    for given in (mask, torch.tensor(mask)):
        assert_identical(there.search(Q, k=7, filter=given), host.search(Q, k=7, filter=mask))
    assert_identical(there.neighbours([3, 50], k=7), host.neighbours([3, 50], k=7))
    least = float(host.search(Q[:1], k=5).scores[0, 4])
    assert_identical(there.search(Q, k=None, min_score=least), host.search(Q, k=None, min_score=least))
    assert there.explain(torch.tensor(Q[1]), 5).score == host.explain(Q[1], 5).score if name != "user pair" else True


@pytest.mark.parametrize("name", ["cosine", "exponential fitted", "mahalanobis", "learned α"])
def test_rows_come_and_go(torch, name):
    case = MEASURES[name]
    X, Q = problem(case, "benign", 120, 36, m=4)
    host = case.index(X[:100])
    there = kiyas.Index(torch.tensor(X[:100]), host.measure)
    for index, rows in ((host, X), (there, torch.tensor(X))):
        index.search(Q, k=3)
        index.add(rows[100:])
        index.remove([3, 110])
        index.replace([5], rows[7:8])
    assert_identical(there.search(Q, k=20), host.search(Q, k=20))
    assert there.ids.tolist() == host.ids.tolist()


@pytest.mark.parametrize("name", ["gower", "exponential fitted", "mahalanobis", "exponential threshold"])
def test_measures_are_fitted_alike(torch, name):
    case = MEASURES[name]
    X, Q = problem(case, "benign", 120, 36, m=4)
    got, wanted = case.index(torch.tensor(X)).search(Q, k=10), case.index(X).search(Q, k=10)
    np.testing.assert_array_equal(got.ids, wanted.ids)
    np.testing.assert_allclose(got.scores, wanted.scores, rtol=1e-10)


def test_arrays_that_carry_gradients_views_and_other_layouts(torch):
    X, Q = problem(MEASURES["cosine"], "benign", 120, 36, m=4)
    wanted = kiyas.Index(X).search(Q, k=10)
    rows = torch.tensor(X)
    for given in (rows.clone().requires_grad_(), rows.T.contiguous().T, torch.cat([rows, rows], dim=1)[:, :36]):
        assert_identical(kiyas.Index(given).search(torch.tensor(Q).requires_grad_(), k=10), wanted)


def test_the_precision_of_products_is_put_back(torch):
    X, Q = problem(MEASURES["cosine"], "near ties", 120, 36, m=4)
    wanted = kiyas.Index(X).search(Q, k=10)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert_identical(kiyas.Index(torch.tensor(X)).search(Q, k=10), wanted)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_near_the_rim_of_the_ball(torch):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(800, 20))
    X *= (1 - 10.0 ** rng.uniform(-15.5, -13, size=(800, 1))) / np.linalg.norm(X, axis=1, keepdims=True)
    X = X[np.sum(X * X, axis=1) < 1 - 1e-15]
    Q = np.concatenate([np.zeros((1, 20)), X[:2]])
    there = kiyas.Index(torch.tensor(X), "poincare")
    assert_identical(there.search(Q, k=10), kiyas.Index(X, "poincare").search(Q, k=10))


def test_a_thresholds_own_value_is_not_below_it(torch):
    X = (np.random.default_rng(0).integers(-8, 8, size=(80, 36)) / 4).astype(np.float32)
    for quarters in range(1, 9):
        m = kiyas.measure("exponential", tiers=float(np.exp(-quarters / 4)), critical=[0, 3, 5])
        assert_identical(kiyas.Index(torch.tensor(X), m).search(X[:3], k=10), kiyas.Index(X, m).search(X[:3], k=10))


def test_bad_rows_are_named(torch):
    with pytest.raises(InputError, match="NaN or infinity in row 1"):
        kiyas.Index(torch.tensor([[1.0, 2.0], [float("nan"), 0.0]]))
    index = kiyas.Index(torch.eye(36, dtype=torch.float16))
    with pytest.raises(InputError, match="within the range of float16, got overflow in row 0"):
        index.add(torch.full((1, 36), 1e6))
    assert len(index) == 36 and index.search(torch.ones(36), k=36).ids.shape == (1, 36)
