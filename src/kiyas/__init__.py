"""Retrieval with the similarity measure you choose, exact and fast.

>>> import numpy as np, kiyas
>>> index = kiyas.Index(np.eye(3), measure="ndd")
>>> index.search([0.9, 0.1, 0.0], k=1).ids.tolist()
[[0]]
"""

from typing import TYPE_CHECKING

from kiyas.lazy import names

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
__getattr__, __dir__ = names(__name__, _HOMES, ("errors", "measures", "search"))

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
