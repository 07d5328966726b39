"""An index on disk: a directory of safetensors files and a JSON manifest.

    manifest.json          format version, measure, sizes and SHA-256 of the other files; written last
    vectors.safetensors    the rows, in their dtype
    ids.safetensors        integer ids, or ids.json for texts; absent where ids are row numbers
    measure.safetensors    arrays of the fitted measure; absent where it has none

It is written as a whole, and a load checks every file against the manifest (kiyas.directory).
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from kiyas.arrays import Array, dtype_name, row_blocks, to_numpy
from kiyas.directory import Format, refuse_others, replacing, write_file
from kiyas.errors import FileError, KiyasError, missing_extra
from kiyas.measures import from_state, to_state
from kiyas.measures import measure as make_measure
from kiyas.measures.base import Measure
from kiyas.search.rows import Ids, Rows

if TYPE_CHECKING:
    from kiyas.search.index import Index

FORMAT = Format("index", version=1, manifest="manifest.json", files=frozenset({"vectors.safetensors"}),
                optional=frozenset({"ids.safetensors", "ids.json", "measure.safetensors"}),
                facts={"rows": int, "dims": int, "dtype": str, "later": int, "measure": dict})
_CODES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int64": "I64"}
_NAMES = {code: name for name, code in _CODES.items()}
# A header is a few hundred bytes; one of more is no header of ours.
_MOST_HEADER = 1 << 20


def save(index: Index, directory: str | os.PathLike[str]) -> None:
    """Write an index; an index that was there is replaced as a whole, anything else is left alone."""
    target = Path(directory)
    refuse_others(target, FORMAT)
    with replacing(target) as part:
        _write(index, part)


def _write(index: Index, part: Path) -> None:
    rows, ids = index._rows, index._ids
    state, arrays = to_state(index.measure)
    files = {}
    live = None if ids.live is None else np.flatnonzero(ids.live)
    count = rows.count if live is None else live.size

    def blocks() -> Iterator[np.ndarray]:
        for start, stop in row_blocks(count, rows.dims):
            yield _host_bits(rows.block(start, stop) if live is None else rows.take(live[start:stop]))

    dtype = rows.dtype if rows.on_host or rows.dtype != "bfloat16" or live is None else "float32"
    files["vectors.safetensors"] = _write_tensor(part / "vectors.safetensors", "vectors", dtype, (count, rows.dims),
                                                 blocks())
    kind = "numbers"
    if ids.given or live is not None:
        values = ids.all()
        kind = "integers" if ids.numbered else "texts"
        name = "ids.safetensors" if ids.numbered else "ids.json"
        if ids.numbered:
            files[name] = _write_tensor(part / name, "ids", "int64", values.shape, [values.astype(np.int64)])
        else:
            files[name] = write_file(part / name, [json.dumps(values.tolist(), ensure_ascii=False).encode()])
    if arrays:
        from safetensors.numpy import save as safetensors

        files["measure.safetensors"] = write_file(part / "measure.safetensors", [safetensors(arrays)])
    from kiyas import __version__

    FORMAT.write_manifest(part, {"kiyas": __version__, "rows": count, "dims": rows.dims, "dtype": dtype, "ids": kind,
                                 "later": index.info["later"], "measure": state, "files": files})


def _host_bits(block: Array) -> np.ndarray:
    """A block on the host; bfloat16, which NumPy lacks, as its bits."""
    if array_api_compat.is_torch_array(block) and dtype_name(block) == "bfloat16":
        import torch

        return np.asarray(block.detach().cpu().view(torch.int16).numpy())
    return to_numpy(block)


def _write_tensor(path: Path, name: str, dtype: str, shape: tuple[int, ...],
                  blocks: Iterable[np.ndarray]) -> dict[str, Any]:
    """One tensor as a safetensors file, block by block, so that a memory map passes through."""
    itemsize = {"F64": 8, "I64": 8, "F32": 4}.get(_CODES[dtype], 2)
    size = itemsize * int(np.prod(shape, dtype=np.int64))
    header = json.dumps({name: {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)

    def pieces() -> Iterator[bytes | memoryview]:
        yield struct.pack("<Q", len(header)) + header
        for block in blocks:
            little = np.ascontiguousarray(block)
            yield little.view(np.uint8).reshape(-1).data

    return write_file(path, pieces())


def load(cls: type[Index], directory: str | os.PathLike[str],
         measure: str | Measure | Callable[..., Any] | None = None, mmap: bool = True, verify: bool = True) -> Index:
    """Read an index back; see `Index.load`."""
    source = Path(directory)
    manifest = FORMAT.read_manifest(source)
    for name, entry in manifest["files"].items():
        FORMAT.check_file(source / name, entry, verify)
    vectors = _read_tensor(source / "vectors.safetensors", "vectors", mmap)
    wanted = (manifest["rows"], manifest["dims"])
    if vectors.shape != wanted or dtype_name(vectors) != manifest["dtype"]:
        raise FileError(f"{source / 'vectors.safetensors'}: holds {vectors.shape} {dtype_name(vectors)}, the manifest "
                        f"says {wanted} {manifest['dtype']}")
    index = object.__new__(cls)
    rows = Rows(vectors)
    index._open(rows, Ids(_read_ids(source, manifest), rows.count), _measure(source, manifest, measure),
                rows.count - manifest["later"])
    return index


def _measure(source: Path, manifest: dict[str, Any], given: str | Measure | Callable[..., Any] | None) -> Measure:
    """The saved measure; a measure given in its place; or the function of a saved measure of the user's own."""
    if given is not None and not (callable(given) and not isinstance(given, Measure)):
        return make_measure(given)
    arrays = _read_arrays(source / "measure.safetensors") if "measure.safetensors" in manifest["files"] else {}
    try:
        return from_state(manifest["measure"], arrays, function=given)
    except KiyasError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{source / FORMAT.manifest}: describes no measure ({error})") from None


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as safetensors

    try:
        return dict(safetensors(path.read_bytes()))
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:  # the last two: dtypes it does not know
        raise FileError(f"{path}: is no safetensors file of plain arrays ({error})") from None


def _read_tensor(path: Path, name: str, mmap: bool) -> np.ndarray:
    """The one tensor of a safetensors file, as a memory map or in memory."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MOST_HEADER:
                raise FileError(f"{path}: has an oversized header")
            facts = json.loads(file.read(length))[name]
            shape, (begin, end) = tuple(facts["shape"]), facts["data_offsets"]
            dtype = _dtype(_NAMES[facts["dtype"]])
        size = path.stat().st_size - 8 - length
        whole = all(isinstance(n, int) and n >= 0 for n in shape)
        if not whole or begin != 0 or end != size or dtype.itemsize * int(np.prod(shape, dtype=object)) != size:
            raise FileError(f"{path}: is altered, its header does not cover its data")
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{path}: is no safetensors file of an index ({error})") from None
    bits = np.dtype(np.uint16) if dtype.itemsize == 2 else dtype
    data = np.memmap(path, dtype=bits, mode="r", offset=8 + length, shape=shape)
    view = data if bits == dtype else data.view(dtype)
    return view if mmap else np.array(view)


def _dtype(name: str) -> np.dtype[Any]:
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise missing_extra("ml_dtypes", "bfloat16", "an index of bfloat16 vectors") from None
    narrow: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return narrow


def _read_ids(source: Path, manifest: dict[str, Any]) -> Any:
    files = manifest["files"]
    if "ids.safetensors" in files:
        return _read_tensor(source / "ids.safetensors", "ids", mmap=False)
    if "ids.json" in files:
        ids = json.loads((source / "ids.json").read_bytes())
        if not isinstance(ids, list):
            raise FileError(f"{source / 'ids.json'}: is altered, it holds no list")
        return ids
    return None
