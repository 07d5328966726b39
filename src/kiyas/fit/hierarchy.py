"""A hierarchy as pairs (below, above), from a file, and how well vectors reproduce it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kiyas.arrays import matrix
from kiyas.errors import FileError, InputError, message
from kiyas.measures import measure as make_measure

# Points whose similarities to all others are held at a time.
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Terms by number and the pairs among them: ``pairs`` (m, 2) int64, the term below and the term above it.

    >>> h = Hierarchy.of([("dog", "animal"), ("cat", "animal")])
    >>> h.names, h.pairs.tolist()
    (['dog', 'animal', 'cat'], [[0, 1], [2, 1]])
    """

    names: list[str]
    pairs: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Hierarchy:
        """From pairs of names, numbered as they come.

        Raises `InputError` for a pair of a term with itself (it says nothing), for a pair given twice, and where there
        is none.
        """
        names: dict[str, int] = {}
        numbers: dict[tuple[int, int], None] = {}
        for below, above in pairs:
            pair = names.setdefault(below, len(names)), names.setdefault(above, len(names))
            if below == above or pair in numbers:
                what = "is above itself" if below == above else f"is below {above!r} twice"
                raise InputError(f"Hierarchy: {below!r} {what}; leave that pair out")
            numbers[pair] = None
        if not numbers:
            raise InputError("Hierarchy: there is no pair")
        return cls(list(names), np.array(list(numbers), dtype=np.int64))

    def closed(self) -> Hierarchy:
        """With a pair for every term above another, however far: the transitive closure.

        Raises `InputError` where a term is, over others, above itself.

        >>> Hierarchy.of([("dog", "mammal"), ("mammal", "animal")]).closed().pairs.tolist()
        [[0, 1], [0, 2], [1, 2]]
        """
        above: list[list[int]] = [[] for _ in self.names]
        for a, b in self.pairs.tolist():
            above[a].append(b)
        pairs: list[tuple[int, int]] = []
        for start in range(len(self)):
            seen: dict[int, None] = {}
            waiting = list(reversed(above[start]))
            while waiting:
                term = waiting.pop()
                if term == start:
                    raise InputError(f"Hierarchy: {self.names[start]!r} is above itself over other terms; a hierarchy "
                                     "has no circles")
                if term not in seen:
                    seen[term] = None
                    waiting.extend(reversed(above[term]))
            pairs.extend((start, term) for term in sorted(seen))
        return Hierarchy(self.names, np.array(pairs, dtype=np.int64))


def read_hierarchy(path: str | os.PathLike[str]) -> Hierarchy:
    """Pairs of a text file: a line each, the term below, a tab, the term above; blank lines are passed over.

    Raises `FileError` naming the line for anything else.
    """
    source = Path(path)
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise FileError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    pairs: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = tuple(part.strip() for part in line.split("\t"))
        where = f"{path}: line {number}"
        if len(parts) != 2 or not all(parts):
            raise FileError(f"{where} must be two terms with a tab between them, got {line[:80]!r}")
        if parts[0] == parts[1]:
            raise FileError(f"{where}: {parts[0]!r} is above itself; leave such lines out")
        if parts in pairs:
            raise FileError(f"{where}: the same pair is in line {pairs[parts]} already")
        pairs[parts] = number
    if not pairs:
        raise FileError(f"{path}: holds no pair")
    return Hierarchy.of(pairs)


@dataclass(frozen=True)
class Reconstruction:
    """How well vectors give a hierarchy back: 1.0 and 1.0 at best.

    ``mean_rank``: over all pairs, the rank of the term above among it and all terms that are not above; ``map``: over
    all terms that have one above, the average precision of the terms above among all others.
    """

    mean_rank: float
    map: float


def reconstruction(vectors: np.ndarray, hierarchy: Hierarchy, measure: str = "poincare") -> Reconstruction:
    """Rank all terms by their likeness to each term that has one above it; equal scores count against the pair.

    Parameters: ``vectors`` (n, d), a row a term; ``measure``, a name. The protocol of Nickel & Kiela 2017.

    >>> h = Hierarchy.of([("dog", "animal"), ("cat", "animal")])
    >>> reconstruction(np.array([[0.5, 0.0], [0.0, 0.0], [-0.5, 0.0]]), h)
    Reconstruction(mean_rank=1.0, map=1.0)
    """
    X = matrix(vectors, "vectors", "reconstruction")
    if X.shape[0] != len(hierarchy):
        raise InputError(message("reconstruction", "vectors", f"of {len(hierarchy)} rows, one for each term",
                                 str(X.shape[0])))
    compared = make_measure(measure)
    order = np.argsort(hierarchy.pairs[:, 0], kind="stable")
    below, above = hierarchy.pairs[order].T
    terms, first = np.unique(below, return_index=True)
    ends = np.append(first[1:], below.size)
    ranks, precisions = 0.0, 0.0
    for start in range(0, terms.size, _BLOCK):
        chosen = terms[start : start + _BLOCK]
        scores = compared.pairwise(X[chosen], X)
        for place, term in enumerate(chosen.tolist(), start):
            relevant = above[first[place] : ends[place]]
            row = scores[place - start]
            others = np.ones(row.size, bool)
            others[relevant] = others[term] = False
            rest, mine = np.sort(row[others]), np.sort(row[relevant])[::-1]
            before = rest.size - np.searchsorted(rest, mine, side="left")
            found = np.arange(1, mine.size + 1)
            ranks += float(np.sum(before + 1))
            precisions += float(np.mean(found / (before + found)))
    return Reconstruction(ranks / below.size, precisions / terms.size)
