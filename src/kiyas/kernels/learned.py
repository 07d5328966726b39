"""Certified scan of the learned measure: bytes of the rows' halves, and the cosine's codes where α ≠ 0.

With |wᵢ| folded into the halves, Σ wᵢ·relu(uᵢ + vᵢ) is Σ ±(max(vᵢ, −uᵢ) + uᵢ): a byte maximum a unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kiyas.kernels import _native, level
from kiyas.kernels.coordinate import Fold, GridCodes
from kiyas.kernels.inner import InnerCodes
from kiyas.kernels.request import Found, Request


class LearnedScan:
    """The learned measure over codes of the rows' halves."""

    def __init__(self, measure: Any) -> None:
        second = measure.second
        # Units of positive weight first; a unit of weight 0 says nothing.
        order = np.concatenate([np.flatnonzero(second > 0), np.flatnonzero(second < 0)])
        self._positive = int(np.count_nonzero(second > 0))
        scale = np.abs(second[order])
        self.fold = Fold(order.astype(np.int64), scale, 0.0, True, False, b"", split=False)
        self._bias, self._alpha = float(measure.bias2), float(measure.alpha)

    def candidates(self, codes: GridCodes, halves: np.ndarray, inner: InnerCodes | None, queries: np.ndarray,
                   norms2: np.ndarray, request: Request, start: float) -> Found:
        """(complete, offsets, rows) for queries (m, d) with halves (m, h)."""
        found: Found = _native.scan_learned(level(), codes.grid, codes.native, self._positive, self.fold.rows(halves),
                                            self._bias, self._alpha, None if inner is None else inner.native,
                                            queries if inner is None else inner.turned(queries, request.threads),
                                            norms2, request.native(start))
        return found
