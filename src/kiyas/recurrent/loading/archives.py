"""Zip archives read with a limit: what an entry unpacks to is bounded by the size of the file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from kiyas.errors import FileError

# Weights hardly compress; a file whose entries claim more than this many times its size is a bomb.
_RATIO = 100
_ALWAYS = 1 << 24
_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError, KeyError,
           IndexError, OverflowError)


class Archive:
    """The entries of a zip file; a context manager. Raises `FileError` for what is no whole zip, or a zip bomb."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _ERRORS as error:
            raise FileError(f"{path}: is no whole zip archive ({error})") from None
        total, most = sum(entry.file_size for entry in self._zip.infolist()), _RATIO * path.stat().st_size + _ALWAYS
        if total > most:
            self._zip.close()
            raise FileError(f"{path}: is a zip bomb, its entries claim {total} bytes")
        self.names = self._zip.namelist()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        """The contents of an entry; `FileError` if it is not there, or altered."""
        if name not in self.names:
            raise FileError(f"{self.path}: is incomplete, it has no {name}")
        try:
            return self._zip.read(name)
        except _ERRORS as error:
            raise FileError(f"{self.path}: its entry {name} is altered ({error})") from None
