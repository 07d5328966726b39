"""Activations as ONNX nodes, and as the names that its recurrent nodes know."""

from __future__ import annotations

import math
from collections.abc import Callable

from kiyas.recurrent.activations import Activation
from kiyas.recurrent.export.onnx_graph import Writer, refusal
from kiyas.recurrent.layers import Layer

_PLAIN = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softplus": "Softplus", "softsign": "Softsign",
          "selu": "Selu", "exponential": "Exp"}


def apply(w: Writer, layer: Layer, activation: Activation, x: str) -> str:
    """The activation of a value."""
    if activation.name == "linear":
        return x
    if activation.name in _PLAIN:
        return str(w.op(_PLAIN[activation.name], x))
    if activation.name not in _COMPOSED:
        raise refusal(layer, f"has the activation {activation}, which has no form there")
    return str(_COMPOSED[activation.name](w, x, **activation.parameters))


def _times(w: Writer, x: str, factor: float) -> str:
    return str(w.op("Mul", x, w.scalar(factor)))


def _clip(w: Writer, x: str, low: float, high: float) -> str:
    return str(w.op("Clip", x, w.scalar(low), w.scalar(high)))


def _hard_sigmoid(w: Writer, x: str, alpha: float, beta: float) -> str:
    return str(w.op("HardSigmoid", x, alpha=alpha, beta=beta))


def _gelu(w: Writer, x: str) -> str:
    one = w.op("Add", w.op("Erf", _times(w, x, 1 / math.sqrt(2))), w.scalar(1))
    return str(w.op("Mul", _times(w, x, 0.5), one))


def _gelu_tanh(w: Writer, x: str) -> str:
    cube = _times(w, w.op("Mul", w.op("Mul", x, x), x), 0.044715)
    bent = w.op("Tanh", _times(w, w.op("Add", x, cube), math.sqrt(2 / math.pi)))
    return str(w.op("Mul", _times(w, x, 0.5), w.op("Add", bent, w.scalar(1))))


def _scaled_tanh(w: Writer, x: str, alpha: float, beta: float) -> str:
    return _times(w, w.op("Tanh", _times(w, x, beta)), alpha)


def _capped_relu(w: Writer, x: str, max_value: float, negative_slope: float, threshold: float) -> str:
    low = _times(w, w.op("Sub", x, w.scalar(threshold)), negative_slope)
    return str(w.op("Where", w.op("Less", x, w.scalar(threshold)), low, w.op("Min", x, w.scalar(max_value))))


_COMPOSED: dict[str, Callable[..., str]] = {
    "softmax": lambda w, x: w.op("Softmax", x, axis=-1),
    "elu": lambda w, x, alpha: w.op("Elu", x, alpha=alpha),
    "leaky_relu": lambda w, x, alpha: w.op("LeakyRelu", x, alpha=alpha),
    "thresholded_relu": lambda w, x, alpha: w.op("ThresholdedRelu", x, alpha=alpha),
    "hard_sigmoid": _hard_sigmoid,
    "hard_sigmoid_fifth": _hard_sigmoid,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "swish": lambda w, x: w.op("Mul", x, w.op("Sigmoid", x)),
    "mish": lambda w, x: w.op("Mul", x, w.op("Tanh", w.op("Softplus", x))),
    "relu6": lambda w, x: _clip(w, x, 0, 6),
    "hard_tanh": lambda w, x: _clip(w, x, -1, 1),
    "hard_swish": lambda w, x: w.op("Mul", x, _hard_sigmoid(w, x, 1 / 6, 0.5)),
    "affine": lambda w, x, alpha, beta: w.op("Add", _times(w, x, alpha), w.scalar(beta)),
    "scaled_tanh": _scaled_tanh,
    "capped_relu": _capped_relu,
    "log_sigmoid": lambda w, x: w.op("Neg", w.op("Softplus", w.op("Neg", x))),
}

# (name, alpha, beta) inside LSTM, GRU and RNN nodes.
_INSIDE: dict[str, tuple[str, str | None, str | None]] = {
    "sigmoid": ("Sigmoid", None, None), "tanh": ("Tanh", None, None), "relu": ("Relu", None, None),
    "softplus": ("Softplus", None, None), "softsign": ("Softsign", None, None), "elu": ("Elu", "alpha", None),
    "leaky_relu": ("LeakyRelu", "alpha", None), "thresholded_relu": ("ThresholdedRelu", "alpha", None),
    "hard_sigmoid": ("HardSigmoid", "alpha", "beta"), "hard_sigmoid_fifth": ("HardSigmoid", "alpha", "beta"),
    "scaled_tanh": ("ScaledTanh", "alpha", "beta"), "affine": ("Affine", "alpha", "beta"),
}


def inside(layer: Layer, *activations: Activation) -> dict[str, list[object]]:
    """The attributes of a recurrent node that name its activations, with a number for each that takes one."""
    names: list[object] = []
    alphas: list[object] = []
    betas: list[object] = []
    for one in activations:
        given = Activation("affine", {"alpha": 1.0, "beta": 0.0}) if one.name == "linear" else one
        if given.name not in _INSIDE:
            raise refusal(layer, f"has the activation {one}, which ONNX has not inside a recurrent node")
        name, alpha, beta = _INSIDE[given.name]
        names.append(name)
        alphas += [given.parameters[alpha]] if alpha else []
        betas += [given.parameters[beta]] if beta else []
    return {"activations": names} | ({"activation_alpha": alphas} if alphas else {}) | \
        ({"activation_beta": betas} if betas else {})
