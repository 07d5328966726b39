"""Metrics of rankings: functions of `Judged`, one number a query."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from kiyas.arrays import count
from kiyas.errors import InputError, message
from kiyas.metrics.judging import Judged


def ndcg(judged: Judged, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain at ``k``: (queries,) float64 in [0, 1].

    Gains are linear, gain/log₂(rank+1); the ideal ranks **all** judged documents, retrieved or not,
    as trec_eval does.
    """
    k = _cut(judged, k, "ndcg")
    got = np.where(_found(judged, k), judged.gains / np.log2(judged.ranks + 1.0, where=judged.ranks > 0,
                                                             out=np.ones(judged.ranks.size)), 0.0)
    place = _place(judged)
    order = np.lexsort((-judged.gains, judged.queries))
    ideal = np.where(place <= k, judged.gains[order] / np.log2(place + 1.0), 0.0)
    return _ratio(_sum(judged, got), _sum(judged, ideal))


def average_precision(judged: Judged, k: int | None = None) -> np.ndarray:
    """Mean of the precisions at the ranks of the relevant documents: (queries,) float64 in [0, 1].

    The denominator is the number of all relevant documents. ``k`` None takes the whole ranking.
    Its mean over queries is MAP.
    """
    found = _found(judged, _cut(judged, k, "average_precision"))
    # Retrieved documents come first within a query, in the order of their ranks.
    precision = np.where(found, _place(judged) / np.maximum(judged.ranks, 1), 0.0)
    return _ratio(_sum(judged, precision), judged.relevant)


def reciprocal_rank(judged: Judged, k: int | None = None) -> np.ndarray:
    """1/rank of the first relevant document, 0 if there is none within ``k``: (queries,) float64 in [0, 1].

    Its mean over queries is MRR.
    """
    found = _found(judged, _cut(judged, k, "reciprocal_rank"))
    first = found & (_place(judged) == 1)
    return _answered(judged, _sum(judged, np.where(first, 1.0 / np.maximum(judged.ranks, 1), 0.0)))


def recall(judged: Judged, k: int) -> np.ndarray:
    """Share of the relevant documents that came within ``k``: (queries,) float64 in [0, 1]."""
    return _ratio(_sum(judged, _found(judged, _cut(judged, k, "recall"))), judged.relevant)


def precision(judged: Judged, k: int) -> np.ndarray:
    """Relevant documents within ``k``, over ``k``: (queries,) float64 in [0, 1]."""
    k = _cut(judged, k, "precision")
    return _answered(judged, _sum(judged, _found(judged, k)) / k)


def success(judged: Judged, k: int) -> np.ndarray:
    """1 if a relevant document came within ``k``, else 0: (queries,) float64. With known items: recall@k."""
    return _answered(judged, np.minimum(_sum(judged, _found(judged, _cut(judged, k, "success"))), 1.0))


_METRICS: dict[str, Any] = {"ndcg": ndcg, "map": average_precision, "mrr": reciprocal_rank, "recall": recall,
                            "precision": precision, "success": success}


def measure_ranking(judged: Judged, names: Iterable[str] = ("ndcg@10", "map", "recall@100")) -> dict[str, np.ndarray]:
    """Several metrics by their standard names, each (queries,) float64.

    Names: ``ndcg@k``, ``recall@k``, ``precision@k``, ``success@k``, ``map``, ``map@k``, ``mrr``, ``mrr@k``.

    >>> from kiyas.metrics import judge
    >>> measure_ranking(judge([[3, 1, 2]], [{1: 2, 9: 1}]), ["mrr", "recall@3"])
    {'mrr': array([0.5]), 'recall@3': array([0.5])}
    """
    asked = {name: name_and_cut(name) for name in names}
    return {name: np.asarray(_METRICS[metric](judged, k)) for name, (metric, k) in asked.items()}


def name_and_cut(name: str) -> tuple[str, int | None]:
    """``ndcg@10`` as ("ndcg", 10), ``map`` as ("map", None); `InputError` for another name.

    >>> name_and_cut("recall@100")
    ('recall', 100)
    """
    match = re.fullmatch(r"(\w+?)(?:@([1-9]\d*))?", name) if isinstance(name, str) else None
    if match is None or match[1] not in _METRICS or (match[2] is None and match[1] not in ("map", "mrr")):
        raise InputError(message("measure_ranking", "names", "of ndcg@k, recall@k, precision@k, success@k, map, "
                                 "map@k, mrr and mrr@k", repr(name)))
    return match[1], None if match[2] is None else int(match[2])


def _cut(judged: Judged, k: int | None, owner: str) -> int:
    if k is None:
        return judged.depth
    high = 2**62 if judged.complete else judged.depth
    return count(k, "k", owner, 1, high, "rank deeper: beyond the depth of the rankings nothing is known")


def _found(judged: Judged, k: int) -> np.ndarray:
    return np.asarray((judged.ranks > 0) & (judged.ranks <= k))


def _place(judged: Judged) -> np.ndarray:
    """1, 2, 3, … within each query."""
    relevant = judged.relevant
    return np.asarray(np.arange(1, judged.queries.size + 1) - np.repeat(np.cumsum(relevant) - relevant, relevant))


def _sum(judged: Judged, values: np.ndarray) -> np.ndarray:
    return np.asarray(np.bincount(judged.queries, weights=values, minlength=judged.count))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))


def _answered(judged: Judged, values: np.ndarray) -> np.ndarray:
    return np.where(judged.answerable, values, np.nan)
