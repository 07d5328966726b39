"""Trained models from files: weights of every framework in one order, nothing in a file ever run."""

from kiyas.recurrent.loading.files import load
from kiyas.recurrent.loading.tensorflow1 import tensorflow1_lstm

__all__ = ["load", "tensorflow1_lstm"]
