"""Compiled scans: found for a measure, or refused with the reason.

The compiled module `_native` computes; this package prepares what it is given (codes, grids, tables)
and checks shapes. It knows measures by their attributes only, so that it stands beside them.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from kiyas.errors import MeasureError, message
from kiyas.kernels import _native

LEVEL_VARIABLE = "KIYAS_LEVEL"
_LEVELS: tuple[str, ...] = tuple(_native.levels())
# Fewer dimensions than a vector register has bytes: scanning codes reads hardly less than the rows themselves.
LEAST_DIMS = 32
# Σ |code products| must fit 32 bits: 255 · 127 a dimension.
MOST_DIMS = 60_000


class Found(NamedTuple):
    """What `find` answers: the family and kind of the compiled scan, or None and the reason."""

    form: Any | None
    reason: str


def levels() -> list[str]:
    """Instruction levels this machine can run, weakest first, e.g. ``["baseline", "avx2"]``."""
    return list(_LEVELS)


def level() -> int:
    """Index of the level in use: the best, or the one that the variable KIYAS_LEVEL names."""
    wanted = os.environ.get(LEVEL_VARIABLE)
    if not wanted:
        return len(_LEVELS) - 1
    if wanted not in _LEVELS:
        raise MeasureError(message("kiyas.kernels", LEVEL_VARIABLE, f"one of {', '.join(_LEVELS)} on this machine",
                                   repr(wanted)))
    return _LEVELS.index(wanted)


def default_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find(measure: Any, dtype: str, dims: int) -> Found:
    """The compiled scan for a measure over rows of a dtype, or None with the reason.

    >>> from kiyas.measures import measure
    >>> find(measure("cosine"), "float32", 384).form.kind
    'cosine'
    >>> find(measure("cosine"), "float32", 3).reason
    '3 dimensions: below 32, codes are not smaller than what they stand for'
    """
    form = measure.kernel()
    if isinstance(form, str):
        return Found(None, form)
    if dtype not in ("float32", "float64", "float16", "bfloat16"):
        return Found(None, f"rows of dtype {dtype} have no codes")
    if dims < LEAST_DIMS:
        return Found(None, f"{dims} dimensions: below {LEAST_DIMS}, codes are not smaller than what they stand for")
    if dims > MOST_DIMS:
        return Found(None, f"{dims} dimensions: above {MOST_DIMS}, sums of code products overflow 32 bits")
    if form.family == "coordinate":
        from kiyas.kernels.coordinate import refusal

        reason = refusal(measure, dims)
        if reason:
            return Found(None, reason)
    return Found(form, "")
