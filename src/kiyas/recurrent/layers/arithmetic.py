"""Signals and constants: what is written as ``x * 2 + 1`` in the code of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, constant_time, numbers
from kiyas.recurrent.layers.merge import broadcast

OPERATIONS = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}


@dataclass(frozen=True, eq=False)
class Arithmetic(Layer):
    """A signal and a constant, number by number, in float32: x + c, x − c, c − x, x · c, x / c or c / x.

    Parameters: ``operation``: "add", "subtract", "multiply" or "divide"; ``constant``: a number, or an array that
    broadcasts against the last axes of the signal; ``first``: whether the constant stands first, as in c − x.

    A mask ends here, as it does in Keras.
    """

    operation: str
    constant: np.ndarray
    first: bool = False

    def __post_init__(self) -> None:
        self._choice("operation", tuple(OPERATIONS))
        self._weights("constant", *(None,) * np.ndim(self.constant))
        self._choice("first", (True, False))

    @property
    def time(self) -> Time:
        return constant_time(self.constant)

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape: Shape = self._one(inputs)
        own = self.constant.shape
        try:
            if len(own) >= len(shape) and own[:len(own) - len(shape) + 1] != (1,):
                raise ValueError  # it would be another one for each row, or add an axis
            return (broadcast(shape, (shape[0], *own[max(0, len(own) - len(shape) + 1):])),)
        except ValueError:
            raise InputError(message(self.owner, "input", f"of a shape to which a constant of shape {own} fits",
                                     f"shape {shape}")) from None

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        x, operation = numbers(signal), OPERATIONS[self.operation]
        with np.errstate(all="ignore"):  # infinity and NaN come out as IEEE 754 has them, without a word on stderr
            y = operation(self.constant, x) if self.first else operation(x, self.constant)
        return (Signal(y, None, signal.lengths),), None

    def count_parameters(self) -> int:
        """None: a constant was written, not trained."""
        return 0
