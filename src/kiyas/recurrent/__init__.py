"""Trained LSTMs, GRUs and simple RNNs, run without a training framework: forward only, weights fixed, state carried.

>>> import numpy as np
>>> from kiyas import recurrent
>>> layer = recurrent.layers.LSTM("lstm", np.ones((4, 2)), np.ones((4, 1)), np.zeros(4))
>>> model = recurrent.Model.sequential([layer])
>>> y, state = model.step(np.array([[0.5, -0.5]]))
>>> y.shape, state["lstm"][0].shape
((1, 1), (1, 1))
"""

from typing import TYPE_CHECKING

from kiyas.lazy import names

if TYPE_CHECKING:
    from kiyas.recurrent import keras, layers
    from kiyas.recurrent.activations import Activation
    from kiyas.recurrent.cell import GRUCell, GRUGates, LayerNorm, LSTMCell, LSTMGates, RNNCell
    from kiyas.recurrent.export import export_onnx, to_torch
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
    from kiyas.recurrent.training import (
        Epoch,
        LanguageModel,
        Schedule,
        SentenceEncoder,
        Trained,
        train_language_model,
        train_sentence_encoder,
    )

# Imported when first used: a program that runs a model does not wait for what trains, reads or writes one.
_HOMES = {
    "activations": ("Activation",),
    "cell": ("GRUCell", "GRUGates", "LSTMCell", "LSTMGates", "LayerNorm", "RNNCell"),
    "export": ("export_onnx", "to_torch"),
    "generation": ("Generated", "Sampling", "Token", "beam_search", "generate", "generate_tokens"),
    "graph": ("Node",),
    "loading": ("load",),
    "model": ("Model", "PrecisionError"),
    "registry": ("register_layer",),
    "sequences": ("pad_sequences",),
    "state": ("State",),
    "stream": ("Stateful", "Stream"),
    "tokenizer": ("Tokenizer",),
    "tokenizer_files": ("tokenizer_from_json",),
    "training": ("Epoch", "LanguageModel", "Schedule", "SentenceEncoder", "Trained", "train_language_model",
                 "train_sentence_encoder"),
}
__getattr__, __dir__ = names(__name__, _HOMES, ("keras", "layers"))

__all__ = [
    "Activation", "Epoch", "GRUCell", "GRUGates", "Generated", "LSTMCell", "LSTMGates", "LanguageModel", "LayerNorm",
    "Model", "Node", "PrecisionError", "RNNCell", "Sampling", "Schedule", "SentenceEncoder", "State", "Stateful",
    "Stream", "Token", "Tokenizer", "Trained", "beam_search", "export_onnx", "generate", "generate_tokens", "keras",
    "layers", "load", "pad_sequences", "register_layer", "to_torch", "tokenizer_from_json", "train_language_model",
    "train_sentence_encoder",
]
