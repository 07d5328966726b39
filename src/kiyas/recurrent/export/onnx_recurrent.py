"""Recurrent layers as the LSTM, GRU and RNN nodes of ONNX.

ONNX stacks the gates of an LSTM as i o f c (ours are i f c o), those of a GRU as z r h (as ours), and puts time first.
Outputs behind a row's end are zero there, where Keras repeats the last one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kiyas.recurrent.activations import find
from kiyas.recurrent.export.onnx_activations import inside
from kiyas.recurrent.export.onnx_graph import Wire, Writer, refusal
from kiyas.recurrent.layers import GRU, LSTM, Backward, Bidirectional, Layer, Recurrent

# Where the blocks i o f c of ONNX stand among ours.
_LSTM_ORDER = (0, 3, 1, 2)


def recurrent(w: Writer, layer: Recurrent, inputs: list[Wire], state: list[str]) -> tuple[list[Wire], list[str]]:
    """A layer that goes one way: its outputs, and its new state, each (batch, width)."""
    x = inputs[0]
    if layer.go_backwards and layer.return_sequences and x.mask is not None:
        raise refusal(layer, "goes backwards over masked sequences, whose order ONNX leaves as it is")
    y, last = _one_way(w, layer, layer, x, [i.name for i in inputs[1:]] or state, layer.go_backwards)
    out = _last(w, last[0], x, layer.zero_output_for_mask, layer.go_backwards)
    if layer.return_sequences:
        if layer.go_backwards:
            y = _reversed(w, y)
        out = y if x.mask is None or layer.zero_output_for_mask else _repeated(w, y, x.mask)
    first = Wire(out, 3, x.mask if layer.passes_mask else None) if layer.return_sequences else Wire(out, 2)
    return [first, *(Wire(name, 2) for name in last)] if layer.return_state else [first], last


def backward(w: Writer, layer: Backward, inputs: list[Wire], state: list[str]) -> tuple[list[Wire], list[str]]:
    """A layer from the end to the beginning, its outputs in order of time."""
    inner, x = layer.layer, inputs[0]
    if inner.return_sequences and x.mask is not None and not inner.zero_output_for_mask:
        raise refusal(layer, "repeats outputs at masked steps; ONNX has zeros there")
    y, last = _one_way(w, layer, inner, x, [i.name for i in inputs[1:]] or state, True)
    first = Wire(y, 3, x.mask) if inner.return_sequences else \
        Wire(_last(w, last[0], x, inner.zero_output_for_mask, True), 2)
    return [first, *(Wire(name, 2) for name in last)] if inner.return_state else [first], last


def bidirectional(w: Writer, layer: Bidirectional, inputs: list[Wire], state: list[str]
                  ) -> tuple[list[Wire], list[str]]:
    """Both ways over the same sequence, merged."""
    if layer.forward.go_backwards:
        raise refusal(layer, "has a forward layer that goes backwards")
    x = inputs[0]
    given = [i.name for i in inputs[1:]] or state
    split = len(layer.forward.state_widths)
    ways, new = [], []
    zero = layer.return_sequences if layer.zero_masked is None else layer.zero_masked
    for one, own, backwards in ((layer.forward, given[:split], False), (layer.backward, given[split:], True)):
        y, last = _one_way(w, layer, one, x, own, backwards)
        if layer.return_sequences and x.mask is not None and not zero:
            raise refusal(layer, "repeats outputs at masked steps both ways; ONNX has zeros there")
        ways.append(y if layer.return_sequences else _last(w, last[0], x, zero, backwards))
        new += last
    rank = 3 if layer.return_sequences else 2
    merged = ways if layer.merge is None else [_merged(w, layer.merge, *ways)]
    mask = x.mask if layer.return_sequences and layer.passes_mask else None
    out = [Wire(name, rank, mask) for name in merged]
    return out + [Wire(name, 2) for name in new] if layer.return_state else out, new


def _last(w: Writer, h: str, x: Wire, zero_masked: bool, backwards: bool) -> str:
    """The last output: zero where the last step is masked and outputs at masked steps are."""
    if x.mask is None or not zero_masked:
        return h
    return str(w.op("Mul", h, w.op("Gather", w.floats(x.mask), w.ints(0 if backwards else -1), axis=1)))


def _one_way(w: Writer, owner: Layer, layer: Recurrent, x: Wire, state: list[str], backwards: bool
             ) -> tuple[str, list[str]]:
    """Outputs (batch, time, width) and the state at the end."""
    _check(owner, layer)
    kind = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}[type(layer).__name__]
    attributes: dict[str, Any] = {"hidden_size": layer.units, "direction": "reverse" if backwards else "forward"}
    clip = getattr(layer, "clip", None)
    if clip is not None:
        attributes["clip"] = float(clip)
    if isinstance(layer, LSTM):
        attributes |= inside(owner, find(layer.recurrent_activation), find(layer.activation),
                             find(layer.output_activation or layer.activation))
        attributes["input_forget"] = int(layer.coupled)
    elif isinstance(layer, GRU):
        attributes |= inside(owner, find(layer.recurrent_activation), find(layer.activation))
        attributes["linear_before_reset"] = int(layer.reset_after)
    else:
        attributes |= inside(owner, find(layer.activation))  # type: ignore[attr-defined]
    names = [w.op("Transpose", x.name, perm=[1, 0, 2]), *_weights(w, layer),
             "" if x.mask is None else w.lengths(x.mask), *(w.op("Unsqueeze", one, w.ints(0)) for one in state)]
    if isinstance(layer, LSTM) and layer.peephole is not None:
        names += [""] * (7 - len(names)) + [w.array(layer.peephole[[0, 2, 1]].reshape(1, -1))]
    y, *last = w.op(kind, *names, outputs=1 + len(layer.state_widths), **attributes)
    y = w.op("Transpose", w.op("Squeeze", y, w.ints(1)), perm=[1, 0, 2])
    return y, [w.op("Squeeze", one, w.ints(0)) for one in last]


def _weights(w: Writer, layer: Recurrent) -> list[str]:
    n, rows = layer.units, layer.input_weights.shape[0]
    order = np.arange(rows)
    if isinstance(layer, LSTM):
        order = np.concatenate([np.arange(n) + n * block for block in _LSTM_ORDER])
    bias = np.zeros(rows, np.float32) if layer.bias is None else layer.bias[order]
    other = getattr(layer, "recurrent_bias", None)
    other = np.zeros(rows, np.float32) if other is None else other
    return [w.array(layer.input_weights[order][None]), w.array(layer.recurrent_weights[order][None]),
            w.array(np.concatenate([bias, other])[None])]


def _check(owner: Layer, layer: Recurrent) -> None:
    for option, words in (("projection", "has a projection"), ("layer_norm", "has layer normalisation inside")):
        if getattr(layer, option, None) is not None:
            raise refusal(owner, f"{words}, which the LSTM of ONNX has not")


def _reversed(w: Writer, y: str) -> str:
    """Time the other way round."""
    far = -(1 << 62)
    return str(w.op("Slice", y, w.ints(-1), w.ints(far), w.ints(1), w.ints(-1)))


def _repeated(w: Writer, y: str, mask: str) -> str:
    """Behind a row's end its last output, as in Keras."""
    last = w.op("Sub", w.lengths(mask, "INT64"), w.ints(1))
    last = w.op("Unsqueeze", w.op("Max", last, w.ints(0)), w.ints(1, 2))
    steps = w.op("Unsqueeze", w.op("CumSum", w.op("Cast", w.op("Or", mask, w.op("Not", mask)),
                                                  to=w.onnx.TensorProto.INT64), w.array(1, np.int64), exclusive=1),
                 w.ints(2))
    at = w.op("Expand", w.op("Min", steps, last), w.op("Shape", y))
    return str(w.op("GatherElements", y, at, axis=1))


def _merged(w: Writer, how: str, f: str, b: str) -> str:
    if how == "concat":
        return str(w.op("Concat", f, b, axis=-1))
    both = w.op("Mul" if how == "mul" else "Add", f, b)
    return str(w.op("Mul", both, w.scalar(0.5)) if how == "ave" else both)
