"""Which arrays of a file belong to which layer.

Two layouts. *By layer*: ``.h5`` of every version; an attribute lists the layers in order, each layer lists its arrays.
*By class*: ``.weights.h5`` and ``.keras``; groups are called after the class of a layer, numbered within their model
(``lstm``, ``lstm_1``, and in Keras 2.13 ``lstm``, ``lstm_2``), whatever the layers are called.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kiyas.errors import FileError
from kiyas.recurrent.loading.keras.graph import MODELS, Graph, Spec
from kiyas.recurrent.loading.keras.hdf5 import Hdf5
from kiyas.recurrent.loading.keras.operations import OPERATION
from kiyas.recurrent.loading.keras.options import Options, dtype_of
from kiyas.recurrent.loading.keras.table import ENTRIES, Names
from kiyas.recurrent.loading.keras.versions import Version
from kiyas.recurrent.registry import registered

Path = tuple[str, ...]
# The arrays of a layer; by name where the class is known, numbered for a registered one.
Named = dict[str, np.ndarray]
# What Keras 2 makes of operations.
_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty",
               "TensorFlowOpLayer")
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


@dataclass(frozen=True)
class Leaf:
    """A layer that has its weights itself: the names in Keras' order, trainable ones first; None if anyone's guess."""

    spec: Spec
    trainable: Names
    others: Names
    frozen: bool
    known: bool

    @property
    def names(self) -> Names:
        """All names."""
        return self.trainable + self.others

    @property
    def dtype(self) -> str:
        """What the configuration says of the numbers."""
        return str(dtype_of(self.spec.config))


def leaf(spec: Spec, version: Version, where: str, frozen: bool = False) -> Leaf:
    """The weights that a layer should have."""
    frozen = frozen or spec.config.get("trainable") is False
    if registered(spec.class_name) is not None or spec.class_name == "InputLayer":
        return Leaf(spec, (), (), frozen, spec.class_name == "InputLayer")
    if spec.class_name not in ENTRIES:
        return Leaf(spec, (), (), frozen, False)
    options = Options(spec.class_name, spec.name, spec.config, version, where)
    return Leaf(spec, *ENTRIES[spec.class_name].weights(options), frozen, True)


def leaves(spec: Spec, version: Version, where: str, frozen: bool = False) -> Iterator[Leaf]:
    """The leaves of a layer in order: itself, those that it wraps, or those of the model that it is."""
    frozen = frozen or spec.config.get("trainable") is False
    if spec.graph is not None:
        for inner in spec.graph.specs:
            yield from leaves(inner, version, where, frozen)
    elif spec.wrapped:
        for inner in spec.wrapped.values():
            yield from leaves(inner, version, where, frozen)
    else:
        yield leaf(spec, version, where, frozen)


def _check_all_known(specs: list[Spec], version: Version, where: str) -> None:
    """Raise for a class that is neither known nor registered."""
    for part in (part for spec in specs for part in leaves(spec, version, where)):
        kind, name = part.spec.class_name, part.spec.name
        if part.known or registered(kind) is not None:
            continue
        if kind == "Lambda":
            raise FileError(f"{where}: layer '{name}' is a Lambda, code in the file; nothing of a file is ever run. "
                            "Save the model without it")
        if kind.startswith(OPERATION) or kind in _OPERATIONS:
            raise FileError(f"{where}: layer '{name}' is of class {kind.removeprefix(OPERATION)}, an operation in the "
                            "code of the model, which is not supported (sums, differences, products and quotients "
                            "are); save the model with a layer in its place")
        raise FileError(f"{where}: layer '{name}' is of class {kind}, which is not known; register_layer('{kind}', …) "
                        "can teach it")


class ByLayer:
    """Arrays of a file that lists layers and the arrays of each, in order."""

    def __init__(self, file: Hdf5, root: Path, version: Version, partial: bool):
        self._file, self._root, self._version, self._partial = file, root, version, partial
        self._groups = file.texts(root, "layer_names") or []
        self._arrays = {name: [self._path(name, array) for array in file.texts((*root, *_split(name)), "weight_names")
                               or []] for name in self._groups}

        for name, arrays in self._arrays.items():
            if len({*arrays}) < len(arrays):  # Keras 3.0 does so for a model within a model, and fails halfway
                raise FileError(f"{file.where}: is incomplete, the arrays of '{name}' share names, so that only the "
                                "first of each was written")

    def _path(self, group: str, array: str) -> Path:
        return (*self._root, *_split(group), *_split(array))

    def assign(self, graph: Graph, wanted: list[Spec]) -> dict[Spec, Named]:
        """The arrays of each leaf under the wanted layers of the graph."""
        where = self._file.where
        _check_all_known(wanted, self._version, where)
        with_weights = [spec for spec in graph.specs if self._has_weights(spec)]
        stored = [name for name in self._groups if self._arrays[name]]
        names = {spec.name for spec in with_weights}
        if names <= set(stored):
            group = {spec: spec.name for spec in with_weights}
        elif len(stored) == len(with_weights):
            # Other names: layers were named anew by the code that makes the configuration. Order is what Keras goes by.
            group = dict(zip(with_weights, stored, strict=True))
        else:
            raise FileError(f"{where}: has weights of {len(stored)} layers ({_listed(stored)}), the configuration has "
                            f"{len(with_weights)} with weights ({_listed(s.name for s in with_weights)}); names or "
                            f"numbers must agree{_never_built(with_weights)}")
        left = [name for name in stored if name not in set(group.values())]
        if left and not self._partial and len(wanted) == len(graph.specs):
            raise FileError(f"{where}: has weights of layers that the configuration does not have: {_listed(left)}; "
                            "pass partial=True to leave them out")
        found: dict[Spec, Named] = {}
        for spec in wanted:
            arrays = [] if spec not in group else self._arrays[group[spec]]
            found |= self._split_up(spec, arrays)
        return found

    def _has_weights(self, spec: Spec) -> bool:
        parts = list(leaves(spec, self._version, self._file.where))
        if all(part.known for part in parts):
            return any(part.names for part in parts)
        return bool(self._arrays.get(spec.name)) or spec.name not in self._arrays

    def _split_up(self, spec: Spec, paths: list[Path]) -> dict[Spec, Named]:
        """A group has all trainable arrays of the leaves within, then all others; a frozen leaf has only others."""
        where = self._file.where
        parts = list(leaves(spec, self._version, where))
        unknown = [part for part in parts if not part.known]
        if unknown:
            if len(parts) > 1:
                raise FileError(f"{where}: layer '{unknown[0].spec.name}' of class {unknown[0].spec.class_name} lies "
                                f"within '{spec.name}', where its arrays cannot be told from others'")
            return {parts[0].spec: {str(k): self._file.array(path, parts[0].dtype) for k, path in enumerate(paths)}}
        order = [(part, name) for part in parts if not part.frozen for name in part.trainable]
        order += [(part, name) for part in parts for name in (part.names if part.frozen else part.others)]
        if len(order) != len(paths):
            raise FileError(f"{where}: layer '{spec.name}' of class {spec.class_name} has {len(paths)} arrays "
                            f"({_listed(path[-1] for path in paths)}), wanted {len(order)} "
                            f"({_listed(name for _, name in order)}){_never_built([spec])}")
        found: dict[Spec, Named] = {part.spec: {} for part in parts}
        for (part, name), path in zip(order, paths, strict=True):
            found[part.spec][name] = self._file.array(path, part.dtype)
        return {part.spec: {name: found[part.spec][name] for name in part.names} for part in parts}


class ByClass:
    """Arrays of a file whose groups are called after classes."""

    def __init__(self, file: Hdf5, version: Version, partial: bool):
        self._file, self._version, self._partial = file, version, partial

    def assign(self, graph: Graph, wanted: list[Spec]) -> dict[Spec, Named]:
        """The arrays of each leaf under the wanted layers of the graph."""
        _check_all_known(wanted, self._version, self._file.where)
        return self._model((), graph, wanted)

    def _model(self, path: Path, graph: Graph, wanted: list[Spec]) -> dict[Spec, Named]:
        where = self._file.where
        container = next(((*path, name) for name in _CONTAINERS if self._file.names((*path, name))), None)
        groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for name in self._file.names(container) if container is not None else []:
            stem, number = _numbered(name)
            if container is not None and self._stored((*container, name)):
                groups[stem].append((number, name))
        specs: dict[str, list[Spec]] = defaultdict(list)
        for spec in graph.specs:
            if self._may_have_weights(spec, groups):
                specs[snake_case(spec.stored or spec.class_name)].append(spec)
        found: dict[Spec, Named] = {}
        for stem in groups.keys() | specs.keys():
            names = [name for _, name in sorted(groups[stem])]
            layers = specs[stem]
            if not any(spec in wanted for spec in layers) and (self._partial or len(wanted) != len(graph.specs)):
                continue
            if len(names) != len(layers):
                raise FileError(f"{where}: has weights of {len(names)} layers of class {stem} ({_listed(names)}), the "
                                f"configuration has {len(layers)} ({_listed(s.name for s in layers)})"
                                f"{_never_built(layers)}")
            assert container is not None or not names
            self._check_names([(*(container or ()), name) for name in names], layers)
            for name, spec in zip(names, layers, strict=True):
                if spec in wanted:
                    found |= self._layer((*(container or ()), name), spec)
        for spec in wanted:
            for part in leaves(spec, self._version, where):
                found.setdefault(part.spec, {})
        return found

    def _may_have_weights(self, spec: Spec, groups: dict[str, list[tuple[int, str]]]) -> bool:
        parts = list(leaves(spec, self._version, self._file.where))
        return any(part.names for part in parts) or \
            (not all(part.known for part in parts) and snake_case(spec.stored or spec.class_name) in groups)

    def _check_names(self, paths: list[Path], layers: list[Spec]) -> None:
        """Newer files say what each layer was called: where those are the names that we know, they must agree."""
        said = [self._file.text((*path, "vars"), "name") for path in paths]
        if None in said or {*said} != {spec.name for spec in layers}:
            return
        for path, name, spec in zip(paths, said, layers, strict=True):
            if name != spec.name:
                raise FileError(f"{self._file.where}: the group {'/'.join(path)} says that it is layer '{name}', by "
                                f"its number it is '{spec.name}'; the file is altered, or of another model")

    def _layer(self, path: Path, spec: Spec) -> dict[Spec, Named]:
        where = self._file.where
        if spec.graph is not None:
            return self._model(path, spec.graph, spec.graph.specs)
        if spec.wrapped:
            found: dict[Spec, Named] = {}
            used: set[Path] = set()
            for role, inner in spec.wrapped.items():
                forward = spec.class_name == "Bidirectional" and role == "layer"
                names = ("forward_layer", "layer") if forward else (role,)
                at = next(((*path, name) for name in names if self._stored((*path, name))), (*path, role))
                used |= set(self._stored(at))
                found |= self._layer(at, inner)
            self._all_used(path, used, spec)
            return found
        part = leaf(spec, self._version, where)
        stored = self._stored(path)
        if not part.known:
            return {spec: {str(k): self._file.array(array, part.dtype) for k, array in enumerate(stored)}}
        at = (*path, "cell") if ENTRIES[spec.class_name].in_cell and self._file.names((*path, "cell")) else path
        arrays = [array for array in stored if array[:-1] == (*at, "vars")]
        if len(arrays) != len(part.names):
            raise FileError(f"{where}: layer '{spec.name}' of class {spec.class_name} has {len(arrays)} arrays under "
                            f"{'/'.join(at)}, wanted {len(part.names)} ({_listed(part.names)}){_never_built([spec])}")
        self._all_used(path, set(arrays), spec)
        return {spec: {name: self._file.array(array, part.dtype)
                       for name, array in zip(part.names, arrays, strict=True)}}

    def _all_used(self, path: Path, used: set[Path], spec: Spec) -> None:
        left = [array for array in self._stored(path) if array not in used]
        if left:
            raise FileError(f"{self._file.where}: layer '{spec.name}' of class {spec.class_name} does not use "
                            f"{_listed('/'.join(array) for array in left)}")

    def _stored(self, path: Path, depth: int = 0) -> list[Path]:
        """The arrays at or under a path, numbered ones in order; the state of random generators is none."""
        if depth > 100:
            raise FileError(f"{self._file.where}: has groups within groups more than 100 deep")
        found: list[Path] = []
        for name in sorted(self._file.names(path), key=lambda n: (len(n), n) if n.isdecimal() else (0, n)):
            if name.startswith("seed_generator"):
                continue
            here = (*path, name)
            found += [here] if self._file.is_array(here) else self._stored(here, depth + 1)
        return found


def _never_built(specs: list[Spec]) -> str:
    """What to do where Keras wrote a model whose building had failed.

    With PyTorch behind it, Keras 3 cannot make the first recurrent weights of half precision (they are orthogonal),
    says nothing of it in ``Sequential([Input, …])``, and saves what there is; it cannot load that either.
    """
    half = [spec for spec in specs for part in ([spec, *spec.wrapped.values()])
            if dtype_of(part.config) in ("bfloat16", "float16")]
    if not half:
        return ""
    return (f"; '{half[0].name}' is of {dtype_of(half[0].config)}, for which Keras may fail to make weights without "
            "saying so: look at model.weights, give recurrent_initializer='glorot_uniform', and save it again")


def snake_case(class_name: str) -> str:
    """What Keras calls the group of a class.

    >>> [snake_case(name) for name in ("LSTM", "SimpleRNN", "CuDNNLSTM", "TimeDistributed")]
    ['lstm', 'simple_rnn', 'cu_dnnlstm', 'time_distributed']
    """
    if class_name in MODELS and class_name != "Sequential":
        return "functional"
    own = class_name.rsplit(">", 1)[-1]  # "package>MyLayer", as registered
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", own))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _numbered(name: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.*?)_(\d{1,9})", name)
    return (found[1], int(found[2])) if found else (name, 0)


def _split(name: str) -> Path:
    return tuple(part for part in name.split("/") if part)


def _listed(names: Iterator[str] | list[str] | Names) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"
