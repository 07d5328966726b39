"""Layers that work on each number, or on the features of each step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.activations import Activation, find
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, constant_time, numbers


@dataclass(frozen=True, eq=False)
class Elementwise(Layer):
    """A layer that leaves shapes, masks and lengths as they are; subclasses say `apply`."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        """float32 numbers in, as many out."""
        raise NotImplementedError

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape: Shape = self._one(inputs)
        return (shape,)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        with np.errstate(all="ignore"):  # infinity and NaN come out as IEEE 754 has them, without a word on stderr
            return (signal._replace(values=self.apply(numbers(signal))),), None


@dataclass(frozen=True, eq=False)
class ActivationLayer(Elementwise):
    """An activation by itself; softmax over the last axis."""

    activation: str | Activation = "linear"

    def __post_init__(self) -> None:
        self._activation("activation")

    def apply(self, x: np.ndarray) -> np.ndarray:
        y: np.ndarray = find(self.activation)(x)
        return y


@dataclass(frozen=True, eq=False)
class PReLU(Elementwise):
    """x where it is positive, else slope·x; ``slopes`` fit the last axes of the input by broadcasting."""

    slopes: np.ndarray

    def __post_init__(self) -> None:
        self._weights("slopes", *(None,) * np.ndim(self.slopes))

    @property
    def time(self) -> Time:
        return constant_time(self.slopes)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, self.slopes * x)


@dataclass(frozen=True, eq=False)
class Dropout(Elementwise):
    """Nothing: what works in training only (dropout of any kind, noise, activity regularisation)."""

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        return (self._one(inputs),), None


@dataclass(frozen=True, eq=False)
class Scale(Elementwise):
    """x·scale + offset, with numbers that broadcast against the last axes (Keras' Rescaling, standardisation)."""

    scale: np.ndarray
    offset: np.ndarray

    def __post_init__(self) -> None:
        self._weights("scale", *(None,) * np.ndim(self.scale))
        self._weights("offset", *(None,) * np.ndim(self.offset))

    @property
    def time(self) -> Time:
        return constant_time(self.scale, self.offset)

    def apply(self, x: np.ndarray) -> np.ndarray:
        y: np.ndarray = x * self.scale + self.offset
        return y


@dataclass(frozen=True, eq=False)
class BatchNormalization(Elementwise):
    """(x − mean) / √(variance + ε) · scale + offset, with the statistics of training, a feature each.

    Parameters: ``scale``, ``offset`` (features,) or None; ``mean``, ``variance`` (features,); ``epsilon``: 1e-3 in
    Keras, 1e-5 in PyTorch.
    """

    scale: np.ndarray | None
    offset: np.ndarray | None
    mean: np.ndarray
    variance: np.ndarray
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        self._weights("mean", None)
        features = self.mean.shape[0]
        self._weights("variance", features)
        self._weights("scale", features, optional=True)
        self._weights("offset", features, optional=True)
        self._positive("epsilon")
        if (self.variance < 0).any():
            raise InputError(message(self.owner, "variance", "of numbers of 0 or above", f"{self.variance.min()}"))

    @cached_property
    def _factor(self) -> np.ndarray:
        factor = 1 / np.sqrt(self.variance.astype(np.float64) + self.epsilon)
        if self.scale is not None:
            factor = factor * self.scale
        rounded: np.ndarray = factor.astype(np.float32)
        return rounded

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return (last_axis(self, self._one(inputs), self.mean.shape[0]),)

    def apply(self, x: np.ndarray) -> np.ndarray:
        y: np.ndarray = (x - self.mean) * self._factor
        return y if self.offset is None else y + self.offset


@dataclass(frozen=True, eq=False)
class LayerNormalization(Elementwise):
    """Each step's features brought to mean 0 and variance 1, then scaled and shifted.

    Parameters: ``scale``, ``offset`` (features,) or None; ``epsilon``; ``axis``: the last one, -1.
    """

    scale: np.ndarray | None
    offset: np.ndarray | None
    epsilon: float = 1e-3
    axis: int = -1

    def __post_init__(self) -> None:
        self._weights("scale", None, optional=True)
        features = None if self.scale is None else self.scale.shape[0]
        self._weights("offset", features, optional=True)
        self._positive("epsilon")
        self._choice("axis", (-1,))

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        known = self.scale if self.scale is not None else self.offset
        shape: Shape = self._one(inputs)
        return (shape if known is None else last_axis(self, shape, known.shape[0]),)

    def apply(self, x: np.ndarray) -> np.ndarray:
        wide = x.astype(np.float64)
        wide -= wide.mean(axis=-1, keepdims=True)
        wide /= np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + self.epsilon)
        if self.scale is not None:
            wide *= self.scale
        if self.offset is not None:
            wide += self.offset
        return wide.astype(np.float32)


def last_axis(layer: Layer, shape: Shape, size: int) -> Shape:
    """Raise unless the last axis of a shape is of a size."""
    if len(shape) < 2 or shape[-1] not in (None, size):
        raise InputError(message(layer.owner, "input", f"of {size} features", f"shape {shape}"))
    return (*shape[:-1], size)
