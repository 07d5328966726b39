"""Pair tasks: do similarities of two texts follow what a person said of them?

Scores (STS: how alike, a number) are followed in order, by Spearman's and Pearson's correlation; labels (1 the same, 0
not) are found, by average precision. A threshold on the scores is not needed for either.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.encode.files import csv_records, jsonl_records, read_text
from kiyas.errors import FileError, InputError, KiyasError, message
from kiyas.evaluate.contenders import UNIT_NORM_NOTE, contenders, have_unit_norm
from kiyas.evaluate.evaluation import Measures, named_measures
from kiyas.evaluate.rankings import Ranking, rank_alike
from kiyas.evaluate.tables import Table
from kiyas.measures import measure as make_measure
from kiyas.measures.base import Measure
from kiyas.metrics import Interval, pair_average_precision, pearson, spearman

_NAMES = (("sentence1", "sentence2", "score"), ("text1", "text2", "score"), ("sent1", "sent2", "labels"),
          ("sentence1", "sentence2", "label"), ("text1", "text2", "label"))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Texts ``first`` and ``second``, and what a person said of each pair: ``gold`` (pairs,) float64."""

    first: list[str]
    second: list[str]
    gold: np.ndarray

    @property
    def labelled(self) -> bool:
        """Whether gold is a label, 0 or 1, rather than a score."""
        return bool(np.isin(self.gold, (0, 1)).all())


@dataclass(frozen=True)
class PairResult:
    """What one measure reached.

    ``metrics`` {name: value}; ``difference``: of the first metric to the baseline's, with a bootstrap interval over
    pairs, as wide as all differences together need to hold at 95 % (Bonferroni); ``equivalent``: an earlier measure
    that orders the pairs alike; it is not compared.
    """

    name: str
    note: str
    metrics: dict[str, float]
    difference: Interval | None
    equivalent: str | None

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.equivalent is not None:
            return f"orders as {self.equivalent}"
        if self.difference is None:
            return "baseline"
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "no difference shown"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"measure": self.name, "note": self.note, "metrics": self.metrics, "orders_as": self.equivalent,
                "difference": None if self.difference is None else self.difference._asdict(), "verdict": self.verdict}


@dataclass(frozen=True, eq=False)
class PairEvaluation:
    """Results, the baseline first, over so many ``pairs``; ``left_out`` with reasons; ``notes`` for the reader."""

    results: list[PairResult]
    pairs: int
    left_out: dict[str, str]
    notes: list[str]

    def table(self) -> Table:
        """All results, for Markdown and CSV."""
        metrics = list(self.results[0].metrics)
        columns = ["measure", *metrics, f"{metrics[0]} − {self.results[0].name}", "low", "high", "verdict"]
        return Table(columns, [[r.name, *r.metrics.values(), *(r.difference or (None,) * 3), r.verdict]
                               for r in self.results])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"pairs": self.pairs, "results": [r.as_dict() for r in self.results], "left_out": self.left_out,
                "notes": self.notes}


def read_pairs(path: str | Path) -> Pairs:
    """Pairs from .jsonl, .csv or .tsv with the fields sentence1, sentence2 and score (or label), or from a .tsv of two
    texts and a number.

    Raises `FileError` naming the line of a pair that is blank or has no number.
    """
    source = Path(path)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    first, second, gold = [], [], []
    for line, (a, b, value) in _records(source):
        for text in (a, b):
            if not isinstance(text, str) or not text.strip():
                raise FileError(f"{source}, line {line}: a text of the pair is blank; remove the line")
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = np.nan
        if not np.isfinite(number):
            raise FileError(f"{source}, line {line}: the score must be a number, got {value!r}")
        first.append(a)
        second.append(b)
        gold.append(number)
    if len(gold) < 2:
        raise FileError(f"{source}: holds {len(gold)} pairs; at least two are needed")
    return Pairs(first, second, np.array(gold))


def evaluate_pairs(A: np.ndarray, B: np.ndarray, gold: np.ndarray, *,
                   measures: Measures | None = None, baseline: str | Measure = "cosine",
                   samples: int = 2000, seed: int = 0,
                   progress: Callable[[int, int], None] | None = None) -> PairEvaluation:
    """All measures on pairs: ``A``, ``B`` (pairs, d) and what a person said, ``gold`` (pairs,).

    Where gold is 0 and 1 only, the metric is average precision, else Spearman's and Pearson's correlation. Measures
    that need fitting are fitted on the rows of A and B. Measures that order the pairs alike are found first and not
    compared.

    >>> A, B = np.eye(3), np.array([[1.0, 0.1, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.1]])
    >>> done = evaluate_pairs(A, B, np.array([5.0, 3.0, 1.0]), measures=["dot"], samples=10)
    >>> round(done.results[0].metrics["spearman"], 6)
    1.0
    """
    X = np.concatenate([A, B])
    if A.shape != B.shape or gold.shape != A.shape[:1]:
        raise InputError(message("evaluate_pairs", "B", f"of A's shape {A.shape}, with gold ({A.shape[0]},)",
                                 f"{B.shape} and {gold.shape}"))
    labelled = bool(np.isin(gold, (0, 1)).all())
    functions: dict[str, Callable[[Any, Any], float]] = {"average_precision": pair_average_precision} if labelled else {
        "spearman": spearman, "pearson": pearson}
    main = next(iter(functions))
    chosen = named_measures(contenders(X) if measures is None else measures, baseline)
    drawn = np.random.default_rng(seed).integers(gold.size, size=(samples, gold.size))
    orders: dict[str, Ranking] = {}
    measured: dict[str, tuple[str, dict[str, float], str | None]] = {}
    resampled: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    for place, (name, spec, note) in enumerate(chosen):
        if progress is not None:
            progress(place, len(chosen))
        try:
            made = make_measure(spec)
            scores = np.asarray((made if made.fitted else made.fit(X)).paired(A, B))
        except KiyasError as error:
            if place == 0:
                raise
            left_out[name] = str(error)
            continue
        row = np.argsort(-scores, kind="stable")
        order = Ranking(row[None], scores[row][None], True)
        same = next((other for other, theirs in orders.items() if rank_alike(order, theirs)), None)
        orders[name] = order
        if same is None:
            resampled[name] = np.array([functions[main](scores[rows], gold[rows]) if np.ptp(gold[rows]) else np.nan
                                        for rows in drawn])
        measured[name] = note, {m: f(scores, gold) for m, f in functions.items()}, same
    if progress is not None:
        progress(len(chosen), len(chosen))
    results = [PairResult(name, note, values, _difference(name, measured, resampled, main), same)
               for name, (note, values, same) in measured.items()]
    return PairEvaluation(results, gold.size, left_out, [UNIT_NORM_NOTE] if have_unit_norm(A, B) else [])


def _difference(name: str, measured: dict[str, tuple[str, dict[str, float], str | None]],
                resampled: dict[str, np.ndarray], main: str) -> Interval | None:
    base = next(iter(measured))
    if name == base or name not in resampled:
        return None
    outside = 0.05 / (len(resampled) - 1)
    low, high = np.nanquantile(resampled[name] - resampled[base], [outside / 2, 1 - outside / 2])
    return Interval(measured[name][1][main] - measured[base][1][main], float(low), float(high))


def _records(path: Path) -> Iterator[tuple[int, tuple[Any, Any, Any]]]:
    ending = path.suffix.lower()
    if ending in (".jsonl", ".csv"):
        for line, record in jsonl_records(path) if ending == ".jsonl" else csv_records(path):
            names = next((names for names in _NAMES if all(name in record for name in names)), None)
            if names is None:
                raise FileError(f"{path}, line {line}: must have the fields {', '.join(_NAMES[0])} (or label); it has "
                                f"{', '.join(record) or 'none'}")
            yield line, (record[names[0]], record[names[1]], record[names[2]])
    elif ending == ".tsv":
        columns: tuple[int, ...] | None = None
        for line, row in enumerate(csv.reader(read_text(path).split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE), 1):
            if not row:
                continue
            if columns is None:
                columns = next((tuple(map(row.index, names)) for names in _NAMES if set(names) <= set(row)), None)
                if columns is not None:
                    continue
                columns = (0, 1, 2)
            if len(row) <= max(columns):
                raise FileError(f"{path}, line {line}: must be two texts and a number with tabs between, got "
                                f"{len(row)} fields")
            yield line, (row[columns[0]], row[columns[1]], row[columns[2]].strip())
    else:
        raise FileError(f"{path}: pairs are read from .jsonl, .csv and .tsv, not "
                        f"{ending or 'a file without an ending'}")
