import json
import math
from pathlib import Path

import naive_metrics as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiyas import metrics
from kiyas.errors import InputError

NAMES = ("ndcg", "average_precision", "reciprocal_rank", "recall", "precision", "success")
DATA = Path(__file__).parents[2] / "shared" / "data"

# The cosine column of the collections' own table: linear-gain nDCG@10, MAP, recall@100.
COSINE = {("cranfield", "minilm"): (.3736, .3231, .7756), ("cisi", "minilm"): (.4207, .2473, .4707),
          ("med", "minilm"): (.7875, .7211, .9579), ("cranfield", "wordllama"): (.3082, .2491, .6766),
          ("cisi", "wordllama"): (.3797, .2146, .4277), ("med", "wordllama"): (.6537, .5123, .7874)}


def random_case(seed, queries=12, documents=40, depth=25):
    rng = np.random.default_rng(seed)
    ranked = np.argsort(rng.random((queries, documents)), axis=1)[:, :depth]
    judgements = [{int(d): int(rng.integers(0, 5)) for d in rng.choice(documents, rng.integers(0, 12), replace=False)}
                  for _ in range(queries)]
    return ranked, judgements


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 3, 10, 25])
def test_metrics_equal_loops(seed, name, k):
    ranked, judgements = random_case(seed)
    ours = getattr(metrics, name)(metrics.judge(ranked, judgements), k)
    theirs = [getattr(naive, name)(row, gains, k) for row, gains in zip(ranked.tolist(), judgements, strict=True)]
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=0)


@pytest.mark.parametrize("seed", range(4))
def test_metrics_equal_trec_eval(seed):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    ranked, judgements = random_case(seed)
    # From ranks: equal or nearly equal scores would be re-ordered there (single precision, ties by name).
    run = {str(q): {str(d): -float(rank) for rank, d in enumerate(row)} for q, row in enumerate(ranked.tolist())}
    qrels = {str(q): {str(d): g for d, g in gains.items()} for q, gains in enumerate(judgements)}
    names = {"ndcg_cut_10": "ndcg@10", "map": "map", "map_cut_10": "map@10", "recip_rank": "mrr",
             "recall_10": "recall@10", "P_5": "precision@5", "success_5": "success@5"}
    judge = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map", "map_cut.10", "recip_rank", "recall.10",
                                                   "P.5", "success.5"})
    theirs = judge.evaluate(run)
    judged = metrics.judge(ranked, judgements)
    assert judged.answerable.sum() > 5
    ours = metrics.measure_ranking(judged, names.values())
    for q in np.flatnonzero(judged.answerable):
        for name, own in names.items():
            assert ours[own][q] == pytest.approx(theirs[str(q)][name], abs=1e-12), (q, name)


@pytest.mark.parametrize(("collection", "model"), COSINE)
def test_reference_collections(collection, model):
    folder = DATA / collection
    if not folder.is_dir():
        pytest.skip("the test collections are not beside the repository")
    documents, queries = (np.load(folder / f"{model}_{part}.npy").astype(np.float64) for part in ("docs", "queries"))
    documents, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (documents, queries))
    ids = json.loads((folder / "ids.json").read_text())
    qrels = json.loads((folder / "qrels.json").read_text())
    # The table ranks 1000 documents, as trec_eval does; CISI has more, so the depth shows in MAP.
    ranked = np.array(ids["doc_ids"])[metrics.rank_rows(queries @ documents.T, 1000)]
    judged = metrics.judge(ranked, qrels, ids["query_ids"])
    values = metrics.measure_ranking(judged, ["ndcg@10", "map", "recall@100"])
    means = [values[name][judged.answerable].mean() for name in values]
    np.testing.assert_allclose(means, COSINE[collection, model], atol=1e-3)


def test_small_cases_by_hand():
    judged = metrics.judge([["c", "a", "b"], ["a", "b", "c"], ["x", "y", "z"]],
                           [{"a": 3, "b": 1, "q": 2}, {"c": 0}, {"a": 1}])
    np.testing.assert_array_equal(judged.relevant, [3, 0, 1])
    np.testing.assert_array_equal(judged.answerable, [True, False, True])
    dcg, ideal = 3 / math.log2(3) + 1 / 2, 3 + 2 / math.log2(3) + 1 / 2
    np.testing.assert_allclose(metrics.ndcg(judged, 3), [dcg / ideal, math.nan, 0])
    np.testing.assert_allclose(metrics.average_precision(judged), [(1 / 2 + 2 / 3) / 3, math.nan, 0])
    np.testing.assert_allclose(metrics.reciprocal_rank(judged, 1), [0, math.nan, 0])
    np.testing.assert_allclose(metrics.precision(judged, 2), [1 / 2, math.nan, 0])


def test_judgements_by_query_name():
    ranked = np.array([["b", "a"], ["a", "b"]])
    by_name = metrics.judge(ranked, {"7": {"a": 1}, "9": {"a": 2}}, ["9", "7"])
    np.testing.assert_array_equal(by_name.gains, [2, 1])
    np.testing.assert_array_equal(by_name.ranks, [2, 1])
    without = metrics.judge(ranked, {"7": {"a": 1}}, ["9", "7"])
    np.testing.assert_array_equal(without.answerable, [False, True])


def test_arrays_of_numbers_are_judged_as_lists_are():
    rng = np.random.default_rng(0)
    ranked = np.argsort(rng.random((9, 30)), axis=1)[:, :12]
    ranked[3, 7:], ranked[5] = -1, -1
    gains = [{int(d): 1 for d in rng.choice(30, 6)} | {"text": 1, -1: 1} for _ in range(9)]
    ours, theirs = metrics.judge(ranked, gains), metrics.judge(ranked.tolist(), gains)
    for name in ("queries", "ranks", "gains"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert (ours.count, ours.depth, ours.complete) == (theirs.count, theirs.depth, theirs.complete)
    for bad, words in ((np.array([[1, -1, 2]]), "after the end"), (np.array([[4, 5, 4]]), "repeated id in row 0")):
        with pytest.raises(InputError, match=words):
            metrics.judge(bad, [{1: 1}])


def test_padding_ends_a_ranking():
    judged = metrics.judge([[4, 2, -1], [2, -1, -1]], [{2: 1}, {9: 1}])
    np.testing.assert_array_equal(judged.ranks, [2, 0])
    # Both rankings ended, so a deeper cut-off is known.
    np.testing.assert_array_equal(metrics.recall(judged, 100), [1, 0])
    with_none = metrics.judge([["a", None], ["b", "c"]], [{"a": 1}, {"a": 1}])
    np.testing.assert_array_equal(with_none.ranks, [1, 0])
    with pytest.raises(InputError, match="rank deeper"):
        metrics.recall(with_none, 3)


def test_deterministic_ranking_of_ties():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (7, 30)).astype(np.float32)
    ranked = metrics.rank_rows(scores)
    assert ranked.tolist() == [naive.rank_rows(row) for row in scores.tolist()]
    np.testing.assert_array_equal(metrics.rank_rows(scores, 5), ranked[:, :5])
    targets = rng.integers(0, 30, 7)
    by_search = metrics.ranks_of_target(ranked, targets)
    np.testing.assert_array_equal(metrics.ranks_in_scores(scores, targets), by_search)
    np.testing.assert_array_equal(metrics.rank_rows(np.array([[1, 2, 255]], np.uint8)), [[2, 1, 0]])
    np.testing.assert_array_equal(metrics.rank_rows(np.array([[-128, 3]], np.int8)), [[1, 0]])
    np.testing.assert_array_equal(metrics.rank_rows([[-math.inf, 0.0, math.inf]]), [[2, 1, 0]])


def test_known_items():
    full = metrics.known_items(np.array([1, 30, 4]))
    np.testing.assert_allclose(metrics.reciprocal_rank(full), [1, 1 / 30, 1 / 4])
    np.testing.assert_array_equal(metrics.success(full, 10), [1, 0, 1])
    np.testing.assert_array_equal(metrics.success(full, 1000), [1, 1, 1])
    cut = metrics.known_items([1, 0], depth=10)
    np.testing.assert_array_equal(metrics.recall(cut, 10), [1, 0])
    np.testing.assert_allclose(metrics.ndcg(cut, 10), [1, 0])
    with pytest.raises(InputError, match="'k' must be an integer from 1 to 10"):
        metrics.recall(cut, 11)
    with pytest.raises(InputError, match="depth"):
        metrics.known_items([1, 0])
    with pytest.raises(InputError, match="depth"):
        metrics.known_items([11], depth=10)
    for bad in ([], [[1]], [-1], [1.5], ["a"]):
        with pytest.raises(InputError, match="'ranks'"):
            metrics.known_items(bad, depth=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.permutations(range(8)), min_size=1, max_size=4), st.data())
def test_ranges_and_order(rankings, data):
    gains = st.dictionaries(st.integers(0, 11), st.sampled_from([0, 1, 2, 0.5]), max_size=8)
    judged = metrics.judge(rankings, [data.draw(gains) for _ in rankings])
    keep = judged.answerable
    for name in NAMES:
        shallow, deep = (getattr(metrics, name)(judged, k)[keep] for k in (2, 8))
        assert ((deep >= 0) & (deep <= 1 + 1e-15)).all()
        assert np.isnan(getattr(metrics, name)(judged, 2)[~keep]).all()
        if name not in ("ndcg", "precision"):
            assert (shallow <= deep).all()


def test_a_perfect_ranking_scores_one():
    judged = metrics.judge([[5, 1, 2, 9]], [{1: 2, 5: 3, 2: 1, 9: 0}])
    for name in ("ndcg@4", "map", "mrr", "recall@3", "precision@3", "success@1"):
        assert metrics.measure_ranking(judged, [name])[name] == pytest.approx(1.0)


@pytest.mark.parametrize(("ranked", "judgements", "queries", "words"), [
    ([[1, 1]], [{1: 1}], None, "repeated id in row 0"),
    ([[1, -1, 2]], [{1: 1}], None, "after the end"),
    ([[1, 2], [3]], [{1: 1}] * 2, None, "rows of lengths 1, 2"),
    ([], [], None, "'ranked'"),
    ([1, 2], [{1: 1}], None, "'ranked'"),
    (np.arange(3), [{1: 1}], None, "'ranked'"),
    ([[1, 2]], [{1: -1}], None, "document 1"),
    ([[1, 2]], [{1: math.nan}], None, "gains of 0 or above"),
    ([[1, 2]], [{1: 1}, {1: 1}], None, "2 for 1 rows"),
    ([[1, 2]], [[1]], None, "'judgements'"),
    ([[1, 2]], [{"1": 1}], None, "integers"),
    ([["1", "2"]], [{1: 1}], None, "str"),
    ([[1, 2]], {"q": {1: 1}}, None, "'queries'"),
    ([[1, 2]], {"q": {1: 1}}, ["q", "r"], "1 different queries"),
    ([[1, 2]], {"q": {1: 1}}, ["z"], "none that is"),
    ([[1, 2]], [{1: 1}], ["q"], "left out"),
])
def test_bad_judgements(ranked, judgements, queries, words):
    with pytest.raises(InputError, match=words):
        metrics.judge(ranked, judgements, queries)


def test_bad_cut_offs_names_and_scores():
    judged = metrics.judge([[1, 2]], [{1: 1}])
    for k in (0, 3, 1.0, True):
        with pytest.raises(InputError, match="'k' must be an integer from 1 to 2"):
            metrics.precision(judged, k)
    for name in ("ndcg", "ndcg@0", "ndcg@x", "bpref@10", "", None, "recall"):
        with pytest.raises(InputError, match="'names'"):
            metrics.measure_ranking(judged, [name])
    with pytest.raises(InputError, match="NaN"):
        metrics.rank_rows([[1.0, math.nan]])
    for bad in ([1.0], [[]], [["a"]]):
        with pytest.raises(InputError, match="'scores'"):
            metrics.rank_rows(bad)
    with pytest.raises(InputError, match="'k'"):
        metrics.rank_rows([[1.0, 2.0]], 3)
    for bad in ([2], [0, 1], [0.0], [-1]):
        with pytest.raises(InputError, match="'targets'"):
            metrics.ranks_in_scores([[1.0, 2.0]], bad)
    with pytest.raises(InputError, match="'targets'"):
        metrics.ranks_of_target([[1, 2]], [1, 2])
    with pytest.raises(InputError, match="'targets'"):
        metrics.ranks_of_target([[1, 2]], ["1"])


def test_bootstrap_is_deterministic_and_covers():
    rng = np.random.default_rng(1)
    values = rng.random(80)
    first, again = (metrics.bootstrap_interval(values) for _ in range(2))
    assert first == again
    assert first != metrics.bootstrap_interval(values, seed=1)
    assert first.mean == values.mean()
    # The normal approximation is close for eighty uniform values.
    half = 1.96 * values.std() / math.sqrt(80)
    assert first.low == pytest.approx(first.mean - half, abs=0.01)
    assert first.high == pytest.approx(first.mean + half, abs=0.01)
    narrow = metrics.bootstrap_interval(values, level=0.5)
    assert first.low < narrow.low < narrow.mean < narrow.high < first.high


def test_bootstrap_interval_covers_the_true_mean():
    rng = np.random.default_rng(2)
    inside = 0
    for trial in range(200):
        interval = metrics.bootstrap_interval(rng.normal(size=50), samples=500, seed=trial)
        inside += interval.low <= 0 <= interval.high
    assert 180 <= inside <= 199


def test_paired_difference_removes_the_spread_between_queries():
    rng = np.random.default_rng(3)
    hardness = rng.random(60)
    a, b = hardness + 0.02 + rng.normal(0, 0.01, 60), hardness
    paired = metrics.bootstrap_difference(a, b)
    assert 0 < paired.low < paired.mean < paired.high
    assert paired.high - paired.low < 0.02
    assert metrics.bootstrap_difference(a, a) == (0, 0, 0)
    wins = metrics.bootstrap_difference([True, True, False], [False, True, False])
    assert wins.mean == pytest.approx(1 / 3)


def test_bad_bootstrap():
    with pytest.raises(InputError, match=r"judged\.answerable"):
        metrics.bootstrap_interval([1.0, math.nan])
    for bad in ([1.0], [[1.0, 2.0]], ["a", "b"]):
        with pytest.raises(InputError, match="'values'"):
            metrics.bootstrap_interval(bad)
    with pytest.raises(InputError, match="'level'"):
        metrics.bootstrap_interval([1.0, 2.0], level=1.0)
    with pytest.raises(InputError, match="'samples'"):
        metrics.bootstrap_interval([1.0, 2.0], samples=0)
    with pytest.raises(InputError, match="'baseline'"):
        metrics.bootstrap_difference([1.0, 2.0], [1.0])
