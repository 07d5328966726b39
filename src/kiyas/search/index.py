"""The index: vectors, ids and a measure; exact top-k under it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np

from kiyas import kernels
from kiyas.arrays import Array, count, is_numpy, matrix, number, to_numpy, vector
from kiyas.errors import InputError, message
from kiyas.measures import measure as make_measure
from kiyas.measures.base import Measure
from kiyas.measures.user import UserCoordinate, UserInner
from kiyas.search.exact import Pairs, select
from kiyas.search.explain import Explanation, explain
from kiyas.search.hits import Hits
from kiyas.search.rows import Ids, Rows, checked_rows, listed_ids, require_squares
from kiyas.search.scan import Asked, View

_MOST_THREADS = 1024


class Index:
    """Exact search over vectors under any measure.

    Parameters: ``vectors`` (n, d), float16, bfloat16, float32 or float64, kept as given: a NumPy array or memory
    map (contiguous ones are not copied), or a PyTorch or CuPy array, which stays on its device.
    ``measure``: a name such as ``"ndd"`` or ``"exponential(trim=0.1)"``, a measure, or your function; one that
    needs fitting is fitted on these rows. ``ids``: different integers from 0 or texts; without them a row's id
    is its number.

    Raises `InputError` for empty, misshapen or non-finite vectors (naming the row) and repeated ids,
    `DomainError` where a row lies outside the measure's domain.

    >>> import numpy as np
    >>> index = Index(np.eye(3, dtype=np.float32), measure="cosine")
    >>> index.search([1.0, 0.5, 0.0], k=2).ids.tolist()
    [[0, 1]]
    """

    def __init__(self, vectors: Array, measure: str | Measure | Callable[..., Any] = "cosine",
                 ids: Iterable[Any] | None = None) -> None:
        X = checked_rows(vectors, "Index")
        rows = Rows(X)
        self._open(rows, Ids(ids, rows.count), make_measure(measure))

    def _open(self, rows: Rows, ids: Ids, measure: Measure, fitted_on: int | None = None) -> None:
        self._rows, self._ids = rows, ids
        self._fitted_on = rows.count if fitted_on is None else fitted_on
        if not measure.fitted:
            measure = measure.fit(self._live_block())
        measure.check_rows(rows.base, "vectors")
        if rows.on_host and rows.count > rows.base.shape[0]:
            measure.check_rows(rows.tail, "vectors")
        self._view = View(rows, measure)

    # -- what it is --------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._ids.length

    @property
    def measure(self) -> Measure:
        """The measure, fitted."""
        return self._view.measure

    @property
    def dims(self) -> int:
        """Dimensions of a vector."""
        return self._rows.dims

    @property
    def ids(self) -> np.ndarray:
        """Ids of the rows, in the order of rows; boolean filters follow it."""
        return self._ids.all()

    @property
    def vectors(self) -> Array:
        """The rows, (n, d), in the order of `ids`: without a copy where none was removed or added."""
        return self._live_block()

    @property
    def info(self) -> dict[str, Any]:
        """Facts about the index, for people and machines.

        ``later`` counts rows added after the measure was fitted; `refit` fits it on all rows.
        """
        return {
            "rows": len(self),
            "dims": self.dims,
            "dtype": self._rows.dtype,
            "measure": str(self.measure),
            "later": self._rows.count - self._fitted_on,
            "ids": "given" if self._ids.given else "row numbers",
            "path": self._view.path,
            "code_bytes": self._view.code_bytes,
            "memory_mapped": is_numpy(self._rows.base) and _mapped(self._rows.base),
        }

    def __repr__(self) -> str:
        return f"<kiyas.Index of {len(self)} × {self.dims} {self._rows.dtype} under {self.measure}>"

    # -- searching ---------------------------------------------------------------------------------

    def search(self, queries: Array, k: int | None = 10, filter: Any = None, min_score: float | None = None,
               threads: int | None = None) -> Hits:
        """The k most alike rows of each query, exactly, best first; ties go to the earlier row.

        Parameters: ``queries`` (m, d), or (d,) for one; ``k`` from 1 to the number of rows, or None for all rows
        that reach ``min_score``; ``filter``, a boolean array over `ids` or the ids to search among;
        ``min_score``, the least score to answer with; ``threads``, all processors by default.

        Returns `Hits`, two-dimensional for one query too. A filter or ``min_score`` that leaves fewer than k rows
        ends a row of hits with id −1 (None where ids are texts) and NaN.

        Raises `InputError` for wrong shapes, NaN, a ``k`` larger than the index, unknown ids in the filter.
        """
        q = self._queries(queries)
        threads = kernels.default_threads() if threads is None else count(threads, "threads", "Index.search", 1,
                                                                          _MOST_THREADS)
        least = _least(min_score, "Index.search")
        if k is None:
            if min_score is None:
                raise InputError(message("Index.search", "k", "given where min_score is not", "None"))
        else:
            k = count(k, "k", "Index.search", 1, len(self))
        allowed = self._allowed(filter)
        return self._answer(self._view.queries(q), k, allowed, None, least, threads)

    def neighbours(self, ids: Iterable[Any], k: int = 10, filter: Any = None, min_score: float | None = None,
                   threads: int | None = None) -> Hits:
        """Search by rows of the index, each left out of its own answer; see `search`.

        >>> index = Index(np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))
        >>> index.neighbours([0], k=1).ids.tolist()
        [[1]]
        """
        rows = self._ids.rows_of(ids, "Index.neighbours")
        if rows.size == 0:
            raise InputError(message("Index.neighbours", "ids", "at least one id", "none"))
        k = count(k, "k", "Index.neighbours", 1, len(self) - 1, "a row is not its own neighbour")
        threads = kernels.default_threads() if threads is None else count(threads, "threads", "Index.neighbours", 1,
                                                                          _MOST_THREADS)
        least = _least(min_score, "Index.neighbours")
        values = self._view.queries(self._rows.take(rows))
        return self._answer(values, k, self._allowed(filter), rows.astype(np.int64), least, threads)

    def _queries(self, queries: Array) -> Array:
        if not hasattr(queries, "ndim"):
            try:
                queries = np.asarray(queries)
            except (ValueError, TypeError):
                matrix(queries, "queries", "Index.search")  # says what it is
        if queries.ndim == 1:
            q = vector(queries, "queries", "Index.search", dims=self.dims)[None, :]
        else:
            q = matrix(queries, "queries", "Index.search", dims=self.dims)
        self.measure.check_rows(require_squares(q, "queries", "Index.search"), "queries")
        return q

    def _allowed(self, chosen: Any) -> np.ndarray | None:
        """uint8 over all rows, 0 for those to leave out; None where all count."""
        live = self._ids.live
        if chosen is None:
            return None if live is None else live.astype(np.uint8)
        chosen = to_numpy(chosen) if hasattr(chosen, "dtype") else listed_ids(chosen, "Index.search", "filter")
        allowed = np.zeros(self._rows.count, np.uint8)
        given = isinstance(chosen, np.ndarray)
        if chosen.dtype == bool if given else len(chosen) > 0 and isinstance(chosen[0], (bool, np.bool_)):
            mask = np.asarray(chosen, dtype=bool)
            if mask.shape != (len(self),):
                raise InputError(message("Index.search", "filter", f"ids, or a boolean array of length {len(self)}",
                                         f"booleans of shape {mask.shape}"))
            rows = np.arange(self._rows.count) if live is None else np.flatnonzero(live)
            allowed[rows[mask]] = 1
        else:
            allowed[self._ids.rows_of(chosen, "Index.search", "filter")] = 1
        return allowed

    def _answer(self, values: np.ndarray, k: int | None, allowed: np.ndarray | None, excluded: np.ndarray | None,
                least: float, threads: int) -> Hits:
        wanted = len(self) if k is None else k
        asked_least = self._view.least(least)
        step = self._view.block()
        parts = []
        for start in range(0, values.shape[0], step):
            stop = min(start + step, values.shape[0])
            own = None if excluded is None else excluded[start:stop]
            pairs, order = self._view.search(values[start:stop], Asked(wanted, allowed, own, asked_least, threads))
            parts.append(self._hits(pairs, order, wanted, least))
        rows = _joined([p[0] for p in parts], -1, k)
        scores = _joined([p[1] for p in parts], np.nan, k)
        measure = self._view.base
        declared = (isinstance(measure, UserInner) and measure.increasing) or isinstance(measure, UserCoordinate)
        return Hits(self._named(rows), scores, np.concatenate([p[2] for p in parts]), self._view.path, declared)

    def _hits(self, pairs: Pairs, order: np.ndarray, k: int, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts = pairs.counts
        if least > -np.inf and pairs.rows.size:
            reached = self._view.report(order) >= least
            offsets = np.concatenate([[0], np.cumsum(reached)])[pairs.offsets]
            pairs, order = Pairs(offsets, pairs.rows[reached]), order[reached]
        width = max(1, min(k, int(pairs.counts.max(initial=0))))
        chosen, good = select(pairs, order, width)
        if pairs.rows.size == 0:
            return np.full(chosen.shape, -1), np.full(chosen.shape, np.nan), counts
        scores = np.where(good, self._view.report(order)[chosen], np.nan)
        return np.where(good, pairs.rows[chosen], -1), np.where(good, scores, np.nan), counts

    def _named(self, rows: np.ndarray) -> np.ndarray:
        if not self._ids.given:
            return rows
        ids = self._ids.of(np.maximum(rows, 0))
        missing: Any = -1 if self._ids.numbered else None
        return np.where(rows >= 0, ids, missing)

    # -- other measures, explanation ---------------------------------------------------------------

    def using(self, measure: str | Measure | Callable[..., Any]) -> Index:
        """The same rows under another measure; vectors, ids and codes are shared, not copied.

        Rows added or removed through one are added or removed for all.
        """
        other = object.__new__(Index)
        other._open(self._rows, self._ids, make_measure(measure))
        return other

    def explain(self, query: Array, id: Any) -> Explanation:
        """What each dimension contributed to the score of a query and a row; see `Explanation`."""
        q = self._queries(vector(query, "query", "Index.explain", dims=self.dims))
        row = self._ids.rows_of([id], "Index.explain", "id")
        return explain(self._view, q, row)

    # -- changing rows -----------------------------------------------------------------------------

    def add(self, vectors: Array, ids: Iterable[Any] | None = None) -> np.ndarray:
        """Add rows and return their ids; the measure stays as it was fitted until `refit`.

        The new rows are stored in the dtype of the others; a memory map is not written to.
        """
        X = self._fresh(vectors, "Index.add")
        given = None if ids is None else listed_ids(ids, "Index.add", "ids")
        fresh = self._ids.append(given, int(X.shape[0]), "Index.add")
        self._rows.append(X)
        return fresh

    def remove(self, ids: Iterable[Any]) -> None:
        """Remove rows; their ids are free again, their numbers are not used again."""
        rows = self._ids.rows_of(ids, "Index.remove")
        if np.unique(rows).size >= len(self):
            raise InputError(message("Index.remove", "ids", "fewer than all rows, as an index cannot be empty",
                                     f"{rows.size} of {len(self)}"))
        self._ids.remove(rows)

    def replace(self, ids: Iterable[Any], vectors: Array) -> None:
        """Give rows new vectors under their old ids. In ties they count as the latest rows."""
        listed = listed_ids(ids, "Index.replace", "ids")
        rows = self._ids.rows_of(listed, "Index.replace")
        X = self._fresh(vectors, "Index.replace")
        if X.shape[0] != len(listed) or np.unique(rows).size != rows.size:
            raise InputError(message("Index.replace", "vectors", f"of {len(listed)} rows, one for each different id",
                                     f"{X.shape[0]}"))
        self._rows.append(X)
        self._ids.remove(rows)
        self._ids.append(listed, len(listed), "Index.replace")

    def refit(self) -> Self:
        """Fit the measure again, on the rows as they are now."""
        self._view = View(self._rows, self.measure.fit(self._live_block()))
        self._fitted_on = self._rows.count
        return self

    def _fresh(self, vectors: Array, owner: str) -> Array:
        X = self._rows.stored(matrix(vectors, "vectors", owner, dims=self.dims), owner)
        self._view.check(require_squares(X, "vectors", owner))
        return X

    def _live_block(self) -> Array:
        live = self._ids.live
        if live is None and (not self._rows.on_host or self._rows.count == self._rows.base.shape[0]):
            return self._rows.base
        return self._rows.take(np.arange(self._rows.count) if live is None else np.flatnonzero(live))

    # -- files -------------------------------------------------------------------------------------

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write the index to a directory: vectors, codes' measure and ids; see `kiyas.search.store`."""
        from kiyas.search.store import save

        save(self, directory)

    @classmethod
    def load(cls, directory: str | os.PathLike[str], measure: str | Measure | Callable[..., Any] | None = None,
             mmap: bool = True, verify: bool = True) -> Index:
        """Read an index. ``measure``: the function of a saved measure of your own, or another measure to use.

        With ``mmap`` the vectors stay in the file and only codes take memory; ``verify=False`` spares reading them
        once to check that nothing was altered. Raises `FileError` naming the file that is missing, altered or newer
        than this kiyas.
        """
        from kiyas.search.store import load

        return load(cls, directory, measure, mmap, verify)


def _least(min_score: float | None, owner: str) -> float:
    if min_score is None:
        return -np.inf
    return number(min_score, "min_score", owner, "a finite number", -np.inf, np.inf, open_low=True, open_high=True)


def _mapped(x: Any) -> bool:
    while x is not None:
        if isinstance(x, np.memmap):
            return True
        x = getattr(x, "base", None)
    return False


def _joined(parts: list[np.ndarray], filler: float, k: int | None) -> np.ndarray:
    """Rows of different widths under each other, filled up to k columns (or to the widest)."""
    width = max(p.shape[1] for p in parts) if k is None else k
    if len(parts) == 1 and parts[0].shape[1] == width:
        return parts[0]
    out = np.full((sum(p.shape[0] for p in parts), width), filler, dtype=parts[0].dtype)
    at = 0
    for p in parts:
        out[at : at + p.shape[0], : p.shape[1]] = p
        at += p.shape[0]
    return out
