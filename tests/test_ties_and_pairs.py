"""Expected metrics over ties against every order of them, and metrics of pairs against loops and peers."""

import naive_metrics as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiyas import metrics
from kiyas.errors import InputError

NAMES = {"ndcg": naive.ndcg, "map": naive.average_precision, "mrr": naive.reciprocal_rank, "recall": naive.recall,
         "precision": naive.precision, "success": naive.success}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=6),
       st.lists(st.sampled_from([0, 1, 3]), min_size=8, max_size=8), st.integers(1, 7))
def test_expected_values_are_means_over_all_orders(scores, gains, k):
    scores = sorted(scores, reverse=True)
    ranking = list(range(len(scores)))
    judgements = dict(enumerate(gains))  # two of them are never retrieved
    found = metrics.expected_over_ties([ranking], [scores], [judgements], [f"{n}@{k}" for n in NAMES] + ["map", "mrr"],
                                       complete=True) if k <= len(scores) else None
    if found is None:
        with pytest.raises(InputError, match="rank deeper"):
            metrics.expected_over_ties([ranking], [scores], [judgements], [f"ndcg@{k}"])
        return
    for name, function in NAMES.items():
        wanted = naive.expected(function, ranking, scores, judgements, k)
        np.testing.assert_allclose(found[f"{name}@{k}"][0], wanted, rtol=1e-12, atol=1e-15)
    for name in ("map", "mrr"):
        wanted = naive.expected(NAMES[name], ranking, scores, judgements, len(ranking))
        np.testing.assert_allclose(found[name][0], wanted, rtol=1e-12, atol=1e-15)


def test_without_ties_nothing_changes():
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.random((5, 20)), axis=1)
    ranked = np.argsort(rng.random((5, 20)), axis=1)
    gains = [{int(d): 1 for d in rng.choice(20, 4, replace=False)} for _ in range(5)]
    names = ["ndcg@10", "map", "mrr@5", "recall@10", "precision@3", "success@2"]
    plain = metrics.measure_ranking(metrics.judge(ranked, gains), names)
    for name, values in metrics.expected_over_ties(ranked, scores, gains, names).items():
        np.testing.assert_array_equal(values, plain[name])


def test_expected_ndcg_agrees_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    scores, gains = rng.integers(0, 4, 30), rng.integers(0, 3, 30)
    order = np.argsort(-scores, kind="stable")
    ours = metrics.expected_over_ties(order[None], scores[order][None], [dict(enumerate(gains.tolist()))], ["ndcg@10"],
                                      complete=True)["ndcg@10"][0]
    assert ours == pytest.approx(sklearn.ndcg_score(gains[None], scores[None], k=10), abs=1e-12)


def test_a_large_tie_is_the_mean_of_lots():
    gains = dict.fromkeys(range(0, 400, 40), 1)
    ours = metrics.expected_over_ties([list(range(400))], [[1.0] * 400], [gains], ["ndcg@10", "mrr", "success@10"],
                                      complete=True)
    rng = np.random.default_rng(1)
    orders = np.stack([rng.permutation(400) for _ in range(4000)])
    drawn = metrics.measure_ranking(metrics.judge(orders, [gains] * 4000), ["ndcg@10", "mrr", "success@10"])
    for name, values in drawn.items():
        assert abs(ours[name][0] - values.mean()) < 4 * values.std() / np.sqrt(4000)


def test_cut_rankings_must_hold_the_tie_at_the_cut():
    with pytest.raises(InputError, match="deep enough to hold all documents that tie at rank 2, got 3 documents"):
        metrics.expected_over_ties([[1, 2, 3]], [[3, 1, 1]], [{1: 1}], ["recall@2"])
    ended = metrics.expected_over_ties([[1, 2, -1], [3, 4, 5]], [[1, 1, np.nan], [3, 2, 2]], [{1: 1}, {4: 1}],
                                       ["recall@1"])
    np.testing.assert_allclose(ended["recall@1"], [0.5, 0])
    by_name = metrics.expected_over_ties([["b", "a"]], [[1, 1]], {"q": {"a": 1}}, ["mrr"], ["q"], complete=True)
    assert by_name["mrr"].tolist() == [0.75]


@pytest.mark.parametrize(("scores", "words"), [([[1.0, 2.0]], "never rise"), ([[1.0]], "of the rankings' shape")])
def test_bad_scores(scores, words):
    with pytest.raises(InputError, match=words):
        metrics.expected_over_ties([[1, 2]], scores, [{1: 1}], ["mrr"])


# -- pairs -------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=2, max_size=20))
def test_correlations_equal_loops(pairs):
    x, y = (list(map(float, v)) for v in zip(*pairs, strict=True))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(metrics.pearson(x, y)) and np.isnan(metrics.spearman(x, y))
        return
    assert metrics.pearson(x, y) == pytest.approx(naive.pearson(x, y), abs=1e-12)
    assert metrics.spearman(x, y) == pytest.approx(naive.pearson(naive.mean_ranks(x), naive.mean_ranks(y)), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_pair_metrics_agree_with_peers(seed):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, 50).astype(float), rng.random(50)
    assert metrics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert metrics.pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    labels = (y > 0.6).astype(int)
    assert metrics.pair_average_precision(x, labels) == pytest.approx(
        naive.pair_average_precision(x.tolist(), labels.tolist()), abs=1e-12)
    sklearn = pytest.importorskip("sklearn.metrics")
    theirs = sklearn.average_precision_score(labels, x)
    assert metrics.pair_average_precision(x, labels) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: metrics.pearson([1.0], [1.0]), "at least two"),
    (lambda: metrics.spearman([1.0, 2], [1.0]), "'b' must be numbers of shape"),
    (lambda: metrics.pearson([1.0, np.nan], [1.0, 2]), "finite"),
    (lambda: metrics.pair_average_precision([1.0, 2], [0, 0]), "at least one of them 1"),
    (lambda: metrics.pair_average_precision([1.0, 2], [0, 2]), "'labels' must be 0 or 1"),
])
def test_bad_pairs(call, words):
    with pytest.raises(InputError, match=words):
        call()


# -- intervals of several columns --------------------------------------------------------------------------------------


def test_columns_are_resampled_together():
    table = np.random.default_rng(0).random((40, 3))
    together = metrics.bootstrap_intervals(table, samples=500)
    for column, interval in enumerate(together):
        np.testing.assert_allclose(interval, metrics.bootstrap_interval(table[:, column], samples=500), rtol=1e-14)
    with pytest.raises(InputError, match="'table' must be numbers of shape"):
        metrics.bootstrap_intervals([1.0, 2.0])
