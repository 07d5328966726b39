"""Metrics averaged over every order of equal scores (McSherry & Najork, ECIR 2008).

A deterministic ranking settles ties by row, which is fair to nobody when scores are few: a measure of three tiers
ranks most documents by their place in the file. Here each group of equal scores contributes what a random order of it
gives on average, in closed form. Without ties the values are those of `measure_ranking`.

Within a group at positions t+1 … t+n with r relevant documents: a position holds a relevant one with probability r/n;
the ranks of its members are exchangeable, which gives every metric below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from kiyas.arrays import Array, to_numpy
from kiyas.errors import InputError, message
from kiyas.metrics.judging import Judgements, aligned, brief, id_rows, is_number_array, judge
from kiyas.metrics.ranking import measure_ranking, name_and_cut


class _Group(NamedTuple):
    """Documents of one score: how many come ``before``, its ``size``, its relevant documents and their gain."""

    before: int
    size: int
    relevant: int
    gain: float


def expected_over_ties(ranked: Array, scores: Array, judgements: Sequence[Judgements] | Mapping[Any, Judgements],
                       names: Iterable[str] = ("ndcg@10", "map", "recall@100"),
                       queries: Iterable[Any] | None = None, complete: bool = False) -> dict[str, np.ndarray]:
    """Metrics by name, each the mean over all orders of equal scores: {name: (queries,) float64}.

    ``ranked`` and ``scores`` (queries, k), best first, as hits have them; ``judgements`` and ``queries`` as for
    `judge`. The group of equal scores that a cut-off falls into has to be known whole: `InputError` asks for deeper
    rankings where they end at the cut-off or within a tie with it, unless they are ``complete`` (hold every document).
    A metric without a cut-off takes the rankings as all there is.

    >>> values = expected_over_ties([[1, 2]], [[0.5, 0.5]], [{2: 1}], ["mrr", "precision@1"], complete=True)
    >>> values["mrr"].tolist(), values["precision@1"].tolist()
    ([0.75], [0.5])
    """
    asked = {name: name_and_cut(name) for name in names}
    if queries is not None:
        queries = list(queries)
    judged = judge(ranked, judgements, queries)
    out = measure_ranking(judged, asked)
    per_row = aligned(judgements, queries, judged.count)
    values = np.asarray(to_numpy(scores), np.float64)
    if values.shape != (judged.count, judged.depth):
        raise InputError(message("expected_over_ties", "scores",
                                 f"of the rankings' shape {(judged.count, judged.depth)}", brief(scores)))
    whole_rows = to_numpy(ranked) if is_number_array(ranked) else ranked
    doubtful = judged.answerable
    if is_number_array(ranked):
        # Rows whose scores only fall, up to where the ids end, need no second look.
        ended = np.isnan(values).sum(axis=1) == (whole_rows == -1).sum(axis=1)
        doubtful = doubtful & ~(ended & ~(values[:, 1:] >= values[:, :-1]).any(axis=1))
    for q in np.flatnonzero(doubtful):
        row, gains = id_rows(whole_rows[q:q + 1], "expected_over_ties")[0], per_row[q]
        own = values[q, :len(row)]
        if not (own[1:] <= own[:-1]).all():
            raise InputError(message("expected_over_ties", "scores", "numbers that never rise within a row",
                                     f"others in row {q}", "pass the hits as a search gives them"))
        if not (own[1:] == own[:-1]).any():
            continue
        groups = _groups(row, own, gains)
        whole = complete or len(row) < judged.depth
        for name, (metric, cut) in asked.items():
            if cut is not None and cut > groups[-1].before and not whole:
                raise InputError(message("expected_over_ties", "ranked",
                                         f"deep enough to hold all documents that tie at rank {cut}",
                                         f"{judged.depth} documents, which end within that tie in row {q}",
                                         "rank deeper, or say that they are complete"))
            k = judged.depth if cut is None else cut
            out[name][q] = _EXPECTED[metric](groups, min(k, len(row)), k, gains)
    return out


def _groups(row: list[Any], scores: np.ndarray, gains: Judgements) -> list[_Group]:
    starts = [0, *(np.flatnonzero(scores[1:] != scores[:-1]) + 1).tolist(), len(row)]
    groups = []
    for a, b in pairwise(starts):
        own = [g for g in (gains.get(document, 0) for document in row[a:b]) if g > 0]
        groups.append(_Group(a, b - a, len(own), float(sum(own))))
    return groups


def _inside(group: _Group, k: int) -> int:
    """How many of a group's positions are within ``k``."""
    return max(0, min(group.size, k - group.before))


def _ndcg(groups: list[_Group], k: int, _cut: int, gains: Judgements) -> float:
    discounts = 1 / np.log2(np.arange(2, k + 2))
    got = sum(g.gain / g.size * discounts[g.before:g.before + g.size].sum() for g in groups if g.gain)
    ideal = np.sort([float(x) for x in gains.values() if x > 0])[::-1][:_cut]
    return float(got / (ideal / np.log2(np.arange(2, ideal.size + 2))).sum())


def _found(groups: list[_Group], k: int) -> float:
    return sum(g.relevant * _inside(g, k) / g.size for g in groups)


def _precision(groups: list[_Group], k: int, cut: int, _gains: Judgements) -> float:
    return _found(groups, k) / cut


def _recall(groups: list[_Group], k: int, _cut: int, gains: Judgements) -> float:
    return _found(groups, k) / sum(x > 0 for x in gains.values())


def _success(groups: list[_Group], k: int, _cut: int, _gains: Judgements) -> float:
    missed = 1.0
    for g in groups:
        missed *= math.comb(g.size - g.relevant, m) / math.comb(g.size, m) if (m := _inside(g, k)) else 1.0
    return 1.0 - missed


def _reciprocal(groups: list[_Group], k: int, _cut: int, _gains: Judgements) -> float:
    first = next((g for g in groups if g.relevant), None)
    if first is None:
        return 0.0
    # The first of r among n exchangeable ones comes at place j+1 with probability C(n−j−1, r−1)/C(n, r), here as a
    # running product, as the binomials themselves are too large for floats.
    total, none_yet = 0.0, 1.0
    for j in range(_inside(first, k)):
        here = first.relevant / (first.size - j)
        total += none_yet * here / (first.before + j + 1)
        none_yet *= 1 - here
        if none_yet <= 0:
            break
    return total


def _average(groups: list[_Group], k: int, _cut: int, gains: Judgements) -> float:
    total, before = 0.0, 0
    for g in groups:
        if g.relevant and (m := _inside(g, k)):
            place = np.arange(m)
            # Of the places ahead in the group, each holds another relevant one with probability (r−1)/(n−1).
            others = place * ((g.relevant - 1) / (g.size - 1)) if g.size > 1 else 0.0
            total += float((g.relevant / g.size * (before + 1 + others) / (g.before + place + 1)).sum())
        before += g.relevant
    return total / sum(x > 0 for x in gains.values())


_EXPECTED = {"ndcg": _ndcg, "map": _average, "mrr": _reciprocal, "recall": _recall, "precision": _precision,
             "success": _success}
