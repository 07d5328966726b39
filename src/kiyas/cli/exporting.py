"""Models to the files of others: what ``kiyas recurrent convert`` writes by the ending of its output."""

from __future__ import annotations

import io
from pathlib import Path

from kiyas.directory import write_whole
from kiyas.errors import InputError
from kiyas.recurrent import Model
from kiyas.recurrent.export import export_onnx, to_torch

ENDINGS = (".safetensors", ".onnx", ".pt")


def write(model: Model, output: Path, state: bool, padding: str | None) -> None:
    """kiyas' own form, ONNX, or a state_dict of PyTorch; the file is replaced as a whole."""  # noqa: D403
    if output.suffix != ".onnx" and (state or padding is not None):
        option = "--state" if state else "--padding"
        raise InputError(f"{option} is for an output that ends in .onnx, not {output.name}")
    if output.suffix == ".onnx":
        export_onnx(model, output, state=state, padding=padding)
    elif output.suffix == ".pt":
        module = to_torch(model)
        import torch

        buffer = io.BytesIO()
        torch.save(module.state_dict(), buffer)
        write_whole(output, buffer.getvalue())
    else:
        model.save(output)
