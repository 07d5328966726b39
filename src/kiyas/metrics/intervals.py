"""Bootstrap intervals over queries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kiyas.arrays import Array, count, number, row_blocks, to_numpy
from kiyas.errors import InputError, message
from kiyas.metrics.judging import brief


class Interval(NamedTuple):
    """A mean and the two ends of its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(values: Array, level: float = 0.95, samples: int = 10_000, seed: int = 0) -> Interval:
    """The mean of ``values`` (queries,) and its percentile bootstrap interval, resampling queries.

    Deterministic for a given seed and NumPy version. Raises `InputError` for fewer than two values
    and for NaN (leave out the queries without a relevant document: ``values[judged.answerable]``).

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    owner = "bootstrap_interval"
    data = np.asarray(to_numpy(values))
    if data.ndim != 1 or data.size < 2 or data.dtype.kind not in "fiub":
        raise InputError(message(owner, "values", "a 1-D array of at least two numbers", brief(values)))
    return bootstrap_intervals(data[:, None], level, samples, seed)[0]


def bootstrap_intervals(table: Array, level: float = 0.95, samples: int = 10_000, seed: int = 0) -> list[Interval]:
    """Intervals of several columns (queries, columns) over the same resamples of queries; see `bootstrap_interval`.

    >>> [interval.mean for interval in bootstrap_intervals([[1.0, 0.0], [1.0, 0.5]])]
    [1.0, 0.25]
    """
    owner = "bootstrap_intervals"
    data = np.asarray(to_numpy(table))
    if data.ndim != 2 or data.shape[0] < 2 or data.dtype.kind not in "fiub":
        raise InputError(message(owner, "table", "numbers of shape (queries, columns), at least two queries",
                                 brief(table)))
    data = data.astype(np.float64)
    if not np.isfinite(data).all():
        raise InputError(message(owner, "values", "finite", f"{data[~np.isfinite(data)][0]}",
                                 "leave out the queries without a relevant document: values[judged.answerable]"))
    level = number(level, "level", owner, "a number between 0 and 1", 0.0, 1.0, open_low=True, open_high=True)
    samples = count(samples, "samples", owner, 1, 10**9)
    generator = np.random.default_rng(count(seed, "seed", owner, 0, 2**63))
    queries = data.shape[0]
    # A resample is how often each query was drawn; one matrix of counts serves all columns.
    means = np.empty((samples, data.shape[1]))
    for start, stop in row_blocks(samples, queries):
        drawn = generator.integers(queries, size=(stop - start, queries), dtype=np.uint32).astype(np.int64)
        drawn += np.arange(stop - start)[:, None] * queries
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        means[start:stop] = counts @ data / queries
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(float(m), float(a), float(b)) for m, a, b in zip(data.mean(axis=0), low, high, strict=True)]


def bootstrap_difference(values: Array, baseline: Array, level: float = 0.95, samples: int = 10_000,
                         seed: int = 0) -> Interval:
    """The mean of ``values − baseline`` over the same queries, and its paired bootstrap interval.

    >>> bootstrap_difference([0.5, 0.75], [0.25, 0.5])
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    a, b = (np.asarray(to_numpy(x)) for x in (values, baseline))
    if a.shape != b.shape or a.ndim != 1 or a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        raise InputError(message("bootstrap_difference", "baseline", f"numbers of the same queries, shape {a.shape}",
                                 f"shape {b.shape}"))
    return bootstrap_interval(a.astype(np.float64) - b.astype(np.float64), level, samples, seed)
