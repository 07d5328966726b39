"""What each operation of a graph becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kiyas.recurrent.loading.onnx import states
from kiyas.recurrent.loading.onnx.call import Call, Operation, UnsupportedError
from kiyas.recurrent.loading.onnx.elementwise import ELEMENTWISE
from kiyas.recurrent.loading.onnx.moving import MOVING
from kiyas.recurrent.loading.onnx.products import PRODUCTS
from kiyas.recurrent.loading.onnx.values import Filled, Given, Lengths, Stacked

RECURRENT = ("LSTM", "GRU", "RNN")
_OPERATIONS: dict[str, Operation] = {**MOVING, **ELEMENTWISE, **PRODUCTS}


def apply(call: Call) -> list[Any]:
    """What a node gives for values of which at least one is no constant."""
    if call.kind in RECURRENT:
        return states.recurrent(call)
    if any(isinstance(value, (Given, Lengths)) for value in call.values):
        return states.moved(call)
    if isinstance(call.values[0], Stacked) and call.kind in ("Gather", "Slice", "Split"):
        return states.way(call)
    operation = _OPERATIONS.get(call.kind)
    if operation is None or any(isinstance(value, Filled) for value in call.values):
        raise UnsupportedError(call.kind)
    values = [call.reader.tensor(value) if isinstance(value, Stacked) else value for value in call.values]
    return operation(replace(call, values=values))
