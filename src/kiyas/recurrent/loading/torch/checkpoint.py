"""PyTorch's ``.pt``: a zip of one pickle and the storages that it names, read without running anything."""

from __future__ import annotations

import io
import pickle
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.errors import FileError
from kiyas.recurrent.loading import pickles
from kiyas.recurrent.loading.archives import Archive
from kiyas.recurrent.loading.tensors import bfloat16

_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16",
             "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
             "BoolStorage": "?"}
_MAGIC = 0x1950A86A20F9469CFC6C
# What a checkpoint holds beside the model, and what is passed over.
OPTIMIZER = ("optimizer", "optim", "opt", "lr_scheduler", "scheduler", "amp", "scaler", "last_optimizer_state",
             "optimizer_history", "optimizer_states", "lr_schedulers", "optimizer_state_dict")


@dataclass(frozen=True)
class _Storage:
    """What stands for a class of storages: the dtype."""

    dtype: str

    def __call__(self, *arguments: object) -> None:
        raise pickle.UnpicklingError("makes a storage")


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """A tensor: a view of a storage, which must hold it."""
    if not isinstance(storage, np.ndarray) or not _counts(size) or not _counts(stride):
        raise pickle.UnpicklingError("a tensor without storage, size or stride")
    if type(offset) is not int or offset < 0 or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor of no size")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.size:
        raise pickle.UnpicklingError(f"a tensor of {last + 1} numbers in a storage of {storage.size}")
    # A stride of 0 repeats a number: a few bytes could claim any amount of memory.
    if 0 not in size and int(np.prod(size, dtype=object)) > storage.size:
        raise pickle.UnpicklingError(f"a tensor of shape {size} in a storage of {storage.size}")
    return np.lib.stride_tricks.as_strided(storage[offset:], size, [step * storage.itemsize for step in stride],
                                           writeable=False)


def _counts(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 32 and all(type(n) is int and 0 <= n < 2**62 for n in value)


def _size(value: Any = ()) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not _counts(tuple(value)):
        raise pickle.UnpicklingError("a size that is none")
    return tuple(value)


def _first(value: Any, *_: Any) -> Any:
    return value


def _nothing(*_: Any) -> None:
    return None


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch", "Size"): _size,
    ("torch", "device"): _nothing,
    ("argparse", "Namespace"): pickles.record("Namespace"),
    # Losses and steps that a checkpoint keeps as NumPy numbers: of no use here.
    ("numpy.core.multiarray", "scalar"): _nothing,
    ("numpy._core.multiarray", "scalar"): _nothing,
    ("numpy", "dtype"): pickles.record("dtype"),
    ("collections", "defaultdict"): _nothing,
    **{("torch", name): _Storage(dtype) for name, dtype in _STORAGES.items()},
    **{("torch", name): name for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")},
}


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a ``.pt`` archive by name; names of dictionaries within dictionaries are joined with dots."""
    with Archive(path) as archive:
        found = [name for name in archive.names if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(found) != 1:
            raise FileError(f"{path}: is no PyTorch file, it has {len(found)} data.pkl")
        root = found[0][:-len("data.pkl")]
        if f"{root}constants.pkl" in archive.names:
            raise FileError(f"{path}: is a TorchScript archive, which holds code; save model.state_dict() instead")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.names else b"little"
        storages: dict[str, np.ndarray] = {}

        def storage(pid: Any) -> np.ndarray:
            if not isinstance(pid, tuple) or len(pid) < 3 or pid[0] != "storage" or not isinstance(pid[1], _Storage) \
                    or not isinstance(pid[2], str):
                raise FileError(f"{path}: is altered, it names the storage {reprlib.repr(pid)}")
            if pid[2] not in storages:
                storages[pid[2]] = _numbers(archive.read(f"{root}data/{pid[2]}"), pid[1].dtype, order == b"big", path)
            return storages[pid[2]]

        try:
            content = pickles.load(archive.read(found[0]), _ALLOWED, where=str(path), persistent=storage)
        except FileError as error:
            raise _explained(error, path) from None
    return flattened(content, path)


def is_old(start: bytes) -> bool:
    """Whether a file begins as those of PyTorch before 1.6 do: with a pickle of their magic number."""
    return start.startswith(b"\x80\x02\x8a\n" + _MAGIC.to_bytes(10, "little"))


def read_old(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file from before PyTorch 1.6: five pickles one after another, then the storages."""
    data = path.read_bytes()
    file = io.BytesIO(data)
    storages: dict[str, np.ndarray] = {}

    def storage(pid: Any) -> np.ndarray:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], _Storage) \
                or not isinstance(pid[2], str) or type(pid[4]) is not int or not 0 <= pid[4] <= len(data) \
                or (len(pid) > 5 and pid[5] is not None):
            raise FileError(f"{path}: is altered, it names the storage {reprlib.repr(pid)}")
        if pid[2] not in storages:
            kind = np.dtype("<u2" if pid[1].dtype == "bfloat16" else pid[1].dtype)
            if sum(s.nbytes for s in storages.values()) + pid[4] * kind.itemsize > len(data):
                raise FileError(f"{path}: is altered, its storages claim more bytes than it has")
            if pid[1].dtype == "bfloat16":
                raise FileError(f"{path}: has bfloat16 storages in the format from before PyTorch 1.6, which is not "
                                "supported")
            storages[pid[2]] = np.zeros(pid[4], kind)  # filled below
        return storages[pid[2]]

    try:
        for _ in range(3):  # magic number, protocol, the machine's sizes
            pickles.load_from(file, {}, where=str(path))
        content = pickles.load_from(file, _ALLOWED, where=str(path), persistent=storage)
        keys = pickles.load_from(file, {}, where=str(path))
    except FileError as error:
        raise _explained(error, path) from None
    if not isinstance(keys, list) or set(map(str, keys)) != storages.keys():
        raise FileError(f"{path}: is altered, its list of storages is not that of its tensors")
    for key in map(str, keys):
        size = int.from_bytes(file.read(8), "little")
        found = storages[key]
        raw = file.read(found.nbytes)
        if size != found.size or len(raw) != found.nbytes:
            raise FileError(f"{path}: is incomplete, its storage {key} has {len(raw)} bytes of {found.nbytes}")
        found[:] = np.frombuffer(raw, found.dtype)
    return flattened(content, path)


def _numbers(data: bytes, dtype: str, big: bool, path: Path) -> np.ndarray:
    kind = np.dtype("<u2" if dtype == "bfloat16" else dtype)
    if len(data) % kind.itemsize:
        raise FileError(f"{path}: is altered, a storage of {len(data)} bytes holds no whole numbers")
    found = np.frombuffer(data, kind.newbyteorder(">") if big else kind)
    return bfloat16(found) if dtype == "bfloat16" else found


def _explained(error: FileError, path: Path) -> FileError:
    text = str(error)
    if "quantized" in text or "torch.classes" in text or "ScriptObject" in text or "QInt8" in text:
        return FileError(f"{path}: holds a quantised model, whose weights are packed objects of PyTorch; save the "
                         "state_dict from before quantisation (kiyas stores weights in int8 itself: with_precision)")
    if "which is not allowed here" in text and "names torch.optim" not in text:
        return FileError(f"{text}. Only tensors are read: save model.state_dict(), not the model itself")
    return error


def flattened(content: object, path: Path) -> dict[str, np.ndarray]:
    """Named tensors of dictionaries within dictionaries; what is no tensor, and the optimizer's, is passed over."""
    if not isinstance(content, Mapping):
        raise FileError(f"{path}: holds a {type(content).__name__}, it should be a state_dict")
    found: dict[str, np.ndarray] = {}
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    while waiting:
        prefix, value, depth = waiting.pop(0)
        if isinstance(value, np.ndarray):
            found[prefix] = value
        elif isinstance(value, Mapping) and depth < 8:
            for key, inner in value.items():
                if depth == 0 and isinstance(inner, Mapping | list) and str(key) in OPTIMIZER:
                    continue
                waiting.append((f"{prefix}.{key}" if prefix else str(key), inner, depth + 1))
    return found
