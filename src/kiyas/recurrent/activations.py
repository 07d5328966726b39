"""Activations: one name each, whatever the framework calls them.

An `Activation` is a name with its parameters. On float32 NumPy arrays it runs through the compiled code, whose result
for a number does not depend on where the number stands; on any other array it is the formula below, in the array's own
library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kiyas.arrays import Array, is_numpy, namespace, to_numpy
from kiyas.errors import InputError, message
from kiyas.kernels import recurrent as kernels

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _sigmoid(xp: Any, x: Array) -> Array:
    e = xp.exp(-xp.abs(x))  # never overflows
    return xp.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _softplus(xp: Any, x: Array) -> Array:
    return xp.where(x > 0, x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


def _below(xp: Any, x: Array) -> Array:
    return xp.where(x < 0, x, xp.zeros_like(x))


def _relu(xp: Any, x: Array) -> Array:
    return xp.where(x < 0, xp.zeros_like(x), x)


def _elu(xp: Any, x: Array, alpha: float) -> Array:
    return xp.where(x > 0, x, alpha * xp.expm1(_below(xp, x)))


def _erf(xp: Any, x: Array) -> Array:
    values = [math.erf(v) for v in to_numpy(x).ravel().tolist()]  # the array standard has no erf
    return xp.reshape(xp.asarray(values, dtype=x.dtype), x.shape)


def _clip(xp: Any, x: Array, low: float, high: float) -> Array:
    x = xp.where(x < low, xp.full_like(x, low), x)
    return xp.where(x > high, xp.full_like(x, high), x)


def _softmax(xp: Any, x: Array) -> Array:
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def _capped_relu(xp: Any, x: Array, max_value: float, negative_slope: float, threshold: float) -> Array:
    low = negative_slope * (x - threshold)
    return xp.where(x < threshold, low, _clip(xp, x, -math.inf, max_value))


_FORMULAS: dict[str, Callable[..., Array]] = {
    "linear": lambda _, x: x,
    "sigmoid": _sigmoid,
    "tanh": lambda xp, x: xp.tanh(x),
    "relu": _relu,
    "softmax": _softmax,
    "softplus": _softplus,
    "softsign": lambda xp, x: x / (1 + xp.abs(x)),
    "elu": _elu,
    "selu": lambda xp, x: _SELU_SCALE * _elu(xp, x, _SELU_ALPHA),
    "gelu": lambda xp, x: 0.5 * x * (1 + _erf(xp, x / math.sqrt(2))),
    "gelu_tanh": lambda xp, x: 0.5 * x * (1 + xp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))),
    "exponential": lambda xp, x: xp.exp(x),
    "swish": lambda xp, x: x * _sigmoid(xp, x),
    "relu6": lambda xp, x: _clip(xp, x, 0, 6),
    "leaky_relu": lambda xp, x, alpha: xp.where(x > 0, x, alpha * x),
    "mish": lambda xp, x: x * xp.tanh(_softplus(xp, x)),
    "hard_sigmoid": lambda xp, x, alpha, beta: _clip(xp, alpha * x + beta, 0, 1),
    "hard_sigmoid_fifth": lambda xp, x, alpha, beta: _clip(xp, alpha * x + beta, 0, 1),
    # What no cell of the frameworks has by default; never in the compiled cells.
    "hard_swish": lambda xp, x: x * _clip(xp, x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda xp, x: _clip(xp, x, -1, 1),
    "affine": lambda _, x, alpha, beta: alpha * x + beta,
    "scaled_tanh": lambda xp, x, alpha, beta: alpha * xp.tanh(beta * x),
    "thresholded_relu": lambda xp, x, alpha: xp.where(x > alpha, x, xp.zeros_like(x)),
    "capped_relu": _capped_relu,
    "log_sigmoid": lambda xp, x: -_softplus(xp, -x),
}
_DEFAULTS: dict[str, dict[str, float]] = {
    "elu": {"alpha": 1.0},
    "leaky_relu": {"alpha": 0.2},
    "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5},
    "hard_sigmoid_fifth": {"alpha": 0.2, "beta": 0.5},
    "affine": {"alpha": 1.0, "beta": 0.0},
    "scaled_tanh": {"alpha": 1.0, "beta": 1.0},
    "thresholded_relu": {"alpha": 1.0},
    "capped_relu": {"max_value": math.inf, "negative_slope": 0.0, "threshold": 0.0},
}
# Other words for the same function. "hard_sigmoid" has no entry: which of the two it is, the file's version decides.
_ALIASES = {
    "identity": "linear", "none": "linear", "logistic": "sigmoid", "silu": "swish", "exp": "exponential",
    "hard_silu": "hard_swish", "leakyrelu": "leaky_relu", "hardsigmoid": "hard_sigmoid_fifth",
    "scaledtanh": "scaled_tanh", "thresholdedrelu": "thresholded_relu", "logsigmoid": "log_sigmoid",
}
# Elementwise through the compiled code; the rest is put together from these.
_COMPILED = frozenset(kernels.ACTIVATIONS)
NAMES = tuple(_FORMULAS)


@dataclass(frozen=True)
class Activation:
    """A named activation with its parameters; call it on an array.

    Parameters: ``name``: one of `kiyas.recurrent.activations.NAMES`; ``parameters``: its numbers (``alpha``, …). Made
    by `find`. Softmax runs over the last axis, everything else on each number.

    >>> find("hard_sigmoid")(np.array([-4, 0, 1.5], np.float32)).tolist()
    [0.0, 0.5, 0.75]
    """

    name: str
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, x: Array) -> Array:
        """The activation of every number of ``x``, in its dtype."""
        if is_numpy(x) and x.dtype == np.float32:
            return self._compiled(x)
        return _FORMULAS[self.name](namespace(x), x, **self.parameters)

    def _compiled(self, x: np.ndarray) -> np.ndarray:
        if self.name == "softmax":
            return kernels.softmax(x)
        if self.name in _COMPILED:
            return kernels.activate(self, x)
        if self.name == "scaled_tanh":
            scale = np.float32(self.parameters["beta"])
            return np.float32(self.parameters["alpha"]) * kernels.activate("tanh", scale * x)
        if self.name == "log_sigmoid":
            return -kernels.activate("softplus", -x)
        # Products, sums and comparisons only: NumPy rounds these alike wherever a number stands.
        y: np.ndarray = _FORMULAS[self.name](np, x, **self.parameters)
        return y.astype(np.float32, copy=False)

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.parameters.items()))))

    def __str__(self) -> str:
        default = _DEFAULTS.get(self.name, {})
        other = [f"{k}={v:g}" for k, v in self.parameters.items() if v != default.get(k)]
        return f"{self.name}({', '.join(other)})" if other else self.name


def find(name: str | Activation, owner: str = "activation", parameter: str = "activation",
         **parameters: float) -> Activation:
    """The activation of a name, with parameters where it takes them.

    Parameters: ``name``: one of `NAMES` or another word for one (``silu``, ``logistic``, ``identity``, …), or an
    `Activation`, which is returned; ``owner``, ``parameter``: whom an error names. ``hard_sigmoid`` is Keras 3's
    (x/6 + 1/2), ``hard_sigmoid_fifth`` that of Keras 1 and 2 and of ONNX (0.2x + 1/2).

    Raises `InputError` for a name or a parameter that is not known.

    >>> find("silu").name, str(find("leaky_relu", alpha=0.1))
    ('swish', 'leaky_relu(alpha=0.1)')
    """
    if isinstance(name, Activation):
        return name
    found = _ALIASES.get(name.lower(), name.lower()) if isinstance(name, str) else name
    if not isinstance(found, str) or found not in _FORMULAS:
        raise InputError(message(owner, parameter, f"one of {', '.join(sorted(NAMES))}", repr(name)))
    known = _DEFAULTS.get(found, {})
    if unknown := sorted(parameters.keys() - known.keys()):
        raise InputError(message(owner, parameter, f"{found} with {', '.join(known) or 'no parameters'}",
                                 ", ".join(unknown)))
    for key, value in parameters.items():
        if not isinstance(value, (int, float)) or math.isnan(value):
            raise InputError(message(owner, f"{parameter}.{key}", "a number", repr(value)))
    return Activation(found, {**known, **{k: float(v) for k, v in parameters.items()}})
