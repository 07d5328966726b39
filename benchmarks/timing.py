"""Times that can be compared on a noisy machine: all engines take turns, repetition by repetition.

What disturbs one repetition disturbs its neighbours alike, so ratios are taken within a repetition and their median
is reported; the minimum of each engine's times stands beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

# Thread pools of BLAS and OpenMP spin for up to ~30 ms after a call and would slow down whoever comes next.
_PAUSE = 0.04
# A sample is as many calls as last this long.
_SAMPLE = 0.012
_MOST_CALLS = 20
_LEAST = 3


@dataclass
class Times:
    """Seconds a call of every engine, a column a repetition; NaN where an engine had used up its time."""

    of: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, seconds: float) -> None:
        self.of.setdefault(name, []).append(seconds)

    def count(self, name: str) -> int:
        return int(np.sum(np.isfinite(self.of[name])))

    def least(self, name: str) -> float:
        return float(np.nanmin(self.of[name]))

    def median(self, name: str) -> float:
        return float(np.nanmedian(self.of[name]))

    def ratio(self, slow: str, fast: str) -> float:
        """Median over repetitions of how many times longer ``slow`` took than ``fast``."""
        return float(np.nanmedian(np.array(self.of[slow]) / np.array(self.of[fast])))

    def ratio_of_least(self, slow: str, fast: str) -> float:
        """The same of both engines' shortest times."""
        return self.least(slow) / self.least(fast)


def timed(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleave(engines: dict[str, Callable[[int], object]], first: dict[str, float], repetitions: int,
               seconds: float, pause: float = _PAUSE) -> Times:
    """Times of engines that take turns. An engine is a function of the number of a call, which chooses its queries:
    engines get the same ones in a repetition, and other ones in every call.

    ``first``: a first idea of each engine's seconds, from its warm-up. ``seconds``: what one engine may use; slow
    ones run fewer repetitions, but three, or one if that alone takes longer. The order is turned round in every
    other repetition.
    """
    times = Times()
    used = dict.fromkeys(engines, 0.0)
    for repetition in range(repetitions):
        order = list(engines) if repetition % 2 == 0 else list(engines)[::-1]
        for name in order:
            least = _LEAST if first[name] < seconds else 1
            if repetition >= least and used[name] + first[name] > seconds:
                times.add(name, float("nan"))
                continue
            calls = int(np.clip(_SAMPLE / first[name], 1, _MOST_CALLS))
            time.sleep(pause)
            start = time.perf_counter()
            for call in range(calls):
                engines[name](repetition * _MOST_CALLS + call)
            spent = time.perf_counter() - start
            used[name] += spent
            times.add(name, spent / calls)
    return times
