"""kiyas' own file: safetensors with the weights, and the description of the model as JSON in its metadata.

    metadata["kiyas"] = {"format": "kiyas recurrent", "version": 1, "model": {…}}
    model = {"layers": [{"class": …, "name": …, field: value, …}, …], "nodes": [[layer, [[node, output], …]], …],
             "inputs": [node, …], "outputs": [[node, output], …], "input_names": […], "output_names": […],
             "source": {…}}

A value that is no plain JSON is a dictionary of one entry: ``{"tensor": name}``, ``{"activation": [name, {…}]}``,
``{"layer": {…}}``, ``{"model": {…}}``, ``{"layer_norm": {…}}``, ``{"number": "inf"}``. Nothing in it is code; classes
are looked up by name among the layers of kiyas, then among the registered ones.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.directory import write_whole
from kiyas.errors import FileError, InputError, message
from kiyas.recurrent import layers as known_layers
from kiyas.recurrent.activations import Activation, find
from kiyas.recurrent.cell import LayerNorm
from kiyas.recurrent.graph import Node
from kiyas.recurrent.layers.base import Layer
from kiyas.recurrent.loading import tensors
from kiyas.recurrent.model import Model
from kiyas.recurrent.registry import registered

FORMAT, VERSION = "kiyas recurrent", 1
# Models within models, layers within layers.
_DEEPEST = 30
_CLASSES: dict[str, type[Layer]] = {
    name: found for name in known_layers.__all__
    if isinstance(found := getattr(known_layers, name), type) and issubclass(found, Layer)}


# --- writing ---------------------------------------------------------------------------------------------------------

def save(model: Model, path: str | Path) -> None:
    """Write a model to a file that `kiyas.recurrent.load` reads; the file is replaced as a whole.

    Raises `InputError` for a layer with a field that the format does not know, and `FileError` for a place that cannot
    be written to.
    """
    from safetensors.numpy import save as serialise

    if not isinstance(path, (str, Path)):
        raise InputError(message("Model.save", "path", "the path of a file", type(path).__name__))
    path = Path(path)
    writer = _Writer()
    description = {"format": FORMAT, "version": VERSION, "model": writer.model(model, "")}
    data = serialise(writer.arrays, {tensors.OWN: json.dumps(description, ensure_ascii=False, allow_nan=False)})
    write_whole(path, data)


class _Writer:
    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def model(self, model: Model, prefix: str) -> dict[str, Any]:
        numbers: dict[int, int] = {}
        layers: list[dict[str, Any]] = []
        for node in model.nodes:
            if id(node.layer) not in numbers:
                numbers[id(node.layer)] = len(layers)
                layers.append(self._layer(node.layer, f"{prefix}{node.layer.name}"))
        return {"layers": layers,
                "nodes": [[numbers[id(node.layer)], [list(source) for source in node.inputs]] for node in model.nodes],
                "inputs": list(model.inputs), "outputs": [list(output) for output in model.outputs],
                "input_names": list(model.input_names), "output_names": list(model.output_names),
                "source": {key: value for key, value in model.source.items() if isinstance(value, (str, int, float))}}

    def _layer(self, layer: Layer, prefix: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"class": type(layer).__name__}
        for field in dataclasses.fields(layer):
            entry[field.name] = self._value(layer, field.name, getattr(layer, field.name), prefix)
        return entry

    def _value(self, layer: Layer, field: str, value: Any, prefix: str) -> Any:
        match value:
            case None | bool() | str():
                return value
            case int() | np.integer():
                return int(value)
            case float() | np.floating():
                return _number(float(value))
            case np.ndarray():
                return {"tensor": self._store(f"{prefix}/{field}", value)}
            case Activation():
                return {"activation": [value.name, {key: _number(v) for key, v in value.parameters.items()}]}
            case Layer():
                return {"layer": self._layer(value, f"{prefix}/{field}")}
            case Model():
                return {"model": self.model(value, f"{prefix}/")}
            case LayerNorm():
                return {"layer_norm": {f.name: self._value(layer, f"{field}.{f.name}", getattr(value, f.name), prefix)
                                       for f in dataclasses.fields(value)}}
            case tuple() | list():
                return [self._value(layer, field, item, f"{prefix}/{k}") for k, item in enumerate(value)]
        raise InputError(message("Model.save", f"{layer.name}.{field}", "a number, text, array, activation or layer",
                                 type(value).__name__))

    def _store(self, name: str, array: np.ndarray) -> str:
        free = name
        while free in self.arrays:
            free += "'"
        self.arrays[free] = np.ascontiguousarray(array)
        return free


def _number(value: float) -> Any:
    """JSON has no infinity: it is written as a word."""
    return value if math.isfinite(value) else {"number": str(value)}


# --- reading ---------------------------------------------------------------------------------------------------------

def load(path: Path) -> Model:
    """The model of a kiyas file; see `kiyas.recurrent.load`."""
    arrays, metadata = tensors.read(path)
    return load_from(path, arrays, metadata)


def load_from(path: Path, arrays: dict[str, np.ndarray], metadata: Mapping[str, str]) -> Model:
    """The model of tensors and metadata that were read; every tensor is used, or the file is refused."""
    try:
        description = json.loads(metadata.get(tensors.OWN, ""))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: is altered, its description is no JSON ({error})") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise FileError(f"{path}: is no recurrent model of kiyas")
    version = description.get("version")
    if type(version) is not int or version > VERSION:
        raise FileError(f"{path}: has format version {version!r:.20}, this kiyas reads up to {VERSION}; upgrade kiyas")
    reader = _Reader(path, arrays)
    try:
        model = reader.model(description.get("model"), 0)
    except InputError as error:
        raise FileError(f"{path}: {error}") from None
    if left := sorted(arrays.keys() - reader.used):
        raise FileError(f"{path}: is altered, no layer uses the tensors {', '.join(left[:8])}")
    return model


class _Reader:
    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]):
        self._path, self._arrays = path, arrays
        self.used: set[str] = set()

    def model(self, entry: Any, depth: int) -> Model:
        self._check_depth(depth)
        wanted = {"layers": list, "nodes": list, "inputs": list, "outputs": list, "input_names": list,
                  "output_names": list, "source": dict}
        if not isinstance(entry, dict) or any(not isinstance(entry.get(key), kind) for key, kind in wanted.items()):
            raise self._altered(f"a model needs {', '.join(wanted)}")
        made = [self._layer(layer, depth) for layer in entry["layers"]]
        nodes = []
        for node in entry["nodes"]:
            if not isinstance(node, list) or len(node) != 2 or not _is_index(node[0], len(made)):
                raise self._altered(f"the node {node!r:.60}")
            nodes.append(Node(made[node[0]], tuple(self._pair(source) for source in self._list(node[1]))))
        if not all(_is_index(number, len(nodes)) for number in entry["inputs"]) \
                or not all(isinstance(name, str) for name in entry["input_names"] + entry["output_names"]):
            raise self._altered("its inputs and outputs")
        return Model(nodes, entry["inputs"], [self._pair(output) for output in entry["outputs"]],
                     entry["input_names"], entry["output_names"], entry["source"])

    def _layer(self, entry: Any, depth: int) -> Layer:
        self._check_depth(depth)
        if not isinstance(entry, dict) or not isinstance(entry.get("class"), str) \
                or not isinstance(entry.get("name"), str):
            raise self._altered(f"a layer needs 'class' and 'name', found {entry!r:.60}")
        kind, name = entry["class"], entry["name"]
        values = {key: self._value(value, depth) for key, value in entry.items() if key != "class"}
        if kind in _CLASSES:
            fields = {field.name: field.type for field in dataclasses.fields(_CLASSES[kind])}
            if unknown := sorted(values.keys() - fields.keys()):
                raise self._altered(f"{kind} '{name}' has the options {', '.join(unknown)}, which are not known")
            for key, value in values.items():
                if fields[key] == "bool" and not isinstance(value, bool):
                    raise self._altered(f"{kind} '{name}' has {key} {value!r:.30}, which is neither true nor false")
            try:
                return _CLASSES[kind](**values)
            except (TypeError, ValueError, AttributeError, IndexError) as error:
                if isinstance(error, InputError):
                    raise
                raise self._altered(f"{kind} '{name}' ({error})") from None
        factory = registered(kind)
        if factory is None:
            raise FileError(f"{self._path}: layer '{name}' is of class {kind}, which is not known; register_layer"
                            f"('{kind}', …) can teach it")
        return factory(name, {key: value for key, value in values.items() if not isinstance(value, np.ndarray)},
                       [value for value in values.values() if isinstance(value, np.ndarray)])

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, list):
            self._check_depth(depth)
            return tuple(self._value(item, depth + 1) for item in value)
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise self._altered(f"the value {value!r:.60}")
        (kind, inner), = value.items()
        if kind == "tensor" and isinstance(inner, str):
            if inner not in self._arrays:
                raise FileError(f"{self._path}: is incomplete, it has no tensor '{inner}'")
            self.used.add(inner)
            return self._arrays[inner]
        if kind == "activation" and isinstance(inner, list) and len(inner) == 2 and isinstance(inner[0], str) \
                and isinstance(inner[1], dict):
            parameters = {key: self._value(v, depth) for key, v in inner[1].items()}
            try:
                return find(inner[0], str(self._path), "activation", **parameters)
            except TypeError as error:  # a parameter named as an argument of `find`
                raise self._altered(f"the activation {inner[0]:.30} ({error})") from None
        if kind == "number" and inner in ("inf", "-inf"):
            return float(inner)
        if kind == "layer":
            return self._layer(inner, depth + 1)
        if kind == "model":
            return self.model(inner, depth + 1)
        if kind == "layer_norm" and isinstance(inner, dict):
            try:
                return LayerNorm(**{key: self._value(v, depth) for key, v in inner.items()})
            except TypeError as error:
                raise self._altered(f"a layer norm ({error})") from None
        raise self._altered(f"the value {value!r:.60}")

    def _list(self, value: Any) -> Sequence[Any]:
        if not isinstance(value, list):
            raise self._altered(f"{value!r:.60} for a list")
        return value

    def _pair(self, value: Any) -> tuple[int, int]:
        if not isinstance(value, list) or len(value) != 2 or not all(_is_index(v, 1 << 31) for v in value):
            raise self._altered(f"{value!r:.60} for a node and its output")
        return value[0], value[1]

    def _check_depth(self, depth: int) -> None:
        if depth > _DEEPEST:
            raise self._altered(f"models within models more than {_DEEPEST} deep")

    def _altered(self, what: str) -> FileError:
        return FileError(f"{self._path}: is altered: {what}")


def _is_index(value: Any, size: int) -> bool:
    return type(value) is int and 0 <= value < size
