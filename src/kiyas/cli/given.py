"""What a person gives to be evaluated or diagnosed: a collection, and queries for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kiyas.cli import show
from kiyas.cli.search import open_index
from kiyas.encode.collection import Collection, is_collection
from kiyas.encode.files import read_vectors
from kiyas.errors import InputError
from kiyas.evaluate import Queries, read_ids
from kiyas.search import Index


def collection(directory: Path | None, documents: Path | None, document_ids: Path | None) -> Index | Collection:
    """The index or collection of a directory, or an index of a file of vectors."""
    if (directory is None) == (documents is None):
        raise InputError("give an index DIR, or vectors with --documents FILE")
    if document_ids is not None and documents is None:
        raise InputError("--document-ids is for the vectors of --documents; an index has its own ids")
    if documents is not None:
        vectors = read_vectors(documents)
        return Index(vectors, ids=None if document_ids is None else read_ids(document_ids, len(vectors)))
    assert directory is not None
    return Collection.load(directory) if is_collection(directory) else open_index(directory)


def ids_of(given: Index | Collection) -> list[Any]:
    """Ids of the documents, in their order."""
    if isinstance(given, Collection):
        return [given.id(i) for i in range(len(given))]
    return list(given.ids.tolist())


def require_comparable(queries: Queries, given: Index | Collection, path: Path) -> None:
    """Raise `InputError` for queries that cannot be compared with the documents, before any work is done."""
    if queries.vectors is None:
        if isinstance(given, Index):
            raise InputError(f"{path}: holds texts, but the index holds vectors; give the queries' vectors, encoded as "
                             "the documents were, or make an index of the texts")
        return
    dims = given.index.dims if isinstance(given, Collection) else given.dims
    if queries.vectors.shape[1] != dims:
        raise InputError(f"{path}: has vectors of {queries.vectors.shape[1]} dimensions, the documents have {dims}; "
                         "encode both with one encoder")


def query_vectors(queries: Queries, given: Index | Collection, path: Path) -> np.ndarray:
    """Queries as vectors: as they are, or encoded as the collection was."""
    require_comparable(queries, given, path)
    if queries.vectors is not None:
        return queries.vectors
    assert isinstance(given, Collection) and queries.texts is not None
    with show.progress("encoding queries") as report:
        return given.encoder.encode(queries.texts, progress=report)


def can_report(html: Path | None) -> None:
    """Before minutes of work: raise unless a report can be drawn and written there (None: none is asked for)."""
    if html is not None:
        from kiyas.evaluate.report import require_charts

        show.require_file(html, "--html")
        require_charts()
