"""Fitted measures: the formula, the choice of strength, what is held out, closed forms, files."""

from __future__ import annotations

import json
import re

import naive_fit as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import kiyas
from kiyas import Index
from kiyas.encode import CallableEncoder
from kiyas.errors import FileError, InputError, MeasureError
from kiyas.fit import (
    SHRINKAGES,
    Pairs,
    bandwidths,
    critical_dimensions,
    fit_judged,
    fit_own,
    judged_pairs,
    load_measure,
    maps,
    norm_calibrated,
    relevance_map,
    save_measure,
    text_pairs,
    weights,
    whitening,
)
from kiyas.fit.maps import best_rows
from kiyas.fit.selection import choose_across, folds_of, weakest_near_best
from kiyas.measures import Cosine, Exponential, LinearMap, Manhattan, TemperedCosine
from kiyas.metrics import rank_rows, ranks_in_scores

# Half of the directions are noise between a question and its answer: a map that damps them is right, and known.
NOISY = np.array([2.5] * 6 + [0.15] * 6)


def planted(n=240, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    documents = rng.normal(size=(n, NOISY.size)) + shift
    return documents + rng.normal(size=documents.shape) * NOISY, documents


def own_pairs(n=240, seed=0):
    queries, documents = planted(n, seed)
    return Pairs(queries, documents, np.arange(n))


# -- the formula ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shrinkage", [1.0, 0.9, 0.3])
@pytest.mark.parametrize("kinds", [1, 2])
def test_a_relevance_map_scores_as_its_formula(shrinkage, kinds):
    rng = np.random.default_rng(1)
    sets = [own_pairs(30, seed) for seed in range(kinds)]
    queries, documents = rng.normal(size=(9, 12)) + 1, rng.normal(size=(20, 12)) * 3
    m = relevance_map(sets, queries, documents, shrinkage)
    twin = [(one.queries.tolist(), one.documents.tolist()) for one in sets]
    for a, b in zip(queries[:4], documents[:4], strict=True):
        expected = naive.score(twin, queries.tolist(), documents.tolist(), shrinkage, a.tolist(), b.tolist())
        assert abs(float(m(a, b)) - expected) < 2e-6  # mapped rows are float32


def test_what_chooses_the_strength_ranks_as_the_measure_does():
    pairs = own_pairs(80)
    stats = maps.statistics([pairs], pairs.queries, pairs.documents)
    Q, D = (maps.unit_rows(x) for x in (pairs.queries, pairs.documents))
    for shrinkage, scores in zip(SHRINKAGES, stats.scores(Q, D, SHRINKAGES), strict=True):
        np.testing.assert_allclose(scores, stats.map(shrinkage).pairwise(Q, D), atol=3e-6)


def test_a_zero_document_is_like_nothing_in_both():
    pairs = own_pairs(40)
    stats = maps.statistics([pairs], pairs.queries, pairs.documents)
    zero = np.zeros((1, 12))
    assert next(stats.scores(maps.unit_rows(pairs.queries[:3]), zero, [0.8])).tolist() == [[0.0]] * 3
    assert stats.map(0.8).pairwise(pairs.queries[:3], zero).tolist() == [[0.0]] * 3


def test_a_relevance_map_is_cosine_to_search_to_export_and_to_keep(tmp_path):
    queries, documents = planted()
    m = relevance_map(own_pairs(seed=3), queries, documents)
    assert isinstance(m, LinearMap) and isinstance(m.base, Cosine)
    index = Index(documents.astype(np.float32), measure=m)
    hits = index.search(queries[:7].astype(np.float32), k=5)
    reduced = kiyas.reduce(documents.astype(np.float32), m)
    assert reduced.target == "inner"
    engine = np.argsort(-(reduced.queries(queries[:7].astype(np.float32)) @ reduced.items.T), axis=1)[:, :5]
    assert np.array_equal(hits.ids, engine)
    save_measure(m, tmp_path / "m", {"seed": 0})
    again = index.using(load_measure(tmp_path / "m")).search(queries[:7].astype(np.float32), k=5)
    assert np.array_equal(again.scores, hits.scores)


# -- choosing the strength --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 8)), elements=st.integers(0, 10)),
       st.sampled_from([0.0, 1.0, 2.0]))
def test_the_weakest_near_the_best_is_what_loops_find(values, errors):
    # Means that are equal but for rounding may make another the best; integers have none.
    assert weakest_near_best(values, errors) == naive.weakest_near_best(values.tolist(), errors)


def test_each_fold_is_judged_by_a_choice_that_it_had_no_part_in():
    rng = np.random.default_rng(0)
    values, fold = rng.normal(size=(4, 30)), np.arange(30) % 3
    choice = choose_across(values, fold)
    for f in range(3):
        changed = values.copy()
        changed[:, fold == f] = rng.normal(size=(4, 10)) * 100
        other = choose_across(changed, fold)
        row = weakest_near_best(values[:, fold != f])
        assert np.array_equal(choice.honest[fold == f], values[row, fold == f])
        assert np.array_equal(other.honest[fold == f], changed[row, fold == f])


def test_folds_keep_groups_together_and_are_even():
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 40, size=150)
    fold = folds_of(groups, 5, seed=1)
    assert all(len(set(fold[groups == g].tolist())) == 1 for g in set(groups.tolist()))
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= np.bincount(groups).max()
    assert np.array_equal(fold, folds_of(groups, 5, seed=1))
    assert not np.array_equal(fold, folds_of(groups, 5, seed=2))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (3, 7), elements=st.integers(0, 4)), st.integers(1, 7))
def test_the_best_rows_are_those_of_a_full_sort(scores, k):
    assert np.array_equal(best_rows(scores, k), rank_rows(scores, k))


# -- from one's own pairs ---------------------------------------------------------------------------------------------


def test_a_right_map_is_found_and_what_it_gains_holds_on_new_questions():
    queries, documents = planted(400)
    fitted = fit_own(Pairs(queries[:300], documents[:300], np.arange(300)), documents)
    assert fitted.helps and fitted.gain.low > 0 and fitted.shrinkage in SHRINKAGES

    def found(measure):
        ranks = ranks_in_scores(measure.pairwise(queries[300:], documents), np.arange(300, 400))
        return float((1 / ranks).mean())

    assert found(fitted.measure) > found(Cosine()) + 0.05


def test_where_nothing_is_to_be_gained_the_measure_is_cosine():
    rng = np.random.default_rng(0)
    documents = rng.normal(size=(200, 12))
    even = Pairs(documents + rng.normal(size=(200, 12)), documents, np.arange(200))
    fitted = fit_own(even, documents)
    assert isinstance(fitted.measure, Cosine) and fitted.shrinkage is None and not fitted.helps
    assert "cosine it is" in fitted.conclusion()
    assert fitted.settings[None] == pytest.approx(max(fitted.settings.values()), abs=0.03)


def test_questions_and_answers_that_differ_by_one_offset_are_helped_by_centring():
    queries, documents = planted(200, shift=0.0)
    shifted = Pairs(queries + 3, documents - 3, np.arange(200))
    fitted = fit_own(shifted, documents - 3)
    assert fitted.settings[1.0] > fitted.settings[None] + 0.05


def test_a_fit_is_the_same_twice_and_another_with_another_seed():
    pairs = own_pairs()
    one, two, other = (fit_own(pairs, pairs.documents, seed=s) for s in (3, 3, 4))
    assert one.settings == two.settings and one.gain == two.gain
    assert np.array_equal(one.measure.matrix, two.measure.matrix)
    assert one.settings != other.settings
    assert json.loads(json.dumps(one.as_dict()))["gain"]["low"] == one.gain.low


# -- with judgements: nothing held out is fitted on -------------------------------------------------------------------


def judged(n=60, seed=0):
    queries, documents = planted(240, seed)
    # Each query has its own document and one that the next query has as well.
    gains = [{i: 2.0, (i + 1) % n: 1.0, 200: 0.0} for i in range(n)]
    return queries[:n], documents, gains


class Watch:
    """Stands in for `statistics` and notes which documents each fit was made of."""

    def __init__(self, monkeypatch):
        self.fits = []
        real = maps.statistics

        def noted(kinds, queries, documents):
            self.fits.append([set(one.owners.tolist()) for one in kinds])
            return real(kinds, queries, documents)

        monkeypatch.setattr(maps, "statistics", noted)


def test_no_document_that_is_relevant_to_a_held_out_query_is_fitted_on(monkeypatch):
    queries, documents, gains = judged()
    watch = Watch(monkeypatch)
    fit_judged(queries, documents, gains, own_pairs(), withheld=[7, 8], folds=4, seed=5)
    fold = folds_of(np.arange(60), 4, seed=5)
    assert len(watch.fits) == 5  # the last is that of all queries, after the strength was chosen
    for f, kinds in enumerate(watch.fits[:4]):
        held = np.flatnonzero(fold == f).tolist()
        for owners in kinds:
            assert naive.leaks(owners, held, gains) == set()
            assert not owners & {7, 8}
            assert len(owners) > 20


def test_the_watch_sees_a_leak_that_is_planted(monkeypatch):
    queries, documents, gains = judged()
    watch = Watch(monkeypatch)
    monkeypatch.setattr(Pairs, "without", lambda self, withheld: self)
    fit_judged(queries, documents, gains, own_pairs(), folds=4, seed=5)
    held = np.flatnonzero(folds_of(np.arange(60), 4, seed=5) == 0).tolist()
    assert naive.leaks(watch.fits[0][1], held, gains)


def test_with_random_judgements_fitting_gains_nothing():
    rng = np.random.default_rng(8)
    documents, queries = rng.normal(size=(300, 12)), rng.normal(size=(80, 12))
    gains = [{int(row): 1.0 for row in rng.choice(300, 3, replace=False)} for _ in range(80)]
    fitted = fit_judged(queries, documents, gains, folds=4)
    # A leak would show: a map fitted on the very pairs that score it finds them.
    assert fitted.settings[0.7] < fitted.settings[None] + 0.03
    leaked = relevance_map(judged_pairs(queries, documents, gains), queries, documents, 0.05)
    assert isinstance(leaked, LinearMap)


def test_a_judged_fit_finds_the_right_map_and_withheld_rows_are_in_no_pair(monkeypatch):
    queries, documents, gains = judged()
    watch = Watch(monkeypatch)
    fitted = fit_judged(queries, documents, gains, withheld=range(10), folds=3)
    assert fitted.helps and fitted.metric == "ndcg@10"
    assert len(watch.fits) == 4  # three folds and all
    assert not watch.fits[-1][0] & set(range(10))


def test_where_no_judged_pair_is_left_the_own_pairs_do(monkeypatch):
    queries, documents, _ = judged()
    watch = Watch(monkeypatch)
    fit_judged(queries[:9], documents, [{0: 1.0}] * 9, own_pairs(), folds=3)
    assert [len(kinds) for kinds in watch.fits[:3]] == [1, 1, 1]
    assert all(0 not in owners for kinds in watch.fits[:3] for owners in kinds)
    assert own_pairs().without(range(240)) is None and len(own_pairs().without([3])) == 239


def test_groups_of_queries_are_held_out_together(monkeypatch):
    queries, documents, gains = judged()
    groups = np.arange(60) // 2
    watch = Watch(monkeypatch)
    fit_judged(queries, documents, gains, groups=groups, folds=3, seed=2)
    fold = folds_of(groups, 3, seed=2)
    for f, kinds in enumerate(watch.fits[:3]):
        assert naive.leaks(kinds[0], np.flatnonzero(fold == f).tolist(), gains) == set()


def test_of_a_document_in_parts_the_best_part_is_fitted_on_and_counts(monkeypatch):
    queries, documents, gains = judged()
    rng = np.random.default_rng(1)
    # Every document in three rows, of which the middle one is the document and the others are noise.
    rows = np.stack([rng.normal(size=documents.shape), documents, rng.normal(size=documents.shape)], axis=1)
    parts = np.repeat(np.arange(240), 3)
    made = judged_pairs(queries, rows.reshape(-1, 12), gains, parts)
    whole = judged_pairs(queries, documents, gains)
    assert np.array_equal(made.owners, whole.owners)
    cosines = (rows * queries[:1, None, :] / np.sqrt((rows**2).sum(axis=2, keepdims=True))).sum(axis=2)
    best = rows[made.owners[0], cosines[made.owners[0]].argmax()]
    assert np.array_equal(made.documents[0], best)
    watch = Watch(monkeypatch)
    fit_judged(queries, rows.reshape(-1, 12), gains, parts=parts, folds=3, seed=1)
    fold = folds_of(np.arange(60), 3, seed=1)
    for f in range(3):
        assert naive.leaks(watch.fits[f][0], np.flatnonzero(fold == f).tolist(), gains) == set()


def test_parts_of_one_row_each_change_nothing():
    queries, documents, gains = judged()
    one = fit_judged(queries, documents, gains, folds=3)
    assert fit_judged(queries, documents, gains, parts=np.arange(240), folds=3).settings == one.settings
    spread = [{2 * d: g for d, g in row.items()} for row in gains]  # documents of odd number have no row
    assert fit_judged(queries, documents, spread, parts=2 * np.arange(240), folds=3).settings == one.settings


# -- pairs from texts -------------------------------------------------------------------------------------------------


def letters():
    names = "abcdefghijklmnopqrstuvwxyz"
    return CallableEncoder(lambda texts: [[t.lower().count(c) + 0.01 for c in names] for t in texts], "letters", "1",
                           dims=26)


def test_pairs_of_texts_are_first_sentences_and_the_rest():
    texts = ["Bread needs flour and water. Mix them, wait for an hour, bake until brown, and let cool.",
             "Too short.",
             "Rivers carry water to seas. They begin in the mountains and end where the land is flat.",
             "rivers carry water to seas. They begin in the mountains, and end where the land is flat!"]
    made = text_pairs(texts, letters(), owners=[5, 6, 7, 8])
    assert made.pairs.owners.tolist() == [5, 7]
    assert (made.found, made.short, made.repeated) == (2, 1, 1)
    vectors = letters().encode(["Bread needs flour and water.", texts[0].partition(". ")[2]])
    assert np.array_equal(made.pairs.queries[0], vectors[0]) and np.array_equal(made.pairs.documents[0], vectors[1])


def test_no_more_pairs_than_asked_are_drawn_the_same_way_twice():
    texts = [f"Number {'abcdefghij'[i] * (i + 1)} is the first sentence. The rest has {'klmnopqrst'[i] * 3} words and "
             f"says {'uvwxyzabcd'[i] * 4} of it." for i in range(10)]
    one, two = (text_pairs(texts, letters(), most=4, seed=1) for _ in range(2))
    assert len(one.pairs) == 4 and one.found == 10
    assert np.array_equal(one.pairs.owners, two.pairs.owners)


# -- closed forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.0, 0.25, 0.5])
def test_partial_whitening_leaves_that_power_of_the_spread(exponent):
    rows = np.random.default_rng(0).normal(size=(500, 5)) * [4, 2, 1, 1, 1]
    unit = maps.unit_rows(rows)
    before = np.linalg.eigvalsh(np.cov(unit.T, bias=True))
    mapped = whitening(rows, exponent, shrinkage=0.0).transform(rows).astype(np.float64)
    after = np.linalg.eigvalsh(np.cov(mapped.T, bias=True))
    np.testing.assert_allclose(after, np.sort(before ** (1 - 2 * exponent)), rtol=1e-4)
    np.testing.assert_allclose(mapped.mean(axis=0), 0, atol=1e-5)


def test_bandwidths_are_mean_differences_of_pairs():
    pairs = own_pairs(50)
    m = bandwidths(pairs, trim=0.1)
    assert isinstance(m, Exponential) and m.trim == 0.1
    expected = [sum(abs(a - b) for a, b in zip(q, d, strict=True)) / 50
                for q, d in zip(pairs.queries.T.tolist(), pairs.documents.T.tolist(), strict=True)]
    np.testing.assert_allclose(m.bandwidth, expected, rtol=1e-12)


def test_weights_and_critical_dimensions_find_the_dimensions_that_tell_pairs_apart():
    pairs = own_pairs()
    assert weights(pairs).weights[:6].max() < weights(pairs).weights[6:].min()
    m = critical_dimensions(pairs, 4, 0.5, Exponential())
    assert set(m.critical) <= set(range(6, 12)) and m.tiers == 0.5
    assert isinstance(weights(pairs), Manhattan)


@pytest.mark.parametrize("measure", ["tempered_cosine", "ndd"])
def test_length_is_left_out_where_it_says_nothing(measure):
    rng = np.random.default_rng(0)
    documents = rng.normal(size=(120, 12))
    queries = documents + rng.normal(size=(120, 12)) * 0.8
    pairs = Pairs(queries, documents * np.exp(rng.normal(size=(120, 1)) * 1.5), np.arange(120))
    assert isinstance(norm_calibrated(pairs, measure), Cosine)


@pytest.mark.parametrize("measure", ["tempered_cosine", "ndd"])
def test_a_zero_row_is_like_nothing_and_stops_nothing(measure):
    rng = np.random.default_rng(0)
    documents = rng.normal(size=(40, 6))
    documents[3] = 0
    assert norm_calibrated(Pairs(documents + 0.3 * rng.normal(size=(40, 6)), documents, np.arange(40)), measure).fitted


def test_length_counts_where_it_tells_answers_apart():
    rng = np.random.default_rng(1)
    D = rng.normal(size=(150, 4))
    D *= 1 / np.sqrt((D * D).sum(axis=1, keepdims=True)) * np.exp(rng.normal(size=(150, 1)) * 2)
    strong = np.argsort(-np.sqrt((D * D).sum(axis=1)))[:30]
    # Questions are made for long documents only, and vaguely, while their rivals are the short ones.
    Q = D[strong] + rng.normal(size=(30, 4)) * np.sqrt((D[strong] ** 2).sum(axis=1, keepdims=True)) * 0.4
    rivals = np.delete(np.arange(150), strong)
    vague = np.full((120, 4), 1e-9)
    pairs = Pairs(np.concatenate([Q, vague]), np.concatenate([D[strong], D[rivals]]), np.arange(150))
    m = norm_calibrated(pairs, "tempered_cosine")
    assert isinstance(m, TemperedCosine) and m.beta < 1


# -- files and words --------------------------------------------------------------------------------------------------


def test_a_saved_measure_says_when_it_was_altered(tmp_path):
    m = relevance_map(own_pairs(30), *planted(30))
    save_measure(m, tmp_path / "m")
    save_measure(m, tmp_path / "m")  # again, in its place
    data = bytearray((tmp_path / "m" / "measure.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "m" / "measure.safetensors").write_bytes(bytes(data))
    with pytest.raises(FileError, match="is altered, its contents do not match the manifest"):
        load_measure(tmp_path / "m")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("mine")
    with pytest.raises(FileError, match="exists and is no kiyas measure"):
        save_measure(m, tmp_path / "other")
    with pytest.raises(FileError, match=r"is no kiyas measure, it has no measure\.json"):
        load_measure(tmp_path / "other")


@pytest.mark.parametrize(("wrong", "words"), [
    (lambda p: Pairs(p.queries, p.documents[:3], p.owners), "Pairs: 'documents' must be of 240 rows, one for each"),
    (lambda p: Pairs(p.queries, p.documents, p.owners[:2]), "Pairs: 'owners' must be 240 row numbers"),
    (lambda p: fit_judged(p.queries[:9], p.documents, [{0: 1.0}] * 9), "fit_judged: every pair is of a document that"),
    (lambda p: judged_pairs(p.queries, p.documents, [{}] * 240), "no query has a relevant document"),
    (lambda p: judged_pairs(p.queries, p.documents, [{}]), "'gains' must be 240, one for each query, got 1"),
    (lambda p: relevance_map(p, p.queries, p.documents, 0.0), "'shrinkage' must be a number above 0 and at most 1"),
    (lambda p: relevance_map([], p.queries, p.documents), "'pairs' must be one kind or more"),
    (lambda p: relevance_map(Pairs(p.queries, p.queries, p.owners), p.queries, p.documents), "pairs are equal"),
    (lambda p: fit_own(p, p.documents, folds=1), "'folds' must be an integer from 2 to 240, got 1"),
    (lambda p: fit_judged(p.queries, p.documents, [{}]), "fit_judged: 'gains' must be 240"),
    (lambda p: fit_judged(p.queries, p.documents[:, :3], [{}] * 240), "'documents' must be of 12 dimensions, got 3"),
    (lambda p: folds_of([0, 0, 1], 3, 0), "2 groups of queries cannot make 3 folds"),
    (lambda p: weakest_near_best([1.0]), "must be finite, of shape (settings, queries)"),
    (lambda p: whitening(np.eye(4)[:3], shrinkage=0.0), "dead dimensions would be blown up without end"),
    (lambda p: bandwidths(Pairs(p.queries, p.queries, p.owners)), "there is no scale to learn"),
    (lambda p: text_pairs(["Too short.", "This too."], letters()), "only 0 of 2 texts can be split"),
])
def test_errors_say_what_is_wrong(wrong, words):
    with pytest.raises(InputError, match=re.escape(words)):
        wrong(own_pairs())


def test_a_measure_that_cannot_be_calibrated_is_refused():
    with pytest.raises(MeasureError, match="'measure' must be 'tempered_cosine' or 'ndd', got 'dot'"):
        norm_calibrated(own_pairs(), "dot")
