"""Products: Dense and Conv1D."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kiyas.errors import InputError, message
from kiyas.kernels.argmax import Argmax
from kiyas.kernels.recurrent import MOST_CODED, PRECISIONS, Linear
from kiyas.recurrent.activations import Activation, find
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, numbers

# Numbers that windows over a sequence hold at a time.
_SEEN = 1 << 22
# Weights from which on the largest output is found quicker by a first look than by all outputs.
_MANY = 1 << 16


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """activation(W·x + b) over the last axis.

    Parameters: ``weights`` (outputs, inputs), ``bias`` (outputs,) or None, ``activation``, ``precision`` of weights.

    >>> layer = Dense("head", np.array([[1.0, 2.0]]), np.ones(1))
    >>> layer.run((Signal(np.ones((1, 2), np.float32)),))[0][0].values.tolist()
    [[4.0]]
    """

    weights: np.ndarray
    bias: np.ndarray | None = None
    activation: str | Activation = "linear"
    precision: str = "float32"

    def __post_init__(self) -> None:
        self._choice("precision", PRECISIONS)
        self._weights("weights", None, None)
        self._weights("bias", self.weights.shape[0], optional=True)
        self._activation("activation")

    @property
    def place(self) -> str:
        return f"compiled, {self.precision}"

    @cached_property
    def linear(self) -> Linear:
        """The product."""
        return Linear(self.weights, self.bias, self.precision)

    @cached_property
    def argmax(self) -> Argmax | None:
        """Where the product is largest; None where all outputs tell as quickly, or nothing else can."""
        if self.precision != "float32" or self.weights.size < _MANY or self.weights.shape[1] > MOST_CODED:
            return None
        return Argmax(self.linear, self.weights, self.bias)

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape: Shape = self._one(inputs)
        outputs, features = self.weights.shape
        if len(shape) < 2 or shape[-1] not in (None, features):
            self._input_shape(shape, *(None,) * max(1, len(shape) - 1), features)
        return ((*shape[:-1], outputs),)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        x = numbers(signal)
        y = self.linear(x.reshape(-1, x.shape[-1]), threads=context.threads)
        return (signal._replace(values=find(self.activation)(y).reshape(*x.shape[:-1], -1)),), None

    def with_precision(self, precision: str) -> Layer:
        """The same layer with its weights stored otherwise."""
        return replace(self, precision=precision)


@dataclass(frozen=True, eq=False)
class Conv1D(Layer):
    """A convolution over time: (batch, time, inputs) -> (batch, time', filters).

    Parameters: ``weights`` (filters, kernel, inputs / groups), ``bias`` (filters,) or None; ``stride``; ``padding``:
    "valid", "same" (as TensorFlow: the odd zero behind) or "causal" (zeros in front), or a pair of numbers of zeros in
    front and behind; ``dilation``; ``groups``; ``activation``. A mask ends here, as in Keras.
    """

    weights: np.ndarray
    bias: np.ndarray | None = None
    stride: int = 1
    padding: str | tuple[int, int] = "valid"
    dilation: int = 1
    groups: int = 1
    activation: str | Activation = "linear"

    def __post_init__(self) -> None:
        self._weights("weights", None, None, None)
        self._weights("bias", self.weights.shape[0], optional=True)
        for parameter in ("stride", "dilation", "groups"):
            self._whole_number(parameter)
        check_padding(self, ("valid", "same", "causal"))
        self._activation("activation")
        if self.weights.shape[0] % self.groups:
            raise InputError(message(self.owner, "groups", f"a divisor of {self.weights.shape[0]} filters",
                                     f"{self.groups}"))

    @property
    def time(self) -> Time:
        return "whole"

    @property
    def place(self) -> str:
        return "compiled, float32"

    @property
    def kernel(self) -> int:
        """Steps that a filter spans."""
        return int(self.weights.shape[1])

    @cached_property
    def _linears(self) -> list[Linear]:
        per = self.weights.shape[0] // self.groups
        return [Linear(self.weights[k * per:(k + 1) * per].reshape(per, -1),
                       None if self.bias is None else self.bias[k * per:(k + 1) * per]) for k in range(self.groups)]

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        features = int(self.weights.shape[2]) * self.groups
        batch, time, _ = self._input_shape(self._one(inputs), None, None, features)
        if time is not None:
            time = windows(self, time, self.kernel, self.dilation)[2]
        return ((batch, time, int(self.weights.shape[0])),)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        self._no_lengths(signal)
        x = numbers(signal)
        front, behind, steps = windows(self, x.shape[1], self.kernel, self.dilation)
        x = np.pad(x, ((0, 0), (front, behind), (0, 0)))
        at = np.arange(steps)[:, None] * self.stride + np.arange(self.kernel) * self.dilation
        y = np.empty((x.shape[0], steps, self.weights.shape[0]), np.float32)
        block = max(1, _SEEN // (x.shape[0] * self.kernel * x.shape[2]))
        for start in range(0, steps, block):
            y[:, start:start + block] = self._filtered(x[:, at[start:start + block]], context.threads)
        return (Signal(find(self.activation)(y)),), None

    def _filtered(self, seen: np.ndarray, threads: int) -> np.ndarray:
        """(batch, steps, kernel, inputs), what each filter sees at each step -> (batch, steps, filters)."""
        per = int(self.weights.shape[2])
        batch, steps = seen.shape[:2]
        parts = [linear(np.ascontiguousarray(seen[..., k * per:(k + 1) * per]).reshape(batch * steps, -1),
                        threads=threads) for k, linear in enumerate(self._linears)]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)).reshape(batch, steps, -1)


def check_padding(layer: Layer, names: tuple[str, ...]) -> None:
    """Raise unless ``layer.padding`` is one of the names or a pair of numbers of 0 or above."""
    padding = layer.padding  # type: ignore[attr-defined]
    pair = isinstance(padding, tuple) and len(padding) == 2 and all(isinstance(p, int) and p >= 0 for p in padding)
    if not pair and padding not in names:
        raise InputError(message(layer.owner, "padding", f"one of {', '.join(names)}, or two numbers of zeros",
                                 repr(padding)))


def windows(layer: Layer, time: int, size: int, dilation: int = 1) -> tuple[int, int, int]:
    """Zeros in front and behind, and the number of windows over ``time`` steps; raises where there is none."""
    stride: int = layer.stride  # type: ignore[attr-defined]
    padding: str | tuple[int, int] = layer.padding  # type: ignore[attr-defined]
    span = (size - 1) * dilation + 1
    if padding == "same":
        steps = -(-time // stride)
        missing = max(0, (steps - 1) * stride + span - time)
        return missing // 2, missing - missing // 2, steps
    front, behind = (span - 1, 0) if padding == "causal" else (0, 0) if isinstance(padding, str) else padding
    steps = (time + front + behind - span) // stride + 1
    if steps < 1:
        raise InputError(message(layer.owner, "input", f"of at least {span - front - behind} time steps", f"{time}"))
    return front, behind, steps
