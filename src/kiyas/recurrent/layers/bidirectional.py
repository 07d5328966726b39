"""Two recurrent layers over the same sequence, one from each end."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, numbers
from kiyas.recurrent.layers.recurrence import run
from kiyas.recurrent.layers.recurrent import Recurrent

MERGES = ("concat", "sum", "mul", "ave", None)


@dataclass(frozen=True, eq=False)
class Bidirectional(Layer):
    """A layer forward and one backward in time; outputs are merged step by step, in order of time.

    Parameters: ``forward``, ``backward``: `LSTM`, `GRU` or `SimpleRNN` of one input size (that ``backward`` runs
    backward is implied); ``merge``: "concat", "sum", "mul", "ave", or None for two outputs; ``return_sequences``,
    ``return_state`` (states of the forward layer, then of the backward one); ``zero_masked``: whether outputs are zero
    at masked steps (None: as Keras, yes with ``return_sequences``); ``passes_mask``; ``stateful``.

    Without ``return_sequences`` the outputs are those at the end of each way: the last step of the forward layer, the
    first of the backward one. Further inputs, if any, are initial states.
    """

    forward: Recurrent
    backward: Recurrent
    merge: str | None = "concat"
    return_sequences: bool = False
    return_state: bool = False
    stateful: bool = False
    zero_masked: bool | None = None
    passes_mask: bool = True

    def __post_init__(self) -> None:
        self._choice("merge", MERGES)
        for way in ("forward", "backward"):
            if not isinstance(getattr(self, way), Recurrent):
                raise InputError(message(self.owner, way, "an LSTM, GRU or SimpleRNN layer",
                                         type(getattr(self, way)).__name__))
        if self.backward.features != self.forward.features:
            raise InputError(message(self.owner, "backward", f"a layer of {self.forward.features} features, as forward",
                                     f"{self.backward.features}"))
        if self.merge not in ("concat", None) and self.backward.width != self.forward.width:
            raise InputError(message(self.owner, "backward", f"a layer of {self.forward.width} outputs, as forward, "
                                     f"with merge={self.merge!r}", f"{self.backward.width}"))

    @property
    def time(self) -> Time:
        return "whole"

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        return {self.name: self.forward.state_widths + self.backward.state_widths}

    @property
    def place(self) -> str:
        one, other = self.forward.place, self.backward.place
        return one if one == other else f"{one}; backward {other}"

    def count_parameters(self) -> int:
        return self.forward.count_parameters() + self.backward.count_parameters()

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, time, _ = self._input_shape(inputs[0], None, None, self.forward.features)
        widths = self.widths[self.name]
        if len(inputs) not in (1, 1 + len(widths)):
            raise InputError(message(self.owner, "inputs", f"a sequence, and {len(widths)} initial states or none",
                                     f"{len(inputs)} inputs"))
        for shape, width in zip(inputs[1:], widths, strict=False):
            self._input_shape(shape, None, width, what="initial state")
        f, b = self.forward.width, self.backward.width
        front: Shape = (batch, time) if self.return_sequences else (batch,)
        out: tuple[Shape, ...] = ((*front, f), (*front, b)) if self.merge is None else \
            ((*front, f + b if self.merge == "concat" else f),)
        return out + tuple((batch, w) for w in widths) if self.return_state else out

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = inputs[0]
        x = numbers(signal)
        if state is None and len(inputs) > 1:
            state = tuple(numbers(s) for s in inputs[1:])
        split = len(self.forward.state_widths)
        zero = self.return_sequences if self.zero_masked is None else self.zero_masked
        ways: list[np.ndarray] = []
        new: Arrays = ()
        for layer, backward in ((self.forward, False), (self.backward, True)):
            own = None if state is None else (state[split:] if backward else state[:split])
            # Run the other way round, a forward layer that goes backwards makes the pair change places.
            reverse = backward != self.forward.go_backwards
            y, after = run(layer.cells, x, signal, own, context, reverse=reverse, every=self.return_sequences,
                           zero_masked=zero)
            ways.append(y)
            new += after
        if self.forward.go_backwards and self.return_sequences:
            self._no_lengths(signal)
            ways = [y[:, ::-1] for y in ways]
        merged = ways if self.merge is None else [_merged(self.merge, *ways)]
        mask, lengths = (signal.mask if self.passes_mask else None, signal.lengths) if self.return_sequences \
            else (None, None)
        out = tuple(Signal(y, mask, lengths) for y in merged)
        return (out + tuple(Signal(s) for s in new) if self.return_state else out), new

    def with_precision(self, precision: str) -> Layer:
        """The same layer with its weights stored otherwise."""
        return replace(self, forward=self.forward.with_precision(precision),
                       backward=self.backward.with_precision(precision))


def _merged(how: str, f: np.ndarray, b: np.ndarray) -> np.ndarray:
    if how == "concat":
        return np.concatenate([f, b], axis=-1)
    both: np.ndarray = f * b if how == "mul" else f + b
    return both / np.float32(2) if how == "ave" else both
