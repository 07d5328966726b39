"""Oracles by plain loops: the inner formulas, Mahalanobis and the learned network. Imports nothing of kiyas."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def _fractions(x):
    return [Fraction(float(v)) for v in x]


def gram(a, b):
    """Correctly rounded p, a², b², d² of two vectors."""
    fa, fb = _fractions(a), _fractions(b)
    p = sum((x * y for x, y in zip(fa, fb, strict=True)), Fraction(0))
    a2 = sum((x * x for x in fa), Fraction(0))
    b2 = sum((y * y for y in fb), Fraction(0))
    d2 = sum(((x - y) ** 2 for x, y in zip(fa, fb, strict=True)), Fraction(0))
    return float(p), float(a2), float(b2), float(d2)


def cosine(p, a2, b2, d2):
    if a2 == 0 or b2 == 0:
        return 0.0
    return max(-1.0, min(1.0, p / (math.sqrt(a2) * math.sqrt(b2))))


def dot(p, a2, b2, d2):
    return p


def euclidean(p, a2, b2, d2):
    return 1 / (1 + math.sqrt(d2))


def angular(a, b):
    """By Kahan's form on the vectors themselves: 2·atan2(‖A·b − B·a‖, ‖A·b + B·a‖)."""
    if gram(a, b)[1] == 0 or gram(a, b)[2] == 0:
        return 0.5
    # Powers of two change no digit, and keep the products away from overflow and underflow.
    a, b = ([math.ldexp(float(v), -math.frexp(math.hypot(*x))[1]) for v in x] for x in (a, b))
    na, nb = math.hypot(*a), math.hypot(*b)
    minus = math.hypot(*(x * nb - y * na for x, y in zip(a, b, strict=True)))
    plus = math.hypot(*(x * nb + y * na for x, y in zip(a, b, strict=True)))
    return 1 - 2 * math.atan2(minus, plus) / math.pi


def ndd(p, a2, b2, d2, query_norm=None):
    if a2 == 0 or b2 == 0:
        return 0.0
    if query_norm is not None:
        return p / math.sqrt(a2) * query_norm / math.sqrt((query_norm**2 + b2) / 2)
    return p / math.sqrt((a2 + b2) / 2)


def log_scaled(p, a2, b2, d2):
    if a2 == 0 or b2 == 0:
        return 0.0
    return p / math.log1p(math.sqrt(a2) * math.sqrt(b2))


def hybrid(p, a2, b2, d2):
    return p / (math.sqrt(d2) + 1)


def tanimoto(p, a2, b2, d2):
    return p / (a2 + b2 - p) if a2 + b2 > 0 else 0.0


def dice(p, a2, b2, d2):
    return 2 * p / (a2 + b2) if a2 + b2 > 0 else 0.0


def tempered_cosine(p, a2, b2, d2, beta=0.5):
    return p / math.sqrt(b2) ** beta if b2 > 0 else 0.0


def hyperbolic(p, a2, b2, d2):
    a, b = math.sqrt(a2), math.sqrt(b2)
    return 2 * math.asinh(math.sqrt(d2) / math.sqrt((1 - a) * (1 + a)) / math.sqrt((1 - b) * (1 + b)))


def poincare(p, a2, b2, d2):
    return 1 / (1 + hyperbolic(p, a2, b2, d2))


NAMES = ["cosine", "dot", "euclidean", "angular", "ndd", "log_scaled", "hybrid", "tanimoto", "dice", "tempered_cosine",
         "poincare"]
FORMULAS = {name: globals()[name] for name in NAMES if name != "angular"}

DISTANCES = {
    "cosine": lambda p, a2, b2, d2: 1 - cosine(p, a2, b2, d2),
    "euclidean": lambda p, a2, b2, d2: math.sqrt(d2),
    "tanimoto": lambda p, a2, b2, d2: 1 - tanimoto(p, a2, b2, d2) if a2 + b2 > 0 else 0.0,
    "dice": lambda p, a2, b2, d2: 1 - dice(p, a2, b2, d2) if a2 + b2 > 0 else 0.0,
    "poincare": hyperbolic,
}


def distance(name, a, b):
    return (1 - angular(a, b)) * math.pi if name == "angular" else DISTANCES[name](*gram(a, b))


def pair(name, a, b, **parameters):
    return angular(a, b) if name == "angular" else FORMULAS[name](*gram(a, b), **parameters)


def pairwise(name, A, B, **parameters):
    return np.array([[pair(name, a, b, **parameters) for b in B] for a in A])


def mahalanobis_distance(a, b, covariance, cutoff=1e-10):
    values, vectors = np.linalg.eigh(np.asarray(covariance, dtype=np.float64))
    total = []
    for value, vector in zip(values, vectors.T, strict=True):
        if value > cutoff * values.max():
            along = math.fsum(v * (float(x) - float(y)) for v, x, y in zip(vector, a, b, strict=True))
            total.append(along * along / value)
    return math.sqrt(math.fsum(total))


def covariance(X):
    n, d = X.shape
    mean = [math.fsum(X[:, j]) / n for j in range(d)]
    return np.array([[math.fsum((x[i] - mean[i]) * (x[j] - mean[j]) for x in X) / (n - 1)
                      for j in range(d)] for i in range(d)])


def ledoit_wolf(X):
    """Intensity by the definition of 2004: β²/δ² with S over n, one loop over rows."""
    n, d = X.shape
    Y = X - X.mean(axis=0)
    S = sum(np.outer(y, y) for y in Y) / n
    target = np.trace(S) / d * np.eye(d)
    beta2 = sum(np.sum((np.outer(y, y) - S) ** 2) for y in Y) / n**2
    delta2 = np.sum((S - target) ** 2)
    return min(1.0, beta2 / delta2)


def half(weights, x, bias=0.0):
    """One number of a mapped row: exact sum, rounded to float64, then to float32."""
    exact = sum((w * v for w, v in zip(_fractions(weights), _fractions(x), strict=True)), Fraction(float(bias)))
    return np.float32(float(exact))


def learned_logit(a, b, first_a, first_b, bias1, second, bias2, alpha):
    parts = [bias2]
    for i in range(len(bias1)):
        u, v = half(first_a[i], a, bias1[i]), half(first_b[i], b)
        parts.append(float(second[i]) * max(0.0, float(u) + float(v)))
    if alpha:
        parts.append(alpha * pair("cosine", a, b))
    return math.fsum(parts)
