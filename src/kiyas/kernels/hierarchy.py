"""One pass of gradient descent over the pairs of a hierarchy, in the ball or in Euclidean space."""

from __future__ import annotations

import numpy as np

from kiyas.kernels import _native

SPACES = {"poincare": 0, "euclidean": 1}


def descend(space: str, points: np.ndarray, below: np.ndarray, above: np.ndarray, negatives: np.ndarray, rate: float,
            radius: float) -> float:
    """Move ``points`` (n, d) float64 in place, pair by pair in the order given; returns the sum of the losses.

    ``below``, ``above`` (m,) and ``negatives`` (m, each), −1 for none, are int64 numbers of points; a point that a step
    takes beyond ``radius`` of the ball is put back onto it. Nothing runs side by side, so that the result depends on
    the arguments alone.
    """
    return float(_native.hierarchy_pass(SPACES[space], points, below, above, negatives, rate, radius))
