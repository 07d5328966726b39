"""Where sequences begin: inputs of a model, embedding of ids, masking by value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, numbers


@dataclass(frozen=True, eq=False)
class Input(Layer):
    """An input of a model.

    Parameters: ``shape``: without the batch, None for any size: ``(None, 5)`` for sequences of 5 features, ``(None,)``
    for sequences of ids.
    """

    shape: Shape = (None,)

    def __post_init__(self) -> None:
        sizes = self.shape
        if not isinstance(sizes, (tuple, list)) or not all(
                s is None or (isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s > 0) for s in sizes):
            raise InputError(message(self.owner, "shape", "sizes from 1, None for any", repr(sizes)))
        self._set(shape=tuple(None if s is None else int(s) for s in sizes))

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return ((None, *self.shape),)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        return inputs, None


@dataclass(frozen=True, eq=False)
class Embedding(Layer):
    """A row of a table for each id: (batch, time) -> (batch, time, d).

    Parameters: ``table`` (V, d); ``mask_zero``: id 0 is padding, and masks its step.

    Raises `InputError` for an id outside 0 … V − 1 or one that is no whole number, naming where it stands.
    """

    table: np.ndarray
    mask_zero: bool = False

    def __post_init__(self) -> None:
        self._weights("table", None, None)

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape: Shape = self._one(inputs)
        return ((*shape, int(self.table.shape[1])),)

    def ids(self, values: np.ndarray) -> np.ndarray:
        """The ids, checked, as integers."""
        ids = values
        if ids.dtype.kind not in "iu":
            with np.errstate(invalid="ignore"):
                ids = values.astype(np.int64)
            if not np.array_equal(ids, values):
                place = np.argwhere(ids != values)[0]
                raise InputError(message(self.owner, "ids", "whole numbers", f"{values[tuple(place)]}{_at(place)}"))
        size = self.table.shape[0]
        if ids.size and (ids.min() < 0 or ids.max() >= size):
            place = np.argwhere((ids < 0) | (ids >= size))[0]
            raise InputError(message(self.owner, "ids", f"from 0 to {size - 1}", f"{ids[tuple(place)]}{_at(place)}",
                                     "is the tokenizer that of this model?"))
        return ids

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        ids = self.ids(signal.values)
        mask = signal.mask
        if self.mask_zero:
            valid = ids != 0
            _agree(self, signal, valid)
            if signal.lengths is None:
                mask = valid if mask is None else valid & mask
        return (Signal(self.table[ids], mask, signal.lengths),), None


@dataclass(frozen=True, eq=False)
class Masking(Layer):
    """Masks the steps whose features all equal ``value``, and sets them to zero."""

    value: float = 0.0

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return (self._input_shape(self._one(inputs), None, None, None),)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        x = numbers(signal)
        valid = (x != np.float32(self.value)).any(axis=-1)
        _agree(self, signal, valid)
        if signal.mask is not None:
            valid &= signal.mask
        return (Signal(x * valid[..., None].astype(np.float32), None if signal.lengths is not None else valid,
                       signal.lengths),), None


def _agree(layer: Layer, signal: Signal, valid: np.ndarray) -> None:
    """Raise where a step is masked before the end that lengths give: the two would be at odds."""
    counted = signal.valid() if signal.lengths is not None else None
    if counted is not None and (counted & ~valid).any():
        raise InputError(message(layer.owner, "lengths", "of steps that are not masked",
                                 f"a masked one{_at(np.argwhere(counted & ~valid)[0])}", "give mask= instead"))


def _at(place: np.ndarray) -> str:
    return f" in row {place[0]}" + (f", step {place[1]}" if place.size > 1 else "")
