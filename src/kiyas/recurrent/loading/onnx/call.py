"""One node at work: what an operation gets, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kiyas.recurrent.layers import Layer
from kiyas.recurrent.loading.onnx.values import Size, Tensor

if TYPE_CHECKING:
    from kiyas.recurrent.loading.onnx.graph import Reader


class UnsupportedError(Exception):
    """The operation, or the way in which it is used, is not supported; the text names it.

    It is an error only if the graph needs what the operation gives.
    """


class MismatchError(Exception):
    """The axes do not fit under what was assumed of them."""


class RowsInTimeError(MismatchError):
    """A node runs along what was taken for rows, one batch at a time: either time comes first, or rows are frames."""


@dataclass(frozen=True)
class Call:
    """A node of the graph with the values that go in."""

    reader: Reader
    node: Any
    values: list[Any]
    attributes: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The operation."""
        return str(self.node.op_type)

    def name(self, otherwise: str = "") -> str:
        """A name for its layer."""
        return self.reader.name(self.node.name or otherwise or self.kind.lower())


Operation = Callable[[Call], list[Any]]


def on_each(reader: Reader, x: Tensor, layer: Layer) -> Tensor:
    """A layer that leaves axes as they are."""
    number = reader.add(layer, ((x.node, x.output),))
    return Tensor(number, 0, x.array, x.axes)


def only(values: Any, default: int) -> int:
    """The one number of an attribute that has one for each dimension."""
    return default if not values else int(values[0])


def shown(shape: Sequence[int | Size]) -> str:
    """A shape for people."""
    return f"({', '.join('?' if isinstance(s, Size) else str(s) for s in shape)})"


def axes_of(values: list[Any], attributes: Mapping[str, Any]) -> list[int] | None:
    """Axes: an attribute up to opset 12, an input from then on."""
    if len(values) > 1 and values[1] is not None:
        return [int(v) for v in np.ravel(values[1])]
    return [int(v) for v in attributes["axes"]] if "axes" in attributes else None


def features_last(reader: Reader, x: Tensor, axis: int) -> Tensor:
    """The tensor with an axis last in its array."""
    group = x.axes[axis]
    if x.array[-1] == group and group:
        return x
    return reader.placed(x, ((reader.batch,), *(a for a in x.axes if a and a not in (group, (reader.batch,))), group))
