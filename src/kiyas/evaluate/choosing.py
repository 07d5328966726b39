"""Choosing a measure with proof: nested cross-validation over queries.

The inner folds choose: every measure of the catalogue that makes sense on the vectors, and a relevance map fitted on
the training queries (`kiyas.fit`). The outer folds score the way of choosing on queries that had no part in it. A
measure is recommended only if that score beats cosine's in a test over the same queries; there is one comparison, so
nothing has to be corrected for many. See docs/choosing.md.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from kiyas import __version__
from kiyas.arrays import count, row_blocks, to_numpy
from kiyas.encode.collection import Collection
from kiyas.errors import InputError, KiyasError, message
from kiyas.evaluate.contenders import Contender, contenders
from kiyas.evaluate.grouping import Groups, group_queries
from kiyas.evaluate.rankings import Ranking, rank_alike, rank_collection
from kiyas.evaluate.significance import Comparison, compare
from kiyas.evaluate.tables import Table
from kiyas.fit import Pairs, fit_judged, fit_own
from kiyas.fit.checkpoint import fingerprint
from kiyas.fit.pairs import as_rows
from kiyas.fit.selection import folds_of
from kiyas.measures import Cosine, Measure
from kiyas.measures import measure as make_measure
from kiyas.measures.hubness import HubnessCorrected
from kiyas.measures.mapped import MappedMeasure
from kiyas.metrics import judge
from kiyas.metrics.ranking import measure_ranking
from kiyas.search import Index

COSINE, MAP = "cosine", "relevance map"
FEWEST = 10
# Known items are matched one to one, and to spread the hits evenly over documents helps that by construction. With
# people's queries, which have many answers or none, it lost on MED what it had won there on known items.
_HUB_CORRECTIONS = ("csls", "local_scaling")
ONE_TO_ONE = "known items are matched one to one, which flatters hub corrections; judged queries can choose it"
_DEPTH = 10
# Rows whose lengths give the median, as any sample of so many does.
_SAMPLED = 100_000
_TIMED = 64

Progress = Callable[[int, int], None]


class Cost(NamedTuple):
    """What the recommended measure costs beside cosine: search time as a multiple, and bytes kept beside the rows."""

    times: float
    memory: int


@dataclass(frozen=True, eq=False)
class Decision:
    """What was chosen, and everything that it rests on.

    ``name``, ``measure``: recommended, ready to search with. ``comparison``: of the way of choosing with cosine, on
    held-out queries, averaged over ``repeats``. ``chosen``: what the way of choosing takes on all queries; recommended
    only if the comparison is won. ``picks``: how often each was taken in the outer folds. ``means``: of each candidate
    on the queries themselves (of the map, held out in the inner folds): what the choice saw, not what it is worth.
    ``equivalent``: measures that rank as an earlier one; ``left_out``: those that could not run, and why.
    """

    name: str
    measure: Measure
    metric: str
    baseline: float
    score: float
    comparison: Comparison
    chosen: str
    picks: dict[str, int]
    means: dict[str, float]
    equivalent: dict[str, str]
    left_out: dict[str, str]
    groups: Groups
    cost: Cost
    queries: int
    facts: dict[str, Any]

    @property
    def recommended(self) -> bool:
        """Whether something else than cosine is recommended."""
        return self.name != COSINE

    def conclusion(self) -> str:
        """In words, with the interval."""
        d = self.comparison.difference
        shown = (f"{self.metric} {self.score:.4f} against cosine's {self.baseline:.4f} on {self.queries:,} queries, "
                 f"each held out while it was chosen and fitted (difference {d.mean:+.4f}, interval {d.low:+.4f} to "
                 f"{d.high:+.4f}, p {self.comparison.p:.2g})")
        if self.recommended:
            return f"Use {self.name}: choosing so reached {shown}."
        if self.chosen == COSINE and d.mean == 0:
            return f"Cosine is fine here: nothing else was ever chosen on {self.queries:,} queries."
        return (f"Cosine is fine here: choosing something else reached {shown}. A difference smaller than about "
                f"{self.comparison.detectable:.3f} would rarely be seen with so many queries.")

    def costs(self) -> str:
        """What it costs, in words."""
        if not self.recommended:
            return "It costs nothing more."
        extra = "keeps nothing beside the rows" if self.cost.memory == 0 else \
            (f"keeps {self.cost.memory / 1e6:,.1f} MB of mapped rows beside them. Mapping a query takes as long for "
             "few rows as for many")
        return f"A search here takes {self.cost.times:.2g} times as long as cosine's, and {extra}."

    def task(self) -> str:
        """What the queries had to find, in words; empty where judgements say it."""
        known = self.facts.get("known_items")
        return "" if known is None else (f"Each question looks for its own answer among the {known:,} answers alone, "
                                         "which is easier than among all texts.")

    def table(self) -> Table:
        """Every candidate: its mean on the queries that chose, and in how many outer folds it was taken."""
        folds = sum(self.picks.values())
        rows = [[name, mean, f"{self.picks.get(name, 0)} of {folds}"] for name, mean in
                sorted(self.means.items(), key=lambda item: -item[1])]
        return Table(["measure", f"{self.metric} (seen by the choice)", "taken in outer folds"], rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything needed to repeat it."""
        return {"recommended": self.name, "measure": str(self.measure), "conclusion": self.conclusion(),
                "costs": self.costs(), "metric": self.metric, "cosine": self.baseline, "procedure": self.score,
                "comparison": {**self.comparison.as_dict(), "verdict": self.comparison.verdict(self.facts["level"])},
                "chosen_on_all_queries": self.chosen, "picks": self.picks,
                "means_seen_by_the_choice": self.means, "ranks_as": self.equivalent, "left_out": self.left_out,
                "groups": {"number": self.groups.number, "largest": self.groups.largest,
                           "shared_documents_above": self.groups.share},
                "cost": self.cost._asdict(), "queries": self.queries, **self.facts}


def choose(collection: Index | Collection, queries: np.ndarray, gains: Sequence[Mapping[Any, float]], *,
           own: Pairs | None = None, measures: Iterable[str | Measure | Contender] | None = None, folds: int = 5,
           repeats: int = 3, by: str = "best", level: float = 0.95, seed: int = 0,
           progress: Progress | None = None) -> Decision:
    """Choose a measure for a collection by its judged queries, in nDCG@10.

    Parameters: ``collection``; ``queries`` (m, d) vectors; ``gains``, one {document id: gain} for each query
    (`kiyas.evaluate.match`); ``own``, pairs of the collection's own texts (`kiyas.fit.text_pairs`), which the map is
    fitted on as well; ``measures`` beside the map, `candidates` unless given; ``folds`` of queries, ``repeats`` of
    dealing them; ``by``, see `Collection.search`; ``level`` of the test; ``progress(done, total)``.

    Statistics of documents (covariance, ranges) see the documents alone. The map is fitted on training queries, without
    any pair of a document that is relevant to a held-out query. Near-duplicate queries and queries that share relevant
    documents are held out together, as far as the judgements allow (`group_queries`).
    Raises `InputError` for fewer than ten judged queries.

    >>> rng = np.random.default_rng(0)
    >>> rows = rng.normal(size=(60, 4))
    >>> done = choose(Index(rows), rows[:20] + 0.1, [{i: 1.0} for i in range(20)], measures=["dot"], repeats=1)
    >>> done.name, done.metric
    ('cosine', 'ndcg@10')
    """
    ids, vectors, parts = _facts_of(collection)
    if len(gains) != len(queries):
        raise InputError(message("choose", "gains", f"{len(queries)}, one for each query", len(gains)))
    known_ids = set(ids)
    for query, one in enumerate(gains):
        if (strange := next((document for document in one if document not in known_ids), None)) is not None:
            raise InputError(message("choose", "gains", "of documents of the collection",
                                     f"document {strange!r} for query {query}"))
    rows = as_rows(gains, ids)
    answerable = np.flatnonzero([any(gain > 0 for gain in one.values()) for one in rows])
    _enough(len(answerable), folds, "choose")
    Q = np.asarray(queries)[answerable]
    known = [rows[i] for i in answerable]
    relevant = [{row for row, gain in one.items() if gain > 0} for one in known]
    groups = group_queries(Q, known, folds)

    def fit(train: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, Measure]:
        hidden = set().union(*(relevant[q] for q in held.tolist()))
        fitted = fit_judged(Q[train], vectors, [known[q] for q in train], own, parts=parts, withheld=hidden,
                            groups=groups.labels[train], folds=_inner(groups.labels[train], folds), seed=seed,
                            proven=False)
        return fitted.held_out, fitted.measure

    return _choose(collection, Q, known, "ndcg@10", groups, fit, measures, folds, repeats, by, level, seed, progress,
                   {"queries_without_relevant_documents": len(rows) - len(answerable),
                    "own_pairs": 0 if own is None else len(own),
                    "own_pairs_sha256": None if own is None else fingerprint(own.queries, own.documents, own.owners)})


def candidates(documents: np.ndarray) -> list[Contender]:
    """What is chosen among beside the map: the `contenders`, and more values of the parameters that count length.

    >>> [one.measure for one in candidates(np.eye(4)) if one.note.startswith("between")]
    ['tempered_cosine(beta=0.75)', 'ndd(query_norm=0.25)']
    """
    norms = np.sqrt((np.asarray(to_numpy(documents[:_SAMPLED]), np.float64) ** 2).sum(axis=1))
    quarter = float(f"{np.median(norms) / 4:.3g}")
    return [*contenders(documents), Contender("tempered_cosine(beta=0.75)", "between cosine and the default"),
            *([Contender(f"ndd(query_norm={quarter:g})", "between cosine and ndd")] if quarter > 0 else [])]


def choose_known(pairs: Pairs, documents: np.ndarray | None = None, *,
                 measures: Iterable[str | Measure | Contender] | None = None, folds: int = 5, repeats: int = 1,
                 level: float = 0.95, seed: int = 0, progress: Progress | None = None) -> Decision:
    """Choose by known items, without judgements: each question of ``pairs`` has to find its own answer, in MRR@10.

    The map is fitted on the other folds' pairs; the one recommended in the end on all of them, with the mean of
    ``documents`` (n, d), the rows that it is to search (those of the pairs, unless given). The task is narrow: what
    wins it need not win with people's queries. Therefore a map that is chosen here is never of the strongest kind, and
    csls and local_scaling are not among the measures unless they are given. The other parameters are those of `choose`.
    """
    _enough(len(pairs), folds, "choose_known")
    index = Index(pairs.documents)
    everyone = np.arange(len(pairs))
    left_out = {}
    if measures is None:
        listed = candidates(pairs.documents)
        left_out = {one.measure: ONE_TO_ONE for one in listed if one.measure in _HUB_CORRECTIONS}
        measures = [one for one in listed if one.measure not in left_out]

    def fit(train: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, Measure]:
        # Among all answers, as every other candidate is measured.
        rivals = pairs.documents[held] if held.size else None
        rows = pairs.documents if held.size or documents is None else documents
        fitted = fit_own(pairs.take(train), rows, rivals=rivals, folds=folds, seed=seed, proven=False)
        return fitted.held_out, fitted.measure

    done = _choose(index, pairs.queries, [{i: 1.0} for i in everyone.tolist()], "mrr@10",
                   Groups(everyone, len(pairs), 1, 0.0), fit, measures, folds, repeats, "best", level, seed, progress,
                   {"known_items": len(pairs),
                    "searched_sha256": None if documents is None else _digest(documents)})
    rows = len(pairs) if documents is None else len(documents)
    return replace(done, left_out={**done.left_out, **left_out},
                   cost=done.cost._replace(memory=done.cost.memory // len(pairs) * rows))


# -- the nested folds --------------------------------------------------------------------------------------------------

_Fit = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Measure]]


def _choose(collection: Index | Collection, Q: np.ndarray, gains: list[dict[int, float]], metric: str, groups: Groups,
            fit: _Fit, measures: Iterable[str | Measure | Contender] | None, folds: int, repeats: int, by: str,
            level: float, seed: int, progress: Progress | None, more: dict[str, Any]) -> Decision:
    repeats = count(repeats, "repeats", "choose", 1, 1000)
    folds = min(folds, groups.number)
    if folds < 2:
        raise InputError(f"choose: all {len(Q)} queries have the same relevant documents or say the same, so none can "
                         "be held out; judge queries that differ")
    specs = _specs(_facts_of(collection)[1], measures)
    total, done = len(specs) + folds * repeats + 1, 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    def fitted(train: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, Measure] | None:
        """The map; where the judgements leave no pair to fit it on, there is none in that fold, and it is told."""
        try:
            return fit(train, held)
        except InputError as error:
            left_out[MAP] = str(error)
            return None

    def values_of(spec: str | Measure, who: np.ndarray) -> np.ndarray:
        return _values(rank_collection(collection, Q[who], _DEPTH, spec, by), [gains[q] for q in who], metric)

    everyone = np.arange(len(Q))
    fixed, equivalent, left_out = _measured(specs, collection, Q, gains, metric, by, step)
    table = np.stack([*fixed.values()])
    names = [*fixed, MAP]
    total_score = np.zeros(len(Q))
    picks: Counter[str] = Counter()
    for repeat in range(repeats):
        fold = folds_of(groups.labels, folds, seed + repeat)
        for f in range(folds):
            held, train = np.flatnonzero(fold == f), np.flatnonzero(fold != f)
            made = fitted(train, held)
            pick = _pick(table[:, train] if made is None else np.concatenate([table[:, train], made[0][None]]))
            picks[names[pick]] += 1
            total_score[held] += table[pick, held] if made is None or names[pick] != MAP else values_of(made[1], held)
            step()
    score = total_score / repeats
    comparison = compare(score, table[0], level, seed=seed)
    made = fitted(everyone, np.empty(0, np.int64))
    seen = table if made is None else np.concatenate([table, made[0][None]])
    chosen = names[_pick(seen)]
    won = comparison.verdict(level) == "better" and chosen != COSINE
    name = chosen if won else COSINE
    measure = made[1] if made is not None and name == MAP else make_measure(dict(specs)[name])
    measure, cost = _cost(collection, Q, measure) if won else (Cosine(), Cost(1.0, 0))
    step()
    return Decision(name, measure, metric, float(table[0].mean()), float(score.mean()), comparison, chosen, dict(picks),
                    dict(zip(names, seen.mean(axis=1).tolist(), strict=False)), equivalent, left_out, groups, cost,
                    len(Q), {**_repeatable(collection, Q, gains, seed, folds, repeats, level), **more})


def _pick(values: np.ndarray) -> int:
    """The best candidate, if it beats the first, cosine, by more than a standard error; else cosine."""
    best = int(values.mean(axis=1).argmax())
    ahead = values[best] - values[0]
    error = float(ahead.std(ddof=1)) / len(ahead) ** 0.5 if len(ahead) > 1 else 0.0
    return best if best and float(ahead.mean()) > error else 0


def _measured(specs: list[tuple[str, str | Measure]], collection: Index | Collection, Q: np.ndarray,
              gains: list[dict[int, float]], metric: str, by: str,
              step: Callable[[], None]) -> tuple[dict[str, np.ndarray], dict[str, str], dict[str, str]]:
    """Values of every measure that is fitted on documents alone; those that rank as an earlier one; those that fail."""
    fixed: dict[str, np.ndarray] = {}
    rankings: dict[str, Ranking] = {}
    equivalent, left_out = {}, {}
    for name, spec in specs:
        try:
            ranking = rank_collection(collection, Q, _DEPTH, spec, by)
        except KiyasError as error:
            if name == COSINE:
                raise
            left_out[name] = str(error)
        else:
            twin = next((other for other, held in rankings.items() if rank_alike(ranking, held)), None)
            if twin is not None:
                equivalent[name] = twin
            else:
                rankings[name] = ranking
                fixed[name] = _values(ranking, gains, metric)
        step()
    return fixed, equivalent, left_out


def _values(ranking: Ranking, gains: Sequence[Mapping[int, float]], metric: str) -> np.ndarray:
    return measure_ranking(judge(ranking.rows, gains), [metric])[metric]


def _specs(vectors: np.ndarray,
           measures: Iterable[str | Measure | Contender] | None) -> list[tuple[str, str | Measure]]:
    listed: list[Any] = [COSINE, *(candidates(vectors) if measures is None else measures)]
    out: dict[str, str | Measure] = {}
    for one in listed:
        spec = one.measure if isinstance(one, Contender) else one
        out.setdefault(str(spec), spec)
    return list(out.items())


def _facts_of(collection: Index | Collection) -> tuple[list[Any], np.ndarray, np.ndarray | None]:
    """Ids of documents, vectors of their rows, and the document of each row where they are not one and the same."""
    if isinstance(collection, Collection):
        ids = [collection.id(i) for i in range(len(collection))]
        return ids, to_numpy(collection.index.vectors), collection.passages.documents
    return collection.ids.tolist(), to_numpy(collection.vectors), None


def _enough(queries: int, folds: int, owner: str) -> None:
    count(folds, "folds", owner, 2, 1000)
    if queries < max(FEWEST, 2 * folds):
        raise InputError(message(owner, "queries", f"at least {max(FEWEST, 2 * folds)} that have a relevant document",
                                 queries, "fewer choose by chance; judge more, or start from a purpose (advise)"))


def _inner(labels: np.ndarray, folds: int) -> int:
    return max(2, min(folds, np.unique(labels).size))


# -- cost, and what repeats it -----------------------------------------------------------------------------------------


def _cost(collection: Index | Collection, Q: np.ndarray, measure: Measure) -> tuple[Measure, Cost]:
    index = collection.index if isinstance(collection, Collection) else collection
    views = [index.using(COSINE), index.using(measure)]
    some, k = Q[:_TIMED], min(_DEPTH, len(index))
    best = [np.inf, np.inf]
    for _ in range(10):  # the first maps rows and builds codes; the best of the others counts
        for i, view in enumerate(views):
            start = time.perf_counter()
            view.search(some, k)
            best[i] = min(best[i], time.perf_counter() - start)
    fitted = views[1].measure
    memory = 0
    if isinstance(fitted, MappedMeasure):
        memory = 4 * len(index) * int(fitted.transform(to_numpy(index.vectors)[:1]).shape[1])
        if isinstance(fitted, HubnessCorrected):  # the rows that neighbours are looked for among
            assert fitted.reference is not None
            memory += fitted.reference.nbytes
    return fitted, Cost(best[1] / best[0], memory)


def _repeatable(collection: Index | Collection, Q: np.ndarray, gains: list[dict[int, float]], seed: int, folds: int,
                repeats: int, level: float) -> dict[str, Any]:
    ids, vectors, _ = _facts_of(collection)
    judged = json.dumps([sorted(one.items()) for one in gains]).encode()
    return {"documents": len(ids), "dims": int(vectors.shape[1]), "seed": seed, "folds": folds, "repeats": repeats,
            "level": level, "kiyas": __version__, "numpy": np.__version__,
            "sha256": {"documents": _digest(vectors), "queries": _digest(Q),
                       "judgements": hashlib.sha256(judged).hexdigest()}}


def _digest(rows: np.ndarray) -> str:
    """SHA-256 of the numbers of rows; a memory map is read in blocks."""
    digest = hashlib.sha256()
    for start, stop in row_blocks(*rows.shape):
        digest.update(np.ascontiguousarray(rows[start:stop]).tobytes())
    return digest.hexdigest()
