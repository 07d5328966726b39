"""Layers that make one signal out of several."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, numbers
from kiyas.recurrent.layers.sums import scores

MASKS = ("all", "any", "none")


@dataclass(frozen=True, eq=False)
class Merge(Layer):
    """Several signals number by number.

    Parameters: ``masks``: "all", a step counts where it counts in every input that has a mask (Keras 1 and 2); "none",
    every step counts (Keras 3.0 to 3.3, which lost the masks); or "any", a step counts where it counts in one of them,
    and there is a mask only if all inputs have one (Keras from 3.4 on).
    """

    masks: str = "all"

    exactly: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        self._choice("masks", MASKS)

    def merged(self, values: list[np.ndarray]) -> np.ndarray:
        """One array of several that broadcast."""
        raise NotImplementedError

    def merged_any(self, values: list[np.ndarray], masks: list[np.ndarray | None]) -> np.ndarray:
        """As `merged`, for ``masks="any"``: each mask has the shape of its values, or is None."""
        return self.merged(values)

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if len(inputs) < 2 or self.exactly not in (None, len(inputs)):
            raise InputError(message(self.owner, "inputs", f"{self.exactly or 'two or more'} signals",
                                     f"{len(inputs)}"))
        try:
            return (reduce(broadcast, inputs),)
        except ValueError:
            shown = " and ".join(map(str, inputs))
            raise InputError(message(self.owner, "inputs", "of shapes that fit", shown)) from None

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        rank = max(s.values.ndim for s in inputs)
        values = [_raised(numbers(s), rank) for s in inputs]
        masks = [] if self.masks == "none" else [s.mask for s in inputs if s.mask is not None]
        if self.masks == "all" or not masks:
            y = self.merged(values)
            return (Signal(y, reduce(np.logical_and, masks) if masks else None, _lengths(self, inputs)),), None
        wide = [None if s.mask is None else np.broadcast_to(s.mask[..., None], v.shape)
                for s, v in zip(inputs, values, strict=True)]
        mask = reduce(np.logical_or, masks) if len(masks) == len(inputs) else None
        return (Signal(self.merged_any(values, wide), mask),), None


class Add(Merge):
    """The sum of the signals."""

    def merged(self, values: list[np.ndarray]) -> np.ndarray:
        return reduce(np.add, values)


class Subtract(Merge):
    """The first signal without the second."""

    exactly = 2

    def merged(self, values: list[np.ndarray]) -> np.ndarray:
        difference: np.ndarray = values[0] - values[1]
        return difference


class Multiply(Merge):
    """The product of the signals, number by number."""

    def merged(self, values: list[np.ndarray]) -> np.ndarray:
        return reduce(np.multiply, values)

    def merged_any(self, values: list[np.ndarray], masks: list[np.ndarray | None]) -> np.ndarray:
        """Masked numbers are passed over; where all are, the product is 0."""
        y = self.merged([v if m is None else np.where(m, v, np.float32(1)) for v, m in zip(values, masks, strict=True)])
        there = [m for m in masks if m is not None]
        return y if len(there) < len(masks) else np.where(reduce(np.logical_or, there), y, np.float32(0))


class Divide(Merge):
    """The first signal over the second, number by number; over zero it is infinity or NaN, as IEEE 754 has it."""

    exactly = 2

    def merged(self, values: list[np.ndarray]) -> np.ndarray:
        with np.errstate(all="ignore"):
            quotient: np.ndarray = values[0] / values[1]
        return quotient


class Average(Merge):
    """The mean of the signals."""

    def merged(self, values: list[np.ndarray]) -> np.ndarray:
        mean: np.ndarray = reduce(np.add, values) / np.float32(len(values))
        return mean


class Maximum(Merge):
    """The largest of the signals, number by number."""

    def merged(self, values: list[np.ndarray]) -> np.ndarray:
        return reduce(np.maximum, values)

    def merged_any(self, values: list[np.ndarray], masks: list[np.ndarray | None]) -> np.ndarray:
        return _extreme(np.maximum, values, masks)


class Minimum(Merge):
    """The smallest of the signals, number by number."""

    def merged(self, values: list[np.ndarray]) -> np.ndarray:
        return reduce(np.minimum, values)

    def merged_any(self, values: list[np.ndarray], masks: list[np.ndarray | None]) -> np.ndarray:
        return _extreme(np.minimum, values, masks)


@dataclass(frozen=True, eq=False)
class Concatenate(Layer):
    """Signals end to end along ``axis`` (−1: features; 1 of (batch, time, features): time).

    Parameters: ``axis``; ``masks`` as in `Merge`: with "any" an input without a mask counts everywhere.
    """

    axis: int = -1
    masks: str = "all"

    def __post_init__(self) -> None:
        self._choice("masks", MASKS)
        if isinstance(self.axis, bool) or not isinstance(self.axis, int) or self.axis == 0:
            raise InputError(message(self.owner, "axis", "an axis other than that of the batch", repr(self.axis)))

    @property
    def time(self) -> Time:
        # Positive axes are turned into −1 where they are the last, when the model is made (see `Model`).
        return "pointwise" if self.axis == -1 else "whole"

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        rank = len(inputs[0])
        axis = self.axis % rank if -rank < self.axis < rank else 0
        others = [[s for i, s in enumerate(shape) if i != axis] for shape in inputs]
        fits = len(inputs) > 1 and axis > 0 and all(len(s) == rank for s in inputs) and all(
            a is None or b is None or a == b for other in others for a, b in zip(others[0], other, strict=True))
        if not fits:
            shown = " and ".join(map(str, inputs))
            raise InputError(message(self.owner, "inputs", f"two or more signals, alike but for axis {self.axis}",
                                     shown))
        sizes = [s[axis] for s in inputs]
        size = None if None in sizes else sum(s for s in sizes if s is not None)
        known = [next((s[i] for s in inputs if s[i] is not None), None) for i in range(rank)]
        return ((*known[:axis], size, *known[axis + 1:]),)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        values = [s.values for s in inputs]
        last = self.axis in (-1, values[0].ndim - 1)
        lengths = None
        if last:
            lengths = _lengths(self, inputs)
        else:
            self._no_lengths(*inputs)
        mask = None
        if self.masks != "none" and any(s.mask is not None for s in inputs):
            masks = [np.ones(s.values.shape[:2], bool) if s.mask is None else s.mask for s in inputs]
            together = np.logical_and if self.masks == "all" else np.logical_or
            mask = reduce(together, masks) if last else np.concatenate(masks, axis=1)
        return (Signal(np.concatenate(values, axis=self.axis), mask, lengths),), None


@dataclass(frozen=True, eq=False)
class Dot(Layer):
    """Inner products of two signals over one axis each, as in Keras.

    Parameters: ``axes``: an axis or a pair of them, counted with the batch; ``normalize``: to length 1 before.
    """

    axes: int | tuple[int, int] = -1
    normalize: bool = False

    def __post_init__(self) -> None:
        self._set(axes=self.axes if isinstance(self.axes, int) else (int(self.axes[0]), int(self.axes[1])))

    @property
    def time(self) -> Time:
        return "whole"

    def _axes(self, a: int, b: int) -> tuple[int, int]:
        one, other = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return one % a, other % b

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if len(inputs) != 2:
            raise InputError(message(self.owner, "inputs", "2 signals", f"{len(inputs)}"))
        a, b = inputs
        i, j = self._axes(len(a), len(b))
        if max(len(a), len(b)) > 3 or 0 in (i, j) or (a[i] is not None and b[j] is not None and a[i] != b[j]):
            raise InputError(message(self.owner, "inputs", f"of like size over axes {self.axes}", f"{a} and {b}"))
        rest = tuple(s for k, s in enumerate(a) if k not in (0, i)) + tuple(s for k, s in enumerate(b)
                                                                           if k not in (0, j))
        return ((a[0], *(rest or (1,))),)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        self._no_lengths(*inputs)
        a, b = (numbers(s) for s in inputs)
        i, j = self._axes(a.ndim, b.ndim)
        a, b = np.moveaxis(a, i, -1), np.moveaxis(b, j, -1)
        if self.normalize:
            a, b = _unit(a), _unit(b)
        wide_a, wide_b = (v if v.ndim == 3 else v[:, None] for v in (a, b))
        y = scores(wide_a, wide_b)
        shape = (*a.shape[1:-1], *b.shape[1:-1]) or (1,)
        return (Signal(y.reshape(y.shape[0], *shape)),), None


def _extreme(op: np.ufunc, values: list[np.ndarray], masks: list[np.ndarray | None]) -> np.ndarray:
    """The largest or smallest of the numbers that are not masked, as Keras finds it: one input after another."""
    y, seen = values[0], masks[0]
    for x, mask in zip(values[1:], masks[1:], strict=True):
        other = x if mask is None else np.where(mask, x, y)
        y = op(y if seen is None else np.where(seen, y, other), other)
        seen = None if mask is None or seen is None else np.logical_or(seen, mask)
    return y


def _unit(x: np.ndarray) -> np.ndarray:
    squares = np.add.reduce(np.ascontiguousarray(x) ** 2, axis=-1, keepdims=True)
    return x / np.sqrt(np.maximum(squares, np.float32(1e-12)))


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape of two signals together, by Keras' rule: axes are matched from the batch on where ranks differ."""
    if len(a) < len(b):
        a, b = b, a
    b = (b[0], *(1,) * (len(a) - len(b)), *b[1:])
    out: list[int | None] = []
    for x, y in zip(a, b, strict=True):
        if x is not None and y is not None and x != y and 1 not in (x, y):
            raise ValueError
        out.append(y if x == 1 else x if y in (1, None) else y)
    return tuple(out)


def _raised(x: np.ndarray, rank: int) -> np.ndarray:
    return x.reshape(x.shape[0], *(1,) * (rank - x.ndim), *x.shape[1:])


def _lengths(layer: Layer, inputs: tuple[Signal, ...]) -> np.ndarray | None:
    given = [s.lengths for s in inputs if s.lengths is not None]
    if any(not np.array_equal(g, given[0]) for g in given):
        raise InputError(message(layer.owner, "lengths", "the same in all inputs", "different ones"))
    return given[0] if given else None
