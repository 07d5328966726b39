"""Retrieval with the similarity measure you choose, exact and fast.

>>> import numpy as np, kiyas
>>> index = kiyas.Index(np.eye(3), measure="ndd")
>>> index.search([0.9, 0.1, 0.0], k=1).ids.tolist()
[[0]]
"""

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
