"""Choosing a measure: the nested folds, what is held out together, when something is recommended, the commands."""

from __future__ import annotations

import itertools
import json
import re

import naive_fit as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiyas import Index
from kiyas.cli import main
from kiyas.errors import InputError
from kiyas.evaluate import PURPOSES, advise, choose, choose_known, choosing, group_queries
from kiyas.fit import Pairs, fit_judged, load_measure, maps
from kiyas.fit.selection import folds_of
from kiyas.measures import Cosine, LinearMap, measure_class
from kiyas.measures import measure as make_measure

NOISY = np.array([2.5] * 6 + [0.15] * 6)


def planted(n=240, queries=120, seed=0, noise=NOISY):
    """Half of the directions are noise; turned, so that no measure of single dimensions sees which."""
    rng = np.random.default_rng(seed)
    documents = rng.normal(size=(n, 12))
    asked = documents[:queries] + rng.normal(size=(queries, 12)) * noise
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    return documents @ turn, asked @ turn, \
        [{i: 2.0, **({n - 1 - i // 8: 1.0} if i % 4 == 0 else {})} for i in range(queries)]


def test_what_is_right_is_recommended_and_what_it_costs_is_told():
    documents, queries, gains = planted()
    done = choose(Index(documents), queries, gains, measures=["dot", "manhattan"], repeats=1)
    assert done.name == "relevance map" and isinstance(done.measure, LinearMap) and done.recommended
    assert done.comparison.difference.low > 0 and done.comparison.p < 0.05
    assert done.picks["relevance map"] >= 4 and sum(done.picks.values()) == 5
    assert done.cost.memory == 4 * 240 * 12 and done.cost.times > 0
    assert "Use relevance map" in done.conclusion() and "MB of mapped rows" in done.costs()
    assert "Mapping a query" in done.costs()
    assert {"documents", "queries", "judgements"} == set(done.facts["sha256"])
    json.dumps(done.as_dict())


def test_where_nothing_is_better_cosine_is_fine_with_an_interval():
    documents, queries, gains = planted(noise=np.full(12, 0.8))
    done = choose(Index(documents), queries, gains, measures=["dot", "manhattan"], repeats=1)
    assert done.name == "cosine" and isinstance(done.measure, Cosine) and done.cost == (1.0, 0)
    assert done.conclusion().startswith("Cosine is fine here")
    assert done.comparison.difference.low <= 0


def test_the_verdict_goes_by_the_level_that_was_asked_for():
    documents, queries, gains = planted()
    done = choose(Index(documents), queries, gains, measures=["dot"], repeats=1, level=0.999999)
    assert done.comparison.verdict() == "better"
    assert done.comparison.adjusted > 1e-6  # ten thousand sign flips show no less than 1e-4
    assert done.as_dict()["comparison"]["verdict"] == "no difference shown" and not done.recommended


def test_what_the_map_was_fitted_on_is_in_the_decision():
    documents, queries, gains = planted()
    own = Pairs(queries[60:], documents[60:120], np.arange(60, 120))
    facts = [choose(Index(documents), queries[:60], gains[:60], own=one, measures=["dot"], repeats=1).facts
             for one in (own, own.take(np.arange(60) != 7), None)]
    assert len({one["own_pairs_sha256"] for one in facts}) == 3 and facts[2]["own_pairs_sha256"] is None
    known = [choose_known(own, rows, measures=["dot"], folds=2).facts["searched_sha256"]
             for rows in (documents, documents[:-1], None)]
    assert len(set(known)) == 3 and known[2] is None


def test_a_correction_for_hubs_costs_its_copy_of_the_rows_too():
    rows = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    assert choosing._cost(Index(rows), rows[:5], make_measure("csls"))[1].memory == 50 * 4 * (7 + 6)


def test_judgements_that_do_not_fit_are_refused():
    documents, queries, gains = planted()
    with pytest.raises(InputError, match="document 999 for query 3"):
        choose(Index(documents), queries, [*gains[:3], {999: 1.0}, *gains[4:]])
    with pytest.raises(InputError, match="120, one for each query"):
        choose(Index(documents), queries, gains[:-1])


def test_with_shuffled_judgements_nothing_is_recommended():
    # If a fold saw its own judgements the map would fit them, and the procedure would win.
    documents, queries, gains = planted()
    wins = 0
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(gains))
        done = choose(Index(documents), queries, [gains[i] for i in order], measures=["dot"], repeats=1, seed=seed)
        wins += done.recommended
    assert wins <= 1


def test_no_fold_is_fitted_on_a_document_of_its_own_queries_in_inner_folds_too(monkeypatch):
    documents, queries, gains = planted()
    own = Pairs(queries[:40], documents[:40], np.arange(40))
    fits, calls = [], []
    real, real_fit = maps.statistics, choosing.fit_judged

    def noted(kinds, q, d):
        fits.append([set(one.owners.tolist()) for one in kinds])
        return real(kinds, q, d)

    def called(q, d, g, *rest, **named):
        fits.clear()
        out = real_fit(q, d, g, *rest, **named)
        calls.append((g, named["withheld"], [list(map(set, one)) for one in fits]))
        return out

    monkeypatch.setattr(maps, "statistics", noted)
    monkeypatch.setattr(choosing, "fit_judged", called)
    choose(Index(documents), queries, gains, own=own, measures=["dot"], repeats=1, folds=4, seed=3)
    labels = group_queries(queries, gains, 4).labels
    fold = folds_of(labels, 4, seed=3)
    assert len(calls) == 5  # four outer folds and the whole
    for f, (_, withheld, made) in enumerate(calls[:4]):
        held = np.flatnonzero(fold == f)
        train = np.flatnonzero(fold != f)
        assert set(withheld) == {row for q in held for row in gains[q]}
        inner = folds_of(labels[train], len(made) - 1, seed=3)
        for g, kinds in enumerate(made[:-1]):
            away = [*held.tolist(), *train[inner == g].tolist()]
            for owners in kinds:
                assert naive.leaks(owners, away, gains) == set()
        for owners in made[-1]:
            assert naive.leaks(owners, held.tolist(), gains) == set()


def test_a_choice_is_the_same_twice():
    documents, queries, gains = planted()
    a, b = (choose(Index(documents), queries, gains, measures=["dot"], repeats=2, seed=5) for _ in range(2))
    one, two = a.as_dict(), b.as_dict()
    for facts in (one, two):  # times are the machine's
        facts.pop("cost")
        facts.pop("costs")
    assert one == two and np.array_equal(a.measure.matrix, b.measure.matrix)


def test_measures_that_rank_alike_are_told_and_not_chosen_among():
    documents, queries, gains = planted()
    unit = documents / np.linalg.norm(documents, axis=1, keepdims=True)
    done = choose(Index(unit), queries, gains, measures=["angular", "dot", "euclidean", "poincare"], repeats=1)
    assert done.equivalent == {"angular": "cosine", "dot": "cosine", "euclidean": "cosine"}
    assert list(done.left_out) == ["poincare"]


def test_where_no_map_can_be_fitted_the_others_are_chosen_among_and_it_is_told():
    documents, queries, _ = planted(noise=np.full(12, 0.5))
    # Fifteen pairs of the same six documents: every fold's queries have them all.
    gains = [{a: 1.0, b: 1.0} for a, b in itertools.combinations(range(6), 2)] * 3
    done = choose(Index(documents), queries[:45], gains, measures=["dot"], repeats=1)
    assert "relevance map" not in done.means and "relevance map" not in done.picks
    assert "nothing is left to fit on" in done.left_out["relevance map"]
    assert sum(done.picks.values()) == done.facts["folds"]


def test_known_items_choose_without_judgements():
    documents, queries, _ = planted(n=200, queries=200)
    done = choose_known(Pairs(queries, documents, np.arange(200)), measures=["dot"])
    assert done.name == "relevance map" and done.metric == "mrr@10"
    there = choose_known(Pairs(queries, documents, np.arange(200)), documents + 1, measures=["dot"])
    assert there.picks == done.picks and there.comparison == done.comparison
    assert np.array_equal(there.measure.matrix, done.measure.matrix)
    assert not np.allclose(there.measure.center, done.measure.center)
    assert done.cost.memory == 4 * 200 * 12
    more = choose_known(Pairs(queries, documents, np.arange(200)), np.tile(documents, (3, 1)), measures=["dot"])
    assert more.cost.memory == 3 * done.cost.memory


def test_known_items_do_not_choose_what_one_to_one_matching_flatters():
    documents, queries, _ = planted(n=60, queries=60)
    done = choose_known(Pairs(queries, documents, np.arange(60)))
    assert set(done.left_out) == {"csls", "local_scaling"} and "one to one" in done.left_out["csls"]
    assert not {"csls", "local_scaling"} & set(done.means)


# -- groups ------------------------------------------------------------------------------------------------------------


def test_queries_that_share_documents_or_words_are_held_out_together():
    queries = np.concatenate([np.eye(6), np.eye(6)[:1] * 3])
    gains = [{0: 1}, {1: 1}, {1: 1, 2: 1}, {2: 1}, {5: 0, 6: 1}, {5: 1}, {9: 1}]
    groups = group_queries(queries, gains, folds=2)
    assert groups.labels.tolist() == [0, 1, 1, 1, 4, 5, 0]
    assert (groups.number, groups.largest, groups.share) == (4, 3, 0.0)


def test_where_judgements_chain_all_queries_only_those_that_share_much_go_together():
    gains = [{i: 1, i + 1: 1, 100 + i: 1, 200 + i: 1} for i in range(20)]
    gains[7] = dict(gains[6])
    groups = group_queries(np.eye(20), gains, folds=5)
    assert groups.share > 0 and groups.largest <= 4
    assert groups.labels[6] == groups.labels[7]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 12), st.sampled_from([0.0, 1.0]), max_size=4), min_size=1, max_size=9),
       st.integers(2, 4))
def test_groups_are_what_is_reached_by_sharing(gains, folds):
    found = group_queries(np.eye(len(gains)), gains, folds)
    assert found.labels.tolist() == naive.groups(gains, found.share)
    sizes = np.unique(found.labels, return_counts=True)[1]
    assert (found.number, found.largest) == (sizes.size, sizes.max())


# -- purposes ----------------------------------------------------------------------------------------------------------


def test_every_purpose_starts_with_a_known_measure():
    for name in PURPOSES:
        found = advise(name.replace("-", " ").title())
        assert measure_class(found.measure) and all(found)


@pytest.mark.parametrize(("wrong", "words"), [
    (lambda: advise("speeed"), "learned-relevance, speed, got 'speeed'; did you mean speed?"),
    (lambda: choose(Index(np.eye(12)), np.eye(12)[:3], [{0: 1}] * 3),
     "'queries' must be at least 10 that have a relevant document, got 3; fewer choose by chance"),
    (lambda: choose_known(Pairs(np.eye(4), np.eye(4), np.arange(4))), "choose_known: 'queries' must be at least 10"),
    (lambda: choose(Index(np.eye(12)), np.eye(12), [{0: 1}] * 12), "all 12 queries have the same relevant documents"),
    (lambda: choose(Index(np.eye(12)), np.eye(12), [{0: 1}] * 12, folds=1), "'folds' must be an integer from 2"),
])
def test_errors_say_what_is_wrong(wrong, words):
    with pytest.raises(InputError, match=re.escape(words)):
        wrong()


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def space(tmp_path):
    documents, queries, gains = planted()
    Index(documents.astype(np.float32), ids=[f"d{i}" for i in range(240)]).save(tmp_path / "index")
    np.save(tmp_path / "q.npy", queries.astype(np.float32))
    (tmp_path / "ids.txt").write_text("\n".join(f"q{i}" for i in range(120)))
    (tmp_path / "qrels.txt").write_text("".join(f"q{q} 0 d{d} {g:g}\n" for q, one in enumerate(gains)
                                                for d, g in one.items()))
    return tmp_path


def options(space):
    return ["--queries", str(space / "q.npy"), "--query-ids", str(space / "ids.txt"), "--qrels",
            str(space / "qrels.txt")]


def test_fit_writes_a_measure_that_search_takes(space, capsys):
    assert main(["fit", str(space / "index"), *options(space), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["helps"] and said["written"] == str(space / "index.measure") and not said["applied"]
    assert said["settings"][0]["shrinkage"] is None and said["gain"]["low"] > 0
    query = ",".join("1" if i == 3 else "0" for i in range(12))
    assert main(["search", str(space / "index"), query, "--measure", said["written"], "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["queries"][0]["answers"][0]
    found = answer["hits"]
    assert answer["measure"] == said["written"]
    index = Index.load(space / "index").using(load_measure(said["written"]))
    assert [hit["id"] for hit in found] == index.search(np.eye(12)[3]).ids[0].tolist()


def test_fit_holds_out_queries_that_nearly_repeat_each_other_together(space, capsys, monkeypatch):
    q = np.load(space / "q.npy")
    q[7] = q[3] * (1 + 1e-6)
    np.save(space / "q.npy", q)
    taken = {}

    def spy(*arguments, **named):
        taken.update(named)
        return fit_judged(*arguments, **named)

    monkeypatch.setattr("kiyas.cli.fitting.fit_judged", spy)
    assert main(["fit", str(space / "index"), *options(space), "--json"]) == 0
    assert taken["groups"][7] == taken["groups"][3] and len(set(taken["groups"])) > 5


def test_fit_says_what_was_gained_and_can_change_the_index(space, capsys):
    assert main(["fit", str(space / "index"), *options(space), "--apply"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The map gains +" in said and "interval" in said and "now searches by it" in said
    assert isinstance(Index.load(space / "index").measure, LinearMap)


def test_choose_writes_its_decision_and_its_measure(space, capsys):
    out = space / "decision"
    assert main(["choose", str(space / "index"), *options(space), "--repeats", "1", "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["recommended"] == "relevance map" and said["seed"] == 0 and said["kiyas"]
    made = json.loads((out / "measure.json").read_text())["made"]
    assert made["sha256"] == said["sha256"] and made["conclusion"] == said["conclusion"]
    assert isinstance(load_measure(out), LinearMap)


def test_choose_prints_a_table_and_a_sentence(space, capsys):
    assert main(["choose", str(space / "index"), *options(space), "--repeats", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "taken in outer folds" in said and "Use relevance map" in said and "as long as cosine's" in said


def test_choose_by_purpose_needs_no_index(capsys):
    assert main(["choose", "--purpose", "long-texts"]) == 0
    assert "Start with cosine" in capsys.readouterr().out
    assert main(["choose", "--purpose", "hierarchy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measure"] == "poincare"


@pytest.mark.parametrize(("arguments", "words"), [
    (["choose"], "give an index DIR to measure on, or --purpose"),
    (["fit", "INDEX"], "holds vectors, and pairs are made from texts: give --queries and --qrels"),
    (["fit", "INDEX", "--queries", "q.npy"], "--queries and --qrels go together"),
    (["choose", "INDEX", "-o", "INDEX"], "exists and is no kiyas measure; give another directory"),
])
def test_commands_say_what_is_wrong(space, capsys, arguments, words):
    filled = [str(space / "index") if one == "INDEX" else one for one in arguments]
    assert main(filled) == 1
    assert words in capsys.readouterr().err
