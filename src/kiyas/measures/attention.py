"""Attention with an inner measure as its score: softmax(scale · measure(q, k)) · v.

`attention` goes through PyTorch's FlexAttention, which computes the score from the dot product and
norms taken beforehand; `attention_reference` is the plain form it is tested against.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from kiyas.arrays import dtype_name
from kiyas.errors import InputError, MeasureError, message, missing_extra
from kiyas.measures import catalogue
from kiyas.measures.base import Measure
from kiyas.measures.inner import InnerMeasure

Tensor = Any  # torch.Tensor; torch is imported only when asked for


def attention(q: Tensor, k: Tensor, v: Tensor, measure: str | Measure, scale: float | None = None, *,
              block_mask: Any = None, compiled: bool = False) -> Tensor:
    """Attention whose score is ``measure(q, k)``, through FlexAttention.

    Parameters: ``q`` (batch, heads, n, d), ``k`` (batch, heads, m, d), ``v`` (batch, heads, m, e), PyTorch
    tensors of one floating dtype; ``measure``, of the built-in inner family; ``scale`` multiplies the score, None for 1
    (scaled dot-product attention is "dot" with d^−½; cosine-like measures want 10 or more);
    ``block_mask`` of FlexAttention; ``compiled`` fuses it through ``torch.compile``, slow the first time.
    Returns (batch, heads, n, e).

    Uncompiled, FlexAttention holds all scores at once and says so in a warning. On the CPU it has no
    backward pass: use `attention_reference` to train there. d² is a² + b² − 2p in the tensors' own
    precision (at least float32), so the scores of near-equal q and k under euclidean, hybrid,
    angular and poincare have lost digits.
    """
    torch = _torch()
    m = _checked(torch, q, k, v, measure)
    if not torch.is_grad_enabled():
        q, k, v = q.detach(), k.detach(), v.detach()
    if q.device.type == "cpu" and any(t.requires_grad for t in (q, k, v)):
        raise InputError("attention: FlexAttention has no backward pass on the CPU; use attention_reference, or move "
                         "the tensors to a GPU, or wrap the call in torch.no_grad()")
    xp = _namespace()
    a2, b2 = _squares(torch, q), _squares(torch, k)
    factor = 1.0 if scale is None else float(scale)

    def score(dot: Tensor, batch: Tensor, head: Tensor, i: Tensor, j: Tensor) -> Tensor:
        x, y = a2[batch, head, i], b2[batch, head, j]
        return factor * _score(torch, xp, m, dot.to(x.dtype), x, y)

    flex = _flex(compiled)
    return flex(q, k, v, score_mod=score, scale=1.0, block_mask=block_mask)


def attention_reference(q: Tensor, k: Tensor, v: Tensor, measure: str | Measure, scale: float | None = None, *,
                        mask: Tensor = None) -> Tensor:
    """The same by plain products: every score is held in memory; differentiable on any device.

    ``mask``: True where q may look at k, broadcast to (batch, heads, n, m).
    """
    torch = _torch()
    m = _checked(torch, q, k, v, measure)
    a2, b2 = _squares(torch, q)[..., :, None], _squares(torch, k)[..., None, :]
    dot = q.to(a2.dtype) @ k.to(a2.dtype).transpose(-1, -2)
    score = (1.0 if scale is None else float(scale)) * _score(torch, _namespace(), m, dot, a2, b2)
    if mask is not None:
        score = score.masked_fill(~mask, float("-inf"))
    return (torch.softmax(score, dim=-1) @ v.to(score.dtype)).to(v.dtype)


def _score(torch: Any, xp: Any, m: InnerMeasure, p: Tensor, a2: Tensor, b2: Tensor) -> Tensor:
    return m.formula(xp, p, a2, b2, torch.clamp(a2 + b2 - 2 * p, min=0.0))


def _squares(torch: Any, x: Tensor) -> Tensor:
    x = x if x.dtype == torch.float64 else x.to(torch.float32)
    return (x * x).sum(dim=-1)


def _checked(torch: Any, q: Tensor, k: Tensor, v: Tensor, measure: str | Measure) -> InnerMeasure:
    m = catalogue.measure(measure)
    if not isinstance(m, InnerMeasure) or m.epilogue is None:
        raise MeasureError(message("attention", "measure", "a built-in measure of the inner family", m.name))
    for name, x in (("q", q), ("k", k), ("v", v)):
        wanted = "a floating PyTorch tensor of shape (batch, heads, rows, dims)"
        if not isinstance(x, torch.Tensor):
            raise InputError(message("attention", name, wanted, type(x).__name__))
        if x.ndim != 4 or not x.is_floating_point():
            raise InputError(message("attention", name, wanted, f"{dtype_name(x)} of shape {tuple(x.shape)}"))
        if x.dtype != q.dtype:
            raise InputError(message("attention", name, f"of dtype {dtype_name(q)}, as q", dtype_name(x)))
    for name, x, shape in (("k", k, (*q.shape[:2], k.shape[2], q.shape[3])), ("v", v, (*k.shape[:3], v.shape[3]))):
        if tuple(x.shape) != tuple(shape):
            raise InputError(message("attention", name, f"of shape {tuple(shape)}", tuple(x.shape)))
    if type(m).check_rows is not Measure.check_rows:
        for name, x in (("q", q), ("k", k)):
            m.check_rows(x.detach().reshape(-1, x.shape[-1]), name)
    return m


def _torch() -> Any:
    try:
        import torch  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise missing_extra("torch", "torch", "attention") from None
    return torch


def _namespace() -> Any:
    import array_api_compat.torch as xp

    return xp


@cache
def _flex(compiled: bool) -> Any:
    try:
        from torch.nn.attention.flex_attention import (  # type: ignore[import-not-found,unused-ignore]
            flex_attention,
        )
    except ImportError:  # older than 2.5
        raise missing_extra("torch>=2.5", "torch", "attention") from None
    return _torch().compile(flex_attention) if compiled else flex_attention
