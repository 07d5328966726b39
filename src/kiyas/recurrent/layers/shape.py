"""Layers that move numbers about."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time


@dataclass(frozen=True, eq=False)
class Rearranged(Layer):
    """A layer that needs all time steps, has no weights, and ends a mask; subclasses say `move` and `shapes`."""

    @property
    def time(self) -> Time:
        return "whole"

    def move(self, x: np.ndarray) -> np.ndarray:
        """The numbers in their new places."""
        raise NotImplementedError

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        self._no_lengths(signal)
        return (Signal(np.ascontiguousarray(self.move(signal.values))),), None


@dataclass(frozen=True, eq=False)
class Flatten(Rearranged):
    """(batch, …) -> (batch, all numbers of a row)."""

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape: Shape = self._one(inputs)
        return ((shape[0], _product(shape[1:])),)

    def move(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(x.shape[0], -1)


@dataclass(frozen=True, eq=False)
class Reshape(Rearranged):
    """Rows of another shape: ``shape`` without the batch; one size may be −1, which is worked out."""

    shape: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        self._set(shape=tuple(int(s) for s in self.shape))
        if sum(s == -1 for s in self.shape) > 1 or any(s < -1 or s == 0 for s in self.shape):
            raise InputError(message(self.owner, "shape", "sizes of 1 or above, one of them -1 at most",
                                     str(self.shape)))

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape: Shape = self._one(inputs)
        given, known = _product(shape[1:]), math.prod(s for s in self.shape if s != -1)
        if given is None:
            return ((shape[0], *(None if s == -1 else s for s in self.shape)),)
        if given % known or (-1 not in self.shape and given != known):
            raise InputError(message(self.owner, "input", f"of a size that {self.shape} can hold", f"shape {shape}"))
        return ((shape[0], *(given // known if s == -1 else s for s in self.shape)),)

    def move(self, x: np.ndarray) -> np.ndarray:
        size = math.prod(x.shape[1:])
        known = math.prod(s for s in self.shape if s != -1)
        if size % known or (-1 not in self.shape and size != known):
            raise InputError(message(self.owner, "input", f"of a size that {self.shape} can hold",
                                     f"rows of {size} numbers"))
        return x.reshape(x.shape[0], *self.shape)


@dataclass(frozen=True, eq=False)
class Permute(Rearranged):
    """Axes in another order: ``axes`` counts from 1, the batch stays where it is."""

    axes: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        self._set(axes=tuple(int(a) for a in self.axes))
        if sorted(self.axes) != list(range(1, len(self.axes) + 1)):
            raise InputError(message(self.owner, "axes", "an order of the axes from 1", str(self.axes)))

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = self._input_shape(self._one(inputs), None, *(None,) * len(self.axes))
        return ((shape[0], *(shape[a] for a in self.axes)),)

    def move(self, x: np.ndarray) -> np.ndarray:
        return x.transpose(0, *self.axes)


@dataclass(frozen=True, eq=False)
class RepeatVector(Rearranged):
    """(batch, features) -> (batch, ``times``, features)."""

    times: int = 1

    def __post_init__(self) -> None:
        self._whole_number("times")

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, features = self._input_shape(self._one(inputs), None, None)
        return ((batch, self.times, features),)

    def move(self, x: np.ndarray) -> np.ndarray:
        return np.repeat(x[:, None], self.times, axis=1)


@dataclass(frozen=True, eq=False)
class Cropping(Rearranged):
    """Time steps cut off: ``front`` at the beginning, ``behind`` at the end (Keras' Cropping1D)."""

    front: int = 0
    behind: int = 0

    def __post_init__(self) -> None:
        self._whole_number("front", 0)
        self._whole_number("behind", 0)

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, time, features = self._input_shape(self._one(inputs), None, None, None)
        return ((batch, None if time is None else self._left(time), features),)

    def _left(self, time: int) -> int:
        if time <= self.front + self.behind:
            raise InputError(message(self.owner, "input", f"of more than {self.front + self.behind} time steps",
                                     f"{time}"))
        return time - self.front - self.behind

    def move(self, x: np.ndarray) -> np.ndarray:
        return x[:, self.front:self.front + self._left(x.shape[1])]


@dataclass(frozen=True, eq=False)
class ZeroPadding(Rearranged):
    """Time steps of zeros added: ``front`` at the beginning, ``behind`` at the end (Keras' ZeroPadding1D)."""

    front: int = 1
    behind: int = 1

    def __post_init__(self) -> None:
        self._whole_number("front", 0)
        self._whole_number("behind", 0)

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, time, features = self._input_shape(self._one(inputs), None, None, None)
        return ((batch, None if time is None else time + self.front + self.behind, features),)

    def move(self, x: np.ndarray) -> np.ndarray:
        return np.pad(x, ((0, 0), (self.front, self.behind), (0, 0)))


@dataclass(frozen=True, eq=False)
class UpSampling(Rearranged):
    """Each time step ``times`` times in a row (Keras' UpSampling1D)."""

    times: int = 2

    def __post_init__(self) -> None:
        self._whole_number("times")

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, time, features = self._input_shape(self._one(inputs), None, None, None)
        return ((batch, None if time is None else time * self.times, features),)

    def move(self, x: np.ndarray) -> np.ndarray:
        return np.repeat(x, self.times, axis=1)


def _product(sizes: Shape) -> int | None:
    return None if None in sizes else math.prod(s for s in sizes if s is not None)
