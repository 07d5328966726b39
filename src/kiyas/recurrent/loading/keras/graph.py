"""A Keras configuration as a graph: which layers there are, and which gets what from which.

A Sequential model and a functional one, of Keras 1, 2 and 3, come out alike. Nothing is made of the layers here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kiyas.errors import FileError
from kiyas.recurrent.loading.keras import masks
from kiyas.recurrent.loading.keras.operations import as_operation
from kiyas.recurrent.loading.keras.references import (
    Reference,
    ends,
    histories,
    is_keras3,
    masks_of,
    references,
    structure,
)
from kiyas.recurrent.loading.keras.table import ENTRIES
from kiyas.recurrent.registry import registered

MODELS = ("Sequential", "Functional", "Model")
_WRAPPERS = ("Bidirectional", "TimeDistributed")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")
# Models within models; deeper than any that anyone trained, and no deeper than Python can go.
_DEEPEST = 30


@dataclass(eq=False)
class Spec:
    """One layer: its class and configuration; the layers that it wraps, by role; the graph of a model within.

    ``stored``: the class that groups of its weights are called after, where that is another (RNN around an LSTM cell).
    """

    class_name: str
    name: str
    config: Mapping[str, Any]
    wrapped: dict[str, Spec] = field(default_factory=dict)
    graph: Graph | None = None
    stored: str = ""


@dataclass(frozen=True)
class Tensor:
    """The output ``index`` of call ``call`` of the graph."""

    call: int
    index: int


@dataclass(frozen=True, eq=False)
class Call:
    """A layer at work on tensors. ``unmasked``: Keras 3 called it with states, and without a mask then."""

    spec: Spec
    inputs: tuple[Tensor, ...]
    unmasked: bool = False


@dataclass(eq=False)
class Graph:
    """Layers in the order of the model, calls in an order in which they can be made.

    ``input_names``, ``output_names``: None where the model has a list of them, whose names are those of the layers.
    ``structure``: what holds the outputs, where that is no plain list, see `references.structure`.
    """

    name: str
    specs: list[Spec]
    calls: list[Call]
    inputs: list[Tensor]
    outputs: list[Tensor]
    input_names: list[str] | None = None
    output_names: list[str] | None = None
    structure: Any = None


def read(config: object, where: str, depth: int = 0) -> Graph:
    """The graph of a model's configuration, ``{"class_name": …, "config": …}``; `FileError` for what is none."""
    if depth > _DEEPEST:
        raise FileError(f"{where}: has models within models more than {_DEEPEST} deep")
    kind, inner = _class_and_config(config, where)
    if kind not in MODELS:
        raise FileError(f"{where}: is a {kind}, it should be one of {', '.join(MODELS)}; a model in code of its own "
                        "cannot be loaded: give config= of an equal functional one")
    if kind == "Sequential":
        return _sequential(inner, where, depth)
    return _Functional(_mapping(inner, where), where, depth).graph


def _class_and_config(config: object, where: str) -> tuple[str, Any]:
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str) or "config" not in config:
        raise FileError(f"{where}: its configuration is altered: a layer or model needs 'class_name' and 'config', "
                        f"found {config!r:.60}")
    return config["class_name"], config["config"]


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FileError(f"{where}: its configuration is altered: found {value!r:.60} for a dictionary")
    return value


def spec_of(entry: object, where: str, depth: int) -> Spec:
    """A layer's configuration, and those of the layers within it."""
    kind, config = _class_and_config(entry, where)
    if kind in MODELS:
        graph = read(entry, where, depth + 1)
        name = config.get("name", graph.name) if isinstance(config, Mapping) else graph.name
        return Spec(kind, str(name), config if isinstance(config, Mapping) else {}, graph=graph)
    config = _mapping(config, where)
    assert isinstance(entry, Mapping)
    full = entry.get("registered_name")
    if isinstance(full, str) and registered(full) is not None:
        kind = full
    stored = kind
    if kind == "RNN":
        kind, config = _unpacked_cell(config, where)
    spec = Spec(kind, str(config.get("name", kind.lower())), config, stored=stored)
    if kind in _WRAPPERS:
        if depth > _DEEPEST:
            raise FileError(f"{where}: has layers within layers more than {_DEEPEST} deep")
        roles = ("layer", "backward_layer") if kind == "Bidirectional" else ("layer",)
        for role in roles:
            if isinstance(config.get(role), Mapping):
                spec.wrapped[role] = spec_of(config[role], where, depth + 1)
        if "layer" not in spec.wrapped:
            raise FileError(f"{where}: {kind} '{spec.name}' has no layer in its configuration")
        if kind == "Bidirectional" and "backward_layer" not in spec.wrapped:
            spec.wrapped["backward_layer"] = spec_of(config["layer"], where, depth + 1)
    return spec


def _unpacked_cell(config: Mapping[str, Any], where: str) -> tuple[str, Mapping[str, Any]]:
    """RNN(LSTMCell) is LSTM, and so on."""
    cell, inner = _class_and_config(config.get("cell"), where)
    known = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
    if cell not in known:
        raise FileError(f"{where}: RNN '{config.get('name')}' runs a cell of class {cell}, which is not supported; "
                        f"one of {', '.join(known)} is")
    merged = {**_mapping(inner, where), **config}
    merged.pop("cell")
    return known[cell], merged


def _sequential(config: Any, where: str, depth: int) -> Graph:
    # Before Keras 2.2.3 the configuration is the bare list of layers.
    bare = isinstance(config, list)
    entries = config if bare else _mapping(config, where).get("layers")
    if not isinstance(entries, list) or not entries:
        raise FileError(f"{where}: its configuration is altered: a Sequential model has no list of layers")
    specs = [spec_of(entry, where, depth) for entry in entries]
    shape = None if bare else config.get("build_input_shape")
    if specs[0].class_name != "InputLayer":
        first = specs[0].wrapped.get("layer", specs[0]).config
        first = specs[0].config if batch_shape(specs[0].config) is not None else first
        found = batch_shape(first) or shape
        taken = {spec.name for spec in specs}
        name = next(n for n in ("input", "input_", "model_input") if n not in taken)
        specs.insert(0, Spec("InputLayer", name, {"batch_shape": found} if found else {}))
    calls = [Call(specs[0], ())]
    for spec in specs[1:]:
        calls.append(Call(spec, (Tensor(len(calls) - 1, 0),)))
    name = "sequential" if bare else str(config.get("name", "sequential"))
    return Graph(name, specs, calls, [Tensor(0, 0)], [Tensor(len(calls) - 1, 0)])


def batch_shape(config: Mapping[str, Any]) -> list[int | None] | None:
    """The shape of what a layer gets, batch first, under whatever name its version has for it."""
    for key in ("batch_shape", "batch_input_shape"):
        if isinstance(config.get(key), (list, tuple)):
            return list(config[key])
    if isinstance(config.get("input_shape"), (list, tuple)):
        return [None, *config["input_shape"]]
    return None


class _Functional:
    """The calls of a functional model, put in order."""

    def __init__(self, config: Mapping[str, Any], where: str, depth: int):
        self._where = where
        entries = config.get("layers")
        if not isinstance(entries, list) or not entries:
            raise FileError(f"{where}: its configuration is altered: a functional model has no list of layers")
        self._nodes: dict[str, list[Any]] = {}
        self._specs: dict[str, Spec] = {}
        self._masks: dict[str, tuple[str, list[Any]]] = {}
        only_masks = self._only_masks(config, entries)
        dtypes = {str(entry.get("name")): entry["config"].get("dtype") for entry in entries
                  if isinstance(entry, Mapping) and entry.get("class_name") == "InputLayer"
                  and isinstance(entry.get("config"), Mapping)}
        for entry in entries:
            kind, inner = _class_and_config(entry, where)
            name = entry.get("name", inner.get("name") if isinstance(inner, Mapping) else None)
            nodes = entry.get("inbound_nodes")
            if not isinstance(name, str) or not isinstance(nodes, list) or name in self._specs:
                raise FileError(f"{where}: its configuration is altered at layer {name!r:.60}")
            if name in only_masks:
                self._masks[name] = kind, nodes
                continue
            spec = spec_of(entry, where, depth)
            spec.name = name
            operation = as_operation(entry, kind, spec.config, nodes, dtypes, where)
            if operation is not None:
                spec.class_name, spec.config, nodes = operation
            self._specs[name], self._nodes[name] = spec, nodes
        given, made = (ends(config, key, where) for key in ("input_layers", "output_layers"))
        self._offsets, apart = self._find_offsets([t for _, t in made])
        self._check_numbers([t for _, t in made], apart)
        self._calls: list[Call] = []
        self._made: dict[tuple[str, int], int] = {}
        inputs, outputs = ([self._tensor([t[0], t[1] - apart.get(t[0], 0), t[2]]) for _, t in found]
                           for found in (given, made))
        self._check_masks()
        taken, gives = ([name for name, _ in found] if found[0][0] else None for found in (given, made))
        self.graph = Graph(str(config.get("name", "model")), list(self._specs.values()), self._calls, inputs, outputs,
                           taken, gives, structure(config))

    def _only_masks(self, config: Mapping[str, Any], entries: list[Any]) -> set[str]:
        """The names of what Keras 3 computes masks with: nothing else comes of it."""
        nodes: dict[str, list[Any]] = {
            entry["name"]: entry["inbound_nodes"] for entry in entries if isinstance(entry, Mapping)
            and isinstance(entry.get("name"), str) and isinstance(entry.get("inbound_nodes"), list)}
        waiting = [t[0] for key in ("output_layers", "input_layers") for _, t in ends(config, key, self._where)]
        reached: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += [t[0] for node in nodes.get(name) or [] for t in references(node)]
        new = any(is_keras3(node) for calls in nodes.values() for node in calls)
        return {name for name in nodes if new and name not in reached}

    def _check_masks(self) -> None:
        """Raise for a mask that a layer is given by hand."""
        begin = {name: 0.0 if spec.class_name == "Embedding" else spec.config.get("mask_value", 0.0)
                 for name, spec in self._specs.items()
                 if spec.class_name == "Masking" or (spec.class_name == "Embedding" and spec.config.get("mask_zero"))}
        for name, number in list(self._made):
            spec = self._specs[name]
            node = None if spec.class_name == "InputLayer" else self._nodes[name][number - self._offsets[name]]
            for one in masks_of(node):
                if one is not None and not masks.is_implied(
                        one, self._arguments(spec, number), self._masks, begin,
                        lambda layer, call: self._arguments(self._specs[layer], call) if layer in self._specs else []):
                    raise FileError(f"{self._where}: {spec.class_name} '{name}' is given a mask of its own, which is "
                                    "not supported; only masks of Masking and Embedding layers before it are")

    def _find_offsets(self, outputs: list[Reference]) -> tuple[dict[str, int], dict[str, int]]:
        """The number of the first call of each layer: among arguments, and by how much more among outputs.

        A model within a model is counted once more by some versions: its own making is call 0. Keras 3 does so among
        outputs alone, and for functional ones alone.
        """
        highest: dict[str, int] = {}
        lowest: dict[str, int] = {}
        for tensor in [*outputs, *(t for nodes in self._nodes.values() for node in nodes for t in references(node))]:
            highest[tensor[0]] = max(highest.get(tensor[0], 0), tensor[1])
            lowest[tensor[0]] = min(lowest.get(tensor[0], tensor[1]), tensor[1])
        offsets, apart = {}, {}
        for name, spec in self._specs.items():
            new = any(is_keras3(node) for node in self._nodes[name])
            apart[name] = int(new and spec.graph is not None and spec.class_name != "Sequential")
            offsets[name] = int(not new and spec.graph is not None and lowest.get(name, 0) > 0
                                and (spec.class_name != "Sequential" or highest[name] >= len(self._nodes[name])))
        return offsets, apart

    def _check_numbers(self, outputs: list[Reference], apart: Mapping[str, int]) -> None:
        """Raise where calls are not 0, 1, …: each call of a model leads to its outputs, so that each has a number."""
        found: dict[str, set[int]] = {}
        for name, number, _ in outputs:
            found.setdefault(name, set()).add(number - apart.get(name, 0))
        for nodes in (*self._nodes.values(), *(nodes for _, nodes in self._masks.values())):
            for name, number, _ in histories(nodes):
                found.setdefault(name, set()).add(number)
        for name, nodes in self._nodes.items():
            numbers = found.get(name, set())
            if any(is_keras3(node) for node in nodes) and not numbers >= set(range(len(nodes))) \
                    and max(numbers, default=0) < len(nodes):
                raise FileError(f"{self._where}: the calls of layer '{name}' are not numbered from 0 (Keras before 3.2 "
                                "counts calls that are of no model, too), so that it is not known which is meant")

    def _tensor(self, reference: Reference) -> Tensor:
        """The tensor of a reference, after the calls that it needs: depth first, without recursion."""
        waiting = [(reference[0], reference[1])]
        open_: set[tuple[str, int]] = set()
        while waiting:
            key = waiting[-1]
            if key in self._made:
                waiting.pop()
                continue
            name, index = key
            spec = self._specs.get(name)
            if spec is None:
                raise FileError(f"{self._where}: its configuration is altered: layer {name!r:.60} is not in it")
            needed = self._arguments(spec, index)
            missing = [(t[0], t[1]) for t in needed if (t[0], t[1]) not in self._made]
            if missing:
                if key in open_:
                    raise FileError(f"{self._where}: its configuration is altered: layer {name!r} waits for itself")
                open_.add(key)
                waiting += missing
                continue
            self._calls.append(Call(spec, tuple(Tensor(self._made[t[0], t[1]], t[2]) for t in needed),
                                    len(needed) > 1 and spec.class_name in _RECURRENT
                                    and self._has_no_mask(spec, index)))
            self._made[key] = len(self._calls) - 1
            waiting.pop()
        return Tensor(self._made[reference[0], reference[1]], reference[2])

    def _has_no_mask(self, spec: Spec, index: int) -> bool:
        node = self._nodes[spec.name][index - self._offsets[spec.name]]
        return is_keras3(node) and not any(masks_of(node))

    def _is_known(self, spec: Spec) -> bool:
        return spec.graph is not None or bool(spec.wrapped) or spec.class_name in ENTRIES \
            or registered(spec.class_name) is not None

    def _arguments(self, spec: Spec, index: int) -> list[Reference]:
        nodes = self._nodes[spec.name]
        if spec.class_name == "InputLayer":
            return []
        number = index - self._offsets[spec.name]
        if not 0 <= number < len(nodes):
            raise FileError(f"{self._where}: its configuration is altered: layer '{spec.name}' has no call {index}")
        if not self._is_known(spec):  # which is what an error should say, whatever it is called with
            return references(nodes[number])
        return references(nodes[number], f"{self._where}: {spec.class_name} '{spec.name}'",
                          _names_of_inputs(spec.graph, is_keras3(nodes[number])))


def _names_of_inputs(graph: Graph | None, keras3: bool) -> list[str]:
    """The inputs of a model in the order in which it takes a mapping of them; none where that is not known."""
    if graph is None or graph.input_names:
        return [] if graph is None else graph.input_names or []
    names = [graph.calls[tensor.call].spec.name for tensor in graph.inputs]
    # A list of inputs that is given a mapping: Keras 3.6 takes the sorted one, 3.3 and 3.15 go by names.
    return [] if keras3 and names != sorted(names) else names
