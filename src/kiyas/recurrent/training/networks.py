"""The networks that are trained, out of PyTorch's own modules, and their weights as frozen layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from kiyas.recurrent.layers import LSTM, Bidirectional, Layer

Tensor = Any


def stacked(torch: Any, inputs: int, hidden: int, layers: int, dropout: float, bidirectional: bool = False) -> Any:
    """A stack of LSTM layers with dropout between them; the forget gates begin open (bias 1)."""
    lstm = torch.nn.LSTM(inputs, hidden, layers, batch_first=True, bidirectional=bidirectional,
                         dropout=dropout if layers > 1 else 0.0)
    with torch.no_grad():
        for name, value in lstm.named_parameters():
            if name.startswith("bias_ih"):
                value.zero_()
                value[hidden:2 * hidden] = 1.0
            elif name.startswith("bias_hh"):
                value.zero_()
    return lstm


def frozen(lstm: Any, last_sequences: bool = True) -> list[Layer]:
    """The stack as kiyas layers: the same gate order, both biases of a gate added."""
    made: list[Layer] = []
    for level in range(lstm.num_layers):
        whole = last_sequences or level < lstm.num_layers - 1
        forward = _layer(lstm, level, "", whole)
        if lstm.bidirectional:
            made.append(Bidirectional(f"bidirectional_{level + 1}", forward, _layer(lstm, level, "_reverse", whole),
                                      merge="concat", return_sequences=whole))
        else:
            made.append(forward)
    return made


def array(tensor: Tensor) -> np.ndarray:
    """A tensor as a float32 array of its own."""
    return np.array(tensor.detach().cpu().numpy(), np.float32, order="C")


def _layer(lstm: Any, level: int, suffix: str, whole: bool) -> LSTM:
    part = {name: getattr(lstm, f"{name}_l{level}{suffix}").detach().cpu()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    bias = (part["bias_ih"].double() + part["bias_hh"].double()).float()
    return LSTM(f"lstm_{level + 1}{suffix}", array(part["weight_ih"]), array(part["weight_hh"]), array(bias),
                return_sequences=whole)
