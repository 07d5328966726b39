"""What every layer is: a frozen dataclass with a name, checked weights, and a way through time.

    pointwise   every time step by itself: Dense, Activation, BatchNormalization, …
    recurrent   one step after another, with a state: LSTM, GRU, SimpleRNN
    whole       needs all time steps at once: Bidirectional, global pooling, Flatten, …

Signals go between layers. Arrays are (batch, time, features), (batch, features), or (batch, time) of ids.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.activations import find

Time = Literal["pointwise", "recurrent", "whole"]
# The batch comes first; None is a size that is not known.
Shape = tuple[int | None, ...]
# A state array of a layer is (batch, width).
Arrays = tuple[np.ndarray, ...]


class Signal(NamedTuple):
    """What goes from layer to layer.

    ``values``: float32, or integer ids. ``mask`` (batch, time) bool as in Keras: a step that is False is passed over;
    its output repeats the one before. ``lengths`` (batch,) as of packed sequences and ONNX's ``sequence_lens``: a row
    ends there; outputs behind are zero. At most one of the two is given.
    """

    values: np.ndarray
    mask: np.ndarray | None = None
    lengths: np.ndarray | None = None

    def valid(self) -> np.ndarray | None:
        """(batch, time) bool of the steps that count; None where all do."""
        if self.lengths is not None:
            valid: np.ndarray = np.arange(self.values.shape[1]) < self.lengths[:, None]
            return valid
        return self.mask


class Context(NamedTuple):
    """How a run goes: the number of threads, and whether it resumes a sequence (streams) or begins one."""

    threads: int = 1
    resumed: bool = False


# A run that begins a sequence, on one thread.
FRESH = Context()


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """A layer of a frozen model. Subclasses say `run` and `shapes`.

    Parameters: ``name``: what errors, states and `Model.describe` call it.
    """

    name: str

    @property
    def owner(self) -> str:
        """Whom an error names: ``LSTM 'lstm_1'``."""
        return f"{type(self).__name__} '{self.name}'"

    @property
    def time(self) -> Time:
        """How the layer goes through time."""
        return "pointwise"

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        """Widths of the state arrays by the name of their owner; empty where there is no state."""
        return {}

    @property
    def remembers(self) -> tuple[str, ...]:
        """Those names of `widths` whose state is carried from call to call, as Keras' stateful layers do."""
        return tuple(self.widths) if getattr(self, "stateful", False) else ()

    @property
    def place(self) -> str:
        """Where it is computed, for `Model.describe`."""
        return ""

    @abstractmethod
    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shapes that it gives for those it gets; raises `InputError` where it cannot take them."""

    @abstractmethod
    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        """Whole sequences: signals in, signals and the new state out. Nothing of the layer changes."""

    def count_parameters(self) -> int:
        """The number of its weights."""
        return sum(value.size for f in fields(self) if isinstance(value := getattr(self, f.name), np.ndarray))

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # without what is packed for this machine

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self._set(**state)

    # -- for subclasses ----------------------------------------------------------------------------

    def _set(self, **values: Any) -> None:
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _weights(self, parameter: str, *shape: int | None, optional: bool = False) -> None:
        """Make a field a float32 array in C order that cannot be written to, of a shape (None for any size)."""
        value = getattr(self, parameter)
        if value is None and optional:
            return
        wanted = f"finite floats of shape {_shown(shape)}"
        try:
            w = np.array(value, np.float32, order="C")
        except (TypeError, ValueError) as error:
            raise InputError(message(self.owner, parameter, wanted, f"{type(value).__name__} ({error})")) from None
        if w.ndim != len(shape) or any(have != want for have, want in zip(w.shape, shape, strict=True)
                                       if want is not None) or 0 in w.shape:
            raise InputError(message(self.owner, parameter, wanted, f"shape {w.shape}"))
        if not np.isfinite(w).all():
            raise InputError(message(self.owner, parameter, wanted, "NaN or infinity"))
        w.flags.writeable = False
        self._set(**{parameter: w})

    def _activation(self, parameter: str, elementwise: bool = False) -> None:
        found = find(getattr(self, parameter), self.owner, parameter)
        if elementwise and found.name == "softmax":
            raise InputError(message(self.owner, parameter, "an activation of single numbers", "softmax"))
        self._set(**{parameter: found})

    def _choice(self, parameter: str, allowed: tuple[object, ...]) -> None:
        value = getattr(self, parameter)
        if value not in allowed:
            raise InputError(message(self.owner, parameter, f"one of {', '.join(map(str, allowed))}", repr(value)))

    def _whole_number(self, parameter: str, low: int = 1) -> None:
        value = getattr(self, parameter)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
            raise InputError(message(self.owner, parameter, f"an integer of {low} or above", repr(value)))
        self._set(**{parameter: int(value)})

    def _positive(self, parameter: str) -> None:
        value = getattr(self, parameter)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not 0 < value < math.inf:
            raise InputError(message(self.owner, parameter, "a number above 0", repr(value)))
        self._set(**{parameter: float(value)})

    def _input_shape(self, shape: Shape, *wanted: int | None, what: str = "input") -> Shape:
        """Raise unless a shape has the rank and the sizes that are wanted (None for any)."""
        if len(shape) != len(wanted) or any(have is not None and want is not None and have != want
                                            for have, want in zip(shape, wanted, strict=True)):
            raise InputError(message(self.owner, what, f"of shape {_shown(wanted)}", f"shape {_shown(shape)}"))
        return shape

    def _one(self, inputs: tuple[Any, ...]) -> Any:
        if len(inputs) != 1:
            raise InputError(message(self.owner, "inputs", "one signal", f"{len(inputs)}"))
        return inputs[0]

    def _no_lengths(self, *signals: Signal) -> None:
        """Lengths end here: say so instead of losing them. (A Keras mask ends here in silence, as in Keras.)"""
        if any(s.lengths is not None for s in signals):
            raise InputError(message(self.owner, "lengths", "absent, as the layer does not carry them on", "given",
                                     "give rows of equal length, or one row at a time"))


def _shown(shape: tuple[int | None, ...]) -> str:
    parts = ["any" if s is None else str(s) for s in shape]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def constant_time(*constants: np.ndarray) -> Time:
    """How a layer of constants goes through time: those of several rows, which stand for steps, need to know which."""
    return "whole" if any(size > 1 for c in constants for size in c.shape[:-1]) else "pointwise"


def numbers(signal: Signal) -> np.ndarray:
    """The values as float32 in C order."""
    return np.ascontiguousarray(signal.values, np.float32)
