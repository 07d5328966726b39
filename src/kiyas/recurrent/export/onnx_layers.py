"""Layers without a state as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from kiyas.recurrent import layers as kinds
from kiyas.recurrent.activations import find
from kiyas.recurrent.export.onnx_activations import apply
from kiyas.recurrent.export.onnx_graph import Wire, Writer, refusal
from kiyas.recurrent.layers import Layer
from kiyas.recurrent.layers.merge import Merge

_EPSILON = 1e-7  # of WeightedAttention
_MASKED = 1e9  # what attention takes from the scores of masked steps


def embedding(w: Writer, layer: kinds.Embedding, inputs: list[Wire]) -> list[Wire]:
    """Rows of a table; id 0 masks its step."""
    x = inputs[0]
    mask = _masks(w, layer, "masks id 0", lambda: w.op("Not", w.op("Equal", x.name, w.array(0, np.int64)))) \
        if layer.mask_zero else x.mask
    return [Wire(w.op("Gather", w.array(layer.table), x.name, axis=0), x.rank + 1, mask)]


def masking(w: Writer, layer: kinds.Masking, inputs: list[Wire]) -> list[Wire]:
    """Steps that all equal a value are masked and set to zero."""
    x = inputs[0].name
    other = w.op("Cast", w.op("Not", w.op("Equal", x, w.scalar(layer.value))), to=w.onnx.TensorProto.FLOAT)
    seen = w.op("ReduceMax", other, axes=[-1], keepdims=1)
    mask = _masks(w, layer, f"masks steps of {layer.value:g}",
                  lambda: w.op("Cast", w.op("Squeeze", seen, w.ints(-1)), to=w.onnx.TensorProto.BOOL))
    return [Wire(w.op("Mul", x, seen), 3, mask)]


def _masks(w: Writer, layer: Layer, what: str, make: Callable[[], str]) -> str | None:
    if w.padding is None:
        raise refusal(layer, f"{what}, and ONNX knows only where rows end; give padding='post' if padding comes behind "
                      "the steps, or padding='none' if no row is ever padded")
    return make() if w.padding == "post" else None


def dense(w: Writer, layer: kinds.Dense, inputs: list[Wire]) -> list[Wire]:
    """A product over the last axis."""
    y = w.op("MatMul", inputs[0].name, w.array(layer.weights.T))
    if layer.bias is not None:
        y = w.op("Add", y, w.array(layer.bias))
    return [inputs[0]._replace(name=apply(w, layer, find(layer.activation), y))]


def conv(w: Writer, layer: kinds.Conv1D, inputs: list[Wire]) -> list[Wire]:
    """A convolution over time."""
    span = (layer.kernel - 1) * layer.dilation
    names = [w.op("Transpose", inputs[0].name, perm=[0, 2, 1]), w.array(layer.weights.transpose(0, 2, 1))]
    y = w.op("Conv", *names, *([] if layer.bias is None else [w.array(layer.bias)]), strides=[layer.stride],
             dilations=[layer.dilation], group=layer.groups, **_pads(layer, span))
    y = w.op("Transpose", y, perm=[0, 2, 1])
    return [Wire(apply(w, layer, find(layer.activation), y), 3)]


def _pads(layer: Any, span: int) -> dict[str, Any]:
    if layer.padding == "same":
        return {"auto_pad": "SAME_UPPER"}
    pads = {"valid": (0, 0), "causal": (span, 0)}.get(layer.padding) or layer.padding
    return {"pads": list(pads)}


def local_pool(w: Writer, layer: kinds.MaxPool | kinds.AveragePool, inputs: list[Wire]) -> list[Wire]:
    """Windows over time."""
    kind = type(layer).__name__
    y = w.op(kind, w.op("Transpose", inputs[0].name, perm=[0, 2, 1]), kernel_shape=[layer.size],
             strides=[layer.stride], **_pads(layer, 0))
    return [Wire(w.op("Transpose", y, perm=[0, 2, 1]), 3)]


def global_average(w: Writer, layer: kinds.GlobalAverage, inputs: list[Wire]) -> list[Wire]:
    """The mean over the steps that count."""
    x = inputs[0]
    if x.mask is None:
        y = w.op("ReduceMean", x.name, axes=[1], keepdims=int(layer.keepdims))
    else:
        counted = w.op("Unsqueeze", w.floats(x.mask), w.ints(2))
        total, steps = (w.op("ReduceSum", one, w.ints(1), keepdims=int(layer.keepdims))
                        for one in (w.op("Mul", x.name, counted), counted))
        y = w.op("Div", total, steps)
    return [Wire(y, 3 if layer.keepdims else 2)]


def global_max(w: Writer, layer: kinds.GlobalMax, inputs: list[Wire]) -> list[Wire]:
    """The largest over all steps, masked or not, as in Keras."""
    return [Wire(w.op("ReduceMax", inputs[0].name, axes=[1], keepdims=int(layer.keepdims)), 3 if layer.keepdims else 2)]


def batch_norm(w: Writer, layer: kinds.BatchNormalization, inputs: list[Wire]) -> list[Wire]:
    """(x − mean) · factor + offset."""
    factor = 1 / np.sqrt(layer.variance.astype(np.float64) + layer.epsilon)
    factor = factor if layer.scale is None else factor * layer.scale
    y = w.op("Mul", w.op("Sub", inputs[0].name, w.array(layer.mean)), w.array(factor))
    return [inputs[0]._replace(name=y if layer.offset is None else w.op("Add", y, w.array(layer.offset)))]


def layer_norm(w: Writer, layer: kinds.LayerNormalization, inputs: list[Wire]) -> list[Wire]:
    """Each step's features brought to mean 0 and variance 1."""
    x = inputs[0].name
    centred = w.op("Sub", x, w.op("ReduceMean", x, axes=[-1]))
    variance = w.op("ReduceMean", w.op("Mul", centred, centred), axes=[-1])
    y = w.op("Div", centred, w.op("Sqrt", w.op("Add", variance, w.scalar(layer.epsilon))))
    if layer.scale is not None:
        y = w.op("Mul", y, w.array(layer.scale))
    return [inputs[0]._replace(name=y if layer.offset is None else w.op("Add", y, w.array(layer.offset)))]


def activation(w: Writer, layer: kinds.ActivationLayer, inputs: list[Wire]) -> list[Wire]:
    """An activation by itself."""
    return [inputs[0]._replace(name=apply(w, layer, find(layer.activation), inputs[0].name))]


def prelu(w: Writer, layer: kinds.PReLU, inputs: list[Wire]) -> list[Wire]:
    """A slope of its own below zero."""
    return [inputs[0]._replace(name=w.op("PRelu", inputs[0].name, w.array(layer.slopes)))]


def scale(w: Writer, layer: kinds.Scale, inputs: list[Wire]) -> list[Wire]:
    """x·scale + offset."""
    y = w.op("Mul", inputs[0].name, w.array(layer.scale))
    return [inputs[0]._replace(name=w.op("Add", y, w.array(layer.offset)))]


def arithmetic(w: Writer, layer: kinds.Arithmetic, inputs: list[Wire]) -> list[Wire]:
    """A signal and a constant."""
    kind = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div"}[layer.operation]
    both = [inputs[0].name, w.array(layer.constant)]
    return [Wire(w.op(kind, *(reversed(both) if layer.first else both)), inputs[0].rank)]


def same(_w: Writer, _layer: Layer, inputs: list[Wire]) -> list[Wire]:
    """What works in training only."""
    return [inputs[0]]


def flatten(w: Writer, _layer: kinds.Flatten, inputs: list[Wire]) -> list[Wire]:
    """All numbers of a row."""
    return [Wire(w.op("Reshape", inputs[0].name, w.ints(0, -1)), 2)]


def reshape(w: Writer, layer: kinds.Reshape, inputs: list[Wire]) -> list[Wire]:
    """Rows of another shape."""
    return [Wire(w.op("Reshape", inputs[0].name, w.ints(0, *layer.shape)), 1 + len(layer.shape))]


def permute(w: Writer, layer: kinds.Permute, inputs: list[Wire]) -> list[Wire]:
    """Axes in another order."""
    return [Wire(w.op("Transpose", inputs[0].name, perm=[0, *layer.axes]), inputs[0].rank)]


def repeat(w: Writer, layer: kinds.RepeatVector, inputs: list[Wire]) -> list[Wire]:
    """A vector at every one of so many steps."""
    return [Wire(w.op("Tile", w.op("Unsqueeze", inputs[0].name, w.ints(1)), w.ints(1, layer.times, 1)), 3)]


def cropping(w: Writer, layer: kinds.Cropping, inputs: list[Wire]) -> list[Wire]:
    """Steps cut off."""
    end = -layer.behind if layer.behind else 1 << 62
    return [Wire(w.op("Slice", inputs[0].name, w.ints(layer.front), w.ints(end), w.ints(1)), 3)]


def zero_padding(w: Writer, layer: kinds.ZeroPadding, inputs: list[Wire]) -> list[Wire]:
    """Steps of zeros added."""
    return [Wire(w.op("Pad", inputs[0].name, w.ints(0, layer.front, 0, 0, layer.behind, 0)), 3)]


def up_sampling(w: Writer, layer: kinds.UpSampling, inputs: list[Wire]) -> list[Wire]:
    """Each step so many times."""
    x = inputs[0].name
    many = w.op("Tile", w.op("Unsqueeze", x, w.ints(2)), w.ints(1, 1, layer.times, 1))
    shape = w.op("Concat", w.ints(0, -1), w.size(x, 2), axis=0)
    return [Wire(w.op("Reshape", many, shape), 3)]


def merge(w: Writer, layer: Merge, inputs: list[Wire]) -> list[Wire]:
    """Several signals number by number."""
    rank = max(i.rank for i in inputs)
    names = [i.name if i.rank == rank else w.op("Unsqueeze", i.name, w.ints(*range(1, 1 + rank - i.rank)))
             for i in inputs]
    kind = {"Add": "Add", "Average": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div",
            "Maximum": "Max", "Minimum": "Min"}[type(layer).__name__]
    mask = _common(w, inputs, layer.masks)
    if layer.masks == "any" and any(i.mask is not None for i in inputs) and kind in ("Mul", "Max", "Min"):
        masks = [None if i.mask is None else w.op("Unsqueeze", i.mask, w.ints(2)) for i in inputs]
        return [Wire(_factors(w, names, masks) if kind == "Mul" else _extreme(w, kind, names, masks), rank, mask)]
    y = names[0]
    for name in names[1:]:
        y = w.op(kind, y, name)
    if type(layer) is kinds.Average:
        y = w.op("Div", y, w.scalar(len(names)))
    return [Wire(y, rank, mask)]


def _factors(w: Writer, names: list[str], masks: list[str | None]) -> str:
    """A product in which masked numbers do not count; 0 where all are masked."""
    y, there = w.scalar(1), [m for m in masks if m is not None]
    for name, mask in zip(names, masks, strict=True):
        y = w.op("Mul", y, name if mask is None else w.op("Where", mask, name, w.scalar(1)))
    if len(there) < len(masks):
        return y
    return str(w.op("Mul", y, w.floats(reduce(lambda one, other: str(w.op("Or", one, other)), there))))


def _extreme(w: Writer, kind: str, names: list[str], masks: list[str | None]) -> str:
    """As `kiyas.recurrent.layers.merge` finds it: one input after another."""
    y, seen = names[0], masks[0]
    for x, mask in zip(names[1:], masks[1:], strict=True):
        other = x if mask is None else w.op("Where", mask, x, y)
        y = w.op(kind, y if seen is None else w.op("Where", seen, y, other), other)
        seen = None if mask is None or seen is None else w.op("Or", seen, mask)
    return y


def concatenate(w: Writer, layer: kinds.Concatenate, inputs: list[Wire]) -> list[Wire]:
    """Signals end to end."""
    rank = inputs[0].rank
    last = layer.axis in (-1, rank - 1)
    if not last and layer.masks != "none" and any(i.mask is not None for i in inputs):
        raise refusal(layer, "joins masked sequences in time, whose padding then stands inside")
    return [Wire(w.op("Concat", *(i.name for i in inputs), axis=layer.axis), rank, _common(w, inputs, layer.masks))]


def _common(w: Writer, inputs: list[Wire], masks: str) -> str | None:
    there = [i.mask for i in inputs if i.mask is not None]
    if masks == "none" or not there or (masks == "any" and len(there) < len(inputs)):
        return None
    return reduce(lambda one, other: str(w.op("And" if masks == "all" else "Or", one, other)), there)


def attention(w: Writer, layer: kinds.Attention, inputs: list[Wire]) -> list[Wire]:
    """Attention by inner products, by sums through tanh, or additive."""
    if layer.causal:
        raise refusal(layer, "is causal")
    query, value, key = inputs[0], inputs[1], inputs[-1].name
    weights = layer.weights if isinstance(layer, kinds.AdditiveAttention) else None
    if isinstance(layer, kinds.AdditiveAttention) or layer.concat_weight is not None:
        both = w.op("Add", w.op("Unsqueeze", query.name, w.ints(2)), w.op("Unsqueeze", key, w.ints(1)))
        if weights is None and layer.scale is not None:
            both = w.op("Mul", both, w.scalar(layer.scale))
        terms = w.op("Tanh", both)
        if weights is not None:
            terms = w.op("Mul", terms, w.array(weights))
        found = w.op("ReduceSum", terms, w.ints(-1), keepdims=0)
        if layer.concat_weight is not None:
            found = w.op("Mul", found, w.scalar(layer.concat_weight))
    else:
        found = w.op("MatMul", query.name, w.op("Transpose", key, perm=[0, 2, 1]))
        if layer.scale is not None:
            found = w.op("Mul", found, w.scalar(layer.scale))
    if value.mask is not None:
        gone = w.op("Mul", w.op("Sub", w.scalar(1), w.floats(value.mask)), w.scalar(_MASKED))
        found = w.op("Sub", found, w.op("Unsqueeze", gone, w.ints(1)))
    share = w.op("Softmax", found, axis=-1)
    y = w.op("MatMul", share, value.name)
    if query.mask is not None:
        y = w.op("Mul", y, w.op("Unsqueeze", w.floats(query.mask), w.ints(2)))
    out = [Wire(y, 3, query.mask)]
    return [*out, Wire(share, 3)] if layer.return_scores else out


def weighted_attention(w: Writer, layer: kinds.WeightedAttention, inputs: list[Wire]) -> list[Wire]:
    """A weighted mean over time."""
    x = inputs[0]
    logits = w.op("MatMul", x.name, w.array(layer.weights[:, None]))
    e = w.op("Exp", w.op("Sub", logits, w.op("ReduceMax", logits, axes=[1])))
    if x.mask is not None:
        e = w.op("Mul", e, w.op("Unsqueeze", w.floats(x.mask), w.ints(2)))
    share = w.op("Div", e, w.op("Add", w.op("ReduceSum", e, w.ints(1)), w.scalar(_EPSILON)))
    out = [Wire(w.op("ReduceSum", w.op("Mul", x.name, share), w.ints(1), keepdims=0), 2)]
    return [*out, Wire(w.op("Squeeze", share, w.ints(2)), 2)] if layer.return_attention else out


def dot(w: Writer, layer: kinds.Dot, inputs: list[Wire]) -> list[Wire]:
    """Inner products over one axis each."""
    axes = (layer.axes, layer.axes) if isinstance(layer.axes, int) else layer.axes
    wide, left = [], 0
    for side, one, axis in zip("ab", inputs, axes, strict=True):
        # The axis that is summed over comes last in the first signal, and in the middle in the second.
        name = one.name
        if one.rank == 3 and axis % 3 != 2:
            name = w.op("Transpose", name, perm=[0, 2, 1])
        if layer.normalize:
            squares = w.op("ReduceSum", w.op("Mul", name, name), w.ints(-1))
            name = w.op("Div", name, w.op("Sqrt", w.op("Max", squares, w.scalar(1e-12))))
        name = name if one.rank == 3 else w.op("Unsqueeze", name, w.ints(1))
        wide.append(name if side == "a" else w.op("Transpose", name, perm=[0, 2, 1]))
        left += one.rank - 2
    y = w.op("MatMul", *wide)
    alone = [axis for axis, one in ((1, inputs[0]), (2, inputs[1])) if one.rank == 2]
    if alone and left:
        y = w.op("Squeeze", y, w.ints(*alone))
    elif alone:
        y = w.op("Squeeze", y, w.ints(2))
    return [Wire(y, 1 + max(left, 1))]


def cut(w: Writer, layer: kinds.Slice, inputs: list[Wire]) -> list[Wire]:
    """Entries of an axis."""
    far = (1 << 62) if layer.step > 0 else -(1 << 62)
    stop = far if layer.stop is None else layer.stop
    y = w.op("Slice", inputs[0].name, w.ints(layer.start), w.ints(stop), w.ints(layer.axis), w.ints(layer.step))
    return [Wire(y, inputs[0].rank)]


def pad(w: Writer, layer: kinds.Pad, inputs: list[Wire]) -> list[Wire]:
    """Entries added to an axis."""
    rank = inputs[0].rank
    pads = [0] * (2 * rank)
    pads[layer.axis % rank], pads[rank + layer.axis % rank] = layer.front, layer.behind
    y = w.op("Pad", inputs[0].name, w.ints(*pads), w.scalar(layer.value), mode=layer.mode)
    return [Wire(y, rank)]


def power(w: Writer, layer: kinds.Power, inputs: list[Wire]) -> list[Wire]:
    """A power."""
    return [inputs[0]._replace(name=w.op("Pow", inputs[0].name, w.scalar(layer.exponent)))]


def feature_mean(w: Writer, _layer: kinds.FeatureMean, inputs: list[Wire]) -> list[Wire]:
    """The mean of each step's features, as one feature."""
    return [inputs[0]._replace(name=w.op("ReduceMean", inputs[0].name, axes=[-1]))]


LAYERS: dict[type[Layer], Callable[..., list[Wire]]] = {
    kinds.Embedding: embedding, kinds.Masking: masking, kinds.Dense: dense, kinds.Conv1D: conv,
    kinds.MaxPool: local_pool, kinds.AveragePool: local_pool, kinds.GlobalAverage: global_average,
    kinds.GlobalMax: global_max, kinds.BatchNormalization: batch_norm, kinds.LayerNormalization: layer_norm,
    kinds.ActivationLayer: activation, kinds.PReLU: prelu, kinds.Scale: scale, kinds.Dropout: same,
    kinds.Flatten: flatten, kinds.Reshape: reshape, kinds.Permute: permute, kinds.RepeatVector: repeat,
    kinds.Cropping: cropping, kinds.ZeroPadding: zero_padding, kinds.UpSampling: up_sampling,
    kinds.Add: merge, kinds.Subtract: merge, kinds.Multiply: merge, kinds.Average: merge, kinds.Maximum: merge,
    kinds.Minimum: merge, kinds.Divide: merge, kinds.Concatenate: concatenate, kinds.Attention: attention,
    kinds.Dot: dot, kinds.AdditiveAttention: attention, kinds.WeightedAttention: weighted_attention,
    kinds.Arithmetic: arithmetic, kinds.Slice: cut, kinds.Pad: pad,
    kinds.Power: power, kinds.FeatureMean: feature_mean,
}
