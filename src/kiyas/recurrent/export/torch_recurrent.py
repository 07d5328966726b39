"""Recurrent layers as nn.LSTM, nn.GRU and nn.RNN.

The gates of an LSTM stand in the same order there (i f c o); those of a GRU as r z n (ours: z r h). Both of PyTorch's
biases are filled: ours in the first, a GRU's recurrent bias in the second. A masked layer runs over packed sequences,
which end where a row ends; PyTorch's outputs behind that are zero, Keras' repeat the last one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kiyas.recurrent.activations import find
from kiyas.recurrent.export.onnx_graph import refusal
from kiyas.recurrent.export.torch_layers import Flow, tensor
from kiyas.recurrent.layers import GRU, LSTM, Backward, Bidirectional, Layer, Recurrent

Tensor = Any
# What PyTorch's layers have no option for: the value that means "absent", and words for the rest.
_ABSENT = {"peephole": (None, "has peepholes"), "coupled": (False, "has coupled gates"), "clip": (None, "has a clip"),
           "layer_norm": (None, "has layer normalisation inside")}


class RecurrentPart(NamedTuple):
    """A recurrent layer there: its modules by direction, and the layer."""

    module: Any
    layer: Recurrent | Bidirectional | Backward

    def run(self, torch: Any, inputs: list[Flow], state: list[Tensor]) -> tuple[list[Flow], list[Tensor]]:
        """Outputs, and the new state, each (batch, width)."""
        layer, (x, mask) = self.layer, inputs[0]
        given = [i.values for i in inputs[1:]] or state
        lengths = None if mask is None else _lengths(torch, layer, mask)
        own: Any = layer.layer if isinstance(layer, Backward) else layer
        if isinstance(layer, Backward):
            if lengths is not None and own.return_sequences and not own.zero_output_for_mask:
                raise ValueError(f"{layer.owner}: repeats outputs at masked steps; PyTorch has zeros there")
            y, new = _one_way(torch, self.module, x, lengths, given, True)
            ways = [y if own.return_sequences else _last(new[0], mask, own.zero_output_for_mask, True)]
        elif isinstance(layer, Recurrent):
            y, new = _one_way(torch, self.module, x, lengths, given, layer.go_backwards)
            if layer.go_backwards:
                y = y.flip(1)  # padding comes first then, before any output that could be repeated
            elif lengths is not None and not layer.zero_output_for_mask:
                y = _repeated(torch, y, lengths)
            ways = [y if layer.return_sequences else _last(new[0], mask, layer.zero_output_for_mask,
                                                           layer.go_backwards)]
        else:
            split, ways, new = len(layer.forward.state_widths), [], []
            zero = layer.return_sequences if layer.zero_masked is None else layer.zero_masked
            for way, begun, backwards in (("forward", given[:split], False), ("backward", given[split:], True)):
                y, last = _one_way(torch, self.module[f"{way}_"], x, lengths, begun, backwards)
                if lengths is not None and not zero and not backwards:
                    y = _repeated(torch, y, lengths)
                ways.append(y if layer.return_sequences else _last(last[0], mask, zero, backwards))
                new += last
            ways = ways if layer.merge is None else [_merged(torch, layer.merge, *ways)]
        after = mask if own.return_sequences and own.passes_mask else None
        out = [Flow(one, after) for one in ways]
        return out + [Flow(one) for one in new] if own.return_state else out, new


def recurrent(torch: Any, layer: Recurrent | Bidirectional | Backward) -> RecurrentPart:
    """The modules of a layer; `InputError` naming it for options that they have not."""
    if isinstance(layer, Backward):
        return RecurrentPart(_module(torch, layer, layer.layer), layer)
    if isinstance(layer, Recurrent):
        return RecurrentPart(_module(torch, layer, layer), layer)
    if layer.forward.go_backwards:
        raise refusal(layer, "has a forward layer that goes backwards", "PyTorch")
    # An underscore, as a ModuleDict has a method "forward".
    ways = {"forward_": _module(torch, layer, layer.forward), "backward_": _module(torch, layer, layer.backward)}
    return RecurrentPart(torch.nn.ModuleDict(ways), layer)


def _module(torch: Any, owner: Layer, layer: Recurrent) -> Any:
    for option, (absent, words) in _ABSENT.items():
        value = getattr(layer, option, absent)
        if value is not None and value is not absent:
            raise refusal(owner, f"{words}, which PyTorch's layer has not", "PyTorch")
    n, m = layer.units, layer.features
    options: dict[str, Any] = {"batch_first": True}
    order = np.arange(layer.input_weights.shape[0])
    if isinstance(layer, LSTM):
        _activations(owner, layer, "sigmoid")
        if layer.projection is not None:
            options["proj_size"] = layer.width
        module = torch.nn.LSTM(m, n, **options)
    elif isinstance(layer, GRU):
        _activations(owner, layer, "sigmoid")
        if not layer.reset_after:
            raise refusal(owner, "resets before the product, PyTorch's GRU after it", "PyTorch")
        order = np.concatenate([np.arange(n, 2 * n), np.arange(n), np.arange(2 * n, 3 * n)])
        module = torch.nn.GRU(m, n, **options)
    else:
        name = find(layer.activation).name  # type: ignore[attr-defined]
        if name not in ("tanh", "relu"):
            raise refusal(owner, f"has the activation {name}, PyTorch's RNN tanh or relu", "PyTorch")
        module = torch.nn.RNN(m, n, nonlinearity=name, **options)
    zeros = np.zeros(order.size, np.float32)
    other = getattr(layer, "recurrent_bias", None)
    arrays = {"weight_ih_l0": layer.input_weights[order], "weight_hh_l0": layer.recurrent_weights[order],
              "bias_ih_l0": zeros if layer.bias is None else layer.bias[order],
              "bias_hh_l0": zeros if other is None else other[order]}
    if getattr(layer, "projection", None) is not None:
        arrays["weight_hr_l0"] = layer.projection  # type: ignore[attr-defined]
    with torch.no_grad():
        for name, value in arrays.items():
            getattr(module, name).copy_(tensor(torch, value))
    return module


def _activations(owner: Layer, layer: LSTM | GRU, gate: str) -> None:
    found = (find(layer.recurrent_activation).name, find(layer.activation).name,
             find(getattr(layer, "output_activation", None) or layer.activation).name)
    if found != (gate, "tanh", "tanh"):
        raise refusal(owner, f"has the activations {', '.join(found)}, PyTorch's layer sigmoid and tanh", "PyTorch")


def _one_way(torch: Any, module: Any, x: Tensor, lengths: Tensor | None, state: list[Tensor], backwards: bool
             ) -> tuple[Tensor, list[Tensor]]:
    """Outputs (batch, time, width) in order of time, and the state at the end of each row."""
    if backwards:
        x = _turned(torch, x, lengths)
    given: Any = None
    if state:
        first = [one[None].contiguous() for one in state]
        given = first[0] if len(first) == 1 else tuple(first)
    if lengths is None:
        y, last = module(x, given)
    else:
        rnn = torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, last = module(packed, given)
        y, _ = rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
    if backwards:
        y = _turned(torch, y, lengths)
    return y, [one[0] for one in (last if isinstance(last, tuple) else (last,))]


def _turned(torch: Any, x: Tensor, lengths: Tensor | None) -> Tensor:
    """Time the other way round, each row within its own length."""
    if lengths is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)[None, :]
    ends = lengths.to(x.device)[:, None]
    at = torch.where(steps < ends, ends - 1 - steps, steps)
    return x.gather(1, at[..., None].expand_as(x))


def _repeated(torch: Any, y: Tensor, lengths: Tensor) -> Tensor:
    steps = torch.arange(y.shape[1], device=y.device)[None, :]
    at = torch.minimum(steps, lengths.to(y.device)[:, None] - 1)
    return y.gather(1, at[..., None].expand_as(y))


def _last(h: Tensor, mask: Tensor | None, zero_masked: bool, backwards: bool) -> Tensor:
    """The last output: zero where the last step is masked and outputs at masked steps are."""
    return h if mask is None or not zero_masked else h * mask[:, 0 if backwards else -1, None].to(h)


def _lengths(torch: Any, layer: Layer, mask: Tensor) -> Tensor:
    lengths = mask.sum(1)
    if not bool((mask == (torch.arange(mask.shape[1], device=mask.device) < lengths[:, None])).all()):
        raise ValueError(f"{layer.owner}: a step is masked before one that is not; PyTorch's layers know padding "
                         "behind the steps only")
    if not bool((lengths > 0).all()):
        raise ValueError(f"{layer.owner}: a row has no step that counts")
    return lengths


def _merged(torch: Any, how: str, f: Tensor, b: Tensor) -> Tensor:
    if how == "concat":
        return torch.cat([f, b], -1)
    both = f * b if how == "mul" else f + b
    return both / 2 if how == "ave" else both
