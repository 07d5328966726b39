"""Models in the ONNX format: whole graphs of layers that kiyas has, or one recurrent node out of any graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.errors import FileError, InputError, KiyasError, message, missing_extra
from kiyas.recurrent.loading.onnx.call import MismatchError, RowsInTimeError
from kiyas.recurrent.loading.onnx.graph import Reader, single_node
from kiyas.recurrent.model import Model


def load(path: Path, prefix: str | None = None, inputs: Mapping[str, Any] | None = None,
         shapes: Mapping[str, Sequence[int | None]] | None = None) -> Model:
    """The model of an ONNX file.

    Parameters: ``prefix``: the name of one LSTM, GRU or RNN node, which alone is loaded; ``inputs``: numbers to put in
    for inputs of the graph (``{"sr": 16000}``); ``shapes``: shapes of inputs that the file leaves open, None for any
    size (``{"input": (None, 576)}``).
    """
    model = _parsed(path)
    if model.functions:
        raise FileError(f"{path}: has functions of its own ({model.functions[0].name}), which are not supported; "
                        "inline them before")
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    _check_names(model, "inputs", inputs or {}, path)
    _check_names(model, "shapes", shapes or {}, path)
    fixed = {name: np.asarray(value) for name, value in (inputs or {}).items()}
    source = {"format": "onnx", "producer": model.producer_name, "opset": int(opset), "path": path.name}
    try:
        return _read(model.graph, path, prefix, fixed, dict(shapes or {}), int(opset), source)
    except (KiyasError, MemoryError):
        raise
    # Each operation trusts that its attributes are those of ONNX; in an altered file they may be anything.
    except Exception as error:  # noqa: BLE001
        raise FileError(f"{path}: is altered, its graph cannot be read ({type(error).__name__}: {error})") from None


def _read(graph: Any, path: Path, prefix: str | None, fixed: dict[str, np.ndarray], shapes: dict[str, Any], opset: int,
          source: dict[str, Any]) -> Model:
    if prefix is not None:
        return single_node(graph, str(path), prefix, fixed, shapes, opset, source)
    try:
        return Reader(graph, str(path), 0, fixed, shapes, opset).model(source)
    except MismatchError as error:
        first, in_time = FileError(f"{path}: {error}"), isinstance(error, RowsInTimeError)
    try:  # as in PyTorch and ONNX themselves: time before batch
        return Reader(graph, str(path), 1, fixed, shapes, opset).model(source)
    except MismatchError:
        if not in_time:
            raise first from None
    except FileError as error:
        if not in_time:
            # What is wrong with the file itself is so under either assumption.
            raise (first if "operations that are not supported" in str(error) else error) from None
    try:  # rows that follow one another: frames
        return Reader(graph, str(path), 0, fixed, shapes, opset, rows_are_frames=True).model(source)
    except MismatchError as error:
        raise FileError(f"{path}: {error}") from None


def _parsed(path: Path) -> Any:
    try:
        import onnx
        from onnx import external_data_helper
    except ImportError:
        raise missing_extra("onnx", "onnx", "reading ONNX files") from None
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    # What protobuf raises depends on which of its implementations is installed.
    except Exception as error:  # noqa: BLE001
        raise FileError(f"{path}: is no whole ONNX file ({type(error).__name__})") from None
    if not model.graph.node:
        raise FileError(f"{path}: is no ONNX file, its graph has no nodes")
    for tensor in _tensors(model.graph, 0, path):
        if not external_data_helper.uses_external_data(tensor):
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        # A file beside this one and no other: no path may lead away.
        beside = path.parent / location
        if not location or location != Path(location).name or beside.is_symlink() or not beside.is_file():
            raise FileError(f"{path}: the tensor '{tensor.name}' lies in another file, {location!r:.60}, which is not "
                            "a plain file beside it")
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        except Exception as error:  # noqa: BLE001
            raise FileError(f"{path}: the tensor '{tensor.name}' cannot be read from {location} ({error})") from None
    return model


def _tensors(graph: Any, depth: int, path: Path) -> Any:
    if depth > 30:
        raise FileError(f"{path}: has graphs within graphs more than 30 deep")
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                yield from _tensors(inner, depth + 1, path)


def _check_names(model: Any, parameter: str, given: Mapping[str, Any], path: Path) -> None:
    known = [value.name for value in model.graph.input]
    if not isinstance(given, Mapping):
        raise InputError(message("load", parameter, "a dictionary by names of inputs", f"{given!r:.80}"))
    for name in given:
        if name not in known:
            wanted = f"for inputs of {path.name}, which are {', '.join(known)[:200]}"
            raise InputError(message("load", parameter, wanted, repr(name)))


__all__ = ["load"]
