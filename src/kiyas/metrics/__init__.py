"""Ranking metrics, computed from ranks, and bootstrap intervals.

Two steps: first `judge` (or `known_items`) says at which rank every relevant document came, then each
metric is a function of that `Judged` value and returns one number a query:

    judged = judge(hits.ids, judgements)          # or known_items(ranks_of_target(hits.ids, targets))
    ndcg(judged, k=10)                            # (queries,) float64
    bootstrap_interval(ndcg(judged, k=10)[judged.answerable])

Only ranks enter, never scores, so equal scores cannot change a metric once the ranking is fixed
(`rank_rows`: higher score, then lower row); `expected_over_ties` says what they would be on average
had ties been broken by lot. A query without a relevant document says nothing about
a ranking: it gets NaN, and ``judged.answerable`` leaves it out. See docs/metrics.md.
"""

from kiyas.metrics.intervals import Interval, bootstrap_difference, bootstrap_interval, bootstrap_intervals
from kiyas.metrics.judging import Judged, Judgements, judge, known_items, rank_rows, ranks_in_scores, ranks_of_target
from kiyas.metrics.pairs import pair_average_precision, pearson, spearman
from kiyas.metrics.ranking import (
    average_precision,
    measure_ranking,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
    success,
)
from kiyas.metrics.ties import expected_over_ties

__all__ = [
    "Interval", "Judged", "Judgements", "average_precision", "bootstrap_difference", "bootstrap_interval",
    "bootstrap_intervals", "expected_over_ties", "judge", "known_items", "measure_ranking", "ndcg",
    "pair_average_precision", "pearson", "precision", "rank_rows", "ranks_in_scores", "ranks_of_target", "recall",
    "reciprocal_rank", "spearman", "success",
]
