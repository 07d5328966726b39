"""State: what recurrent layers remember, as a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.directory import write_whole
from kiyas.errors import FileError, InputError, message

FORMAT = "kiyas.recurrent.State"
VERSION = 1


class State(Mapping[str, tuple[np.ndarray, ...]]):
    """The state of a model's recurrent layers: a value that is never changed in place.

    It maps the name of each recurrent layer to its arrays, each (batch, width) float32: ``(h, c)`` of an LSTM,
    ``(h,)`` of a GRU or SimpleRNN, ``(h, c, h, c)`` of a bidirectional LSTM (forward, backward). It belongs to a
    stream, never to a model. `Model.new_state` gives one of zeros.

    >>> state = State({"lstm": (np.zeros((2, 3)), np.ones((2, 3)))})
    >>> state.batch, state["lstm"][1].shape
    (2, (2, 3))
    >>> one, other = state.split()
    >>> State.stack([other, one, one]).batch
    3
    """

    __slots__ = ("_arrays", "_maker", "batch")

    def __init__(self, arrays: Mapping[str, Sequence[Any]]) -> None:
        """Take the arrays of each layer, copied; raises `InputError` for other shapes and unlike batches."""
        made: dict[str, tuple[np.ndarray, ...]] = {}
        batch: int | None = None
        for name, parts in arrays.items():
            own = []
            for part in parts if isinstance(parts, Iterable) else [parts]:
                try:
                    a = np.array(part, np.float32, order="C")
                except (TypeError, ValueError):
                    raise InputError(message("State", name, "arrays of shape (batch, width)",
                                             f"{type(part).__name__} that is none")) from None
                if a.ndim != 2:
                    raise InputError(message("State", name, "arrays of shape (batch, width)", f"shape {a.shape}"))
                if batch is not None and a.shape[0] != batch:
                    raise InputError(message("State", name, f"of batch {batch}, as the arrays before",
                                             f"batch {a.shape[0]}"))
                batch = a.shape[0]
                own.append(a)
            made[str(name)] = tuple(own)
        self._arrays, self.batch = made, batch or 0
        self._maker: object = None

    @classmethod
    def _of(cls, arrays: dict[str, tuple[np.ndarray, ...]], batch: int, maker: object = None) -> State:
        """Without a copy or a check, for arrays that nobody else holds; ``maker``: who takes it as it is."""
        state = cls.__new__(cls)
        state._arrays, state.batch, state._maker = arrays, batch, maker
        return state

    # -- get and set -------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> tuple[np.ndarray, ...]:
        try:
            arrays = self._arrays[name]
        except KeyError:
            raise InputError(message("State", "name", f"one of {', '.join(self._arrays) or 'none'}",
                                     repr(name))) from None
        for a in arrays:  # here and not before: most states of a stream are never looked at
            a.flags.writeable = False
        return arrays

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def set(self, name: str, *arrays: Any) -> State:
        """A state with the arrays of one layer replaced, shapes as they were."""
        before = self[name]
        if len(arrays) != len(before) or any(np.shape(a) != b.shape for a, b in zip(arrays, before, strict=False)):
            raise InputError(message("State.set", name, f"{len(before)} arrays of shapes {[b.shape for b in before]}",
                                     f"{[np.shape(a) for a in arrays]}"))
        return State({**self._arrays, name: arrays})

    def copy(self) -> State:
        """A copy that shares nothing: a fork of the stream. (As states are never written to, sharing does no harm.)"""
        return State._of({name: tuple(a.copy() for a in arrays) for name, arrays in self._arrays.items()}, self.batch)

    fork = copy

    # -- batches -----------------------------------------------------------------------------------

    @staticmethod
    def stack(states: Sequence[State]) -> State:
        """One state whose batch is that of all of them, one after another."""
        states = list(states)
        if not states or not all(isinstance(state, State) for state in states):
            raise InputError(message("State.stack", "states", "at least one state",
                                     ", ".join(sorted({type(state).__name__ for state in states})) or "none"))
        first = _widths(states[0])
        for number, state in enumerate(states):
            if _widths(state) != first:
                raise InputError(message("State.stack", "states", f"states of one model, with {first}",
                                         f"{_widths(state)} at number {number}"))
        return State._of({name: tuple(np.concatenate(parts) for parts in zip(*(s[name] for s in states), strict=True))
                          for name in states[0]}, sum(state.batch for state in states))

    def split(self, sizes: Sequence[int] | None = None) -> list[State]:
        """The rows apart, one a state, or in groups of ``sizes`` (which add up to the batch); else `InputError`."""
        found = _whole_numbers([1] * self.batch if sizes is None else sizes)
        if found is None or found.sum() != self.batch or found.min(initial=1) < 1:
            raise InputError(message("State.split", "sizes",
                                     f"a list of whole numbers of 1 or above that add up to {self.batch}",
                                     f"{sizes!r:.200}"))
        ends = np.cumsum(found).tolist()
        return [self.take(range(end - size, end)) for end, size in zip(ends, found.tolist(), strict=True)]

    def take(self, rows: Sequence[int] | np.ndarray | range) -> State:
        """The rows of those numbers, in that order, one several times if asked (as a beam search does).

        Raises `InputError` for numbers that are no row's, and for truth values.
        """
        index = _whole_numbers(rows)
        if index is None or index.size == 0 or index.min() < 0 or index.max() >= self.batch:
            raise InputError(message("State.take", "rows", f"a list of whole numbers from 0 to {self.batch - 1}",
                                     f"{rows!r:.200}",
                                     "np.flatnonzero(mask) gives those of a mask" if index is None else ""))
        # With the number of rows said: a model without recurrent layers has a state without arrays.
        return State._of({name: tuple(a[index] for a in arrays) for name, arrays in self._arrays.items()}, index.size)

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file, which is replaced as a whole; `FileError` if it cannot be written."""
        from safetensors.numpy import save

        arrays = {f"{i}.{k}": a for i, parts in enumerate(self._arrays.values()) for k, a in enumerate(parts)}
        about = {"format": FORMAT, "version": str(VERSION), "layers": json.dumps(list(self._arrays))}
        write_whole(Path(path), save(arrays, metadata=about))

    @classmethod
    def load(cls, path: str | Path) -> State:
        """Read what `save` wrote; raises `FileError` for anything else."""
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.exists():
            raise FileError(f"{path}: there is no such file")
        if not path.is_file():
            raise FileError(f"{path}: is no plain file")
        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                if about.get("format") != FORMAT:
                    raise FileError(f"{path}: is no state of kiyas")
                if int(about["version"]) > VERSION:
                    raise FileError(f"{path}: has format version {about['version']}, this kiyas reads up to {VERSION}; "
                                    "upgrade kiyas")
                names = json.loads(about["layers"])
                keys = sorted(tuple(map(int, key.split("."))) for key in file.keys())  # noqa: SIM118
                parts = {name: [file.get_tensor(f"{i}.{k}") for j, k in keys if j == i] for i, name in enumerate(names)}
                return cls(parts)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise FileError(f"{path}: is incomplete or altered ({error})") from None

    def __reduce__(self) -> tuple[type[State], tuple[dict[str, tuple[np.ndarray, ...]]]]:
        return State, (self._arrays,)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {tuple(a.shape[1] for a in arrays)}" for name, arrays in self._arrays.items())
        return f"State(batch {self.batch}: {shown})"

    def __eq__(self, other: object) -> bool:
        """Equal bit for bit, but for the sign of zero."""
        return isinstance(other, State) and _widths(self) == _widths(other) and self.batch == other.batch and all(
            np.array_equal(a, b) for name in self for a, b in zip(self[name], other[name], strict=True))

    __hash__ = None  # type: ignore[assignment]


def _whole_numbers(given: Any) -> np.ndarray | None:
    """A flat list of whole numbers as an array, None for anything else: truth values are none, nor are floats."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):
        return None
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        return None
    if isinstance(given, (list, tuple)) and any(isinstance(one, (bool, np.bool_)) for one in given):
        return None
    return array.astype(np.intp)


def _widths(state: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(a.shape[1] for a in state[name]) for name in state}
