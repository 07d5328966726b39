"""Measures that map rows first: what is compared are the mapped rows, float32 by definition."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from kiyas.arrays import Array, matrix, vector
from kiyas.measures.base import KernelForm, Measure


@dataclass(frozen=True, eq=False)
class MappedMeasure(Measure):
    """A measure ``compared(transform_queries(A), transform(B))`` of mapped queries and mapped rows.

    A search maps the rows once and keeps them; each row is mapped by itself, so that no result depends on a batch.
    """

    @property
    @abstractmethod
    def compared(self) -> Measure:
        """The measure that compares mapped rows."""

    @abstractmethod
    def transform(self, X: Array) -> Array:
        """Rows as they are compared: (n, d) -> float32 (n, d_out), of X's library and device."""

    def transform_queries(self, Q: Array) -> Array:
        """Queries as they are compared; as rows, unless a measure says otherwise."""
        return self.transform(Q)

    def kernel(self) -> KernelForm | str:
        """That of the measure behind the map: a search maps its rows and queries itself."""
        return self.compared.kernel()

    def paired(self, A: Array, B: Array) -> Array:
        A, B = self._both(A, B)
        return self.compared.paired(self.transform_queries(A), self.transform(B))

    def pairwise(self, A: Array, B: Array) -> Array:
        A, B = self._both(A, B)
        return self.compared.pairwise(self.transform_queries(A), self.transform(B))

    def profile(self, a: Array, b: Array) -> Array:
        """The profile behind the map: the score of every mapped dimension."""
        return self.compared.profile(*self._one_pair(a, b))

    def distance(self, a: Array, b: Array) -> Array:
        """The distance between the mapped vectors."""
        return self.compared.distance(*self._one_pair(a, b))

    def _both(self, A: Array, B: Array) -> tuple[Array, Array]:
        A = matrix(A, "A", self.name)
        return A, matrix(B, "B", self.name, dims=A.shape[1])

    def _one_pair(self, a: Array, b: Array) -> tuple[Array, Array]:
        a = vector(a, "a", self.name)
        b = vector(b, "b", self.name, dims=a.shape[0])
        return self.transform_queries(a[None, :])[0, :], self.transform(b[None, :])[0, :]

    def _paired(self, xp: Any, A: Array, B: Array) -> Array:
        return self.paired(A, B)

    def _pairwise(self, xp: Any, A: Array, B: Array) -> Array:
        return self.pairwise(A, B)
