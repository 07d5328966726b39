"""Known-item search measured: which measure finds a docstring by its first sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kiyas.metrics import (
    Interval,
    bootstrap_difference,
    bootstrap_interval,
    known_items,
    measure_ranking,
    ranks_of_target,
)
from kiyas.search import Index

DEPTH = 10
_METRICS = {"recall@1": "success@1", "recall@10": "success@10", "MRR@10": "mrr"}
_SAMPLES = 2000
# The interval of a difference is as wide as all differences together need for 95 % (Bonferroni): with fifteen
# measures one would else look better than cosine by chance every other time.
_LEVEL = 0.95


@dataclass(frozen=True)
class Contender:
    """A measure to be measured; ``note``: how its parameters were chosen, or what ranks as it does."""

    measure: str
    note: str = ""


@dataclass(frozen=True)
class Result:
    """What one measure reached; ``difference``: of MRR@10 to cosine over the same queries (None for cosine)."""

    measure: str
    note: str
    metrics: dict[str, Interval]
    difference: Interval | None
    verdict: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        held = asdict(self)
        held["metrics"] = {name: interval._asdict() for name, interval in self.metrics.items()}
        held["difference"] = None if self.difference is None else self.difference._asdict()
        return held


def contenders(documents: np.ndarray) -> list[Contender]:
    """The measures that make sense on these vectors (n, d), fixed before any result is known.

    Parameters are the defaults, or come from the documents alone: never from queries or answers.
    """
    length = float(f"{np.median(np.linalg.norm(documents.astype(np.float64), axis=1)):.3g}")
    return [
        Contender("cosine", "angular ranks the same"),
        Contender("dot"),
        Contender("euclidean"),
        Contender("ndd"),
        Contender(f"ndd(query_norm={length:g})", "the median length of a document"),
        Contender("log_scaled"),
        Contender("hybrid"),
        Contender("dice", "tanimoto ranks the same"),
        Contender("tempered_cosine"),
        Contender("manhattan"),
        Contender("gower(quantile=0.01, clip=True)", "ranges of the documents, without the outermost 1 %"),
        Contender("exponential", "bandwidth 1, the default"),
        Contender("exponential(trim=0.1)", "bandwidth 1, the default"),
        Contender("mahalanobis", "covariance of the documents"),
    ]


# Measures that are not in the table, and why.
LEFT_OUT = {"poincare": "made for vectors trained in the unit ball",
            "csls": "compares all rows with all rows first", "local_scaling": "compares all rows with all rows first",
            "learned": "needs trained weights", "linear_map": "needs a matrix"}


def evaluate(index: Index, queries: np.ndarray, targets: list[int], chosen: list[Contender],
             progress: Callable[[int, int], None]) -> list[Result]:
    """Search with every measure and judge; the first contender is what the others are compared with."""
    level = 1 - (1 - _LEVEL) / max(1, len(chosen) - 1)
    depth = min(DEPTH, len(index))
    baseline: np.ndarray | None = None
    results = []
    for place, contender in enumerate(chosen):
        start = time.perf_counter()
        hits = index.using(contender.measure).search(queries, k=depth)
        seconds = time.perf_counter() - start
        judged = known_items(ranks_of_target(hits.ids, targets), depth=DEPTH)
        values = measure_ranking(judged, list(_METRICS.values()))
        metrics = {name: bootstrap_interval(values[key], _LEVEL, _SAMPLES) for name, key in _METRICS.items()}
        difference = None if baseline is None else bootstrap_difference(values["mrr"], baseline, level, 2 * _SAMPLES)
        baseline = values["mrr"] if baseline is None else baseline
        results.append(Result(contender.measure, contender.note, metrics, difference, _verdict(difference), seconds))
        progress(place + 1, len(chosen))
    return results


def _verdict(difference: Interval | None) -> str:
    if difference is None:
        return "baseline"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "no difference seen"


def conclusion(results: list[Result], queries: int) -> str:
    """What the table says about cosine, in words."""
    better = sorted((r for r in results if r.verdict == "better"), key=lambda r: -r.metrics["MRR@10"].mean)
    base = results[0]
    if not better:
        same = [r.measure for r in results if r.verdict == "no difference seen"]
        rest = f" ({', '.join(same)}: no difference seen)" if same else ""
        return f"Cosine is fine here: on {queries:,} queries no measure is shown to be better{rest}."
    best = better[0]
    assert best.difference is not None
    names = ", ".join(r.measure for r in better)
    return (f"On {queries:,} queries {names} {'is' if len(better) == 1 else 'are'} better than cosine; most of all "
            f"{best.measure}, MRR@10 {best.metrics['MRR@10'].mean:.3f} against {base.metrics['MRR@10'].mean:.3f} "
            f"(difference {best.difference.mean:+.3f}, interval {best.difference.low:+.3f} to "
            f"{best.difference.high:+.3f}). The others are not shown to be better.")


CAVEAT = ("This holds for one encoder, English docstrings and one task: a first sentence looking for the rest of its "
          "own text. It says nothing about your texts; measure those.")
