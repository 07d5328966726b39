"""What every measure is: a similarity (larger is more alike) with its facts, formulas and saved form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from kiyas.arrays import Array, float64, matrix, namespace, vector
from kiyas.errors import InputError, MeasureError, NotFittedError, message


@dataclass(frozen=True)
class Facts:
    """What one has to know of a measure before using it; the page of documentation holds the same."""

    title: str
    formula: str
    range: str
    scaling: str
    zero: str
    source: str
    meaning: str
    cost: str
    symmetric: bool = True
    domain: str = "all finite vectors"
    gradient: str = "smooth"
    traps: str = ""


@dataclass(frozen=True)
class KernelForm:
    """How a compiled scan computes a measure: its family, the kind within it, the kind's parameters.

    ``kiyas.kernels.find`` reads this; a measure that no kernel can scan has ``kernel()`` return the
    reason as a string instead.
    """

    family: str
    kind: str
    parameters: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Measure(ABC):
    """A similarity of two vectors: larger is more alike, always.

    Subclasses are frozen dataclasses: their fields are the parameters and the fitted arrays, so a
    measure can be printed, saved and loaded without further code. Concrete ones define ``name``,
    ``facts``, ``_paired`` and ``_pairwise``.
    """

    name: ClassVar[str]
    facts: ClassVar[Facts]

    # -- comparing ---------------------------------------------------------------------------------

    def __call__(self, a: Array, b: Array) -> Array:
        """Similarity of two vectors.

        Parameters: ``a``, ``b`` of shape (d,), any array-API floats. Returns a float64 scalar of the
        same library. Raises `InputError` for other shapes, NaN or infinity; `NotFittedError` where
        the measure has to be fitted first; `DomainError` where it is not defined.
        """
        a = vector(a, "a", self.name)
        b = vector(b, "b", self.name, dims=a.shape[0])
        return self.paired(a[None, :], b[None, :])[0]

    def paired(self, A: Array, B: Array) -> Array:
        """Similarities row by row: ``A``, ``B`` of shape (n, d) -> float64 of shape (n,)."""
        xp, A, B = self._checked(A, B)
        if A.shape[0] != B.shape[0]:
            raise InputError(message(f"{self.name}.paired", "B", f"of {A.shape[0]} rows, one for each of A",
                                     f"{B.shape[0]}"))
        return self._paired(xp, A, B)

    def pairwise(self, A: Array, B: Array) -> Array:
        """Similarities of all pairs: ``A`` (n, d), ``B`` (m, d) -> float64 of shape (n, m)."""
        xp, A, B = self._checked(A, B)
        return self._pairwise(xp, A, B)

    def distance(self, a: Array, b: Array) -> Array:
        """The distance behind the measure, in its own unit; raises `MeasureError` where it has none."""
        a = vector(a, "a", self.name)
        b = vector(b, "b", self.name, dims=a.shape[0])
        xp, A, B = self._checked(a[None, :], b[None, :])
        return self._distance(xp, A, B)[0]

    def profile(self, a: Array, b: Array) -> Array:
        """The score of every dimension, nothing collapsed: shape (d,); coordinate measures have one."""
        raise MeasureError(f"{self.name}: has no per-dimension profile; manhattan, gower and exponential have one")

    # -- fitting -----------------------------------------------------------------------------------

    @property
    def fitted(self) -> bool:
        """Whether the measure can compare as it is."""
        return True

    def fit(self, X: Array) -> Self:
        """A copy fitted on the rows ``X`` (n, d); measures with nothing to fit return themselves."""
        matrix(X, "X", f"{self.name}.fit")
        return self

    # -- what search asks --------------------------------------------------------------------------

    @abstractmethod
    def kernel(self) -> KernelForm | str:
        """How a compiled scan computes this measure, or the reason why none can."""

    def check_rows(self, X: Array, name: str = "vectors") -> None:  # noqa: B027  most measures have no domain
        """Raise `DomainError` if a row lies outside the domain, naming it."""

    # -- for subclasses ----------------------------------------------------------------------------

    @abstractmethod
    def _paired(self, xp: Any, A: Array, B: Array) -> Array:
        """Row by row on checked float64 arrays."""

    @abstractmethod
    def _pairwise(self, xp: Any, A: Array, B: Array) -> Array:
        """All pairs on checked float64 arrays."""

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        raise MeasureError(f"{self.name}: has no distance of its own")

    def _checked(self, A: Array, B: Array) -> tuple[Any, Array, Array]:
        A = matrix(A, "A", self.name)
        B = matrix(B, "B", self.name, dims=A.shape[1])
        if not self.fitted:
            raise NotFittedError(f"{self.name}: is not fitted; call fit(X) on the rows of your collection first")
        self.check_rows(A, "A")
        self.check_rows(B, "B")
        xp = namespace(A, B)
        return xp, float64(xp, A), float64(xp, B)

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def __str__(self) -> str:
        return describe(self)


def describe(measure: Measure) -> str:
    """The measure as the text that makes it: only parameters that differ from their defaults.

    Arrays are shown by their shape, so the text of a fitted measure is for reading.
    """
    parts = []
    for field in fields(measure):
        value = getattr(measure, field.name)
        if not field.init or field.metadata.get("fitted") or _same(value, _default(field)):
            continue
        parts.append(f"{field.name}={_text(value)}")
    return f"{measure.name}({', '.join(parts)})" if parts else measure.name


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _same(value: Any, default: Any) -> bool:
    if isinstance(value, Measure) and isinstance(default, Measure):
        return str(value) == str(default)
    return value is default or (not isinstance(value, np.ndarray) and bool(value == default))


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    return str(value) if isinstance(value, Measure) else repr(value)
