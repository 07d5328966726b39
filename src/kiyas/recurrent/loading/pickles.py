"""Pickles read without running anything: only data, and the few globals that the caller allows.

A pickle is a program: it may import any function and call it. Here a first pass over the opcodes refuses what no
file of ours needs and what asks for more memory than the file has bytes; then the pickle is read by an unpickler that
knows the allowed globals only. An object of a class is never made: the class's name may be allowed as a `record`, which
keeps the object's attributes as a dictionary and does nothing.

>>> import pickle, collections
>>> load(pickle.dumps({"a": 1}), {})
{'a': 1}
>>> load(pickle.dumps(collections.OrderedDict(a=1)), {})
Traceback (most recent call last):
    ...
kiyas.errors.FileError: pickle: names collections.OrderedDict, which is not allowed here; nothing was run
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from kiyas.errors import FileError

# (module, name) -> what stands for it. Callables are called with what the pickle gives, so each must be harmless.
Allowed = Mapping[tuple[str, str], Any]

# A list of tokens of a million words is some 30 MB.
MOST_BYTES = 1 << 28

# Tuples within tuples, each there several times, are few bytes of a pickle and endless work to hash or to show.
_MOST_ITEMS = 1 << 16

# EXT: a process-wide registry; BYTEARRAY8: allocates what it claims; the buffers: out-of-band data.
_REFUSED = frozenset({"EXT1", "EXT2", "EXT4", "INST", "OBJ", "BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER"})


class Record:
    """What stands for an object of a class: its attributes, in ``attributes``. See `record`."""

    attributes: dict[str, Any]

    def __new__(cls, *_: object) -> Record:
        made = super().__new__(cls)
        made.attributes = {}
        return made

    def __init__(self, *_: object) -> None:
        """Take what the pickle gives to the constructor, and leave it."""

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise pickle.UnpicklingError(f"the attributes of a {type(self).__name__} are no dictionary of names")
        self.attributes.update(state)


def record(name: str) -> type[Record]:
    """A class without behaviour that stands for the class of that name.

    >>> allowed = {("keras_preprocessing.text", "Tokenizer"): record("Tokenizer")}
    """
    return type(name, (Record,), {})


def load(data: bytes, allowed: Allowed, *, where: str = "pickle", encoding: str = "utf-8",
         persistent: Callable[[Any], Any] | None = None) -> Any:
    """The object in the pickle.

    ``allowed`` maps (module, name) to what stands for that global. ``persistent`` resolves persistent ids.
    ``encoding`` is of the byte strings of Python 2. Raises `FileError`, naming ``where``, for any other global and for
    bytes that are no whole pickle.
    """
    return load_from(io.BytesIO(data), allowed, where=where, encoding=encoding, persistent=persistent)


def load_from(file: io.BytesIO, allowed: Allowed, *, where: str = "pickle", encoding: str = "utf-8",
              persistent: Callable[[Any], Any] | None = None) -> Any:
    """The next pickle in the file, which is left after it; see `load`."""
    start = file.tell()
    _check_opcodes(file, where)
    file.seek(start)
    reader = _Restricted(file, encoding=encoding)
    reader.allowed, reader.where, reader.resolve = allowed, where, persistent
    reader.tuples, reader.items = [], {}
    try:
        return reader.load()
    except (FileError, MemoryError):
        raise
    # Whatever a hostile program of opcodes makes of the reader and of the allowed callables.
    except Exception as error:  # noqa: BLE001
        raise FileError(f"{where}: is no whole pickle ({type(error).__name__}: {error})") from None


def _check_opcodes(file: io.BytesIO, where: str) -> None:
    if len(file.getbuffer()) > MOST_BYTES:
        raise FileError(f"{where}: is too large for a pickle, more than {MOST_BYTES} bytes")
    try:
        for opcode, _, _ in pickletools.genops(file):
            if opcode.name in _REFUSED:
                raise FileError(f"{where}: has the opcode {opcode.name}, which is not allowed; nothing was run")
    except FileError:
        raise
    except Exception as error:  # noqa: BLE001
        raise FileError(f"{where}: is no whole pickle ({type(error).__name__}: {error})") from None


# The reader in C sizes its memo by the largest index that the file claims; the one in Python has a dictionary.
_Python: Any = pickle._Unpickler


def _counting(opcode: int) -> Callable[[_Restricted], None]:
    """TUPLE and its kin, with a bound on what there is to go through."""

    def made(reader: _Restricted) -> None:
        _Python.dispatch[opcode](reader)
        new = reader.stack[-1]
        count = sum(reader.items.get(id(item), 1) for item in new)
        if count > _MOST_ITEMS:
            raise pickle.UnpicklingError(f"tuples within tuples of more than {_MOST_ITEMS} items")
        reader.tuples.append(new)
        reader.items[id(new)] = count

    return made


class _Restricted(_Python):  # type: ignore[misc]
    allowed: Allowed
    where: str
    resolve: Callable[[Any], Any] | None
    tuples: list[tuple[Any, ...]]  # kept, so that no other object gets their ids
    items: dict[int, int]  # of each, those of tuples within it too

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise FileError(f"{self.where}: names {module}.{name}, which is not allowed here; nothing was run"
                            ) from None

    def persistent_load(self, pid: Any) -> Any:
        if self.resolve is None:
            raise FileError(f"{self.where}: has persistent ids, which are not allowed here")
        return self.resolve(pid)

    def build(self) -> None:
        """BUILD sets attributes: of records only. Those of a dictionary are dropped, no other thing has any."""
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, Record):
            made.__setstate__(state)
        elif not isinstance(made, dict):
            raise pickle.UnpicklingError(f"attributes for a {type(made).__name__}")

    dispatch: ClassVar[dict[int, Any]] = {
        **_Python.dispatch, pickle.BUILD[0]: build,
        **{opcode[0]: _counting(opcode[0]) for opcode in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)}}
