"""HDF5 read with care: no link is followed out of the file, and nothing is read that the file cannot hold."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from kiyas.errors import FileError, missing_extra
from kiyas.recurrent.loading.tensors import bfloat16

# What libhdf5 raises through h5py on an altered file.
_ERRORS = (OSError, KeyError, ValueError, TypeError, RuntimeError, IndexError, AttributeError, OverflowError,
           NotImplementedError, UnicodeError, AssertionError)
# Weights that were saved compressed expand somewhat; a data set claiming more is not read.
_RATIO = 100
_ALWAYS = 1 << 20


class Hdf5:
    """An HDF5 file, or the bytes of one, for reading; a context manager.

    A path within is a tuple of names. Every method raises `FileError`, naming the file, for what is altered.
    """

    def __init__(self, source: Path | bytes, where: str):
        try:
            import h5py
        except ImportError:
            raise missing_extra("h5py", "keras", "reading Keras' HDF5 files") from None
        self._h5py: Any = h5py
        self.where = where
        self._bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        try:
            self._file: Any = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
        except _ERRORS as error:
            raise FileError(f"{where}: is no whole HDF5 file ({error})") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._file.close()

    def names(self, path: tuple[str, ...] = ()) -> list[str]:
        """The names in a group, sorted; [] if there is no such group."""
        try:
            group = self._at(path)
            return sorted(group) if isinstance(group, self._h5py.Group) else []
        except _ERRORS as error:
            raise self._altered(path, error) from None

    def is_array(self, path: tuple[str, ...]) -> bool:
        """Whether a data set is there."""
        try:
            return isinstance(self._at(path), self._h5py.Dataset)
        except _ERRORS as error:
            raise self._altered(path, error) from None

    def array(self, path: tuple[str, ...]) -> np.ndarray:
        """A data set of numbers."""
        shown = "/".join(path)
        try:
            data = self._at(path)
            if not isinstance(data, self._h5py.Dataset):
                raise FileError(f"{self.where}: is incomplete, it has no array {shown}")
            if data.external or data.is_virtual:
                raise FileError(f"{self.where}: the data of {shown} lie in another file, which is not read")
            if data.dtype.kind not in "fiub" and not self._is_bfloat16(data):
                raise FileError(f"{self.where}: {shown} is of dtype {data.dtype}, it should be numbers")
            if data.nbytes > _RATIO * self._bytes + _ALWAYS:
                raise FileError(f"{self.where}: {shown} claims {data.nbytes} bytes in a file of {self._bytes}")
            if self._is_bfloat16(data):
                # The upper half of a float32, kept as two raw bytes.
                return bfloat16(np.asarray(data[()]).view(np.uint16))
            return np.asarray(data[()])
        except _ERRORS as error:
            if isinstance(error, FileError):
                raise
            raise self._altered(path, error) from None

    def text(self, path: tuple[str, ...], name: str) -> str | None:
        """An attribute that is a text; None if it is not there. A long one lies in pieces: name0, name1, …"""
        found = self.texts(path, name)
        return None if found is None else "".join(found)

    def texts(self, path: tuple[str, ...], name: str) -> list[str] | None:
        """An attribute that is a list of texts; None if it is not there."""
        try:
            group = self._at(path)
            if group is None:
                return None
            if name in group.attrs:
                return self._strings(group, name)
            return self._pieces(group, name) if f"{name}0" in group.attrs else None
        except _ERRORS as error:
            if isinstance(error, FileError):
                raise
            raise self._altered(path, error) from None

    def _pieces(self, group: Any, name: str) -> list[str]:
        found: list[str] = []
        number = 0
        while f"{name}{number}" in group.attrs:
            found += self._strings(group, f"{name}{number}")
            number += 1
        return found

    def _strings(self, group: Any, name: str) -> list[str]:
        attribute = group.attrs.get_id(name)
        if 0 in attribute.shape:
            return []
        if attribute.get_storage_size() > self._bytes or np.prod(attribute.shape, dtype=float) > self._bytes:
            raise FileError(f"{self.where}: the attribute {name} claims more bytes than the file has")
        found = np.asarray(group.attrs[name]).ravel().tolist()
        return [text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in found]

    def _at(self, path: tuple[str, ...]) -> Any:
        """The object at a path, or None. Links are followed one by one, so that none but hard ones are."""
        found = self._file
        for name in path:
            if not isinstance(found, self._h5py.Group):
                return None
            link = found.get(name, getlink=True)
            if link is None:
                return None
            if not isinstance(link, self._h5py.HardLink):
                shown, kind = "/".join(path), type(link).__name__
                raise FileError(f"{self.where}: {shown} is a link of another kind ({kind}); only "
                                "data of the file itself are read")
            found = found[name]
        return found

    def _is_bfloat16(self, data: Any) -> bool:
        raw = data.dtype.kind == "V" and data.dtype.itemsize == 2
        return raw and data.attrs.get("dtype") in ("bfloat16", b"bfloat16")

    def _altered(self, path: tuple[str, ...], error: Exception) -> FileError:
        if isinstance(error, FileError):
            return error
        return FileError(f"{self.where}: is altered at {'/'.join(path) or 'its root'} ({error})")
