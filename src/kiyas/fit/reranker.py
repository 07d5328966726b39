"""A network over A∘B and |A − B|, which does not split into halves: it re-ranks the exact best of another measure."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.arrays import Array, count, matrix, to_numpy
from kiyas.directory import write_whole
from kiyas.errors import FileError, InputError, message
from kiyas.fit.pairs import Pairs, Progress, unit_rows
from kiyas.fit.training import Task, Trained, TrainingPlan, learn, require_torch, spread_of
from kiyas.measures import Cosine
from kiyas.search import Hits, Index

_ARRAYS = {"first": 2, "bias1": 1, "second": 1}


@dataclass(frozen=True, eq=False)
class Reranker:
    """sigmoid(logit), logit = Σ wᵢ·relu(Fᵢ·[√d·a∘b; √d·|a − b|] + cᵢ) + b₂ + α·a·b, for a = A/‖A‖, b = B/‖B‖.

    Symmetric in A and B. Its first layer sees both at once, so no half of a row can be computed beforehand and no index
    searches by it: `rerank` orders anew what an index found under a measure of its own.

    ``first`` (h, 2d), ``bias1`` (h,), ``second`` (h,), ``bias2``, ``alpha``; ``trained``: how its training went.
    """

    first: np.ndarray
    bias1: np.ndarray
    second: np.ndarray
    bias2: float
    alpha: float
    trained: Trained | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        first = np.asarray(self.first, np.float64)
        h = first.shape[0]
        if first.ndim != 2 or first.shape[1] % 2 or self.bias1.shape != (h,) or self.second.shape != (h,):
            raise InputError(message("Reranker", "first", "of shape (h, 2d), with bias1 and second of shape (h,)",
                                     f"{first.shape}, {self.bias1.shape} and {self.second.shape}"))

    @property
    def dims(self) -> int:
        """Dimensions of a vector."""
        return int(self.first.shape[1] // 2)

    def logits(self, query: Array, rows: Array) -> np.ndarray:
        """Logits of one query (d,) and rows (n, d): float64 (n,)."""
        a = unit_rows(np.asarray(to_numpy(query))[None, :], "query", "Reranker")[0]
        b = unit_rows(matrix(rows, "rows", "Reranker", dims=self.dims), "rows", "Reranker")
        if a.shape != (self.dims,):
            raise InputError(message("Reranker", "query", f"of {self.dims} dimensions", a.shape[0]))
        scale = np.sqrt(self.dims)
        seen = np.concatenate([a * b, np.abs(a - b)], axis=1) * scale
        # Sums over the last axis, not a matrix product: a row's logit must not depend on which rows come with it.
        hidden = np.stack([np.sum(seen * unit, axis=1) for unit in self.first], axis=1) + self.bias1
        return np.asarray(np.sum(np.maximum(hidden, 0) * self.second, axis=1) + self.bias2
                          + self.alpha * np.sum(a * b, axis=1))

    def rerank(self, index: Index, queries: Array, k: int = 10, depth: int = 100) -> Hits:
        """The ``k`` best by this network among the exact ``depth`` best of the index's own measure.

        Scores are sigmoids; ties go to the row that the index ranked higher. What is not among the ``depth`` best of
        that measure cannot be found, and `Hits.path` says so.
        """
        depth = count(depth, "depth", "Reranker.rerank", 1, len(index))
        k = count(k, "k", "Reranker.rerank", 1, depth, "it orders no more than depth rows")
        if index.dims != self.dims:
            raise InputError(message("Reranker.rerank", "index", f"of {self.dims} dimensions", index.dims))
        Q = np.asarray(to_numpy(queries))
        Q = Q[None, :] if Q.ndim == 1 else Q
        found, vectors = index.search(Q, k=depth), index.vectors
        place = {name: row for row, name in enumerate(index.ids.tolist())}
        ids, scores = found.ids[:, :k].copy(), np.empty((len(Q), k))
        for j, query in enumerate(Q):
            logits = self.logits(query, vectors[[place[name] for name in found.ids[j].tolist()]])
            best = np.argsort(-logits, kind="stable")[:k]
            ids[j], scores[j] = found.ids[j][best], _sigmoid(logits[best])
        return Hits(ids, scores, np.full(len(Q), depth, np.int64),
                    f"network over A∘B and |A−B|, on the exact {depth} best of {index.measure} ({found.path})", False)

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as safetensors."""
        from safetensors.numpy import save

        tensors = {name: np.ascontiguousarray(getattr(self, name), dtype=np.float64) for name in _ARRAYS}
        tensors |= {"bias2": np.array([self.bias2]), "alpha": np.array([self.alpha])}
        write_whole(Path(path), save(tensors, metadata={"kiyas": "reranker"}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Reranker:
        """Read weights back. Raises `FileError` for anything missing, more, or of other shapes."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(Path(path).read_bytes())
        except FileNotFoundError:
            raise FileError(f"{path}: there is no such file") from None
        except (OSError, SafetensorError, ValueError, KeyError, AttributeError) as error:
            raise FileError(f"{path}: is no safetensors file of plain arrays ({error})") from None
        wanted = {**_ARRAYS, "bias2": 1, "alpha": 1}
        if tensors.keys() != wanted.keys() or any(tensors[n].ndim != ndim for n, ndim in wanted.items()):
            raise FileError(f"{path}: must hold {', '.join(wanted)}, got "
                            + ", ".join(f"{n} {tuple(t.shape)}" for n, t in sorted(tensors.items())))
        try:
            return cls(tensors["first"], tensors["bias1"], tensors["second"], float(tensors["bias2"][0]),
                       float(tensors["alpha"][0]))
        except InputError as error:
            raise FileError(f"{path}: {error}") from None


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(logit))
    return np.asarray(np.where(logit >= 0, 1 / (1 + small), small / (1 + small)))


class _Products:
    """The same network as tensors, beginning as the cosine."""

    def __init__(self, dims: int, hidden: int, alpha: float, seed: int) -> None:
        torch = require_torch("a learned re-ranker")
        rng = np.random.default_rng([seed, 2])
        values = {"first": rng.standard_normal((hidden, 2 * dims)) / np.sqrt(2 * dims), "bias1": np.zeros(hidden),
                  "second": np.zeros(hidden), "alpha": np.array(alpha)}
        self.torch, self.scale = torch, float(np.sqrt(dims))
        self.weights = {n: torch.nn.Parameter(torch.from_numpy(v.astype(np.float32))) for n, v in values.items()}

    def logits(self, A: Any, B: Any) -> Any:
        torch, w = self.torch, self.weights
        a, b = (torch.nn.functional.normalize(X, dim=1, eps=1e-30) for X in (A, B))
        a, b = a[:, None, :], b[None, :, :]
        seen = torch.cat([a * b, (a - b).abs()], dim=2) * self.scale
        return torch.relu(seen @ w["first"].T + w["bias1"]) @ w["second"] + w["alpha"] * (a * b).sum(dim=2)


def learn_reranker(pairs: Pairs, documents: Array, plan: TrainingPlan | None = None, *, hidden: int = 32,
                   progress: Progress | None = None, checkpoint: str | os.PathLike[str] | None = None,
                   every: float = 10.0) -> Reranker:
    """A `Reranker` trained on pairs (PyTorch); parameters as in `learn_similarity`.

    Early stopping ranks all documents, not only the best of another measure.
    """
    plan = plan or TrainingPlan()
    require_torch("a learned re-ranker")
    count(hidden, "hidden", "learn_reranker", 1, 1 << 16)

    def build(task: Task) -> _Products:
        alpha = spread_of(task, lambda A, B: Cosine().pairwise(A, B))
        return _Products(task.documents.shape[1], hidden, alpha, plan.seed)

    what = {"what": "reranker", "hidden": hidden}
    done = learn(build, pairs, documents, plan, "learn_reranker", what, None, progress, checkpoint, every)
    first, bias1, second, alpha = (done.model.weights[n].detach().numpy().astype(np.float64)
                                   for n in ("first", "bias1", "second", "alpha"))
    return Reranker(first, bias1, done.scale * second, done.offset, done.scale * float(alpha), done.trained)
