"""Closed forms: measures made from documents or pairs in one pass, by formulas without a search.

| function | what it makes | from |
|---|---|---|
| `whitening` | cosine behind a partial whitening Σ_λ^(−e) | documents |
| `bandwidths` | exponential with hᵢ = mean distance of qᵢ and dᵢ | pairs |
| `weights`, `critical_dimensions` | a per-dimension measure with weights or tiers | pairs |
| `norm_calibrated` | ndd with a query scale, or tempered cosine with a β | pairs |
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kiyas.arrays import Array, matrix, number
from kiyas.errors import InputError, MeasureError, message
from kiyas.fit.pairs import Pairs, unit_rows
from kiyas.fit.selection import weakest_near_best
from kiyas.measures import (
    NDD,
    CoordinateMeasure,
    Cosine,
    Exponential,
    LinearMap,
    Manhattan,
    TemperedCosine,
    propose_critical,
    propose_weights,
)
from kiyas.metrics import known_items, ranks_in_scores, reciprocal_rank

# Norm measures tried by `norm_calibrated`, from cosine to dot. κ is in units of the documents' median length: far
# below it ndd ranks as cosine, far above as dot.
_BETAS = (1.0, 0.75, 0.5, 0.25, 0.0)
_SCALES = (0.1, 0.25, 0.5, 1.0, 2.0)


def whitening(documents: Array, exponent: float = 0.125, shrinkage: float = 0.5, center: bool = True) -> LinearMap:
    """Cosine after a partial whitening of directions: x ↦ Σ_λ^(−exponent)·(x̂ − m).

    Σ is the covariance of the rows of length 1, Σ_λ = (1 − λ)·Σ + λ·tr(Σ)/d·I with λ the ``shrinkage``, m their mean
    (``center``). ``exponent`` 0 only centres, 1/2 is whitening as Su et al. 2021 have it. More than a little of it has
    lowered retrieval quality of contrastive encoders, as has centring by one mean: measure before use.

    >>> rows = np.random.default_rng(0).normal(size=(400, 3)) * [5, 1, 1]
    >>> m = whitening(rows, exponent=0.5, shrinkage=0.0)
    >>> mapped = m.transform(rows).astype(float)
    >>> np.allclose(np.cov(mapped.T, bias=True), np.eye(3), atol=1e-4)
    True
    """
    owner = "whitening"
    e = number(exponent, "exponent", owner, "a number from 0 to 1", 0, 1)
    lam = number(shrinkage, "shrinkage", owner, "a number from 0 to 1", 0, 1)
    X = unit_rows(documents, "documents", owner)
    mean = X.mean(axis=0)
    values, vectors = np.linalg.eigh((X - mean).T @ (X - mean) / len(X))
    values = (1 - lam) * np.maximum(values, 0) + lam * values.mean()
    if e > 0 and values.min() <= 1e-12 * values.max():
        raise InputError(message(owner, "shrinkage", "above 0 where the rows do not vary in every direction",
                                 f"{shrinkage}", "dead dimensions would be blown up without end"))
    return LinearMap((vectors * values**-e) @ vectors.T, Cosine(), mean if center else None, unit=True)


def bandwidths(pairs: Pairs, **parameters: Any) -> Exponential:
    """Exponential whose bandwidths are the mean differences of pairs that belong together, dimension by dimension.

    hᵢ = mean |qᵢ − dᵢ| is the maximum-likelihood scale of a Laplace distribution of the differences, of which
    e^(−|δ|/h) is the shape. A dimension in which no pair differs gets the least bandwidth above 0. ``parameters``: trim
    and the others of exponential.

    >>> bandwidths(Pairs([[0.0, 0.0], [1.0, 1.0]], [[1.0, 4.0], [1.0, 1.0]], np.arange(2))).bandwidth.tolist()
    [0.5, 2.0]
    """
    scale = np.abs(pairs.queries - pairs.documents).mean(axis=0)
    if not scale.any():
        raise InputError("bandwidths: queries and documents of the pairs are equal, so there is no scale to learn")
    return Exponential(bandwidth=np.maximum(scale, scale[scale > 0].min()), **parameters)


def weights(pairs: Pairs, measure: CoordinateMeasure | None = None) -> CoordinateMeasure:
    """The measure (manhattan unless given) with weights by which its dimensions tell pairs from strangers.

    See `kiyas.measures.propose_weights`, ``by="discrimination"``.
    """
    m = Manhattan() if measure is None else measure
    found = propose_weights(pairs=(pairs.queries, pairs.documents), measure=None if measure is None else m)
    return m.with_(weights=found)


def critical_dimensions(pairs: Pairs, count: int, tiers: float, measure: CoordinateMeasure) -> CoordinateMeasure:
    """The measure with tiers over the ``count`` dimensions that best tell pairs from strangers.

    ``tiers``: the score τ below which a critical dimension counts as disagreeing.
    """
    found = propose_critical(pairs=(pairs.queries, pairs.documents), count=count, measure=measure)
    return measure.with_(tiers=tiers, critical=found)


def norm_calibrated(pairs: Pairs, measure: str = "tempered_cosine") -> TemperedCosine | NDD | Cosine:
    """How much a document's length should count: tempered cosine with β, or ndd with a query scale κ, from pairs.

    Each question looks for its own answer among all; of the values from cosine's side to dot's, the nearest to cosine
    within one standard error of the best MRR is taken, and cosine itself where none is better. ``measure``:
    "tempered_cosine" (β of 1, ¾, ½, ¼, 0) or "ndd" (κ of 0.1 to 2 times the median length of a document).
    One number is chosen on all pairs, so what it reaches on them is no measurement of it.
    """
    owner = "norm_calibrated"
    Q, D = pairs.queries, pairs.documents
    norms = np.sqrt((D * D).sum(axis=1))
    median = float(np.median(norms))
    length = np.where(norms > 0, norms, 1.0)  # a zero row is like nothing, whatever it is divided by
    candidates: list[TemperedCosine | NDD | Cosine] = [Cosine()]
    if measure == "tempered_cosine":
        candidates += [TemperedCosine(beta=beta) for beta in _BETAS[1:]]
    elif measure == "ndd":
        candidates += [NDD(query_norm=float(f"{scale * median:.3g}")) for scale in _SCALES]
    else:
        raise MeasureError(message(owner, "measure", "'tempered_cosine' or 'ndd'", repr(measure)))
    matrix(Q, "queries", owner, dims=D.shape[1])
    products = Q @ D.T
    targets = np.arange(len(pairs))
    values = []
    for m in candidates:
        if isinstance(m, TemperedCosine):
            factor = length**-m.beta
        elif isinstance(m, NDD):
            assert m.query_norm is not None
            factor = 1 / np.sqrt(m.query_norm**2 + norms**2)
        else:
            factor = 1 / length
        values.append(reciprocal_rank(known_items(ranks_in_scores(products * factor, targets))))
    return candidates[weakest_near_best(np.array(values))]
