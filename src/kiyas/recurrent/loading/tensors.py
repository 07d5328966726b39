"""Safetensors files: named tensors and a text header, nothing that could run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from kiyas.errors import FileError

# The format's own limit.
_MOST_HEADER = 100_000_000
# The entry of the metadata that describes a model of ours.
OWN = "kiyas"
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
          "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins with these 9 bytes or more looks like one: a length, and a header in JSON."""
    return len(start) >= 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _MOST_HEADER


def is_own(metadata: dict[str, str]) -> bool:
    """Whether the metadata are those of a file that kiyas wrote."""
    return OWN in metadata


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors by name, and the metadata. bfloat16 comes as float32. Raises `FileError` for what is altered."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > _MOST_HEADER or length > len(data) - 8:
        raise FileError(f"{path}: is no whole safetensors file, its header claims {length} bytes of {len(data)}")
    try:
        header = json.loads(data[8:8 + length])
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: is altered, its header is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise FileError(f"{path}: is altered, its header is no dictionary")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FileError(f"{path}: is altered, its metadata are no texts")
    body = memoryview(data)[8 + length:]
    return {name: _tensor(path, name, entry, body) for name, entry in header.items()}, metadata


def _tensor(path: Path, name: str, entry: Any, body: memoryview) -> np.ndarray:
    if not isinstance(entry, dict):
        raise FileError(f"{path}: is altered at tensor '{name}'")
    kind, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if kind not in DTYPES and kind != "BF16":
        raise FileError(f"{path}: tensor '{name}' is of dtype {kind!r:.30}, which is not supported")
    if not _counts(shape) or not _counts(span) or len(span) != 2 or not span[0] <= span[1] <= len(body):
        raise FileError(f"{path}: is incomplete or altered at tensor '{name}'")
    dtype = np.dtype("<u2" if kind == "BF16" else DTYPES[kind])
    if span[1] - span[0] != math.prod(shape) * dtype.itemsize:
        raise FileError(f"{path}: is altered, tensor '{name}' of shape {tuple(shape)} has {span[1] - span[0]} bytes")
    found = np.frombuffer(body[span[0]:span[1]], dtype).reshape(shape)
    return bfloat16(found) if kind == "BF16" else found


def _counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) <= 32 and all(type(v) is int and 0 <= v < 2**62 for v in value)


def bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 numbers whose upper halves these are.

    >>> bfloat16(np.array([0x3f80, 0xc000], np.uint16)).tolist()
    [1.0, -2.0]
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)
