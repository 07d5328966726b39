"""Cells of recurrent layers, dense products and activations, in one order of summation.

A sum over inputs starts at the bias and has one order whatever the batch, the number of time steps or the number of
threads, so that step by step, whole sequences and batches agree bit for bit. Weights are canonical (docs/design.md):
float32, rows are outputs, gates i f c o (LSTM) and z r h (GRU). Kernels know nothing of layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kiyas.errors import InputError, message

PRECISIONS = ("float32", "bfloat16", "int8")
# A name, a name with parameters, or any object with `name` and `parameters`.
Named = Any
State = tuple[np.ndarray, ...]


class Found(NamedTuple):
    """What `find` answers: a kernel, or None and the reason."""

    kernel: Any | None
    reason: str


# ---- activations ---------------------------------------------------------------------------------

_DEFAULTS: dict[str, dict[str, float]] = {
    "linear": {}, "sigmoid": {}, "tanh": {}, "relu": {}, "softplus": {}, "softsign": {}, "elu": {"alpha": 1.0},
    "selu": {}, "gelu": {}, "gelu_tanh": {}, "exponential": {}, "swish": {}, "relu6": {}, "leaky_relu": {"alpha": 0.2},
    "mish": {}, "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5}, "hard_sigmoid_fifth": {"alpha": 0.2, "beta": 0.5},
}
_erf = np.frompyfunc(math.erf, 1, 1)
_PLAIN: dict[str, Callable[..., np.ndarray]] = {
    "linear": lambda x: x,
    "sigmoid": lambda x: np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x)))),
    "tanh": np.tanh,
    "relu": lambda x: np.where(x < 0, 0.0, x),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)).astype(np.float64)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "exponential": np.exp,
    "swish": lambda x: x * _PLAIN["sigmoid"](x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x, alpha: np.where(x > 0, x, alpha * x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
    "hard_sigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "hard_sigmoid_fifth": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
}


def _named(activation: Named, owner: str, parameter: str) -> tuple[str, dict[str, float]]:
    if isinstance(activation, str):
        name, given = activation, {}
    elif isinstance(activation, tuple):
        name, given = activation[0], dict(activation[1])
    else:
        name, given = activation.name, dict(activation.parameters)
    if name not in _DEFAULTS:
        raise InputError(message(owner, parameter, f"one of {', '.join(_DEFAULTS)}", repr(name)))
    unknown = given.keys() - _DEFAULTS[name].keys()
    if unknown:
        raise InputError(message(owner, parameter, f"{name} with {', '.join(_DEFAULTS[name]) or 'no parameters'}",
                                 ", ".join(sorted(unknown))))
    return name, {**_DEFAULTS[name], **given}


def activate(activation: Named, x: np.ndarray, out: np.ndarray | None = None, **parameters: float) -> np.ndarray:
    """An activation, elementwise; what it gives for a number does not depend on where the number stands.

    >>> activate("hard_sigmoid", np.array([-4, 0, 1.5], np.float32)).tolist()
    [0.0, 0.5, 0.75]
    """
    name, given = _named((activation, parameters) if isinstance(activation, str) else activation, "activate",
                         "activation")
    with np.errstate(over="ignore", invalid="ignore"):
        y = _PLAIN[name](np.asarray(x, np.float32).astype(np.float64), **given).astype(np.float32)
    if out is None:
        return y
    out[...] = y
    return out


def softmax(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Softmax over the last axis.

    >>> softmax(np.zeros((1, 4), np.float32)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    x = np.ascontiguousarray(x, np.float32)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y: np.ndarray = np.divide(e, e.sum(axis=-1, keepdims=True), out=out)
    return y


# ---- products ------------------------------------------------------------------------------------

def _rounded(weights: np.ndarray, precision: str) -> np.ndarray:
    """Weights as the precision stores them, in float32."""
    if precision == "bfloat16":
        bits = weights.view(np.uint32).astype(np.uint64)
        kept: np.ndarray = (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).astype(np.uint32)
        return kept.view(np.float32)
    if precision == "int8":
        scale = np.abs(weights).max(axis=1, keepdims=True) / 127
        scale[scale == 0] = 1
        return (np.rint(weights / scale) * scale).astype(np.float32)
    return weights


def _weights(value: Any, owner: str, name: str, rows: int | None = None, columns: int | None = None) -> np.ndarray:
    w = np.ascontiguousarray(value, np.float32)
    wanted = f"of shape ({rows or 'outputs'}, {columns or 'inputs'})"
    if w.ndim != 2 or 0 in w.shape or (rows or w.shape[0]) != w.shape[0] or (columns or w.shape[1]) != w.shape[1]:
        raise InputError(message(owner, name, wanted, f"shape {w.shape}"))
    return w


def _bias(value: Any, owner: str, name: str, rows: int) -> np.ndarray:
    if value is None:
        return np.zeros(rows, np.float32)
    b = np.ascontiguousarray(value, np.float32)
    if b.shape != (rows,):
        raise InputError(message(owner, name, f"of shape ({rows},)", f"shape {b.shape}"))
    return b


def _precision(value: str, owner: str) -> str:
    if value not in PRECISIONS:
        raise InputError(message(owner, "precision", f"one of {', '.join(PRECISIONS)}", repr(value)))
    return value


class Linear:
    """x·Wᵀ + b with one order of summation an output, whatever the number of rows.

    >>> Linear(np.array([[1, 2], [3, 4]], np.float32), np.ones(2, np.float32))(np.ones((1, 2), np.float32)).tolist()
    [[4.0, 8.0]]
    """

    def __init__(self, weights: np.ndarray, bias: np.ndarray | None = None, precision: str = "float32") -> None:
        w = _weights(weights, "Linear", "weights")
        self.outputs, self.inputs = w.shape
        self.precision = _precision(precision, "Linear")
        self._w, self._b = _rounded(w, precision), _bias(bias, "Linear", "bias", self.outputs)

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        x = np.ascontiguousarray(x, np.float32)
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise InputError(message("Linear", "x", f"of shape (rows, {self.inputs})", f"shape {x.shape}"))
        y = np.empty((x.shape[0], self.outputs), np.float32) if out is None else out
        for i, row in enumerate(x):
            np.add(np.add.reduce(self._w * row, axis=1), self._b, out=y[i])
        return y


# ---- cells ---------------------------------------------------------------------------------------

class _Cell:
    """What the cells share: packing, sequences, masks."""

    gates = 1
    states = 1

    def __init__(self, owner: str, input_weights: Any, recurrent_weights: Any, bias: Any, precision: str,
                 embedding: Any) -> None:
        self._owner = owner
        r = _weights(recurrent_weights, owner, "recurrent_weights")
        self.units = r.shape[1]
        r = _weights(r, owner, "recurrent_weights", self.gates * self.units, self.units)
        w = _weights(input_weights, owner, "input_weights", self.gates * self.units)
        self.inputs = w.shape[1]
        self.precision = _precision(precision, owner)
        self._input = Linear(w, _bias(bias, owner, "bias", self.gates * self.units), precision)
        self._recurrent = Linear(r, None, precision)
        self._table = None
        if embedding is not None:
            self._table = self._input(_weights(embedding, owner, "embedding", None, self.inputs))

    def _project(self, x: np.ndarray, name: str = "x") -> np.ndarray:
        """Input part of the gates for x (…, inputs), or ids (…)."""
        if self._table is None:
            if x.shape[-1] != self.inputs:
                raise InputError(message(self._owner, name, f"of {self.inputs} features", f"shape {x.shape}"))
            return self._input(x.reshape(-1, self.inputs)).reshape(*x.shape[:-1], -1)
        if x.dtype.kind not in "iu":
            raise InputError(message(self._owner, name, "ids (integers), as it was made with an embedding", x.dtype))
        bad = (x < 0) | (x >= self._table.shape[0])
        if bad.any():
            raise InputError(message(self._owner, name, f"ids from 0 to {self._table.shape[0] - 1}",
                                     f"{x[bad].flat[0]}"))
        rows: np.ndarray = self._table[x]
        return rows

    def _state(self, state: Any, batch: int) -> State:
        if state is None:
            return tuple(np.zeros((batch, self.units), np.float32) for _ in range(self.states))
        now: State = tuple(np.ascontiguousarray(s, np.float32) for s in state)
        if len(now) != self.states or any(s.shape != (batch, self.units) for s in now):
            raise InputError(message(self._owner, "state", f"{self.states} arrays of shape ({batch}, {self.units})",
                                     f"shapes {[s.shape for s in now]}"))
        return now

    def _next(self, z: np.ndarray, state: State) -> State:
        raise NotImplementedError

    def step(self, x: np.ndarray, state: Any = None, out: State | None = None) -> tuple[np.ndarray, State]:
        """One step: x (batch, inputs) or ids (batch,) -> (y, state); ``out`` takes the new state (may be ``state``)."""
        x = np.asarray(x) if self._table is not None else np.ascontiguousarray(x, np.float32)
        new = self._next(self._project(x), self._state(state, x.shape[0]))
        if out is not None:
            for o, s in zip(out, new, strict=True):
                o[...] = s
            new = out
        return new[0], new

    def sequence(self, x: np.ndarray, state: Any = None, *, lengths: Any = None, mask: Any = None,
                 zero_masked: bool = False, reverse: bool = False, threads: int = 1,
                 out: np.ndarray | None = None) -> tuple[np.ndarray, State]:
        """A sequence: x (batch, time, inputs) or ids (batch, time) -> y (batch, time, units), state at the end.

        ``lengths`` (batch,): y is zero from there on, the state is that at the row's end, and ``reverse`` starts there.
        ``mask`` (batch, time): a step whose mask is False keeps the state and repeats the output before it (in order of
        processing; zeros before the first), or gives zeros with ``zero_masked``. ``reverse`` runs from the end; y stays
        in order of time. A row without steps keeps its state.
        """
        return self._run(x, state, lengths, mask, zero_masked, reverse, threads, out, True)

    def last(self, x: np.ndarray, state: Any = None, *, lengths: Any = None, mask: Any = None, reverse: bool = False,
             threads: int = 1) -> tuple[np.ndarray, State]:
        """As `sequence`, but y (batch, units) is the output of the last step taken; zeros where there was none."""
        return self._run(x, state, lengths, mask, False, reverse, threads, None, False)

    def _run(self, x: Any, state: Any, lengths: Any, mask: Any, zero_masked: bool, reverse: bool, threads: int,
             out: Any, every: bool) -> tuple[np.ndarray, State]:
        x = np.asarray(x) if self._table is not None else np.ascontiguousarray(x, np.float32)
        if x.ndim != (3 if self._table is None else 2):
            wanted = f"(batch, time, {self.inputs})" if self._table is None else "(batch, time)"
            raise InputError(message(self._owner, "x", f"of shape {wanted}", f"shape {x.shape}"))
        batch, time = x.shape[:2]
        valid = np.ones((batch, time), bool)
        inside = valid
        if lengths is not None:
            lengths = np.asarray(lengths)
            if lengths.shape != (batch,) or np.any((lengths < 0) | (lengths > time)):
                raise InputError(message(self._owner, "lengths", f"{batch} integers from 0 to {time}", repr(lengths)))
            inside = np.arange(time) < lengths[:, None]
        if mask is not None:
            valid = np.asarray(mask, bool)
            if valid.shape != (batch, time):
                raise InputError(message(self._owner, "mask", f"of shape ({batch}, {time})", f"shape {valid.shape}"))
        z = self._project(x)
        now = self._state(state, batch)
        y = np.zeros((batch, self.units), np.float32)
        if every and out is None:
            out = np.empty((batch, time, self.units), np.float32)
        for t in range(time)[:: -1 if reverse else 1]:
            live = (valid & inside)[:, t, None]
            now = tuple(np.where(live, new, old) for new, old in zip(self._next(z[:, t], now), now, strict=True))
            y = np.where(live, now[0], y)
            if every:
                out[:, t] = np.where(inside[:, t, None] & (live if zero_masked else True), y, 0)
        return (out if every else y), now


class LSTMKernel(_Cell):
    """LSTM: gates i f c o; c = f·c + i·g(c̃), h = o·output_activation(c). State (h, c)."""

    gates, states = 4, 2

    def __init__(self, input_weights: Any, recurrent_weights: Any, bias: Any = None,
                 recurrent_activation: Named = "sigmoid", activation: Named = "tanh",
                 output_activation: Named | None = None, precision: str = "float32", embedding: Any = None) -> None:
        super().__init__("LSTMKernel", input_weights, recurrent_weights, bias, precision, embedding)
        self._f = _named(recurrent_activation, "LSTMKernel", "recurrent_activation")
        self._g = _named(activation, "LSTMKernel", "activation")
        self._h = self._g if output_activation is None else _named(output_activation, "LSTMKernel",
                                                                    "output_activation")

    def _next(self, z: np.ndarray, state: State) -> State:
        h, c = state
        i, f, g, o = np.split(z + self._recurrent(h), 4, axis=-1)
        c = activate(self._f, f) * c + activate(self._f, i) * activate(self._g, g)
        return activate(self._f, o) * activate(self._h, c), c


class GRUKernel(_Cell):
    """GRU: gates z r h; h = z·h + (1 − z)·h̃, the reset applied before or after the product. State (h,)."""

    gates, states = 3, 1

    def __init__(self, input_weights: Any, recurrent_weights: Any, bias: Any = None, recurrent_bias: Any = None,
                 reset_after: bool = False, recurrent_activation: Named = "sigmoid", activation: Named = "tanh",
                 precision: str = "float32", embedding: Any = None) -> None:
        super().__init__("GRUKernel", input_weights, recurrent_weights, bias, precision, embedding)
        if recurrent_bias is not None and not reset_after:
            raise InputError(message("GRUKernel", "recurrent_bias", "None where the reset is applied before", "given"))
        self.reset_after = reset_after
        r = _weights(recurrent_weights, "GRUKernel", "recurrent_weights")
        n = self.units
        self._gates = Linear(r[: 2 * n], None, precision)
        self._candidate = Linear(r[2 * n :], None, precision)
        self._b = _bias(recurrent_bias, "GRUKernel", "recurrent_bias", 3 * n)
        self._f = _named(recurrent_activation, "GRUKernel", "recurrent_activation")
        self._g = _named(activation, "GRUKernel", "activation")

    def _next(self, z: np.ndarray, state: State) -> State:
        (h,), n = state, self.units
        gates = activate(self._f, z[:, : 2 * n] + self._b[: 2 * n] + self._gates(h))
        u, r = gates[:, :n], gates[:, n:]
        inner = r * (self._candidate(h) + self._b[2 * n :]) if self.reset_after else self._candidate(r * h)
        new = activate(self._g, z[:, 2 * n :] + inner)
        return (u * h + (1 - u) * new,)


class RNNKernel(_Cell):
    """SimpleRNN: h = activation(x·Wᵀ + h·Rᵀ + b). State (h,)."""

    gates, states = 1, 1

    def __init__(self, input_weights: Any, recurrent_weights: Any, bias: Any = None, activation: Named = "tanh",
                 precision: str = "float32", embedding: Any = None) -> None:
        super().__init__("RNNKernel", input_weights, recurrent_weights, bias, precision, embedding)
        self._g = _named(activation, "RNNKernel", "activation")

    def _next(self, z: np.ndarray, state: State) -> State:
        return (activate(self._g, z + self._recurrent(state[0])),)


# What a layer may have and no kernel computes: the value that means absent, and its name for people.
_LACKING: Mapping[str, tuple[Any, str]] = {
    "peephole": (None, "peephole"), "projection": (None, "projection"), "coupled": (False, "coupled gates"),
    "clip": (None, "clip"), "layer_norm": (None, "layer normalization"),
}


def find(layer: Any, precision: str = "float32", embedding: np.ndarray | None = None) -> Found:
    """The kernel for a recurrent layer (an object with the fields of docs/design.md), or None with the reason."""
    kind = type(layer).__name__
    if kind not in ("LSTM", "GRU", "SimpleRNN"):
        return Found(None, f"no kernel for {kind}")
    for field, (absent, name) in _LACKING.items():
        value = getattr(layer, field, absent)
        if value is not absent and value != absent:
            return Found(None, f"{name}: not in the compiled cell")
    for field in ("activation", "recurrent_activation", "output_activation"):
        value = getattr(layer, field, None)
        called = value if isinstance(value, str) or value is None else value.name
        if called is not None and called not in _DEFAULTS:
            return Found(None, f"{field} {called}: not in the compiled cell")
    given = (layer.input_weights, layer.recurrent_weights, layer.bias)
    if kind == "LSTM":
        return Found(LSTMKernel(*given, layer.recurrent_activation, layer.activation, layer.output_activation,
                                precision, embedding), "")
    if kind == "GRU":
        return Found(GRUKernel(*given, layer.recurrent_bias, layer.reset_after, layer.recurrent_activation,
                               layer.activation, precision, embedding), "")
    return Found(RNNKernel(*given, layer.activation, precision, embedding), "")


class Stepper:
    """A stack of cells with its state kept between steps: `step` costs little more than the arithmetic."""

    def __init__(self, kernels: list[Any], batch: int = 1) -> None:
        self._kernels, self.batch = list(kernels), batch
        self.reset()

    def reset(self) -> None:
        """Zero state."""
        self._states = [tuple(np.zeros((self.batch, k.units), np.float32) for _ in range(k.states))
                        for k in self._kernels]

    @property
    def state(self) -> list[State]:
        """The state of each cell: a copy; assign to set it."""
        return [tuple(s.copy() for s in state) for state in self._states]

    @state.setter
    def state(self, value: list[State]) -> None:
        self._states = [tuple(s.copy() for s in k._state(state, self.batch))
                        for k, state in zip(self._kernels, value, strict=True)]

    def step(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Take x (batch, inputs) or ids (batch,), give y (batch, units) of the last cell."""
        y = x
        for i, kernel in enumerate(self._kernels):
            y, self._states[i] = kernel.step(y, self._states[i])
        if out is None:
            return y.copy()
        out[...] = y
        return out
