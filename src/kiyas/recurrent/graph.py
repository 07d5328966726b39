"""The graph of a model: nodes in order, checked, with the shapes and states that go with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import Context, Layer, Shape, Signal
from kiyas.recurrent.layers.distributed import Nested
from kiyas.recurrent.layers.embedding import Embedding, Input
from kiyas.recurrent.layers.merge import Concatenate

Arrays = dict[str, tuple[np.ndarray, ...]]
Widths = dict[str, tuple[int, ...]]
# How a signal is in time: new at each step, of all steps so far (as the last output of a sequence), or the same at all.
Way = Literal["steps", "end", "still"]


class Node(NamedTuple):
    """A layer at a place of the graph, and where its inputs come from: (number of an earlier node, which output).

    The same layer may stand at several nodes: its weights are shared, its states are not.
    """

    layer: Layer
    inputs: tuple[tuple[int, int], ...] = ()


class Graph:
    """Nodes in an order in which they can be run; raises `InputError` where shapes or connections do not fit."""

    def __init__(self, nodes: Sequence[Node], inputs: Sequence[int], outputs: Sequence[tuple[int, int]]) -> None:
        self.nodes = tuple(Node(n.layer, tuple((int(i), int(k)) for i, k in n.inputs)) for n in nodes)
        self.inputs, self.outputs = tuple(inputs), tuple((int(i), int(k)) for i, k in outputs)
        self._check_connections()
        shapes = self._shapes([(None, *self._input(i).shape) for i in self.inputs])
        self.nodes = tuple(_last_axis_first(node, shapes[i]) for i, node in enumerate(self.nodes))
        self.shapes = [tuple(s) for s in shapes]
        self.names = _call_names(self.nodes)
        self.widths: list[Widths] = [
            dict(zip(called(node.layer, name, node.layer.widths), node.layer.widths.values(), strict=True))
            for node, name in zip(self.nodes, self.names, strict=True)]
        self._last_use = {i: at for at, node in enumerate(self.nodes) for i, _ in node.inputs}
        self._keep = {i for i, _ in self.outputs}

    def _input(self, number: int) -> Input:
        layer = self.nodes[number].layer
        assert isinstance(layer, Input)
        return layer

    def _check_connections(self) -> None:
        layers: dict[str, Layer] = {}
        for number, node in enumerate(self.nodes):
            if layers.setdefault(node.layer.name, node.layer) is not node.layer:
                raise InputError(message("Model", "nodes", "layers with names of their own",
                                         f"two named {node.layer.name!r}"))
            if isinstance(node.layer, Input) != (number in self.inputs):
                raise InputError(message("Model", "inputs", "the numbers of all Input nodes and no others",
                                         f"{self.inputs} with {node.layer.owner} at {number}"))
            if not isinstance(node.layer, Input) and not node.inputs:
                raise InputError(message("Model", "nodes", "layers with inputs", f"{node.layer.owner} without"))
            for before, _ in node.inputs:
                if not 0 <= before < number:
                    raise InputError(message("Model", "nodes", "in an order in which inputs come first",
                                             f"{node.layer.owner} at {number} with an input from {before}"))
        if not self.inputs or not self.outputs:
            raise InputError(message("Model", "inputs" if not self.inputs else "outputs", "at least one", "none"))
        for i, _ in self.outputs:
            if not 0 <= i < len(self.nodes):
                raise InputError(message("Model", "outputs", f"nodes from 0 to {len(self.nodes) - 1}", f"{i}"))

    def _shapes(self, given: Sequence[Shape]) -> list[tuple[Shape, ...]]:
        """The output shapes of every node for shapes of the inputs."""
        shapes: list[tuple[Shape, ...]] = []
        place = {number: k for k, number in enumerate(self.inputs)}
        for number, node in enumerate(self.nodes):
            if number in place:
                shapes.append((given[place[number]],))
            else:
                shapes.append(node.layer.shapes(tuple(self._pick(shapes, node.layer, i, k) for i, k in node.inputs)))
        for i, k in self.outputs:
            self._pick(shapes, self.nodes[i].layer, i, k)
        return shapes

    def _pick(self, shapes: list[tuple[Shape, ...]], layer: Layer, node: int, output: int) -> Shape:
        if not 0 <= output < len(shapes[node]):
            raise InputError(message(layer.owner, "inputs", f"outputs of {self.nodes[node].layer.owner} from 0 to "
                                     f"{len(shapes[node]) - 1}", f"{output}"))
        return shapes[node][output]

    def output_shapes(self, given: Sequence[Shape]) -> tuple[Shape, ...]:
        """The shapes of the outputs for shapes of the inputs; raises naming the layer that cannot take them."""
        shapes = self._shapes(given)
        return tuple(shapes[i][k] for i, k in self.outputs)

    def has_time(self, number: int) -> bool:
        """Whether an input node is a sequence: of features, or of ids that an embedding looks up, here or within."""
        shape = self._input(number).shape
        return len(shape) > 1 or (len(shape) == 1 and self._looked_up(number))

    def _looked_up(self, number: int) -> bool:
        for node in self.nodes:
            for place, source in enumerate(node.inputs):
                if source == (number, 0):
                    layer = node.layer
                    if isinstance(layer, Embedding):
                        return True
                    if isinstance(layer, Nested) and layer.model._graph._looked_up(layer.model.inputs[place]):
                        return True
        return False

    def whole(self, given: Sequence[Way] | None = None) -> tuple[Layer | None, list[Way]]:
        """The first layer that needs all time steps at once, None where steps may come one by one; and the outputs.

        What stands at the end of a sequence is known only then: a layer that takes it to each step, or begins another
        sequence from it, needs all steps of the first. ``given``: how the inputs are (None: as the model says).
        """
        found = given or ["steps" if self.has_time(i) else "still" for i in self.inputs]
        made: dict[int, list[Way]] = {number: [way] for number, way in zip(self.inputs, found, strict=True)}
        for number, node in enumerate(self.nodes):
            if number in made:
                continue
            layer, ways = node.layer, [made[i][k] for i, k in node.inputs]
            if layer.time == "whole" or ("end" in ways and (layer.time == "recurrent" or "steps" in ways)
                                         and not isinstance(layer, Nested)):
                return layer, []
            if isinstance(layer, Nested):
                within, made[number] = layer.model._graph.whole(ways)
                if within is not None:
                    return layer, []
            elif layer.time == "recurrent":
                made[number] = ["steps" if len(shape) > 2 else "end" for shape in self.shapes[number]]
            else:
                way: Way = "steps" if "steps" in ways or isinstance(layer, Embedding) else "end" if "end" in ways \
                    else "still"
                made[number] = [way] * len(self.shapes[number])
        return None, [made[i][k] for i, k in self.outputs]

    def state_widths(self) -> Widths:
        """The widths of all state arrays, in the order of the nodes."""
        return {key: widths for own in self.widths for key, widths in own.items()}

    def run(self, signals: Sequence[Signal], state: Mapping[str, tuple[np.ndarray, ...]] | None,
            context: Context) -> tuple[tuple[Signal, ...], Arrays]:
        """Signals through all nodes, and the state after them. ``state`` may hold some layers only."""
        made: dict[int, tuple[Signal, ...]] = {number: (s,) for number, s in zip(self.inputs, signals, strict=True)}
        new: Arrays = {}
        for number, node in enumerate(self.nodes):
            if number in made:
                continue
            keys = self.widths[number]
            own = None if state is None else _own(keys, state)
            made[number], after = node.layer.run(tuple(made[i][k] for i, k in node.inputs), own, context)
            if keys and after is not None:
                left = iter(after)
                new |= {key: tuple(next(left) for _ in widths) for key, widths in keys.items()}
            for i, _ in node.inputs:
                if self._last_use[i] == number and i not in self._keep:
                    made.pop(i, None)
        return tuple(made[i][k] for i, k in self.outputs), new


def _own(keys: Widths, state: Mapping[str, tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...] | None:
    """The state arrays of a node, zeros for those that are not there; None if none is."""
    there = next((key for key in keys if key in state), None)
    if there is None:
        return None
    batch = state[there][0].shape[0]
    return tuple(a for key, widths in keys.items()
                 for a in (state[key] if key in state else [np.zeros((batch, w), np.float32) for w in widths]))


def _last_axis_first(node: Node, shapes: tuple[Shape, ...]) -> Node:
    """A Concatenate along the last axis, written so that it is known to go step by step."""
    layer = node.layer
    if isinstance(layer, Concatenate) and layer.axis == len(shapes[0]) - 1:
        return Node(replace(layer, axis=-1), node.inputs)
    return node


def _call_names(nodes: Sequence[Node]) -> list[str]:
    """A name for each call of a layer: its own, then NAME#2, …"""
    calls: dict[str, int] = {}
    names = []
    for node in nodes:
        calls[node.layer.name] = calls.get(node.layer.name, 0) + 1
        count = calls[node.layer.name]
        names.append(node.layer.name if count == 1 else f"{node.layer.name}#{count}")
    return names


def called(layer: Layer, name: str, keys: Iterable[str]) -> list[str]:
    """The names of a layer's states at a call of it, which has a name of its own."""
    return [name + key[len(layer.name):] for key in keys]
