"""A graph read node by node: constants are folded, axes are followed, layers are made.

Two kinds of graph come out as a model over (batch, time, …). In a *sequence* graph, time is an axis of the input. A
*frame* graph takes one step at a time, a frame, with its states as inputs and outputs; its model takes frames in a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kiyas.errors import FileError, InputError, message
from kiyas.recurrent.graph import Node
from kiyas.recurrent.layers import (
    Arithmetic,
    Concatenate,
    Dense,
    Elementwise,
    Input,
    Layer,
    Permute,
    Reshape,
    TimeDistributed,
)
from kiyas.recurrent.layers.merge import Merge
from kiyas.recurrent.layers.recurrent import Recurrent
from kiyas.recurrent.loading.made import made
from kiyas.recurrent.loading.onnx.call import Call, MismatchError, UnsupportedError
from kiyas.recurrent.loading.onnx.fold import FOLDS, CannotFoldError, elements
from kiyas.recurrent.loading.onnx.operations import RECURRENT, apply
from kiyas.recurrent.loading.onnx.values import (
    Atom,
    Axes,
    Filled,
    Given,
    Lengths,
    Size,
    Stacked,
    Tensor,
    Unknown,
    numbers,
    size_of,
)
from kiyas.recurrent.model import Model

# What states may go through between an input or output of the graph and a recurrent node.
_STATE_WAY = frozenset({"Identity", "Cast", "Gather", "Slice", "Split", "Squeeze", "Unsqueeze", "Reshape", "Transpose",
                        "Concat", "If"})
_DEEPEST = 30
# Characters of a name or a message that an altered file may fill with anything.
_LONGEST = 60


class Reader:
    """Reads one graph, taking axis ``batch_axis`` of its inputs for the batch."""

    def __init__(self, graph: Any, where: str, batch_axis: int, fixed: Mapping[str, np.ndarray],
                 shapes: Mapping[str, Any], opset: int, only: str | None = None,
                 rows_are_frames: bool = False):
        self.graph, self.where, self.opset = graph, where, opset
        self._batch_axis, self._fixed, self._shapes, self._only = batch_axis, fixed, shapes, only
        self.nodes: list[Node] = []
        self._taken: set[str] = set()
        self.batch = Atom(None, batch=True)
        self.uses: dict[str, int] = {}
        self._producers: dict[str, tuple[Any, int]] = {}
        for scope in _scopes(graph, 0, where):
            for node in scope.node:
                for name in node.input:
                    self.uses[name] = self.uses.get(name, 0) + 1
                for number, name in enumerate(node.output):
                    self._producers[name] = (node, number)
            for output in scope.output:
                self.uses[output.name] = self.uses.get(output.name, 0) + 1
        # Weights are put together of constants, and are no larger than all of them.
        self._limit = (1 << 20) + 4 * sum(_count(t) for scope in _scopes(graph, 0, where) for t in _constants(scope))
        inputs = {value.name for value in graph.input}
        nodes = [node for scope in _scopes(graph, 0, where) for node in scope.node if node.op_type in RECURRENT]
        self._recurrent = bool(nodes)
        self._state_inputs = inputs & {leaf for node in nodes for name in list(node.input)[5:7]
                                       for leaf in self._leaves(name)}
        self._length_inputs = inputs & {leaf for node in nodes for name in list(node.input)[4:5]
                                        for leaf in self._leaves(name)}
        # Whether rows may be frames, one after another: told by who reads the graph.
        self.rows_are_frames = rows_are_frames
        # Whether the graph is one of frames: told by the first recurrent node.
        self.frames = False
        self.uses_lengths = False
        self.extracted: Tensor | None = None

    # -- from the graph to a model --------------------------------------------------------------------

    def model(self, source: Mapping[str, Any]) -> Model:
        """The model of the whole graph."""
        environment = self._inputs()
        self.read(self.graph, environment, 0)
        outputs: list[tuple[int, int]] = []
        unsupported: set[str] = set()
        names = [output.name for output in self.graph.output]
        # States that go in and out are the model's own, unless there is nothing else that it could give.
        own = {name for name in names if self._state_inputs and self._is_state_output(name)}
        for name in [name for name in names if name not in own] or names:
            value = environment.get(name)
            if isinstance(value, Unknown):
                unsupported |= value.operations
            elif isinstance(value, Stacked):  # states of two directions: side by side
                both = self.tensor(value)
                outputs.append((both.node, both.output))
            elif isinstance(value, Tensor):
                outputs.append(self._as_output(value))
            elif not isinstance(value, Given):
                raise FileError(f"{self.where}: its output '{name}' does not depend on its inputs")
        if unsupported:
            rest = ("one recurrent node can be loaded by itself with prefix=" if self._recurrent else
                    "it has no LSTM, GRU or RNN node")
            raise FileError(f"{self.where}: has operations that are not supported: {', '.join(sorted(unsupported))}; "
                            f"{rest}")
        if not outputs:
            raise MismatchError(f"its outputs ({', '.join(names)}) are states of single steps alone; give the file an "
                                "output that is not only carried from step to step")
        return self._assembled(outputs, source)

    def _assembled(self, outputs: list[tuple[int, int]], source: Mapping[str, Any]) -> Model:
        nodes = [Node(self._over_frames(node.layer), node.inputs) for node in self.nodes] if self.frames else self.nodes
        needed, waiting = set(), [node for node, _ in outputs]
        while waiting:
            number = waiting.pop()
            if number not in needed:
                needed.add(number)
                waiting += [before for before, _ in nodes[number].inputs]
        order = sorted(needed)
        place = {number: k for k, number in enumerate(order)}
        kept = [Node(nodes[n].layer, tuple((place[i], k) for i, k in nodes[n].inputs)) for n in order]
        inputs = [k for k, node in enumerate(kept) if isinstance(node.layer, Input)]
        if not inputs or not outputs:
            raise FileError(f"{self.where}: has no output that depends on an input")
        facts = {**source, "kind": "frames" if self.frames else "sequences"}
        return made(self.where, Model, kept, inputs, [(place[n], k) for n, k in outputs], source=facts)

    def _over_frames(self, layer: Layer) -> Layer:
        """A layer of frames as one over (batch, time, …)."""
        if isinstance(layer, Input):
            return replace(layer, shape=(None, *layer.shape))
        if isinstance(layer, Concatenate) and layer.axis > 0:
            return replace(layer, axis=layer.axis + 1)
        if isinstance(layer, (Recurrent, Elementwise, Dense, Merge, Concatenate, Arithmetic)):
            return layer
        return TimeDistributed(layer.name, layer)

    def _as_output(self, value: Tensor) -> tuple[int, int]:
        """An output with its axes in the order of ONNX, batch first, without axes of size 1 that nothing needs."""
        atoms = [atom for axis in value.axes for atom in axis]
        merged = any(len(axis) > 1 and axis not in value.array for axis in value.axes)
        places = [value.axes.index(axis) for axis in value.array[1:] if axis in value.axes]
        if value.array[0] == (self.batch,) and {a for axis in value.array for a in axis} == set(atoms) \
                and len(value.array) >= 3 and not merged and places == sorted(places):
            return value.node, value.output
        wanted = [axis for axis in value.axes if axis and axis != (self.batch,)]
        if not wanted:
            wanted = [axis for axis in value.axes if axis != (self.batch,)][:1] or [()]
        placed = self.placed(value, ((self.batch,), *wanted))
        return placed.node, placed.output

    # -- inputs ---------------------------------------------------------------------------------------

    def _inputs(self) -> dict[str, Any]:
        from onnx import numpy_helper

        environment: dict[str, Any] = {}
        environment |= {t.name: self.array(numpy_helper.to_array, t) for t in self.graph.initializer}
        for value in self.graph.input:
            if value.name in environment:
                continue
            if value.name in self._fixed:
                environment[value.name] = self._fixed[value.name]
            else:
                environment[value.name] = self._input(value)
        return environment

    def array(self, to_array: Any, tensor: Any) -> np.ndarray:
        """A tensor of the file as an array."""
        try:
            return np.asarray(to_array(tensor))
        # Whatever an altered tensor makes of it.
        except Exception as error:  # noqa: BLE001
            raise FileError(f"{self.where}: is altered at the tensor {tensor.name[:_LONGEST]!r} "
                            f"({' '.join(repr(str(error))[1:-1].split())[:3 * _LONGEST]})") from None

    def _input(self, value: Any) -> Any:
        declared = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
                    for d in value.type.tensor_type.shape.dim]
        given = self._shapes.get(value.name)
        if given is not None:
            declared = [None if d is None else int(d) for d in given]
        if value.name in self._length_inputs:
            return Lengths(value.name)
        if value.name in self._state_inputs:
            return Given(value.name, tuple(Size(1, (Atom(None),)) if d is None else d for d in declared or [None] * 3))
        if not value.type.tensor_type.HasField("shape") and given is None:
            declared = [None] * 3
        if not self._batch_axis < len(declared) <= 3:
            cure = "(give numbers for it with inputs=)"
            return Unknown(frozenset({f"the input '{value.name}' of rank {len(declared)} {cure}"}))
        axes = tuple((self.batch,) if k == self._batch_axis else (Atom(d),) for k, d in enumerate(declared))
        self.batch.declared = declared[self._batch_axis]
        array = ((self.batch,), *(axis for axis in axes if axis != (self.batch,)))
        # Time, in front of features, may be of any length whatever the file says.
        shape = tuple(size if isinstance(size := size_of(axis), int) and (len(array) < 3 or k == 1) else None
                      for k, axis in enumerate(array[1:]))
        node = self.add(Input(self.name(value.name), shape), ())
        return Tensor(node, 0, array, axes)

    def _open(self) -> str:
        """The inputs whose sizes could be given."""
        open_ = [value.name for value in self.graph.input if value.name not in self._state_inputs | set(self._fixed)
                 and any(not d.dim_value for d in value.type.tensor_type.shape.dim)]
        return f"that of {', '.join(map(repr, open_))}" if open_ else "them"

    # -- nodes ----------------------------------------------------------------------------------------

    def read(self, graph: Any, environment: dict[str, Any], depth: int) -> None:
        """All nodes of a graph, in order, into the environment."""
        from onnx import numpy_helper

        if depth > _DEEPEST:
            raise FileError(f"{self.where}: has graphs within graphs more than {_DEEPEST} deep")
        if depth:
            environment |= {t.name: self.array(numpy_helper.to_array, t) for t in graph.initializer}
        for node in graph.node:
            found = self._node(node, environment, depth)
            for name, value in zip(node.output, found, strict=False):
                if name:
                    environment[name] = value
            if self.extracted is not None:
                return

    def _node(self, node: Any, environment: dict[str, Any], depth: int) -> list[Any]:
        for name in node.input:
            if name and name not in environment:
                raise FileError(f"{self.where}: is altered, node '{node.name}' needs '{name}', which is not there")
        values = [environment[name] if name else None for name in node.input]
        attributes = self._attributes(node)
        if node.op_type == "If" and len(values) == 1:
            return self._branch(node, values[0], attributes, environment, depth)
        extracting = self._only is not None and node.op_type in RECURRENT and self._only in (node.name, node.output[0])
        if extracting:
            values[0] = self._fresh_input(values[1], attributes)
        lost = frozenset(op for value in values if isinstance(value, Unknown) for op in value.operations)
        if lost and not extracting:
            return [Unknown(lost)] * len(node.output)
        if node.op_type == "Concat" and values and all(_is_filled(value, values[0]) for value in values):
            return [values[0]]
        if values and isinstance(values[0], Filled) and node.op_type in _STATE_WAY - {"If", "Concat"}:
            return [Filled(values[0].value)] * len(node.output)
        if node.domain not in ("", "ai.onnx"):
            return [Unknown(frozenset({f"{node.domain}.{node.op_type}"}))] * len(node.output)
        if node.op_type == "Constant":
            return [self._constant(node, attributes)]
        if all(value is None or isinstance(value, np.ndarray) for value in values) and node.op_type in FOLDS:
            try:
                if elements(node.op_type, values, attributes) > self._limit:
                    raise CannotFoldError
                found = FOLDS[node.op_type](values, attributes)
                return [value if isinstance(value, Filled) else numbers(np.asarray(value))
                        for value in (found if isinstance(found, list) else [found])]
            except CannotFoldError:
                why = f"of sizes that the file leaves open (give {self._open()} with shapes=), or too large"
                return [Unknown(frozenset({f"{node.op_type} {why}"}))] * len(node.output)
            # Whatever an altered node makes of NumPy.
            except Exception as error:  # noqa: BLE001
                raise FileError(f"{self.where}: is altered at node '{node.name}', {node.op_type} ({error})") from None
        try:
            result = apply(Call(self, node, values, attributes))
        except UnsupportedError as reason:
            return [Unknown(frozenset({str(reason) or node.op_type}))] * len(node.output)
        except InputError as error:
            raise FileError(f"{self.where}: {error}") from None
        if extracting:
            self.extracted = next(value for value in result if isinstance(value, Tensor))
        return result

    def _attributes(self, node: Any) -> dict[str, Any]:
        from onnx import helper, numpy_helper

        found: dict[str, Any] = {}
        for attribute in node.attribute:
            try:
                value = helper.get_attribute_value(attribute)
            except ValueError as error:
                raise FileError(f"{self.where}: is altered at node '{node.name}' ({error})") from None
            if attribute.HasField("t"):
                value = self.array(numpy_helper.to_array, attribute.t)
            elif isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif attribute.strings:
                value = [text.decode("utf-8", "replace") for text in attribute.strings]
            found[attribute.name] = value
        return found

    def _constant(self, node: Any, attributes: Mapping[str, Any]) -> np.ndarray:
        for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
            if key in attributes:
                kind = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64,
                        "value_ints": np.int64}.get(key)
                return np.asarray(attributes[key], kind)
        raise FileError(f"{self.where}: is altered, the constant '{node.name}' has no value that is a number")

    def _branch(self, node: Any, condition: Any, attributes: Mapping[str, Any], environment: dict[str, Any], depth: int
                ) -> list[Any]:
        if isinstance(condition, Unknown):
            return [condition] * len(node.output)
        if not isinstance(condition, np.ndarray) or condition.size != 1 or condition.dtype == object:
            return [Unknown(frozenset({"If that depends on an input (give a number for it with inputs=)"}))] \
                * len(node.output)
        branch = attributes.get("then_branch" if bool(condition.ravel()[0]) else "else_branch")
        if branch is None or not hasattr(branch, "node"):
            raise FileError(f"{self.where}: is altered, the If '{node.name}' lacks a branch")
        inner = dict(environment)
        self.read(branch, inner, depth + 1)
        return [inner.get(output.name, Unknown(frozenset({"If"}))) for output in branch.output]

    def _fresh_input(self, w: Any, attributes: Mapping[str, Any]) -> Tensor:
        """In place of what goes into a node that is loaded by itself: sequences of as many features as its W takes."""
        if not isinstance(w, np.ndarray) or w.ndim != 3:
            raise FileError(f"{self.where}: the weights of the node are not constant")
        time, features = Atom(None), Atom(int(w.shape[2]))
        node = self.add(Input(self.name("input"), (None, int(w.shape[2]))), ())
        array = ((self.batch,), (time,), (features,))
        return Tensor(node, 0, array, array if attributes.get("layout") else (array[1], array[0], array[2]))

    # -- for operations -------------------------------------------------------------------------------

    def name(self, wanted: str) -> str:
        """A name for a layer that no other has."""
        name = wanted = wanted.rsplit("/", 1)[-1] or "node"
        number = 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name

    def add(self, layer: Layer, inputs: tuple[tuple[int, int], ...]) -> int:
        """A node more."""
        self.nodes.append(Node(layer, inputs))
        return len(self.nodes) - 1

    def tensor(self, value: Any) -> Tensor:
        """A value as one tensor; states of two directions are put side by side."""
        if isinstance(value, Tensor):
            return value
        if not isinstance(value, Stacked) or value.axis != 0:
            raise MismatchError("a value that is no tensor")
        parts = value.parts
        wide = sum(int(s) for part in parts if isinstance(s := size_of(part.array[1]), int))
        node = self.add(Concatenate(self.name("states"), axis=-1), tuple((p.node, p.output) for p in parts))
        ways, units = Atom(len(parts)), Atom(wide // len(parts))
        return Tensor(node, 0, ((self.batch,), (ways, units)), ((ways,), (self.batch,), (units,)))

    def placed(self, value: Tensor, wanted: Axes) -> Tensor:
        """The tensor with its array in the wanted axes, moved if need be."""
        if value.array == wanted:
            return value
        flat, kept = [a for axis in wanted for a in axis], {a for axis in wanted for a in axis}
        have = [a for axis in value.array for a in axis]
        if any(a.size != 1 for a in have if a not in kept) or len(set(flat)) != len(flat) \
                or not set(flat) <= set(have) or not wanted or wanted[0] != (self.batch,):
            raise MismatchError("axes that do not fit: is the batch another axis?")
        order = [a for a in have if a in kept]
        node, output, array = value.node, value.output, value.array
        if order != flat:
            single = tuple((a,) for a in order)
            if array != single:
                node, output, array = self._reshaped(node, output, single), 0, single
            axes = tuple(order.index(a) for a in flat[1:])
            node, output = self.add(Permute(self.name("permute"), axes), ((node, output),)), 0
            array = tuple((a,) for a in flat)
        if array != wanted:
            node, output = self._reshaped(node, output, wanted), 0
        return Tensor(node, output, wanted, value.axes)

    def _reshaped(self, node: int, output: int, axes: Axes) -> int:
        shape = [size_of(axis) for axis in axes[1:]]
        if sum(isinstance(s, Size) for s in shape) > 1:
            raise MismatchError("a reshape with two sizes that the file leaves open; give "
                                f"{self._open()} with shapes=")
        wanted = tuple(-1 if isinstance(s, Size) else s for s in shape)
        return self.add(Reshape(self.name("reshape"), wanted or (1,)), ((node, output),))

    def in_order(self, value: Tensor) -> Tensor:
        """The tensor with its array in the order of ONNX, batch first, axes of size 1 included."""
        if (self.batch,) not in value.axes:
            raise MismatchError("a tensor without a batch axis of its own")
        return self.placed(value, ((self.batch,), *(axis for axis in value.axes if axis != (self.batch,))))

    # -- following names ------------------------------------------------------------------------------

    def _leaves(self, name: str) -> set[str]:
        """The inputs of the graph that a value is made of by moving alone."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if not current or current in seen:
                continue
            seen.add(current)
            node, number = self._producers.get(current, (None, 0))
            if node is None:
                found.add(current)
            elif node.op_type == "If":
                waiting += [a.g.output[number].name for a in node.attribute
                            if a.HasField("g") and number < len(a.g.output)]
            elif node.op_type in _STATE_WAY:
                waiting += list(node.input) if node.op_type == "Concat" else list(node.input)[:1]
        return found

    def _is_state_output(self, name: str) -> bool:
        """Whether an output of the graph is made of the last states of recurrent nodes alone."""
        seen: set[str] = set()
        waiting, reached = [name], False
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            node, number = self._producers.get(current, (None, 0))
            if node is not None and node.op_type in RECURRENT:
                if number == 0:
                    return False
                reached = True
            elif node is not None and node.op_type == "If":
                waiting += [a.g.output[number].name for a in node.attribute
                            if a.HasField("g") and number < len(a.g.output)]
            elif node is not None and node.op_type in _STATE_WAY:
                waiting += list(node.input) if node.op_type == "Concat" else list(node.input)[:1]
            elif node is not None and node.op_type == "Add":  # of nothing: how an exporter keeps an input alive
                waiting += [name for name in node.input if self._leaves(name) - self._fixed.keys()]
            elif node is not None or current in {value.name for value in self.graph.input} - self._state_inputs:
                return False
        return reached


def _constants(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    yield from (a.t for node in graph.node for a in node.attribute if a.HasField("t"))


def _count(tensor: Any) -> int:
    count = 1
    for size in tensor.dims:
        count *= max(0, size)
    return min(count, int(tensor.ByteSize()))


def _is_filled(value: Any, like: Any) -> bool:
    return isinstance(value, Filled) and isinstance(like, Filled) and value.value == like.value


def _scopes(graph: Any, depth: int, where: str) -> Iterator[Any]:
    """A graph and all graphs within it."""
    if depth > _DEEPEST:
        raise FileError(f"{where}: has graphs within graphs more than {_DEEPEST} deep")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _scopes(attribute.g, depth + 1, where)


def single_node(graph: Any, where: str, name: str, fixed: Mapping[str, np.ndarray], shapes: Mapping[str, Any],
                opset: int, source: Mapping[str, Any]) -> Model:
    """One recurrent node of a graph, called by its name or that of its first output, as a model of one layer."""
    known = [node.name or node.output[0] for scope in _scopes(graph, 0, where) for node in scope.node
             if node.op_type in RECURRENT]
    reader = Reader(graph, where, 0, fixed, shapes, opset, only=name, rows_are_frames=True)
    environment: dict[str, Any] = {}
    try:
        environment = reader._inputs()
        reader.read(graph, environment, 0)
    except MismatchError as error:
        raise FileError(f"{where}: {error}") from None
    if reader.extracted is None:
        raise InputError(message("load", "prefix", f"the name of a recurrent node: {', '.join(known)[:300]}",
                                 repr(name)))
    found = reader.extracted
    return reader._assembled([(found.node, found.output)], source)
