"""A model out of a graph and the arrays of its layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kiyas.errors import FileError, InputError
from kiyas.recurrent.graph import Node
from kiyas.recurrent.layers import Bidirectional, Conv1D, Dense, Embedding, Input, Nested, TimeDistributed
from kiyas.recurrent.layers.base import Layer, Shape
from kiyas.recurrent.layers.exchange import Unmasked
from kiyas.recurrent.layers.recurrent import Recurrent
from kiyas.recurrent.loading.keras.graph import Graph, Spec, Tensor, batch_shape
from kiyas.recurrent.loading.keras.options import Options
from kiyas.recurrent.loading.keras.table import ENTRIES
from kiyas.recurrent.loading.keras.versions import Version
from kiyas.recurrent.loading.keras.weights import Named
from kiyas.recurrent.model import Model
from kiyas.recurrent.registry import registered


class Builder:
    """Makes the layers of a file; a layer that is used twice is made once."""

    def __init__(self, arrays: Mapping[Spec, Named], version: Version, where: str, source: Mapping[str, Any]):
        self._arrays, self._version, self._where, self._source = arrays, version, where, source
        self._made: dict[Spec, Layer] = {}
        self._unmasked: dict[Spec, Layer] = {}

    def model(self, graph: Graph) -> Model:
        """The model of a graph."""
        nodes: list[Node] = []
        shapes: list[tuple[Shape | None, ...]] = []
        inputs = {tensor.call: position for position, tensor in enumerate(graph.inputs)}
        for number, call in enumerate(graph.calls):
            given = tuple(self._shape(shapes, tensor, call.spec) for tensor in call.inputs)
            if not call.inputs and number not in inputs:
                raise FileError(f"{self._where}: its configuration is altered: nothing goes into '{call.spec.name}'")
            if not call.inputs:
                layer: Layer = Input(call.spec.name, self._input_shape(graph, number))
            else:
                layer = self._layer(call.spec, given)
                if call.unmasked and isinstance(layer, (Recurrent, Bidirectional)):
                    layer = self._unmasked.setdefault(call.spec, Unmasked(f"{layer.name} (no mask)", layer))
            nodes.append(Node(layer, tuple((tensor.call, tensor.index) for tensor in call.inputs)))
            shapes.append(self._shapes_after(layer, given))
        for tensor in graph.outputs:
            self._shape(shapes, tensor, graph.calls[tensor.call].spec)
        held = {} if graph.structure is None else {"outputs": json.dumps(graph.structure)}
        try:
            return Model(tuple(nodes), tuple(tensor.call for tensor in graph.inputs),
                         tuple((tensor.call, tensor.index) for tensor in graph.outputs),
                         graph.input_names, graph.output_names,
                         source={**self._source, **held})
        except InputError as error:
            raise FileError(f"{self._where}: {error}") from None

    def _shape(self, shapes: list[tuple[Shape | None, ...]], tensor: Tensor, spec: Spec) -> Shape | None:
        outputs = shapes[tensor.call]
        if tensor.index >= len(outputs):
            raise FileError(f"{self._where}: its configuration is altered: '{spec.name}' needs output {tensor.index} "
                            f"of a layer with {len(outputs)}")
        return outputs[tensor.index]

    def _shapes_after(self, layer: Layer, given: tuple[Shape | None, ...]) -> tuple[Shape | None, ...]:
        known = tuple(shape for shape in given if shape is not None)
        if len(known) == len(given):
            try:
                return layer.shapes(known)
            except InputError as error:
                raise FileError(f"{self._where}: {error}") from None
        return (None,) * 8  # the shape of the input is not known; as many outputs as any layer has

    def _layer(self, spec: Spec, shapes: tuple[Shape | None, ...]) -> Layer:
        if spec not in self._made:
            try:
                self._made[spec] = self._make(spec, shapes)
            except InputError as error:
                raise FileError(f"{self._where}: {error}") from None
        return self._made[spec]

    def _make(self, spec: Spec, shapes: tuple[Shape | None, ...]) -> Layer:
        if spec.graph is not None:
            return Nested(spec.name, self.model(spec.graph))
        arrays = self._arrays.get(spec, {})
        options = Options(spec.class_name, spec.name, spec.config, self._version, self._where, arrays, shapes)
        if spec.wrapped:
            made = self._wrapper(spec, options, shapes)
            options.finish()
            return made
        factory = registered(spec.class_name)
        if factory is not None:
            layer = factory(spec.name, dict(spec.config), list(arrays.values()))
            if not isinstance(layer, Layer):
                raise InputError(f"register_layer: the factory of '{spec.class_name}' must return a layer, it returned "
                                 f"{type(layer).__name__}")
            return layer
        known = ENTRIES[spec.class_name]
        known.weights(options)  # asks for options as well
        layer = known.build(options)
        options.finish()
        return layer

    def _input_shape(self, graph: Graph, number: int) -> Shape:
        """The shape of an input without the batch: as it says itself, or as the first layer after it needs it."""
        spec = graph.calls[number].spec
        shape = batch_shape(spec.config)
        if shape is not None:
            if not shape or not all(s is None or (type(s) is int and s > 0) for s in shape):
                raise FileError(f"{self._where}: the shape of input '{spec.name}' is {shape!r:.60}")
            return tuple(shape[1:])
        for call in graph.calls:
            if Tensor(number, 0) in call.inputs:
                layer = self._layer(call.spec, (None,) * len(call.inputs))
                found = _wanted(layer, call.inputs.index(Tensor(number, 0)))
                if found is not None:
                    return found
        raise FileError(f"{self._where}: does not say the shape of its input '{spec.name}'; put "
                        "'batch_input_shape' into the configuration of the first layer, and pass it as config=")

    def _wrapper(self, spec: Spec, options: Options, shapes: tuple[Shape | None, ...]) -> Layer:
        if spec.class_name == "TimeDistributed":
            options.get("layer")
            inner = tuple(None if shape is None else (shape[0], *shape[2:]) for shape in shapes)
            return TimeDistributed(spec.name, self._layer(spec.wrapped["layer"], inner),
                                   passes_mask=self._version.passes_mask)
        for key in ("layer", "backward_layer", "return_sequences", "return_state", "stateful"):
            options.get(key, default=None)
        forward, backward = (self._layer(spec.wrapped[role], shapes) for role in ("layer", "backward_layer"))
        if not isinstance(forward, Recurrent) or not isinstance(backward, Recurrent):
            raise options.error("wraps layers that are not recurrent")
        merge = options.get("merge_mode", default="concat")
        return Bidirectional(spec.name, forward, backward, merge=merge, return_sequences=forward.return_sequences,
                             return_state=forward.return_state, stateful=forward.stateful,
                             passes_mask=forward.passes_mask)


def _wanted(layer: Layer, position: int) -> Shape | None:
    """The shape, without the batch, of what a layer can take; None if it does not tell."""
    if isinstance(layer, Embedding):
        return (None,)
    if isinstance(layer, Bidirectional):
        return _wanted(layer.forward, position)
    if isinstance(layer, Recurrent):
        return (None, layer.features) if position == 0 else (layer.state_widths[position - 1],)
    if isinstance(layer, Conv1D):
        return (None, int(layer.weights.shape[2]) * layer.groups)
    if isinstance(layer, TimeDistributed):
        inner = _wanted(layer.layer, position)
        return None if inner is None else (None, *inner)
    if isinstance(layer, Dense):
        return (int(layer.weights.shape[1]),)
    return None
