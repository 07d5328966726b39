"""The cases: which engines meet over which rows, threads and batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import checks
import numpy as np
import peers
from data import QUERIES, Collection
from engines import Engine, K, Threads
from timing import interleave

import kiyas
from kiyas.measures.learned import Learned

INNER = ("dot", "cosine", "euclidean", "angular", "ndd", "log_scaled", "hybrid", "tanimoto", "dice",
         "tempered_cosine(beta=0.5)", "poincare")
SOME_INNER = ("dot", "cosine", "ndd")
HIDDEN = 128
TRIM = 0.1


@dataclass(frozen=True)
class Effort:
    """How much to measure: repetitions of an engine, and the seconds it may use in a case."""

    repetitions: int = 11
    seconds: float = 2.5
    pause: float = 0.04


class Bench:
    """One collection: its rows, kiyas' index over them, and cases run on it."""

    def __init__(self, collection: Collection, effort: Effort) -> None:
        self.collection, self.effort = collection, effort
        self.X, self.Q = collection.make()
        self.index = kiyas.Index(self.X, "dot")
        self.missing: set[str] = set()
        self.learned: Learned | None = None
        self._made: dict[str, list[Engine]] = {}
        self._ball: kiyas.Index | None = None
        self._verified: dict[str, str] = {}

    # -- engines -----------------------------------------------------------------------------------

    def ours(self, measure: Any, label: str = "") -> Engine:
        """kiyas under a measure; Poincaré over the rows scaled into the ball, as it takes no others."""
        name = label or str(measure)
        view = self._in_ball() if measure == "poincare" else self.index.using(measure)
        factor = self._shrink if measure == "poincare" else None

        def search(queries: np.ndarray, _setting: str) -> np.ndarray:
            hits = view.search(queries if factor is None else queries * factor, k=K, threads=Threads.count)
            engine.note = hits.path
            engine.rescored = float(np.median(hits.rescored))
            return hits.ids

        engine = Engine(f"kiyas {name}", "kiyas", name, search)
        engine.view, engine.factor = view, factor
        return engine

    @property
    def _shrink(self) -> np.float32:
        longest = max(np.linalg.norm(a, axis=1).max() for a in (self.X, self.Q))
        return np.float32(0.9 / longest)

    def _in_ball(self) -> kiyas.Index:
        if self._ball is None:
            self._ball = kiyas.Index(self.X * self._shrink, "poincare")
        return self._ball

    def peers(self, kind: str) -> list[Engine]:
        """Peers of a kind, made once."""
        if kind not in self._made:
            made = {
                "product": lambda: peers.of_products(self.X),
                "manhattan": lambda: peers.of_manhattan(self.X),
            }[kind]()
            self._made[kind] = made[0]
            self.missing |= set(made[1])
        return self._made[kind]

    # -- cases -------------------------------------------------------------------------------------

    def inner(self, threads: int, batch: int, measures: tuple[str, ...] = INNER) -> dict:
        """Inner measures beside peers' inner product and L2, which is less than what most of ours compute."""
        return self._run("inner", threads, batch, [self.ours(m) for m in measures], self.peers("product"))

    def manhattan(self, threads: int, batch: int) -> dict:
        """Manhattan beside peers' L1."""
        return self._run("manhattan", threads, batch, [self.ours("manhattan")], self.peers("manhattan"))

    def exponential(self, threads: int, batch: int, bandwidth: float = 1.0) -> dict:
        """Trimmed exponential beside kiyas' manhattan and NumPy."""
        text = f"exponential(trim={TRIM}, bandwidth={bandwidth})"
        return self._run("exponential", threads, batch, [self.ours(text), self.ours("manhattan")],
                         [peers.numpy_exponential(self.X, TRIM, bandwidth)])

    def learn(self, threads: int, batch: int, narrow: Bench) -> dict:
        """A learned measure beside kiyas' manhattan over rows of as many dimensions as it has hidden units."""
        rng = np.random.default_rng(7)
        dims = self.X.shape[1]
        first = [rng.standard_normal((HIDDEN, dims)) / np.sqrt(dims) for _ in range(2)]
        self.learned = Learned(*first, 0.1 * rng.standard_normal(HIDDEN), rng.standard_normal(HIDDEN))
        other = narrow.ours("manhattan", f"manhattan, {HIDDEN} dimensions")
        return self._run("learned", threads, batch, [self.ours(self.learned, "learned")],
                         [peers.numpy_learned(self.X, self.learned)], [(other, narrow.Q)])

    def user(self, threads: int, batch: int) -> dict:
        """A user's formula, in NumPy and through Numba, beside the same formula built in."""
        engines = [self.ours("ndd")]
        engines.append(self.ours(kiyas.user_measure(own_ndd, increasing=True), "user's ndd, NumPy"))
        try:
            engines.append(self.ours(kiyas.user_measure(own_ndd, increasing=True, compiled=True), "user's ndd, Numba"))
        except kiyas.MissingExtraError:
            self.missing.add("numba")
        return self._run("user", threads, batch, engines, [])

    def _run(self, case: str, threads: int, batch: int, ours: list[Engine], others: list[Engine],
             guests: list[tuple[Engine, np.ndarray]] | None = None) -> dict:
        """Warm up, check, and let all take turns. Guests are kiyas over other rows with other queries."""
        places = QUERIES // batch
        queries = {id(e): self.Q for e in (*ours, *others)} | {id(e): q for e, q in guests or []}
        every = [*ours, *others, *(e for e, _ in guests or [])]

        def part(engine: Engine, call: int) -> np.ndarray:
            at = call % places * batch
            return np.ascontiguousarray(queries[id(engine)][at : at + batch])

        Threads.look()
        Threads.allow(threads)
        first = {e.name: e.warm_up(part(e, 0), threads) for e in every}
        checked = self._check(ours, others, min(batch, 16))
        times = interleave({e.name: (lambda call, e=e: e(part(e, call))) for e in every}, first,
                           self.effort.repetitions, self.effort.seconds, self.effort.pause)
        entries = []
        for e in every:
            entry = {"name": e.name, "library": e.library, "measure": e.measure, "setting": e.label(threads),
                     "tried_ms": {s: 1e3 * t for s, t in e.tried.items()}, "least_ms": 1e3 * times.least(e.name),
                     "median_ms": 1e3 * times.median(e.name), "repetitions": times.count(e.name),
                     "checked": checked.get(e.name, "")}
            if e.library == "kiyas":
                entry |= _work(e, batch) | {"path": e.note, "rescored": e.rescored}
            entries.append(entry)
        mine = [e.name for e in every if e.library == "kiyas"]
        return {"case": case, "collection": self.collection.name, "kind": self.collection.kind,
                "rows": self.X.shape[0], "dims": self.X.shape[1], "threads": threads, "batch": batch,
                "entries": entries,
                "ratios": {a.name: {b: times.ratio(a.name, b) for b in mine if b != a.name} for a in every},
                "ratios_of_least": {a.name: {b: times.ratio_of_least(a.name, b) for b in mine if b != a.name}
                                    for a in every}}

    def _check(self, ours: list[Engine], others: list[Engine], count: int) -> dict[str, str]:
        """Peers' ids beside kiyas' under the same measure; kiyas' own beside the formula over all rows."""
        q, out = self.Q[:count], {}
        for peer in others:
            mine = next((e for e in ours if e.measure == peer.measure), None) or self.ours(peer.measure)
            out[peer.name] = checks.compare(peer.measure, self.X, q, mine(q), peer(q), self.learned)
        for e in ours:
            if e.name not in self._verified:
                scale = 1 if e.factor is None else e.factor
                self._verified[e.name] = checks.verify(e.view.measure, self.X * scale, q[:2] * scale, e(q[:2]))
            out[e.name] = self._verified[e.name]
        return out


def _work(engine: Engine, batch: int) -> dict:
    """What a scan of all codes takes at least: read once a batch, each met by every query."""
    codes = len(engine.view) * (HIDDEN if engine.measure == "learned" else engine.view.dims)
    kind = "dots" if "inner" in engine.note else "differences"
    return {"bytes": codes, "operations": codes * batch, "operation": kind}


def own_ndd(p, a2, b2):
    """What a user may write: ndd, for NumPy arrays and, through Numba, for single numbers."""
    return p / np.sqrt((a2 + b2) / 2)
