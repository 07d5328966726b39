"""Operations on each number by itself, and sums and products of signals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kiyas.recurrent.activations import find
from kiyas.recurrent.layers import (
    ActivationLayer,
    Add,
    Arithmetic,
    Dense,
    Divide,
    Layer,
    Maximum,
    Minimum,
    Multiply,
    Power,
    PReLU,
    Scale,
    Subtract,
)
from kiyas.recurrent.loading.made import made
from kiyas.recurrent.loading.onnx.call import Call, MismatchError, Operation, UnsupportedError, on_each
from kiyas.recurrent.loading.onnx.values import Tensor

_ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "Sigmoid": ("sigmoid", {}), "Tanh": ("tanh", {}), "Relu": ("relu", {}), "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}), "Elu": ("elu", {"alpha": 1.0}), "LeakyRelu": ("leaky_relu", {"alpha": 0.01}),
    "ThresholdedRelu": ("thresholded_relu", {"alpha": 1.0}), "Exp": ("exponential", {}), "Mish": ("mish", {}),
    "HardSigmoid": ("hard_sigmoid_fifth", {"alpha": 0.2, "beta": 0.5}), "HardSwish": ("hard_swish", {}),
}

if TYPE_CHECKING:
    from kiyas.recurrent.loading.onnx.graph import Reader


def _activation(call: Call) -> list[Any]:
    kind, defaults = _ACTIVATIONS[call.kind]
    given = {key: float(call.attributes.get(key, default)) for key, default in defaults.items()}
    name = call.name()
    return [on_each(call.reader, call.values[0], ActivationLayer(name, find(kind, name, "activation", **given)))]


def _named(kind: str) -> Operation:
    def operation(call: Call) -> list[Any]:
        return [on_each(call.reader, call.values[0], ActivationLayer(call.name(kind), find(kind)))]
    return operation


def _selu(call: Call) -> list[Any]:
    alpha, gamma = call.attributes.get("alpha", 1.67326), call.attributes.get("gamma", 1.0507)
    if abs(alpha - 1.67326) > 1e-4 or abs(gamma - 1.0507) > 1e-4:
        raise UnsupportedError("Selu with numbers of its own")
    return _named("selu")(call)


def _gelu(call: Call) -> list[Any]:
    return _named("gelu_tanh" if call.attributes.get("approximate") == "tanh" else "gelu")(call)


def _clip(call: Call) -> list[Any]:
    low, high = call.attributes.get("min"), call.attributes.get("max")
    if len(call.values) > 1 and isinstance(call.values[1], np.ndarray):
        low = float(call.values[1])
    if len(call.values) > 2 and isinstance(call.values[2], np.ndarray):
        high = float(call.values[2])
    if low != 0 or high is None:
        raise UnsupportedError("Clip to other than 0 and above")
    name = call.name("clip")
    activation = find("capped_relu", name, max_value=float(high))
    return [on_each(call.reader, call.values[0], ActivationLayer(name, activation))]


def _softmax(call: Call) -> list[Any]:
    x = call.values[0]
    axis = call.attributes.get("axis", -1 if call.reader.opset >= 13 else 1) % len(x.axes)
    if call.reader.opset < 13 and axis != len(x.axes) - 1:
        raise UnsupportedError("Softmax over several axes at once")
    group = x.axes[axis]
    placed = x if x.array[-1] == group else call.reader.placed(
        x, ((call.reader.batch,), *(a for a in x.axes if a and a not in (group, (call.reader.batch,))), group))
    return [on_each(call.reader, placed, ActivationLayer(call.name("softmax"), "softmax"))]


def _power(call: Call) -> list[Any]:
    x = call.values[0]
    exponent = {"Sqrt": 0.5, "Reciprocal": -1.0}.get(call.kind)
    if exponent is None:
        if not isinstance(call.values[1], np.ndarray) or call.values[1].size != 1:
            raise UnsupportedError("Pow with an exponent that is computed")
        exponent = float(call.values[1].ravel()[0])
    if exponent not in (-1.0, 0.5, 1.0, 2.0, 3.0) or not isinstance(x, Tensor):
        raise UnsupportedError(f"Pow with the exponent {exponent:g}")
    return [on_each(call.reader, x, Power(call.name("power"), exponent))]


def _negative(call: Call) -> list[Any]:
    return [on_each(call.reader, call.values[0], Scale(call.name("neg"), np.array(-1.0), np.array(0.0)))]


def _arithmetic(call: Call) -> list[Any]:
    a, b = call.values[:2]
    kind = call.kind
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        layer = {"Add": Add, "Sub": Subtract, "Mul": Multiply, "Div": Divide}.get(kind)
        if layer is None or len(call.values) != 2:
            raise UnsupportedError(f"{kind} of two signals")
        return [_merged(call.reader, [a, b], layer(call.name(kind.lower())))]
    x, constant, first = (a, b, True) if isinstance(a, Tensor) else (b, a, False)
    if not isinstance(x, Tensor) or not isinstance(constant, np.ndarray) or constant.dtype.kind not in "fiu":
        raise UnsupportedError(kind)
    constant = constant.astype(np.float32)
    if kind == "Add" and (folded := _as_bias(call.reader, call.node, x, constant)):
        return [folded]
    placed = x if constant.size == 1 else call.reader.in_order(x)
    constant = constant.reshape(()) if constant.size == 1 else _in_order_of(call.reader, placed, constant)
    if kind == "Div":
        return [on_each(call.reader, placed, made(call.reader.where, Arithmetic, call.name("div"), "divide", constant,
                                                  not first))]
    one, zero = np.ones((), np.float32), np.zeros((), np.float32)
    scale, offset = {"Add": (one, constant), "Sub": (one, -constant) if first else (-one, constant),
                     "Mul": (constant, zero)}[kind]
    return [on_each(call.reader, placed, made(call.reader.where, Scale, call.name(kind.lower()), scale, offset))]


def _in_order_of(reader: Reader, x: Tensor, constant: np.ndarray) -> np.ndarray:
    """A constant against a tensor whose array is in the order of ONNX, batch first and then left out."""
    if constant.ndim > len(x.axes):
        raise UnsupportedError("a constant of more axes than the signal")
    wide = constant.reshape(*(1,) * (len(x.axes) - constant.ndim), *constant.shape)
    at = x.axes.index((reader.batch,))
    if wide.shape[at] != 1:
        raise UnsupportedError("a constant that differs over the batch")
    found: np.ndarray = np.moveaxis(wide, at, 0)[0]
    return found


def _as_bias(reader: Reader, node: Any, x: Tensor, constant: np.ndarray) -> Tensor | None:
    """The bias of a product that was made just before and has none."""
    layer = reader.nodes[x.node].layer
    uses = sum(reader.uses.get(name, 0) for name in node.input)
    if isinstance(layer, Dense) and layer.bias is None and uses == 2 and constant.ndim == 1 \
            and constant.shape == (layer.weights.shape[0],) and x.axes[-1] == x.array[-1]:
        reader.nodes[x.node] = reader.nodes[x.node]._replace(layer=made(reader.where, replace, layer, bias=constant))
        return x
    return None


def _merged(reader: Reader, tensors: list[Tensor], layer: Layer) -> Tensor:
    """Signals number by number: their arrays in one order."""
    orders = {tuple(t.axes.index(axis) if axis in t.axes else -1 for axis in t.array) for t in tensors}
    if len(orders) == 1 and -1 not in min(orders) and len({len(t.axes) for t in tensors}) == 1:
        placed = tensors  # their arrays have the same axes in the same order
    else:
        rank = max(len(t.axes) for t in tensors)
        placed = [reader.in_order(t.seen((*((),) * (rank - len(t.axes)), *t.axes))) for t in tensors]
        if len({t.axes.index((reader.batch,)) for t in placed}) != 1:
            raise MismatchError("signals whose batches are different axes")
    number = reader.add(layer, tuple((t.node, t.output) for t in placed))
    widest = [max(axes, key=lambda a: (bool(a), not all(x.size == 1 for x in a)))
              for axes in zip(*(t.axes for t in placed), strict=True)]
    array = [max(axes, key=lambda a: (bool(a), not all(x.size == 1 for x in a)))
             for axes in zip(*(t.array for t in placed), strict=True)]
    return Tensor(number, 0, tuple(array), tuple(widest))


def _extreme(call: Call) -> list[Any]:
    if len(call.values) < 2 or not all(isinstance(v, Tensor) for v in call.values):
        raise UnsupportedError(call.kind)
    layer = Maximum if call.kind == "Max" else Minimum
    return [_merged(call.reader, call.values, layer(call.name()))]


def _prelu(call: Call) -> list[Any]:
    x, slope = call.values
    if not isinstance(slope, np.ndarray):
        raise UnsupportedError("PRelu with slopes that are computed")
    placed = call.reader.in_order(x)
    moved = slope.reshape(()) if slope.size == 1 else _in_order_of(call.reader, placed, slope)
    return [on_each(call.reader, placed, made(call.reader.where, PReLU, call.name("prelu"), moved))]


ELEMENTWISE: dict[str, Operation] = {
    **dict.fromkeys(_ACTIVATIONS, _activation), "Selu": _selu, "Gelu": _gelu, "Clip": _clip, "Softmax": _softmax,
    "Pow": _power, "Sqrt": _power, "Reciprocal": _power, "Neg": _negative, "PRelu": _prelu,
    "Add": _arithmetic, "Sub": _arithmetic, "Mul": _arithmetic, "Div": _arithmetic, "Max": _extreme, "Min": _extreme,
}
