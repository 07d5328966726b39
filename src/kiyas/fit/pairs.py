"""Pairs that belong together: a query and a document, from judgements or from the collection's own texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kiyas.arrays import Array, matrix, row_blocks, to_numpy
from kiyas.encode.base import Encoder
from kiyas.encode.known import different_texts, known_items
from kiyas.encode.passages import split_texts
from kiyas.errors import InputError, message

# (done, total); `done` may count parts of long texts.
Progress = Callable[[float, int], None]
# More pairs than these move a 384 × 384 matrix by less than their own noise, and cost encoding time.
MOST_PAIRS = 4000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Vectors that belong together, row by row.

    ``queries``, ``documents`` (n, d) floats; ``owners`` (n,) int64, the number of the document in the collection that
    each document vector is, or is a part of. Fitting leaves out the pairs of withheld documents by it.

    >>> pairs = Pairs(np.eye(3), np.eye(3), np.array([4, 7, 4]))
    >>> pairs.without([4]).owners.tolist(), len(pairs)
    ([7], 3)
    """

    queries: np.ndarray
    documents: np.ndarray
    owners: np.ndarray

    def __post_init__(self) -> None:
        Q = np.asarray(to_numpy(matrix(self.queries, "queries", "Pairs")), np.float64)
        D = np.asarray(to_numpy(matrix(self.documents, "documents", "Pairs", dims=Q.shape[1])), np.float64)
        owners = np.asarray(to_numpy(self.owners))
        if D.shape != Q.shape:
            raise InputError(message("Pairs", "documents", f"of {Q.shape[0]} rows, one for each query", D.shape[0]))
        if owners.shape != Q.shape[:1] or owners.dtype.kind not in "iu":
            raise InputError(message("Pairs", "owners", f"{Q.shape[0]} row numbers, one for each pair",
                                     f"{owners.dtype} of shape {owners.shape}"))
        object.__setattr__(self, "queries", Q)
        object.__setattr__(self, "documents", D)
        object.__setattr__(self, "owners", owners.astype(np.int64))

    def __len__(self) -> int:
        return int(self.owners.size)

    def take(self, rows: np.ndarray) -> Pairs:
        """Some of the pairs, by number or by a mask."""
        return Pairs(self.queries[rows], self.documents[rows], self.owners[rows])

    def without(self, withheld: Iterable[int]) -> Pairs | None:
        """Without the pairs of these documents of the collection; None where none is left."""
        keep = ~np.isin(self.owners, np.fromiter(withheld, np.int64))
        if keep.all():
            return self
        return self.take(keep) if keep.any() else None


def judged_pairs(queries: Array, documents: Array, gains: Sequence[Mapping[int, float]],
                 parts: np.ndarray | None = None) -> Pairs:
    """Every (query, relevant document) pair.

    ``queries`` (m, d), ``documents`` (n, d); ``gains``: for each query {document: gain}; a gain above 0 is relevant.
    A document is its row, or with ``parts`` (n,) ascending, the document of each row, those of its rows; then its row
    of the highest cosine stands for it. Raises `InputError` where nothing is relevant.

    >>> judged_pairs(np.eye(2), np.ones((3, 2)), [{2: 1.0, 0: 0.0}, {}]).owners.tolist()
    [2]
    """
    Q = np.asarray(to_numpy(queries), np.float64)
    if len(gains) != len(Q):
        raise InputError(message("judged_pairs", "gains", f"{len(Q)}, one for each query", len(gains)))
    found = [(q, document) for q, one in enumerate(gains) for document, gain in one.items() if gain > 0]
    if not found:
        raise InputError("judged_pairs: no query has a relevant document")
    place = np.array(found, np.int64)
    rows = place[:, 1] if parts is None else _best_parts(Q, documents, place, np.asarray(parts))
    return Pairs(Q[place[:, 0]], np.asarray(to_numpy(documents)[rows], np.float64), place[:, 1])


def _best_parts(Q: np.ndarray, documents: Array, place: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """The row of the highest cosine with the query among those of each document."""
    bounds = np.searchsorted(parts, place[:, 1]), np.searchsorted(parts, place[:, 1], side="right")
    D = to_numpy(documents)
    rows = np.empty(len(place), np.int64)
    for i, (start, stop) in enumerate(zip(*(b.tolist() for b in bounds), strict=True)):
        if stop == start:
            raise InputError(f"judged_pairs: document {place[i, 1]} has no row")
        part = np.asarray(D[start:stop], np.float64)
        norms = np.sqrt((part * part).sum(axis=1))
        rows[i] = start + int(((part @ Q[place[i, 0]]) / np.where(norms > 0, norms, 1.0)).argmax())
    return rows


@dataclass(frozen=True, eq=False)
class TextPairs:
    """Pairs made of texts: ``pairs`` and what was left out on the way.

    ``found`` texts could be split, of which ``pairs`` holds a random part if there were more than `MOST_PAIRS`;
    ``short`` had too few words for a question and an answer, ``ambiguous`` begin as others do, ``repeated`` say what
    another one says.
    """

    pairs: Pairs
    found: int
    short: int
    ambiguous: int
    repeated: int


def text_pairs(texts: Sequence[str], encoder: Encoder, titles: Sequence[str] | None = None, *,
               owners: Sequence[int] | None = None, passage_tokens: int | None = None, most: int = MOST_PAIRS,
               seed: int = 0, progress: Progress | None = None) -> TextPairs:
    """The pairs of a collection's own texts: title, or first sentence, and the rest.

    ``titles``: see `kiyas.encode.known_items`. ``owners``: the number of the document that each text is, its place
    unless given. ``passage_tokens``: as the collection was split; of a longer rest the first passage is taken.
    ``most``: of more pairs, so many are drawn with ``seed``. ``progress(done, total)`` counts texts encoded.
    Raises `InputError` where fewer than two texts can be split.
    """
    kept = different_texts(texts)
    items = known_items([texts[i] for i in kept], None if titles is None else [titles[i] for i in kept])
    if len(items.targets) < 2:
        raise InputError(f"only {len(items.targets)} of {len(texts)} texts can be split into a question and an answer "
                         f"({items.short} are too short, {len(texts) - len(kept)} repeat another, {items.ambiguous} "
                         "begin as others do); fit with judgements instead")
    chosen = np.arange(len(items.targets))
    if chosen.size > most:
        chosen = np.sort(np.random.default_rng(seed).permutation(chosen.size)[:most])
    questions = [items.queries[i] for i in chosen]
    answers = _first_passages([items.texts[items.targets[i]] for i in chosen], encoder, passage_tokens)
    vectors = encoder.encode(_first_passages(questions, encoder, passage_tokens) + answers, progress=progress)
    n = len(questions)
    numbers = np.array([kept[items.targets[i]] for i in chosen], np.int64)
    whose = numbers if owners is None else np.asarray(owners, np.int64)[numbers]
    good = (np.abs(vectors).max(axis=1) > 0)
    good = good[:n] & good[n:]
    return TextPairs(Pairs(vectors[:n][good], vectors[n:][good], whose[good]), len(items.targets), items.short,
                     items.ambiguous, len(texts) - len(kept))


def _first_passages(texts: list[str], encoder: Encoder, passage_tokens: int | None) -> list[str]:
    """Each text, or where it is longer than the encoder takes, its first passage."""
    passages = split_texts(texts, encoder, passage_tokens=passage_tokens)
    first = np.searchsorted(passages.documents, np.arange(len(texts)))
    return [passages.texts[i] for i in first.tolist()]


def unit_rows(X: Array, name: str = "X", owner: str = "unit_rows") -> np.ndarray:
    """Rows of length 1, float64 on the host; zero rows stay zero."""
    X = matrix(X, name, owner)
    out = np.empty(tuple(X.shape))
    for start, stop in row_blocks(X.shape[0], X.shape[1]):
        block = np.asarray(to_numpy(X[start:stop, :]), np.float64)
        norms = np.sqrt((block * block).sum(axis=1, keepdims=True))
        out[start:stop] = block / np.where(norms > 0, norms, 1.0)
    return out


def as_rows(gains: Sequence[Mapping[Any, float]], ids: Sequence[Any]) -> list[dict[int, float]]:
    """Judgements by id as judgements by row.

    >>> as_rows([{"b": 2.0}], ["a", "b"])
    [{1: 2.0}]
    """
    place = {name: row for row, name in enumerate(ids)}
    return [{place[document]: gain for document, gain in one.items()} for one in gains]
