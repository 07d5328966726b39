"""Runs: rankings of any system, in TREC's form, and kiyas' own written in it.

A line is `query Q0 document rank score name`. The order is: higher score, then lower rank, then the earlier line.
Scores are read in float64; trec_eval reads float32, ignores the rank and breaks ties by the document's
name, so rankings that come from kiyas are written with scores that fall by rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.directory import write_whole
from kiyas.encode.files import read_text
from kiyas.errors import FileError, InputError, message
from kiyas.evaluate.rankings import Ranking


@dataclass(frozen=True, eq=False)
class Run:
    """``ranked`` {query: [(document, score)]}, best first, of the system of that ``name``; ids are texts."""

    name: str
    ranked: Mapping[str, list[tuple[str, float]]]
    source: str = "the run"


def read_run(path: str | Path) -> Run:
    """A run from a file in TREC's form.

    Raises `FileError` naming the line that cannot be read, that ranks a document twice for a query, or that belongs to
    another system than the first line.
    """
    source = Path(path)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    lines: dict[tuple[str, str], int] = {}
    rows: dict[str, list[tuple[float, int, int, str]]] = {}
    names: list[str] = []
    for line, (query, document, rank, score, name) in _lines(source):
        if (query, document) in lines:
            raise FileError(f"{source}, line {line}: ranks document {document!r} for query {query!r} again, after line "
                            f"{lines[query, document]}; two runs in one file have to be taken apart")
        if names and name != names[0]:
            raise FileError(f"{source}, line {line}: is of the run {name!r}, but line 1 is of {names[0]!r}; give each "
                            "run a file of its own")
        names.append(name)
        lines[query, document] = line
        rows.setdefault(query, []).append((-score, rank, line, document))
    if not rows:
        raise FileError(f"{source}: holds no run")
    return Run(names[0] or source.stem, {q: [(d, -s) for s, _, _, d in sorted(row)] for q, row in rows.items()},
               str(source))


def write_run(path: str | Path, name: str, queries: Sequence[Any], ranked: Sequence[Sequence[Any]]) -> None:
    """Write rankings, one row of document ids for each query, best first, −1 or None after the end of a row.

    The score written is minus the rank, so that every tool reads the same order.
    """
    if len(queries) != len(ranked):
        raise InputError(message("write_run", "ranked", f"{len(queries)} rows, one a query", len(ranked)))
    lines = []
    for query, row in zip(queries, ranked, strict=True):
        for rank, document in enumerate(row, 1):
            if document is None or (not isinstance(document, str) and document == -1):
                break
            for one in (query, document):
                if len(str(one).split()) != 1:
                    raise InputError(message("write_run", "ids", "without white space, which TREC's form cannot hold",
                                             repr(one)))
            lines.append(f"{query} Q0 {document} {rank} {-rank} {name}\n")
    write_whole(Path(path), "".join(lines))


def ranking_of(run: Run, queries: Sequence[str], documents: Mapping[str, int]) -> Ranking:
    """A run as rows of documents, for `evaluate_rankings`; a query that it lacks has an empty row.

    ``documents``: a number for each id; those of the run that are new are added to it, as it need not be judged.
    """
    depth = max(len(row) for row in run.ranked.values()) + 1
    rows, scores = np.full((len(queries), depth), -1), np.full((len(queries), depth), np.nan)
    numbers: dict[str, int] = documents if isinstance(documents, dict) else dict(documents)
    for place, query in enumerate(queries):
        for rank, (document, score) in enumerate(run.ranked.get(query, ())):
            rows[place, rank] = numbers.setdefault(document, len(numbers))
            scores[place, rank] = score
    return Ranking(rows, scores, True)


def _lines(path: Path) -> Iterator[tuple[int, tuple[str, str, int, float, str]]]:
    for line, text in enumerate(read_text(path).split("\n"), 1):
        parts = text.split()
        if not parts:
            continue
        if len(parts) not in (5, 6):
            raise FileError(f"{path}, line {line}: must be 'query Q0 document rank score name', got {len(parts)} "
                            "fields")
        try:
            rank, score = int(parts[3]), float(parts[4])
        except ValueError:
            raise FileError(f"{path}, line {line}: rank and score must be numbers, got {parts[3]!r} and "
                            f"{parts[4]!r}") from None
        if math.isnan(score):
            raise FileError(f"{path}, line {line}: the score is NaN")
        yield line, (parts[0], parts[2], rank, score, parts[5] if len(parts) == 6 else "")
