"""Whether a difference between two rankings is more than chance: tests and intervals over paired queries.

Everything takes one number a query (`kiyas.metrics`), of the same queries in the same order. See docs/evaluating.md.

- `sign_flip_test`: under "no difference" each query's difference may as well have the other sign. p is the share of
  random sign patterns with a mean at least as far from 0, the observed one counted: (count + 1)/(samples + 1), which is
  never 0 (Phipson & Smyth 2010; Smucker, Allan & Carterette 2007 for retrieval).
- `holm`: p-values of a family of comparisons, adjusted so that the chance of any false claim stays at the level.
- `effect_size`: the mean difference in units of its spread over queries (Cohen's d of paired values).
- `detectable_difference`: the least true difference that so many queries would show four times out of five.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from kiyas.arrays import Array, count, number, row_blocks, to_numpy
from kiyas.errors import InputError, message
from kiyas.metrics import Interval, bootstrap_intervals

SAMPLES = 10_000
# Differences of means that are equal but for rounding must count as equal: sums of n terms of size 1 round by less.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Comparison:
    """What was measured against a baseline over the same queries.

    ``difference``: mean and bootstrap interval of value − baseline. ``p``: two-sided, by sign flips; ``adjusted``:
    by Holm over the family (p itself for a family of one). ``effect``: see `effect_size`. ``detectable``: see
    `detectable_difference`. ``better``, ``equal``, ``worse``: how many queries.
    """

    difference: Interval
    p: float
    adjusted: float
    effect: float
    detectable: float
    better: int
    equal: int
    worse: int

    def verdict(self, level: float = 0.95) -> str:
        """``better``, ``worse`` or ``no difference shown``, by the adjusted p."""
        if self.adjusted > 1 - level:
            return "no difference shown"
        return "better" if self.difference.mean > 0 else "worse"

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: an effect without end is None."""
        return {**asdict(self), "difference": self.difference._asdict(), "verdict": self.verdict(),
                "effect": self.effect if math.isfinite(self.effect) else None}


def sign_flip_test(values: Array, baseline: Array, samples: int = SAMPLES, seed: int = 0) -> float:
    """The two-sided p-value of the mean of ``values − baseline``, (queries,) each; in (0, 1].

    Deterministic for a given seed and NumPy version. Raises `InputError` for other shapes and for NaN.

    >>> sign_flip_test([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    1.0
    >>> sign_flip_test(np.full(12, 0.5), np.full(12, 0.4)) < 0.01
    True
    """
    return float(_p_values(_differences(values, baseline, "sign_flip_test")[:, None], samples, seed)[0])


def holm(p_values: Array) -> np.ndarray:
    """Holm's adjusted p-values, in the order given: (comparisons,) float64 in [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(to_numpy(p_values), np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(message("holm", "p_values", "a 1-D array of numbers from 0 to 1", f"shape {p.shape}"))
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def effect_size(values: Array, baseline: Array) -> float:
    """Mean of the differences over their standard deviation; 0 where all are 0, infinite where all are equal.

    >>> effect_size([0.5, 0.75, 1.0], [0.25, 0.25, 0.25])
    2.0
    """
    d = _differences(values, baseline, "effect_size")
    mean, spread = float(d.mean()), float(d.std(ddof=1)) if d.size > 1 else math.nan
    if spread <= _ROUNDING:
        return 0.0 if abs(mean) <= _ROUNDING else math.copysign(math.inf, mean)
    return mean / spread


def detectable_difference(values: Array, baseline: Array, level: float = 0.95, power: float = 0.8,
                          comparisons: int = 1) -> float:
    """The least true mean difference that a two-sided test over these queries shows with that power.

    (z₁ + z₂)·s/√n with s the standard deviation of the differences seen, z₁ the normal quantile of 1 − (1−level)/2
    (divided by ``comparisons``: Holm's first step), z₂ that of ``power``. A smaller difference may be there and not
    be seen: more queries are the only cure.

    >>> round(detectable_difference([0.2, 0.4, 0.6, 0.8] * 25, [0.5] * 100), 4)
    0.063
    """
    owner = "detectable_difference"
    d = _differences(values, baseline, owner)
    level = number(level, "level", owner, "a number between 0 and 1", 0.0, 1.0, open_low=True, open_high=True)
    power = number(power, "power", owner, "a number between 0 and 1", 0.0, 1.0, open_low=True, open_high=True)
    family = count(comparisons, "comparisons", owner, 1, 10**9)
    if d.size < 2:
        raise InputError(message(owner, "values", "of at least two queries", str(d.size)))
    normal = NormalDist()
    z = normal.inv_cdf(1 - (1 - level) / (2 * family)) + normal.inv_cdf(power)
    return float(z * d.std(ddof=1) / math.sqrt(d.size))


def compare(values: Array, baseline: Array, level: float = 0.95, samples: int = SAMPLES, seed: int = 0) -> Comparison:
    """One comparison with everything about it; a family of them goes through `compare_all`."""
    return compare_all({"values": values}, baseline, level, samples, seed)["values"]


def compare_all(values: Mapping[str, Array], baseline: Array, level: float = 0.95, samples: int = SAMPLES,
                seed: int = 0) -> dict[str, Comparison]:
    """A family of comparisons with one baseline, over the same queries.

    ``values``: {name: (queries,)}; ``baseline`` (queries,). The p-values are adjusted by Holm over all of them, so
    leave out what ranks as the baseline does (`kiyas.evaluate.equivalent`): it is no comparison, and every
    comparison more makes the others harder to show.

    >>> found = compare_all({"a": np.full(20, 0.6), "b": np.tile([0.4, 0.6], 10)}, np.full(20, 0.5))
    >>> found["a"].verdict(), found["b"].verdict()
    ('better', 'no difference shown')
    """
    if not values:
        return {}
    table = {name: _differences(v, baseline, "compare_all") for name, v in values.items()}
    p = _p_values(np.stack([*table.values()], axis=1), samples, seed)
    adjusted = holm(p)
    intervals = bootstrap_intervals(np.stack([*table.values()], axis=1), level, samples, seed)
    out = {}
    for place, (name, d) in enumerate(table.items()):
        zero = np.zeros(d.size)
        out[name] = Comparison(intervals[place], float(p[place]), float(adjusted[place]), effect_size(d, zero),
                               detectable_difference(d, zero, level, comparisons=len(table)),
                               int((d > 0).sum()), int((d == 0).sum()), int((d < 0).sum()))
    return out


def _p_values(differences: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """The p-value of each column of (queries, comparisons), all under the same sign patterns."""
    samples = count(samples, "samples", "sign_flip_test", 1, 10**9)
    generator = np.random.default_rng(count(seed, "seed", "sign_flip_test", 0, 2**63))
    queries = differences.shape[0]
    seen = np.abs(differences.sum(axis=0)) - _ROUNDING * np.abs(differences).sum(axis=0)
    reached = np.zeros(differences.shape[1], np.int64)
    for start, stop in row_blocks(samples, queries):
        bits = np.frombuffer(generator.bytes((stop - start) * -(-queries // 8)), np.uint8).reshape(stop - start, -1)
        signs = np.unpackbits(bits, axis=1, count=queries).astype(np.float64) * 2 - 1
        reached += (np.abs(signs @ differences) >= seen).sum(axis=0)
    return np.asarray((reached + 1) / (samples + 1))


def _differences(values: Array, baseline: Array, owner: str) -> np.ndarray:
    a, b = (np.asarray(to_numpy(x)) for x in (values, baseline))
    if a.ndim != 1 or a.shape != b.shape or a.size == 0 or a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        raise InputError(message(owner, "values", f"one number a query, of the baseline's queries (shape {b.shape})",
                                 f"shape {a.shape}"))
    difference = a.astype(np.float64) - b.astype(np.float64)
    if not np.isfinite(difference).all():
        raise InputError(message(owner, "values", "finite", "NaN or infinity",
                                 "leave out the queries without a relevant document: values[judged.answerable]"))
    # A difference of rounding alone would have a sign, and a test counts signs.
    difference[np.abs(difference) <= _ROUNDING] = 0.0
    return difference
