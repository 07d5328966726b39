"""Which measures are worth measuring on a collection, with parameters that come from its documents alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kiyas.arrays import Array, float64, matrix, namespace, row_blocks, to_numpy


class Contender(NamedTuple):
    """A measure to be measured, as the text that makes it; ``note``: where its parameters come from."""

    measure: str
    note: str = ""


# Measures of the catalogue that are not among the contenders, and why.
LEFT_OUT = {"poincare": "made for vectors trained in the unit ball", "learned": "needs trained weights",
            "linear_map": "needs a matrix: kiyas fit makes one"}


def contenders(documents: Array) -> list[Contender]:
    """The measures that make sense on these vectors (n, d), cosine first, fixed before any result is known.

    Parameters are the defaults, or come from the documents alone: never from queries or judgements.

    >>> contenders(np.eye(3))[4].measure
    'ndd(query_norm=1)'
    """
    X = matrix(documents, "documents", "contenders", finite=False)
    length = float(f"{np.median(row_norms(X)):.3g}")
    return [
        Contender("cosine"),
        Contender("dot"),
        Contender("euclidean"),
        Contender("ndd"),
        Contender(f"ndd(query_norm={length:g})", "the median length of a document"),
        Contender("log_scaled"),
        Contender("hybrid"),
        Contender("angular"),
        Contender("tanimoto"),
        Contender("dice"),
        Contender("tempered_cosine"),
        Contender("manhattan"),
        Contender("gower(quantile=0.01, clip=True)", "ranges of the documents, without the outermost 1 %"),
        Contender("exponential", "bandwidth 1, the default"),
        Contender("exponential(trim=0.1)", "bandwidth 1, the default"),
        Contender("exponential(bandwidth='fitted')", "bandwidths are the documents' standard deviations"),
        Contender("mahalanobis", "covariance of the documents"),
        Contender("csls", "neighbours among the documents"),
        Contender("local_scaling", "neighbours among the documents"),
    ]


def row_norms(X: Array) -> np.ndarray:
    """Lengths of the rows, (n,) float64; a memory map is read in blocks."""
    xp = namespace(X)
    parts = []
    for start, stop in row_blocks(X.shape[0], X.shape[1]):
        block = float64(xp, X[start:stop, :])
        parts.append(to_numpy(xp.sqrt(xp.sum(block * block, axis=1))))
    return np.concatenate(parts)


def have_unit_norm(*arrays: Array) -> bool:
    """Whether every row of the arrays has length 1, up to the rounding of float32.

    Then cosine, dot, euclidean, angular, ndd, log_scaled, hybrid, tanimoto, dice and tempered_cosine are increasing
    functions of A·B alone, and rank alike.
    """
    return all(bool((np.abs(row_norms(X) - 1) <= UNIT_TOLERANCE).all()) for X in arrays)


UNIT_TOLERANCE = 1e-5
UNIT_NORM_NOTE = ("All vectors have length 1: cosine, dot, euclidean, angular, ndd, log_scaled, hybrid, tanimoto, dice "
                  "and tempered_cosine are functions of one another there and rank alike. To choose among them is "
                  "calibration, not retrieval.")
