"""Trained models from files: weights of every framework in one order, nothing in a file ever run."""

from kiyas.recurrent.loading.files import load

__all__ = ["load"]
