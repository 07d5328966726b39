"""Diagnoses with plain loops. Imports nothing of kiyas."""

import math
from itertools import combinations

import numpy as np


def mean_cosine(rows):
    pairs = list(combinations(rows, 2))
    return sum(float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)) for a, b in pairs) / len(pairs)


def isoscore(rows):
    """The published algorithm (Rudman, Gillman, Rayne & Eickhoff 2022), step by step."""
    points = (rows - rows.mean(axis=0)).T
    _, directions = np.linalg.eigh(np.cov(points))
    variances = np.diag(np.cov(directions.T @ points))
    n = len(variances)
    scaled = variances * math.sqrt(n) / math.sqrt(float((variances**2).sum()))
    defect = math.sqrt(float(((scaled - 1) ** 2).sum())) / math.sqrt(2 * (n - math.sqrt(n)))
    share = ((n - defect**2 * (n - math.sqrt(n))) ** 2) / n**2
    return (n * share - 1) / (n - 1)


def effective_rank(variances):
    total = sum(variances)
    return math.exp(-sum(v / total * math.log(v / total) for v in variances if v > 0))


def occurrences(rows, k):
    """How often each row is among the k nearest of another, by Euclidean distance, ties to the lower row."""
    counts = [0] * len(rows)
    for i, row in enumerate(rows):
        order = sorted((float(((row - other) ** 2).sum()), j) for j, other in enumerate(rows) if j != i)
        for _, j in order[:k]:
            counts[j] += 1
    return counts


def robin_hood(counts):
    mean = sum(counts) / len(counts)
    return sum(c - mean for c in counts if c > mean) / sum(counts)


def distances(rows, k):
    return [sorted(math.sqrt(float(((row - other) ** 2).sum())) for j, other in enumerate(rows) if j != i)[:k]
            for i, row in enumerate(rows)]


def levina_bickel(rows, k):
    inverse = [sum(math.log(near[-1] / d) for d in near[:-1]) / (k - 1) for near in distances(rows, k)]
    return len(inverse) / sum(inverse)
