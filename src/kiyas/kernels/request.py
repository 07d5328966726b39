"""What a scan is asked for, whatever the family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.kernels import _native

# (complete, offsets, rows): uint8 (m,), 0 for queries that were given up and have no rows here; query j goes with
# rows[offsets[j]:offsets[j+1]], ascending.
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Request:
    """The k best of ``rows`` rows.

    ``allowed``: uint8 (rows,), 0 for rows to leave out, or None; ``excluded``: a row to leave out for each
    query, −1 for none, or None; ``limit``: survivors after which a query is given up; −1 for no limit.
    """

    rows: int
    k: int
    allowed: np.ndarray | None
    excluded: np.ndarray | None
    limit: int
    threads: int

    def native(self, start: float) -> Any:
        """For the compiled scan, with the threshold to begin with."""
        return _native.Scan(self.rows, self.k, self.allowed, self.excluded, start, self.limit, self.threads)
