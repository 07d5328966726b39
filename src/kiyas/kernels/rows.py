"""Rows as the kernels read them, and arrays that grow with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kiyas.arrays import dtype_name
from kiyas.kernels import _native

# Bytes the kernels may read past the last row of codes (kSlack in native/level.h).
SLACK = 128
_LINE = 64
# Rows whose codes lie together (kGroup).
GROUP = 16

_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3}


def native_rows(base: np.ndarray, tail: np.ndarray | None = None) -> Any:
    """Two runs of rows, (n, d) and (m, d) of one dtype, for the kernels; contiguous, never copied."""
    kind = _TYPES[dtype_name(base)]
    if tail is None:
        tail = np.empty((0, base.shape[1]), base.dtype)
    return _native.Rows(_bits(base), _bits(tail), kind)


def _bits(x: np.ndarray) -> np.ndarray:
    # The 16-bit floats cross as their bits: bfloat16 has no buffer format.
    x = np.asarray(x)
    return x.view(np.uint16) if x.dtype.itemsize == 2 else x


class Growing:
    """A one-dimensional array with room to grow; `used` is the part that holds something."""

    def __init__(self, dtype: Any, per_row: int = 1, slack: int = 0) -> None:
        self._per_row, self._slack = per_row, slack
        self._data = _aligned_zeros(slack, dtype)
        self._rows = 0

    def grow(self, rows: int) -> None:
        """Make room for that many rows; what is there is kept."""
        if rows <= self._rows:
            return
        if self._rows:  # a second time: with a quarter to spare, so that adding stays linear
            rows = max(rows, self._rows + self._rows // 4)
        fresh = _aligned_zeros(rows * self._per_row + self._slack, self._data.dtype)
        fresh[: self._rows * self._per_row] = self._data[: self._rows * self._per_row]
        self._data, self._rows = fresh, rows

    @property
    def data(self) -> np.ndarray:
        """The whole array, spare room included."""
        return self._data

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self._data.nbytes)


def _aligned_zeros(size: int, dtype: Any) -> np.ndarray:
    """Zeros that begin on a cache line: a wide load across two lines takes twice as long."""
    width = np.dtype(dtype).itemsize
    data = np.zeros(size * width + _LINE, np.uint8)
    start = -data.ctypes.data % _LINE
    return data[start : start + size * width].view(dtype)
