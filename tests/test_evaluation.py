"""All measures on one collection: against loops, against trec_eval, and what is said of equivalents, ties and files."""

import json
from pathlib import Path

import numpy as np
import pytest

from kiyas import Index
from kiyas.encode.base import CallableEncoder
from kiyas.encode.collection import Collection
from kiyas.errors import FileError, InputError, MeasureError
from kiyas.evaluate import (
    LEFT_OUT,
    Contender,
    Ranking,
    Table,
    contenders,
    evaluate_measures,
    evaluate_pairs,
    evaluate_rankings,
    have_unit_norm,
    holm,
    match,
    rank_alike,
    rank_collection,
    ranking_of,
    read_judgements,
    read_pairs,
    read_run,
    sign_flip_test,
    write_run,
)
from kiyas.measures import list_measures, measure
from kiyas.metrics import judge, measure_ranking, rank_rows

DATA = Path(__file__).parents[2] / "shared" / "data"


def space(seed=0, n=120, m=25, d=10, unit=False):
    rng = np.random.default_rng(seed)
    X, Q = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(m, d)).astype(np.float32)
    X *= rng.uniform(0.5, 3, (n, 1)).astype(np.float32)
    if unit:
        X, Q = (Y / np.linalg.norm(Y, axis=1, keepdims=True) for Y in (X, Q))
    # Relevant: what is near by a measure of its own, with noise, so that nothing is perfect.
    near = np.argsort(-(Q @ X.T + rng.normal(size=(m, n))), axis=1)
    gains = [{int(d): int(rng.integers(1, 4)) for d in row[:rng.integers(1, 6)]} for row in near]
    return X, Q, gains


# -- one collection ----------------------------------------------------------------------------------------------------


def test_values_are_those_of_ranking_by_the_formula():
    X, Q, gains = space()
    metrics = ["ndcg@10", "map@1000", "recall@5"]
    done = evaluate_measures(Index(X), Q, gains, measures=["dot", "manhattan"], metrics=metrics, samples=500)
    assert [r.name for r in done.results] == ["cosine", "dot", "manhattan"]
    for r in done.results:
        rows = rank_rows(np.asarray(measure(r.name).pairwise(Q, X)))
        wanted = measure_ranking(judge(np.hstack([rows, np.full((len(Q), 1), -1)]), gains), metrics)
        for name in metrics:
            np.testing.assert_allclose(r.values[name], wanted[name], atol=1e-15)
            assert r.means[name].mean == pytest.approx(wanted[name].mean())
            assert r.expected[name] == pytest.approx(wanted[name].mean())
        assert r.tied == 0 and r.seconds > 0
    base = done.baseline.values["ndcg@10"]
    p = [sign_flip_test(r.values["ndcg@10"], base, 500) for r in done.tested]
    assert [r.comparison.p for r in done.tested] == p
    np.testing.assert_allclose([r.comparison.adjusted for r in done.tested], holm(p))


def test_values_equal_trec_eval():
    pytrec_eval = pytest.importorskip("pytrec_eval")
    X, Q, gains = space(3)
    index = Index(X, ids=[f"d{i}" for i in range(len(X))])
    named = [{f"d{d}": g for d, g in one.items()} for one in gains]
    done = evaluate_measures(index, Q, named, measures=["ndd"], samples=100)
    theirs = {"ndcg@10": "ndcg_cut_10", "map@1000": "map_cut_1000", "recall@100": "recall_100", "precision@10": "P_10",
              "success@1": "success_1"}
    for r in done.results:
        hits = index.using(r.name).search(Q, k=len(X))
        run = {str(q): {d: -float(rank) for rank, d in enumerate(row)} for q, row in enumerate(hits.ids.tolist())}
        found = pytrec_eval.RelevanceEvaluator({str(q): one for q, one in enumerate(named)}, {
            "ndcg_cut.10", "map_cut.1000", "recall.100", "P.10", "success.1"}).evaluate(run)
        for ours, name in theirs.items():
            np.testing.assert_allclose(r.values[ours], [found[str(q)][name] for q in range(len(Q))], atol=1e-12)


def test_unjudged_queries_are_left_out_and_counted():
    X, Q, gains = space()
    gains[3], gains[7] = {}, {5: 0}
    done = evaluate_measures(Index(X), Q, gains, measures=["dot"], metrics=["ndcg@10"], samples=50)
    assert (done.queries, done.unjudged) == (23, 2)
    without = [i for i in range(25) if i not in (3, 7)]
    again = evaluate_measures(Index(X), Q[without], [gains[i] for i in without], measures=["dot"], metrics=["ndcg@10"],
                              samples=50)
    np.testing.assert_array_equal(done.results[1].values["ndcg@10"], again.results[1].values["ndcg@10"])
    assert done.results[1].comparison == again.results[1].comparison


def test_everything_that_can_run_is_among_the_contenders():
    X, _, _ = space()
    listed = {one.measure.partition("(")[0] for one in contenders(X)}
    assert listed | set(LEFT_OUT) == set(list_measures())
    assert contenders(X)[0].measure == "cosine"
    for one in contenders(X):
        assert str(measure(one.measure)) == one.measure


def test_on_unit_vectors_they_are_one_measure_and_it_is_said():
    X, Q, gains = space(unit=True)
    assert have_unit_norm(X, Q) and not have_unit_norm(X * 1.001)
    names = ["dot", "euclidean", "angular", "ndd", "ndd(query_norm=1)", "log_scaled", "hybrid", "tanimoto", "dice",
             "tempered_cosine", "manhattan"]
    done = evaluate_measures(Index(X), Q, gains, measures=names, samples=100)
    assert [r.equivalent for r in done.results] == [None] + ["cosine"] * 10 + [None]
    assert [r.name for r in done.tested] == ["manhattan"]
    assert done.results[1].verdict == "ranks as cosine" and done.results[1].comparison is None
    # Holm is over what was tested: one comparison.
    assert done.tested[0].comparison.p == done.tested[0].comparison.adjusted
    assert any("All vectors have length 1" in note and "calibration" in note for note in done.notes)
    only = evaluate_measures(Index(X), Q, gains, measures=["dot"], samples=50)
    assert only.conclusion() == "Nothing was compared: everything ranks as cosine does."


def test_equivalents_among_the_others_are_tested_once():
    X, Q, gains = space()
    done = evaluate_measures(Index(X), Q, gains, measures=["dice", "tanimoto", "angular"], samples=50)
    assert [r.equivalent for r in done.results] == [None, None, "dice", "cosine"]
    assert [r.name for r in done.tested] == ["dice"]


def test_ties_are_settled_by_row_and_averaged_beside():
    X, Q, gains = space(n=60)
    name = str(measure("manhattan(threshold=-0.2, share=0.2)"))
    done = evaluate_measures(Index(X), Q, gains, measures=[name], metrics=["ndcg@10", "mrr@10"], samples=50)
    result = done.results[1]
    assert result.tied > 0.5
    assert abs(result.expected["ndcg@10"] - result.means["ndcg@10"].mean) > 1e-3
    assert any(note.startswith("Ties decide part of the result of") for note in done.notes)
    assert "ndcg@10 over ties" in done.table().columns
    plain = evaluate_measures(Index(X), Q, gains, measures=["dot"], samples=50)
    assert "ndcg@10 over ties" not in plain.table().columns


def test_a_tie_across_the_cut_is_fetched_whole():
    X = np.ones((500, 4), np.float32)
    X[:3] *= 2
    done = evaluate_measures(Index(X), np.ones((2, 4)), [{2: 1}, {400: 1}], measures=["dot"], metrics=["success@1"],
                             samples=50)
    assert done.results[0].expected["success@1"] == pytest.approx(1 / 500)
    assert done.results[1].expected["success@1"] == pytest.approx((1 / 3 + 0) / 2)


def test_queries_that_are_documents_leave_themselves_out():
    X, _, gains = space()
    ids = [f"d{i}" for i in range(len(X))]
    index = Index(X, ids=ids)
    named = [{f"d{d}": g for d, g in one.items() if d != q} | {f"d{q + 50}": 1} for q, one in enumerate(gains)]
    done = evaluate_measures(index, X[:25], named, measures=["dot"], metrics=["success@1", "recall@119"], samples=50,
                             excluded=[*ids[:24], None])
    hits = index.neighbours(ids[:24], k=1)
    wanted = [float(row[0] in one) for row, one in zip(hits.ids.tolist(), named, strict=False)]
    np.testing.assert_array_equal(done.baseline.values["success@1"][:24], wanted)
    assert done.baseline.values["success@1"][24] == 0  # finds itself, as nothing was left out
    np.testing.assert_array_equal(done.baseline.values["recall@119"], np.ones(25))


def test_leaving_out_keeps_rankings_equally_deep():
    ranking = Ranking(np.array([[4, 2, 7], [1, 2, 3]]), np.array([[3.0, 2, 1], [3, 2, 1]]), False)
    out = ranking.without([2, None])
    assert out.rows.tolist() == [[4, 7], [1, 2]] and out.scores.tolist() == [[3, 1], [3, 2]]
    whole = Ranking(np.array([[1, 0, -1], [0, 1, -1]]), np.array([[2.0, 1, np.nan], [2, 1, np.nan]]), True)
    assert whole.without([1, None]).rows.tolist() == [[0, -1, -1], [0, 1, -1]]


def test_a_measure_that_is_not_defined_is_left_out_with_the_reason():
    X, Q, gains = space()
    done = evaluate_measures(Index(X), Q, gains, measures=["dot", "poincare"], samples=50)
    assert [r.name for r in done.results] == ["cosine", "dot"]
    assert "‖x‖ < 1" in done.left_out["poincare"] or "ball" in done.left_out["poincare"]
    with pytest.raises(MeasureError, match="unknown measure"):
        evaluate_measures(Index(X), Q, gains, baseline="cosinus")


def test_progress_notes_and_facts():
    X, Q, gains = space()
    steps = []
    done = evaluate_measures(Index(X), Q, gains, measures=[Contender("dot", "why not")], samples=50, seed=3,
                             progress=lambda a, b: steps.append((a, b)))
    assert steps == [(1, 2), (2, 2)] and done.results[1].note == "why not"
    assert done.facts["documents"] == 120 and done.facts["seed"] == 3 and done.facts["samples"] == 50
    held = done.as_dict()
    assert json.loads(json.dumps(held))["results"][1]["verdict"] in ("better", "worse", "no difference shown")
    assert held["conclusion"] == done.conclusion()


@pytest.mark.parametrize(("call", "words"), [
    (lambda X, Q, g: evaluate_measures(Index(X), Q, [{0: 1}] + [{}] * 24), "two queries or more that have a relevant"),
    (lambda X, Q, g: evaluate_measures(Index(X), Q, g, metrics=["ndcg"]), "'names'"),
    (lambda X, Q, g: evaluate_rankings({}, g), "at least one"),
    (lambda X, Q, g: evaluate_measures(Index(X), Q, [{999: 1}] * 25), "document 999"),
    (lambda X, Q, g: evaluate_measures(Index(X), Q, g[:20]), "25"),
])
def test_bad_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call(*space())


def test_conclusions_say_what_was_found():
    rng = np.random.default_rng(0)
    base = np.argsort(rng.random((60, 30)), axis=1)
    gains = [{int(row[4]): 1} for row in base]
    better = np.array([np.roll(row, -4) for row in base])
    scores = np.tile(-np.arange(30.0), (60, 1))
    rankings = {"cosine": Ranking(base, scores, True), "good": Ranking(better, scores, True),
                "lots": Ranking(np.array([rng.permutation(row) for row in base]), scores, True)}
    done = evaluate_rankings(rankings, gains, metrics=["mrr@10"], samples=1000)
    assert done.results[1].verdict == "better"
    assert done.family == "2 comparisons" and "after Holm over 2 comparisons" in done.conclusion()
    assert done.conclusion().startswith("On 60 queries good is better than cosine in mrr@10; most of all good, 1.0000")
    del rankings["good"]
    less = evaluate_rankings(rankings, gains, metrics=["ndcg@5"], samples=1000)
    assert less.conclusion().startswith("cosine is fine here: on 60 queries the other is not shown to be better")
    assert "smaller than about" in less.conclusion() and less.family == "one comparison"


def test_without_a_cut_off_all_measures_are_ranked_as_deep():
    # The measure that ties all documents would be looked at deeper than the other, and find more.
    rows = np.random.default_rng(0).normal(size=(1500, 4))
    queries = rows[:3] + 0.1
    last = np.argsort(queries @ rows.T, axis=1)[:, 0]
    done = evaluate_measures(Index(rows), queries, [{int(row): 1.0} for row in last], baseline="dot",
                             measures=["exponential(threshold=0.999, share=0.25)"], metrics=["map", "mrr"], samples=20)
    assert done.main == "map@1000" and all(set(r.values) == {"map@1000", "mrr@1000"} for r in done.results)
    assert done.results[0].values["map@1000"].tolist() == [0, 0, 0]
    assert done.results[1].tied == 1 and (done.results[1].values["map@1000"][last >= 1000] == 0).all()
    few = evaluate_measures(Index(rows[:900]), queries, [{0: 1.0}, {1: 1.0}, {2: 1.0}], measures=["dot"],
                            metrics=["map"], samples=20)
    assert few.main == "map"


def test_rankings_are_alike_up_to_rounding_only():
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.random((4, 20)), axis=1)
    rows = np.argsort(rng.random((4, 20)), axis=1)
    base = Ranking(rows, scores, True)
    assert rank_alike(base, base)
    swapped = rows.copy()
    swapped[1, [5, 6]] = swapped[1, [6, 5]]
    assert not rank_alike(Ranking(swapped, scores, True), base)
    assert rank_alike(Ranking(swapped, scores, True), base, depth=5)
    near = scores.copy()
    near[1, 6] = near[1, 5] - 1e-8
    assert rank_alike(Ranking(swapped, near, True), Ranking(rows, near, True))
    # What ties for one only is told apart by the other, whichever comes first.
    assert not rank_alike(Ranking(swapped, scores, True), Ranking(rows, near, True))
    assert not rank_alike(Ranking(rows, near, True), Ranking(swapped, scores, True))
    other = rows.copy()
    other[2, 3] = 99
    assert not rank_alike(Ranking(other, scores, True), base)
    with pytest.raises(InputError, match="of 4 queries"):
        rank_alike(base, Ranking(rows[:2], scores[:2], True))


def test_rankings_that_end_apart_that_tie_all_or_that_lack_scores_are_not_alike():
    rows, scores = np.array([[0, 1, 2]]), np.array([[0.9, 0.5, 0.1]])
    whole = Ranking(rows, scores, True)
    ended = Ranking(np.array([[0, 1, -1]]), np.array([[0.9, 0.5, np.nan]]), True)
    tied = Ranking(rows[:, ::-1], np.ones((1, 3)), True)
    for other in (ended, tied):
        assert not rank_alike(whole, other) and not rank_alike(other, whole)
    bare = np.full((1, 3), np.nan)
    assert rank_alike(Ranking(rows, bare, True), Ranking(rows, bare, True))
    assert not rank_alike(Ranking(rows, bare, True), Ranking(rows + 7, bare, True))


# -- collections of texts ----------------------------------------------------------------------------------------------


def letters():
    return CallableEncoder(lambda ts: [[t.lower().count(c) + 0.1 for c in "abcdefgh"] for t in ts], "letters", "1",
                           dims=8, count_tokens=lambda ts: [len(t.split()) for t in ts])


def test_texts_are_ranked_by_their_passages():
    texts = ["aa bb. cc dd. ee ff.", "gg hh.", "aa aa. bb bb."]
    collection = Collection.build(texts, letters(), ids=["x", "y", "z"], passage_tokens=2, overlap=0)
    assert len(collection.passages) > 3
    ranking = rank_collection(collection, collection.encode(["aa"]), 10)
    assert ranking.complete and ranking.rows[0].tolist() == [2, 0, 1, -1]
    found = collection.search("aa", k=3)[0]
    assert [f.id for f in found] == ["z", "x", "y"]
    np.testing.assert_array_equal(ranking.scores[0, :3], [f.score for f in found])
    done = evaluate_measures(collection, collection.encode(["aa", "gg"]), [{"z": 1}, {"y": 1}], measures=["dot"],
                             metrics=["success@1"], samples=50)
    assert done.baseline.means["success@1"].mean == 1


# -- runs --------------------------------------------------------------------------------------------------------------


def put(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_runs_are_ordered_by_score_then_rank_then_line(tmp_path):
    run = read_run(put(tmp_path, "r.txt", "q1 Q0 a 1 0.5 mine\nq1 Q0 b 3 0.5 mine\nq1 Q0 c 2 0.5 mine\n\n"
                                          "q1 Q0 d 4 0.9 mine\nq2 Q0 a 1 0.50000001 mine\nq2 Q0 b 2 0.5 mine\n"))
    assert run.name == "mine"
    assert [d for d, _ in run.ranked["q1"]] == ["d", "a", "c", "b"]
    assert [d for d, _ in run.ranked["q2"]] == ["a", "b"]  # float32 would call them tied


def test_runs_written_are_read_alike_everywhere(tmp_path):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    write_run(tmp_path / "r.txt", "kiyas", ["q1", "q2"], [["b", "a", "c"], ["a", None, None]])
    assert [d for d, _ in read_run(tmp_path / "r.txt").ranked["q1"]] == ["b", "a", "c"]
    with (tmp_path / "r.txt").open() as file:
        theirs = pytrec_eval.parse_run(file)
    assert sorted(theirs["q1"], key=lambda d: -theirs["q1"][d]) == ["b", "a", "c"] and list(theirs["q2"]) == ["a"]
    with pytest.raises(InputError, match="white space"):
        write_run(tmp_path / "s.txt", "kiyas", ["q 1"], [["a"]])
    assert not list(tmp_path.glob("s.txt*"))


def test_runs_against_judgements():
    from kiyas.evaluate import Run

    run = Run("a", {"q1": [("d2", 2.0), ("d9", 1.0)], "q3": [("d1", 1.0)]})
    numbers = {"d1": 0, "d2": 1}
    ranking = ranking_of(run, ["q1", "q2"], numbers)
    assert ranking.rows.tolist() == [[1, 2, -1], [-1, -1, -1]] and numbers["d9"] == 2
    done = evaluate_rankings({"a": ranking, "b": ranking}, [{1: 1}, {0: 1}], metrics=["mrr@10"], samples=50)
    assert done.baseline.values["mrr@10"].tolist() == [1, 0] and done.results[1].equivalent == "a"


@pytest.mark.parametrize(("text", "words"), [
    ("q1 Q0 a 1 0.5 x\nq1 Q0 a 2 0.4 x\n", "line 2: ranks document 'a' for query 'q1' again, after line 1"),
    ("q1 Q0 a 1 0.5 x\nq1 Q0 b 2 0.4 y\n", "line 2: is of the run 'y', but line 1 is of 'x'; give each run a file"),
    ("q1 Q0 a 1\n", "line 1: must be 'query Q0 document rank score name', got 4 fields"),
    ("q1 Q0 a one 0.5 x\n", "line 1: rank and score must be numbers, got 'one' and '0.5'"),
    ("q1 Q0 a 1 nan x\n", "line 1: the score is NaN"),
    ("\n", "holds no run"),
])
def test_bad_runs_are_named_by_line(text, words, tmp_path):
    path = put(tmp_path, "r.txt", text)
    with pytest.raises(FileError) as caught:
        read_run(path)
    assert words in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(FileError, match="there is no such file"):
        read_run(tmp_path / "none")


# -- pairs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), [
    ("p.jsonl", '{"text1": "a", "text2": "b", "score": 1.5}\n{"text1": "c", "text2": "d", "score": 3}\n'),
    ("p.csv", "sentence1,sentence2,score\na,b,1.5\nc,d,3\n"),
    ("p.tsv", "sentence1\tsentence2\tscore\na\tb\t1.5\nc\td\t3\n"),
    ("q.tsv", "a\tb\t1.5\nc\td\t3\n"),
    ("r.tsv", "score\tsentence2\tsentence1\n1.5\tb\ta\n3\td\tc\n"),
])
def test_pairs_of_every_form(name, text, tmp_path):
    pairs = read_pairs(put(tmp_path, name, text))
    assert (pairs.first, pairs.second, pairs.gold.tolist()) == (["a", "c"], ["b", "d"], [1.5, 3.0])
    assert not pairs.labelled


@pytest.mark.parametrize(("name", "text", "words"), [
    ("p.tsv", "a\tb\t1\nc\t \t2\n", "line 2: a text of the pair is blank"),
    ("p.tsv", "a\tb\t1\nc\td\thigh\n", "line 2: the score must be a number, got 'high'"),
    ("p.tsv", "a\tb\t1\nc\td\n", "line 2: must be two texts and a number with tabs between, got 2 fields"),
    ("p.tsv", "a\tb\t1\n", "holds 1 pairs; at least two are needed"),
    ("p.jsonl", '{"a": 1}\n', "line 1: must have the fields sentence1, sentence2, score (or label); it has a"),
    ("p.txt", "a", "not .txt"),
])
def test_bad_pairs_are_named_by_line(name, text, words, tmp_path):
    path = put(tmp_path, name, text)
    with pytest.raises(FileError) as caught:
        read_pairs(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_pairs_of_unit_vectors_are_ordered_alike():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 80, 12))
    A, B = (Y / np.linalg.norm(Y, axis=1, keepdims=True) for Y in (A, A + 0.7 * B))
    gold = (A * B).sum(axis=1) + 0.1 * rng.normal(size=80)
    names = ["dot", "euclidean", "ndd", "log_scaled", "hybrid", "angular", "manhattan"]
    done = evaluate_pairs(A, B, gold, measures=names, samples=200)
    assert [r.equivalent for r in done.results] == [None] + ["cosine"] * 6 + [None]
    assert all(r.metrics["spearman"] == done.results[0].metrics["spearman"] for r in done.results[:7])
    assert done.results[1].verdict == "orders as cosine" and done.results[-1].difference is not None
    assert "calibration" in done.notes[0]


def test_labelled_pairs_are_judged_by_average_precision():
    rng = np.random.default_rng(1)
    A = rng.normal(size=(60, 6))
    labels = np.tile([0, 1], 30)
    B = np.where(labels[:, None] == 1, A + 0.3 * rng.normal(size=A.shape), rng.normal(size=A.shape)) * \
        rng.uniform(0.1, 9, (60, 1))
    done = evaluate_pairs(A, B, labels.astype(float), samples=300)
    assert list(done.results[0].metrics) == ["average_precision"]
    verdicts = {r.name: r.verdict for r in done.results}
    assert verdicts["cosine"] == "baseline" and verdicts["euclidean"] == "worse" and not done.notes
    assert done.as_dict()["pairs"] == 60 and done.table().columns[0] == "measure"
    with pytest.raises(InputError, match="'B' must be of A's shape"):
        evaluate_pairs(A, B[:3], labels)


# -- tables ------------------------------------------------------------------------------------------------------------


def test_tables_can_be_copied():
    held = Table(["measure", "ndcg@10", "note"], [["cosine", 0.123456, "a, b"], ["x|y", None, "2e-7"]])
    assert held.csv() == 'measure,ndcg@10,note\ncosine,0.123456,"a, b"\nx|y,,2e-7\n'
    assert held.markdown().splitlines() == ["| measure | ndcg@10 | note |", "|---|---:|---|",
                                            "| cosine | 0.1235 | a, b |", "| x\\|y |  | 2e-7 |"]


# -- the reference collections -----------------------------------------------------------------------------------------

# nDCG@10 of cosine, dot, euclidean and manhattan, as the collections' own table has it.
REFERENCE = {("cranfield", "minilm"): (.3736, .2221, .3586, .3513), ("cisi", "minilm"): (.4207, .2321, .4043, .3979),
             ("med", "minilm"): (.7875, .7239, .7734, .7859), ("cranfield", "wordllama"): (.3082, .1914, .2910, .2749),
             ("cisi", "wordllama"): (.3797, .1910, .3463, .3345), ("med", "wordllama"): (.6537, .5326, .6441, .6485)}


@pytest.mark.parametrize(("collection", "model"), REFERENCE)
def test_reference_figures_from_files(collection, model):
    folder = DATA / collection
    if not folder.is_dir():
        pytest.skip("the test collections are not beside the repository")
    ids = json.loads((folder / "ids.json").read_text())
    X, Q = (np.load(folder / f"{model}_{part}.npy") for part in ("docs", "queries"))
    matched = match(read_judgements(folder / "qrels.json"), ids["query_ids"], ids["doc_ids"])
    done = evaluate_measures(Index(X, ids=ids["doc_ids"]), Q, matched.gains, measures=["dot", "euclidean", "manhattan"],
                             metrics=["ndcg@10"], samples=100)
    assert done.queries == {"cranfield": 225, "cisi": 76, "med": 30}[collection]
    np.testing.assert_allclose([r.means["ndcg@10"].mean for r in done.results], REFERENCE[collection, model], atol=1e-3)
