"""Where a dense product is largest, at a quarter of the bytes of computing it: exact search, for a vocabulary."""

from __future__ import annotations

import numpy as np

from kiyas.errors import InputError, message
from kiyas.kernels import _native
from kiyas.kernels.recurrent import MOST_CODED, Linear, all_finite


class Argmax:
    """The place of the largest of W·x + b, as `Linear` would give it, without reading all of W.

    A first look by weights of 8 bits gives each output with a bound on its error; only outputs that may be the largest
    by these bounds are computed (docs/recurrent-speed.md). Parameters: ``linear``, of float32 weights; ``weights``
    (outputs, inputs) and ``bias`` (outputs,) or None, those it was made of. Raises `InputError` for weights that are
    not finite, for other precisions and for more than 130000 inputs.

    >>> weights = np.array([[1, 0], [0, 2], [1, 1]], np.float32)
    >>> argmax = Argmax(Linear(weights), weights)
    >>> argmax(np.array([1, 3], np.float32))
    1
    """

    def __init__(self, linear: Linear, weights: np.ndarray, bias: np.ndarray | None = None) -> None:
        if linear.precision != "float32" or linear.inputs > MOST_CODED:
            raise InputError(message("Argmax", "linear", f"of float32 weights and up to {MOST_CODED} inputs",
                                     f"{linear.precision} and {linear.inputs} inputs"))
        w = np.ascontiguousarray(weights, np.float32)
        b = None if bias is None else np.ascontiguousarray(bias, np.float32)
        if w.shape != (linear.outputs, linear.inputs) or (b is not None and b.shape != w.shape[:1]):
            raise InputError(message("Argmax", "weights", f"of shape ({linear.outputs}, {linear.inputs})",
                                     f"shape {w.shape}"))
        if not all_finite(w) or (b is not None and not all_finite(b)):
            raise InputError(message("Argmax", "weights", "finite", "NaN or infinity"))
        self.inputs = linear.inputs
        self._native = _native.Argmax(linear._native, w, b)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and their bounds, beside those of the product."""
        return int(self._native.bytes)

    def __call__(self, x: np.ndarray) -> int | None:
        """The place of the largest output for x (inputs,) float32.

        None where that is not certain: another output is within 1e-6, so that a softmax may make them equal, or sums
        may overflow. All outputs tell, then.
        """
        if x.shape != (self.inputs,):
            raise InputError(message("Argmax", "x", f"of shape ({self.inputs},)", f"shape {x.shape}"))
        found: int = self._native.call(np.ascontiguousarray(x, np.float32))
        return None if found < 0 else found
