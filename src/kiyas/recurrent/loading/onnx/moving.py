"""Operations that move numbers about: mostly they only rename axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kiyas.recurrent.layers import Concatenate, Embedding, Input, Pad, Slice
from kiyas.recurrent.loading.made import made
from kiyas.recurrent.loading.onnx.call import Call, Operation, UnsupportedError, axes_of, shown
from kiyas.recurrent.loading.onnx.fold import slices
from kiyas.recurrent.loading.onnx.values import Atom, Axes, Size, Tensor, regrouped, size_of, sizes, with_split

if TYPE_CHECKING:
    from kiyas.recurrent.loading.onnx.graph import Reader


def _same(call: Call) -> list[Any]:
    return [call.values[0]]


def _cast(call: Call) -> list[Any]:
    is_input = isinstance(call.reader.nodes[call.values[0].node].layer, Input)
    if call.attributes.get("to") not in (1, 10, 11, 16) and not is_input:
        raise UnsupportedError("Cast of numbers to integers")
    return [call.values[0]]


def _transpose(call: Call) -> list[Any]:
    x = call.values[0]
    order = call.attributes.get("perm") or list(range(len(x.axes)))[::-1]
    return [x.seen(tuple(x.axes[k] for k in order))]


def _squeeze(call: Call) -> list[Any]:
    x, axes = call.values[0], axes_of(call.values, call.attributes)
    rank = len(x.axes)
    single = [k for k, axis in enumerate(x.axes) if all(atom.size == 1 and not atom.batch for atom in axis)]
    chosen = single if axes is None else [a % rank for a in axes]
    if not set(chosen) <= set(single):
        raise UnsupportedError("Squeeze of an axis that is not known to be of size 1")
    return [x.seen(tuple(axis for k, axis in enumerate(x.axes) if k not in chosen))]


def _unsqueeze(call: Call) -> list[Any]:
    x, axes = call.values[0], axes_of(call.values, call.attributes) or []
    rank = len(x.axes) + len(axes)
    seen = list(x.axes)
    for at in sorted(a % rank for a in axes):
        seen.insert(at, ())
    return [x.seen(tuple(seen))]


def _reshape(call: Call) -> list[Any]:
    x, target = call.values
    if not isinstance(target, np.ndarray):
        raise UnsupportedError("Reshape to a shape that is computed")
    shape = [s if isinstance(s, Size) else int(s) for s in target.ravel().tolist()]
    shape = [x.shape[k] if s == 0 and not call.attributes.get("allowzero") else s for k, s in enumerate(shape)]
    return [_seen_as(x, shape)]


def _flatten(call: Call) -> list[Any]:
    x = call.values[0]
    at = call.attributes.get("axis", 1) % len(x.axes)
    merged = [tuple(a for axis in part for a in axis) for part in (x.axes[:at], x.axes[at:])]
    return [x.seen(tuple(merged))]


def _seen_as(x: Tensor, shape: list[int | Size]) -> Tensor:
    found = regrouped(x.axes, shape)
    if found is None:
        raise UnsupportedError(f"Reshape of {shown(x.shape)} to {shown(shape)}")
    axes, split = found
    # Axes of size 1 that were merged with the batch vanish in it.
    axes = tuple(tuple(a for a in axis if a.batch or a.size != 1) if any(a.batch for a in axis) else axis
                 for axis in axes)
    return Tensor(x.node, x.output, with_split(x.array, split), with_split(axes, split))


def _shape(call: Call) -> list[Any]:
    return [sizes(call.values[0].shape[call.attributes.get("start", 0):call.attributes.get("end")])]


def _cut(reader: Reader, x: Tensor, axis: int, part: slice) -> Tensor:
    """Some entries of one axis, which is none of the batch."""
    group = x.axes[axis]
    unit = not group or (len(group) == 1 and group[0].size == 1 and not group[0].batch)
    if part in (slice(None), slice(None, None, 1), slice(0, None, 1)) or (unit and part.indices(1)[:2] == (0, 1)):
        return x
    if group == (reader.batch,) or not group:
        raise UnsupportedError("Slice of the batch or of an axis of size 1")
    if (way := _direction(reader, x, axis, part)) is not None:
        return way
    order: Axes = ((reader.batch,), *(a for a in x.axes if a and a not in (group, (reader.batch,))), group)
    placed = x if group in x.array else reader.placed(x, order)
    at = placed.array.index(group)
    size = size_of(group)
    known = isinstance(size, int)
    count = len(range(*part.indices(size))) if isinstance(size, int) else _count(part)
    last = at == len(placed.array) - 1 and known
    number = reader.add(Slice(reader.name("slice"), -1 if last else at, part.start or 0, part.stop, part.step or 1),
                        ((placed.node, placed.output),))
    left = (Atom(count),)
    return Tensor(number, 0, tuple(left if k == at else a for k, a in enumerate(placed.array)),
                  tuple(left if k == axis else a for k, a in enumerate(placed.axes)))


def _direction(reader: Reader, x: Tensor, axis: int, part: slice) -> Tensor | None:
    """One direction of two that lie side by side in the features: a slice of those."""
    group, features = x.axes[axis], x.array[-1]
    if len(features) != 2 or group != features[:1] or group[0].size != 2 or features[1].size is None:
        return None
    ways = range(*part.indices(2))
    if len(ways) != 1:
        return None
    width = features[1].size
    number = reader.add(Slice(reader.name("direction"), -1, ways[0] * width, (ways[0] + 1) * width),
                        ((x.node, x.output),))
    one = Atom(1)
    return Tensor(number, 0, (*x.array[:-1], (features[1],)),
                  tuple((one,) if k == axis else a for k, a in enumerate(x.axes)))


def _count(part: slice) -> int | None:
    """How many entries a slice of an axis of unknown size has: told for one from the end, ``[-1:]``."""
    if part.start is not None and part.start < 0 and part.stop is None and part.step in (1, None):
        return -int(part.start)
    return 1 if part.start is not None and part.stop == part.start + 1 else None


def _slice(call: Call) -> list[Any]:
    x = call.values[0]
    if not all(v is None or (isinstance(v, np.ndarray) and v.dtype != object) for v in call.values[1:]):
        raise UnsupportedError("Slice between places that are computed")
    for axis, part in slices(call.values, call.attributes, len(x.axes)).items():
        x = _cut(call.reader, x, axis, part)
    return [x]


def _gather(call: Call) -> list[Any]:
    x, index = call.values
    axis = call.attributes.get("axis", 0)
    if isinstance(x, np.ndarray) and isinstance(index, Tensor):
        if axis != 0 or x.ndim != 2 or x.dtype.kind != "f":
            raise UnsupportedError("Gather from a table that is none of rows")
        number = call.reader.add(made(call.reader.where, Embedding, call.name("embedding"), x),
                            ((index.node, index.output),))
        width = (Atom(int(x.shape[1])),)
        return [Tensor(number, 0, (*index.array, width), (*index.axes, width))]
    if not isinstance(x, Tensor) or not isinstance(index, np.ndarray) or index.size != 1 or index.dtype == object:
        raise UnsupportedError("Gather at places that are computed")
    axis %= len(x.axes)
    at = int(index.ravel()[0])
    cut = x if not x.axes[axis] else _cut(call.reader, x, axis, slice(at, at + 1 if at != -1 else None, 1))
    return [cut.seen(tuple(() if k == axis else a for k, a in enumerate(cut.axes) if index.ndim or k != axis))]


def _split(call: Call) -> list[Any]:
    x = call.values[0]
    axis = call.attributes.get("axis", 0) % len(x.axes)
    size = size_of(x.axes[axis])
    if not isinstance(size, int):
        raise UnsupportedError("Split of an axis whose size is not known")
    given = call.values[1] if len(call.values) > 1 else None
    parts = [int(v) for v in np.ravel(given)] if isinstance(given, np.ndarray) \
        else call.attributes.get("split") or [len(p) for p in np.array_split(np.arange(size), len(call.node.output))]
    ends = np.cumsum(parts).tolist()
    return [_cut(call.reader, x, axis, slice(end - part, end, 1)) for part, end in zip(parts, ends, strict=True)]


def _concat(call: Call) -> list[Any]:
    if not all(isinstance(value, Tensor) for value in call.values):
        raise UnsupportedError("Concat with constants")
    axis = call.attributes["axis"] % len(call.values[0].axes)
    placed = [call.reader.in_order(value) for value in call.values]
    group = call.values[0].axes[axis]
    if group == (call.reader.batch,) or len({len(p.axes) for p in placed}) != 1:
        raise UnsupportedError("Concat of batches")
    at = placed[0].array.index(group) if group else _place_of_unit(call.reader, placed[0], axis)
    count = [size_of(p.axes[axis]) for p in placed]
    total = sum(c for c in count if isinstance(c, int)) if all(isinstance(c, int) for c in count) else None
    last = at == len(placed[0].array) - 1
    number = call.reader.add(Concatenate(call.name("concat"), axis=-1 if last else at),
                        tuple((p.node, p.output) for p in placed))
    joined = (Atom(total),)
    return [Tensor(number, 0, tuple(joined if k == at else a for k, a in enumerate(placed[0].array)),
                   tuple(joined if k == axis else a for k, a in enumerate(placed[0].axes)))]


def _place_of_unit(reader: Reader, value: Tensor, axis: int) -> int:
    """Where an axis of size 1 lies in an array that is in the order of ONNX."""
    order = [k for k, a in enumerate(value.axes) if a != (reader.batch,)]
    return 1 + order.index(axis)


def _pad(call: Call) -> list[Any]:
    x = call.values[0]
    pads = call.values[1] if len(call.values) > 1 else np.array(call.attributes.get("pads", ()), np.int64)
    some_axes = len(call.values) > 3 and call.values[3] is not None
    if not isinstance(pads, np.ndarray) or pads.dtype == object or some_axes:
        raise UnsupportedError("Pad by amounts that are computed")
    value = float(np.ravel(call.values[2])[0]) if len(call.values) > 2 and isinstance(call.values[2], np.ndarray) \
        else float(call.attributes.get("value", 0.0))
    amounts = pads.ravel().tolist()
    for axis in range(len(x.axes)):
        front, behind = amounts[axis], amounts[axis + len(x.axes)]
        if not (front or behind):
            continue
        group = x.axes[axis]
        if not group or group == (call.reader.batch,) or min(front, behind) < 0:
            raise UnsupportedError("Pad of the batch, of an axis of size 1, or by less than nothing")
        placed = x if group in x.array else call.reader.in_order(x)
        at = placed.array.index(group)
        number = call.reader.add(Pad(call.name("pad"), at, front, behind, call.attributes.get("mode", "constant"),
                                value), ((placed.node, placed.output),))
        size = size_of(group)
        wider = (Atom(size + front + behind if isinstance(size, int) else None),)
        x = Tensor(number, 0, tuple(wider if k == at else a for k, a in enumerate(placed.array)),
                   tuple(wider if k == axis else a for k, a in enumerate(placed.axes)))
    return [x]


MOVING: dict[str, Operation] = {
    "Identity": _same, "Dropout": _same, "Cast": _cast, "Transpose": _transpose, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Reshape": _reshape, "Flatten": _flatten, "Shape": _shape, "Slice": _slice,
    "Gather": _gather, "Split": _split, "Concat": _concat, "Pad": _pad,
}
