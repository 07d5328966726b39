"""Texts, their passages, their vectors and the encoder's name, together in one directory.

    collection.json      format version, encoder's name and version, sizes and SHA-256 of the text files; written last
    texts.utf8           all texts, one after the other
    texts.safetensors    where each begins, and the passages
    ids.json             ids of the texts; absent where they are their numbers
    index/               the index of the passages (kiyas.search.store)

Vectors of two encoders mean nothing to each other, so a collection is searched only with the encoder it was
made with, at the version it was made with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from kiyas.arrays import count
from kiyas.directory import Format, refuse_others, replacing, write_file
from kiyas.encode import encoder as make_encoder
from kiyas.encode.base import Encoder, Progress, checked_texts
from kiyas.encode.documents import DocumentHits, search_documents
from kiyas.encode.passages import Passages, split_texts
from kiyas.encode.stored import Stored, facts_of, same
from kiyas.errors import FileError, InputError, message
from kiyas.measures.base import Measure
from kiyas.search import Index, store

FORMAT = Format("collection", version=1, manifest="collection.json",
                files=frozenset({"texts.utf8", "texts.safetensors"}), optional=frozenset({"ids.json"}),
                facts={"texts": int, "encoder": dict})

AnyEncoder = str | Encoder | Callable[[list[str]], Any]


class Found(NamedTuple):
    """A text that was found: its id, its score, and the passage that matches best, as a span of it."""

    id: int | str
    score: float
    passage: str
    row: int
    start: int
    stop: int


class Collection:
    """Texts that can be searched, whole or by passage, under any measure.

    >>> from kiyas.encode import CallableEncoder
    >>> letters = CallableEncoder(lambda ts: [[t.count("a"), t.count("b")] for t in ts], "letters", "1", dims=2)
    >>> collection = Collection.build(["abba", "a cab", "bb"], letters, ids=["x", "y", "z"])
    >>> [found.id for found in collection.search("b", k=2)[0]]
    ['z', 'x']
    """

    def __init__(self, texts: Sequence[str], ids: Sequence[Any] | None, passages: Passages, index: Index,
                 encoder: Encoder | Stored) -> None:
        self.texts, self.passages, self.index = texts, passages, index
        self._ids, self._encoder = ids, encoder

    @classmethod
    def build(cls, texts: Iterable[str], encoder: AnyEncoder = "wordllama",
              measure: str | Measure | Callable[..., Any] = "cosine", ids: Sequence[Any] | None = None, *,
              passage_tokens: int | None = None, overlap: int = 1, progress: Progress | None = None,
              blank: str = "error") -> Self:
        """Split the texts, encode the passages, index them.

        ``ids``: different integers from 0 or texts, None for numbers. ``passage_tokens``, ``overlap``: see
        `kiyas.encode.split_texts`. ``progress(done, total)`` counts passages encoded.
        ``blank``: what to do with a text without any token that the encoder knows: "error", or "zero" for a vector of
        zeros, which a measure treats by its own rule.
        """
        items = checked_texts(texts, "Collection.build")
        if ids is not None:
            ids = _checked_ids(ids, len(items))
        chosen = make_encoder(encoder)
        passages = split_texts(items, chosen, passage_tokens=passage_tokens, overlap=overlap)
        vectors = chosen.encode(passages.texts, progress=progress, blank=blank)
        return cls(items, ids, passages, Index(vectors, measure=measure), chosen)

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"<kiyas Collection of {len(self)} texts, {len(self.passages)} passages, by {self._encoder.name}>"

    @property
    def encoder(self) -> Encoder:
        """What turns its texts and queries into vectors.

        Of a collection that was read it is built when it is first asked for: `FileError` where its files are gone, or
        where it is of another version than the texts were encoded with.
        """
        return self._encoder.encoder if isinstance(self._encoder, Stored) else self._encoder

    def id(self, document: int) -> int | str:
        """The id of a text, by its number."""
        return document if self._ids is None else self._ids[document]

    @property
    def info(self) -> dict[str, Any]:
        """Facts: those of the index, and of the texts and their encoder."""
        return {"texts": len(self), "passages": len(self.passages), "encoder": self._encoder.name,
                "encoder_version": self._encoder.version, **self.index.info,
                "ids": "numbers" if self._ids is None else "given"}

    def encode(self, queries: str | Iterable[str]) -> np.ndarray:
        """Vectors of queries, by the collection's encoder; a query that is too long raises."""
        return self.encoder.encode([queries] if isinstance(queries, str) else queries)

    def search(self, queries: str | Iterable[str], k: int = 10,
               measure: str | Measure | Callable[..., Any] | None = None, by: str = "best",
               min_score: float | None = None) -> list[list[Found]]:
        """The ``k`` best texts of each query, exactly, each with its best passage.

        ``measure``: another one than the collection's. ``by``: a text scores as its best passage, or as the
        mean of its best three ("mean3"). ``min_score``: the least score of a text to answer with.
        """
        k = count(k, "k", "Collection.search", 1, len(self), "there are no more texts")
        vectors = self.encode(queries)
        hits = self.rank(vectors, k, measure, by)
        least = -np.inf if min_score is None else float(min_score)
        return [[self._found(int(d), float(s), int(p)) for d, s, p in
                 zip(hits.documents[q], hits.scores[q], hits.passages[q], strict=True) if d >= 0 and s >= least]
                for q in range(len(vectors))]

    def using(self, measure: str | Measure | Callable[..., Any]) -> Collection:
        """The same texts and vectors under another measure, without copying them."""
        return Collection(self.texts, self._ids, self.passages, self.index.using(measure), self._encoder)

    def rank(self, vectors: np.ndarray, k: int = 10, measure: str | Measure | Callable[..., Any] | None = None,
             by: str = "best") -> DocumentHits:
        """The ``k`` best texts of queries that are vectors already, by the texts' numbers; see `search`."""
        index = self.index if measure is None else self.index.using(measure)

        def fetch(rows: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
            hits = index.search(vectors[rows], k=depth)
            return hits.ids, hits.scores

        whole = len(self.passages) == len(self) and bool((self.passages.documents == np.arange(len(self))).all())
        return search_documents(fetch, len(vectors), self.passages.documents, k, by, fetch=k if whole else None)

    def _found(self, document: int, score: float, row: int) -> Found:
        start, stop = (int(x) for x in self.passages.spans[row])
        return Found(self.id(document), score, self.passages.texts[row], row, start, stop)

    # -- files -------------------------------------------------------------------------------------

    def save(self, directory: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the collection; one that is there is replaced as a whole, and only with ``overwrite``."""
        target = Path(directory)
        free_or_ours(target, overwrite)
        with replacing(target) as part:
            self._write(part)

    def _write(self, part: Path) -> None:
        from safetensors.numpy import save

        self.index.save(part / "index")
        raw = [text.encode() for text in self.texts]
        ends = np.cumsum([len(r) for r in raw], dtype=np.int64)
        arrays = {"ends": ends, "documents": self.passages.documents,
                  "spans": np.ascontiguousarray(self.passages.spans)}
        files = {"texts.utf8": b"".join(raw), "texts.safetensors": save(arrays)}
        if self._ids is not None:
            files["ids.json"] = json.dumps(list(self._ids), ensure_ascii=False).encode()
        entries = {name: write_file(part / name, [data]) for name, data in files.items()}
        FORMAT.write_manifest(part, {"texts": len(self), "passages": len(self.passages),
                                     "encoder": facts_of(self._encoder, self.index.dims, part), "files": entries})

    @classmethod
    def load(cls, directory: str | os.PathLike[str], encoder: AnyEncoder | None = None,
             measure: str | Measure | Callable[..., Any] | None = None, mmap: bool = True) -> Self:
        """Read a collection. ``encoder``: the callable that it was made with, where no name can build it again.

        Raises `FileError` for a file that is missing or altered, and for an ``encoder`` of another name or version
        than the texts were encoded with. Without one, the collection's own is built when a text is first encoded.
        """
        source = Path(directory)
        manifest = FORMAT.read_manifest(source)
        data = {name: FORMAT.read_file(source / name, entry) for name, entry in manifest["files"].items()}
        texts, passages = _texts_of(source, data)
        ids = json.loads(data["ids.json"]) if "ids.json" in data else None
        if len(texts) != manifest["texts"] or (ids is not None and len(ids) != len(texts)):
            raise FileError(f"{source / FORMAT.manifest}: says {manifest['texts']} texts, but the files hold "
                            f"{len(texts)}")
        index = Index.load(source / "index", measure, mmap)
        if len(index) != len(passages):
            raise FileError(f"{source}: the index holds {len(index)} vectors for {len(passages)} passages")
        stored = Stored(source, manifest["encoder"])
        given = None if encoder is None else same(source, stored.name, stored.version, make_encoder(encoder))
        return cls(texts, ids, passages, index, given or stored)


def is_collection(directory: str | os.PathLike[str]) -> bool:
    """Whether the directory holds a collection of texts (rather than an index of vectors, or nothing)."""
    return FORMAT.is_at(Path(directory))


def free_or_ours(target: Path, overwrite: bool) -> None:
    """Raise `FileError` unless a collection or an index may be written to ``target``."""
    refuse_others(target, store.FORMAT, FORMAT)
    if not overwrite and (store.FORMAT.is_at(target) or FORMAT.is_at(target)):
        raise FileError(f"{target}: holds an index already; give another directory, or --overwrite to replace it")


def _texts_of(source: Path, data: dict[str, bytes]) -> tuple[list[str], Passages]:
    from safetensors import SafetensorError
    from safetensors.numpy import load
    try:
        arrays = load(data["texts.safetensors"])
        ends, documents, spans = arrays["ends"], arrays["documents"], arrays["spans"]
        raw = data["texts.utf8"]
        bounds = [0, *ends.tolist()]
        texts = [raw[a:b].decode() for a, b in pairwise(bounds)]
        pieces = [texts[d][a:b] for d, (a, b) in zip(documents.tolist(), spans.tolist(), strict=True)]
    except (SafetensorError, KeyError, ValueError, IndexError, TypeError) as error:
        raise FileError(f"{source / 'texts.safetensors'}: does not fit the texts ({error})") from None
    return texts, Passages(pieces, documents, spans)


def _checked_ids(ids: Sequence[Any], texts: int) -> list[Any]:
    listed = list(ids)
    numbers = all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) and i >= 0 for i in listed)
    wanted = f"{texts} different texts or integers from 0, one for each text"
    if len(listed) != texts or not (numbers or all(isinstance(i, str) for i in listed)):
        raise InputError(message("Collection.build", "ids", wanted, f"{len(listed)} of "
                                 f"{', '.join(sorted({type(i).__name__ for i in listed})) or 'nothing'}"))
    if len(set(listed)) != texts:
        seen: set[Any] = set()
        twice = next(i for i in listed if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise InputError(message("Collection.build", "ids", wanted, f"{twice!r} twice"))
    return [int(i) for i in listed] if numbers else listed
