"""Slow twins of kiyas.fit, in plain Python and loops, from the formulas of docs/fitting.md. Imports nothing of ours."""

import math

import numpy as np


def unit(x):
    length = math.sqrt(sum(v * v for v in x))
    return [v / length for v in x] if length else list(x)


def mean(rows):
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def scatter(queries, documents):
    """Mean of (q − d)(q − d)ᵀ over rows of length 1, divided by its trace."""
    d = len(queries[0])
    S = [[0.0] * d for _ in range(d)]
    for q, x in zip(queries, documents, strict=True):
        delta = [a - b for a, b in zip(unit(q), unit(x), strict=True)]
        for i in range(d):
            for j in range(d):
                S[i][j] += delta[i] * delta[j]
    trace = sum(S[i][i] for i in range(d))
    return [[v / trace for v in row] for row in S]


def score(kinds, queries, documents, shrinkage, a, b):
    """cosine(C_λ^(−1/2)(â − m_A), C_λ^(−1/2)(b̂ − m_B)) by xᵀC_λ⁻¹y: no root is taken, so none can be wrong."""
    parts = [scatter(*kind) for kind in kinds]
    d = len(a)
    C = np.array([[sum(p[i][j] for p in parts) / len(parts) for j in range(d)] for i in range(d)])
    C = (1 - shrinkage) * C + shrinkage * np.trace(C) / d * np.eye(d)
    x = np.array(unit(a)) - mean([unit(q) for q in queries])
    y = np.array(unit(b)) - mean([unit(r) for r in documents])
    P = np.linalg.inv(C)
    return float(x @ P @ y / math.sqrt((x @ P @ x) * (y @ P @ y)))


def weakest_near_best(values, errors=1.0):
    means = [sum(row) / len(row) for row in values]
    best = max(range(len(values)), key=lambda i: means[i])
    for i, row in enumerate(values):
        behind = [b - v for b, v in zip(values[best], row, strict=True)]
        m = sum(behind) / len(behind)
        spread = math.sqrt(sum((x - m) ** 2 for x in behind) / (len(behind) - 1)) if len(behind) > 1 else 0.0
        if m <= errors * spread / math.sqrt(len(behind)):
            return i
    raise AssertionError("the best is within no error of itself")


def leaks(fitted_on, held_queries, gains):
    """Documents that were fitted on although a held-out query has them relevant."""
    relevant = {row for q in held_queries for row, gain in gains[q].items() if gain > 0}
    return relevant & set(fitted_on)


def groups(gains, share):
    """The smallest query that each can be reached from, over queries that share more than ``share`` (Jaccard)."""
    relevant = [{d for d, g in one.items() if g > 0} for one in gains]
    labels = list(range(len(gains)))
    changed = True
    while changed:
        changed = False
        for a in range(len(gains)):
            for b in range(len(gains)):
                both, either = relevant[a] & relevant[b], relevant[a] | relevant[b]
                if both and len(both) / len(either) > share and labels[b] > labels[a]:
                    labels[b], changed = labels[a], True
    return labels
