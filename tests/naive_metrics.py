"""Ranking metrics with plain loops, for one query. Imports nothing of kiyas.

``ranking``: ids, best first; ``gains``: {id: gain}, relevant when above 0.
"""

import itertools
import math


def positives(gains):
    return {document for document, gain in gains.items() if gain > 0}


def ndcg(ranking, gains, k):
    if not positives(gains):
        return math.nan
    total = 0.0
    for rank, document in enumerate(ranking[:k], 1):
        total += gains.get(document, 0) / math.log2(rank + 1)
    ideal = 0.0
    for rank, gain in enumerate(sorted(gains.values(), reverse=True)[:k], 1):
        ideal += gain / math.log2(rank + 1)
    return total / ideal


def average_precision(ranking, gains, k):
    relevant = positives(gains)
    if not relevant:
        return math.nan
    hits, total = 0, 0.0
    for rank, document in enumerate(ranking[:k], 1):
        if document in relevant:
            hits += 1
            total += hits / rank
    return total / len(relevant)


def reciprocal_rank(ranking, gains, k):
    relevant = positives(gains)
    if not relevant:
        return math.nan
    for rank, document in enumerate(ranking[:k], 1):
        if document in relevant:
            return 1 / rank
    return 0.0


def _within(ranking, gains, k):
    return sum(document in positives(gains) for document in ranking[:k])


def recall(ranking, gains, k):
    return _within(ranking, gains, k) / len(positives(gains)) if positives(gains) else math.nan


def precision(ranking, gains, k):
    return _within(ranking, gains, k) / k if positives(gains) else math.nan


def success(ranking, gains, k):
    return float(_within(ranking, gains, k) > 0) if positives(gains) else math.nan


def rank_rows(scores):
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))


# -- ties, and pairs ---------------------------------------------------------------------------------------------------


def expected(metric, ranking, scores, gains, k):
    """The mean of a metric over every order of the documents with equal scores."""
    groups = [[d for d, _ in group] for _, group in
              itertools.groupby(zip(ranking, scores, strict=True), key=lambda pair: pair[1])]
    orders = [[d for part in parts for d in part]
              for parts in itertools.product(*(itertools.permutations(g) for g in groups))]
    return sum(metric(order, gains, k) for order in orders) / len(orders)


def mean_ranks(values):
    return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]


def pearson(x, y):
    a, b = sum(x) / len(x), sum(y) / len(y)
    top = sum((p - a) * (q - b) for p, q in zip(x, y, strict=True))
    return top / math.sqrt(sum((p - a) ** 2 for p in x) * sum((q - b) ** 2 for q in y))


def pair_average_precision(scores, labels):
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        kept = [label for s, label in zip(scores, labels, strict=True) if s >= threshold]
        recall = sum(kept) / sum(labels)
        total += (recall - before) * sum(kept) / len(kept)
        before = recall
    return total
