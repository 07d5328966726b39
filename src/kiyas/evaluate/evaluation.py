"""All measures on one collection: metrics with intervals, each compared with a baseline, rank-equivalents found first.

`evaluate_measures` ranks a collection under each measure and hands the rankings to `evaluate_rankings`, which also
takes rankings of other systems (`kiyas.evaluate.read_run`). See docs/evaluating.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kiyas import __version__
from kiyas.encode.collection import Collection
from kiyas.errors import InputError, KiyasError, message
from kiyas.evaluate.contenders import LEFT_OUT, UNIT_NORM_NOTE, Contender, contenders, have_unit_norm
from kiyas.evaluate.rankings import Ranking, rank_alike, rank_collection
from kiyas.evaluate.significance import SAMPLES, Comparison, compare_all
from kiyas.evaluate.tables import Table
from kiyas.measures.base import Measure
from kiyas.metrics import Interval, bootstrap_intervals, expected_over_ties, judge
from kiyas.metrics.ranking import measure_ranking, name_and_cut
from kiyas.search import Index

METRICS = ("ndcg@10", "map@1000", "mrr@10", "recall@100", "precision@10", "success@1")
KNOWN_ITEM_METRICS = ("mrr@10", "success@1", "success@10", "recall@100")
# How deep rankings go for a metric without a cut-off.
_UNCUT = 1000

Progress = Callable[[int, int], None]
Measures = Iterable[str | Measure | Contender] | Mapping[str, str | Measure]


@dataclass(frozen=True, eq=False)
class Result:
    """What one measure, or one system, reached.

    ``values``: {metric: (queries,) float64} of the judged queries; ``means``: their mean and bootstrap interval;
    ``expected``: the mean had ties been broken by lot (equal to the mean where nothing ties; empty for rankings
    without scores); ``tied``: share of queries with a tie among the first ten. ``comparison``: of the main metric
    with the baseline's, None for the baseline and for what ranks as it does. ``equivalent``: an earlier one that ranks
    alike. ``seconds``: of searching, all queries.
    """

    name: str
    note: str
    values: dict[str, np.ndarray]
    means: dict[str, Interval]
    expected: dict[str, float]
    tied: float
    comparison: Comparison | None
    equivalent: str | None
    seconds: float | None

    @property
    def verdict(self) -> str:
        """In a word or two; the name of the measure that it ranks as, where there is one."""
        if self.comparison is not None:
            return self.comparison.verdict()
        return "baseline" if self.equivalent is None else f"ranks as {self.equivalent}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: means, not the value of every query."""
        return {"measure": self.name, "note": self.note,
                "metrics": {name: {**interval._asdict(), "expected_over_ties": self.expected.get(name)}
                            for name, interval in self.means.items()},
                "queries_with_ties": self.tied, "verdict": self.verdict, "ranks_as": self.equivalent,
                "comparison": None if self.comparison is None else self.comparison.as_dict(), "seconds": self.seconds}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results in the order given, the baseline first; ``main`` is the metric that is tested.

    ``queries`` were judged, ``unjudged`` had no relevant document and are left out. ``left_out``: measures that could
    not run, and why. ``notes``: what a reader has to know. ``facts``: what is needed to repeat it.
    """

    results: list[Result]
    main: str
    queries: int
    unjudged: int
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def baseline(self) -> Result:
        """What the others are compared with."""
        return self.results[0]

    @property
    def tested(self) -> list[Result]:
        """Results with a test of their own: neither the baseline nor equivalent to an earlier one."""
        return [r for r in self.results if r.comparison is not None and r.equivalent is None]

    @property
    def family(self) -> str:
        """Over how many comparisons p-values are corrected, in words."""
        return "one comparison" if len(self.tested) == 1 else f"{len(self.tested):,} comparisons"

    def conclusion(self) -> str:
        """What the table says about the baseline, in words."""
        base, where = self.baseline, f"on {self.queries:,} queries"
        better = sorted((r for r in self.tested if r.verdict == "better"), key=lambda r: -r.means[self.main].mean)
        if not self.tested:
            return f"Nothing was compared: everything ranks as {base.name} does."
        if not better:
            nearest = max(self.tested, key=lambda r: r.means[self.main].mean)
            assert nearest.comparison is not None
            d = nearest.comparison.difference
            none = "the other is not" if len(self.tested) == 1 else f"none of {len(self.tested)} others is"
            return (f"{base.name} is fine here: {where} {none} shown to be better in {self.main} (the highest, "
                    f"{nearest.name}: {d.mean:+.4f}, interval {d.low:+.4f} to {d.high:+.4f}). A difference from "
                    f"{nearest.name} smaller than about {nearest.comparison.detectable:.3f} would rarely be seen with "
                    "so many queries.")
        best = better[0]
        assert best.comparison is not None
        d = best.comparison.difference
        names = ", ".join(r.name for r in better)
        return (f"{where[0].upper()}{where[1:]} {names} {'is' if len(better) == 1 else 'are'} better than {base.name} "
                f"in {self.main}; most of all {best.name}, {best.means[self.main].mean:.4f} against "
                f"{base.means[self.main].mean:.4f} (difference {d.mean:+.4f}, interval {d.low:+.4f} to {d.high:+.4f}, "
                f"p {best.comparison.adjusted:.2g} after Holm over {self.family}).")

    def table(self) -> Table:
        """All results, for Markdown and CSV: means, the main metric's interval, the comparison with the baseline."""
        base, metrics = self.baseline, list(self.baseline.means)
        with_ties = any(abs(r.means[self.main].mean - r.expected.get(self.main, np.nan)) > 5e-5 for r in self.results)
        columns = ["measure", *metrics, f"{self.main} low", f"{self.main} high",
                   *([f"{self.main} over ties"] if with_ties else []),
                   f"{self.main} − {base.name}", "low", "high", "p", "p (Holm)", "effect", "detectable", "verdict"]
        rows = []
        for r in self.results:
            c = r.comparison
            compared = (None,) * 7 if c is None else (*c.difference, c.p, c.adjusted, c.effect, c.detectable)
            rows.append([r.name, *(r.means[m].mean for m in metrics), *r.means[self.main][1:],
                         *([r.expected.get(self.main)] if with_ties else []), *compared, r.verdict])
        return Table(columns, rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"main": self.main, "queries": self.queries, "unjudged_queries": self.unjudged,
                "conclusion": self.conclusion(), "results": [r.as_dict() for r in self.results],
                "left_out": self.left_out, "notes": self.notes, **self.facts}


def evaluate_measures(collection: Index | Collection, queries: np.ndarray, gains: Sequence[Mapping[Any, float]], *,
                      measures: Measures | None = None, metrics: Iterable[str] = METRICS,
                      baseline: str | Measure = "cosine", excluded: Sequence[Any] | None = None, by: str = "best",
                      samples: int = SAMPLES, seed: int = 0, progress: Progress | None = None) -> Evaluation:
    """Rank the collection under each measure and evaluate the rankings.

    Parameters: ``collection``, an index of vectors or a collection of texts; ``queries`` (m, d) vectors; ``gains``,
    one {document id: gain} for each query (`kiyas.evaluate.match`); ``measures``, the `contenders` unless given (or
    {name: measure}), each fitted on the documents alone; ``metrics`` by name, the first is tested
    (map and mrr without a cut-off are map@1000 and mrr@1000 where there are more documents); ``baseline``, put first;
    ``excluded``, for each query the id of the document that it is itself, or None; ``by``, see `Collection.search`;
    ``samples``, ``seed`` of tests and intervals; ``progress(done, total)`` after each measure.

    A measure that is not defined on these vectors is left out, with the reason. Raises `InputError` for judgements
    that do not fit.

    >>> from kiyas import Index
    >>> rows = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
    >>> done = evaluate_measures(Index(rows), rows + 0.1, [{0: 1}, {1: 1}, {2: 1}], measures=["dot"],
    ...                          metrics=["success@1"])
    >>> [(result.name, float(result.means["success@1"].mean)) for result in done.results]
    [('cosine', 1.0), ('dot', 0.6666666666666666)]
    """
    ids, documents = _ids_and_vectors(collection)
    # Of more documents no ranking holds all; without one cut-off for every measure, depth would decide between them.
    wanted = [name if name_and_cut(name)[1] or len(ids) <= _UNCUT else f"{name}@{_UNCUT}" for name in metrics]
    deepest = _deepest(wanted)
    chosen = named_measures(contenders(documents) if measures is None else measures, baseline)
    extra = 0 if excluded is None else 1
    known = {name: row for row, name in enumerate(ids)}
    rows = []
    for query, one in enumerate(gains):
        strange = [document for document in one if document not in known]
        if strange:
            raise InputError(message("evaluate_measures", "gains", "of documents of the collection",
                                     f"document {strange[0]!r} for query {query}"))
        rows.append({known[document]: gain for document, gain in one.items()})
    own = None if excluded is None else [known.get(name) for name in excluded]
    rankings: dict[str, Ranking] = {}
    seconds: dict[str, float] = {}
    left_out = dict(LEFT_OUT) if measures is None else {}
    for place, (name, spec, _) in enumerate(chosen):
        start = time.perf_counter()
        try:
            # One more than asked: only then is it known whether the last one ties with what follows.
            found = _deep_enough(collection, queries, deepest, 1 + extra, spec, by)
        except KiyasError as error:
            if place == 0:
                raise
            left_out[name] = str(error)
        else:
            seconds[name] = time.perf_counter() - start
            rankings[name] = found if own is None else found.without(own)
        if progress is not None:
            progress(place + 1, len(chosen))
    done = evaluate_rankings(rankings, rows, metrics=wanted, samples=samples, seed=seed,
                             notes={name: note for name, _, note in chosen}, seconds=seconds)
    notes = _notes(documents, queries, done)
    facts = {"documents": len(ids), "dims": int(documents.shape[1]), "samples": samples, "seed": seed,
             "kiyas": __version__, "numpy": np.__version__}
    return Evaluation(done.results, done.main, done.queries, done.unjudged, left_out, notes, facts)


def evaluate_rankings(rankings: Mapping[str, Ranking], gains: Sequence[Mapping[Any, float]], *,
                      metrics: Iterable[str] = METRICS, samples: int = SAMPLES, seed: int = 0,
                      notes: Mapping[str, str] | None = None, seconds: Mapping[str, float] | None = None) -> Evaluation:
    """Metrics of rankings of the same queries, each compared with the first.

    ``rankings``: {name: `Ranking`}; ``gains``: one {document row: gain} for each query. The first metric is tested.
    Rankings that are equal to that of an earlier one (`rank_alike`) are not tested again.
    """
    wanted = list(metrics)
    if not rankings or not wanted:
        raise InputError(message("evaluate_rankings", "rankings", "at least one, with at least one metric", "none"))
    main = wanted[0]
    lengths = {name: len(ranking.rows) for name, ranking in rankings.items()}
    if set(lengths.values()) != {len(gains)}:
        raise InputError(message("evaluate_rankings", "gains", "one {document: gain} for each query of every ranking",
                                 f"{len(gains)}, and rankings of {', '.join(map(str, sorted(set(lengths.values()))))}"))
    answerable = np.array([any(gain > 0 for gain in one.values()) for one in gains])
    if answerable.sum() < 2:
        raise InputError(message("evaluate_rankings", "gains", "with two queries or more that have a relevant "
                                 "document", f"{int(answerable.sum())}", "one query says nothing about the next"))
    judged_gains = [one for one, good in zip(gains, answerable, strict=True) if good]
    equivalents = _equivalents(rankings, _deepest(wanted))
    values, expected, tied = {}, {}, {}
    for name, ranking in rankings.items():
        rows, scores = ranking.rows[answerable], ranking.scores[answerable]
        values[name] = measure_ranking(judge(rows, judged_gains), wanted)
        has_scores = not np.isnan(scores).all()
        over = expected_over_ties(rows, scores, judged_gains, wanted, complete=ranking.complete) if has_scores else {}
        expected[name] = {metric: float(v.mean()) for metric, v in over.items()}
        tied[name] = float((scores[:, 1:11] == scores[:, :10][:, :scores.shape[1] - 1]).any(axis=1).mean()) \
            if has_scores else 0.0
    first = next(iter(rankings))
    family = {name: v[main] for name, v in values.items() if name != first and equivalents[name] is None}
    compared = compare_all(family, values[first][main], samples=samples, seed=seed)
    intervals = bootstrap_intervals(np.stack([v[m] for v in values.values() for m in wanted], axis=1),
                                    samples=samples, seed=seed)
    results = []
    for place, name in enumerate(rankings):
        means = dict(zip(wanted, intervals[place * len(wanted):(place + 1) * len(wanted)], strict=True))
        results.append(Result(name, (notes or {}).get(name, ""), values[name], means, expected[name], tied[name],
                              compared.get(name), equivalents[name], (seconds or {}).get(name)))
    return Evaluation(results, main, int(answerable.sum()), int((~answerable).sum()))


def named_measures(measures: Measures, baseline: str | Measure) -> list[tuple[str, str | Measure, str]]:
    """(name, what makes it, note) of each, the baseline first, none twice."""
    out: dict[str, tuple[str, str | Measure, str]] = {str(baseline): (str(baseline), baseline, "")}
    if isinstance(measures, Mapping):
        for name, measure in measures.items():
            out.setdefault(name, (name, measure, ""))
        return list(out.values())
    for one in measures:
        spec, note = one if isinstance(one, Contender) else (one, "")
        out.setdefault(str(spec), (str(spec), spec, note))
    return list(out.values())


def _ids_and_vectors(collection: Index | Collection) -> tuple[list[Any], np.ndarray]:
    if isinstance(collection, Collection):
        return [collection.id(i) for i in range(len(collection))], np.asarray(collection.index.vectors)
    return collection.ids.tolist(), collection.vectors


def _deepest(metrics: Sequence[str]) -> int:
    return max((cut or _UNCUT) for _, cut in map(name_and_cut, metrics))


def _deep_enough(collection: Index | Collection, queries: np.ndarray, deepest: int, more: int, spec: str | Measure,
                 by: str) -> Ranking:
    """A ranking whose ties at the deepest cut-off are whole."""
    depth = deepest + more
    while True:
        found = rank_collection(collection, queries, depth, spec, by)
        if found.complete or not (found.scores[:, -1] == found.scores[:, deepest - 1]).any():
            return found
        depth *= 2


def _equivalents(rankings: Mapping[str, Ranking], depth: int) -> dict[str, str | None]:
    """For each, the first earlier one that ranks alike, or None."""
    out: dict[str, str | None] = {}
    for name, ranking in rankings.items():
        out[name] = next((other for other, same in out.items() if same is None
                          and rank_alike(ranking, rankings[other], depth)), None)
    return out


def _notes(documents: np.ndarray, queries: np.ndarray, done: Evaluation) -> list[str]:
    notes = []
    if have_unit_norm(documents, queries):
        notes.append(UNIT_NORM_NOTE)
    ties = [r.name for r in done.results if any(abs(r.means[m].mean - e) > 5e-4 for m, e in r.expected.items())]
    if ties:
        notes.append(f"Ties decide part of the result of {', '.join(ties)}: equal scores are ranked by row; the mean "
                     "over all orders is given beside.")
    return notes
