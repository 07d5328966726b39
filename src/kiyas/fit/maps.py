"""Fitting a relevance map: from a collection's own texts, or with judgements; its strength chosen, or none taken.

Both measure every strength on queries that it was not fitted on, take the weakest within one standard error of the
best, and judge that way of choosing itself: each fold by the strength that the other folds' queries choose, under a map
fitted without it. (The maps that the others were measured under had seen its pairs; `kiyas.evaluate.choose` nests that,
too.) Where its gain over cosine is not shown, the measure is cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.arrays import Array, count, row_blocks
from kiyas.errors import InputError, message
from kiyas.fit.pairs import Pairs, Progress, judged_pairs, unit_rows
from kiyas.fit.relevance import SHRINKAGES, Statistics, statistics
from kiyas.fit.selection import choose_across, folds_of
from kiyas.measures import Cosine, Measure
from kiyas.metrics import Interval, bootstrap_interval, judge, known_items, ndcg, ranks_in_scores, reciprocal_rank

# No map first: it is the weakest.
SETTINGS: tuple[float | None, ...] = (None, *SHRINKAGES)
_CUT = 10


@dataclass(frozen=True, eq=False)
class Fitted:
    """A measure made for a collection, and what it gained on queries that had no part in making it.

    ``held_out`` (queries,): what each query reached under the strength chosen without its fold; ``cosine`` (queries,).

    ``measure``: a `LinearMap` with cosine behind it, or cosine where no gain is shown; ``shrinkage``: λ, None without
    a map. ``metric``: "mrr@10" of known items or "ndcg@10" of judged queries; ``settings``: its mean under every λ,
    cosine's (None) first; ``gain``: of the whole way of choosing over cosine, with its interval; ``tried``: what was
    chosen before it was asked whether the gain is shown. ``pairs``: how many it was fitted on, by kind; ``queries``:
    how many it was measured on; ``seed``, ``folds`` repeat it.
    """

    measure: Measure
    shrinkage: float | None
    tried: float | None
    metric: str
    settings: dict[float | None, float]
    gain: Interval
    pairs: dict[str, int]
    queries: int
    folds: int
    seed: int
    held_out: np.ndarray
    cosine: np.ndarray

    @property
    def helps(self) -> bool:
        """Whether there is a map."""
        return self.shrinkage is not None

    def conclusion(self) -> str:
        """In words, with the interval."""
        shown = f"{self.gain.mean:+.4f} {self.metric}, interval {self.gain.low:+.4f} to {self.gain.high:+.4f}"
        on = f"on {self.queries:,} queries held out in turn"
        if self.helps:
            return f"The map gains {shown} over cosine, {on} (shrinkage {self.shrinkage:g})."
        if self.tried is None:
            return f"No map does better than cosine {on}: cosine it is."
        return f"No gain over cosine is shown ({shown}, {on}): cosine it is."

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"measure": str(self.measure), "shrinkage": self.shrinkage, "tried": self.tried, "metric": self.metric,
                "settings": [{"shrinkage": s, "mean": v} for s, v in self.settings.items()],
                "gain": self.gain._asdict(), "helps": self.helps, "pairs": self.pairs, "queries": self.queries,
                "folds": self.folds, "seed": self.seed, "conclusion": self.conclusion()}


def fit_own(pairs: Pairs, documents: Array, *, rivals: Array | None = None, folds: int = 5, seed: int = 0,
            proven: bool = True, progress: Progress | None = None) -> Fitted:
    """A map from the collection's own pairs (`text_pairs`), without any judgement.

    Each fold's questions look for their own answer among those of all pairs, under maps fitted without the fold.
    ``documents`` (n, d): all rows of the collection, for their mean. ``rivals`` (r, d): more documents to look among,
    which are no part of the fit. ``proven``: take the map only if the gain of
    choosing it is shown (its interval is above 0). Deterministic for a seed. Raises `InputError` for fewer pairs than
    folds.

    >>> rng = np.random.default_rng(0)
    >>> D = rng.normal(size=(120, 8))
    >>> noise = rng.normal(size=(120, 8)) * [4, 4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    >>> fitted = fit_own(Pairs(D + noise, D, np.arange(120)), D)
    >>> fitted.helps, fitted.gain.low > 0
    (True, True)
    """
    folds = count(folds, "folds", "fit_own", 2, len(pairs), "there are no more pairs")
    Q, D = unit_rows(pairs.queries), unit_rows(pairs.documents)
    if rivals is not None:
        D = np.concatenate([D, unit_rows(rivals, "rivals", "fit_own")])
    fold = folds_of(pairs.owners, folds, seed)
    values = np.empty((len(SETTINGS), len(pairs)))
    for f in range(folds):
        held = np.flatnonzero(fold == f)
        rest = pairs.take(fold != f)
        stats = statistics([rest], rest.queries, rest.documents)
        for row, scores in enumerate(_scores(stats, Q[held], D)):
            values[row, held] = reciprocal_rank(known_items(ranks_in_scores(scores, held)), _CUT)
        if progress is not None:
            progress(f + 1, folds)
    return _fitted(values, fold, lambda: statistics([pairs], pairs.queries, documents), f"mrr@{_CUT}",
                   {"own": len(pairs)}, folds, seed, proven)


def fit_judged(queries: Array, documents: Array, gains: Sequence[Mapping[int, float]], own: Pairs | None = None, *,
               parts: np.ndarray | None = None, withheld: Iterable[int] = (),
               groups: Sequence[int] | np.ndarray | None = None, folds: int = 5, seed: int = 0, proven: bool = True,
               progress: Progress | None = None) -> Fitted:
    """A map from judged queries, together with the collection's own pairs where there are any.

    ``queries`` (m, d), ``documents`` (n, d) vectors; ``gains``: for each query {document: gain}, a document being its
    row, or with ``parts`` (n,) ascending what `Passages.documents` says of each row; ``own``: `text_pairs`. Within,
    queries are held out fold by fold, ``groups`` of them together, and **no pair of a document that is relevant to a
    held-out query is fitted on**; nor is one of the ``withheld`` documents, which are relevant to
    queries that the caller holds out. Queries without a relevant document only count for the mean of the queries.

    >>> rng = np.random.default_rng(0)
    >>> D = rng.normal(size=(150, 8))
    >>> Q = D[:60] + rng.normal(size=(60, 8)) * [4, 4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    >>> fit_judged(Q, D, [{i: 1.0} for i in range(60)]).helps
    True
    """
    owner = "fit_judged"
    Q, D = unit_rows(queries, "queries", owner), unit_rows(documents, "documents", owner)
    if len(gains) != len(Q):
        raise InputError(message(owner, "gains", f"{len(Q)}, one for each query", len(gains)))
    if Q.shape[1] != D.shape[1]:
        raise InputError(message(owner, "documents", f"of {Q.shape[1]} dimensions", D.shape[1]))
    part = np.arange(len(D)) if parts is None else np.asarray(parts, np.int64)
    relevant = [{row for row, gain in one.items() if gain > 0} for one in gains]
    judged = np.array([i for i, one in enumerate(relevant) if one], np.int64)
    folds = count(folds, "folds", owner, 2, max(2, judged.size))
    away = set(withheld)
    labels = np.arange(len(Q)) if groups is None else np.asarray(groups)
    fold = folds_of(labels[judged], folds, seed)
    values = np.empty((len(SETTINGS), judged.size))
    for f in range(folds):
        held = judged[fold == f]
        rest = np.setdiff1d(np.arange(len(Q)), held)
        hidden = away.union(*(relevant[q] for q in held))
        stats = _judged_statistics(Q, D, part, gains, rest, own, hidden)
        for row, scores in enumerate(_scores(stats, Q[held], D)):
            values[row, fold == f] = _ndcg(_of_documents(scores, part), [gains[q] for q in held])
        if progress is not None:
            progress(f + 1, folds)
    used = {"judged": sum(map(len, relevant)), **({"own": len(own)} if own is not None else {})}
    return _fitted(values, fold, lambda: _judged_statistics(Q, D, part, gains, np.arange(len(Q)), own, away),
                   f"ndcg@{_CUT}", used, folds, seed, proven)


def _judged_statistics(Q: np.ndarray, D: np.ndarray, part: np.ndarray, gains: Sequence[Mapping[int, float]],
                       rest: np.ndarray, own: Pairs | None, hidden: set[int]) -> Statistics:
    """Of the queries ``rest``, without a pair of the documents ``hidden``."""
    given = [judged_pairs(Q[rest], D, [gains[q] for q in rest], part), *([] if own is None else [own])]
    kinds = [left for one in given if (left := one.without(hidden)) is not None]
    if not kinds:
        raise InputError("fit_judged: every pair is of a document that is relevant to a held-out query, so nothing is "
                         "left to fit on; give more judged queries, more folds, or pairs of the collection's own texts")
    return statistics(kinds, Q[rest], D)


def _fitted(values: np.ndarray, fold: np.ndarray, final: Callable[[], Statistics], metric: str, pairs: dict[str, int],
            folds: int, seed: int, proven: bool) -> Fitted:
    choice = choose_across(values, fold)
    gain = bootstrap_interval(choice.honest - values[0], seed=seed)
    tried = SETTINGS[choice.chosen]
    taken = tried if not proven or gain.low > 0 else None
    measure = Cosine() if taken is None else final().map(taken)
    means = dict(zip(SETTINGS, values.mean(axis=1).tolist(), strict=True))
    return Fitted(measure, taken, tried, metric, means, gain, pairs, values.shape[1], folds, seed, choice.honest,
                  values[0])


def _scores(stats: Statistics, Q: np.ndarray, D: np.ndarray) -> Iterator[np.ndarray]:
    """Under every setting, cosine first; one at a time, as each is as large as the collection."""
    yield Q @ D.T
    yield from stats.scores(Q, D, SHRINKAGES)


def _of_documents(scores: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Scores of rows as scores of documents, each by its best row; documents without one get −∞."""
    if part.size == part[-1] + 1 and bool((part == np.arange(part.size)).all()):
        return scores
    out = np.full((scores.shape[0], int(part.max()) + 1), -np.inf)
    starts = np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1]]))
    out[:, part[starts]] = np.maximum.reduceat(scores, starts, axis=1)
    return out


def _ndcg(scores: np.ndarray, gains: Sequence[Mapping[int, float]]) -> np.ndarray:
    return ndcg(judge(best_rows(scores, min(_CUT, scores.shape[1])), gains), _CUT)


def best_rows(scores: np.ndarray, k: int) -> np.ndarray:
    """The ``k`` best rows of each query, higher score first, then lower row; as `rank_rows`, without sorting all.

    >>> best_rows(np.array([[0.5, 0.9, 0.5, 0.1]]), 2).tolist()
    [[1, 0]]
    """
    out = np.empty((scores.shape[0], k), np.int64)
    for start, stop in row_blocks(*scores.shape):
        block = scores[start:stop]
        least = np.partition(block, block.shape[1] - k, axis=1)[:, block.shape[1] - k]
        for row, (line, low) in enumerate(zip(block, least, strict=True), start):
            near = np.flatnonzero(line >= low)
            out[row] = near[np.argsort(-line[near], kind="stable")][:k]
    return out
