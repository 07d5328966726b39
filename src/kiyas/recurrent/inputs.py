"""Checks of what a person gives a model: arrays, lengths, masks, states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kiyas.arrays import to_numpy
from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import Shape, Signal
from kiyas.recurrent.state import State

Widths = Mapping[str, tuple[int, ...]]

# Numbers that are looked at together.
_BLOCK = 1 << 20


def several(owner: str, parameter: str, value: Any, names: Sequence[str], optional: bool = False) -> list[Any]:
    """One value for each input: the value itself for one input; a list or a mapping by name for several."""
    if isinstance(value, Mapping):
        if unknown := [str(k) for k in value if k not in names]:
            raise InputError(message(owner, parameter, f"a mapping with {', '.join(names)}", ", ".join(unknown)))
        if not optional and (lacking := [n for n in names if n not in value]):
            raise InputError(message(owner, parameter, f"a mapping with {', '.join(names)}",
                                     f"one without {', '.join(lacking)}"))
        return [value.get(n) for n in names]
    if len(names) == 1:
        single = isinstance(value, (list, tuple)) and len(value) == 1 and hasattr(value[0], "ndim") \
            and value[0].ndim > 1
        return [value[0] if single else value]
    if value is None and optional:
        return [None] * len(names)
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        found = f"{len(value)} arrays" if isinstance(value, (list, tuple)) else type(value).__name__
        raise InputError(message(owner, parameter, f"{len(names)} arrays, for {', '.join(names)}", found))
    return list(value)


def values(owner: str, parameter: str, value: Any, shape: Shape, time: int | None) -> np.ndarray:
    """An input as float32 or integers, of a rank and of sizes; ``time``: the axis whose size may be any, or None.

    Raises `InputError` for other shapes, empty batches and sequences, and NaN or infinity, naming the place.
    """
    x = shaped(owner, parameter, value, shape, time)
    if x.dtype.kind == "b":
        x = x.astype(np.float32)
    if x.dtype.kind == "f":
        given = x
        if x.dtype != np.float32:
            with np.errstate(over="ignore"):
                x = x.astype(np.float32)
        x = np.ascontiguousarray(x)
        if not np.isfinite(x).all():
            require_finite(owner, parameter, given, time)
    return x


def shaped(owner: str, parameter: str, value: Any, shape: Shape, time: int | None) -> np.ndarray:
    """An input as an array of a rank and of sizes, its numbers as they are; see `values`."""
    shown = ", ".join("batch" if i == 0 else "time" if i == time else "any" if s is None else str(s)
                      for i, s in enumerate(shape))
    wanted = f"numbers of shape ({shown}{',' if len(shape) == 1 else ''})"
    try:
        x = np.asarray(to_numpy(value))
    except (TypeError, ValueError) as error:
        raise InputError(message(owner, parameter, wanted, f"{type(value).__name__} that is no array ({error})",
                                 "pad rows of unlike length, and give their lengths=")) from None
    if x.dtype.kind not in "iufb":
        raise InputError(message(owner, parameter, wanted, f"dtype {x.dtype}"))
    if x.ndim != len(shape):
        cure = f"add the batch: {parameter}[None]" if x.ndim == len(shape) - 1 else ""
        raise InputError(message(owner, parameter, wanted, f"shape {x.shape}", cure))
    if any(s is not None and i not in (0, time) and x.shape[i] != s for i, s in enumerate(shape)):
        raise InputError(message(owner, parameter, wanted, f"shape {x.shape}"))
    if x.size == 0:
        what = "an empty sequence" if time is not None and x.shape[time] == 0 else "an empty batch"
        raise InputError(message(owner, parameter, f"{wanted}, at least one of each", f"{what}, shape {x.shape}"))
    return x


def require_finite(owner: str, parameter: str, x: np.ndarray, time: int | None) -> None:
    """Raise `InputError` naming the first row and step that holds NaN, infinity, or what float32 cannot hold.

    Goes through the numbers block by block, so that a memory-mapped array is not copied.
    """
    flat = x.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start:start + _BLOCK]
        with np.errstate(over="ignore"):
            finite = np.isfinite(block.astype(np.float32, copy=False))
        if finite.all():
            continue
        place = np.unravel_index(start + int(np.argmin(finite)), x.shape)
        number = x[place]
        step = f", step {place[time]}" if time is not None else ""
        raise InputError(message(owner, parameter, "finite" if not np.isfinite(number) else
                                 f"of at most {np.finfo(np.float32).max:.4g} in size, as far as float32 goes",
                                 f"{number} in row {place[0]}{step}"))


def signal(owner: str, x: np.ndarray, time: bool, lengths: Any, mask: Any, empty: str) -> Signal:
    """The values with their lengths or mask, checked."""
    if lengths is None and mask is None:
        return Signal(x)
    parameter = "lengths" if mask is None else "mask"
    if lengths is not None and mask is not None:
        raise InputError(message(owner, "mask", "None where lengths are given", "both"))
    if not time:
        raise InputError(message(owner, parameter, "None for an input that is no sequence", "given"))
    batch, steps = x.shape[:2]
    if lengths is not None:
        given = np.asarray(to_numpy(lengths))
        least = 0 if empty == "zero" else 1
        if given.shape != (batch,) or given.dtype.kind not in "iu":
            raise InputError(message(owner, "lengths", f"{batch} integers, one a row",
                                     f"shape {given.shape} of {given.dtype}"))
        if given.min() < least or given.max() > steps:
            row = int(np.argmax((given < least) | (given > steps)))
            raise InputError(message(owner, "lengths", f"from {least} to {steps}", f"{given[row]} in row {row}",
                                     "empty='zero' gives zeros for a row without steps" if given[row] == 0 else ""))
        return Signal(x, None, given.astype(np.int64))
    given = np.asarray(to_numpy(mask))
    if given.shape != (batch, steps) or given.dtype.kind != "b":
        raise InputError(message(owner, "mask", f"booleans of shape {(batch, steps)}, True where a step counts",
                                 f"shape {given.shape} of {given.dtype}"))
    if empty != "zero" and not given.any(axis=1).all():
        raise InputError(message(owner, "mask", "of at least one step that counts in every row",
                                 f"none in row {int(np.argmin(given.any(axis=1)))}",
                                 "empty='zero' gives zeros for such a row"))
    return Signal(x, given)


def state(owner: str, value: Any, widths: Widths, batch: int) -> State:
    """A `State`, a mapping, or PyTorch's h0 or (h0, c0), each (layers·directions, batch, hidden), checked."""
    checked = _as_state(owner, value, widths)
    if checked and checked.batch != batch:  # one without arrays fits a model without recurrent layers
        raise InputError(message(owner, "state", f"of batch {batch}, as the input", f"batch {checked.batch}"))
    for name, wanted in widths.items():
        if name not in checked:
            raise InputError(message(owner, "state", f"one for {', '.join(widths)}", f"{', '.join(checked) or 'none'}"))
        found = tuple(a.shape[1] for a in checked[name])
        if found != wanted:
            raise InputError(message(owner, "state", f"arrays of widths {wanted} for {name}", f"{found}"))
        for a in checked[name]:
            if not np.isfinite(a).all():
                raise InputError(message(owner, "state", "finite", f"NaN or infinity in {name}"))
    if unknown := [name for name in checked if name not in widths]:
        raise InputError(message(owner, "state", f"one for {', '.join(widths) or 'no layer'}",
                                 f"also {', '.join(unknown)}"))
    return checked


def _as_state(owner: str, value: Any, widths: Widths) -> State:
    if isinstance(value, State):
        return value
    return State(value) if isinstance(value, Mapping) else _from_torch_layout(owner, value, widths)


def _from_torch_layout(owner: str, value: Any, widths: Widths) -> State:
    parts = list(value) if isinstance(value, (tuple, list)) else [value]
    try:
        arrays = [np.asarray(to_numpy(p), np.float32) for p in parts]
    except (TypeError, ValueError):
        raise InputError(message(owner, "state", "a State, or h0 or (h0, c0), arrays of numbers",
                                 type(value).__name__)) from None
    kinds = {len(w) for w in widths.values()}
    kind = "(h0, c0)" if len(arrays) == 2 else "h0"
    # One array a way and kind: (h, c) forward, then (h, c) backward.
    ways = sum(len(w) // len(arrays) for w in widths.values())
    fits = len(arrays) in (1, 2) and kinds and all(len(w) % len(arrays) == 0 and len(w) // len(arrays) in (1, 2)
                                                   for w in widths.values()) and all(
        a.ndim == 3 and a.shape[0] == ways for a in arrays)
    if not fits:
        raise InputError(message(owner, "state", "a State, or h0 or (h0, c0) of shape (layers·directions, batch, "
                                 "hidden)", f"{kind} of shapes {[a.shape for a in arrays]} for {dict(widths)}"))
    made, way = {}, 0
    for name, own in widths.items():
        count = len(own) // len(arrays)
        made[name] = [a[way + k] for k in range(count) for a in arrays]
        way += count
    return State(made)
