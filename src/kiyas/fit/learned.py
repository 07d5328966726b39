"""A learned similarity, trained on pairs: a small network beside a cosine, or the linear adapter that it must beat.

Both begin as the cosine (or as a map that is given) and end as a measure that the exact index searches without PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.arrays import Array, count
from kiyas.errors import InputError, MeasureError, message
from kiyas.fit.pairs import Pairs, Progress
from kiyas.fit.training import (
    Task,
    Trained,
    TrainingPlan,
    calibration,
    held_out_logits,
    require_torch,
    spread_of,
    train,
)
from kiyas.measures import Cosine, Learned, LinearMap, Measure
from kiyas.measures import measure as make_measure
from kiyas.measures.mapped import MappedMeasure

Start = LinearMap | Callable[[Pairs], LinearMap] | None


@dataclass(frozen=True, eq=False)
class LearnedFit:
    """A measure that was learned, and how that went (`kiyas.fit.Trained`)."""

    measure: Measure
    trained: Trained

    @property
    def helps(self) -> bool:
        """Whether it is another than what it began as."""
        return self.trained.epoch > 0


class Network:
    """α·cos(A, B) + Σ wᵢ·relu(aᵢ·A + bᵢ·B + cᵢ) as tensors. The second layer begins at 0, so all begins as the cosine.

    The first layer begins with units that see differences, aᵢ = −bᵢ, half of them turned: relu of a difference and of
    its opposite. ``symmetric``: units come in twos that see A and B exchanged, and share their weight.
    """

    def __init__(self, dims: int, hidden: int, symmetric: bool, size: float, alpha: float, seed: int) -> None:
        torch = require_torch("a learned similarity")
        rng = np.random.default_rng([seed, 1])
        units = hidden // 2
        first = rng.standard_normal((units, dims)) / (np.sqrt(dims) * size)
        rows = first if symmetric else np.concatenate([first, -first])
        self.torch, self.symmetric = torch, symmetric
        values = {"first_a": rows, "first_b": -rows, "bias1": np.zeros(len(rows)), "second": np.zeros(len(rows)),
                  "alpha": np.array(alpha)}
        self.weights = {name: torch.nn.Parameter(torch.from_numpy(np.asarray(v, np.float32)))
                        for name, v in values.items()}

    def _layers(self, whole: Any) -> tuple[Any, Any, Any, Any]:
        """first_a, first_b, bias1, second with all units; ``whole`` joins the two of a pair."""
        a, b, c, w = (self.weights[name] for name in ("first_a", "first_b", "bias1", "second"))
        return (whole(a, b), whole(b, a), whole(c, c), whole(w, w)) if self.symmetric else (a, b, c, w)

    def logits(self, A: Any, B: Any) -> Any:
        torch = self.torch
        first_a, first_b, bias, second = self._layers(lambda x, y: torch.cat([x, y]))
        u, v = A @ first_a.T + bias, B @ first_b.T
        network = torch.relu(u[:, None, :] + v[None, :, :]) @ second
        return network + self.weights["alpha"] * _cosines(torch, A, B)

    def measure(self, scale: float, offset: float) -> Learned:
        """As a measure whose logit is scale·logit + offset."""
        first_a, first_b, bias, second = (x.detach().numpy().astype(np.float64)
                                          for x in self._layers(lambda x, y: self.torch.cat([x, y])))
        return Learned(first_a, first_b, bias, scale * second, offset, scale * float(self.weights["alpha"].detach()))


class Adapter:
    """scale·m(W·A, W·B) as tensors, m any measure with a formula; W begins as the identity."""

    def __init__(self, dims: int, measure: Measure, scale: float) -> None:
        torch = require_torch("a linear adapter")
        self.torch, self.base = torch, measure
        self.weights = {"matrix": torch.nn.Parameter(torch.eye(dims)),
                        "scale": torch.nn.Parameter(torch.tensor(float(np.log(scale))))}

    def logits(self, A: Any, B: Any) -> Any:
        A, B = (X @ self.weights["matrix"].T for X in (A, B))
        scores = _cosines(self.torch, A, B) if isinstance(self.base, Cosine) else self.base.pairwise(A, B).float()
        return self.weights["scale"].exp() * scores

    def measure(self, before: LinearMap | None) -> LinearMap:
        """As a map in front of the measure, after the map that it began with."""
        matrix = self.weights["matrix"].detach().numpy().astype(np.float64)
        if before is None or before.matrix is None:
            return LinearMap(matrix, self.base)
        return before.with_(matrix=matrix @ before.matrix, base=self.base)


def _cosines(torch: Any, A: Any, B: Any) -> Any:
    normalize = torch.nn.functional.normalize
    return normalize(A, dim=1, eps=1e-30) @ normalize(B, dim=1, eps=1e-30).T


def learn_similarity(pairs: Pairs, documents: Array, plan: TrainingPlan | None = None, *, hidden: int = 64,
                     symmetric: bool = False, start: Start = None, progress: Progress | None = None,
                     checkpoint: str | os.PathLike[str] | None = None, every: float = 10.0) -> LearnedFit:
    """A `kiyas.Learned` of two dense layers and α·cosine, trained on pairs (PyTorch).

    Parameters: ``pairs``: what belongs together (`judged_pairs`, `text_pairs`, clicks as `Pairs`); ``documents``
    (n, d): all rows of the collection, for negatives; ``hidden``: units, even; ``symmetric``: f(A, B) = f(B, A);
    ``start``: a function of pairs that makes a `LinearMap` with cosine behind it, such as `relevance_map`: it is called
    with the pairs that are not held out, the network sees mapped rows and begins as that map's cosine. A map that is
    given as it is must not have been fitted on these pairs, or the held-out queries say nothing.
    ``progress(done, total)`` counts epochs; ``checkpoint``: a directory that the run is kept in and goes on from, to
    the same weights.

    A share of the queries is held out with every document that is relevant to them, and says when to stop. The sigmoid
    of the logit is then calibrated on them: it is the share of relevant documents among all at that logit. Raises
    `InputError` where nothing is left to train on, `MissingExtraError` without PyTorch.
    """
    plan = plan or TrainingPlan()
    owner = "learn_similarity"
    torch = require_torch("a learned similarity")
    if count(hidden, "hidden", owner, 2, 1 << 16) % 2:
        raise InputError(message(owner, "hidden", "an even number", hidden))
    task = Task(pairs, documents, plan, owner)
    map_ = _begun(start, task, owner)
    if map_ is not None:
        task.transform(map_)
    alpha = spread_of(task, lambda A, B: Cosine().pairwise(A, B))
    size = float(np.sqrt(np.mean(np.sum(task.documents.astype(np.float64) ** 2, axis=1)) / task.documents.shape[1]))
    model = Network(task.documents.shape[1], hidden, symmetric, size or 1.0, alpha, plan.seed)
    what = {"what": "similarity", "hidden": hidden, "symmetric": symmetric}
    trained = train(model, task, what, progress=progress, checkpoint=checkpoint, every=every)
    scale, offset = calibration(held_out_logits(model, task, torch), task.held_gains)
    learned: Measure = model.measure(scale, offset)
    return LearnedFit(learned if map_ is None else map_.with_(base=learned), trained)


def learn_adapter(pairs: Pairs, documents: Array, plan: TrainingPlan | None = None, *,
                  measure: str | Measure = "cosine", start: Start = None, progress: Progress | None = None,
                  checkpoint: str | os.PathLike[str] | None = None, every: float = 10.0) -> LearnedFit:
    """A `kiyas.LinearMap` in front of a measure, trained on pairs (PyTorch): the rival of `learn_similarity`.

    ``measure``: what compares mapped rows, in training as in search: with dot, ndd or another that minds lengths, the
    map learns lengths that mean something. ``start``: as in `learn_similarity`; the identity unless given. The rest is
    as there, too; a batch of a per-dimension measure takes memory for all its pairs and dimensions.
    """
    plan = plan or TrainingPlan()
    owner = "learn_adapter"
    require_torch("a linear adapter")
    base = make_measure(measure)
    if isinstance(base, MappedMeasure | Learned) or not base.fitted:
        raise MeasureError(message(owner, "measure", "an inner or per-dimension measure that needs no fitting",
                                   str(base)))
    task = Task(pairs, documents, plan, owner)
    map_ = _begun(start, task, owner)
    if map_ is not None:
        task.transform(map_)
    scale = spread_of(task, lambda A, B: np.asarray(base.pairwise(A, B)))
    model = Adapter(task.documents.shape[1], base, scale)
    what = {"what": "adapter", "measure": str(base)}
    trained = train(model, task, what, progress=progress, checkpoint=checkpoint, every=every)
    return LearnedFit(model.measure(map_), trained)


def _begun(start: Start, task: Task, owner: str) -> LinearMap | None:
    """The map to begin with, made of the pairs that are left for training where it is a way of making one."""
    map_ = start(task.left()) if callable(start) and not isinstance(start, Measure) else start
    if map_ is not None and (not isinstance(map_, LinearMap) or not isinstance(map_.base, Cosine)):
        raise MeasureError(message(owner, "start", "a linear_map with cosine behind it, or a function of pairs that "
                                   "makes one", str(map_)))
    return map_
