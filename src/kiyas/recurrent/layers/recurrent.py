"""LSTM, GRU and SimpleRNN layers over sequences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from kiyas.errors import InputError, message
from kiyas.kernels import recurrent as kernels
from kiyas.kernels.recurrent import Linear
from kiyas.recurrent.activations import Activation, find
from kiyas.recurrent.cell import LayerNorm, LSTMEquations, checked_clip, clipped, gru_output
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, numbers
from kiyas.recurrent.layers.recurrence import Cells, PlainCells, run


@dataclass(frozen=True, eq=False)
class Recurrent(Layer):
    """What the recurrent layers share: how they go through time, masks and states.

    ``inputs[0]`` is the sequence (batch, time, m); further inputs, if any, are the initial state, as in Keras.
    """

    input_weights: np.ndarray
    recurrent_weights: np.ndarray
    bias: np.ndarray | None = None

    # Declared here for the reader and the type checker; each layer has its own defaults.
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    zero_output_for_mask: bool = False
    passes_mask: bool = True
    precision: str = "float32"

    _GATES = 1

    def __post_init__(self) -> None:
        self._choice("precision", kernels.PRECISIONS)
        self._weights("input_weights", None, None)
        self._weights("recurrent_weights", self.input_weights.shape[0], None)
        rows = self.input_weights.shape[0]
        if rows % self._GATES:
            raise InputError(message(self.owner, "input_weights", f"of {self._GATES}·units rows",
                                     f"shape {self.input_weights.shape}"))
        self._weights("bias", rows, optional=True)

    @property
    def units(self) -> int:
        """The number of hidden units."""
        return int(self.input_weights.shape[0]) // self._GATES

    @property
    def features(self) -> int:
        """The number of inputs of a step."""
        return int(self.input_weights.shape[1])

    @property
    def width(self) -> int:
        """The width of the output of a step."""
        return self.units

    @property
    def state_widths(self) -> tuple[int, ...]:
        """The widths of the state arrays."""
        return (self.units,)

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        return {self.name: self.state_widths}

    @property
    def time(self) -> Time:
        return "whole" if self.go_backwards else "recurrent"

    @cached_property
    def _found(self) -> kernels.Found:
        return kernels.find(self, self.precision)

    @cached_property
    def cells(self) -> Cells:
        """What runs the steps."""
        kernel: Cells | None = self._found.kernel
        return self._plain() if kernel is None else kernel

    @property
    def place(self) -> str:
        return f"compiled, {self.precision}" if self._found.kernel is not None else f"plain: {self._found.reason}"

    def _plain(self) -> PlainCells:
        raise NotImplementedError

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, time, _ = self._input_shape(inputs[0], None, None, self.features)
        widths = self.state_widths
        if len(inputs) not in (1, 1 + len(widths)):
            raise InputError(message(self.owner, "inputs", f"a sequence, and {len(widths)} initial states or none",
                                     f"{len(inputs)} inputs"))
        for shape, width in zip(inputs[1:], widths, strict=False):
            self._input_shape(shape, None, width, what="initial state")
        out: tuple[Shape, ...] = ((batch, time, self.width) if self.return_sequences else (batch, self.width),)
        return out + tuple((batch, w) for w in widths) if self.return_state else out

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = inputs[0]
        if state is None and len(inputs) > 1:
            state = tuple(numbers(s) for s in inputs[1:])
        y, new = run(self.cells, numbers(signal), signal, state, context, reverse=self.go_backwards,
                     every=self.return_sequences, zero_masked=self.zero_output_for_mask)
        if self.return_sequences:
            if self.go_backwards:  # Keras leaves outputs in order of processing, and the mask as it was
                if signal.lengths is not None:
                    self._no_lengths(signal)
                y = y[:, ::-1]
            out = Signal(y, signal.mask if self.passes_mask else None, signal.lengths)
        else:
            out = Signal(y)
        return ((out, *(Signal(s) for s in new)) if self.return_state else (out,)), new

    def with_precision(self, precision: str) -> Self:
        """The same layer with its weights stored otherwise."""
        return replace(self, precision=precision)


@dataclass(frozen=True, eq=False)
class LSTM(Recurrent):
    """Long short-term memory: a sequence (batch, time, m) in, outputs of every step or the last one out.

    Parameters: ``input_weights`` (4n, m), ``recurrent_weights`` (4n, p) and ``bias`` (4n,) or None, rows in the order
    of gates i f c o; ``activation`` of the candidate, ``recurrent_activation`` of the gates, ``output_activation`` of
    the cell state on its way out (None: as ``activation``); ``return_sequences``, ``return_state``, ``go_backwards``,
    ``stateful``, ``zero_output_for_mask`` as in Keras; ``peephole`` (3, n) in the order i f o; ``projection`` (p, n);
    ``coupled``: f = 1 − i; ``clip``: bound of the pre-activations; ``layer_norm``: `kiyas.recurrent.LayerNorm`;
    ``passes_mask``: whether the mask goes on to the next layer (every Keras up to 3.15); ``precision`` of the weights.

    Raises `InputError` for weights of other shapes, NaN, and unknown activations.

    >>> layer = LSTM("one", np.zeros((4, 1)), np.zeros((4, 1)), np.ones(4))
    >>> (y,), (h, c) = layer.run((Signal(np.zeros((1, 3, 1), np.float32)),))
    >>> y.values.shape, round(float(c[0, 0]), 4)
    ((1, 1), 1.2614)
    """

    activation: str | Activation = "tanh"
    recurrent_activation: str | Activation = "sigmoid"
    output_activation: str | Activation | None = None
    peephole: np.ndarray | None = None
    projection: np.ndarray | None = None
    coupled: bool = False
    clip: float | None = None
    layer_norm: LayerNorm | None = None

    _GATES = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        n = self.units
        self._weights("projection", None, n, optional=True)
        self._weights("recurrent_weights", 4 * n, self.width)
        self._weights("peephole", 3, n, optional=True)
        self._activation("activation", elementwise=True)
        self._activation("recurrent_activation", elementwise=True)
        if self.output_activation is not None:
            self._activation("output_activation", elementwise=True)
        self._set(clip=checked_clip(self.owner, self.clip), coupled=bool(self.coupled))
        if self.layer_norm is not None:
            self._set(layer_norm=_checked_norm(self.owner, self.layer_norm, n))

    @property
    def width(self) -> int:
        return self.units if self.projection is None else int(self.projection.shape[0])

    @property
    def state_widths(self) -> tuple[int, ...]:
        return (self.width, self.units)

    def count_parameters(self) -> int:
        norm = self.layer_norm
        return super().count_parameters() + (0 if norm is None else 10 * self.units)

    def _plain(self) -> PlainCells:
        norm, n = self.layer_norm, self.units
        recurrent = Linear(self.recurrent_weights, None, self.precision)
        project = None if self.projection is None else Linear(self.projection, None, self.precision)
        equations = LSTMEquations(find(self.recurrent_activation), find(self.activation),
                                  None if self.output_activation is None else find(self.output_activation),
                                  self.peephole, self.coupled, self.clip, norm)
        bias = self.bias

        def advance(zx: np.ndarray, state: Arrays) -> Arrays:
            h, C = np.ascontiguousarray(state[0]), state[1]
            if norm is None:
                z = zx + recurrent(h)
            else:
                z = norm.normalise(zx, norm.input_scale) + norm.normalise(recurrent(h), norm.recurrent_scale)
                z = z if bias is None else z + bias
            gates = equations(z[:, n:2 * n], z[:, :n], z[:, 2 * n:3 * n], z[:, 3 * n:], C)
            return (gates.h if project is None else project(gates.h)), gates.C

        first = Linear(self.input_weights, None if norm is not None else bias, self.precision)
        return PlainCells(first, self.state_widths, advance)


@dataclass(frozen=True, eq=False)
class GRU(Recurrent):
    """Gated recurrent unit: a sequence (batch, time, m) in, outputs of every step or the last one out.

    Parameters: ``input_weights`` (3n, m), ``recurrent_weights`` (3n, n), ``bias`` (3n,) or None, rows in the order of
    gates z r h, with h = z·h + (1 − z)·h̃; ``recurrent_bias`` (3n,), with ``reset_after`` only; ``reset_after``: the
    reset gate works on the product (Keras 2, PyTorch) instead of on h; ``clip``: bound of the pre-activations; the rest
    as in `LSTM`.

    >>> layer = GRU("one", np.zeros((3, 1)), np.zeros((3, 1)), np.ones(3))
    >>> round(float(layer.run((Signal(np.zeros((1, 2, 1), np.float32)),))[0][0].values[0, 0]), 4)
    0.3546
    """

    recurrent_bias: np.ndarray | None = None
    reset_after: bool = False
    activation: str | Activation = "tanh"
    recurrent_activation: str | Activation = "sigmoid"
    clip: float | None = None

    _GATES = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        n = self.units
        self._weights("recurrent_weights", 3 * n, n)
        self._weights("recurrent_bias", 3 * n, optional=True)
        if self.recurrent_bias is not None and not self.reset_after:
            raise InputError(message(self.owner, "recurrent_bias", "None unless reset_after=True", "given"))
        self._activation("activation", elementwise=True)
        self._activation("recurrent_activation", elementwise=True)
        self._set(clip=checked_clip(self.owner, self.clip))

    def _plain(self) -> PlainCells:
        n, b = self.units, self.recurrent_bias
        gates = Linear(self.recurrent_weights[:2 * n], None if b is None else b[:2 * n], self.precision)
        candidate = Linear(self.recurrent_weights[2 * n:], None if b is None else b[2 * n:], self.precision)
        gate, activation = find(self.recurrent_activation), find(self.activation)
        clip, after = self.clip, self.reset_after

        def advance(zx: np.ndarray, state: Arrays) -> Arrays:
            h = np.ascontiguousarray(state[0])
            zr = gate(clipped(zx[:, :2 * n] + gates(h), clip))
            z, r = zr[:, :n], zr[:, n:]
            from_h = r * candidate(h) if after else candidate(r * h)
            return (gru_output(z, activation(clipped(zx[:, 2 * n:] + from_h, clip)), h),)

        return PlainCells(Linear(self.input_weights, self.bias, self.precision), (n,), advance)


@dataclass(frozen=True, eq=False)
class SimpleRNN(Recurrent):
    """Simple recurrent layer: h = activation(W·x + R·h + b).

    Parameters: ``input_weights`` (n, m), ``recurrent_weights`` (n, n), ``bias`` (n,) or None; ``activation``;
    ``clip``: bound of the pre-activations; the rest as in `LSTM`.
    """

    activation: str | Activation = "tanh"
    clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._weights("recurrent_weights", self.units, self.units)
        self._activation("activation", elementwise=True)
        self._set(clip=checked_clip(self.owner, self.clip))

    def _plain(self) -> PlainCells:
        recurrent = Linear(self.recurrent_weights, None, self.precision)
        activation, clip = find(self.activation), self.clip

        def advance(zx: np.ndarray, state: Arrays) -> Arrays:
            return (activation(clipped(zx + recurrent(np.ascontiguousarray(state[0])), clip)),)

        return PlainCells(Linear(self.input_weights, self.bias, self.precision), (self.units,), advance)


def _checked_norm(owner: str, norm: Any, n: int) -> LayerNorm:
    wanted = {"input_scale": (4 * n,), "recurrent_scale": (4 * n,), "cell_scale": (n,), "cell_offset": (n,)}
    arrays = {}
    for field, shape in wanted.items():
        arrays[field] = np.array(getattr(norm, field), np.float32)
        if arrays[field].shape != shape:
            raise InputError(message(owner, f"layer_norm.{field}", f"of shape {shape}", f"shape {arrays[field].shape}"))
    return LayerNorm(**arrays, epsilon=float(norm.epsilon))
