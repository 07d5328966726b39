"""Pooling over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, numbers
from kiyas.recurrent.layers.dense import check_padding, windows
from kiyas.recurrent.layers.sums import over_time


@dataclass(frozen=True, eq=False)
class GlobalPool(Layer):
    """(batch, time, features) -> (batch, features), or (batch, 1, features) with ``keepdims``."""

    keepdims: bool = False

    @property
    def time(self) -> Time:
        return "whole"

    def pooled(self, x: np.ndarray, signal: Signal) -> np.ndarray:
        """(batch, time, features) -> (batch, features)."""
        raise NotImplementedError

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, _, features = self._input_shape(self._one(inputs), None, None, None)
        return ((batch, 1, features) if self.keepdims else (batch, features),)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        y = self.pooled(numbers(signal), signal)
        return (Signal(y[:, None] if self.keepdims else y),), None

    def _counted(self, valid: np.ndarray) -> np.ndarray:
        steps: np.ndarray = valid.sum(axis=1)
        if (steps == 0).any():
            raise InputError(message(self.owner, "input", "of at least one step that is not masked in every row",
                                     f"none in row {int(np.argmin(steps))}"))
        return steps


class GlobalAverage(GlobalPool):
    """The mean over time; masked steps and those behind a row's length do not count."""

    def pooled(self, x: np.ndarray, signal: Signal) -> np.ndarray:
        valid = signal.valid()
        if valid is None:
            return _float32(over_time(x) / x.shape[1])
        steps = self._counted(valid)
        return _float32(over_time(np.where(valid[..., None], x, np.float32(0))) / steps[:, None])


class GlobalMax(GlobalPool):
    """The largest value over time. A mask is not heeded, as in Keras; steps behind a row's length do not count."""

    def pooled(self, x: np.ndarray, signal: Signal) -> np.ndarray:
        if signal.lengths is not None:
            valid = signal.valid()
            assert valid is not None
            self._counted(valid)
            x = np.where(valid[..., None], x, np.float32(-np.inf))
        y: np.ndarray = x.max(axis=1)
        return y


@dataclass(frozen=True, eq=False)
class LocalPool(Layer):
    """Windows over time: (batch, time, features) -> (batch, time', features). A mask ends here, as in Keras.

    Parameters: ``size`` of a window; ``stride`` (None: the size); ``padding``: "valid" or "same", or a pair of numbers.
    """

    size: int = 2
    stride: int | None = None
    padding: str | tuple[int, int] = "valid"

    def __post_init__(self) -> None:
        self._whole_number("size")
        if self.stride is None:
            self._set(stride=self.size)
        self._whole_number("stride")
        check_padding(self, ("valid", "same"))

    @property
    def time(self) -> Time:
        return "whole"

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, time, features = self._input_shape(self._one(inputs), None, None, None)
        return ((batch, None if time is None else windows(self, time, self.size)[2], features),)

    def pooled(self, seen: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(batch, steps, size, features) and (steps, size) of what is no padding -> (batch, steps, features)."""
        raise NotImplementedError

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        self._no_lengths(signal)
        x = numbers(signal)
        time = x.shape[1]
        front, behind, steps = windows(self, time, self.size)
        x = np.pad(x, ((0, 0), (front, behind), (0, 0)))
        at = np.arange(steps)[:, None] * (self.stride or 1) + np.arange(self.size)
        return (Signal(self.pooled(x[:, at], (at >= front) & (at < front + time))),), None


class MaxPool(LocalPool):
    """The largest value of each window."""

    def pooled(self, seen: np.ndarray, inside: np.ndarray) -> np.ndarray:
        y: np.ndarray = np.where(inside[None, :, :, None], seen, np.float32(-np.inf)).max(axis=2)
        return y


class AveragePool(LocalPool):
    """The mean of each window; padding does not count."""

    def pooled(self, seen: np.ndarray, inside: np.ndarray) -> np.ndarray:
        batch, steps, size, features = seen.shape
        kept = np.where(inside[None, :, :, None], seen, np.float32(0))
        total = over_time(kept.reshape(batch * steps, size, features)).reshape(batch, steps, features)
        return _float32(total / inside.sum(axis=1)[None, :, None])


def _float32(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32)
