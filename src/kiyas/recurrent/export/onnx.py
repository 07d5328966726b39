"""A frozen model as an ONNX file, which any engine for ONNX runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kiyas.directory import write_whole
from kiyas.errors import InputError, message, missing_extra
from kiyas.recurrent.export.onnx_graph import OPSET, Wire, Writer, refusal
from kiyas.recurrent.export.onnx_layers import LAYERS
from kiyas.recurrent.export.onnx_recurrent import backward, bidirectional, recurrent
from kiyas.recurrent.layers import Backward, Bidirectional, Embedding, Layer, Nested, Recurrent, TimeDistributed
from kiyas.recurrent.model import Model

# The file format that opset 17 came with (ONNX 1.12); ONNX Runtime reads it since 1.12.
_IR_VERSION = 8


def export_onnx(model: Model, path: str | os.PathLike[str], *, state: bool = False, padding: str | None = None) -> None:
    """Write the model as an ONNX file, batch and time of any size.

    Parameters: ``path``; ``state``, whether the state goes in and out beside the inputs and outputs, as ``NAME.0`` and
    ``NAME.0.next`` of shape (batch, width) for the first state array of the layer NAME, and so on: so that a stream can
    be run step by step or chunk by chunk; ``padding``, for models that mask padded steps: "post" if rows are filled up
    behind, "none" if they never are.

    Raises `MissingExtraError` without the extra ``onnx``; `InputError` naming the layer for whatever ONNX or its CPU
    runtimes have no form for: a projection, layer normalisation inside a cell, masks with padding in front, …;
    `FileError` for a place that cannot be written to.
    """
    onnx = import_onnx()
    if padding not in (None, "post", "none"):
        raise InputError(message("export_onnx", "padding", "'post', 'none' or None", repr(padding)))
    data = _written(onnx, model, state, padding).SerializeToString()
    write_whole(Path(path), data)


def import_onnx() -> Any:
    """The onnx package, or the error with its install line."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise missing_extra("onnx", "onnx", "exporting to ONNX") from None
    return onnx


def _written(onnx: Any, model: Model, state: bool, padding: str | None) -> Any:
    w = Writer(onnx, padding)
    number, ids = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    info = onnx.helper.make_tensor_value_info
    inputs, wires = [], []
    for name, at, shape in zip(model.input_names, model.inputs, model.input_shapes, strict=True):
        # Of several inputs each has a time of its own: equal names would mean equal sizes.
        time = "time" if len(model.inputs) == 1 else f"{name}.time"
        axes = ["batch", *(time if size is None else size for size in shape[1:])]
        inputs.append(info(name, ids if _takes_ids(model, at) else number, axes))
        wires.append(Wire(name, len(axes)))
    given: dict[str, list[str]] = {}
    if state:
        for key, widths in model.state_widths.items():
            given[key] = [f"{key}.{k}" for k in range(len(widths))]
            inputs += [info(name, number, ["batch", width]) for name, width in zip(given[key], widths, strict=True)]
    out, new = _graph(w, model, wires, given)
    outputs = []
    for name, wire, shape in zip(model.output_names, out, model.output_shapes(), strict=True):
        w.nodes.append(onnx.helper.make_node("Identity", [wire.name], [_free(name, model)]))
        outputs.append(info(_free(name, model), number, [None if size is None else size for size in shape]))
    if state:
        for key, widths in model.state_widths.items():
            for k, width in enumerate(widths):
                w.nodes.append(onnx.helper.make_node("Identity", [new[key][k]], [f"{key}.{k}.next"]))
                outputs.append(info(f"{key}.{k}.next", number, ["batch", width]))
    graph = onnx.helper.make_graph(w.nodes, "kiyas", inputs, outputs, w.constants)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)],
                                  ir_version=_IR_VERSION, producer_name="kiyas")
    onnx.checker.check_model(made)
    return made


def _graph(w: Writer, model: Model, wires: list[Wire], state: dict[str, list[str]]
           ) -> tuple[list[Wire], dict[str, list[str]]]:
    """The nodes of a model written one after another: its outputs, and the new state by its names."""
    made = {at: [wire] for at, wire in zip(model.inputs, wires, strict=True)}
    new: dict[str, list[str]] = {}
    calls: dict[str, int] = {}
    for at, node in enumerate(model.nodes):
        if at in made:
            continue
        layer = node.layer
        calls[layer.name] = calls.get(layer.name, 0) + 1
        name = layer.name if calls[layer.name] == 1 else f"{layer.name}#{calls[layer.name]}"
        inputs = [made[i][k] for i, k in node.inputs]
        before, w.scope = w.scope, f"{w.scope}{name}/"
        made[at], after = _layer(w, layer, name, inputs, state)
        new |= after
        w.scope = before
    return [made[i][k] for i, k in model.outputs], new


def _layer(w: Writer, layer: Layer, name: str, inputs: list[Wire], state: dict[str, list[str]]
           ) -> tuple[list[Wire], dict[str, list[str]]]:
    """The nodes of one layer, called by that name: its outputs, and the new state by its names."""
    if isinstance(layer, (Recurrent, Bidirectional, Backward)):
        write: Any = {Bidirectional: bidirectional, Backward: backward}.get(type(layer), recurrent)
        out, after = write(w, layer, inputs, state.get(name, []))
        return out, {name: after}
    if isinstance(layer, Nested):
        inner = {key: state[f"{name}/{key}"] for key in layer.model.state_widths if f"{name}/{key}" in state}
        out, new = _graph(w, layer.model, inputs, inner)
        return out, {f"{name}/{key}": names for key, names in new.items()}
    if isinstance(layer, TimeDistributed):
        return _each_step(w, layer, inputs[0]), {}
    if type(layer) in LAYERS:
        return LAYERS[type(layer)](w, layer, inputs), {}
    raise refusal(layer, "has no form there")


def _each_step(w: Writer, layer: TimeDistributed, x: Wire) -> list[Wire]:
    """A layer for every step: all steps of all rows as rows of their own, each of which begins anew."""
    shape = w.op("Shape", x.name)
    rest = w.op("Slice", shape, w.ints(2), w.ints(1 << 62), w.ints(0))
    flat = w.op("Reshape", x.name, w.op("Concat", w.ints(-1), rest, axis=0))
    front = w.op("Slice", shape, w.ints(0), w.ints(2), w.ints(0))
    mask = x.mask if layer.passes_mask else None
    out = []
    for one in _layer(w, layer.layer, layer.layer.name, [Wire(flat, x.rank - 1)], {})[0]:
        own = w.op("Slice", w.op("Shape", one.name), w.ints(1), w.ints(1 << 62), w.ints(0))
        out.append(Wire(w.op("Reshape", one.name, w.op("Concat", front, own, axis=0)), one.rank + 1, mask))
    return out


def _takes_ids(model: Model, at: int) -> bool:
    """Whether an input goes into an embedding, be it one of a layer within a layer."""
    return any(_is_of_ids(node.layer, k) for node in model.nodes for k, source in enumerate(node.inputs)
               if source == (at, 0))


def _is_of_ids(layer: Layer, number: int) -> bool:
    if isinstance(layer, TimeDistributed):
        return _is_of_ids(layer.layer, number)
    if isinstance(layer, Nested):
        return _takes_ids(layer.model, layer.model.inputs[number])
    return isinstance(layer, Embedding)


def _free(name: str, model: Model) -> str:
    """The name of an output, other than that of every input."""
    return f"{name}.out" if name in model.input_names else name
