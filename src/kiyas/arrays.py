"""What comes in at the door: checks, array namespace, dtype, blocks of rows.

Arrays of NumPy, PyTorch, CuPy, JAX or any other array-API library are taken as they are; nothing
here copies unless a dtype has to change. Every check raises `InputError` from one template.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import array_api_compat
import numpy as np

from kiyas.errors import InputError, message

# Any array-API array. The libraries share no base class, so the type is named for the reader only.
Array = Any

_FAR = 1 << 30
# A few queries need not go through the blocks of a collection.
_SMALL = 1 << 16

FLOAT_NAMES = ("float16", "bfloat16", "float32", "float64")


def namespace(*arrays: Array) -> Any:
    """The array-API namespace shared by the arrays (NumPy for lists and scalars)."""
    known = [a for a in arrays if array_api_compat.is_array_api_obj(a)]
    return array_api_compat.array_namespace(*known) if known else array_api_compat.array_namespace(np.empty(0))


def dtype_name(x: Array) -> str:
    """The dtype as a bare name: ``float32`` for ``torch.float32`` and ``dtype('float32')`` alike."""
    return _numpy_name(x.dtype) if isinstance(x, np.ndarray) else _bare_name(x.dtype)


def _bare_name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype)).rsplit(".", 1)[-1]


# NumPy takes a microsecond to find the name. Of NumPy's dtypes alone: a cache compares its keys, and dtypes of several
# libraries are not to be compared.
_numpy_name = cache(_bare_name)


def is_numpy(x: Array) -> bool:
    """Whether the array is a plain NumPy array (memory maps included)."""
    return isinstance(x, np.ndarray)


def to_numpy(x: Array) -> np.ndarray:
    """The array on the host as NumPy, without a copy where the library allows it."""
    if isinstance(x, np.ndarray):
        return x
    if array_api_compat.is_torch_array(x):
        x = x.detach().cpu()
        return np.asarray(x.float() if dtype_name(x) == "bfloat16" else x)
    if array_api_compat.is_cupy_array(x):
        return np.asarray(x.get())
    return np.asarray(x)


def float64(xp: Any, x: Array) -> Array:
    """The array in float64, on the device it is on."""
    return x if dtype_name(x) == "float64" else xp.astype(x, xp.float64)


def matrix(x: Array, name: str, owner: str, dims: int | None = None, finite: bool = True) -> Array:
    """Check that ``x`` is a (rows, dims) array of floats and return it, integers turned to float64.

    Lists become NumPy arrays. Raises `InputError` naming the argument for anything else, for an
    empty array and, with ``finite``, for the first row that holds NaN or infinity.
    """
    return _checked(x, name, owner, 2, dims, finite)


def vector(x: Array, name: str, owner: str, dims: int | None = None, finite: bool = True) -> Array:
    """Check that ``x`` is a (dims,) array of floats and return it; see `matrix`."""
    return _checked(x, name, owner, 1, dims, finite)


def _checked(x: Array, name: str, owner: str, ndim: int, dims: int | None, finite: bool) -> Array:
    shape = "(rows, dims)" if ndim == 2 else "(dims,)"
    wanted = f"a {ndim}-D array of floats, shape {shape}"
    if not array_api_compat.is_array_api_obj(x):
        x = _from_python(x, name, owner, wanted)
    if x.ndim != ndim:
        raise InputError(message(owner, name, wanted, f"shape {tuple(x.shape)}"))
    x = _as_float(x, name, owner, wanted)
    if x.shape[-1] == 0 or x.shape[0] == 0:
        raise InputError(message(owner, name, wanted + " with at least one row and one dimension",
                                 f"shape {tuple(x.shape)}"))
    if dims is not None and x.shape[-1] != dims:
        raise InputError(message(owner, name, f"of {dims} dimensions", f"{x.shape[-1]}"))
    if finite:
        require_finite(x, name, owner)
    return x


def _from_python(x: object, name: str, owner: str, wanted: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except (ValueError, TypeError) as error:
        raise InputError(message(owner, name, wanted, f"{type(x).__name__} that is no array ({error})")) from None


def _as_float(x: Array, name: str, owner: str, wanted: str) -> Array:
    dtype = dtype_name(x)
    if dtype in FLOAT_NAMES:
        return x
    if dtype.startswith(("int", "uint")):
        return float64(namespace(x), x)
    raise InputError(message(owner, name, wanted, f"dtype {dtype}"))


def require_finite(x: Array, name: str, owner: str) -> None:
    """Raise `InputError` naming the first row that holds NaN or infinity.

    Rows are looked at in blocks, so a memory map is never read into memory at once.
    """
    if is_numpy(x) and x.size <= _SMALL and np.isfinite(x).all():
        return
    xp = namespace(x)
    if x.ndim == 1:
        if not bool(xp.all(xp.isfinite(x))):
            raise InputError(message(owner, name, "finite", "NaN or infinity"))
        return
    for start, stop in row_blocks(x.shape[0], x.shape[1]):
        good = xp.all(xp.isfinite(x[start:stop, :]), axis=1)
        if not bool(xp.all(good)):
            row = start + int(xp.argmin(xp.astype(good, xp.int8)))
            raise InputError(message(owner, name, "finite", f"NaN or infinity in row {row}",
                                     "drop or repair that row"))


def row_blocks(rows: int, width: int, elements: int = 1 << 20) -> Iterator[tuple[int, int]]:
    """Consecutive (start, stop) over ``rows``, each block holding about ``elements`` numbers.

    >>> list(row_blocks(5, 4, elements=8))
    [(0, 2), (2, 4), (4, 5)]
    """
    step = max(1, elements // max(1, width))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def count(value: object, name: str, owner: str, low: int, high: int, cure: str = "") -> int:
    """Check that ``value`` is an integer from ``low`` to ``high`` and return it as ``int``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        # A limit that nobody comes near is named to whoever went over it.
        near = high < _FAR or (isinstance(value, (int, np.integer)) and value > high)
        raise InputError(message(owner, name, f"an integer from {low}" + (f" to {high}" if near else ""), repr(value),
                                 cure))
    return int(value)


def number(value: object, name: str, owner: str, allowed: str, low: float, high: float,
           *, open_low: bool = False, open_high: bool = False) -> float:
    """Check that ``value`` is a finite number within the bounds and return it as ``float``."""
    ok = isinstance(value, (int, float, np.floating, np.integer)) and not isinstance(value, bool)
    if ok:
        v = float(value)  # type: ignore[arg-type]
        ok = (low < v if open_low else low <= v) and (v < high if open_high else v <= high)
    if not ok:
        raise InputError(message(owner, name, allowed, repr(value)))
    return v
