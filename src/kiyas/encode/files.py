"""Vectors and texts from files, told apart by their endings.

| ending | holds |
|---|---|
| .npy | vectors (rows, dims), memory-mapped |
| .npz, .safetensors | vectors, one array of the file |
| .fvecs | vectors, each after its length |
| .parquet, .arrow, .feather | vectors or texts, a column (needs pyarrow) |
| .jsonl, .csv | texts, a field of each record |
| .txt, .md | one text, or one a line |

A record that cannot be read is an error that names the file and its line; none is skipped.
"""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.encode.numpy_files import npz_names, read_npy, read_npz
from kiyas.errors import FileError, missing_extra

_VECTORS = (".npy", ".npz", ".safetensors", ".fvecs")
_TABLES = (".parquet", ".arrow", ".feather")
_RECORDS = (".jsonl", ".csv")
_WHOLE = (".txt", ".md")
ENDINGS = (*_VECTORS, *_TABLES, *_RECORDS, *_WHOLE)

# Fields that hold ids unless another is named; the second is that of BEIR's files.
_ID_FIELDS = ("id", "_id")

# Longest field of a .csv, which the csv module would else limit to 128 KiB.
_LONGEST_FIELD = 1 << 30


@dataclass(frozen=True, eq=False)
class Records:
    """What files hold: either ``vectors`` (n, d) or ``texts``, and ``ids`` (all integers or all texts; None: none)."""

    vectors: np.ndarray | None = None
    texts: list[str] | None = None
    ids: list[int | str] | None = None


@dataclass(frozen=True)
class _Wanted:
    text: str | None
    title: str | None
    vector: str | None
    ids: str | None
    lines: bool


def read_files(paths: Sequence[str | Path], *, text_column: str | None = None, title_column: str | None = None,
               vector_column: str | None = None, ids: str | Path | None = None, lines: bool = False) -> Records:
    """Read one or more files of the same kind, one after the other.

    ``text_column``: the field that holds the text (``text``, unless given). ``title_column``: a field that comes before
    it, with a blank line between. ``vector_column``: the array of a
    .npz or .safetensors file, the column of a table (the only one, unless given). ``ids``: the field or column
    of ids (``id`` or ``_id`` where there is one), or for vectors a .txt (one a line) or .npy file of them; a .txt
    that is one text has its path as its id. ``lines``: every line of a .txt or .md that is not blank is a text.

    Raises `FileError` naming the file, and its line where there is one; `MissingExtraError` for a table without
    pyarrow.
    """
    files = [Path(p) for p in paths]
    if not files:
        raise FileError("no file was given")
    beside = Path(ids) if ids is not None and Path(ids).suffix in (".txt", ".npy") else None
    wanted = _Wanted(text_column, title_column, vector_column, None if beside or ids is None else str(ids), lines)
    parts = [_read(path, wanted) for path in files]
    if len({part.texts is None for part in parts}) > 1:
        odd = next(i for i, part in enumerate(parts) if (part.texts is None) != (parts[0].texts is None))
        raise FileError(f"{files[odd]}: holds {_kind(parts[odd])}, but {files[0]} holds {_kind(parts[0])}; "
                        "give files of one kind")
    found = _ids_of(parts, files)
    if parts[0].texts is not None:
        texts = [text for part in parts for text in part.texts or ()]
        if beside is not None:
            found = _ids_beside(beside, len(texts))
        return Records(texts=texts, ids=found)
    vectors = _joined([part.vectors for part in parts if part.vectors is not None], files)
    return Records(vectors=vectors, ids=found if beside is None else _ids_beside(beside, len(vectors)))


def read_vectors(path: str | Path, column: str | None = None) -> np.ndarray:
    """The vectors of one file, (rows, dims); a one-dimensional array is one vector."""
    part = _read(Path(path), _Wanted(None, None, column, None, False))
    if part.vectors is None:
        raise FileError(f"{path}: holds texts, where vectors are wanted")
    return part.vectors


def is_vector_file(path: str | Path) -> bool:
    """Whether a file of this name holds vectors, by its ending alone.

    >>> is_vector_file("rows.npy"), is_vector_file("story.txt")
    (True, False)
    """
    return Path(path).suffix.lower() in _VECTORS


def _read(path: Path, wanted: _Wanted) -> Records:
    ending = path.suffix.lower()
    if not path.exists():
        raise FileError(f"{path}: there is no such file")
    if path.is_dir():
        raise FileError(f"{path}: is a directory; give its files, such as {path}/*.txt")
    if ending not in ENDINGS:
        raise FileError(f"{path}: kiyas reads {', '.join(ENDINGS)}; not {ending or 'a file without an ending'}")
    if ending in _VECTORS:
        if wanted.ids is not None:
            raise FileError(f"{path}: has no field {wanted.ids!r} for ids; give a .txt or .npy file of ids")
        return Records(vectors=_matrix(_vectors(path, ending, wanted.vector), path))
    if ending in _TABLES:
        return _table(path, ending, wanted)
    if ending in _RECORDS:
        return _records(path, jsonl_records(path) if ending == ".jsonl" else csv_records(path), wanted)
    text = read_text(path)
    if not text.strip():
        raise FileError(f"{path}: holds no text")
    if wanted.lines:
        return Records(texts=[line for line in text.splitlines() if line.strip()])
    return Records(texts=[text], ids=[str(path)])


# -- vectors ---------------------------------------------------------------------------------------


def _vectors(path: Path, ending: str, name: str | None) -> np.ndarray:
    if name is not None and ending in (".npy", ".fvecs"):
        raise FileError(f"{path}: holds one array without a name; leave --vector-column out")
    try:
        if ending == ".npy":
            return read_npy(path)
        if ending == ".fvecs":
            return _fvecs(path)
        if ending == ".npz":
            return read_npz(path, _one_of(npz_names(path), name, path, "array"))
        return _safetensors(path, name)
    except (ValueError, OSError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path}: cannot be read as {ending}: {error}") from None


def _safetensors(path: Path, name: str | None) -> np.ndarray:
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, framework="np") as file:
            chosen = _one_of(list(file.keys()), name, path, "array")
            return np.asarray(file.get_tensor(chosen))
    except (SafetensorError, TypeError) as error:  # TypeError: a dtype that NumPy lacks, such as bfloat16
        raise FileError(f"{path}: cannot be read as .safetensors: {error}") from None


def _fvecs(path: Path) -> np.ndarray:
    size = path.stat().st_size
    raw = np.memmap(path, dtype="<i4", mode="r") if size and size % 4 == 0 else np.empty(0, "<i4")
    dims = int(raw[0]) if raw.size else 0
    if dims < 1 or raw.size % (dims + 1):
        raise FileError(f"{path}: is no .fvecs file, or is cut off: {size} bytes are not whole vectors, each after its "
                        "length")
    table = raw.reshape(-1, dims + 1)
    odd = np.flatnonzero(table[:, 0] != dims)
    if odd.size:
        raise FileError(f"{path}: vector {odd[0]} has {table[odd[0], 0]} dimensions, the first one {dims}")
    return np.ascontiguousarray(table[:, 1:]).view("<f4")


def _matrix(x: np.ndarray, path: Path) -> np.ndarray:
    """As (rows, dims); a one-dimensional array is one vector."""
    x = x[None, :] if x.ndim == 1 else x
    if x.ndim != 2 or x.dtype.kind not in "fiu" or 0 in x.shape:
        raise FileError(f"{path}: must hold numbers of shape (rows, dims), got shape {x.shape} of {x.dtype}")
    return x


def _joined(parts: list[np.ndarray], files: list[Path]) -> np.ndarray:
    for part, path in zip(parts, files, strict=True):
        if part.shape[1] != parts[0].shape[1]:
            raise FileError(f"{path}: has vectors of {part.shape[1]} dimensions, {files[0]} of {parts[0].shape[1]}")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


# -- texts -----------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """A file as text; `FileError` where it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None


def jsonl_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, record) of every line that is not blank; `FileError` names the line that is no JSON object."""
    # Not splitlines: JSON texts may hold other line ends (U+2028) as they are.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise FileError(f"{path}, line {number}: is not JSON ({error})") from None
        if not isinstance(record, dict):
            raise FileError(f"{path}, line {number}: must be a JSON object with named fields, got "
                            f"{type(record).__name__}")
        yield number, record


def csv_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, record) of every record after the line of names; `FileError` names the line that has another number."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        reader = csv.DictReader(read_text(path).splitlines(keepends=True), strict=True)
        for record in reader:
            if None in record or None in record.values():
                raise FileError(f"{path}, line {reader.line_num}: must have {len(reader.fieldnames or ())} fields, as "
                                "the first line has")
            yield reader.line_num, record
    except csv.Error as error:
        raise FileError(f"{path}, line {reader.line_num}: is no CSV ({error})") from None
    finally:
        csv.field_size_limit(before)


def _records(path: Path, records: Iterable[tuple[int, dict[str, Any]]], wanted: _Wanted) -> Records:
    field = wanted.text or "text"
    texts: list[str] = []
    ids: list[Any] = []
    id_field = wanted.ids
    for number, record in records:
        if not texts and id_field is None:
            id_field = next((name for name in _ID_FIELDS if name in record), None)
        for name, purpose, option in ((field, "text", "--text-column"), (wanted.title, "title", "--title-column"),
                                      (id_field, "id", "--ids")):
            if name is not None and name not in record:
                cure = f"name one with {option}"
                raise FileError(f"{path}, line {number}: has no field {name!r} for the {purpose}; it has "
                                f"{', '.join(record)}; {cure}")
        text = _titled(record[field], record[wanted.title] if wanted.title else None)
        if not isinstance(text, str) or not text.strip():
            raise FileError(f"{path}, line {number}: field {field!r} must be a text that is not blank, got {text!r}")
        texts.append(text)
        if id_field is not None:
            ids.append(_id(record[id_field], f"{path}, line {number}"))
    if not texts:
        raise FileError(f"{path}: holds no records")
    return Records(texts=texts, ids=ids if id_field is not None else None)


def _titled(text: Any, title: Any) -> Any:
    """A text below its title, as a paragraph of its own."""
    if isinstance(text, str) and isinstance(title, str) and title.strip():
        return f"{title.strip()}\n\n{text}" if text.strip() else title
    return text


def _table(path: Path, ending: str, wanted: _Wanted) -> Records:
    try:
        arrow = importlib.import_module("pyarrow")
        reader = importlib.import_module("pyarrow.parquet" if ending == ".parquet" else "pyarrow.feather")
    except ImportError:
        raise missing_extra("pyarrow", "arrow", f"reading {path.name}") from None
    try:
        table = reader.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise FileError(f"{path}: cannot be read as {ending}: {error}") from None
    id_field = wanted.ids or next((name for name in _ID_FIELDS if name in table.column_names), None)
    ids = None if id_field is None else [_id(v, f"{path}, row {i}") for i, v in
                                         enumerate(_column(table, id_field, path).to_pylist())]
    kinds = arrow.types
    listed = [f.name for f in table.schema
              if kinds.is_list(f.type) or kinds.is_large_list(f.type) or kinds.is_fixed_size_list(f.type)]
    if wanted.text is None and (wanted.vector is not None or listed):
        name = wanted.vector or _one_of(listed, None, path, "column of vectors")
        column = _column(table, name, path)
        value_type = str(getattr(column.type, "value_type", ""))
        try:
            vectors = np.array(column.to_pylist(), np.float32 if value_type in ("float", "halffloat") else np.float64)
        except (ValueError, TypeError):
            raise FileError(f"{path}: column {name!r} must hold vectors of one length in every row") from None
        return Records(vectors=_matrix(vectors, path), ids=ids)
    texts = _column(table, wanted.text or "text", path).to_pylist()
    if wanted.title is not None:
        texts = [_titled(text, title) for text, title in
                 zip(texts, _column(table, wanted.title, path).to_pylist(), strict=True)]
    bad = next((i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()), None)
    if bad is not None:
        raise FileError(f"{path}, row {bad}: column {wanted.text or 'text'!r} must hold a text that is not blank, got "
                        f"{texts[bad]!r}")
    return Records(texts=texts, ids=ids)


def _column(table: Any, name: str, path: Path) -> Any:
    if name not in table.column_names:
        raise FileError(f"{path}: has no column {name!r}; it has {', '.join(table.column_names)}")
    return table.column(name)


# -- ids -------------------------------------------------------------------------------------------


def _id(value: object, place: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise FileError(f"{place}: an id must be an integer or a text, got {value!r}")
    return value


def _ids_of(parts: list[Records], files: list[Path]) -> list[int | str] | None:
    """Ids of all files, or of none."""
    lacking = [path for part, path in zip(parts, files, strict=True) if part.ids is None]
    if not lacking:
        return [i for part in parts for i in part.ids or ()]
    if len(lacking) < len(parts):
        raise FileError(f"{lacking[0]}: has no ids, but another of the files has")
    return None


def _ids_beside(path: Path, rows: int) -> list[int | str]:
    if not path.exists():
        raise FileError(f"{path}: there is no such file")
    if path.suffix == ".npy":
        raw = read_npy(path)
        if raw.dtype.kind not in "iu":
            raise FileError(f"{path}: ids must be integers, got {raw.dtype}")
        ids: list[int | str] = raw.reshape(-1).tolist()
    else:
        ids = list(read_text(path).splitlines())
    if len(ids) != rows:
        raise FileError(f"{path}: holds {len(ids)} ids for {rows} records")
    return ids


def _one_of(names: list[str], name: str | None, path: Path, what: str) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name is None or name not in names:
        missing = "holds several" if name is None else f"has no {what} {name!r}; it has"
        raise FileError(f"{path}: {missing} ({', '.join(names) or 'none'}); name one with --vector-column")
    return name


def _kind(part: Records) -> str:
    return "vectors" if part.texts is None else "texts"
