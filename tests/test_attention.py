"""Attention through FlexAttention against the plain reference, and the reference against loops."""

from __future__ import annotations

import sys

import naive_inner as naive
import numpy as np
import pytest

from kiyas.errors import DomainError, InputError, MeasureError, MissingExtraError
from kiyas.measures import attention, attention_reference, measure

UNFUSED = pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning",
                                     "ignore:`torch.jit.script:DeprecationWarning")
SPECS = [*naive.NAMES, "ndd(query_norm=0.5)", "tempered_cosine(beta=1.5)"]


def tensors(torch, spec="", dtype="float32", n=5, m=7, d=6, e=3):
    rng = np.random.default_rng(1)
    q, k, v = (torch.from_numpy(rng.standard_normal((2, 3, *s))).to(getattr(torch, dtype))
               for s in ((n, d), (m, d), (m, e)))
    return (q / 20, k / 20, v) if spec == "poincare" else (q, k, v)


@pytest.mark.torch
@UNFUSED
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_flex_equals_the_reference(spec, dtype):
    torch = pytest.importorskip("torch")
    q, k, v = tensors(torch, spec, dtype)
    got = attention(q, k, v, spec, scale=2.5)
    assert got.shape == (2, 3, 5, 3)
    assert got.dtype == q.dtype
    want = attention_reference(q, k, v, spec, scale=2.5)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=2e-6 if dtype == "float32" else 1e-7)


@pytest.mark.torch
@UNFUSED
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    torch = pytest.importorskip("torch")
    q, k, v = tensors(torch, dtype=dtype)
    got, want = attention(q, k, v, "ndd"), attention_reference(q, k, v, "ndd")
    assert got.dtype == q.dtype
    torch.testing.assert_close(got, want, rtol=2e-2, atol=2e-2)


@pytest.mark.torch
@pytest.mark.parametrize("spec", SPECS)
def test_the_reference_equals_the_loops(spec):
    torch = pytest.importorskip("torch")
    q, k, v = tensors(torch, spec, "float64")
    got = attention_reference(q, k, v, spec, scale=1.7)
    m = measure(spec)
    for batch in range(2):
        for head in range(3):
            scores = 1.7 * m.pairwise(q[batch, head].numpy(), k[batch, head].numpy())
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(got[batch, head].numpy(), weights @ v[batch, head].numpy(), rtol=1e-7)


@pytest.mark.torch
@UNFUSED
def test_dot_with_its_usual_scale_is_scaled_dot_product_attention():
    torch = pytest.importorskip("torch")
    q, k, v = tensors(torch)
    want = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention(q, k, v, "dot", scale=6**-0.5), want, rtol=1e-5, atol=1e-6)
    causal = torch.ones(5, 7, dtype=torch.bool).tril()
    torch.testing.assert_close(attention_reference(q, k, v, "dot", scale=6**-0.5, mask=causal),
                               torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=causal),
                               rtol=1e-5, atol=1e-6)


@pytest.mark.torch
@UNFUSED
def test_gradients():
    torch = pytest.importorskip("torch")
    for spec in SPECS:
        q, k, v = (t.requires_grad_() for t in tensors(torch, spec, "float64"))
        q, k = q.detach().requires_grad_(), k.detach().requires_grad_()
        attention_reference(q, k, v, spec).square().sum().backward()
        assert all(torch.isfinite(t.grad).all() and t.grad.abs().sum() > 0 for t in (q, k)), spec
    with pytest.raises(InputError, match="no backward pass on the CPU; use attention_reference"):
        attention(q, k, v, "dot")
    with torch.no_grad():
        torch.testing.assert_close(attention(q, k, v, "dot"), attention_reference(q, k, v, "dot"))


@pytest.mark.torch
@UNFUSED
def test_block_masks_pass_through():
    torch = pytest.importorskip("torch")
    from torch.nn.attention.flex_attention import create_block_mask

    q, k, v = tensors(torch, n=128, m=128)
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 128, 128, device="cpu")
    causal = torch.ones(128, 128, dtype=torch.bool).tril()
    torch.testing.assert_close(attention(q, k, v, "cosine", scale=8, block_mask=mask),
                               attention_reference(q, k, v, "cosine", scale=8, mask=causal), rtol=1e-4, atol=1e-5)


@pytest.mark.torch
def test_bad_arguments():
    torch = pytest.importorskip("torch")
    q, k, v = tensors(torch)
    for function in (attention, attention_reference):
        for bad in ("manhattan", "mahalanobis", measure(lambda p, a2, b2: p, name="mine")):
            with pytest.raises(MeasureError, match="'measure' must be a built-in measure of the inner family, got"):
                function(q, k, v, bad)
        with pytest.raises(InputError, match=r"'q' must be a floating PyTorch tensor of shape .* got ndarray"):
            function(q.numpy(), k, v, "dot")
        with pytest.raises(InputError, match=r"'k' must be a floating .* got float32 of shape \(3, 7, 6\)"):
            function(q, k[0], v, "dot")
        with pytest.raises(InputError, match=r"'k' must be of shape \(2, 3, 7, 6\), got \(2, 3, 7, 5\)"):
            function(q, k[..., :5], v, "dot")
        with pytest.raises(InputError, match=r"'v' must be of shape \(2, 3, 7, 3\), got \(2, 3, 6, 3\)"):
            function(q, k, v[:, :, :6], "dot")
        with pytest.raises(InputError, match="'v' must be of dtype float32, as q, got float64"):
            function(q, k, v.double(), "dot")
        with pytest.raises(DomainError, match="'q' must lie inside the open unit ball"):
            function(q, k, v, "poincare")


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"attention needs torch, .* pip install 'kiyas\[torch\]'"):
        attention(None, None, None, "dot")
