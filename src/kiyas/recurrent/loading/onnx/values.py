"""What stands for a tensor while a graph is read: a constant, or a signal of the model with its axes named.

ONNX moves axes about freely: transposes around every LSTM, axes of size 1, shapes that are computed. Here an axis of a
signal is a tuple of *atoms* (none for size 1), and so is an axis of the array that the model will compute. Transpose,
Squeeze, Unsqueeze and most Reshapes then only rename; arrays are moved where a layer needs them in another order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class Atom:
    """An indivisible axis: its size, or None where it is not known.

    The batch is of any size whatever the file says; what it ``declared`` is told apart in reshapes.
    """

    size: int | None
    batch: bool = False
    declared: int | None = None


@dataclass(frozen=True)
class Size:
    """A size that is not a number: a count times the sizes of atoms."""

    count: int
    atoms: tuple[Atom, ...]


Axes = tuple[tuple[Atom, ...], ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """An output of a node of the model. ``array``: its axes as computed, batch first; ``axes``: as ONNX sees them."""

    node: int
    output: int
    array: Axes
    axes: Axes

    def seen(self, axes: Axes) -> Tensor:
        """The same numbers under other axes."""
        return Tensor(self.node, self.output, self.array, axes)

    @property
    def shape(self) -> list[int | Size]:
        """The shape as ONNX sees it."""
        return [size_of(axis) for axis in self.axes]


@dataclass(frozen=True, eq=False)
class Stacked:
    """Tensors side by side along an axis that they do not have: the states of two directions."""

    parts: tuple[Tensor, ...]
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Given:
    """A graph input that holds initial states, or some of its rows (axis 0 unless it is of one layer)."""

    name: str
    shape: tuple[int | Size, ...]


@dataclass(frozen=True, eq=False)
class Lengths:
    """A graph input that says how long each row is."""

    name: str


@dataclass(frozen=True, eq=False)
class Filled:
    """A constant of one number, of a shape that depends on sizes."""

    value: float
    shape: tuple[Any, ...] = ()


@dataclass(frozen=True, eq=False)
class Unknown:
    """What an operation that is not supported gives: the operations that led to it."""

    operations: frozenset[str] = field(default_factory=frozenset)


def size_of(axis: tuple[Atom, ...]) -> int | Size:
    """The size of an axis: a number where all its atoms have one."""
    count, open_ = 1, []
    for atom in axis:
        if atom.size is None:
            open_.append(atom)
        else:
            count *= atom.size
    return Size(count, tuple(open_)) if open_ else count


def sizes(values: list[int | Size]) -> np.ndarray:
    """Sizes as a constant: integers, or objects where one is not a number."""
    found = np.empty(len(values), object)
    found[:] = values
    return numbers(found)


def numbers(values: np.ndarray) -> np.ndarray:
    """An array of objects as one of integers, if that is what they all are."""
    if values.dtype == object and not any(isinstance(v, Size) for v in values.ravel()):
        return values.astype(np.int64)
    return values


def regrouped(axes: Axes, shape: list[int | Size]) -> tuple[Axes, dict[Atom, tuple[Atom, ...]]] | None:
    """The axes after a Reshape, and the atoms that had to be split; None if it cannot be told.

    ``shape`` may hold one −1; 0 was replaced before.
    """
    atoms = [atom for axis in axes for atom in axis]
    split: dict[Atom, tuple[Atom, ...]] = {}
    left, right = list(shape), []
    if -1 in left:
        at = left.index(-1)
        left, right = left[:at], left[at + 1:]
    front = [_taken(atoms, size, split, last=False) for size in left]
    back = [_taken(atoms, size, split, last=True) for size in reversed(right)][::-1]
    if None in front or None in back or (-1 not in shape and any(atom.size != 1 for atom in atoms)):
        return None
    middle = [tuple(atoms)] if -1 in shape else []
    return tuple(g for g in [*front, *middle, *back] if g is not None), split


def _taken(atoms: list[Atom], size: int | Size, split: dict[Atom, tuple[Atom, ...]], last: bool
           ) -> tuple[Atom, ...] | None:
    """Atoms taken off one end whose sizes multiply to ``size``."""
    wanted, open_ = (size, ()) if isinstance(size, int) else (size.count, size.atoms)
    taken: list[Atom] = []
    if atoms and atoms[-1 if last else 0].batch and not open_ and wanted == atoms[-1 if last else 0].declared:
        return (atoms.pop(-1 if last else 0),)
    if wanted == 1 and not open_:
        # An axis of size 1 is none of the atoms, unless the next one is of size 1 itself.
        if atoms and atoms[-1 if last else 0].size == 1:
            taken.append(atoms.pop(-1 if last else 0))
        return tuple(taken)
    remaining = list(open_)
    while wanted != 1 or remaining:
        if not atoms:
            return None
        atom = atoms.pop(-1 if last else 0)
        if atom.size is None:
            if atom not in remaining:
                return None
            remaining.remove(atom)
        elif atom.size and wanted % atom.size == 0:
            wanted //= atom.size
        elif wanted > 1 and atom.size % wanted == 0 and not atom.batch:
            inner, outer = Atom(wanted), Atom(atom.size // wanted)
            split[atom] = (outer, inner) if last else (inner, outer)
            atoms.insert(len(atoms) if last else 0, outer)
            atom, wanted = inner, 1
        else:
            return None
        taken.append(atom)
    return tuple(taken[::-1] if last else taken)


def with_split(axes: Axes, split: dict[Atom, tuple[Atom, ...]]) -> Axes:
    """The axes with atoms replaced by what they were split into."""
    while any(atom in split for axis in axes for atom in axis):
        axes = tuple(tuple(part for atom in axis for part in split.get(atom, (atom,))) for axis in axes)
    return axes
