"""Frozen models for others to run: PyTorch modules and ONNX files."""

from __future__ import annotations

from kiyas.recurrent.export.onnx import export_onnx
from kiyas.recurrent.export.torch import to_torch

__all__ = ["export_onnx", "to_torch"]
