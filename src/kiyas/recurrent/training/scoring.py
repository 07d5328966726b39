"""Scores under a measure that a gradient goes through."""

from __future__ import annotations

import copy
from typing import Any

from kiyas.errors import MeasureError
from kiyas.measures.base import Measure
from kiyas.measures.inner import Cosine
from kiyas.measures.learned import Learned
from kiyas.measures.linear import LinearMap
from kiyas.measures.user import UserCoordinate, UserInner

Tensor = Any


def scores(torch: Any, measure: Measure, A: Tensor, B: Tensor) -> Tensor:
    """``measure.pairwise(A, B)`` on PyTorch tensors, differentiable: (n, d), (m, d) -> float64 (n, m).

    Measures compute on tensors as they are. Those with a map or a layer of their own round its results on the host,
    where no gradient follows; their products are taken here instead, unrounded: the same to float32's precision.
    A learned measure gives its logits, which rank alike. A function of the user's own is called with tensors. Raises
    `MeasureError` for a measure that lets no gradient through, as a function written for NumPy alone does.
    """
    if isinstance(measure, LinearMap):
        return scores(torch, measure.base, _mapped(torch, measure, A), _mapped(torch, measure, B))
    if isinstance(measure, Learned):
        return _logits(torch, measure, A, B)
    if isinstance(measure, (UserInner, UserCoordinate)):
        measure = _on_tensors(torch, measure)
    try:
        result = measure.pairwise(A, B)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise _closed(measure, f" ({error})") from None
    if torch.is_grad_enabled() and (A.requires_grad or B.requires_grad) and not result.requires_grad:
        raise _closed(measure)
    return result


def _closed(measure: Measure, why: str = "") -> MeasureError:
    return MeasureError(f"{measure.name}: lets no gradient through{why}, so nothing can be trained under it; a "
                        "function of your own has to work on tensors: operators and powers (x ** 0.5) do, np.sqrt does "
                        "not")


def _on_tensors(torch: Any, measure: UserInner | UserCoordinate) -> Measure:
    """The same measure, whose function is given tensors instead of NumPy arrays."""
    made, function = copy.copy(measure), measure.function
    if isinstance(made, UserInner):
        object.__setattr__(made, "formula",
                           lambda _xp, p, a2, b2, _d2: function(*torch.broadcast_tensors(p, a2, b2)))
    else:
        object.__setattr__(made, "similarity", lambda _xp, delta: function(delta))
    return made


def _mapped(torch: Any, measure: LinearMap, X: Tensor) -> Tensor:
    X = X.double()
    if measure.center is not None:
        X = X - torch.tensor(measure.center, device=X.device)
    return X @ torch.tensor(measure.matrix, device=X.device).T


def _logits(torch: Any, measure: Learned, A: Tensor, B: Tensor) -> Tensor:
    A, B = A.double(), B.double()
    first_a, first_b, bias1, second = (torch.tensor(array, device=A.device) for array in (
        measure.first_a, measure.first_b, measure.bias1, measure.second))
    u, v = A @ first_a.T + bias1, B @ first_b.T
    logit = torch.relu(u[:, None, :] + v[None, :, :]) @ second + measure.bias2
    if measure.alpha:
        logit = logit + measure.alpha * Cosine().pairwise(A, B)
    return logit
