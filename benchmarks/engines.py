"""An engine: something that answers with the ids of the k best rows; and how many threads all of them get."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from timing import timed

K = 10


class Threads:
    """How many threads every engine may use, and a pool for those without threads of their own."""

    count = 1
    _pools: ClassVar[dict[int, ThreadPoolExecutor]] = {}
    _controllers: ClassVar[list] = []

    @classmethod
    def look(cls) -> None:
        """Find the BLAS and OpenMP libraries that are loaded by now; `allow` reaches only those."""
        with contextlib.suppress(ImportError):
            import threadpoolctl

            cls._controllers = threadpoolctl.ThreadpoolController().lib_controllers

    @classmethod
    def allow(cls, count: int) -> None:
        """BLAS, OpenMP, FAISS and torch run on ``count`` threads from now on. Takes microseconds."""
        cls.count = count
        for controller in cls._controllers:
            controller.set_num_threads(count)
        if "faiss" in sys.modules:
            sys.modules["faiss"].omp_set_num_threads(count)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(count)

    @classmethod
    def over(cls, work: Callable[[int, int], np.ndarray], rows: int, block: int) -> list[np.ndarray]:
        """``work(start, stop)`` of all blocks of rows, in order, on the threads."""
        pool = cls._pools.setdefault(cls.count, ThreadPoolExecutor(cls.count))
        return list(pool.map(lambda s: work(s, min(s + block, rows)), range(0, rows, block)))


@dataclass
class Engine:
    """``search(queries, setting)`` gives ids (m, k). ``settings`` are tried at the warm-up, on all threads allowed
    and on one, and the fastest is used; the first of them is the engine's default."""

    name: str
    library: str
    measure: str
    search: Callable[[np.ndarray, str], np.ndarray]
    settings: tuple[str, ...] = ("as it comes",)
    only_threaded: tuple[str, ...] = ()  # settings that are the default over again on one thread
    setting: str = ""
    threads: int = 1
    started: bool = False
    tried: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def warm_up(self, queries: np.ndarray, threads: int, patience: float = 1.5) -> float:
        """Choose the fastest setting and return its seconds. Every setting runs once to load its code and pages,
        and then again unless it is slow; one over twice slower than the best is not run again.

        Peers may choose one thread where two are allowed: their pools wait for the slower thread, which on a busy
        machine can cost more than the second one brings (not tried where a call is slow). kiyas runs on what it is
        allowed.
        """
        self.tried = {}
        least = np.inf
        self.threads, self.setting = threads, self.settings[0]
        if not self.started:  # what is built or loaded at the first call is no part of a search
            self(queries)
            self.started = True
        for count in (threads,) if self.library == "kiyas" else sorted({threads, 1}, reverse=True):
            for setting in self.settings:
                if count < threads and (self.tried[setting] > patience or setting in self.only_threaded):
                    continue
                self.threads, self.setting = count, setting
                seconds = timed(lambda: self(queries))
                if seconds < min(2 * least, patience):
                    seconds = min(seconds, *(timed(lambda: self(queries)) for _ in range(2)))
                self.tried[setting if count == threads else f"{setting}, one thread"] = seconds
                if seconds < least:
                    least, chosen = seconds, (count, setting)
        self.threads, self.setting = chosen
        return least

    def label(self, threads: int) -> str:
        """The setting in use, for a table."""
        return self.setting if self.threads == threads else f"{self.setting}, one thread"

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        if Threads.count != self.threads:
            Threads.allow(self.threads)
        return self.search(queries, self.setting)


def best(scores: np.ndarray, k: int = K) -> np.ndarray:
    """Ids of the k largest of each row of scores, best first."""
    k = min(k, scores.shape[1])
    top = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable")
    return np.take_along_axis(top, order, 1)
