"""Training a similarity on pairs, with PyTorch: batches, negatives, early stopping, checkpoints.

What is trained is a `Model`; this module knows only that it scores queries against candidates.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kiyas.arrays import Array, count, matrix, number, to_numpy
from kiyas.errors import InputError, MeasureError, message, missing_extra
from kiyas.fit import checkpoint as checkpoints
from kiyas.fit.pairs import Pairs, Progress
from kiyas.measures import Cosine, LinearMap, Measure
from kiyas.measures.mapped import MappedMeasure
from kiyas.metrics import judge, ndcg

_CUT = 10
# Softmax logits begin with about this spread over random pairs, whatever the unit of the score: for cosines of sentence
# embeddings that is a temperature of about 0.05.
SPREAD = 2.0
# Held-out queries scored at a time.
_BLOCK = 32


def require_torch(purpose: str) -> Any:
    """PyTorch, or the error with its install line."""
    try:
        import torch
    except ImportError:
        raise missing_extra("torch", "torch", purpose) from None
    return torch


@dataclass(frozen=True)
class TrainingPlan:
    """How a similarity is trained.

    - ``epochs``: passes over the pairs at most;
    - ``patience``: passes without a better held-out nDCG@10 after which it stops;
    - ``batch``: pairs a step; the documents of the others are negatives;
    - ``hard``: further negatives a pair, drawn from the ``pool`` documents of other pairs nearest to its query by
      cosine;
    - ``rate``: the learning rate of Adam; ``pull``: how strongly weights are drawn to where they began;
    - ``held_out``: share of the queries that early stopping goes by;
    - ``seed``: of weights, split, order and negatives.
    """

    epochs: int = 60
    patience: int = 8
    batch: int = 64
    hard: int = 4
    pool: int = 60
    rate: float = 3e-4
    pull: float = 1e-3
    held_out: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        owner = "TrainingPlan"
        for name, low in (("epochs", 1), ("patience", 1), ("batch", 2), ("hard", 0), ("pool", 1), ("seed", 0)):
            count(getattr(self, name), name, owner, low, 1 << 31)
        number(self.rate, "rate", owner, "a positive number", 0, math.inf, open_low=True, open_high=True)
        number(self.pull, "pull", owner, "a number from 0", 0, math.inf, open_high=True)
        number(self.held_out, "held_out", owner, "a number between 0 and 1", 0, 1, open_low=True, open_high=True)


class Model(Protocol):
    """What can be trained: named weights, and logits of queries (b, d) against documents (c, d), both float32."""

    weights: dict[str, Any]

    def logits(self, A: Any, B: Any) -> Any:
        """Logits (b, c) as a PyTorch tensor."""


@dataclass(frozen=True)
class Trained:
    """How a training went.

    ``before``, ``after``: nDCG@10 of the held-out queries, each an array, at the beginning and at the epoch that was
    kept; ``epoch``: that epoch, 0 for the beginning; ``epochs``: how many were run; ``losses``: of each.
    """

    before: np.ndarray
    after: np.ndarray
    epoch: int
    epochs: int
    losses: list[float] = field(default_factory=list)

    def conclusion(self) -> str:
        """In words."""
        b, a, n = float(self.before.mean()), float(self.after.mean()), self.before.size
        if self.epoch == 0:
            return f"Nothing gained on {n} held-out queries (nDCG@10 {b:.4f}): it stays as it began."
        return (f"nDCG@10 of {n} held-out queries {b:.4f} → {a:.4f} after {self.epoch} epochs; this chose the epoch, "
                "so measure it on other queries.")


class Task:
    """Pairs as rows of a collection: which query goes with which, who is held out, what is a negative."""

    def __init__(self, pairs: Pairs, documents: Array, plan: TrainingPlan, owner: str, hold: bool = True) -> None:
        D = np.asarray(to_numpy(matrix(documents, "documents", owner, dims=pairs.queries.shape[1])), np.float32).copy()
        if pairs.owners.min() < 0 or pairs.owners.max() >= len(D):
            raise InputError(message(owner, "pairs", f"of owners from 0 to {len(D) - 1}, the rows of documents",
                                     f"{int(pairs.owners.max())}"))
        self.plan = plan
        Q, self.query = np.unique(pairs.queries, axis=0, return_inverse=True)
        self.query = self.query.reshape(-1)
        self.queries = Q.astype(np.float32)
        self.row = pairs.owners
        # A pair's own document vector stands for its row: for a title that is the text without the title.
        D[pairs.owners] = pairs.documents
        self.documents = D
        self.rng = np.random.default_rng(plan.seed)
        self.held, self.held_gains = np.empty(0, np.int64), list[dict[int, float]]()
        self.pairs = np.arange(len(pairs))
        if hold:
            self._split(owner)
        self.known = np.zeros((len(Q), len(D)), bool)
        self.known[self.query, self.row] = True

    def _split(self, owner: str) -> None:
        """Queries held out, and the pairs left: without every document that is relevant to one held out."""
        order = self.rng.permutation(len(self.queries))
        held = np.sort(order[: max(1, round(self.plan.held_out * len(order)))])
        of_held = np.isin(self.query, held)
        left = ~of_held & ~np.isin(self.row, self.row[of_held])
        self.pairs = np.flatnonzero(left)
        if held.size == len(self.queries) or self.pairs.size < 2:
            raise InputError(f"{owner}: {len(self.queries)} queries leave nothing to train on once some are held out "
                             "with their documents; give more pairs")
        self.held = held
        self.held_gains = [{int(r): 1.0 for r in self.row[self.query == q]} for q in held]

    def left(self) -> Pairs:
        """The pairs that are trained on."""
        return Pairs(self.queries[self.query[self.pairs]], self.documents[self.row[self.pairs]], self.row[self.pairs])

    def transform(self, map_: MappedMeasure) -> None:
        """Put queries and documents as the map gives them in their place."""
        self.queries = np.asarray(map_.transform_queries(self.queries), np.float32)
        self.documents = np.asarray(map_.transform(self.documents), np.float32)

    def hard_pools(self) -> np.ndarray:
        """For each query the rows nearest by cosine, of those trained on, that are not known to be relevant to it.

        (queries, pool), −1 for none. A row of no training pair would be pushed away by every query and drawn near by
        none: it would be learned that such documents are bad, though they are only not judged, or held out.
        """
        trained_on = np.zeros(len(self.documents), bool)
        trained_on[self.row[self.pairs]] = True
        unit = [X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-30) for X in (self.queries, self.documents)]
        width = min(self.plan.pool, len(self.documents))
        out = np.full((len(self.queries), width), -1, np.int64)
        for start in range(0, len(self.queries), _BLOCK):
            S = unit[0][start : start + _BLOCK] @ unit[1].T
            S[self.known[start : start + _BLOCK] | ~trained_on] = -np.inf
            best = np.argsort(-S, axis=1, kind="stable")[:, :width]
            found = np.take_along_axis(S, best, axis=1) > -np.inf
            out[start : start + _BLOCK][found] = best[found]
        return out


def spread_of(task: Task, scores: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    """The factor that gives logits of random pairs the spread `SPREAD`."""
    rng = np.random.default_rng(task.plan.seed)
    A = task.queries[rng.integers(0, len(task.queries), 64)]
    B = task.documents[rng.integers(0, len(task.documents), 64)]
    spread = float(np.std(scores(A, B)))
    return SPREAD / spread if spread > 1e-12 else 1.0


Start = LinearMap | Callable[[Pairs], LinearMap] | None


@dataclass(frozen=True, eq=False)
class Learning:
    """What `learn` leaves: the model trained on all pairs, the map before it, how it went, and its calibration."""

    model: Any
    map: LinearMap | None
    trained: Trained
    scale: float
    offset: float


def learn(build: Callable[[Task], Model], pairs: Pairs, documents: Array, plan: TrainingPlan, owner: str,
          what: dict[str, Any], start: Start = None, progress: Progress | None = None,
          checkpoint: str | os.PathLike[str] | None = None, every: float = 10.0) -> Learning:
    """Train twice: with queries held out, to find for how many epochs and to calibrate; then on all pairs for so many.

    ``checkpoint``: the directory of the first; the second is kept beside it, under that name with ``.all``.
    """
    torch = require_torch("training a similarity")
    first, _ = _begun(Task(pairs, documents, plan, owner), start, owner)
    model = build(first)
    trained = train(model, first, what, progress=progress, checkpoint=checkpoint, every=every)
    scale, offset = calibration(held_out_logits(model, first, torch), first.held_gains)
    whole, map_ = _begun(Task(pairs, documents, plan, owner, hold=False), start, owner)
    model = build(whole)
    if trained.epoch:
        beside = None if checkpoint is None else refit_directory(checkpoint)
        train(model, whole, {**what, "on": "all pairs"}, epochs=trained.epoch, progress=progress, checkpoint=beside,
              every=every)
    return Learning(model, map_, trained, scale, offset)


def refit_directory(checkpoint: str | os.PathLike[str]) -> Path:
    """Where the training on all pairs is kept."""
    return Path(checkpoint).with_name(Path(checkpoint).name + ".all")


def _begun(task: Task, start: Start, owner: str) -> tuple[Task, LinearMap | None]:
    """The task behind the map to begin with, made of the pairs that are trained on where it is a way of making one."""
    map_ = start(task.left()) if callable(start) and not isinstance(start, Measure) else start
    if map_ is not None:
        if not isinstance(map_, LinearMap) or not isinstance(map_.base, Cosine):
            raise MeasureError(message(owner, "start", "a linear_map with cosine behind it, or a function of pairs "
                                       "that makes one", str(map_)))
        task.transform(map_)
    return task, map_


def train(model: Model, task: Task, what: dict[str, Any], *, epochs: int | None = None,
          progress: Progress | None = None, checkpoint: str | os.PathLike[str] | None = None,
          every: float = 10.0) -> Trained:
    """Train the weights in place, and leave the best; with ``epochs``, run so many and leave the last.

    The loss is the cross-entropy of a pair's document among those of its batch and the hard negatives, other documents
    that are relevant to its query left out. After each epoch the held-out queries are ranked over all documents; the
    best epoch is kept, and the beginning unless its gain is above its standard error.
    """
    run = _Run(model, task, what, checkpoint, epochs)
    saved = time.monotonic()
    while not run.done:
        run.epoch()
        if progress is not None:
            progress(len(run.losses), epochs or task.plan.epochs)
        if checkpoint is not None and (run.done or time.monotonic() - saved >= every):
            run.save()
            saved = time.monotonic()
    return run.finish()


class _Run:
    """A training: weights, Adam's state, the best so far, random numbers; all of it goes into a checkpoint."""

    def __init__(self, model: Model, task: Task, what: dict[str, Any],
                 directory: str | os.PathLike[str] | None, epochs: int | None) -> None:
        self.torch = torch = require_torch("training a similarity")
        self.model, self.task, self.plan, self.directory = model, task, task.plan, directory
        self.epochs = epochs
        self.names = sorted(model.weights)
        self.parameters = [model.weights[name] for name in self.names]
        self.begin = [p.detach().clone() for p in self.parameters]
        self.adam = torch.optim.Adam(self.parameters, lr=self.plan.rate)
        self.Q, self.D = torch.from_numpy(task.queries), torch.from_numpy(task.documents)
        self.pools = task.hard_pools() if self.plan.hard else np.empty((0, 0), np.int64)
        self.rng = task.rng
        self.losses: list[float] = []
        self.identity = {**asdict(self.plan), **what, "for": epochs, "data": checkpoints.fingerprint(
            task.queries, task.documents, task.query, task.row)}
        found = None if directory is None else checkpoints.read(directory, self.identity)
        if found is None:
            self.before = self.best_values = self.held_out()
            self.best_epoch, self.best = 0, self.begin
        else:
            self._restore(*found)

    @property
    def done(self) -> bool:
        """Whether all epochs are run, or no better one has come for long enough."""
        ran = len(self.losses)
        if self.epochs is not None:
            return ran >= self.epochs
        return ran >= self.plan.epochs or ran - self.best_epoch >= self.plan.patience

    def epoch(self) -> None:
        """One pass over the pairs in random order, then the held-out queries."""
        order = self.task.pairs[self.rng.permutation(self.task.pairs.size)]
        total = 0.0
        for start in range(0, order.size, self.plan.batch):
            chosen = order[start : start + self.plan.batch]
            if chosen.size < 2:  # one pair has no other document to be set against
                continue
            loss = self._loss(chosen)
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            total += float(loss.detach()) * chosen.size
        self.losses.append(total / order.size)
        if not math.isfinite(self.losses[-1]):
            raise InputError(f"training: the loss is {self.losses[-1]} in epoch {len(self.losses)}; give a smaller "
                             f"rate than {self.plan.rate:g}")
        if self.epochs is not None:
            return
        values = self.held_out()
        if values.mean() > self.best_values.mean():
            self.best_values, self.best_epoch = values, len(self.losses)
            self.best = [p.detach().clone() for p in self.parameters]

    def _loss(self, chosen: np.ndarray) -> Any:
        torch, task = self.torch, self.task
        query, rows = task.query[chosen], task.row[chosen]
        if self.plan.hard:
            pools = self.pools[query]
            drawn = pools[np.arange(query.size)[:, None],
                          self.rng.integers(0, pools.shape[1], (query.size, self.plan.hard))].reshape(-1)
            rows = np.concatenate([rows, drawn[drawn >= 0]])
        logits = self.model.logits(self.Q[torch.from_numpy(query)], self.D[torch.from_numpy(rows)])
        also = task.known[query[:, None], rows[None, :]]
        also[np.arange(query.size), np.arange(query.size)] = False
        logits = logits.masked_fill(torch.from_numpy(also), -1e9)
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(query.size))
        if self.plan.pull:
            loss = loss + self.plan.pull * sum(((p - b) ** 2).sum()
                                               for p, b in zip(self.parameters, self.begin, strict=True))
        return loss

    def held_out(self) -> np.ndarray:
        """nDCG@10 of each held-out query over all documents."""
        if self.epochs is not None:
            return np.empty(0)
        return ndcg_of(self.model, self.task, self.torch)

    def finish(self) -> Trained:
        """Put the weights to keep in place."""
        if self.epochs is not None:
            return Trained(self.before, self.before, len(self.losses), len(self.losses), self.losses)
        gain = self.best_values - self.before
        error = float(np.std(gain, ddof=1) / math.sqrt(gain.size)) if gain.size > 1 else 0.0
        keep = self.best_epoch > 0 and float(gain.mean()) > error
        with self.torch.no_grad():
            for parameter, value in zip(self.parameters, self.best if keep else self.begin, strict=True):
                parameter.copy_(value)
        return Trained(self.before, self.best_values if keep else self.before, self.best_epoch if keep else 0,
                       len(self.losses), self.losses)

    # -- checkpoints -------------------------------------------------------------------------------

    def save(self) -> None:
        assert self.directory is not None
        arrays = {"before": self.before, "best_values": self.best_values}
        for name, parameter, best in zip(self.names, self.parameters, self.best, strict=True):
            arrays[f"weight.{name}"], arrays[f"best.{name}"] = parameter.detach().numpy(), best.numpy()
            for key, value in self.adam.state[parameter].items():
                arrays[f"adam.{key}.{name}"] = value.numpy()
        checkpoints.write(self.directory, self.identity, {
            "losses": self.losses, "best_epoch": self.best_epoch, "random": self.rng.bit_generator.state}, arrays)

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        torch = self.torch
        self.losses, self.best_epoch = list(state["losses"]), int(state["best_epoch"])
        self.rng.bit_generator.state = state["random"]
        self.before, self.best_values = arrays["before"], arrays["best_values"]
        self.best = [torch.from_numpy(arrays[f"best.{name}"].copy()) for name in self.names]
        with torch.no_grad():
            for name, parameter in zip(self.names, self.parameters, strict=True):
                parameter.copy_(torch.from_numpy(arrays[f"weight.{name}"].copy()))
                self.adam.state[parameter] = {
                    key: torch.from_numpy(arrays[f"adam.{key}.{name}"].copy()) for key in ("step", "exp_avg",
                                                                                           "exp_avg_sq")}


def ndcg_of(model: Model, task: Task, torch: Any) -> np.ndarray:
    """nDCG@10 of a task's held-out queries over all its documents; ties go to the earlier row, as in a search."""
    rows = np.argsort(-held_out_logits(model, task, torch), axis=1, kind="stable")[:, :_CUT]
    return ndcg(judge(rows, task.held_gains), _CUT)


def held_out_logits(model: Model, task: Task, torch: Any) -> np.ndarray:
    """Logits of the held-out queries against all documents, float64."""
    Q, D = torch.from_numpy(task.queries[task.held]), torch.from_numpy(task.documents)
    with torch.no_grad():
        return np.concatenate([model.logits(Q[i : i + _BLOCK], D).numpy() for i in range(0, len(Q), _BLOCK)]
                              ).astype(np.float64)


def calibration(logits: np.ndarray, gains: Sequence[dict[int, float]]) -> tuple[float, float]:
    """Scale s > 0 and offset t for which sigmoid(s·logit + t) is the share of relevant documents at a logit.

    Logistic regression by Newton's method over all (held-out query, document) pairs, with a mild pull of s to 1.
    """
    y: np.ndarray = np.zeros(logits.shape)
    for i, one in enumerate(gains):
        y[i, list(one)] = 1.0
    x, y = np.reshape(logits, -1), np.reshape(y, -1)
    middle, width = float(x.mean()), float(x.std()) or 1.0
    z = (x - middle) / width
    share = float(y.mean())
    a, b = width, math.log(share / (1 - share))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(a * z + b, -500, 500)))
        w = p * (1 - p)
        g = np.array([float((p - y) @ z) + (a - width) / width**2, float((p - y).sum())])
        H = np.array([[float(w @ (z * z)) + 1 / width**2, float(w @ z)], [float(w @ z), float(w.sum()) + 1e-12]])
        move = np.linalg.solve(H, g)
        size = float(np.abs(move).max())
        a, b = a - float(move[0]) * min(1.0, 2 / size), b - float(move[1]) * min(1.0, 2 / size)
        if size < 1e-9:
            break
    # The order must stay: a network that ranks no better than chance keeps its scale.
    scale = a / width if a > 0 else 1.0
    return scale, b - scale * middle
