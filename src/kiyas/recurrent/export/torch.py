"""A frozen model as a PyTorch module, to run on a GPU or to train on."""

from __future__ import annotations

from functools import cache
from typing import Any

from kiyas.errors import missing_extra
from kiyas.recurrent.export.onnx_graph import refusal
from kiyas.recurrent.export.torch_layers import LAYERS, Flow, Part
from kiyas.recurrent.export.torch_recurrent import RecurrentPart, recurrent
from kiyas.recurrent.layers import Backward, Bidirectional, Layer, Nested, Recurrent, TimeDistributed
from kiyas.recurrent.model import Model

Tensor = Any


def to_torch(model: Model) -> Any:
    """The model as an ``nn.Module`` with its own copy of the weights, in evaluation mode.

    ``module(*inputs)`` takes and gives tensors as `Model.predict` does arrays: a tensor, or a tuple for several
    outputs. ``module(*inputs, state=…, return_state=True)`` gives the state beside them: a dictionary of lists of
    tensors (batch, width), under the names of `Model.state_widths`. ``module.state_dict()`` names weights by layer:
    ``lstm_1.weight_ih_l0``. Padding that is masked has to come behind the steps.

    Raises `MissingExtraError` without PyTorch, and `InputError` naming the layer for whatever PyTorch's modules cannot
    do: other activations inside an LSTM, peepholes, a GRU that resets before the product, …
    """
    try:
        import torch
    except ImportError:
        raise missing_extra("torch", "torch", "to_torch") from None
    return _module_class()(torch, model).eval()


def _part(torch: Any, layer: Layer) -> Any:
    """What runs a layer: a module of this kind for a model within the model, a part for all others."""
    if isinstance(layer, Nested):
        return _module_class()(torch, layer.model)
    if isinstance(layer, (Recurrent, Bidirectional, Backward)):
        return recurrent(torch, layer)
    if isinstance(layer, TimeDistributed):
        return _each_step(torch, layer)
    if type(layer) in LAYERS:
        return LAYERS[type(layer)](torch, layer)
    raise refusal(layer, "has no form there", "PyTorch")


def _module_of(part: Any) -> Any:
    return part.module if isinstance(part, (Part, RecurrentPart)) else part


def _each_step(torch: Any, layer: TimeDistributed) -> Part:
    """A layer for every step: all steps of all rows as rows of their own, each of which begins anew."""
    inner = _part(torch, layer.layer)

    def run(inputs: list[Flow]) -> list[Flow]:
        x, mask = inputs[0]
        rows = [Flow(x.flatten(0, 1))]
        if isinstance(inner, RecurrentPart):
            out, _ = inner.run(torch, rows, [])
        elif isinstance(inner, Part):
            out = inner.run(rows)
        else:
            out, _ = inner.flow(rows, {})
        return [Flow(one.values.unflatten(0, x.shape[:2]), mask if layer.passes_mask else None) for one in out]

    return Part(_module_of(inner), run)


@cache
def _module_class() -> Any:
    """The class of the modules; made when first asked for, as its base comes from PyTorch."""
    import torch

    class FrozenModel(torch.nn.Module):  # type: ignore[misc]  # of PyTorch mypy knows nothing here
        """A kiyas model through PyTorch."""

        def __init__(self, torch: Any, model: Model) -> None:
            super().__init__()
            self._model = model
            self._parts: dict[str, Any] = {}
            for node in model.nodes:
                layer = node.layer
                if layer.name in self._parts or not node.inputs:
                    continue
                part = self._parts[layer.name] = _part(torch, layer)
                if (module := _module_of(part)) is not None:
                    # A dot would be taken for a part of a part.
                    self.add_module(layer.name.replace(".", "_"), module)

        def forward(self, *inputs: Tensor, state: Any = None, return_state: bool = False) -> Any:
            """Inputs as the model names them, in order."""
            flows, new = self.flow([Flow(x) for x in inputs], state or {})
            out = tuple(one.values for one in flows)
            y = out[0] if len(out) == 1 else out
            return (y, new) if return_state else y

        def flow(self, inputs: list[Flow], state: dict[str, list[Tensor]]) -> tuple[list[Flow], dict[str, Any]]:
            """Signals through all nodes, and the new state by its names."""
            model = self._model
            if len(inputs) != len(model.inputs):
                raise ValueError(f"takes {len(model.inputs)} inputs ({', '.join(model.input_names)}), got "
                                 f"{len(inputs)}")
            made = {at: [one] for at, one in zip(model.inputs, inputs, strict=True)}
            new: dict[str, Any] = {}
            calls: dict[str, int] = {}
            for at, node in enumerate(model.nodes):
                if at in made:
                    continue
                own = node.layer.name
                calls[own] = calls.get(own, 0) + 1
                name = own if calls[own] == 1 else f"{own}#{calls[own]}"
                part, given = self._parts[own], [made[i][k] for i, k in node.inputs]
                if isinstance(part, RecurrentPart):
                    made[at], new[name] = part.run(torch, given, list(state.get(name, [])))
                elif isinstance(node.layer, Nested):
                    inner = {key: state[f"{name}/{key}"] for key in node.layer.model.state_widths
                             if f"{name}/{key}" in state}
                    made[at], after = part.flow(given, inner)
                    new |= {f"{name}/{key}": value for key, value in after.items()}
                else:
                    made[at] = part.run(given)
            return [made[i][k] for i, k in model.outputs], new

    return FrozenModel
