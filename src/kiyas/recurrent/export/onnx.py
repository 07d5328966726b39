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
from kiyas.recurrent.layers import Backward, Bidirectional, Embedding, Nested, Recurrent
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
        looked_up = any(isinstance(n.layer, Embedding) and (at, 0) in n.inputs for n in model.nodes)
        # Of several inputs each has a time of its own: equal names would mean equal sizes.
        time = "time" if len(model.inputs) == 1 else f"{name}.time"
        axes = ["batch", *(time if size is None else size for size in shape[1:])]
        inputs.append(info(name, ids if looked_up else number, axes))
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
        if isinstance(layer, (Recurrent, Bidirectional, Backward)):
            write: Any = {Bidirectional: bidirectional, Backward: backward}.get(type(layer), recurrent)
            made[at], new[name] = write(w, layer, inputs, state.get(name, []))
        elif isinstance(layer, Nested):
            inner = {key: state[f"{name}/{key}"] for key in layer.model.state_widths if f"{name}/{key}" in state}
            made[at], after = _graph(w, layer.model, inputs, inner)
            new |= {f"{name}/{key}": names for key, names in after.items()}
        elif type(layer) in LAYERS:
            made[at] = LAYERS[type(layer)](w, layer, inputs)
        else:
            raise refusal(layer, "has no form there")
        w.scope = before
    return [made[i][k] for i, k in model.outputs], new


def _free(name: str, model: Model) -> str:
    """The name of an output, other than that of every input."""
    return f"{name}.out" if name in model.input_names else name
