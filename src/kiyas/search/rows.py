"""The rows of an index: vectors as they were given, ids, what was added and removed, and their codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kiyas import kernels
from kiyas.arrays import Array, dtype_name, is_numpy, matrix, namespace, row_blocks, to_numpy
from kiyas.errors import InputError, message
from kiyas.kernels import _native
from kiyas.kernels.coordinate import Fold, GridCodes
from kiyas.kernels.inner import InnerCodes
from kiyas.kernels.rows import native_rows

# Squared norms up to this leave room for ‖x − y‖² ≤ 2(‖x‖² + ‖y‖²).
_LARGEST_SQUARE = 4e307


class Rows:
    """Vectors in two runs: the base as given (perhaps a memory map, never copied) and what came later.

    Arrays of PyTorch or CuPy stay on their device; what comes later is joined to them there.
    A row keeps its number for ever: removal only marks it.
    """

    def __init__(self, base: Array) -> None:
        self.on_host = is_numpy(base)
        self.base = np.ascontiguousarray(base) if self.on_host and not base.flags.c_contiguous else base
        self.dims = int(base.shape[1])
        self.dtype = dtype_name(base)
        self._spare = np.empty((0, self.dims), self.base.dtype) if self.on_host else None
        self._late = 0
        self._norms2 = np.empty(0)
        self._native: Any = None
        self.inner = InnerCodes(self.dims)
        self._grids: dict[bytes, GridCodes] = {}

    # -- reading -----------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Rows, removed ones included."""
        return int(self.base.shape[0]) + self._late

    @property
    def tail(self) -> np.ndarray:
        """Rows that came later."""
        assert self._spare is not None
        return self._spare[: self._late]

    def native(self) -> Any:
        """For the kernels; host rows only."""
        if self._native is None:
            self._native = native_rows(self.base, self.tail)
        return self._native

    def block(self, start: int, stop: int) -> Array:
        """Rows [start, stop) in their dtype, on their device."""
        if not self.on_host or stop <= self.base.shape[0]:
            return self.base[start:stop, :]
        n = self.base.shape[0]
        return np.concatenate([self.base[start:stop], self.tail[max(0, start - n) : stop - n]])

    def take(self, which: np.ndarray) -> np.ndarray:
        """Chosen rows on the host, in their dtype (bfloat16 of PyTorch as float32, which holds it exactly)."""
        if not self.on_host:
            xp = namespace(self.base)
            return to_numpy(self.base[xp.asarray(which, device=self.base.device), :])
        if self._late == 0:
            return np.asarray(self.base[which])
        out = np.empty((which.size, self.dims), self.base.dtype)
        early = which < self.base.shape[0]
        out[early] = self.base[which[early]]
        out[~early] = self.tail[which[~early] - self.base.shape[0]]
        return out

    def norms2(self, threads: int) -> np.ndarray:
        """‖x‖² of every row, correctly rounded; (count,) float64 on the host."""
        if self.inner.rows == self.count:
            return self.inner.norms2
        done = self._norms2.size
        if done < self.count:
            fresh = np.empty(self.count - done)
            if self.on_host:
                _native.norms2(kernels.level(), self.native(), done, self.count, fresh, threads)
            else:
                for i, j in row_blocks(fresh.size, self.dims):
                    block = np.ascontiguousarray(to_numpy(self.block(done + i, done + j)))
                    _native.norms2(kernels.level(), native_rows(block), 0, j - i, fresh[i:j], threads)
            self._norms2 = np.concatenate([self._norms2, fresh])
        return self._norms2

    # -- codes -------------------------------------------------------------------------------------

    def inner_codes(self, threads: int) -> InnerCodes:
        """Codes of the inner family, made or brought up to date."""
        self.inner.extend(self, self.count, threads)
        return self.inner

    def grid_codes(self, fold: Fold, threads: int) -> GridCodes:
        """Codes of the coordinate family for one way of folding, made or brought up to date."""
        codes = self._grids.get(fold.key)
        if codes is None:
            codes = self._grids[fold.key] = GridCodes.over(fold, self.block, self.count)
        codes.extend(self.native(), self.count, threads)
        return codes

    @property
    def code_bytes(self) -> int:
        """Bytes of all codes held."""
        return self.inner.nbytes * (self.inner.rows > 0) + sum(c.nbytes for c in self._grids.values())

    # -- changing ----------------------------------------------------------------------------------

    def stored(self, X: Array, owner: str) -> Array:
        """Rows in the dtype and on the device of the others; those that do not fit the dtype raise `InputError`."""
        if self.on_host:
            with np.errstate(over="ignore"):  # refused just below
                fresh = to_numpy(X).astype(self.base.dtype)
            good = np.all(np.isfinite(fresh), axis=1)
        else:
            xp = namespace(self.base)
            fresh = xp.asarray(to_numpy(X), dtype=self.base.dtype, device=self.base.device)
            good = to_numpy(xp.all(xp.isfinite(fresh), axis=1))
        if not np.all(good):
            raise InputError(message(owner, "vectors", f"within the range of {self.dtype}",
                                     f"overflow in row {int(np.argmin(good))}"))
        return fresh

    def append(self, fresh: Array) -> None:
        """Add rows, as `stored` gives them, after the last."""
        if not self.on_host:
            self.base = namespace(self.base).concat([self.base, fresh], axis=0)
            return
        assert self._spare is not None
        needed = self._late + fresh.shape[0]
        if needed > self._spare.shape[0]:
            grown = np.empty((max(needed, 2 * self._spare.shape[0]), self.dims), self.base.dtype)
            grown[: self._late] = self.tail
            self._spare = grown
        self._spare[self._late : needed] = fresh
        self._late = needed
        self._native = None


class Ids:
    """Ids of rows and which rows are still there. Without given ids a row's id is its number."""

    def __init__(self, ids: Any, count: int) -> None:
        self._given = None if ids is None else _checked_ids(ids, count, "Index")
        self._count = count
        self._alive: np.ndarray | None = None
        self._places: dict[Any, int] | None = None

    @property
    def live(self) -> np.ndarray | None:
        """Bool (rows,): rows still there; None where nothing was removed."""
        return self._alive

    @property
    def length(self) -> int:
        """Rows still there."""
        return self._count if self._alive is None else int(np.count_nonzero(self._alive))

    @property
    def numbered(self) -> bool:
        """Whether ids are integers."""
        return self._given is None or self._given.dtype.kind == "i"

    @property
    def given(self) -> bool:
        """Whether ids were given by the caller."""
        return self._given is not None

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Ids of rows."""
        return rows if self._given is None else self._given[rows]

    def all(self) -> np.ndarray:
        """Ids of the rows still there, in the order of rows."""
        rows = np.arange(self._count) if self._alive is None else np.flatnonzero(self._alive)
        return self.of(rows)

    def rows_of(self, ids: Iterable[Any], owner: str, parameter: str = "ids") -> np.ndarray:
        """Rows of ids; an unknown one raises `InputError`."""
        listed = listed_ids(ids, owner, parameter)
        if self._places is None:
            rows = np.arange(self._count) if self._alive is None else np.flatnonzero(self._alive)
            self._places = dict(zip(self.of(rows).tolist(), rows.tolist(), strict=True))
        try:
            if self.numbered and not (isinstance(ids, np.ndarray) and ids.dtype.kind in "iu"):
                for i in listed:  # 1.0 and True are found where 1 is, but are no ids
                    if isinstance(i, bool) or not isinstance(i, (int, np.integer)):
                        raise KeyError(i)
            return np.fromiter((self._places[i] for i in listed), np.int64, len(listed))
        except (KeyError, TypeError):
            bad = next(i for i in listed if isinstance(i, (bool, float)) or not _hashable(i) or i not in self._places)
            raise InputError(message(owner, parameter, "ids that are in the index", repr(bad))) from None

    def append(self, ids: Any, count: int, owner: str) -> np.ndarray:
        """Ids for new rows: the given ones, or their numbers."""
        start = self._count
        if ids is None:
            if self._given is not None:
                # Ids were given before, or rows were replaced: the next free numbers go on from the largest.
                if self._given.dtype.kind != "i":
                    raise InputError(message(owner, "ids", "given, as they were when the index was made", "None"))
                next_id = int(self._given.max(initial=-1)) + 1
                ids = np.arange(next_id, next_id + count)
            else:
                ids = np.arange(start, start + count)
            fresh: np.ndarray = ids
        else:
            fresh = _checked_ids(ids, count, owner)
            if fresh.dtype.kind != ("i" if self.numbered else "O"):
                kind = "integers" if self.numbered else "texts"
                raise InputError(message(owner, "ids", f"{kind}, as the others", f"{type(ids[0]).__name__}"))
            taken = set(self.all().tolist()) & set(fresh.tolist())
            if taken:
                raise InputError(message(owner, "ids", "new to the index", repr(min(taken)), "use replace for it"))
        if self._given is not None or not np.array_equal(fresh, np.arange(start, start + count)):
            self._given = np.concatenate([self.of(np.arange(start)), fresh])
        self._count += count
        if self._alive is not None:
            self._alive = np.concatenate([self._alive, np.ones(count, bool)])
        self._places = None
        return fresh

    def remove(self, rows: np.ndarray) -> None:
        """Mark rows as gone."""
        if self._alive is None:
            self._alive = np.ones(self._count, bool)
        self._alive[rows] = False
        self._places = None


def _hashable(x: Any) -> bool:
    return getattr(type(x), "__hash__", None) is not None


def _checked_ids(ids: Any, count: int, owner: str) -> np.ndarray:
    wanted = f"{count} different integers or texts, one for each row"
    values = listed_ids(ids, owner, "ids")
    if len(values) != count:
        raise InputError(message(owner, "ids", wanted, f"{len(values)}"))
    integers = all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in values)
    if not integers and not all(isinstance(i, str) for i in values):
        odd = next(i for i in values if not isinstance(i, str))
        raise InputError(message(owner, "ids", wanted, f"{type(odd).__name__} {odd!r}"))
    if len(set(values)) != count:
        seen: set[Any] = set()
        twice = next(i for i in values if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise InputError(message(owner, "ids", wanted, f"{twice!r} twice"))
    if integers:
        if any(i < 0 for i in values):
            raise InputError(message(owner, "ids", "integers from 0, as −1 marks a missing hit", min(values)))
        if any(i >= 1 << 63 for i in values):
            raise InputError(message(owner, "ids", "integers below 2^63", max(values)))
        return np.asarray(values, dtype=np.int64)
    out = np.empty(count, dtype=object)
    out[:] = values
    return out


def listed_ids(ids: Any, owner: str, parameter: str) -> list[Any]:
    """Ids as a list; anything that is no collection of ids raises `InputError`."""
    if isinstance(ids, np.ndarray) and ids.ndim > 0:
        return list(ids.tolist())
    if not isinstance(ids, (str, bytes)) and hasattr(ids, "__iter__") and not (hasattr(ids, "ndim") and ids.ndim == 0):
        return list(ids)
    raise InputError(message(owner, parameter, "a list of ids", repr(ids)))


def require_squares(X: Array, name: str, owner: str) -> Array:
    """The rows, if their squared norms fit into float64; else `InputError` naming a row."""
    if dtype_name(X) != "float64":
        return X
    xp = namespace(X)
    for start, stop in row_blocks(X.shape[0], X.shape[1]):
        block = X[start:stop, :]
        with np.errstate(over="ignore"):  # refused just below
            good = xp.sum(block * block, axis=1) <= _LARGEST_SQUARE
        if not bool(xp.all(good)):
            row = start + int(xp.argmin(xp.astype(good, xp.int8)))
            raise InputError(message(owner, name, "of rows whose squared norm fits into float64",
                                     f"a larger one in row {row}", "divide all vectors by a common number"))
    return X


def checked_rows(vectors: Any, owner: str) -> Array:
    """Vectors at the door: (n, d) finite floats whose squared norms do not overflow."""
    X = matrix(vectors, "vectors", owner)
    if is_numpy(X) and dtype_name(X) != "bfloat16" and X.dtype.byteorder == ">":
        X = X.astype(X.dtype.newbyteorder("="))
    return require_squares(X, "vectors", owner)


RowBlock = Callable[[int, int], Array]
