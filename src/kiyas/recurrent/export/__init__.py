"""Frozen models for others to run: PyTorch modules and ONNX files."""

from __future__ import annotations

from kiyas.recurrent.export.onnx import export_onnx

__all__ = ["export_onnx"]
