"""HDF5 as Keras writes it, read in plain Python: nothing in an altered file can bring more than an error about.

Of the format (HDF5 File Format Specification 3.0) this is what h5py writes unless told otherwise, old and new:
superblocks 0 to 3, object headers 1 and 2, groups of symbol tables or compact links, attributes that are texts, data
sets that are contiguous, compact, or in chunks with deflate and shuffle. Whatever else is refused by name. Links are
hard ones, or refused; data in other files are refused; nothing is read that the file cannot hold.

h5py itself is not used: on an altered file its library may take the whole process down.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from kiyas.errors import FileError
from kiyas.recurrent.loading.tensors import bfloat16

_MAGIC = b"\x89HDF\r\n\x1a\n"
_NOWHERE = 0xFFFFFFFFFFFFFFFF
# Compressed weights expand somewhat; a data set claiming more than this is not read.
_RATIO = 100
_ALWAYS = 1 << 20
# No file of ours comes near; an altered one may point in circles.
_MOST_MESSAGES = 1 << 16
_MOST_NODES = 1 << 16


@dataclass(frozen=True)
class _Type:
    """An element: a NumPy dtype; texts of variable length lie elsewhere in the file; None for what is not supported."""

    size: int
    dtype: np.dtype | None
    texts: bool = False


@dataclass(frozen=True)
class _Array:
    """A data set: its element, shape, and where it lies."""

    kind: _Type
    shape: tuple[int, ...]
    layout: tuple[int, int]
    filters: tuple[int, ...]
    external: bool


@dataclass
class _Object:
    """What the header of a group or data set says."""

    links: dict[str, int | str] = field(default_factory=dict)
    attributes: dict[str, tuple[_Type, tuple[int, ...], int]] = field(default_factory=dict)
    array: _Array | None = None


class Hdf5:
    """An HDF5 file, or the bytes of one, for reading; a context manager.

    A path within is a tuple of names. Every method raises `FileError`, naming the file, for what is altered or not
    supported.
    """

    def __init__(self, source: Path | bytes, where: str):
        self.where = where
        self._data = source if isinstance(source, bytes) else source.read_bytes()
        self._objects: dict[int, _Object] = {}
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        if not self._data.startswith(_MAGIC):
            raise FileError(f"{where}: is no HDF5 file")
        version = self._number(8, 1)
        if version in (0, 1):
            sizes, root = self._take(13, 2), 64 + 4 * version
        elif version in (2, 3):
            sizes, root = self._take(9, 2), 36
        else:
            raise self._unsupported(f"superblocks of version {version}")
        if sizes != b"\x08\x08":
            raise self._unsupported("addresses of other than 8 bytes")
        self._root = self._number(root, 8)
        end = self._number(root - 24 if version < 2 else root - 8, 8)
        if end > len(self._data):
            raise FileError(f"{where}: is incomplete, it has {len(self._data)} bytes of {end}")
        self._object(self._root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._data = b""

    # -- what is in it --------------------------------------------------------------------------------

    def names(self, path: tuple[str, ...] = ()) -> list[str]:
        """The names in a group, sorted; [] if there is no such group."""
        found = self._at(path)
        return [] if found is None else sorted(found.links)

    def is_array(self, path: tuple[str, ...]) -> bool:
        """Whether a data set is there."""
        found = self._at(path)
        return found is not None and found.array is not None

    def array(self, path: tuple[str, ...], dtype: str = "") -> np.ndarray:
        """A data set of numbers.

        bfloat16 lies in a file as raw bytes. Keras 3 says so beside them in ``.keras`` and ``.weights.h5``, and nowhere
        else: ``dtype`` is what the configuration says.
        """
        found, shown = self._at(path), "/".join(path)
        if found is None or found.array is None:
            raise FileError(f"{self.where}: is incomplete, it has no array {shown}")
        array = found.array
        if array.external:
            raise FileError(f"{self.where}: the data of {shown} lie in another file, which is not read")
        if array.kind.dtype is None:
            raise FileError(f"{self.where}: {shown} should be numbers, it is of another type")
        total = array.kind.size
        for size in array.shape:
            total *= size
        if total > _RATIO * len(self._data) + _ALWAYS:
            raise FileError(f"{self.where}: {shown} claims {total} bytes in a file of {len(self._data)}")
        numbers = self._numbers(array, total)
        raw = array.kind.dtype.kind == "V"
        if raw and (array.kind.size != 2 or "bfloat16" not in (dtype, *self._text_of(found, "dtype"))):
            raise FileError(f"{self.where}: {shown} should be numbers, it is raw bytes, and nothing says that they are "
                            "bfloat16; save the model with weights of float32")
        return bfloat16(numbers.view("<u2")) if raw else numbers

    def text(self, path: tuple[str, ...], name: str) -> str | None:
        """An attribute that is a text; None if it is not there. A long one lies in pieces: name0, name1, …"""
        found = self.texts(path, name)
        return None if found is None else "".join(found)

    def texts(self, path: tuple[str, ...], name: str) -> list[str] | None:
        """An attribute that is a list of texts, perhaps in pieces; None if it is not there."""
        found = self._at(path)
        if found is None:
            return None
        if name in found.attributes:
            return self._text_of(found, name)
        pieces: list[str] = []
        number = 0
        while f"{name}{number}" in found.attributes:
            pieces += self._text_of(found, f"{name}{number}")
            number += 1
        return pieces if number else None

    def _at(self, path: tuple[str, ...]) -> _Object | None:
        found = self._object(self._root)
        for name in path:
            if name not in found.links:
                return None
            link = found.links[name]
            if isinstance(link, str):
                raise FileError(f"{self.where}: {'/'.join(path)} is {link}; only data of the file itself are read")
            found = self._object(link)
        return found

    # -- bytes ----------------------------------------------------------------------------------------

    def _take(self, at: int, count: int) -> bytes:
        if at < 0 or count < 0 or at + count > len(self._data):
            raise self._altered("points behind its end")
        return self._data[at:at + count]

    def _number(self, at: int, count: int) -> int:
        return int.from_bytes(self._take(at, count), "little")

    def _signed(self, at: int, mark: bytes) -> int:
        if self._take(at, len(mark)) != mark:
            raise self._altered(f"has no {mark.decode()} where it should")
        return at + len(mark)

    def _altered(self, what: str) -> FileError:
        return FileError(f"{self.where}: is no whole HDF5 file, or altered: it {what}")

    def _unsupported(self, what: str) -> FileError:
        return FileError(f"{self.where}: has {what}, which is not supported; save it again as Keras does by default")

    # -- objects --------------------------------------------------------------------------------------

    def _object(self, at: int) -> _Object:
        if at not in self._objects:
            self._objects[at] = self._read_object(at)
        return self._objects[at]

    def _read_object(self, at: int) -> _Object:
        found = _Object()
        kind: _Type | None = None
        shape: tuple[int, ...] | None = None
        layout: tuple[int, int] | None = None
        filters: tuple[int, ...] = ()
        external = False
        for message, flags, start, size in self._messages(at):
            end = start + size
            if message in (0x01, 0x03, 0x08, 0x0C) and flags & 2:
                raise self._unsupported("shared messages")
            if message == 0x01:
                shape = self._shape(start)
            elif message == 0x03:
                kind = self._type(start)
            elif message == 0x06:
                self._link(start, found)
            elif message == 0x07:
                external = True
            elif message == 0x08:
                layout = self._layout(start)
            elif message == 0x0B:
                filters = self._filters(start)
            elif message == 0x0C:
                self._attribute(start, end, found)
            elif message == 0x11:
                self._symbols(self._number(start, 8), self._number(start + 8, 8), found)
            elif message in (0x02, 0x15):
                extra = {0x02: 8, 0x15: 2}[message] if self._number(start + 1, 1) & 1 else 0
                if self._number(start + 2 + extra, 8) != _NOWHERE:
                    raise self._unsupported("links or attributes in a fractal heap (libver='latest')")
        if kind is not None and shape is not None and layout is not None:
            found.array = _Array(kind, shape, layout, filters, external or layout[0] == 3)
        return found

    def _messages(self, at: int) -> Iterator[tuple[int, int, int, int]]:
        """(type, flags, where, size) of each message of an object header."""
        new = self._take(at, 4) == b"OHDR"
        if new:
            if self._number(at + 4, 1) != 2:
                raise self._unsupported("object headers of another version")
            flags = self._number(at + 5, 1)
            start = at + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
            width = 1 << (flags & 3)
            blocks = [(start + width, self._number(start, width))]
            head = 4 + 2 * bool(flags & 4)
        else:
            if self._number(at, 1) != 1:
                raise self._altered("has no object header where it should")
            blocks, head = [(at + 16, self._number(at + 8, 4))], 8
        count = 0
        seen: set[int] = set()
        while blocks:
            start, size = blocks.pop(0)
            if start in seen:
                raise self._altered("points in circles")
            seen.add(start)
            end = start + size
            self._take(start, size)
            while start + head <= end:
                kind, length = (self._number(start, 1), self._number(start + 1, 2)) if new else \
                    (self._number(start, 2), self._number(start + 2, 2))
                flags = self._number(start + (3 if new else 4), 1)
                start += head
                count += 1
                if start + length > end or count > _MOST_MESSAGES:
                    raise self._altered("has a header that is longer than it says")
                if kind == 0x10:
                    block, size = self._number(start, 8), self._number(start + 8, 8)
                    blocks.append((self._signed(block, b"OCHK"), size - 8) if new else (block, size))
                elif kind:
                    yield kind, flags, start, length
                start += length

    def _shape(self, at: int) -> tuple[int, ...]:
        version, rank = self._number(at, 1), self._number(at + 1, 1)
        if version not in (1, 2) or rank > 32:
            raise self._altered(f"has a shape of version {version} and rank {rank}")
        if version == 2 and self._number(at + 3, 1) == 2:
            return (0,)  # no elements
        start = at + (8 if version == 1 else 4)
        return tuple(self._number(start + 8 * k, 8) for k in range(rank))

    def _type(self, at: int) -> _Type:
        kind, bits, size = self._number(at, 1) & 15, self._number(at + 1, 3), self._number(at + 4, 4)
        order = ">" if bits & 1 else "<"
        if kind == 0 and size in (1, 2, 4, 8):
            return _Type(size, np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}"))
        if kind == 1 and (size, self._number(at + 13, 1)) in ((2, 5), (4, 8), (8, 11)):
            return _Type(size, np.dtype(f"{order}f{size}"))
        if kind == 3 and size:
            return _Type(size, None)
        if kind == 5 and size:
            return _Type(size, np.dtype(f"V{size}"))
        if kind == 8 and size == 1:  # how h5py writes booleans
            return _Type(size, np.dtype("?"))
        if kind == 9 and bits & 15 == 1 and size == 16:
            return _Type(size, None, texts=True)
        return _Type(size, None)

    def _link(self, at: int, found: _Object) -> None:
        flags = self._number(at + 1, 1)
        at += 2
        kind = 0
        if flags & 8:
            kind, at = self._number(at, 1), at + 1
        at += 8 * bool(flags & 4) + bool(flags & 16)
        width = 1 << (flags & 3)
        length, at = self._number(at, width), at + width
        name = self._take(at, length).decode("utf-8", "replace")
        found.links[name] = self._number(at + length, 8) if kind == 0 else \
            "a soft link" if kind == 1 else "an external link"

    def _symbols(self, tree: int, heap: int, found: _Object) -> None:
        """The links of an old group: a tree of symbol tables, with names in a heap."""
        names = self._number(self._signed(heap, b"HEAP") + 20, 8)
        size = self._number(heap + 8, 8)
        self._take(names, size)
        for leaf in self._leaves(tree, 0, 8):
            start = self._signed(leaf, b"SNOD")
            for k in range(self._number(start + 2, 2)):
                entry = start + 4 + 40 * k
                offset = self._number(entry, 8)
                if offset >= size:
                    raise self._altered("has a name outside its heap")
                end = self._data.find(b"\0", names + offset, names + size)
                name = self._data[names + offset:end if end >= 0 else names + size].decode("utf-8", "replace")
                soft = self._number(entry + 16, 4) == 2
                found.links[name] = "a soft link" if soft else self._number(entry + 8, 8)

    def _leaves(self, tree: int, kind: int, key: int) -> Iterator[int]:
        """What the leaves of a tree point at; the keys lie before the pointers."""
        waiting = [tree]
        seen: set[int] = set()
        while waiting:
            at = waiting.pop()
            if at in seen or len(seen) > _MOST_NODES:
                raise self._altered("points in circles")
            seen.add(at)
            start = self._signed(at, b"TREE")
            level, entries = self._number(start + 1, 1), self._number(start + 2, 2)
            if self._number(start, 1) != kind:
                raise self._altered("has a tree of another kind where it should not")
            first = start + 20
            children = [first + (key + 8) * k + key for k in range(entries)]
            if level:
                waiting += [self._number(child, 8) for child in children][::-1]
            elif kind == 0:
                yield from (self._number(child, 8) for child in children)
            else:
                yield from children

    # -- attributes -----------------------------------------------------------------------------------

    def _attribute(self, at: int, end: int, found: _Object) -> None:
        version = self._number(at, 1)
        if version not in (1, 2, 3) or (version > 1 and self._number(at + 1, 1)):
            raise self._unsupported("attributes of another version")
        name_size, type_size, shape_size = (self._number(at + 2 + 2 * k, 2) for k in range(3))
        start = at + 8 + (version == 3)

        def padded(size: int) -> int:
            return -(-size // 8) * 8 if version == 1 else size
        name = self._take(start, name_size).rstrip(b"\0").decode("utf-8", "replace")
        start += padded(name_size)
        kind = self._type(start)
        start += padded(type_size)
        shape = self._shape(start)
        start += padded(shape_size)
        total = kind.size
        for size in shape:
            total *= size
        if start + total > end:
            raise self._altered(f"has an attribute, {name!r:.40}, that is longer than it says")
        found.attributes[name] = (kind, shape, start)

    def _text_of(self, found: _Object, name: str) -> list[str]:
        if name not in found.attributes:
            return []
        kind, shape, start = found.attributes[name]
        count = 1
        for size in shape:
            count *= size
        if kind.dtype is not None and count:
            raise self._altered(f"has an attribute, {name!r:.40}, that should be a text")
        return [self._text(kind, start + kind.size * k) for k in range(count)]

    def _text(self, kind: _Type, at: int) -> str:
        raw = self._take(at, kind.size)
        if kind.texts:
            length, heap, index = self._number(at, 4), self._number(at + 4, 8), self._number(at + 12, 4)
            if not length:
                return ""
            start, size = self._heap(heap).get(index, (0, -1))
            if length > size:
                raise self._altered("has a text outside its heap")
            raw = self._take(start, length)
        return raw.rstrip(b"\0").decode("utf-8", "replace")

    def _heap(self, at: int) -> dict[int, tuple[int, int]]:
        """Where the objects of a heap lie, and their sizes."""
        if at not in self._heaps:
            start = self._signed(at, b"GCOL")
            end, found = at + self._number(start + 4, 8), {}
            self._take(at, end - at)
            start += 12
            while start + 16 <= end:
                index, size = self._number(start, 2), self._number(start + 8, 8)
                if not index:
                    break
                if start + 16 + size > end:
                    raise self._altered("has an object outside its heap")
                found[index] = (start + 16, size)
                start += 16 + -(-size // 8) * 8
            self._heaps[at] = found
        return self._heaps[at]

    # -- data -----------------------------------------------------------------------------------------

    def _layout(self, at: int) -> tuple[int, int]:
        """The class of a layout (0 compact, 1 contiguous, 2 chunks, 3 virtual), and where it is described."""
        version = self._number(at, 1)
        if version in (1, 2):
            kind = self._number(at + 2, 1)
            if kind != 1:
                raise self._unsupported("an old layout of data")
            return 1, at + 8
        if version not in (3, 4):
            raise self._unsupported("another layout of data")
        kind = self._number(at + 1, 1)
        if kind > 3 or (kind == 2 and version == 4):
            raise self._unsupported("another index of chunks (libver='latest')")
        return kind, at + 2

    def _filters(self, at: int) -> tuple[int, ...]:
        version, count = self._number(at, 1), self._number(at + 1, 1)
        start, found = at + (8 if version == 1 else 2), []
        for _ in range(count):
            number = self._number(start, 2)
            named = version == 1 or number >= 256
            length = self._number(start + 2, 2) if named else 0
            values = self._number(start + (6 if named else 4), 2)
            start += (8 if named else 6) + (-(-length // 8) * 8 if version == 1 else length) + 4 * values
            start += 4 * (values % 2) if version == 1 else 0
            found.append(number)
        if unknown := [number for number in found if number not in (1, 2, 3)]:
            raise self._unsupported(f"data packed by filter {unknown[0]}")
        return tuple(found)

    def _numbers(self, array: _Array, total: int) -> np.ndarray:
        kind, at = array.layout
        dtype = array.kind.dtype
        if kind == 2:
            return self._chunks(array, at)
        if kind == 0:
            start, size = at + 2, self._number(at, 2)
        else:
            start, size = self._number(at, 8), total
            if start == _NOWHERE:  # nothing was ever written
                return np.zeros(array.shape, dtype)
        if size < total:
            raise self._altered("has an array that is longer than its data")
        return np.frombuffer(self._take(start, total), dtype).reshape(array.shape)

    def _chunks(self, array: _Array, at: int) -> np.ndarray:
        rank = len(array.shape)
        chunk = tuple(self._number(at + 9 + 4 * k, 4) for k in range(rank))
        if self._number(at, 1) != rank + 1 or 0 in chunk:
            raise self._altered("has chunks of another rank than its array")
        dtype, size = array.kind.dtype, array.kind.size
        for n in chunk:
            size *= n
        if size > _RATIO * len(self._data) + _ALWAYS:
            raise self._altered(f"claims chunks of {size} bytes")
        found = np.zeros(array.shape, dtype)
        tree = self._number(at + 1, 8)
        for pointer in self._leaves(tree, 1, 16 + 8 * rank) if tree != _NOWHERE else ():
            key = pointer - (16 + 8 * rank)
            packed, skipped = self._number(key, 4), self._number(key + 4, 4)
            place = tuple(self._number(key + 8 + 8 * k, 8) for k in range(rank))
            data = self._unpacked(self._take(self._number(pointer, 8), packed), array, skipped, size)
            block = np.frombuffer(data, dtype).reshape(chunk)
            inside = tuple(slice(0, max(0, min(n, total - start)))
                           for n, total, start in zip(chunk, array.shape, place, strict=True))
            found[tuple(slice(start, start + n) for start, n in zip(place, chunk, strict=True))] = block[inside]
        return found

    def _unpacked(self, data: bytes, array: _Array, skipped: int, size: int) -> bytes:
        for number in range(len(array.filters) - 1, -1, -1):
            if skipped >> number & 1:
                continue
            match array.filters[number]:
                case 1:
                    try:
                        data = zlib.decompressobj().decompress(data, size + 4)
                    except zlib.error as error:
                        raise self._altered(f"has a chunk that cannot be unpacked ({error})") from None
                case 2:
                    width = array.kind.size
                    whole = len(data) // width * width
                    data = np.frombuffer(data[:whole], np.uint8).reshape(width, -1).T.tobytes() + data[whole:]
                case _:
                    data = data[:-4]  # a checksum
        if len(data) != size:
            raise self._altered(f"has a chunk of {len(data)} bytes, wanted {size}")
        return data
