"""Layers around other layers or models: TimeDistributed, Nested."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time

if TYPE_CHECKING:
    from kiyas.recurrent.model import Model


@dataclass(frozen=True, eq=False)
class TimeDistributed(Layer):
    """Another layer for every time step by itself: (batch, time, …) -> (batch, time, …).

    Parameters: ``layer``: any layer; where it goes through time itself (a recurrent layer over
    (batch, time, time', …)), it begins anew at every step. ``passes_mask``.
    """

    layer: Layer
    passes_mask: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise InputError(message(self.owner, "layer", "a layer", type(self.layer).__name__))

    @property
    def place(self) -> str:
        return self.layer.place

    def count_parameters(self) -> int:
        return self.layer.count_parameters()

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape: Shape = self._one(inputs)
        if len(shape) < 3:
            self._input_shape(shape, None, None, None)
        return tuple((shape[0], shape[1], *out[1:]) for out in self.layer.shapes(((None, *shape[2:]),)))

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        x = np.ascontiguousarray(signal.values)
        batch, time = x.shape[:2]
        out, _ = self.layer.run((Signal(x.reshape(batch * time, *x.shape[2:])),), None,
                                Context(threads=context.threads))
        mask = signal.mask if self.passes_mask else None
        return tuple(Signal(s.values.reshape(batch, time, *s.values.shape[1:]), mask, signal.lengths)
                     for s in out), None

    def with_precision(self, precision: str) -> Layer:
        """The same layer with its weights stored otherwise."""
        change = getattr(self.layer, "with_precision", None)
        return self if change is None else replace(self, layer=change(precision))


@dataclass(frozen=True, eq=False)
class Nested(Layer):
    """A whole model as a layer of another. Its states are named ``NAME/INNER``."""

    model: Model

    @property
    def time(self) -> Time:
        if self.model.whole is not None:
            return "whole"
        return "recurrent" if any(node.layer.time == "recurrent" for node in self.model.nodes) else "pointwise"

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        return {f"{self.name}/{key}": widths for key, widths in self.model.state_widths.items()}

    @property
    def remembers(self) -> tuple[str, ...]:
        return tuple(f"{self.name}/{key}" for key in self.model.stateful_keys())

    @property
    def place(self) -> str:
        return "see its layers"

    def count_parameters(self) -> int:
        return self.model.count_parameters()

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if len(inputs) != len(self.model.inputs):
            raise InputError(message(self.owner, "inputs", f"{len(self.model.inputs)} signals", f"{len(inputs)}"))
        return self.model.output_shapes(inputs)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        given = None
        if state is not None:
            left = iter(state)
            given = {key: tuple(next(left) for _ in widths) for key, widths in self.model.state_widths.items()}
        out, new = self.model.run(inputs, given, context)
        return out, tuple(a for arrays in new.values() for a in arrays) or None

    def with_precision(self, precision: str) -> Layer:
        """The same layer with its weights stored otherwise."""
        return replace(self, model=self.model.with_precision(precision))


