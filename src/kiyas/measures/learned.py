"""A learned measure: two dense layers over [A; B], plus α·cosine, from given weights.

The first layer splits into a half for A and a half for B, so the rows' half is computed once and a
pair costs one step a hidden unit. Everything is ordered by the logit; the sigmoid is reported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kiyas.arrays import Array, float64, matrix, namespace, number, row_blocks, vector
from kiyas.directory import write_whole
from kiyas.errors import FileError, InputError, message
from kiyas.measures.base import Facts, KernelForm, Measure
from kiyas.measures.gram import gram_paired, gram_pairwise
from kiyas.measures.inner import Cosine
from kiyas.measures.rounding import given_array, like, mapped_rows

_ARRAYS = ("first_a", "first_b", "bias1", "second")


@dataclass(frozen=True, eq=False)
class Learned(Measure):
    """sigmoid(logit), logit = Σ wᵢ·relu(uᵢ + vᵢ) + b₂ + α·cosine(A, B), u = W_A·A + b₁ and v = W_B·B.

    Parameters: ``first_a``, ``first_b`` (h, d), the halves of the first layer; ``bias1`` (h,);
    ``second`` (h,), the second layer; ``bias2``; ``alpha``, the share of the cosine. The halves u, v are
    rounded to float32, by definition.

    >>> import numpy as np
    >>> m = Learned(np.eye(2), np.eye(2), np.zeros(2), np.ones(2), -3.0)
    >>> float(m(np.array([1.0, 0.0]), np.array([1.0, 1.0])))
    0.5
    """

    name: ClassVar[str] = "learned"
    facts: ClassVar[Facts] = Facts(
        title="Learned (two dense layers)",
        formula="σ(Σ wᵢ·relu(uᵢ + vᵢ) + b₂ + α·cos(A, B)), u = W_A·A + b₁, v = W_B·B", range="[0, 1]",
        scaling="none in general; with b₁ = 0 and α = 0 the logit less b₂ is homogeneous of degree 1",
        zero="a zero vector is an ordinary point; its cosine counts as 0",
        symmetric=False,
        domain="all finite vectors whose halves fit into float32",
        gradient="not defined where uᵢ + vᵢ = 0; smooth elsewhere",
        source="two-layer relevance network over the concatenation [A; B] with a residual cosine; cf. Rendle et al., "
               "RecSys 2020, on how hard a dot product is to learn",
        meaning="What a small network has learned to call relevant.",
        cost="the first layer once a row and once a query, then one addition, relu and multiplication a hidden unit",
        traps="the sigmoid is 1.0 in float64 for logits above 37, so order by the logit (search does); not symmetric "
              "unless built so; a calibrated output is no better ranking; must beat a linear map to be worth it",
    )
    first_a: np.ndarray
    first_b: np.ndarray
    bias1: np.ndarray
    second: np.ndarray
    bias2: float = 0.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        for key in _ARRAYS:
            object.__setattr__(self, key, given_array(getattr(self, key), key, self.name, 1 + key.startswith("first")))
        h, d = self.first_a.shape
        if self.first_b.shape != (h, d):
            raise InputError(message(self.name, "first_b", f"of shape {(h, d)}, as first_a", self.first_b.shape))
        for key, value in (("bias1", self.bias1), ("second", self.second)):
            if value.shape != (h,):
                raise InputError(message(self.name, key, f"of shape {(h,)}", value.shape))
        big = float(np.finfo(np.float64).max)
        for key in ("bias2", "alpha"):
            object.__setattr__(self, key, number(getattr(self, key), key, self.name, "a finite number", -big, big))

    @property
    def dims(self) -> int:
        """Dimensions of a vector."""
        return int(self.first_a.shape[1])

    @property
    def hidden(self) -> int:
        """Hidden units."""
        return int(self.first_a.shape[0])

    # -- halves and logits -------------------------------------------------------------------------

    def halves_a(self, A: Array) -> Array:
        """Halves u = W_A·A + b₁ of the first argument (queries): (n, d) -> float32 (n, h), each correctly rounded."""
        A = matrix(A, "A", f"{self.name}.halves_a", dims=self.dims)
        return like(A, mapped_rows(A, self.first_a, bias=self.bias1, owner=self.name))

    def halves_b(self, B: Array) -> Array:
        """Halves v = W_B·B of the second argument (rows): (n, d) -> float32 (n, h), each correctly rounded."""
        B = matrix(B, "B", f"{self.name}.halves_b", dims=self.dims)
        return like(B, mapped_rows(B, self.first_b, owner=self.name))

    def logit(self, a: Array, b: Array) -> Array:
        """The logit of two vectors."""
        a = vector(a, "a", self.name)
        b = vector(b, "b", self.name, dims=a.shape[0])
        return self.raw_paired(a[None, :], b[None, :])[0]

    def raw_paired(self, A: Array, B: Array) -> Array:
        """Logits row by row: (n, d), (n, d) -> float64 (n,)."""
        xp, A, B = self._checked(A, B)
        if A.shape[0] != B.shape[0]:
            raise InputError(message(f"{self.name}.raw_paired", "B", f"of {A.shape[0]} rows, one for each of A",
                                     f"{B.shape[0]}"))
        return self._raw_paired(xp, A, B)

    def raw_pairwise(self, A: Array, B: Array) -> Array:
        """Logits of all pairs: (n, d), (m, d) -> float64 (n, m)."""
        return self._raw_pairwise(*self._checked(A, B))

    def report(self, logit: Array) -> Array:
        """The score shown for a logit: its sigmoid, without overflow.

        >>> import numpy as np
        >>> m = Learned(np.eye(1), np.eye(1), np.zeros(1), np.ones(1))
        >>> m.report(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
        """
        xp = namespace(logit)
        logit = float64(xp, xp.asarray(logit))
        small = xp.exp(-xp.abs(logit))
        return xp.where(logit >= 0, 1 / (1 + small), small / (1 + small))

    def kernel(self) -> KernelForm | str:
        return KernelForm("learned", "relu", {})

    def _checked(self, A: Array, B: Array) -> tuple[Any, Array, Array]:
        matrix(A, "A", self.name, dims=self.dims)
        return super()._checked(A, B)

    def _paired(self, xp: Any, A: Array, B: Array) -> Array:
        return self.report(self._raw_paired(xp, A, B))

    def _pairwise(self, xp: Any, A: Array, B: Array) -> Array:
        return self.report(self._raw_pairwise(xp, A, B))

    def _raw_paired(self, xp: Any, A: Array, B: Array) -> Array:
        u, v = float64(xp, self.halves_a(A)), float64(xp, self.halves_b(B))
        return self._logit(xp, u + v, A) + self._cosine(xp, lambda: gram_paired(xp, A, B))

    def _raw_pairwise(self, xp: Any, A: Array, B: Array) -> Array:
        u, v = float64(xp, self.halves_a(A)), float64(xp, self.halves_b(B))
        blocks = [self._logit(xp, u[start:stop, None, :] + v[None, :, :], A)
                  for start, stop in row_blocks(u.shape[0], v.shape[0] * self.hidden)]
        return xp.concat(blocks, axis=0) + self._cosine(xp, lambda: gram_pairwise(xp, A, B))

    def _logit(self, xp: Any, hidden: Array, A: Array) -> Array:
        active = xp.where(hidden > 0, hidden, xp.zeros_like(hidden))
        return xp.sum(active * like(A, self.second), axis=-1) + self.bias2

    def _cosine(self, xp: Any, gram: Any) -> Array | float:
        return self.alpha * Cosine().formula(xp, *gram()) if self.alpha else 0.0

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as safetensors; float32 where that loses nothing."""
        from safetensors.numpy import save

        tensors = {key: getattr(self, key) for key in _ARRAYS}
        tensors |= {"bias2": np.array([self.bias2]), "alpha": np.array([self.alpha])}
        data = save({key: _narrow(value) for key, value in tensors.items()}, metadata={"measure": self.name})
        write_whole(Path(path), data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Learned:
        """Read weights from safetensors: first_a, first_b (h, d), bias1, second (h,), and bias2, alpha (1,).

        ``alpha`` may be left out (0). Raises `FileError` for anything missing, more, or of other shapes.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(Path(path).read_bytes())
        except FileNotFoundError:
            raise FileError(f"{path}: there is no such file") from None
        except OSError as error:
            raise FileError(f"{path}: cannot be read ({error.strerror})") from None
        except (SafetensorError, ValueError, KeyError, AttributeError) as error:  # safetensors' unknown dtypes
            raise FileError(f"{path}: is no safetensors file of plain arrays ({error})") from None
        wanted = {*_ARRAYS, "bias2"}
        if missing := sorted(wanted - tensors.keys()):
            raise FileError(f"{path}: lacks {', '.join(missing)}")
        if more := sorted(tensors.keys() - wanted - {"alpha"}):
            raise FileError(f"{path}: holds {', '.join(more)}, which the learned measure does not use")
        numbers: dict[str, Any] = {}
        for key in ("bias2", "alpha"):
            value = tensors.pop(key, np.zeros(1))
            if value.size != 1:
                raise FileError(f"{path}: {key} must be one number, got shape {value.shape}")
            numbers[key] = float(value.reshape(-1)[0])
        try:
            return cls(**{**tensors, **numbers})
        except InputError as error:
            raise FileError(f"{path}: {error}") from None


def _narrow(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = x.astype(np.float32)
    return np.ascontiguousarray(narrow if np.array_equal(narrow.astype(np.float64), x) else x)
