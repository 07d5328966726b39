"""Known-item search measured: which measure finds a docstring by its first sentence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kiyas.evaluate import Evaluation, evaluate_measures
from kiyas.search import Index

# By the names that are usual where each query has one answer; the first is tested.
METRICS = {"MRR@10": "mrr@10", "recall@1": "success@1", "recall@10": "success@10"}


def evaluate(index: Index, queries: np.ndarray, targets: list[int],
             progress: Callable[[int, int], None] | None = None) -> Evaluation:
    """All measures on an index without ids of its own; ``targets``: the row that each query has to find."""
    return evaluate_measures(index, queries, [{target: 1.0} for target in targets], metrics=METRICS.values(),
                             progress=progress)


CAVEAT = ("This holds for one encoder, English docstrings and one task: a first sentence looking for the rest of its "
          "own text. It says nothing about your texts; measure those.")
