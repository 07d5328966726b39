"""Write with textgenrnn's network (two LSTM layers with skip connections and attention), without Keras.

    pip download --no-deps --no-binary :all: textgenrnn==2.0.0 && tar xf textgenrnn-2.0.0.tar.gz
    python textgenrnn.py textgenrnn-2.0.0/textgenrnn "The meaning of "

Without a folder, a small network of random weights stands in, so that the example runs anywhere.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.recurrent import Model, Node, Tokenizer, generate_tokens, load
from kiyas.recurrent.layers import LSTM, Concatenate, Dense, Embedding, Input, WeightedAttention


def layer(kind: str, name: str, *inputs: str, **config: Any) -> dict[str, Any]:
    """A layer as Keras' JSON has it, with the layers it comes after."""
    nodes = [[[before, 0, 0, {}] for before in inputs]] if inputs else []
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


def architecture(characters: int, length: int) -> dict[str, Any]:
    """The network as textgenrnn builds it (its file holds weights alone), as Keras writes such a thing."""
    rnn = {"units": 128, "return_sequences": True, "recurrent_activation": "sigmoid"}
    layers = [layer("InputLayer", "input", batch_input_shape=[None, length], dtype="int32"),
              layer("Embedding", "embedding", "input", input_dim=characters, output_dim=100),
              layer("LSTM", "rnn_1", "embedding", **rnn), layer("LSTM", "rnn_2", "rnn_1", **rnn),
              layer("Concatenate", "rnn_concat", "embedding", "rnn_1", "rnn_2", axis=-1),
              layer("AttentionWeightedAverage", "attention", "rnn_concat"),
              layer("Dense", "output", "attention", units=characters, activation="softmax")]
    return {"class_name": "Model", "config": {"name": "textgenrnn", "layers": layers,
                                              "input_layers": [["input", 0, 0]], "output_layers": [["output", 0, 0]]}}


def textgenrnn(folder: Path) -> tuple[Model, Tokenizer]:
    """The network and its characters, from the files of the package."""
    characters = len(json.loads((folder / "textgenrnn_vocab.json").read_text(encoding="utf-8"))) + 1
    tokenizer = Tokenizer.load(folder / "textgenrnn_vocab.json", char_level=True, lower=False)
    return load(folder / "textgenrnn_weights.hdf5", config=architecture(characters, 40)), tokenizer


def stand_in() -> tuple[Model, Tokenizer]:
    """The same graph, small, with random weights: it writes nonsense."""
    rng = np.random.default_rng(0)
    letters = {letter: number for number, letter in enumerate(["<s>", *"abcdefghijklmnopqrstuvwxyz T"], 1)}
    size, width = len(letters) + 1, 16
    nodes = [Node(Input("input", (40,))), Node(Embedding("embedding", rng.normal(size=(size, 8))), ((0, 0),)),
             Node(LSTM("rnn", rng.normal(size=(4 * width, 8)), rng.normal(size=(4 * width, width)),
                       np.zeros(4 * width), return_sequences=True), ((1, 0),)),
             Node(Concatenate("concat"), ((1, 0), (2, 0))),
             Node(WeightedAttention("attention", rng.normal(size=8 + width)), ((3, 0),)),
             Node(Dense("output", rng.normal(size=(size, 8 + width)), None, activation="softmax"), ((4, 0),))]
    return Model(nodes, [0], [(5, 0)]), Tokenizer.from_vocabulary(letters, char_level=True, lower=False)


model, tokenizer = textgenrnn(Path(sys.argv[1])) if len(sys.argv) > 1 else stand_in()
seed_text = sys.argv[2] if len(sys.argv) > 2 else "The "
print(seed_text, end="")
# Attention looks at the whole window, so each character reads it anew; 0 is padding, which no text should hold.
for token in generate_tokens(model, tokenizer, seed_text, 80, temperature=0.5, seed=1, window=40, start="<s>",
                             stop="<s>", exclude=[0]):
    print(token.text, end="", flush=True)
print()
