"""Recurrent nodes, and the states that go into and come out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kiyas.recurrent.loading.onnx.call import Call, MismatchError, RowsInTimeError, UnsupportedError
from kiyas.recurrent.loading.onnx.cells import layer_of
from kiyas.recurrent.loading.onnx.fold import FOLDS, slices
from kiyas.recurrent.loading.onnx.values import Atom, Axes, Filled, Given, Lengths, Size, Stacked, Tensor, sizes

if TYPE_CHECKING:
    from kiyas.recurrent.loading.onnx.graph import Reader


# The name of states that come out of a node, which are no input of the graph.
_LEFT = "left"


def moved(call: Call) -> list[Any]:
    """States, and lengths, that are only moved about remain what they are; their shapes are followed."""
    first = call.values[0]
    if call.kind == "Concat" and any(isinstance(value, Given) for value in call.values):
        left = any(isinstance(value, Given) and value.name == _LEFT for value in call.values)
        return [Given(_LEFT if left else "states", (Size(1, (Atom(None),)),))]
    if call.kind == "Add" and any(isinstance(v, np.ndarray) and not v.any() for v in call.values):
        return [next(value for value in call.values if isinstance(value, Given))]
    if isinstance(first, Lengths) and call.kind in ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape"):
        return [first]
    if not isinstance(first, Given):
        raise UnsupportedError(f"{call.kind} of states or lengths")
    if call.kind == "Shape":
        return [sizes(list(first.shape)[call.attributes.get("start", 0):call.attributes.get("end")])]
    if call.kind not in ("Identity", "Cast", "Gather", "Slice", "Split", "Squeeze", "Unsqueeze", "Reshape",
                            "Transpose", "Dropout"):
        raise UnsupportedError(f"{call.kind} of states")
    # The shape of an array without data, in which sizes that are not known are primes larger than any other size.
    primes = (10007, 10009, 10037, 10039)
    open_ = [s for s in first.shape if isinstance(s, Size)][:len(primes)]
    stand_in = dict(zip(open_, primes, strict=False))
    empty = np.broadcast_to(np.zeros((), np.bool_), [stand_in[s] if isinstance(s, Size) else s for s in first.shape])
    if call.kind == "Cast":
        return [first]
    found = FOLDS[call.kind]([empty, *call.values[1:]], call.attributes)
    back = {p: s for s, p in stand_in.items()}
    return [Given(first.name, tuple(back.get(s, s) for s in part.shape))
            for part in (found if isinstance(found, list) else [found])]


def way(call: Call) -> list[Any]:
    """One direction's states out of two."""
    stacked: Stacked = call.values[0]
    axis = call.attributes.get("axis", 0)
    if call.kind == "Gather" and axis == stacked.axis == 0 and isinstance(call.values[1], np.ndarray) \
            and call.values[1].size == 1:
        part = stacked.parts[int(call.values[1].ravel()[0])]
        return [part.seen(((), *part.axes)) if call.values[1].ndim else part]
    if call.kind == "Slice":
        taken = slices(call.values, call.attributes, 3)
        if set(taken) == {0}:
            parts = stacked.parts[taken[0]]
            return [Stacked(parts) if len(parts) > 1 else parts[0].seen(((), *parts[0].axes))]
    if call.kind == "Split" and axis == 0:
        return [part.seen(((), *part.axes)) for part in stacked.parts]
    raise UnsupportedError(f"{call.kind} of the states of two directions")


def recurrent(call: Call) -> list[Any]:
    """The layer of a recurrent node, and what its outputs Y, Y_h and Y_c are."""
    kind = call.kind
    x, w, r, b, lengths, h, c, p = [*call.values, *[None] * (8 - len(call.values))][:8]
    weights = [w, r, b, p]
    if any(v is not None and not isinstance(v, np.ndarray) for v in weights) or w is None or r is None:
        raise UnsupportedError(f"{kind} with weights that are not constant")
    x = call.reader.tensor(x)
    if len(x.axes) != 3:
        raise MismatchError(f"{kind} '{call.node.name}' gets a tensor of rank {len(x.axes)}")
    batch_major = bool(call.attributes.get("layout", 0))
    time, batch, features = (x.axes[1], x.axes[0], x.axes[2]) if batch_major else x.axes
    outputs = [name if name and call.reader.uses.get(name, 0) else "" for name in [*call.node.output, "", "", ""][:3]]
    starts = [_initial(call.reader, call.node, value) for value in ([h, c] if kind == "LSTM" else [h])]
    carried = [start == "carried" for start in starts]
    if any(carried) and not all(carried):
        raise UnsupportedError(f"{kind} that is given one of its two states")
    if lengths is not None:
        if not isinstance(lengths, Lengths):
            raise UnsupportedError(f"{kind} with sequence_lens that are computed")
        call.reader.uses_lengths = True
    unit = all(atom.size == 1 for atom in time)
    one_row = all(atom.size == 1 for atom in batch)
    rows = (call.reader.batch,)
    by_frames = unit and batch == rows and (all(carried) or call.reader.frames)
    if not by_frames and all(carried) and time == rows and one_row \
            and call.attributes.get("direction", "forward") == "forward":
        if not call.reader.rows_are_frames:
            raise RowsInTimeError(f"{kind} '{call.node.name}' runs along the rows")
        by_frames = True
    name = call.name(kind.lower())
    if call.reader.frames and not all(carried) and (by_frames or time == rows):
        raise UnsupportedError(f"{kind} that begins anew at every frame")
    if by_frames:
        call.reader.frames = True
        return _frame(call, name, weights, x, features, time == rows)
    if batch != (call.reader.batch,):
        raise MismatchError(f"{kind} '{call.node.name}' has another axis for its batch")
    wanted = ((call.reader.batch,), time, features)
    if unit and not time:
        placed = call.reader.placed(x, ((call.reader.batch,), (), features))
        time = ()
    else:
        placed = call.reader.placed(x, wanted)
    sequences, states = bool(outputs[0]), bool(outputs[1] or outputs[2])
    layer = layer_of(kind, name, call.attributes, weights, call.reader.where, sequences, states)
    begin = tuple((s.node, s.output) for s in starts if isinstance(s, Tensor))
    if begin and len(begin) != len(starts):
        raise UnsupportedError(f"{kind} that begins from one computed state of two")
    at = call.reader.add(layer, ((placed.node, placed.output), *begin))
    two = call.attributes.get("direction") == "bidirectional"
    # With a projection, h is narrower than C; ONNX has none.
    units = Atom(int(r.shape[2]))
    ways = (Atom(2),) if two else ()
    y_array: Axes = ((call.reader.batch,), time, (*ways, units))
    y_axes: Axes = (rows, time, ways, (units,)) if batch_major else (time, ways, rows, (units,))
    found: list[Any] = [Tensor(at, 0, y_array, y_axes) if sequences else None]
    for k in range(len(starts)):
        parts = []
        for way in range(2 if two else 1):
            unit_atom = Atom(int(r.shape[2]))
            array: Axes = ((call.reader.batch,), (unit_atom,))
            parts.append(Tensor(at, 1 + way * len(starts) + k, array, array))
        if two:
            found.append(Stacked(tuple(parts)))
        else:
            part = parts[0]
            found.append(part.seen((part.axes[0], (), part.axes[1]) if batch_major else ((), *part.axes)))
    return found if states else [found[0], None, None][:len(call.node.output)]


def _initial(reader: Reader, node: Any, value: Any) -> Any:
    """An initial state: None for zeros, "carried" for an input of the graph, a tensor for one that is computed."""
    if value is None or (isinstance(value, Filled) and value.value == 0) \
            or (isinstance(value, np.ndarray) and not value.any()):
        return None
    if isinstance(value, Given):
        if value.name == _LEFT:
            raise UnsupportedError(f"{node.op_type} that begins from what another leaves at a frame")
        return "carried"
    if isinstance(value, Tensor) and len(value.axes) == 3:
        rest = [axis for axis in value.axes if axis and any(a.size != 1 or a.batch for a in axis)]
        if len(rest) == 2 and (reader.batch,) in rest:
            return reader.placed(value, ((reader.batch,), next(axis for axis in rest if axis != (reader.batch,))))
    raise UnsupportedError(f"{node.op_type} with an initial state that is neither zero nor an input")


def _frame(call: Call, name: str, weights: list[Any], x: Tensor, features: tuple[Atom, ...], batch_is_time: bool
           ) -> list[Any]:
    """A node that runs frame after frame: its time is that of the frames."""
    if call.attributes.get("direction", "forward") != "forward":
        raise UnsupportedError(f"{call.kind} that goes backward over frames")
    placed = call.reader.placed(x, ((call.reader.batch,), features))
    layer = layer_of(call.kind, name, call.attributes, weights, call.reader.where, sequences=True, states=False)
    at = call.reader.add(layer, ((placed.node, placed.output),))
    units = Atom(int(weights[1].shape[2]))
    array: Axes = ((call.reader.batch,), (units,))
    batch = (call.reader.batch,)
    first, second = (batch, ()) if batch_is_time else ((), batch)
    y: Axes = (second, first, (), (units,)) if call.attributes.get("layout") else (first, (), second, (units,))
    # Where rows of the graph are frames, the last state is not that of each.
    last: Any = Given(_LEFT, (1, 1, units.size or 1)) if batch_is_time else Tensor(
        at, 0, array, (batch, (), (units,)) if call.attributes.get("layout") else ((), batch, (units,)))
    return [Tensor(at, 0, array, y), last, Given(_LEFT, (1, Size(1, (call.reader.batch,)), units.size or 1))]
