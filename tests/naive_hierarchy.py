"""Embedding a hierarchy by loops: losses by their formula, gradients by differences. Imports nothing of kiyas."""

from __future__ import annotations

import math


def hyperbolic(u, v):
    """arcosh(1 + 2‖u−v‖²/((1−‖u‖²)(1−‖v‖²)))."""
    d2 = sum((a - b) ** 2 for a, b in zip(u, v, strict=True))
    return math.acosh(1 + 2 * d2 / ((1 - sum(a * a for a in u)) * (1 - sum(b * b for b in v))))


def squared(u, v):
    return sum((a - b) ** 2 for a, b in zip(u, v, strict=True))


def loss(points, below, others, distance):
    """−log softmax(−d) of the first of the others."""
    d = [distance(points[below], points[j]) for j in others]
    return d[0] + math.log(sum(math.exp(-x) for x in d))


def step(points, below, others, distance, rate, radius=None, h=1e-6):
    """One pair: every point against its gradient, in the ball times ((1−‖x‖²)/2)² and put back into it."""
    gradients = []
    for i in [below, *others]:
        gradient = []
        for k in range(len(points[i])):
            ends = []
            for sign in (1, -1):
                moved = [list(p) for p in points]
                moved[i][k] += sign * h
                ends.append(loss(moved, below, others, distance))
            gradient.append((ends[0] - ends[1]) / (2 * h))
        gradients.append(gradient)
    out = [list(p) for p in points]
    for i, gradient in zip([below, *others], gradients, strict=True):
        scale = ((1 - sum(x * x for x in points[i])) / 2) ** 2 if radius else 1.0
        out[i] = [x - rate * scale * g for x, g in zip(points[i], gradient, strict=True)]
        norm = math.sqrt(sum(x * x for x in out[i]))
        if radius and norm > radius:
            out[i] = [x * radius / norm for x in out[i]]
    return out


def reconstruction(points, pairs, distance):
    """(mean rank, MAP) by sorting."""
    above = {}
    for a, b in pairs:
        above.setdefault(a, set()).add(b)
    ranks, precisions = [], []
    for term, those in above.items():
        d = {j: distance(points[term], points[j]) for j in range(len(points)) if j != term}
        ranks += [1 + sum(d[j] <= d[b] for j in d if j not in those) for b in those]
        hits, found = [], 0
        for place, j in enumerate(sorted(d, key=lambda j: (d[j], j in those)), 1):
            if j in those:
                found += 1
                hits.append(found / place)
        precisions.append(sum(hits) / len(those))
    return sum(ranks) / len(ranks), sum(precisions) / len(precisions)
