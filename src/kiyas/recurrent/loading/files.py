"""`load`: what a file is, by its contents, and who reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kiyas.errors import FileError, InputError, message
from kiyas.kernels.recurrent import PRECISIONS
from kiyas.recurrent.loading import tensors
from kiyas.recurrent.loading.archives import Archive
from kiyas.recurrent.model import Model

# What `config` may be: a Keras configuration, or the modules of a PyTorch model in order.
Config = Mapping[str, Any] | Sequence[Any] | str | Path | None


def load(path: str | Path, config: Config = None, prefix: str | None = None, *, partial: bool = False,
         precision: str | None = None, **options: Any) -> Model:
    """A trained model from a file, with no training framework installed.

    What the file is, is told by its contents: Keras 1, 2, 3 ``.h5``, ``.keras``, ``.weights.h5``;
    PyTorch ``.pt`` and safetensors; ONNX (extra ``onnx``); kiyas' own. See docs/loading.md.

    Parameters: ``config``: the architecture, for a file that holds weights alone: Keras' configuration (a dictionary),
    or the list of a PyTorch model's modules, or JSON of either, or its path; ``prefix``: the part of a larger file that
    is loaded: the name of a Keras layer or model (``outer/inner``), the module's name in a state_dict; ``partial``:
    weights that the configuration does not have are left out instead of refused; ``precision``: "float32", "bfloat16"
    or "int8", as `Model.with_precision` does, the measured error in ``model.precision_error`` (None: as the file has
    them); ``options``: further ones of a format:
    ``passes_mask`` of Keras, ``activation`` of an RNN of PyTorch, ``inputs`` and ``shapes`` of ONNX.

    Raises `FileError` for a file that is altered, or holds what is not supported, naming it; `InputError` for an
    argument; `MissingExtraError` if the reader of the format is not installed.
    """
    if not isinstance(path, (str, Path)):
        raise InputError(message("load", "path", "the path of a file", type(path).__name__))
    if precision not in (None, *PRECISIONS):
        raise InputError(message("load", "precision", f"one of {', '.join(PRECISIONS)}", repr(precision)))
    model = _read(Path(path), config, prefix, partial, options)
    return model if precision is None else model.with_precision(precision)


def _read(path: Path, config: Config, prefix: str | None, partial: bool, options: dict[str, Any]) -> Model:
    if path.is_dir():
        raise FileError(f"{path}: is a directory; a SavedModel of TensorFlow has no architecture to read: save the "
                        "model as .keras or .h5")
    if not path.exists():
        raise FileError(f"{path}: there is no such file")
    if not path.is_file():
        raise FileError(f"{path}: is no plain file")
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise FileError(f"{path}: is empty")
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        from kiyas.recurrent.loading.keras import load_hdf5

        return load_hdf5(path, config, prefix, partial, **_known(options, "passes_mask"))
    if start.startswith(b"PK\x03\x04"):
        return _archive(path, config, prefix, partial, options)
    # Before pickles: a header of 1408 bytes begins with 0x80 too.
    if tensors.is_safetensors(start):
        return _safetensors(path, config, prefix, partial, options)
    if start.startswith(b"\x80"):
        return _old_torch(path, start, config, prefix, partial, options)
    if path.suffix == ".onnx" or start[:1] == b"\x08":  # the format has no magic number; its first field is the version
        from kiyas.recurrent.loading import onnx

        _refuse(config, "config", path)
        _refuse(partial, "partial", path)
        return onnx.load(path, prefix, **_known(options, "inputs", "shapes"))
    raise FileError(f"{path}: is of no format that kiyas reads: Keras .h5 and .keras, PyTorch .pt and .safetensors, "
                    "ONNX, kiyas .safetensors")


def _archive(path: Path, config: Any, prefix: str | None, partial: bool, options: dict[str, Any]) -> Model:
    with Archive(path) as archive:
        names = archive.names
    if "config.json" in names and "metadata.json" in names:
        from kiyas.recurrent.loading.keras import load_archive

        return load_archive(path, config, prefix, partial, **_known(options, "passes_mask"))
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        from kiyas.recurrent.loading import torch
        from kiyas.recurrent.loading.torch import checkpoint

        _refuse(partial, "partial", path)
        given = _known(options, "activation")
        return torch.model_of(checkpoint.read(path), str(path), config, prefix, source={"path": path.name}, **given)
    raise FileError(f"{path}: is a zip archive, but neither a .keras file nor one of PyTorch")


def _old_torch(path: Path, start: bytes, config: Any, prefix: str | None, partial: bool, options: dict[str, Any]
               ) -> Model:
    from kiyas.recurrent.loading import torch
    from kiyas.recurrent.loading.torch import checkpoint

    if not checkpoint.is_old(start):
        raise FileError(f"{path}: is a pickle, which may run any code; of models, only state_dicts of PyTorch are read "
                        "from one")
    _refuse(partial, "partial", path)
    given = _known(options, "activation")
    return torch.model_of(checkpoint.read_old(path), str(path), config, prefix, source={"path": path.name}, **given)


def _safetensors(path: Path, config: Any, prefix: str | None, partial: bool, options: dict[str, Any]) -> Model:
    arrays, metadata = tensors.read(path)
    _refuse(partial, "partial", path)
    if tensors.is_own(metadata):
        from kiyas.recurrent.loading import own

        _known(options)
        _refuse(config, "config", path)
        _refuse(prefix, "prefix", path)
        return own.load_from(path, arrays, metadata)
    from kiyas.recurrent.loading import torch

    given = _known(options, "activation")
    return torch.model_of(arrays, str(path), config, prefix, source={"path": path.name}, **given)


def _known(options: dict[str, Any], *known: str) -> dict[str, Any]:
    if unknown := sorted(options.keys() - set(known)):
        allowed = "left out; " + (f"options of this format are {', '.join(known)}" if known else
                                  "this format has no options")
        raise InputError(message("load", unknown[0], allowed, f"{options[unknown[0]]!r:.60}"))
    return options


def _refuse(value: object, name: str, path: Path) -> None:
    if value:
        raise InputError(message("load", name, f"left out for a file of the kind of {path.name}", f"{value!r:.60}"))
