"""An ONNX graph being written: nodes, constants, and the signals between layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kiyas.errors import InputError
from kiyas.recurrent.layers import Layer

OPSET = 17


class Wire(NamedTuple):
    """A value of the graph: its name, its number of axes (the batch first), and the name of its mask (batch, time)."""

    name: str
    rank: int
    mask: str | None = None


def refusal(layer: Layer, why: str, to: str = "ONNX") -> InputError:
    """The error for a layer that the target cannot hold."""
    return InputError(f"export to {to}: {layer.owner} {why}")


@dataclass
class Writer:
    """Collects nodes and constants; every method returns the name of what it made.

    ``padding``: "post" where masks are to be kept as lengths, None or "none" where there is none.
    """

    onnx: Any
    padding: str | None

    def __post_init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.scope = ""
        self._count = 0
        self._known: dict[tuple[Any, ...], str] = {}

    def name(self, hint: str) -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{self.scope}{hint}.{self._count}"

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node: its output's name, or the names of several."""
        names = [self.name(kind) for _ in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def array(self, value: Any, dtype: Any = np.float32, hint: str = "weights") -> str:
        """A constant."""
        array = np.ascontiguousarray(value, dtype)
        # Small ones (axes, shapes, factors) are met again and again.
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 16 else None
        if key in self._known:
            return self._known[key]
        name = self.name(hint)
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        if key is not None:
            self._known[key] = name
        return name

    def ints(self, *values: int) -> str:
        """A constant of 64-bit integers."""
        return self.array(values, np.int64, "numbers")

    def scalar(self, value: float) -> str:
        """A constant number."""
        return self.array(np.float32(value), hint="number")

    def floats(self, mask: str) -> str:
        """A mask as 0 and 1."""
        return str(self.op("Cast", mask, to=self.onnx.TensorProto.FLOAT))

    def lengths(self, mask: str, dtype: str = "INT32") -> str:
        """The number of steps that count in each row, (batch,)."""
        counted = self.op("Cast", mask, to=getattr(self.onnx.TensorProto, dtype))
        return str(self.op("ReduceSum", counted, self.ints(1), keepdims=0))

    def size(self, name: str, axis: int) -> str:
        """The size of an axis, as a vector of one number."""
        return str(self.op("Gather", self.op("Shape", name), self.ints(axis)))
