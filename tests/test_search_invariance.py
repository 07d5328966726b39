"""What must not matter to an answer: levels, threads, batches, blocks, codes, memory layout, dtype of the queries."""

import ml_dtypes
import numpy as np
import pytest
from helpers import MEASURES, assert_identical, assert_same_hits, check, problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kiyas
from kiyas import kernels
from kiyas.kernels.request import Request
from kiyas.search import plain, scan

# What a product of BLAS bounds may differ with it, never what is answered.
REPRESENTATIVES = ["cosine", "angular", "euclidean", "ndd κ=0.7", "hybrid", "tempered_cosine β=2.5", "poincare",
                   "manhattan weights", "manhattan trim", "gower clip", "exponential narrow", "exponential trim half",
                   "exponential weights trim", "exponential threshold", "exponential tiers", "mahalanobis",
                   "linear_map exponential", "learned", "learned −α", "user rising", "user coordinate", "user steps"]
ROWS = 700


def asked(name, kind="benign", m=17, n=ROWS, d=40, dtype="float32"):
    """More than one piece of rows for two threads, where there are 16 queries or more."""
    case = MEASURES[name]
    return case, *problem(case, kind, n, d, m=m, dtype=dtype)


def plainly(index):
    """The same rows under the same measure, scanned without codes."""
    other = index.using(index.measure)
    other._view.form = None
    return other


@pytest.mark.parametrize("kind", ["benign", "near ties", "duplicates", "outliers", "norm spread"])
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_levels_threads_batches_and_codes_do_not_matter(name, kind, monkeypatch):
    case, X, Q = asked(name, kind)
    index = case.index(X)
    expected = index.search(Q, k=10, threads=1)
    assert_identical(index.search(Q, k=10, threads=2), expected)
    assert_identical(plainly(index).search(Q, k=10), expected)
    for level in kernels.levels():
        monkeypatch.setenv(kernels.LEVEL_VARIABLE, level)
        fresh = case.index(X)
        assert_identical(fresh.search(Q, k=10, threads=2), expected)
        one_by_one = [fresh.search(q, k=10, threads=2) for q in Q[:7]]
        np.testing.assert_array_equal(np.concatenate([h.ids for h in one_by_one]), expected.ids[:7])
        np.testing.assert_array_equal(np.concatenate([h.scores for h in one_by_one]), expected.scores[:7])


def giving_up(monkeypatch, limit):
    """Queries are given up after that many survivors."""
    monkeypatch.setattr(scan, "Request", lambda rows, k, allowed, excluded, given, threads: Request(
        rows, k, allowed, excluded, min(given, limit), threads))


@pytest.mark.parametrize("limit", [0, 12, 60])
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_queries_given_up_are_answered_alike(name, limit, monkeypatch):
    case, X, Q = asked(name)
    expected = case.index(X).search(Q, k=10)
    giving_up(monkeypatch, limit)
    for threads in (1, 2):
        assert_identical(case.index(X).search(Q, k=10, threads=threads), expected)


def test_codes_that_never_pay_are_given_up_for_good(monkeypatch):
    case, X, Q = asked("euclidean", n=3000)
    index = case.index(X)
    expected = index.search(Q, k=2)
    giving_up(monkeypatch, 0)
    for _ in range(20):
        assert_identical(index.search(Q, k=2), expected)
    assert index.info["path"].startswith("plain scan")
    assert_identical(index.search(Q, k=2), expected)


@pytest.mark.parametrize("name", ["cosine", "euclidean", "exponential narrow", "manhattan", "learned"])
def test_rows_all_alike_are_answered_in_their_order(name):
    case = MEASURES[name]
    X, Q = problem(case, "all identical", 5000, 40, m=2)
    hits = case.index(X).search(Q, k=5)
    assert hits.ids.tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("name", ["cosine", "euclidean", "poincare", "learned α", "exponential"])
def test_blocks_of_the_plain_scan_do_not_matter(name, monkeypatch):
    case, X, Q = asked(name, "near ties", m=5)
    index = plainly(case.index(X))
    expected = index.search(Q, k=10)
    monkeypatch.setattr(plain, "_BLOCK", 1 << 12)
    monkeypatch.setattr(plain, "_QUERIES", 2)
    assert_identical(index.search(Q, k=10), expected)
    monkeypatch.setattr(scan.View, "block", lambda self: 2)
    assert_identical(index.search(Q, k=10), expected)


@pytest.mark.parametrize("name", ["cosine", "hybrid", "exponential trim", "gower", "learned α", "mahalanobis"])
def test_memory_layout_does_not_matter(name, tmp_path):
    case, X, Q = asked(name, m=3, n=150)
    expected = case.index(X).search(Q, k=10)
    wide = np.zeros((150, 90), np.float32)
    wide[:, 5:85:2] = X
    np.save(tmp_path / "rows.npy", X)
    read_only = X.copy()
    read_only.flags.writeable = False
    layouts = {"strided": wide[:, 5:85:2], "Fortran": np.asfortranarray(X), "read-only": read_only,
               "memory map": np.load(tmp_path / "rows.npy", mmap_mode="r"), "reversed": X[::-1].copy()[::-1],
               "big-endian": X.astype(">f4"), "list": X.tolist()}
    for layout, rows in layouts.items():
        got = kiyas.Index(rows, case.make(40)).search(Q, k=10)
        np.testing.assert_array_equal(got.ids, expected.ids, err_msg=layout)
        np.testing.assert_array_equal(got.scores, expected.scores, err_msg=layout)
    for queries in (np.asfortranarray(Q), Q.astype(np.float64), Q.tolist(), np.repeat(Q, 2, axis=0)[::2]):
        assert_identical(case.index(X).search(queries, k=10), expected)


def test_a_memory_map_is_not_copied_nor_written(tmp_path):
    X = np.random.default_rng(0).normal(size=(100, 40)).astype(np.float32)
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    index = kiyas.Index(mapped)
    index.add(X[:2])
    index.search(X[:1], k=3)
    assert index.info["memory_mapped"] and np.shares_memory(index._rows.base, mapped)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), X)


@pytest.mark.parametrize("name", ["cosine", "euclidean", "ndd", "manhattan", "exponential trim", "gower clip",
                                  "mahalanobis", "learned α"])
def test_bfloat16_rows_are_what_they_stand_for(name):
    case = MEASURES[name]
    X, Q = problem(case, "benign", 150, 40, m=3)
    narrow = X.astype(ml_dtypes.bfloat16)
    got = case.index(narrow).search(Q, k=10)
    assert_identical(got, case.index(narrow.astype(np.float32)).search(Q, k=10))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
@pytest.mark.parametrize("name", ["cosine", "manhattan", "learned"])
def test_integer_rows_are_their_floats(name, dtype):
    case = MEASURES[name]
    X = np.random.default_rng(3).integers(0, 100, size=(150, 40)).astype(dtype)
    assert_identical(case.index(X).search(X[:3], k=10), case.index(X.astype(np.float64)).search(X[:3], k=10))


@pytest.mark.parametrize("name", ["cosine", "euclidean", "hybrid", "manhattan", "exponential", "exponential trim",
                                  "learned", "mahalanobis", "user rising"])
def test_on_benign_rows_few_are_scored(name):
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(100, 64))
    X = (centres[rng.integers(0, 100, 10_000)] + 0.3 * rng.normal(size=(10_000, 64))).astype(np.float32)
    hits = MEASURES[name].index(X).search(X[:20] + np.float32(0.01), k=10, threads=1)
    assert hits.path.startswith("certified")
    limit = 2000 if name == "learned" else 500  # random weights spread scores less than nearness does
    assert np.median(hits.rescored) < limit and np.all(hits.rescored >= 10)


def test_a_level_is_forced_by_its_variable(every_level):
    index = kiyas.Index(np.eye(40, dtype=np.float32))
    assert index.search(np.ones(40), k=1).path.endswith(f"level {every_level}")


def test_saturated_scores_go_to_the_earlier_row():
    # 1/(1+d) rounds to 1 for every d below 1e-16.
    X = np.zeros((200, 40))
    X[:, 0] = np.linspace(2e-17, 1e-18, 200)
    for measure in ("euclidean", "manhattan", "exponential", "gower"):
        m = kiyas.measure(measure, ranges=np.ones(40)) if measure == "gower" else measure
        hits = kiyas.Index(X, m).search(np.zeros(40), k=5)
        assert hits.scores.tolist() == [[1.0] * 5] and hits.ids.tolist() == [[0, 1, 2, 3, 4]], measure


def test_a_saturated_sigmoid_is_ordered_by_its_logit():
    h = 40
    m = kiyas.measure("learned", first_a=np.zeros((h, h)), first_b=np.eye(h), bias1=np.zeros(h), second=np.ones(h))
    X = np.random.default_rng(0).uniform(1, 3, size=(300, h)).astype(np.float32)
    hits = kiyas.Index(X, m).search(np.zeros(h), k=10)
    assert hits.scores.tolist() == [[1.0] * 10]
    np.testing.assert_array_equal(hits.ids[0], np.argsort(-X.astype(np.float64).sum(axis=1), kind="stable")[:10])


# A grid of values makes ties and duplicates; the larger ones leave the grid of codes.
values = st.one_of(st.integers(-3, 3).map(float), st.floats(-1, 1, width=32),
                   st.sampled_from([1e6, -1e-7, 1e-30, 1e15, 3e-39]))


@st.composite
def problems(draw):
    d, n, m = draw(st.integers(1, 40)), draw(st.integers(2, 24)), draw(st.integers(1, 3))
    row = st.lists(values, min_size=d, max_size=d)
    pool = draw(st.lists(row, min_size=1, max_size=6))
    pick = draw(st.lists(st.integers(0, len(pool) - 1), min_size=n, max_size=n))
    X = np.array([pool[i] for i in pick], np.float32)
    return X, np.array(draw(st.lists(row, min_size=m, max_size=m)), np.float32), draw(st.integers(1, n))


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "ndd", "log_scaled", "hybrid", "tanimoto",
                                  "tempered_cosine β=-1.5", "manhattan", "manhattan trim", "exponential",
                                  "exponential trim", "exponential tiers", "user rising", "user coordinate"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(problem=problems())
def test_any_rows_are_answered_as_the_oracle_does(small_codes, name, problem):
    X, Q, k = problem
    case = MEASURES[name]
    index, hits, _ = check(case, X, Q, k)
    assert_identical(plainly(index).search(Q, k=k), hits)


@pytest.mark.parametrize("name", ["cosine", "exponential trim", "learned"])
def test_the_best_of_all_rows_begin_with_the_best_few(name):
    case, X, Q = asked(name, "duplicates", m=3, n=200)
    index = case.index(X)
    every = index.search(Q, k=200)
    for k in (1, 7, 199):
        few = index.search(Q, k=k)
        np.testing.assert_array_equal(few.ids, every.ids[:, :k])
        np.testing.assert_array_equal(few.scores, every.scores[:, :k])
    assert_same_hits(every, [[every.scores[j][every.ids[j].tolist().index(i)] for i in range(200)] for j in range(3)],
                     200, shown=case.shown and (lambda s: s))
