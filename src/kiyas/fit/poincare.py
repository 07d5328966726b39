"""Poincaré embeddings: a hierarchy in the ball, by Riemannian stochastic gradient descent in float64."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.arrays import count, number
from kiyas.errors import InputError, message
from kiyas.fit import checkpoint as checkpoints
from kiyas.fit.hierarchy import Hierarchy
from kiyas.kernels.hierarchy import SPACES, descend

# Points begin this near to the centre, and are kept this far from the rim (both as in the paper).
_BEGIN = 1e-3
_RADIUS = 1 - 1e-5
# In the burn-in the rate is this share of itself: directions are found before distances (section 3.3 of the paper).
_BURN_IN_SHARE = 0.1
# After it the rate falls linearly to this share; a constant one leaves the last steps' noise in the vectors.
_LAST_SHARE = 0.05


@dataclass(frozen=True)
class EmbeddingPlan:
    """How a hierarchy is embedded.

    - ``dims``: dimensions;
    - ``space``: "poincare", or "euclidean" (squared distances) for comparison;
    - ``epochs``: passes over all pairs;
    - ``rate``: the learning rate after the burn-in;
    - ``negatives``: terms not above that each pair is set against;
    - ``burn_in``: first epochs, at a tenth of the rate;
    - ``seed``: of beginnings, order and negatives.
    """

    dims: int = 5
    space: str = "poincare"
    epochs: int = 300
    rate: float = 0.1
    negatives: int = 50
    burn_in: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        owner = "EmbeddingPlan"
        if self.space not in SPACES:
            raise InputError(message(owner, "space", " or ".join(map(repr, SPACES)), repr(self.space)))
        for name, low in (("dims", 1), ("epochs", 1), ("negatives", 1), ("burn_in", 0), ("seed", 0)):
            count(getattr(self, name), name, owner, low, 1 << 31)
        number(self.rate, "rate", owner, "a positive number", 0, float("inf"), open_low=True, open_high=True)


# Terms up to which a table of all pairs of them is held (64 MB).
_LARGEST_TABLE = 8192

Progress = Callable[[int, int], None]


def embed_hierarchy(hierarchy: Hierarchy, plan: EmbeddingPlan | None = None, *, progress: Progress | None = None,
                    checkpoint: str | os.PathLike[str] | None = None, every: float = 10.0) -> np.ndarray:
    """Vectors of the terms, (n, dims) float64, in the open unit ball (anywhere, for the Euclidean space).

    Each pair (u, v) lowers −log(e^−d(u,v) / Σ e^−d(u,v′)), the sum over v and ``negatives`` terms drawn from all that
    are not above u (Nickel & Kiela 2017, eq. 5). Steps follow the Riemannian gradient; one that would leave the ball
    ends at norm 1 − 1e-5, as in the paper. One thread, so that a seed gives the same vectors again.

    Parameters: ``progress(done, total)`` is called after each epoch; ``checkpoint``, a directory that the run is kept
    in, about ``every`` so many seconds; a run that finds its own checkpoint there goes on from it, to the same vectors
    as if never interrupted. Raises `FileError` for a checkpoint of another run.

    >>> h = Hierarchy.of([("dog", "animal"), ("cat", "animal"), ("animal", "thing")]).closed()
    >>> X = embed_hierarchy(h, EmbeddingPlan(dims=2, epochs=50, negatives=2))
    >>> X.shape, bool(np.linalg.norm(X, axis=1).max() < 1)
    ((4, 2), True)
    """
    plan = plan or EmbeddingPlan()
    run = _Run(hierarchy, plan, checkpoint)
    saved = time.monotonic()
    for epoch in range(run.epoch, plan.epochs):
        run.pass_(epoch)
        if progress is not None:
            progress(epoch + 1, plan.epochs)
        if checkpoint is not None and (epoch + 1 == plan.epochs or time.monotonic() - saved >= every):
            run.save()
            saved = time.monotonic()
    return run.points


class _Known:
    """Which terms are above which: a table where that is small, else a sorted list of pairs."""

    def __init__(self, pairs: np.ndarray, terms: int) -> None:
        self.terms = terms
        self.table = np.zeros((terms, terms), bool) if terms <= _LARGEST_TABLE else None
        self.keys = np.sort(pairs[:, 0] * terms + pairs[:, 1])
        if self.table is not None:
            self.table[pairs[:, 0], pairs[:, 1]] = True

    def above(self, below: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Whether each of the other terms is above."""
        if self.table is not None:
            return np.asarray(self.table[below, others])
        keys = below * self.terms + others
        return np.asarray(self.keys[np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)] == keys)


class _Run:
    """A run: its points, its random numbers and its epoch are all its state."""

    def __init__(self, hierarchy: Hierarchy, plan: EmbeddingPlan, directory: str | os.PathLike[str] | None) -> None:
        self.plan, self.terms, self.pairs = plan, len(hierarchy), hierarchy.pairs
        self.directory = directory
        self.task = {**plan.__dict__, "pairs": checkpoints.fingerprint(hierarchy.pairs), "terms": self.terms}
        self.known = _Known(self.pairs, self.terms)
        self.rng = np.random.default_rng(plan.seed)
        found = None if directory is None else checkpoints.read(directory, self.task)
        if found is None:
            self.epoch = 0
            self.points = self.rng.uniform(-_BEGIN, _BEGIN, (self.terms, plan.dims))
        else:
            state, arrays = found
            self.epoch = int(state["epoch"])
            self.rng.bit_generator.state = state["random"]
            self.points = arrays["points"].copy()

    def pass_(self, epoch: int) -> float:
        """One pass over the pairs in random order; the mean loss."""
        plan = self.plan
        order = self.rng.permutation(len(self.pairs))
        below, above = np.ascontiguousarray(self.pairs[order].T)
        negatives = self.rng.integers(0, self.terms, (len(order), plan.negatives))
        # A drawn term that is above, or the term itself, is no negative.
        negatives[self.known.above(below[:, None], negatives) | (negatives == below[:, None])] = -1
        loss = descend(plan.space, self.points, below, above, negatives, self._rate(epoch), _RADIUS)
        self.epoch = epoch + 1
        if not np.all(np.isfinite(self.points)):
            raise InputError(f"embed_hierarchy: the vectors grew without bound in epoch {epoch + 1}; give a smaller "
                             f"rate than {plan.rate:g}")
        return loss / len(order)

    def _rate(self, epoch: int) -> float:
        plan = self.plan
        if epoch < plan.burn_in:
            return plan.rate * _BURN_IN_SHARE
        done = (epoch - plan.burn_in) / max(1, plan.epochs - plan.burn_in)
        return plan.rate * (1 - done * (1 - _LAST_SHARE))

    def save(self) -> None:
        assert self.directory is not None
        state: dict[str, Any] = {"epoch": self.epoch, "random": self.rng.bit_generator.state}
        checkpoints.write(self.directory, self.task, state, {"points": self.points})
