"""Retrieval with the similarity measure you choose, exact and fast.

>>> import numpy as np, kiyas
>>> index = kiyas.Index(np.eye(3), measure="ndd")
>>> index.search([0.9, 0.1, 0.0], k=1).ids.tolist()
[[0]]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kiyas.errors import (
        DomainError,
        FileError,
        InputError,
        KiyasError,
        MeasureError,
        MissingExtraError,
        NotFittedError,
    )
    from kiyas.measures import (
        Covariance,
        Learned,
        LinearMap,
        Mahalanobis,
        Measure,
        Quantile,
        list_measures,
        measure,
        reduce,
        user_measure,
    )
    from kiyas.measures.attention import attention
    from kiyas.search import Explanation, Hits, Index

# Imported when first used, so that the command is there at once, whatever it then waits for.
_HOMES = {
    "errors": ("DomainError", "FileError", "InputError", "KiyasError", "MeasureError", "MissingExtraError",
               "NotFittedError"),
    "measures": ("Covariance", "Learned", "LinearMap", "Mahalanobis", "Measure", "Quantile", "list_measures", "measure",
                 "reduce", "user_measure"),
    "measures.attention": ("attention",),
    "search": ("Explanation", "Hits", "Index"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("errors", "measures", "search")

__version__ = "0.1.0"

__all__ = [
    "Covariance",
    "DomainError",
    "Explanation",
    "FileError",
    "Hits",
    "Index",
    "InputError",
    "KiyasError",
    "Learned",
    "LinearMap",
    "Mahalanobis",
    "Measure",
    "MeasureError",
    "MissingExtraError",
    "NotFittedError",
    "Quantile",
    "attention",
    "list_measures",
    "measure",
    "reduce",
    "user_measure",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
