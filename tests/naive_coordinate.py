"""Loop oracle of the coordinate family, after docs/design.md; imports nothing of kiyas."""

import math


def live_ranges(ranges):
    """Live dimensions by the relative rule."""
    ordered = sorted(ranges)
    n = len(ordered)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return [r > 0 and r >= 1e-3 * median for r in ranges]


def scores(x, y, map_, widths=None, live=None):
    """Scores (by dimension, live ones only)."""
    return [map_(abs(x[i] - y[i]) / (1.0 if widths is None else widths[i]))
            for i in range(len(x)) if live is None or live[i]]


def pooled(s, weights=None, trim=0.0):
    """Σ kept w·s and Σ kept w."""
    d = len(s)
    w = [1.0] * d if weights is None else list(weights)
    drop = math.floor(trim * d + 1e-9) * math.fsum(w) / d
    kept_total, kept_weight = [], math.fsum(w) - drop
    for i in sorted(range(d), key=lambda i: (s[i], i)):
        gone = min(drop, w[i])
        drop -= gone
        kept_total.append((w[i] - gone) * s[i])
    return math.fsum(kept_total), kept_weight


def score(s, weights=None, trim=0.0, threshold=None, share=0.7, tiers=None, critical=None, manhattan=False):
    """The score; ``critical`` are places among the live dimensions."""
    total, weight = pooled(s, weights, trim)
    value = 1 / (1 - total) if manhattan else total / weight
    if threshold is not None and sum(v < threshold for v in s) >= share * len(s) - 1e-9:
        value = 0.0
    if tiers is not None:
        low = sum(s[i] < tiers for i in critical)
        value += 2 if low == 0 else 1 if low <= 2 else 0
    return value
