"""A learned similarity, trained on pairs: a small network beside a cosine, or the linear adapter that it must beat.

Both begin as the cosine (or as a map that is given) and end as a measure that the exact index searches without PyTorch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.arrays import Array, count
from kiyas.errors import InputError, MeasureError, message
from kiyas.fit.pairs import Pairs, Progress
from kiyas.fit.training import Start, Task, Trained, TrainingPlan, learn, require_torch, spread_of
from kiyas.measures import Cosine, Learned, LinearMap, Measure
from kiyas.measures import measure as make_measure
from kiyas.measures.mapped import MappedMeasure


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
    with the pairs that are trained on, the network sees mapped rows and begins as that map's cosine. A map that is
    given as it is must not have been fitted on these pairs, or the held-out queries say nothing.
    ``progress(done, total)`` counts epochs; ``checkpoint``: a directory that the run is kept in and goes on from, to
    the same weights.

    A share of the queries is held out with every document that is relevant to them, and says when to stop; the sigmoid
    of the logit is calibrated on them, to the share of relevant documents among all at that logit. Then it is trained
    anew on all pairs, for as many epochs. Raises
    `InputError` where nothing is left to train on, `MissingExtraError` without PyTorch.
    """
    plan = plan or TrainingPlan()
    owner = "learn_similarity"
    require_torch("a learned similarity")
    if count(hidden, "hidden", owner, 2, 1 << 16) % 2:
        raise InputError(message(owner, "hidden", "an even number", hidden))

    def build(task: Task) -> Network:
        documents = task.documents.astype(np.float64)
        size = float(np.sqrt(np.mean(np.sum(documents**2, axis=1)) / documents.shape[1])) or 1.0
        alpha = spread_of(task, lambda A, B: Cosine().pairwise(A, B))
        return Network(documents.shape[1], hidden, symmetric, size, alpha, plan.seed)

    what = {"what": "similarity", "hidden": hidden, "symmetric": symmetric}
    done = learn(build, pairs, documents, plan, owner, what, start, progress, checkpoint, every)
    learned: Measure = done.model.measure(done.scale, done.offset)
    return LearnedFit(learned if done.map is None else done.map.with_(base=learned), done.trained)


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

    def build(task: Task) -> Adapter:
        return Adapter(task.documents.shape[1], base, spread_of(task, lambda A, B: np.asarray(base.pairwise(A, B))))

    what = {"what": "adapter", "measure": str(base)}
    done = learn(build, pairs, documents, plan, owner, what, start, progress, checkpoint, every)
    return LearnedFit(done.model.measure(done.map), done.trained)
