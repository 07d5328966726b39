"""Models that Keras wrote: ``.h5`` of versions 1, 2 and 3, ``.keras``, ``.weights.h5``, and weights alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kiyas.errors import FileError, InputError, message
from kiyas.recurrent.loading import configuration
from kiyas.recurrent.loading.archives import Archive

# Importing these two enters their layers into the table.
from kiyas.recurrent.loading.keras import layers as _layers  # noqa: F401
from kiyas.recurrent.loading.keras import recurrent as _recurrent  # noqa: F401
from kiyas.recurrent.loading.keras.build import Builder
from kiyas.recurrent.loading.keras.graph import Call, Graph, Spec, Tensor, read
from kiyas.recurrent.loading.keras.hdf5 import Hdf5
from kiyas.recurrent.loading.keras.versions import NEWEST, Version, by_form, parse
from kiyas.recurrent.loading.keras.weights import ByClass, ByLayer
from kiyas.recurrent.model import Model

Config = Any  # a dictionary, JSON, or the path of that; checked in `as_config`


def load_archive(path: Path, config: Config = None, prefix: str | None = None, partial: bool = False,
                 passes_mask: bool | None = None) -> Model:
    """A ``.keras`` file: a zip archive of configuration and weights."""
    with Archive(path) as archive:
        facts = configuration.parsed(archive.read("metadata.json"), f"{path}: metadata.json", dict)
        own = configuration.parsed(archive.read("config.json"), f"{path}: config.json", dict)
        if "model.weights.h5" not in archive.names:
            raise FileError(f"{path}: has no model.weights.h5; weights in npz or in several files are not supported, "
                            "save it with the default format")
        weights = archive.read("model.weights.h5")
    version = facts.get("keras_version")
    given = own if config is None else as_config(config)
    wrote = parse(version) if isinstance(version, str) else by_form(own) or parse(NEWEST)
    with Hdf5(weights, str(path)) as file:
        return _load(file, given, wrote, path, ".keras", prefix, partial, passes_mask)


def load_hdf5(path: Path, config: Config = None, prefix: str | None = None, partial: bool = False,
              passes_mask: bool | None = None) -> Model:
    """An HDF5 file: a whole model, or weights alone, for which a configuration must be given."""
    with Hdf5(path, str(path)) as file:
        given = None if config is None else as_config(config)
        if given is None:
            text = file.text((), "model_config")
            if text is None:
                raise FileError(f"{path}: holds weights alone; give the model's configuration: config=, the JSON of "
                                "model.to_json() as a path, text or dictionary")
            given = configuration.parsed(text, f"{path}: model_config", dict)
        root: tuple[str, ...] = ("model_weights",) if file.names(("model_weights",)) else ()
        version = next((v for v in (file.text((), "keras_version"), file.text(root, "keras_version")) if v), None)
        by_class = not root and file.texts((), "layer_names") is None
        if version is None and isinstance(given.get("keras_version"), str):
            version = given["keras_version"]
        wrote = by_form(given) if version is None and by_class else parse(version)
        if wrote is None:
            raise FileError(f"{path}: does not say which Keras wrote it, and nor does config=; add 'keras_version' "
                            "to the configuration, as model.to_json() does in Keras 2")
        layout = "weights.h5" if by_class else "h5"
        return _load(file, given, wrote, path, layout, prefix, partial, passes_mask)


def _load(file: Hdf5, config: Mapping[str, Any], version: Version, path: Path, layout: str, prefix: str | None,
          partial: bool, passes_mask: bool | None) -> Model:
    where = str(path)
    if passes_mask is not None:
        version = replace(version, passes_mask=bool(passes_mask))
    graph = read(config, where)
    stored = ByLayer(file, ("model_weights",) if file.names(("model_weights",)) else (), version, partial) \
        if layout == "h5" else ByClass(file, version, partial)
    wanted = [spec for spec in graph.specs if spec.class_name != "InputLayer"]
    outer, rest = graph, [name for name in (prefix or "").split("/") if name]
    if rest:
        wanted = [_find(graph, rest[0], where)]
    arrays = stored.assign(outer, graph.specs if not rest else wanted)
    source = {"format": "keras", "layout": layout, "keras_version": str(version), "path": path.name}
    return Builder(arrays, version, where, source).model(_part(graph, rest, where) if rest else graph)


def _find(graph: Graph, name: str, where: str) -> Spec:
    for spec in graph.specs:
        if spec.name == name:
            return spec
    raise InputError(message("load", "prefix", f"the name of a layer of {where}: "
                             f"{', '.join(spec.name for spec in graph.specs)[:300]}", repr(name)))


def _part(graph: Graph, names: list[str], where: str) -> Graph:
    """A layer, or the model that it is, by itself."""
    spec = _find(graph, names[0], where)
    if spec.graph is not None:
        return _part(spec.graph, names[1:], where) if len(names) > 1 else spec.graph
    if len(names) > 1:
        raise InputError(message("load", "prefix", f"the name of a model for '{names[0]}'", spec.class_name))
    calls = [call for call in graph.calls if call.spec is spec]
    inputs = len(calls[0].inputs) if calls else 1
    inner = [Spec("InputLayer", f"input_{k}" if inputs > 1 else "input", {}) for k in range(inputs)]
    tensors = [Tensor(k, 0) for k in range(inputs)]
    return Graph(spec.name, [*inner, spec], [*(Call(i, ()) for i in inner), Call(spec, tuple(tensors))], tensors,
                 [Tensor(inputs, 0)])


def as_config(config: Config) -> dict[str, Any]:
    """A configuration as a dictionary: itself, its JSON, or the path of a file of that."""
    if isinstance(config, Mapping):
        return dict(config)
    if not isinstance(config, (str, Path)):
        raise InputError(message("load", "config", "a dictionary, JSON, or the path of a JSON file",
                                 type(config).__name__))
    found: dict[str, Any] = configuration.read(config, dict)
    return found


__all__ = ["as_config", "load_archive", "load_hdf5"]
