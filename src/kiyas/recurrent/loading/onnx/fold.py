"""Operations on constants, done once when a graph is read. Sizes that are not known stay symbols among the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kiyas.recurrent.loading.onnx.values import Filled, Size

# A constant that is made of a shape alone may be larger than the file; more than this it never is in a model.
_MOST_ELEMENTS = 1 << 22
_DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16,
           11: np.float64, 12: np.uint32, 13: np.uint64}
Attributes = Mapping[str, Any]
Constants = Sequence[Any]


class CannotFoldError(Exception):
    """The result depends on a size that is not known, or is too large to be one of a model."""


def _integers(value: Any) -> list[int]:
    return [int(v) for v in np.asarray(value).ravel()]


def _axes(inputs: Constants, attributes: Attributes, default: Any = None) -> Any:
    """Axes: an attribute up to opset 12, an input from then on."""
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(_integers(inputs[1]))
    return tuple(attributes["axes"]) if "axes" in attributes else default


def slices(inputs: Constants, attributes: Attributes, rank: int) -> dict[int, slice]:
    """The slice of each axis of a Slice."""
    if "starts" in attributes:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes"), None
    else:
        starts, ends = _integers(inputs[1]), _integers(inputs[2])
        axes = _integers(inputs[3]) if len(inputs) > 3 and inputs[3] is not None else None
        steps = _integers(inputs[4]) if len(inputs) > 4 and inputs[4] is not None else None
    axes = list(range(len(starts))) if axes is None else [a % rank for a in axes]
    steps = [1] * len(starts) if steps is None else steps
    far = (1 << 31) - 1  # "to the end" is written as the largest integer of its kind
    found = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        found[axis] = slice(start if -far < start < far else None, end if -far < end < far else None, step)
    return found


def _slice(inputs: Constants, attributes: Attributes) -> Any:
    x = inputs[0]
    at = [slice(None)] * x.ndim
    for axis, part in slices(inputs, attributes, x.ndim).items():
        at[axis] = part
    return x[tuple(at)]


def _unsqueeze(inputs: Constants, attributes: Attributes) -> Any:
    x, axes = inputs[0], _axes(inputs, attributes)
    rank = x.ndim + len(axes)
    for axis in sorted(a % rank for a in axes):
        x = np.expand_dims(x, axis)
    return x


def _reshape(inputs: Constants, attributes: Attributes) -> Any:
    x, shape = inputs[0], _integers(inputs[1])
    if not attributes.get("allowzero"):
        shape = [x.shape[i] if s == 0 else s for i, s in enumerate(shape)]
    return x.reshape(shape)


def _filled(inputs: Constants, attributes: Attributes) -> Any:
    value = attributes.get("value")
    value = np.float32(0) if value is None else np.asarray(value).ravel()[0]
    shape = list(np.asarray(inputs[0]).ravel())
    if any(isinstance(s, Size) for s in shape):
        return Filled(float(value), tuple(shape))
    return np.full(_bounded([int(s) for s in shape]), value)


def _bounded(shape: list[int]) -> list[int]:
    if any(s < 0 for s in shape) or int(np.prod(shape, dtype=object)) > _MOST_ELEMENTS:
        raise CannotFoldError
    return shape


def _expand(inputs: Constants, _: Attributes) -> Any:
    x, shape = inputs[0], list(np.asarray(inputs[1]).ravel())
    if any(isinstance(s, Size) for s in shape):
        if not np.asarray(x).size or (x != np.asarray(x).ravel()[0]).any():
            raise CannotFoldError
        return Filled(float(np.asarray(x).ravel()[0]), tuple(shape))
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(_bounded([int(s) for s in shape]))))


def _range(inputs: Constants, _: Attributes) -> Any:
    start, stop, step = (np.asarray(v).item() for v in inputs)
    if step == 0 or (stop - start) / step > _MOST_ELEMENTS:
        raise CannotFoldError
    return np.arange(start, stop, step, dtype=np.asarray(inputs[0]).dtype)


def _split(inputs: Constants, attributes: Attributes) -> list[Any]:
    x, axis = inputs[0], attributes.get("axis", 0)
    parts = _integers(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else attributes.get("split")
    if parts is None:
        return np.array_split(x, attributes["num_outputs"], axis)
    return np.split(x, np.cumsum(parts)[:-1], axis)


def elements(kind: str, inputs: Constants, attributes: Attributes) -> float:
    """How many numbers an operation gives that may give more than go in; a few in a row could square that each time."""
    if kind == "Concat":
        return float(sum(x.size for x in inputs))
    if kind == "Gather":
        return float(inputs[1].size * inputs[0].size / max(1, inputs[0].shape[attributes.get("axis", 0)]))
    if len(inputs) > 1 and kind in ("Add", "Sub", "Mul", "Div", "Equal", "And", "Or", "Less", "Greater", "LessOrEqual",
                                    "GreaterOrEqual", "Where"):
        return float(np.prod(np.broadcast_shapes(*(x.shape for x in inputs)), dtype=float))
    return 0.0


def _binary(operation: Callable[[Any, Any], Any]) -> Callable[[Constants, Attributes], Any]:
    def fold(inputs: Constants, _: Attributes) -> Any:
        a, b = inputs
        if a.dtype == object or b.dtype == object:
            # A size times 1, or the like; what is left is not known.
            for one, other in ((a, b), (b, a)):
                if operation is np.multiply and one.dtype != object and (one == 1).all() and one.size == 1:
                    return other
            raise CannotFoldError
        found = operation(a, b)
        if operation is np.divide and np.asarray(a).dtype.kind in "iu":
            found = np.trunc(found).astype(a.dtype)
        return found
    return fold


def _equal(inputs: Constants, _: Attributes) -> Any:
    a, b = (np.atleast_1d(v) for v in inputs)
    found = [x == y for x, y in zip(*(np.broadcast_arrays(a, b)), strict=True)] if a.ndim == b.ndim == 1 else [a == b]
    if any(isinstance(v, Size) for v in [*a.ravel(), *b.ravel()]) and not all(found):
        raise CannotFoldError  # a size that is not known equals no number for sure
    shape = np.broadcast_shapes(inputs[0].shape, inputs[1].shape)
    return np.array(found, bool).reshape(shape)


def _cast(inputs: Constants, attributes: Attributes) -> Any:
    return inputs[0] if inputs[0].dtype == object else inputs[0].astype(_DTYPES[attributes["to"]])


def _reduce(operation: Callable[..., Any]) -> Callable[[Constants, Attributes], Any]:
    def fold(inputs: Constants, attributes: Attributes) -> Any:
        axes = _axes(inputs, attributes)
        return operation(inputs[0], axis=axes, keepdims=bool(attributes.get("keepdims", 1)))
    return fold


FOLDS: dict[str, Callable[[Constants, Attributes], Any]] = {
    "Identity": lambda x, _: x[0],
    "Cast": _cast,
    "Concat": lambda x, a: np.concatenate(x, a["axis"]),
    "Slice": _slice,
    "Gather": lambda x, a: np.take(x[0], np.asarray(x[1], np.int64), a.get("axis", 0)),
    "Unsqueeze": _unsqueeze,
    "Squeeze": lambda x, a: np.squeeze(x[0], _axes(x, a)),
    "Transpose": lambda x, a: np.transpose(x[0], a.get("perm")),
    "Reshape": _reshape,
    "Flatten": lambda x, a: x[0].reshape(int(np.prod(x[0].shape[:a.get("axis", 1)])), -1),
    "Shape": lambda x, a: np.array(x[0].shape[a.get("start", 0):a.get("end")], np.int64),
    "Size": lambda x, _: np.array(x[0].size, np.int64),
    "ConstantOfShape": _filled,
    "Expand": _expand,
    "Range": _range,
    "Split": _split,
    "Add": _binary(np.add), "Sub": _binary(np.subtract), "Mul": _binary(np.multiply), "Div": _binary(np.divide),
    "Equal": _equal,
    "Not": lambda x, _: np.logical_not(x[0]),
    "And": _binary(np.logical_and), "Or": _binary(np.logical_or),
    "Less": _binary(np.less), "Greater": _binary(np.greater), "LessOrEqual": _binary(np.less_equal),
    "GreaterOrEqual": _binary(np.greater_equal),
    "Where": lambda x, _: np.where(x[0], x[1], x[2]),
    "Neg": lambda x, _: -x[0],
    "Sqrt": lambda x, _: np.sqrt(x[0]),
    "Exp": lambda x, _: np.exp(x[0]),
    "ReduceSum": _reduce(np.sum), "ReduceProd": _reduce(np.prod), "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "Dropout": lambda x, _: x[0],
}
