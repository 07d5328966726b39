"""Layers as PyTorch modules: what is made once for a layer, and how a signal goes through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kiyas.recurrent import layers as kinds
from kiyas.recurrent.activations import Activation, find
from kiyas.recurrent.export.onnx_graph import refusal
from kiyas.recurrent.layers import Layer
from kiyas.recurrent.layers.merge import Merge

Tensor = Any
_MASKED = 1e9  # what attention takes from the scores of masked steps


class Flow(NamedTuple):
    """A signal: values, and the mask (batch, time) of steps that count, or None."""

    values: Tensor
    mask: Tensor | None = None


class Part(NamedTuple):
    """A layer there: its module (None if it has no weights), and what takes its inputs to its outputs."""

    module: Any
    run: Callable[[list[Flow]], list[Flow]]


def tensor(torch: Any, array: Any) -> Tensor:
    """A float32 tensor of its own."""
    return torch.tensor(np.array(array, np.float32))


def activation(torch: Any, layer: Layer, chosen: Any) -> Callable[[Tensor], Tensor]:
    """An activation as a function of tensors."""
    one = find(chosen)
    functional = torch.nn.functional
    native: dict[str, Callable[[Tensor], Tensor]] = {
        "linear": lambda x: x, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu,
        "softmax": lambda x: torch.softmax(x, -1), "gelu": functional.gelu, "softplus": functional.softplus,
        "swish": functional.silu, "mish": functional.mish, "log_sigmoid": functional.logsigmoid}
    if one.name in native:
        return native[one.name]
    _known(torch, layer, one)
    return one


def _known(torch: Any, layer: Layer, one: Activation) -> None:
    """The formulas of the rest are plain array code; one that is not fails here and not in the middle of a run."""
    try:
        one(torch.zeros(1))
    except Exception:  # noqa: BLE001  whatever a user's activation may raise on a tensor
        raise refusal(layer, f"has the activation {one}, which does not run on tensors", "PyTorch") from None


def embedding(torch: Any, layer: kinds.Embedding) -> Part:
    """Rows of a table; id 0 masks its step."""
    module = torch.nn.Embedding.from_pretrained(tensor(torch, layer.table), freeze=False)

    def run(inputs: list[Flow]) -> list[Flow]:
        x = inputs[0]
        return [Flow(module(x.values), x.values != 0 if layer.mask_zero else x.mask)]

    return Part(module, run)


def masking(_torch: Any, layer: kinds.Masking) -> Part:
    """Steps that all equal a value are masked and set to zero."""

    def run(inputs: list[Flow]) -> list[Flow]:
        x = inputs[0].values
        mask = (x != layer.value).any(-1)
        return [Flow(x * mask[..., None], mask)]

    return Part(None, run)


def dense(torch: Any, layer: kinds.Dense) -> Part:
    """A product over the last axis."""
    module = torch.nn.Linear(layer.weights.shape[1], layer.weights.shape[0], bias=layer.bias is not None)
    _fill(torch, module, weight=layer.weights, bias=layer.bias)
    then = activation(torch, layer, layer.activation)
    return Part(module, lambda inputs: [inputs[0]._replace(values=then(module(inputs[0].values)))])


def conv(torch: Any, layer: kinds.Conv1D) -> Part:
    """A convolution over time."""
    if layer.padding == "same" and layer.stride > 1:
        raise refusal(layer, "pads to the same size with a stride, which PyTorch has not", "PyTorch")
    filters, kernel, per = layer.weights.shape
    module = torch.nn.Conv1d(per * layer.groups, filters, kernel, stride=layer.stride, dilation=layer.dilation,
                             groups=layer.groups, bias=layer.bias is not None)
    _fill(torch, module, weight=layer.weights.transpose(0, 2, 1), bias=layer.bias)
    span = (kernel - 1) * layer.dilation
    pads = {"valid": (0, 0), "causal": (span, 0), "same": (span // 2, span - span // 2)}
    front, behind = pads[layer.padding] if isinstance(layer.padding, str) else layer.padding
    then, pad = activation(torch, layer, layer.activation), torch.nn.functional.pad

    def run(inputs: list[Flow]) -> list[Flow]:
        y = module(pad(inputs[0].values.transpose(1, 2), (front, behind))).transpose(1, 2)
        return [Flow(then(y))]

    return Part(module, run)


def batch_norm(torch: Any, layer: kinds.BatchNormalization) -> Part:
    """Normalisation by the statistics of training."""
    module = torch.nn.BatchNorm1d(layer.mean.shape[0], eps=layer.epsilon)
    ones = np.ones_like(layer.mean)
    _fill(torch, module, weight=ones if layer.scale is None else layer.scale,
          bias=0 * ones if layer.offset is None else layer.offset, running_mean=layer.mean, running_var=layer.variance)

    def run(inputs: list[Flow]) -> list[Flow]:
        x = inputs[0].values
        return [inputs[0]._replace(values=module(x.reshape(-1, x.shape[-1])).reshape(x.shape))]

    return Part(module, run)


def layer_norm(torch: Any, layer: kinds.LayerNormalization) -> Part:
    """Each step's features brought to mean 0 and variance 1."""
    known = layer.scale if layer.scale is not None else layer.offset
    if known is None:
        return _plain(lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:], eps=layer.epsilon))
    module = torch.nn.LayerNorm(known.shape[0], eps=layer.epsilon)
    _fill(torch, module, weight=np.ones_like(known) if layer.scale is None else layer.scale,
          bias=np.zeros_like(known) if layer.offset is None else layer.offset)
    return Part(module, lambda inputs: [inputs[0]._replace(values=module(inputs[0].values))])


def prelu(torch: Any, layer: kinds.PReLU) -> Part:
    """A slope of its own below zero."""
    module = torch.nn.ParameterDict({"slopes": tensor(torch, layer.slopes)})
    return Part(module, lambda inputs: [inputs[0]._replace(
        values=torch.where(inputs[0].values > 0, inputs[0].values, module["slopes"] * inputs[0].values))])


def scale(torch: Any, layer: kinds.Scale) -> Part:
    """x·scale + offset."""
    module = torch.nn.ParameterDict({"scale": tensor(torch, layer.scale), "offset": tensor(torch, layer.offset)})
    return Part(module, lambda inputs: [inputs[0]._replace(
        values=inputs[0].values * module["scale"] + module["offset"])])


def arithmetic(torch: Any, layer: kinds.Arithmetic) -> Part:
    """A signal and a constant."""
    module = torch.nn.ParameterDict({"constant": tensor(torch, layer.constant)})
    step = {"add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.div}[layer.operation]

    def run(inputs: list[Flow]) -> list[Flow]:
        x, constant = inputs[0].values, module["constant"]
        return [Flow(step(constant, x) if layer.first else step(x, constant))]

    return Part(module, run)


def global_average(_torch: Any, layer: kinds.GlobalAverage) -> Part:
    """The mean over the steps that count."""

    def run(inputs: list[Flow]) -> list[Flow]:
        x, mask = inputs[0]
        if mask is None:
            return [Flow(x.mean(1, keepdim=layer.keepdims))]
        counted = mask[..., None].to(x)
        return [Flow((x * counted).sum(1, keepdim=layer.keepdims) / counted.sum(1, keepdim=layer.keepdims))]

    return Part(None, run)


def pool(torch: Any, layer: kinds.MaxPool | kinds.AveragePool) -> Part:
    """Windows over time."""
    if layer.padding not in ("valid", (0, 0)):
        raise refusal(layer, "pads its windows, which PyTorch does otherwise", "PyTorch")
    functional = torch.nn.functional
    take = functional.max_pool1d if isinstance(layer, kinds.MaxPool) else functional.avg_pool1d
    return _plain(lambda x: take(x.transpose(1, 2), layer.size, layer.stride).transpose(1, 2), ends=True)


def merge(torch: Any, layer: Merge) -> Part:
    """Several signals number by number."""
    steps: dict[type, Callable[[Tensor, Tensor], Tensor]] = {
        kinds.Add: torch.add, kinds.Average: torch.add, kinds.Subtract: torch.sub, kinds.Multiply: torch.mul,
        kinds.Divide: torch.div, kinds.Maximum: torch.maximum, kinds.Minimum: torch.minimum}
    step = steps[type(layer)]

    def run(inputs: list[Flow]) -> list[Flow]:
        rank = max(i.values.dim() for i in inputs)
        values = [i.values.reshape(i.values.shape[0], *(1,) * (rank - i.values.dim()), *i.values.shape[1:])
                  for i in inputs]
        if layer.masks == "any" and any(i.mask is not None for i in inputs):
            masks = [None if i.mask is None else i.mask[..., None] for i in inputs]
            if type(layer) is kinds.Multiply:
                values = _passed_over(torch, values, masks)
            elif type(layer) in (kinds.Maximum, kinds.Minimum):
                return [Flow(_extreme(torch, step, values, masks), common(inputs, layer.masks))]
        y = values[0]
        for other in values[1:]:
            y = step(y, other)
        return [Flow(y / len(values) if type(layer) is kinds.Average else y, common(inputs, layer.masks))]

    return Part(None, run)


def _passed_over(torch: Any, values: list[Tensor], masks: list[Tensor | None]) -> list[Tensor]:
    """Factors of a product in which masked numbers do not count; 0 where all are masked."""
    ones = [v if m is None else torch.where(m, v, torch.ones_like(v)) for v, m in zip(values, masks, strict=True)]
    there = [m for m in masks if m is not None]
    return ones if len(there) < len(masks) else [*ones, torch.stack(there).any(0).to(ones[0])]


def _extreme(torch: Any, step: Callable[[Tensor, Tensor], Tensor], values: list[Tensor], masks: list[Tensor | None]
             ) -> Tensor:
    """As `kiyas.recurrent.layers.merge` finds it: one input after another."""
    y, seen = values[0], masks[0]
    for x, mask in zip(values[1:], masks[1:], strict=True):
        other = x if mask is None else torch.where(mask, x, y)
        y = step(y if seen is None else torch.where(seen, y, other), other)
        seen = None if mask is None or seen is None else seen | mask
    return y


def concatenate(torch: Any, layer: kinds.Concatenate) -> Part:
    """Signals end to end."""

    def run(inputs: list[Flow]) -> list[Flow]:
        last = layer.axis in (-1, inputs[0].values.dim() - 1)
        masks = [torch.ones_like(i.values[..., 0], dtype=torch.bool) if i.mask is None else i.mask for i in inputs] \
            if layer.masks != "none" and any(i.mask is not None for i in inputs) else []
        mask = None if not masks else common(inputs, layer.masks) if last else torch.cat(masks, 1)
        return [Flow(torch.cat([i.values for i in inputs], layer.axis), mask)]

    return Part(None, run)


def common(inputs: list[Flow], masks: str) -> Tensor | None:
    """The steps that count in all of them, or in any: see `kiyas.recurrent.layers.merge.Merge`."""
    there = [i.mask for i in inputs if i.mask is not None]
    if masks == "none" or not there or (masks == "any" and len(there) < len(inputs)):
        return None
    both = there[0]
    for mask in there[1:]:
        both = both & mask if masks == "all" else both | mask
    return both


def attention(torch: Any, layer: kinds.Attention) -> Part:
    """Attention by inner products, by sums through tanh, or additive."""
    factor = 1.0 if layer.scale is None else layer.scale
    weights = layer.weights if isinstance(layer, kinds.AdditiveAttention) else None
    module = None if weights is None else torch.nn.ParameterDict({"weights": tensor(torch, weights)})

    def scored(query: Tensor, key: Tensor) -> Tensor:
        if isinstance(layer, kinds.AdditiveAttention):
            terms = torch.tanh(query[:, :, None] + key[:, None])
            return (terms if module is None else terms * module["weights"]).sum(-1)
        if layer.concat_weight is not None:
            return layer.concat_weight * torch.tanh(factor * (query[:, :, None] + key[:, None])).sum(-1)
        return factor * query @ key.transpose(1, 2)

    def run(inputs: list[Flow]) -> list[Flow]:
        query, value = inputs[0], inputs[1]
        found = scored(query.values, inputs[-1].values)
        if layer.causal:
            found = found - _MASKED * torch.ones_like(found).triu(1)
        if value.mask is not None:
            found = found - _MASKED * (~value.mask)[:, None].to(found)
        share = torch.softmax(found, -1)
        y = share @ value.values
        if query.mask is not None:
            y = y * query.mask[..., None].to(y)
        return [Flow(y, query.mask), *([Flow(share)] if layer.return_scores else [])]

    return Part(module, run)


def weighted_attention(torch: Any, layer: kinds.WeightedAttention) -> Part:
    """A weighted mean over time."""
    module = torch.nn.Linear(layer.weights.shape[0], 1, bias=False)
    _fill(torch, module, weight=layer.weights[None])

    def run(inputs: list[Flow]) -> list[Flow]:
        x, mask = inputs[0]
        logits = module(x)[..., 0]
        e = torch.exp(logits - logits.max(1, keepdim=True).values)
        e = e if mask is None else e * mask
        share = e / (e.sum(1, keepdim=True) + 1e-7)
        out = Flow((share[..., None] * x).sum(1))
        return [out, Flow(share)] if layer.return_attention else [out]

    return Part(module, run)


def _plain(function: Callable[[Tensor], Tensor], ends: bool = False) -> Part:
    """A function of one signal; ``ends``: a mask ends here."""
    return Part(None, lambda inputs: [Flow(function(inputs[0].values), None if ends else inputs[0].mask)])


def _fill(torch: Any, module: Any, **arrays: Any) -> None:
    with torch.no_grad():
        for name, value in arrays.items():
            if value is not None:
                getattr(module, name).copy_(tensor(torch, value))


def _cropping(_torch: Any, layer: kinds.Cropping) -> Part:
    return _plain(lambda x: x[:, layer.front: x.shape[1] - layer.behind], ends=True)


def _dot(_torch: Any, layer: kinds.Dot) -> Part:
    axes = (layer.axes, layer.axes) if isinstance(layer.axes, int) else layer.axes

    def run(inputs: list[Flow]) -> list[Flow]:
        a, b = (one.values.movedim(axis, -1) for one, axis in zip(inputs, axes, strict=True))
        if layer.normalize:
            a, b = (x / x.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt() for x in (a, b))
        wide_a, wide_b = (x if x.dim() == 3 else x[:, None] for x in (a, b))
        y = wide_a @ wide_b.transpose(1, 2)
        return [Flow(y.reshape(y.shape[0], *((*a.shape[1:-1], *b.shape[1:-1]) or (1,))))]

    return Part(None, run)


def _slice(torch: Any, layer: kinds.Slice) -> Part:
    def cut(x: Tensor) -> Tensor:
        places = range(*slice(layer.start, layer.stop, layer.step).indices(x.shape[layer.axis]))
        return x.index_select(layer.axis, torch.tensor(list(places), device=x.device))

    return _plain(cut, ends=True)


def _pad(torch: Any, layer: kinds.Pad) -> Part:
    mode, value = {"constant": ("constant", layer.value), "reflect": ("reflect", None),
                   "edge": ("replicate", None)}[layer.mode]

    def padded(x: Tensor) -> Tensor:
        # PyTorch pads the last axis, and mirrors in three axes only.
        moved = x.movedim(layer.axis, -1)
        shape = moved.shape
        flat = torch.nn.functional.pad(moved.reshape(1, -1, shape[-1]), (layer.front, layer.behind), mode, value)
        return flat.reshape(*shape[:-1], flat.shape[-1]).movedim(-1, layer.axis)

    return _plain(padded, ends=True)


LAYERS: dict[type[Layer], Callable[[Any, Any], Part]] = {
    kinds.Embedding: embedding, kinds.Masking: masking, kinds.Dense: dense, kinds.Conv1D: conv,
    kinds.BatchNormalization: batch_norm, kinds.LayerNormalization: layer_norm, kinds.PReLU: prelu, kinds.Scale: scale,
    kinds.Dropout: lambda _, layer: _plain(lambda x: x),  # noqa: ARG005
    kinds.ActivationLayer: lambda torch, layer: _plain(activation(torch, layer, layer.activation)),
    kinds.MaxPool: pool, kinds.AveragePool: pool, kinds.GlobalAverage: global_average,
    kinds.GlobalMax: lambda _, layer: _plain(lambda x: x.amax(1, keepdim=layer.keepdims), ends=True),
    kinds.Flatten: lambda _, layer: _plain(lambda x: x.flatten(1), ends=True),  # noqa: ARG005
    kinds.Reshape: lambda _, layer: _plain(lambda x: x.reshape(x.shape[0], *layer.shape), ends=True),
    kinds.Permute: lambda _, layer: _plain(lambda x: x.permute(0, *layer.axes), ends=True),
    kinds.RepeatVector: lambda _, layer: _plain(lambda x: x[:, None].repeat(1, layer.times, 1), ends=True),
    kinds.Cropping: _cropping,
    kinds.ZeroPadding: lambda torch, layer: _plain(
        lambda x: torch.nn.functional.pad(x, (0, 0, layer.front, layer.behind)), ends=True),
    kinds.UpSampling: lambda _, layer: _plain(lambda x: x.repeat_interleave(layer.times, 1), ends=True),
    kinds.Add: merge, kinds.Subtract: merge, kinds.Multiply: merge, kinds.Average: merge, kinds.Maximum: merge,
    kinds.Minimum: merge, kinds.Divide: merge, kinds.Arithmetic: arithmetic, kinds.Concatenate: concatenate,
    kinds.Attention: attention, kinds.AdditiveAttention: attention, kinds.WeightedAttention: weighted_attention,
    kinds.Dot: _dot, kinds.Slice: _slice, kinds.Pad: _pad,
    kinds.Power: lambda _, layer: _plain(lambda x: x**layer.exponent),
    kinds.FeatureMean: lambda _, layer: _plain(lambda x: x.mean(-1, keepdim=True)),  # noqa: ARG005
}
