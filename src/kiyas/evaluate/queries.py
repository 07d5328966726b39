"""Queries from files: texts or vectors, with their ids.

| ending | queries |
|---|---|
| .jsonl, .csv | a record each, with `id` (or `_id`) and `text` |
| .tsv | a line `id TAB text` |
| .txt | a text a line; ids are the lines' numbers, from 1, unless a file of ids is given |
| .npy, .npz, .safetensors, .fvecs | vectors, with a file of ids |

A file of ids is a .txt (one a line), a .json list or a .npy of integers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.encode.files import csv_records, is_vector_file, jsonl_records, read_text, read_vectors
from kiyas.encode.numpy_files import read_npy
from kiyas.errors import FileError

_FIELDS = ("id", "_id", "query_id")


@dataclass(frozen=True, eq=False)
class Queries:
    """Either ``texts`` or ``vectors`` (queries, dims), and ``ids`` of them, all different texts."""

    ids: list[str]
    texts: list[str] | None = None
    vectors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


def read_queries(path: str | Path, ids: str | Path | None = None, *, text_column: str = "text") -> Queries:
    """The queries of a file; ``ids`` is a file of their ids, where they stand apart.

    Raises `FileError` naming the line for a query that is blank, has no id, or has the id of one before.
    """
    source = Path(path)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    if is_vector_file(source):
        vectors = read_vectors(source)
        if ids is None:
            raise FileError(f"{source}: holds vectors without ids, so judgements cannot be found for them; give a "
                            ".txt, .json or .npy file of ids with --query-ids")
        return Queries(read_ids(ids, len(vectors)), vectors=vectors)
    lines, names, texts = [], [], []
    for line, name, text in _records(source, text_column):
        if not isinstance(text, str) or not text.strip():
            raise FileError(f"{source}, line {line}: the query is blank; remove the line, or write the query")
        lines.append(line)
        names.append(name)
        texts.append(text)
    if not texts:
        raise FileError(f"{source}: holds no queries")
    if ids is not None:
        return Queries(read_ids(ids, len(texts)), texts)
    first: dict[str, int] = {}
    for line, name in zip(lines, names, strict=True):
        if name in first:
            raise FileError(f"{source}, line {line}: the query id {name!r} is that of line {first[name]}; give each "
                            "query its own")
        first[name] = line
    return Queries(names, texts)


def read_ids(path: str | Path, count: int) -> list[str]:
    """``count`` different ids from a .txt (one a line), a .json list or a .npy of integers, as texts."""
    source = Path(path)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    ending = source.suffix.lower()
    found: list[Any]
    if ending == ".npy":
        raw = read_npy(source)
        if raw.dtype.kind not in "iuU":
            raise FileError(f"{source}: ids must be integers or texts, got {raw.dtype}")
        found = raw.reshape(-1).tolist()
    elif ending == ".json":
        try:
            found = json.loads(read_text(source))
        except ValueError as error:
            raise FileError(f"{source}: is not JSON ({error})") from None
        if not isinstance(found, list):
            raise FileError(f"{source}: must be a list of ids, got {type(found).__name__}")
    elif ending == ".txt":
        found = read_text(source).splitlines()
    else:
        raise FileError(f"{source}: a file of ids ends in .txt, .json or .npy")
    names = [str(name) for name in found]
    if len(names) != count:
        raise FileError(f"{source}: holds {len(names)} ids for {count} rows")
    _require_different(names, source)
    return names


def _require_different(names: Iterable[str], source: Path) -> None:
    seen: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if name in seen:
            raise FileError(f"{source}, line {place}: the id {name!r} is that of line {seen[name]}; ids must differ")
        seen[name] = place


def _records(path: Path, column: str) -> Iterator[tuple[int, str, Any]]:
    ending = path.suffix.lower()
    if ending in (".jsonl", ".csv"):
        for line, record in jsonl_records(path) if ending == ".jsonl" else csv_records(path):
            name = next((record[field] for field in _FIELDS if field in record), None)
            if name is None or column not in record:
                raise FileError(f"{path}, line {line}: must have the fields id and {column}; it has "
                                f"{', '.join(record) or 'none'}")
            yield line, str(name), record[column]
    elif ending == ".tsv":
        for line, text in enumerate(read_text(path).split("\n"), 1):
            if text.strip():
                name, tab, rest = text.rstrip("\r").partition("\t")
                if not tab:
                    raise FileError(f"{path}, line {line}: must be an id and a text with a tab between")
                yield line, name, rest
    elif ending == ".txt":
        for line, text in enumerate(read_text(path).split("\n"), 1):
            if text.strip():
                yield line, str(line), text.strip()
    else:
        raise FileError(f"{path}: queries are read from .jsonl, .csv, .tsv, .txt or a file of vectors, not "
                        f"{ending or 'a file without an ending'}")
