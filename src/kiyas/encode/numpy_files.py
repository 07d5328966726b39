"""NumPy's own files: .npy is memory-mapped, of an .npz one array at a time is read.

An altered file makes NumPy raise whatever its reader of headers happens to meet; here all of that is a `FileError`.
"""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kiyas.errors import FileError

# What NumPy raises for files that are none of its own, or altered. MemoryError: a shape that no file could hold.
_UNREADABLE = (ValueError, TypeError, OSError, EOFError, KeyError, OverflowError, MemoryError, RecursionError,
               SyntaxError, RuntimeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error)

_MAGIC = b"\x93NUMPY"


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file, memory-mapped; `FileError` for anything else."""
    with _opened(path, ".npy") as file:
        if file.read(len(_MAGIC)) == _MAGIC:
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        file.seek(0)
        with np.load(file, allow_pickle=False):  # which raises, but for an .npz
            raise FileError(f"{path}: cannot be read as .npy: it holds several arrays, as an .npz file does")


def npz_names(path: Path) -> list[str]:
    """The names of the arrays of an .npz file; `FileError` for anything else."""
    with _arrays(path) as arrays:
        return list(arrays)


def read_npz(path: Path, name: str) -> np.ndarray:
    """An array of an .npz file by its name, which is there; `FileError` where it is altered."""
    with _arrays(path) as arrays:
        return np.asarray(arrays[name])


@contextmanager
def _arrays(path: Path) -> Iterator[Any]:
    with _opened(path, ".npz") as file:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            raise FileError(f"{path}: cannot be read as .npz: it holds a single array, as an .npy file does")
        with found:
            yield found


@contextmanager
def _opened(path: Path, ending: str) -> Iterator[BinaryIO]:
    if not path.exists():
        raise FileError(f"{path}: there is no such file")
    if not path.is_file():  # reading a pipe would wait for a writer
        raise FileError(f"{path}: is no plain file")
    try:
        with path.open("rb") as file:  # opened here, as NumPy leaves a file open that it cannot read
            yield file
    except _UNREADABLE as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path}: cannot be read as {ending}: {_of_numpy(error)}") from None


def _of_numpy(error: BaseException) -> str:
    """What NumPy says of a file, without its advice to unpickle what it does not know."""
    text = " ".join(str(error).split())
    if "allow_pickle" in text or "Python objects" in text:
        return "it holds no array of numbers"
    if isinstance(error, ValueError | OSError | EOFError | zipfile.BadZipFile | zlib.error) and text:
        return text
    return "its header is altered, or it is cut off"
