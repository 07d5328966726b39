"""Filters, least scores, ranges and neighbours answer as the oracle does on the rows that are left."""

import naive
import numpy as np
import pytest
from helpers import MEASURES, assert_identical, assert_same_hits, problem
from test_search_invariance import plainly

import kiyas

NAMES = ["cosine", "angular", "euclidean", "ndd κ=0.7", "tanimoto", "poincare", "manhattan", "exponential trim",
         "exponential threshold", "gower clip tiers", "mahalanobis", "learned", "learned −α", "user rising",
         "user steps", "user inner", "user pair"]
ROWS = 160


def given(name, kind="benign", m=4, n=ROWS):
    case = MEASURES[name]
    X, Q = problem(case, kind, n, 36, m=m)
    index = case.index(X)
    return case, index, X, Q, naive.table(case.oracle(index.measure), Q, X)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_masks_and_ids_filter_alike(name, share):
    case, index, _, Q, orders = given(name)
    mask = np.random.default_rng(5).random(ROWS) < share
    hits = index.search(Q, k=10, filter=mask)
    assert_same_hits(hits, orders, 10, allowed=mask, shown=case.shown, score_ulps=case.score_ulps)
    ids = np.flatnonzero(mask)
    for same in (mask.tolist(), ids, ids.tolist(), set(ids.tolist()), np.random.default_rng(1).permutation(ids)):
        assert_identical(index.search(Q, k=10, filter=same), hits)
    assert_identical(plainly(index).search(Q, k=10, filter=mask, threads=1), hits)


@pytest.mark.parametrize("name", NAMES)
def test_every_score_is_a_least_score_that_its_row_reaches(name):
    _, index, _, Q, _ = given(name, "near ties", m=1)
    every = index.search(Q, k=ROWS)
    for place in (0, 1, 5, 40, ROWS - 1):
        least = float(every.scores[0, place])
        reached = int(np.sum(every.scores[0] >= least))
        hits = index.search(Q, k=20, min_score=least)
        np.testing.assert_array_equal(hits.ids[0, : min(20, reached)], every.ids[0, : min(20, reached)])
        assert np.all(hits.ids[0, reached:] == -1) and np.all(np.isnan(hits.scores[0, reached:]))
        ranged = index.search(Q, k=None, min_score=least)
        np.testing.assert_array_equal(ranged.ids[0], every.ids[0, :reached])
        assert_identical(plainly(index).search(Q, k=None, min_score=least), ranged)


@pytest.mark.parametrize("name", NAMES)
def test_a_range_holds_all_rows_that_reach_it(name):
    case, index, _, Q, orders = given(name)
    every = index.search(Q, k=ROWS)
    least = float(np.quantile(every.scores, 0.8))
    hits = index.search(Q, k=None, min_score=least)
    counts = np.sum(every.scores >= least, axis=1)
    assert hits.ids.shape == (len(Q), counts.max())
    assert_same_hits(hits, orders, counts.max(), min_score=least, shown=case.shown, score_ulps=case.score_ulps)
    mask = np.arange(ROWS) % 2 == 0
    assert_same_hits(index.search(Q, k=7, min_score=least, filter=mask), orders, 7, min_score=least, allowed=mask,
                     shown=case.shown, score_ulps=case.score_ulps)


def test_a_range_nothing_reaches_is_empty():
    index = kiyas.Index(np.eye(40))
    hits = index.search(np.ones((2, 40)), k=None, min_score=2.0)
    assert hits.ids.tolist() == [[-1], [-1]] and np.all(np.isnan(hits.scores)) and hits.row(0) == []


def test_a_range_in_many_rows_scores_few():
    X = np.random.default_rng(0).normal(size=(6000, 64)).astype(np.float32)
    hits = kiyas.Index(X).search(X[:5], k=None, min_score=0.9)
    assert hits.ids.tolist() == [[i] for i in range(5)] and hits.rescored.max() < 600


@pytest.mark.parametrize("kind", ["benign", "duplicates"])
@pytest.mark.parametrize("name", [n for n in NAMES if n != "user inner"])
def test_a_row_is_not_its_own_neighbour(name, kind):
    case, index, X, _, _ = given(name, kind)
    rows = [3, 0, 77, ROWS - 1, 3]
    orders = naive.table(case.oracle(index.measure), X[rows], X)
    mask = np.arange(ROWS) != 5
    for k, allowed in ((10, None), (ROWS - 1, None), (10, mask)):
        hits = index.neighbours(rows, k=k, filter=allowed)
        assert_same_hits(hits, orders, k, excluded=rows, allowed=allowed, shown=case.shown, score_ulps=case.score_ulps)
        assert_identical(plainly(index).neighbours(rows, k=k, filter=allowed), hits)


@pytest.mark.parametrize("name", ["cosine", "exponential trim", "learned"])
def test_the_least_saturated_score_is_reached_by_all_that_show_it(name):
    case = MEASURES[name]
    X, Q = problem(case, "benign", 300, 36, m=2)
    if name == "learned":  # logits up to 60, whose sigmoids round to 1 or a little below
        m = kiyas.measure("learned", first_a=np.zeros((36, 36)), first_b=np.eye(36), bias1=np.zeros(36),
                          second=np.full(36, 1 / 6))
        X = np.abs(X) * np.float32(11)
        index = kiyas.Index(X, m)
    else:
        index = case.index(X)
    every = index.search(Q, k=300)
    for score in np.unique(every.scores)[-12:]:
        for j in range(2):
            reached = int(np.sum(every.scores[j] >= score))
            got = index.search(Q[j], k=None, min_score=float(score))
            np.testing.assert_array_equal(got.ids[0][got.ids[0] >= 0], every.ids[j, :reached])
