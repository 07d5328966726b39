"""Matrix products, convolutions, pooling and normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kiyas.recurrent.layers import (
    AveragePool,
    BatchNormalization,
    Conv1D,
    Dense,
    FeatureMean,
    GlobalAverage,
    GlobalMax,
    LayerNormalization,
    MaxPool,
)
from kiyas.recurrent.loading.made import made
from kiyas.recurrent.loading.onnx.call import (
    Call,
    MismatchError,
    Operation,
    UnsupportedError,
    axes_of,
    features_last,
    on_each,
    only,
    shown,
)
from kiyas.recurrent.loading.onnx.values import Atom, Tensor, size_of

if TYPE_CHECKING:
    from kiyas.recurrent.loading.onnx.graph import Reader


def _product(reader: Reader, node: Any, x: Tensor, weights: np.ndarray, bias: np.ndarray | None) -> Tensor:
    placed = features_last(reader, x, -1)
    layer = made(reader.where, Dense, reader.name(node.name or "dense"), weights, bias)
    if placed.shape[-1] != weights.shape[1]:
        raise MismatchError(f"'{node.name}' multiplies {shown(placed.shape)} with {weights.shape[::-1]}")
    number = reader.add(layer, ((placed.node, placed.output),))
    out = (Atom(int(weights.shape[0])),)
    return Tensor(number, 0, (*placed.array[:-1], out), (*placed.axes[:-1], out))


def _matmul(call: Call) -> list[Any]:
    x, w = call.values
    if not isinstance(x, Tensor) or not isinstance(w, np.ndarray) or w.ndim != 2:
        raise UnsupportedError("MatMul of two signals")
    return [_product(call.reader, call.node, x, w.T, None)]


def _gemm(call: Call) -> list[Any]:
    x, w, c = [*call.values, None][:3]
    if not isinstance(x, Tensor) or not isinstance(w, np.ndarray) or call.attributes.get("transA") or w.ndim != 2 \
            or not (c is None or (isinstance(c, np.ndarray) and c.size in (1, w.shape[0], w.shape[1]))):
        raise UnsupportedError("Gemm of two signals")
    weights = (w if call.attributes.get("transB") else w.T) * np.float32(call.attributes.get("alpha", 1.0))
    beta = np.float32(call.attributes.get("beta", 1.0))
    bias = None if c is None else np.broadcast_to(c.ravel(), weights.shape[:1]) * beta
    return [_product(call.reader, call.node, x, weights, bias)]


def _conv(call: Call) -> list[Any]:
    x, w, b = [*call.values, None][:3]
    if isinstance(w, np.ndarray) and w.ndim == 4 and len(x.axes) == 4 and (flat := _flat(call)) is not None:
        across, inner = flat
        return [_raised(_conv(inner)[0], across)]
    if not isinstance(w, np.ndarray) or w.ndim != 3 or len(x.axes) != 3 or not (b is None or isinstance(b, np.ndarray)):
        raise UnsupportedError("Conv of other than one dimension with constant weights")
    padding = _padding(call.attributes)
    batch, channels, time = x.axes
    if w.shape[2] == 1 and only(call.attributes.get("strides"), 1) == 1 and int(call.attributes.get("group", 1)) == 1 \
            and (padding in ("same", "valid", (0, 0))):
        # A product for each step.
        product = _product(call.reader, call.node, x.seen((batch, time, channels)), w[:, :, 0], b)
        return [product.seen((product.axes[0], product.axes[2], product.axes[1]))]
    if batch != (call.reader.batch,):
        raise MismatchError(f"Conv '{call.node.name}' has another axis for its batch")
    placed = call.reader.placed(x, (batch, time, channels))
    layer = made(call.reader.where, Conv1D, call.name("conv"), w.transpose(0, 2, 1), b,
                 stride=only(call.attributes.get("strides"), 1), padding=padding,
                 dilation=only(call.attributes.get("dilations"), 1), groups=int(call.attributes.get("group", 1)))
    number = call.reader.add(layer, ((placed.node, placed.output),))
    size = size_of(time)
    features = size_of(channels)
    after = layer.shapes(((None, size if isinstance(size, int) else None,
                           features if isinstance(features, int) else None),))[0]
    out, filters = (Atom(after[1]),), (Atom(after[2]),)
    return [Tensor(number, 0, (batch, out, filters), (batch, filters, out))]


def _flat(call: Call) -> tuple[int, Call] | None:
    """An operation on images of height 1 or width 1 as one on sequences, and which of the two axes it is (2 or 3)."""
    x, w = call.values[0], call.values[1] if len(call.values) > 1 else None
    kernel = w.shape[2:] if isinstance(w, np.ndarray) else call.attributes.get("kernel_shape", ())
    for across in (2, 3):
        pads = call.attributes.get("pads") or (0, 0, 0, 0)
        unit = all(atom.size == 1 and not atom.batch for atom in x.axes[across])
        if len(kernel) != 2 or not unit or kernel[across - 2] != 1 or pads[across - 2] or pads[across]:
            continue
        along = 3 - across  # of the two
        attributes = {**call.attributes, "pads": [pads[along], pads[along + 2]]}
        for key in ("strides", "dilations", "kernel_shape"):
            if call.attributes.get(key):
                attributes[key] = [call.attributes[key][along]]
        seen = x.seen(tuple(axis for k, axis in enumerate(x.axes) if k != across))
        values = [seen, *call.values[1:]]
        if isinstance(w, np.ndarray):
            values[1] = w.squeeze(across)
        return across, replace(call, values=values, attributes=attributes)
    return None


def _raised(x: Tensor, across: int) -> Tensor:
    return x.seen((*x.axes[:across], (), *x.axes[across:]))


def _padding(attributes: Mapping[str, Any]) -> str | tuple[int, int]:
    auto = attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "VALID"):
        return "same" if auto == "SAME_UPPER" else "valid"
    if auto != "NOTSET":
        raise UnsupportedError(f"padding {auto}")
    pads = attributes.get("pads") or (0, 0)
    return int(pads[0]), int(pads[1])


def _pool(call: Call) -> list[Any]:
    x = call.values[0]
    if len(x.axes) == 4 and (flat := _flat(call)) is not None:
        across, inner = flat
        return [_raised(_pool(inner)[0], across)]
    if len(x.axes) != 3 or call.attributes.get("ceil_mode") or only(call.attributes.get("dilations"), 1) != 1 \
            or (call.attributes.get("count_include_pad") and any(call.attributes.get("pads", ()))):
        raise UnsupportedError(f"{call.kind} of other than one dimension, or with ceil_mode, dilations, "
                               "count_include_pad")
    batch, channels, time = x.axes
    placed = call.reader.placed(x, (batch, time, channels))
    layer = made(call.reader.where, MaxPool if call.kind == "MaxPool" else AveragePool,
                 call.name(), only(call.attributes["kernel_shape"], 2),
                 stride=only(call.attributes.get("strides"), 1), padding=_padding(call.attributes))
    number = call.reader.add(layer, ((placed.node, placed.output),))
    size = size_of(time)
    after = layer.shapes(((None, size if isinstance(size, int) else None, None),))[0]
    out = (Atom(after[1]),)
    return [Tensor(number, 0, (batch, out, channels), (batch, channels, out))]


def _global_pool(call: Call) -> list[Any]:
    x = call.values[0]
    if len(x.axes) != 3:
        raise UnsupportedError(f"{call.kind} of other than one dimension")
    return [_over(call.reader, call.node, x, 2, "Max" in call.kind).seen((x.axes[0], x.axes[1], ()))]


def _reduce(call: Call) -> list[Any]:
    x, axes = call.values[0], axes_of(call.values, call.attributes)
    rank = len(x.axes)
    chosen = sorted(a % rank for a in axes) if axes else list(range(rank))
    keep = bool(call.attributes.get("keepdims", 1))
    larger = [a for a in chosen if any(atom.size != 1 or atom.batch for atom in x.axes[a])]
    if len(larger) > 1 or any(x.axes[a] == (call.reader.batch,) for a in larger) \
            or (larger and call.kind == "ReduceSum"):
        raise UnsupportedError(f"{call.kind} over several axes, features or the batch")
    seen = tuple(() if k in chosen else axis for k, axis in enumerate(x.axes) if keep or k not in chosen)
    if larger == [rank - 1] and call.kind == "ReduceMean" and (rank == 2 or x.array[-1] == x.axes[-1] != x.array[1]):
        placed = features_last(call.reader, x, -1)
        number = call.reader.add(FeatureMean(call.name("mean")), ((placed.node, placed.output),))
        one = (Atom(1),)
        return [Tensor(number, 0, (*placed.array[:-1], one), (*placed.axes[:-1], *((one,) if keep else ())))]
    if larger:
        x = _over(call.reader, call.node, x, larger[0], call.kind == "ReduceMax")
    return [x.seen(seen)]


def _over(reader: Reader, node: Any, x: Tensor, axis: int, largest: bool) -> Tensor:
    """The mean or maximum over one axis of three."""
    rest = [a for k, a in enumerate(x.axes) if k != axis and a and a != (reader.batch,)]
    if len(rest) != 1:
        raise UnsupportedError(f"{node.op_type} of other than (batch, time, features)")
    placed = reader.placed(x, ((reader.batch,), x.axes[axis], rest[0]))
    layer = (GlobalMax if largest else GlobalAverage)(reader.name(node.name or node.op_type.lower()))
    number = reader.add(layer, ((placed.node, placed.output),))
    return Tensor(number, 0, ((reader.batch,), rest[0]), ((reader.batch,), rest[0]))


def _batch_normalization(call: Call) -> list[Any]:
    x, scale, offset, mean, variance = call.values[:5]
    constant = all(isinstance(v, np.ndarray) for v in (scale, offset, mean, variance))
    if not constant or call.attributes.get("training_mode"):
        raise UnsupportedError("BatchNormalization with statistics that are computed")
    placed = features_last(call.reader, x, 1)
    return [on_each(call.reader, placed, made(call.reader.where, BatchNormalization, call.name("batch_norm"),
                                          scale, offset, mean, variance,
                                          epsilon=float(call.attributes.get("epsilon", 1e-5))))]


def _layer_normalization(call: Call) -> list[Any]:
    x, scale, offset = [*call.values, None][:3]
    if call.attributes.get("axis", -1) not in (-1, len(x.axes) - 1) or not isinstance(scale, np.ndarray) \
            or len([name for name in call.node.output if name]) != 1:
        raise UnsupportedError("LayerNormalization over other than the last axis")
    placed = features_last(call.reader, x, -1)
    return [on_each(call.reader, placed, made(call.reader.where, LayerNormalization, call.name("layer_norm"),
                                          scale, offset, epsilon=float(call.attributes.get("epsilon", 1e-5))))]


PRODUCTS: dict[str, Operation] = {
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _conv, "MaxPool": _pool, "AveragePool": _pool,
    "GlobalAveragePool": _global_pool, "GlobalMaxPool": _global_pool,
    "ReduceMean": _reduce, "ReduceMax": _reduce, "ReduceSum": _reduce,
    "BatchNormalization": _batch_normalization, "LayerNormalization": _layer_normalization,
}
