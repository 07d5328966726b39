"""Trained LSTMs, GRUs and simple RNNs, run without a training framework: forward only, weights fixed, state carried.

>>> import numpy as np
>>> from kiyas import recurrent
>>> layer = recurrent.layers.LSTM("lstm", np.ones((4, 2)), np.ones((4, 1)), np.zeros(4))
>>> model = recurrent.Model.sequential([layer])
>>> y, state = model.step(np.array([[0.5, -0.5]]))
>>> y.shape, state["lstm"][0].shape
((1, 1), (1, 1))
"""

from kiyas.recurrent import layers
from kiyas.recurrent.activations import Activation
from kiyas.recurrent.cell import GRUCell, GRUGates, LayerNorm, LSTMCell, LSTMGates, RNNCell
from kiyas.recurrent.generation import Generated, Sampling, Token, beam_search, generate, generate_tokens
from kiyas.recurrent.graph import Node
from kiyas.recurrent.loading import load
from kiyas.recurrent.model import Model, PrecisionError
from kiyas.recurrent.registry import register_layer
from kiyas.recurrent.sequences import pad_sequences
from kiyas.recurrent.state import State
from kiyas.recurrent.stream import Stateful, Stream
from kiyas.recurrent.tokenizer import Tokenizer
from kiyas.recurrent.tokenizer_files import tokenizer_from_json

__all__ = [
    "Activation", "GRUCell", "GRUGates", "Generated", "LSTMCell", "LSTMGates", "LayerNorm", "Model", "Node",
    "PrecisionError", "RNNCell", "Sampling", "State", "Stateful", "Stream", "Token", "Tokenizer", "beam_search",
    "generate", "generate_tokens", "layers", "load", "pad_sequences", "register_layer", "tokenizer_from_json",
]
