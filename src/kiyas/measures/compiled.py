"""A user's function compiled through Numba, which is imported only here and only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kiyas.errors import MeasureError, missing_extra


class Compiled:
    """A user's function of numbers, compiled through Numba to a loop over blocks.

    ``address`` is a C function ``void(const double* in1, …, double* out, int64_t n)``; calling the
    object runs that very function on NumPy arrays, so both give the same values.
    """

    def __init__(self, function: Callable[..., Any], inputs: int) -> None:
        try:
            import numba  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            raise missing_extra("numba", "numba", "compiled=True") from None
        # The error model of NumPy, because Python's would raise inside the scan on 1/0.
        scalar = numba.njit(function, error_model="numpy")
        pointer = numba.types.CPointer(numba.types.float64)
        form = numba.types.void(*[pointer] * (inputs + 1), numba.types.int64)
        loop = _loop_of_three(scalar) if inputs == 3 else _loop_of_one(scalar)
        try:
            self._entry = numba.cfunc(form, error_model="numpy")(loop)
        except numba.core.errors.NumbaError as error:
            first = str(error).strip().splitlines()[0]
            raise MeasureError(f"{getattr(function, '__name__', 'function')}: Numba cannot compile it ({first}); "
                               "write it for single numbers, or leave out compiled=True") from error
        self.address: int = self._entry.address
        self._inputs = inputs

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        import ctypes

        held = [np.ascontiguousarray(a, dtype=np.float64) for a in arrays]
        out = np.empty(held[0].shape)
        double = ctypes.POINTER(ctypes.c_double)
        self._entry.ctypes(*[a.ctypes.data_as(double) for a in (*held, out)], out.size)
        return out


def _loop_of_three(scalar: Any) -> Callable[..., None]:
    def loop(p, a2, b2, out, n):  # type: ignore[no-untyped-def]
        for i in range(n):
            out[i] = scalar(p[i], a2[i], b2[i])

    return loop


def _loop_of_one(scalar: Any) -> Callable[..., None]:
    def loop(delta, out, n):  # type: ignore[no-untyped-def]
        for i in range(n):
            out[i] = scalar(delta[i])

    return loop
