"""Are the answers right? Ids of two engines are compared in float64, by formulas written out here.

Peers score in float32, so they may swap rows whose scores differ by less than float32 rounding; anything else is
counted as wrong.
"""

from __future__ import annotations

import numpy as np

_FLOAT32 = 1e-5


def scores(measure: str, q: np.ndarray, rows: np.ndarray, learned=None) -> tuple[np.ndarray, float]:
    """Float64 scores of rows (n, d) by what the measure ranks by, and the size of what float32 rounds in them."""
    q, rows = q.astype(np.float64), rows.astype(np.float64)
    if measure == "dot":
        return rows @ q, float(np.linalg.norm(q) * np.linalg.norm(rows, axis=1).max())
    if measure == "euclidean":
        d2 = np.sum((rows - q) ** 2, axis=1)
        return -d2, float(q @ q + np.sum(rows * rows, axis=1).max())
    if measure == "manhattan":
        total = np.abs(rows - q).sum(axis=1)
        return -total, float(total.max())
    if measure.startswith("exponential"):
        trim, bandwidth = (float(part.split("=")[1]) for part in measure[12:-1].split(","))
        kept = rows.shape[1] - int(trim * rows.shape[1] + 1e-9)
        return np.exp(-np.sort(np.abs(rows - q), axis=1)[:, :kept] / bandwidth).mean(axis=1), 1.0
    if measure == "learned":
        u, v = learned.halves_a(q[None, :]).astype(np.float64), learned.halves_b(rows).astype(np.float64)
        active = np.maximum(u + v, 0)
        return active @ learned.second, float((active @ np.abs(learned.second)).max())
    raise ValueError(f"no formula for {measure}")


def compare(measure: str, X: np.ndarray, queries: np.ndarray, ours: np.ndarray, theirs: np.ndarray,
            learned=None) -> str:
    """"equal", or how many queries differ and whether float ties explain all of it."""
    ties = wrong = 0
    for q, a, b in zip(queries, ours, theirs, strict=True):
        if np.array_equal(a, b):
            continue
        (score_a, size), (score_b, _) = (scores(measure, q, X[ids], learned) for ids in (a, b))
        if np.all(np.abs(np.sort(score_a) - np.sort(score_b)) <= _FLOAT32 * size):
            ties += 1
        else:
            wrong += 1
    if wrong:
        return f"WRONG for {wrong} of {len(queries)} queries"
    return f"equal but for float ties ({ties} of {len(queries)} queries)" if ties else "equal"


def verify(measure, X: np.ndarray, queries: np.ndarray, ids: np.ndarray) -> str:
    """kiyas' own ids beside float64 scores of all rows, by the measure's formula; for measures no peer has."""
    wrong = 0
    for q, found in zip(queries, ids, strict=True):
        every = np.concatenate([np.asarray(measure.pairwise(q[None, :].astype(np.float64), X[i : i + 4096]))[0]
                                for i in range(0, X.shape[0], 4096)])
        top = np.lexsort((np.arange(every.size), -every))[: found.size]
        wrong += not np.allclose(every[top], every[found], rtol=1e-12, atol=0)
    return f"WRONG for {wrong} of {len(queries)} queries" if wrong else "verified in float64"
