"""Weights of TensorFlow 1, given as arrays: its checkpoints are read by TensorFlow alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from kiyas.recurrent.layers import LSTM
from kiyas.recurrent.loading import gates


def tensorflow1_lstm(kernel: np.ndarray, bias: np.ndarray, forget_bias: float = 1.0, name: str = "lstm",
                     **options: Any) -> LSTM:
    """The layer of a ``BasicLSTMCell`` of TensorFlow 1.

    Parameters: ``kernel`` (inputs + units, 4·units) and ``bias`` (4·units,) as in the checkpoint, for the gates i j f o
    over [x, h]; ``forget_bias``: what the cell was made with, which TensorFlow added when it ran (1.0 unless changed);
    ``name``; ``options``: those of `kiyas.recurrent.layers.LSTM`, such as ``return_sequences``.

    Raises `InputError` for arrays of other shapes.

    >>> layer = tensorflow1_lstm(np.zeros((5, 8)), np.zeros(8))
    >>> layer.units, layer.features, layer.bias.tolist()
    (2, 3, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    """
    found = gates.tensorflow1_lstm(kernel, bias, forget_bias)
    return LSTM(name, found.input_weights, found.recurrent_weights, found.bias, **options)
