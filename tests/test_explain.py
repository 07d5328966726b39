"""An explanation adds up to the score that search reports."""

import numpy as np
import pytest
from helpers import MEASURES, naive, problem

import kiyas
from kiyas.errors import MeasureError
from kiyas.measures import measure as make_measure


@pytest.mark.parametrize("name", [n for n in MEASURES if n != "user pair"])
def test_contributions_add_up(name):
    case = MEASURES[name]
    X, Q = problem(case, "benign", 60, 36, m=6)
    index = case.index(X)
    every = index.search(Q, k=60)
    for j in range(6):
        for place in (0, 30, 59):
            e = index.explain(Q[j], every.ids[j, place])
            assert e.score == every.scores[j, place]
            assert e.contributions.sum() + e.rest == pytest.approx(e.total, rel=1e-9, abs=1e-12)
            if "sums to the score" in e.pooling:
                assert e.total == pytest.approx(e.score, rel=1e-9, abs=1e-12)
            elif "sums to the logit" in e.pooling:
                # Through the layers in float64, where the score has halves rounded to float32.
                assert naive.sigmoid(e.total) == pytest.approx(e.score, rel=1e-6)
            elif "cosine c" in e.pooling and abs(e.total) > 1e-9:
                assert 1 - np.arccos(np.clip(e.total, -1, 1)) / np.pi == pytest.approx(e.score, abs=1e-7)
            assert e.mapped == ("linear_map" in name or "mahalanobis" in name)
            map_ = index.measure.base if "csls" in name else index.measure
            assert e.contributions.shape == ((len(map_.matrix),) if e.mapped else (36,))


@pytest.mark.parametrize("name", ["cosine", "angular", "euclidean", "ndd", "hybrid", "manhattan", "exponential",
                                  "learned α", "dice"])
def test_zero_vectors_and_equal_ones_are_explained(name):
    case = MEASURES[name]
    X, _ = problem(case, "zeros", 40, 36)
    X[3] = 0
    index = case.index(X)
    for query, row in ((np.zeros(36), 3), (X[5], 3), (np.zeros(36), 5), (X[5], 5)):
        e = index.explain(query, row)
        assert np.all(np.isfinite(e.contributions)) and np.isfinite(e.total)
        assert e.contributions.sum() + e.rest == pytest.approx(e.total, rel=1e-9, abs=1e-12)


def test_the_dimensions_that_helped_and_hurt():
    x = np.zeros(40)
    y = np.zeros(40)
    x[:4], y[:4] = [1, 2, 3, 1], [1, 2, -3, 1]
    e = kiyas.Index(y[None, :], "dot").explain(x, 0)
    assert e.helped(2) == [(1, 4.0), (0, 1.0)] and e.hurt(1) == [(2, -9.0)] and e.score == -3.0


def test_what_is_trimmed_has_no_part():
    x, y = np.zeros(40), np.zeros(40)
    y[7] = 5.0
    e = kiyas.Index(y[None, :], "exponential(trim=0.025)").explain(x, 0)
    assert e.contributions[7] == 0 and e.score == 1.0 and "1 lowest dimensions trimmed" in e.pooling


def test_dead_dimensions_have_no_part():
    X = np.random.default_rng(0).normal(size=(50, 40))
    X[:, 3] = 7
    assert kiyas.Index(X, "gower").explain(X[0], 1).contributions[3] == 0


def test_rules_are_told():
    X = np.random.default_rng(0).normal(size=(50, 40))
    e = kiyas.Index(X, make_measure("exponential", tiers=0.5, critical=[1, 2])).explain(X[0], 0)
    assert e.score == 3.0 and e.total == 1.0 and "tier 2, 1 or 0" in e.pooling
    e = kiyas.Index(X, make_measure("exponential", threshold=0.999, share=0.5)).explain(X[0], 1)
    assert e.score == 0.0 and e.total > 0 and "0 where 50%" in e.pooling


def test_ids_of_ones_own_are_explained():
    X = np.random.default_rng(0).normal(size=(5, 40))
    index = kiyas.Index(X, ids=list("abcde"))
    assert index.explain(X[2], "c").score == pytest.approx(1)


def test_a_function_of_two_whole_vectors_is_not_explained():
    index = kiyas.Index(np.eye(40), lambda x, y: np.sum(x * y, axis=-1))
    with pytest.raises(MeasureError, match="a function of two whole vectors, so no dimension has a part in it"):
        index.explain(np.ones(40), 1)
