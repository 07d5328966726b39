"""Layers that graphs in the ONNX format need beside those of Keras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, numbers
from kiyas.recurrent.layers.bidirectional import Bidirectional
from kiyas.recurrent.layers.elementwise import Elementwise
from kiyas.recurrent.layers.recurrence import run
from kiyas.recurrent.layers.recurrent import Recurrent
from kiyas.recurrent.layers.shape import Rearranged


@dataclass(frozen=True, eq=False)
class _Around(Layer):
    """A recurrent layer run in another way; all but that is as the layer says."""

    layer: Recurrent | Bidirectional

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        return {self.name: tuple(w for widths in self.layer.widths.values() for w in widths)}

    @property
    def place(self) -> str:
        return self.layer.place

    def count_parameters(self) -> int:
        return self.layer.count_parameters()

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return self.layer.shapes(inputs)

    def with_precision(self, precision: str) -> Layer:
        """The same layer with its weights stored otherwise."""
        changed = self.layer.with_precision(precision)
        assert isinstance(changed, (Recurrent, Bidirectional))
        return replace(self, layer=changed)


@dataclass(frozen=True, eq=False)
class Backward(_Around):
    """A recurrent layer from the end to the beginning, its outputs in order of time (ONNX ``direction="reverse"``).

    Keras' ``go_backwards`` leaves them in order of processing instead. A row begins at its true end where lengths are
    given. Parameters: ``layer``: `LSTM`, `GRU` or `SimpleRNN`; whether it returns sequences and states is as it says.
    """

    layer: Recurrent

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Recurrent):
            raise InputError(message(self.owner, "layer", "an LSTM, GRU or SimpleRNN layer", type(self.layer).__name__))

    @property
    def time(self) -> Time:
        return "whole"

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = inputs[0]
        if state is None and len(inputs) > 1:
            state = tuple(numbers(s) for s in inputs[1:])
        y, new = run(self.layer.cells, numbers(signal), signal, state, context, reverse=True,
                     every=self.layer.return_sequences, zero_masked=self.layer.zero_output_for_mask)
        out = signal._replace(values=y) if self.layer.return_sequences else Signal(y)
        return ((out, *(Signal(s) for s in new)) if self.layer.return_state else (out,)), new


@dataclass(frozen=True, eq=False)
class Slice(Rearranged):
    """The entries ``start``, ``start + step``, … before ``stop`` (None: to the end) of an axis; 0 is the batch."""

    axis: int = -1
    start: int = 0
    stop: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.axis == 0 or self.step == 0:
            raise InputError(message(self.owner, "axis" if self.axis == 0 else "step", "another than 0", "0"))

    @property
    def time(self) -> Time:
        return "pointwise" if self.axis == -1 else "whole"

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = list(self._one(inputs))
        if not -len(shape) < self.axis < len(shape):
            raise InputError(message(self.owner, "axis", f"an axis of {len(shape)}", f"{self.axis}"))
        size = shape[self.axis]
        if size is not None:
            shape[self.axis] = len(range(*slice(self.start, self.stop, self.step).indices(size)))
        return (tuple(shape),)

    def move(self, x: np.ndarray) -> np.ndarray:
        at: list[slice] = [slice(None)] * x.ndim
        at[self.axis] = slice(self.start, self.stop, self.step)
        y: np.ndarray = x[tuple(at)]
        if 0 in y.shape:
            raise InputError(message(self.owner, "input", f"long enough for {self.start}:{self.stop}", f"{x.shape}"))
        return y


@dataclass(frozen=True, eq=False)
class Pad(Rearranged):
    """Entries added to an axis: ``front`` before, ``behind`` after it.

    Parameters: ``mode``: "constant" (``value``), "reflect" (mirrored, the edge not repeated) or "edge".
    """

    axis: int = -1
    front: int = 0
    behind: int = 0
    mode: str = "constant"
    value: float = 0.0

    def __post_init__(self) -> None:
        self._choice("mode", ("constant", "reflect", "edge"))
        self._whole_number("front", 0)
        self._whole_number("behind", 0)

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = list(self._one(inputs))
        size = shape[self.axis]
        shape[self.axis] = None if size is None else size + self.front + self.behind
        return (tuple(shape),)

    def move(self, x: np.ndarray) -> np.ndarray:
        widths = [(0, 0)] * x.ndim
        widths[self.axis] = (self.front, self.behind)
        if self.mode == "reflect" and max(self.front, self.behind) >= x.shape[self.axis]:
            raise InputError(message(self.owner, "input", f"of more than {max(self.front, self.behind)} entries to "
                                     "mirror", f"{x.shape[self.axis]}"))
        if self.mode == "constant":
            return np.pad(x, widths, constant_values=self.value)
        return np.pad(x, widths, mode="reflect" if self.mode == "reflect" else "edge")


@dataclass(frozen=True, eq=False)
class Power(Elementwise):
    """x to the power of ``exponent``: −1, ½, 1, 2 or 3, which are exact operations or products of x."""

    exponent: float = 2.0

    def __post_init__(self) -> None:
        self._choice("exponent", (-1.0, 0.5, 1.0, 2.0, 3.0))

    def apply(self, x: np.ndarray) -> np.ndarray:
        match self.exponent:
            case -1.0:
                y: np.ndarray = np.float32(1) / x
            case 0.5:
                y = np.sqrt(x)
            case 2.0:
                y = x * x
            case 3.0:
                y = x * x * x
            case _:
                y = x
        return y


@dataclass(frozen=True, eq=False)
class FeatureMean(Elementwise):
    """The mean of each step's features, as one feature."""

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return ((*self._one(inputs)[:-1], 1),)

    def apply(self, x: np.ndarray) -> np.ndarray:
        y: np.ndarray = np.add.reduce(x, axis=-1, keepdims=True, dtype=np.float64) / x.shape[-1]
        return y.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Unmasked(_Around):
    """A recurrent layer that does not heed the mask of its sequence, and hands it on.

    Keras 3 runs a layer so that is called with initial states: the mask is not among its arguments then.
    """

    def __post_init__(self) -> None:
        if not isinstance(self.layer, (Recurrent, Bidirectional)):
            raise InputError(message(self.owner, "layer", "a recurrent layer", type(self.layer).__name__))

    @property
    def time(self) -> Time:
        return self.layer.time

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        mask = inputs[0].mask
        out, new = self.layer.run((inputs[0]._replace(mask=None), *inputs[1:]), state, context)
        if self.layer.return_sequences and self.layer.passes_mask:
            out = (out[0]._replace(mask=mask), *out[1:])
        return out, new
