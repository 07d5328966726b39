"""Rows come and go, are replaced, measures change and are fitted again; answers are those of the rows as they are."""

import naive
import numpy as np
import pytest
from helpers import MEASURES, assert_identical, assert_same_hits, coordinate_oracle, problem

import kiyas
from kiyas.errors import InputError
from kiyas.measures import measure as make_measure

NAMES = ["cosine", "ndd", "euclidean", "poincare", "tempered_cosine", "manhattan", "gower", "gower clip threshold",
         "exponential trim", "exponential fitted", "exponential tiers", "mahalanobis", "learned α", "user rising",
         "user coordinate", "user pair"]


def compare(index, case, table, Q, k=10):
    """``table``: id -> vector in the order of rows; checks hits by the oracle over these."""
    ids = list(table)
    orders = naive.table(case.oracle(index.measure), Q, np.array([table[i] for i in ids]))
    hits = index.search(Q, k=min(k, len(ids)))
    assert_same_hits(hits, orders, min(k, len(ids)), shown=case.shown, score_ulps=case.score_ulps,
                     row_of={i: row for row, i in enumerate(ids)})
    assert index.ids.tolist() == ids and len(index) == len(ids)
    return hits


@pytest.mark.parametrize("far", [1, 30])
@pytest.mark.parametrize("name", NAMES)
def test_rows_come_and_go(name, far):
    case = MEASURES[name]
    X, Q = problem(case, "benign", 200, 36, m=4)
    later, _ = problem(case, "benign", 60, 36, seed=1)
    later = later * (1 if case.ball else far)  # far outside the grid of codes
    Q[1] = later[0]
    index = case.index(X)
    table = {i: X[i] for i in range(200)}
    compare(index, case, table, Q)

    assert index.add(later[:40]).tolist() == list(range(200, 240))
    table |= {200 + i: later[i] for i in range(40)}
    first = compare(index, case, table, Q)

    gone = sorted({int(i) for i in first.ids[:, 0]})
    index.remove(gone)
    for i in gone:
        del table[i]
    compare(index, case, table, Q)

    moved = [i for i in (7, 205, 9) if i in table]
    index.replace(moved, later[50 : 50 + len(moved)])
    for n, i in enumerate(moved):
        del table[i]  # in ties, a replaced row is the latest
        table[i] = later[50 + n]
    compare(index, case, table, Q)

    index.add(later[40:50])
    table |= dict(zip(range(240, 250), later[40:50], strict=True))
    compare(index, case, table, Q)
    assert index.info["rows"] == len(table)


def test_ids_of_ones_own_stay_with_their_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 36)).astype(np.float32)
    names = [f"text {i}" for i in range(50)]
    index = kiyas.Index(X, ids=names)
    assert index.search(X[7], k=1).ids.tolist() == [["text 7"]]
    index.remove(["text 7"])
    assert index.search(X[7], k=49).ids.dtype == object
    assert "text 7" not in index.search(X[7], k=49).ids[0]
    index.add(X[7:8], ids=["text 7"])
    assert index.search(X[7], k=1).ids.tolist() == [["text 7"]] and index.ids.tolist()[-1] == "text 7"
    index.replace(["text 8"], X[:1])
    hits = index.search(X[0], k=2)
    assert hits.ids.tolist() == [["text 0", "text 8"]]
    assert index.neighbours(["text 8"], k=1).ids.tolist() == [["text 0"]]
    ended = index.search(X[0], k=3, filter=["text 3"])
    assert ended.ids.tolist() == [["text 3", None, None]] and np.isnan(ended.scores[0, 1:]).all()


def test_removed_numbers_are_not_used_again():
    X = np.random.default_rng(0).normal(size=(20, 36))
    index = kiyas.Index(X)
    index.remove([19, 3])
    assert index.add(X[:1]).tolist() == [20]
    assert index.ids.tolist() == [*range(3), *range(4, 19), 20]
    mask = np.zeros(19, bool)
    mask[-1] = True
    assert index.search(X[0], k=1, filter=mask).ids.tolist() == [[20]]
    with pytest.raises(InputError, match="ids that are in the index, got 3"):
        index.remove([3])


def test_given_numbers_go_on_from_the_largest():
    X = np.random.default_rng(0).normal(size=(3, 36))
    index = kiyas.Index(X, ids=[10, 5, 7])
    assert index.add(X).tolist() == [11, 12, 13]
    with pytest.raises(InputError, match="new to the index, got 5; use replace"):
        index.add(X[:1], ids=[5])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_added_rows_take_the_dtype_of_the_others(dtype):
    X = np.random.default_rng(0).normal(size=(40, 36))
    index = kiyas.Index(X[:30].astype(dtype))
    index.add(X[30:])
    whole = kiyas.Index(X.astype(dtype))
    assert_identical(index.search(X[:5], k=10), whole.search(X[:5], k=10))


@pytest.mark.parametrize("first", ["cosine", "manhattan"])
def test_using_another_measure_shares_rows_and_codes(first):
    X = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    index = kiyas.Index(X, first)
    index.search(X[:2], k=3)
    for measure in ("ndd", "euclidean", "exponential(trim=0.1)", "manhattan", "gower", "mahalanobis", "cosine"):
        other = index.using(measure)
        assert np.shares_memory(other._rows.base, X)
        assert_identical(other.search(X[:5], k=10), kiyas.Index(X, measure).search(X[:5], k=10))
    before = index.info["code_bytes"]
    index.using("dot").search(X[:2], k=3)
    assert first == "manhattan" or index.info["code_bytes"] == before


def test_rows_added_through_one_are_there_for_the_other():
    X = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    one = kiyas.Index(X[:250])
    others = [one.using(m) for m in ("euclidean", "exponential", "mahalanobis", "manhattan(trim=0.1)")]
    for other in others:
        other.search(X[:2], k=3)
    one.add(X[250:])
    others[0].remove([0, 1])
    for other in (one, *others):
        assert len(other) == 298
        assert other.search(X[260], k=1).ids.tolist() == [[260]]
        fresh = kiyas.Index(X[2:], other.measure)
        np.testing.assert_array_equal(other.search(X[:5], k=10).ids, fresh.search(X[:5], k=10).ids + 2)


@pytest.mark.parametrize("name", ["gower", "exponential(bandwidth='fitted')", "mahalanobis",
                                  "exponential(threshold=quantile(0.2))", "manhattan(weights='variance')"])
def test_a_fitted_measure_stays_until_it_is_fitted_again(name):
    rng = np.random.default_rng(0)
    X, later = rng.normal(size=(200, 36)), 5 * rng.normal(size=(100, 36))
    index = kiyas.Index(X, name)
    fitted = index.measure
    index.add(later)
    assert index.measure is fitted and index.info["later"] == 100
    whole = kiyas.Index(np.concatenate([X, later]), fitted)
    assert_identical(index.search(later[:4], k=10), whole.search(later[:4], k=10))
    assert index.refit() is index and index.info["later"] == 0
    whole = kiyas.Index(np.concatenate([X, later]), name)
    assert_identical(index.search(later[:4], k=10), whole.search(later[:4], k=10))


def test_refit_looks_at_the_rows_that_are_there():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 36))
    X[50] *= 1000
    index = kiyas.Index(X, "gower")
    index.remove([50])
    index.refit()
    np.testing.assert_array_equal(index.measure.fitted_ranges, np.ptp(np.delete(X, 50, axis=0), axis=0))


@pytest.mark.parametrize("measure", ["euclidean", "manhattan", "exponential(bandwidth=0.1)"])
def test_many_small_additions_are_one_large(measure):
    X = np.random.default_rng(0).normal(size=(300, 36)).astype(np.float32)
    index = kiyas.Index(X[:1], measure)
    for start in range(1, 300, 23):
        index.add(X[start : start + 23])
        index.search(X[0], k=1)
    assert_identical(index.search(X[:5], k=10), kiyas.Index(X, measure).search(X[:5], k=10))


def test_values_far_off_the_grid_of_codes_are_found():
    """The grid is laid over the first rows; what comes later, and queries, may lie anywhere."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 36))
    for measure in ("manhattan", "exponential(bandwidth=50)", "exponential(bandwidth=50, trim=0.2)",
                    "manhattan(threshold=-100)", make_measure(lambda delta: 1 / (1 + delta))):
        index = kiyas.Index(X, measure)
        index.search(X[:1], k=1)
        later = rng.normal(size=(60, 36)) * 10.0 ** rng.integers(0, 6, size=(60, 1))
        index.add(later)
        Q = np.concatenate([later[:3] * 1.01, 1e9 + later[3:4], X[:1]])
        orders = naive.table(coordinate_oracle(index.measure), Q, np.concatenate([X, later]))
        assert_same_hits(index.search(Q, k=10), orders, 10, score_ulps=64)
