"""How an index answers under one measure: which scan, over which rows, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kiyas import kernels
from kiyas.arrays import Array, row_blocks, to_numpy
from kiyas.kernels.coordinate import CoordinateScan
from kiyas.kernels.inner import InnerScan
from kiyas.kernels.learned import LearnedScan
from kiyas.kernels.request import Found, Request
from kiyas.measures.base import Measure
from kiyas.measures.coordinate import CoordinateMeasure
from kiyas.measures.inner import InnerMeasure
from kiyas.measures.learned import Learned
from kiyas.measures.mapped import MappedMeasure
from kiyas.measures.user import UserInner, UserPair
from kiyas.search import plain
from kiyas.search.exact import Pairs, Queries, scores
from kiyas.search.rows import Rows

# A filter that leaves this share of the rows or less is answered by scoring them all.
_FEW = 0.02
# Survivors of a query, as a share of the rows, beyond which codes cost more than they save; never less than a few
# thousand rows or a few dozen for each hit wanted, which pass before the threshold has settled.
_GIVE_UP = 1 / 16
_AT_LEAST = 4096
_SURVIVORS = 64
# Searches in vain after which codes are not tried again; a k above a hundredth of the rows does not count.
_PATIENCE = 3
_LARGE_K = 100
# Pairs scored at a time.
_PAIRS = 1 << 22


@dataclass
class Asked:
    """What is asked of the rows: the k best, of which rows, from which score on."""

    k: int
    allowed: np.ndarray | None
    excluded: np.ndarray | None
    least: float
    threads: int


class View:
    """One measure over rows: mapped where the measure has a map, halved where it is learned."""

    def __init__(self, rows: Rows, measure: Measure) -> None:
        self.rows, self.measure = rows, measure
        self.base: Measure = measure.compared if isinstance(measure, MappedMeasure) else measure
        self._mapped: Rows | None = None
        self._halves: Rows | None = None
        self._scan: Any = None
        dims = int(measure.transform(_one_row(rows)).shape[1]) if isinstance(measure, MappedMeasure) else rows.dims
        dtype = "float32" if isinstance(measure, MappedMeasure) else rows.dtype
        if not rows.on_host:
            self.form, self.reason = None, "rows are on a device of their own, where a product answers"
        else:
            dims = self.base.hidden if isinstance(self.base, Learned) else dims
            self.form, self.reason = kernels.find(self.base, dtype, dims)
        self.given_up = ""
        self._in_vain = 0
        self._checked = rows.count

    @property
    def target(self) -> Rows:
        """The rows that the base measure compares."""
        if not isinstance(self.measure, MappedMeasure):
            return self.rows
        self._mapped = _derived(self.rows, self._mapped, self.measure.transform)
        return self._mapped

    def block(self) -> int:
        """Queries to answer at a time, so that memory stays bounded."""
        plain_coordinate = isinstance(self.base, CoordinateMeasure) and (self.form is None or bool(self.given_up))
        if self._unbounded or plain_coordinate:
            return max(1, _PAIRS // max(1, self.rows.count))
        return 512

    @property
    def path(self) -> str:
        """How candidates are found, and why so."""
        if self.form is None:
            return f"plain scan: {self.reason}"
        if self.given_up:
            return f"plain scan: {self.given_up}"
        return f"certified scan of {self.form.family} codes, level {kernels.levels()[kernels.level()]}"

    def check(self, X: Array) -> None:
        """Raise for new rows that the measure, its map or its first layer cannot take."""
        self.measure.check_rows(X, "vectors")
        if isinstance(self.measure, MappedMeasure):
            X = self.measure.transform(X)
        if isinstance(self.base, Learned):
            self.base.halves_b(X)

    def queries(self, q: Array) -> np.ndarray:
        """Queries as the base measure compares them: float64 on the host."""
        mapped = self.measure.transform_queries(q) if isinstance(self.measure, MappedMeasure) else q
        return np.ascontiguousarray(to_numpy(mapped).astype(np.float64))

    def search(self, values: np.ndarray, asked: Asked) -> tuple[Pairs, np.ndarray]:
        """Candidates of queries (m, d) and what they are ordered by."""
        if self._checked < self.rows.count:
            # Rows may have come through another index over the same rows, whose measure has another domain.
            fresh = self.rows.block(self._checked, self.rows.count)
            self.measure.check_rows(fresh, f"vectors[{self._checked}:]")
            self._checked = self.rows.count
        target = self.target
        halves = None
        if isinstance(self.base, Learned):
            self._halves = _derived(target, self._halves, self.base.halves_b, host=True)
            halves = (self._halves, to_numpy(self.base.halves_a(values)).astype(np.float64))
        queries = Queries.of(values)
        found = self._candidates(target, halves, queries, asked)
        return found, scores(self.base, target, halves, queries, found, asked.threads)

    def _candidates(self, target: Rows, halves: tuple[Rows, np.ndarray] | None, queries: Queries,
                    asked: Asked) -> Pairs:
        allowed, m = asked.allowed, queries.values.shape[0]
        left = target.count if allowed is None else int(np.count_nonzero(allowed))
        few = left <= max(_FEW * target.count, asked.k if asked.least == -np.inf else 0)
        if few or self._unbounded:
            return plain.everything(target.count, m, allowed, asked.excluded)
        if self.form is None or self.given_up:
            return self._plainly(target, halves, queries, asked)
        complete, offsets, rows = self._certified(target, halves, queries, asked)
        found = Pairs(offsets, rows)
        self._learn(complete, queries, asked)
        if complete.all():
            return found
        rest = np.flatnonzero(complete == 0)
        excluded = None if asked.excluded is None else asked.excluded[rest]
        scanned = self._plainly(target, None if halves is None else (halves[0], halves[1][rest]), queries.of_rows(rest),
                                replace(asked, excluded=excluded))
        return found.filled(rest, scanned)

    def _learn(self, complete: np.ndarray, queries: Queries, asked: Asked) -> None:
        """Give codes up for good after several searches in which they did not pay.

        A zero query, whose scores all tie, or a large k say nothing about the rows.
        """
        telling = (queries.norms2 > 0) & bool(asked.allowed is None and asked.k * _LARGE_K <= self.rows.count)
        if not telling.any():
            return
        self._in_vain = self._in_vain + 1 if np.mean(complete[telling] == 0) > 0.5 else 0
        if self._in_vain >= _PATIENCE:
            self.given_up = (f"the bounds left more than {_GIVE_UP:.0%} of the rows in {_PATIENCE} searches one after "
                             "another, so codes do not pay on these rows")

    def _plainly(self, target: Rows, halves: tuple[Rows, np.ndarray] | None, queries: Queries, asked: Asked) -> Pairs:
        if isinstance(self.base, CoordinateMeasure):
            if target.on_host:
                return self._raw(target, queries, asked)
            if self.base.threshold_value is not None or self.base.tiers_value is not None:
                # A score that jumps at a threshold is bounded by no rounding: the device's e^-δ may fall beside it.
                return plain.everything(target.count, queries.values.shape[0], asked.allowed, asked.excluded)
        return plain.candidates(self.base, target, halves, queries, asked.k, asked.allowed, asked.excluded, asked.least,
                                asked.threads)

    @property
    def _unbounded(self) -> bool:
        """Whether nothing is known that bounds the measure: a user's undeclared function."""
        return isinstance(self.base, UserPair) or (isinstance(self.base, UserInner) and not self.base.increasing)

    def _raw(self, target: Rows, queries: Queries, asked: Asked) -> Pairs:
        """Coordinate measures without codes: a compiled scan of the rows themselves, or all rows for a user's."""
        scan = self._coordinate_scan(target)
        if scan.form.profile is None:
            return plain.everything(target.count, queries.values.shape[0], asked.allowed, asked.excluded)
        request = Request(target.count, asked.k, asked.allowed, asked.excluded, -1, asked.threads)
        _, offsets, rows = scan.raw_candidates(target.native(), queries.values, queries.narrow, request, asked.least)
        return Pairs(offsets, rows)

    def _coordinate_scan(self, target: Rows) -> CoordinateScan:
        if self._scan is None:
            self._scan = CoordinateScan(self.base, target.dims)
        scan: CoordinateScan = self._scan
        return scan

    def _learned_scan(self) -> LearnedScan:
        if self._scan is None:
            self._scan = LearnedScan(self.base)
        scan: LearnedScan = self._scan
        return scan

    def _inner_scan(self) -> InnerScan:
        if self._scan is None:
            self._scan = InnerScan(self.form, self.base)
        scan: InnerScan = self._scan
        return scan

    def _certified(self, target: Rows, halves: tuple[Rows, np.ndarray] | None, queries: Queries, asked: Asked) -> Found:
        threads = asked.threads
        limit = int(max(_AT_LEAST, _SURVIVORS * asked.k, _GIVE_UP * target.count))
        request = Request(target.count, asked.k, asked.allowed, asked.excluded, limit, threads)
        if isinstance(self.base, InnerMeasure):
            return self._inner_scan().candidates(target.inner_codes(threads), queries.values, queries.norms2, request,
                                                 asked.least)
        if isinstance(self.base, Learned):
            assert halves is not None
            grid = halves[0].grid_codes(self._learned_scan().fold, threads)
            inner = target.inner_codes(threads) if self.base.alpha else None
            return self._learned_scan().candidates(grid, halves[1], inner, queries.values, queries.norms2, request,
                                                   asked.least)
        scan = self._coordinate_scan(target)
        return scan.candidates(target.grid_codes(scan.fold, threads), target.native(), queries.values, queries.narrow,
                               request, asked.least)

    def report(self, order: np.ndarray) -> np.ndarray:
        """Scores as hits show them, from what they are ordered by."""
        return np.asarray(self.base.report(order)) if isinstance(self.base, Learned) else order

    def least(self, score: float) -> float:
        """What a score shown is in the order: the logit of a learned score, a little below."""
        if not isinstance(self.base, Learned) or score == -np.inf:
            return score
        if score < 1e-300 or score >= 1:
            return -np.inf if score < 1 else 36.0
        # Many logits round to one score near 1: those are half a unit in its last place around.
        return float(np.log(score) - np.log1p(-score)) - 1e-6 - 2.0**-52 / (1 - score)

    @property
    def code_bytes(self) -> int:
        """Bytes of codes and mapped rows that this measure holds beside the vectors."""
        total = self.rows.code_bytes
        for derived in (self._mapped, self._halves):
            if derived is not None:
                total += derived.code_bytes + derived.count * derived.dims * 4
        return total


def _one_row(rows: Rows) -> Array:
    return rows.block(0, 1)


def _derived(rows: Rows, made: Rows | None, function: Any, host: bool = False) -> Rows:
    """Rows made from rows by a function of a block, brought up to date."""
    done = 0 if made is None else made.count
    for start, stop in row_blocks(rows.count - done, rows.dims):
        block = function(rows.block(done + start, done + stop))
        if host:
            block = to_numpy(block)
        if made is None:
            made = Rows(np.empty((0, block.shape[1]), np.float32) if isinstance(block, np.ndarray) else block)
            if not isinstance(block, np.ndarray):
                continue
        made.append(block)
    assert made is not None
    return made
