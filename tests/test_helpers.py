"""The comparison of hits with the oracle fails where it should."""

import naive
import numpy as np
import pytest
from helpers import assert_same_hits

from kiyas.search.hits import Hits

ORDERS = [[0.5, 0.25, 0.75, 0.75], [1.0, 2.0, np.nextafter(2.0, 3), -1.0]]
RIGHT = [[2, 3], [2, 1]]


def hits(ids, orders=ORDERS):
    scores = [[orders[j][i] if i >= 0 else np.nan for i in row] for j, row in enumerate(ids)]
    return Hits(np.array(ids), np.array(scores), np.zeros(len(ids)))


def test_the_right_hits_pass():
    assert_same_hits(hits(RIGHT), ORDERS, 2)


def test_near_ties_may_stand_either_way_within_the_slack():
    assert naive.top_k(ORDERS[1], 2) == [(2, ORDERS[1][2]), (1, 2.0)]
    near = [ORDERS[0], [1.0, 2.0, 2.0, -1.0]]
    reported = Hits(np.array([[2, 3], [1, 2]]), np.array([[0.75, 0.75], [2.0, 2.0]]), np.zeros(2))
    assert_same_hits(reported, ORDERS, 2)
    assert_same_hits(reported, near, 2)
    with pytest.raises(AssertionError):
        assert_same_hits(reported, ORDERS, 2, slack=0.5)


@pytest.mark.parametrize("ids", [
    [[3, 2], [2, 1]],  # a tie with the later row first
    [[2, 0], [2, 1]],  # a row that is not among the best
    [[2, 2], [2, 1]],  # a row twice
    [[2, -1], [2, 1]],  # a row missing
    [[-1, 2], [2, 1]],  # a gap before a hit
    [[2], [2]],  # of another width
])
def test_wrong_ids_fail(ids):
    with pytest.raises(AssertionError):
        assert_same_hits(hits(ids), ORDERS, 2)


def test_a_wrong_score_fails():
    right = hits(RIGHT)
    with pytest.raises(AssertionError, match="score"):
        assert_same_hits(Hits(right.ids, right.scores * (1 + 1e-12), right.rescored), ORDERS, 2)


def test_rows_left_out_fail():
    allowed = [True, True, False, True]
    with pytest.raises(AssertionError):
        assert_same_hits(hits(RIGHT), ORDERS, 2, allowed=allowed)
    with pytest.raises(AssertionError):
        assert_same_hits(hits(RIGHT), ORDERS, 2, excluded=[2, 0])
    with pytest.raises(AssertionError):
        assert_same_hits(hits(RIGHT), ORDERS, 2, min_score=0.8)
    assert_same_hits(hits([[3, 0], [1, 0]]), ORDERS, 2, allowed=allowed)
    assert_same_hits(hits([[-1, -1], [2, 1]]), ORDERS, 2, min_score=0.8)
