"""The oracle of search: plain loops over plain numbers. Imports nothing of kiyas.

A pair is scored by the formulas of `naive_inner` and `naive_coordinate`; the k best are found by sorting all rows
by (score descending, row ascending). `order` is what is sorted by: the score, or the logit of the learned measure.
"""

from __future__ import annotations

import math
from fractions import Fraction

import naive_coordinate
import naive_inner
import numpy as np

PROFILES = {
    "manhattan": lambda t: -t,
    "gower": lambda t: 1 - t,
    "gower clipped": lambda t: 1 - min(t, 1.0),
    "exponential": lambda t: math.exp(-t),
}


class Vector(list):
    """Numbers of a vector as Python floats, and its parts of 26 bits, whose products fit a double."""

    def __init__(self, values):
        super().__init__(float(v) for v in values)
        self.array = np.array(self)
        size = np.abs(self.array[self.array != 0])
        # Beyond these, products of parts could overflow or lose bits to underflow: fractions take over.
        self.tame = bool(np.all((size > 1e-60) & (size < 1e60)))
        c = self.array * 134217729.0 if self.tame else self.array
        high = c - (c - self.array)
        self.parts = [p for p in (high, self.array - high) if np.any(p)] or [high]
        self.square = dot(self, self)


def dot(a, b):
    """A·B, rounded once."""
    if a.tame and b.tame:
        return math.fsum(v for x in a.parts for y in b.parts for v in (x * y).tolist())
    return float(sum((Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True)), Fraction(0)))


def rows(X):
    """Rows as vectors."""
    return [Vector(x) for x in np.asarray(X)]


class Inner:
    """Order under a formula of (p, a², b², d²); sums are rounded once, d² is that of rounded differences."""

    def __init__(self, formula):
        self.formula = formula

    def __call__(self, q, x):
        gaps = q.array - x.array
        return self.formula(dot(q, x), q.square, x.square, math.fsum((gaps * gaps).tolist()))


def angular(p, a2, b2, d2):
    """Angular by the Gram quantities, as docs/design.md scores it: by the chord of the unit vectors."""
    if a2 == 0 or b2 == 0:
        return 1 - math.pi / 2 / math.pi
    a, b = math.sqrt(a2), math.sqrt(b2)
    chord2 = (d2 - (a - b) * (a - b)) / (a * b) if d2 <= a * b else 2 - 2 * (p / (a * b))
    chord2 = min(max(chord2, 0.0), 4.0)
    return 1 - 2 * math.atan2(math.sqrt(chord2), math.sqrt(4 - chord2)) / math.pi


def inner(name, **parameters):
    """Order under an inner measure."""
    formula = angular if name == "angular" else naive_inner.FORMULAS[name]
    return Inner(lambda p, a2, b2, d2: formula(p, a2, b2, d2, **parameters))


def user_inner(function):
    """Order under a user's function of (p, a², b²) of arrays."""
    def score(p, a2, b2, d2):
        with np.errstate(all="ignore"):
            return float(function(np.array([p]), np.array([a2]), np.array([b2]))[0])
    return Inner(score)


def user_pair(function):
    """Order under a user's function of two arrays of vectors."""
    return lambda q, x: float(function(np.array([q]), np.array([x]))[0])


def coordinate(profile, widths=None, live=None, weights=None, critical=None, manhattan=False, **pooling):
    """Order under a coordinate measure; weights, widths and live are of all dimensions, as is critical."""
    map_ = PROFILES.get(profile, profile)

    def score(q, x):
        chosen = [i for i in range(len(q)) if live is None or live[i]]
        s = naive_coordinate.scores(q, x, map_, widths, live)
        w = None if weights is None else [float(weights[i]) for i in chosen]
        c = None if critical is None else [chosen.index(i) for i in critical]
        return naive_coordinate.score(s, w, critical=c, manhattan=manhattan, **pooling)
    return score


def half(w, z, bias=0.0):
    """One number of a mapped row: w·z + bias, rounded once to float64, then to float32."""
    if w.tame and z.tame:
        terms = [v for x in w.parts for y in z.parts for v in (x * y).tolist()]
        return float(np.float32(math.fsum([*terms, bias])))
    return float(naive_inner.half(w, z, bias))


class Mapped:
    """Order under a base measure of rows mapped by (x − center)·matrixᵀ, rounded to float32."""

    def __init__(self, matrix, base, center=None):
        self.matrix, self.base = rows(matrix), base
        self.center = None if center is None else np.array([float(c) for c in center])
        self._seen = {}

    def __call__(self, q, x):
        return self.base(self.image(q), self.image(x))

    def image(self, x):
        if id(x) not in self._seen:
            z = x if self.center is None else Vector(x.array - self.center)
            self._seen[id(x)] = (Vector(half(w, z) for w in self.matrix), x)  # holds x: its id stays its own
        return self._seen[id(x)][0]


def direction(x):
    """A row of unit length, or zero, rounded to float32."""
    largest = max(abs(v) for v in x)
    z = [v / largest for v in x] if largest > 0 else list(x)
    norm = math.sqrt(math.fsum(v * v for v in z))
    return np.array([v / norm if norm > 0 else v for v in z]).astype(np.float32).astype(np.float64)


class Corrected:
    """Order under csls or local_scaling of cosine: r(x) from the k nearest of the fitted rows, by loops.

    ``fitted``: directions of the fitted rows; ``image`` maps a vector before its direction is taken.
    """

    def __init__(self, name, k, fitted, image=lambda x: x):
        self.name, self.k, self.image = name, k, image
        self.fitted = [np.asarray(x, dtype=np.float64) for x in fitted]
        self._seen = {}

    def __call__(self, q, x):
        a, (b, r) = self._of(q)[0], self._of(x)
        if self.name == "csls":
            b, a = Vector([*b, r]), Vector([*(2 * a), -1.0])
        else:
            scale = max(0.001, 1 - float(r))
            b = Vector(np.array([*(b / scale), 1 - 1 / scale]).astype(np.float32))
            a = Vector([*a, 1.0])
        return dot(a, b)

    def _of(self, x):
        if id(x) not in self._seen:
            b = direction(self.image(x))
            self._seen[id(x)] = (b, self.density(b), x)
        return self._seen[id(x)][:2]

    def density(self, b):
        """The mean product with the k nearest fitted rows, one that is the row itself left out."""
        others, own = [], False
        for x in self.fitted:
            if not own and np.array_equal(x, b):
                own = True
            else:
                others.append(math.fsum((b * x).tolist()))
        return np.float32(sum(sorted(others, reverse=True)[: self.k]) / self.k)


class Learned:
    """Order under the learned measure: its logit."""

    def __init__(self, first_a, first_b, bias1, second, bias2, alpha):
        self.first = [rows(first_a), rows(first_b)]
        self.bias = [[float(b) for b in bias1], [0.0] * len(bias1)]
        self.second = [float(w) for w in second]
        self.bias2, self.alpha = float(bias2), float(alpha)
        self._cosine = inner("cosine")
        self._seen = {}

    def __call__(self, q, x):
        u, v = self._half(q, 0), self._half(x, 1)
        parts = [w * max(0.0, a + b) for w, a, b in zip(self.second, u, v, strict=True)]
        if self.alpha:
            parts.append(self.alpha * self._cosine(q, x))
        return math.fsum([*parts, self.bias2])

    def _half(self, x, side):
        if (id(x), side) not in self._seen:
            halves = [half(w, x, b) for w, b in zip(self.first[side], self.bias[side], strict=True)]
            self._seen[id(x), side] = (halves, x)
        return self._seen[id(x), side][0]


def sigmoid(logit):
    """The score shown for a logit."""
    small = math.exp(-abs(logit))
    return 1 / (1 + small) if logit >= 0 else small / (1 + small)


def table(order, Q, X):
    """Orders of all queries with all rows, as lists."""
    Q, X = rows(Q), rows(X)
    return [[order(q, x) for x in X] for q in Q]


def top_k(scores, k, allowed=None, excluded=None, min_score=None):
    """The k best rows of one query, (row, score); fewer where fewer are allowed or reach ``min_score``."""
    left = [row for row in range(len(scores)) if (allowed is None or allowed[row]) and row != excluded
            and (min_score is None or scores[row] >= min_score)]
    return [(row, scores[row]) for row in sorted(left, key=lambda row: (-scores[row], row))[:k]]
