"""Find words by their misspellings: chars2vec's LSTM as an encoder, without the framework that trained it.

    pip download --no-deps --no-binary :all: chars2vec==0.1.7 && tar xf chars2vec-0.1.7.tar.gz
    python misspelled_words.py chars2vec-0.1.7/chars2vec/trained_models/eng_50

Without a folder, a small model of random weights stands in, so that the example runs anywhere.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from kiyas.encode.collection import Collection
from kiyas.encode.recurrent import RecurrentEncoder
from kiyas.recurrent import Model, Tokenizer, load
from kiyas.recurrent.layers import LSTM
from kiyas.recurrent.loading import pickles

WORDS = ["necessary", "definitely", "separate", "beginning", "government", "calendar", "receive", "believe", "weird",
         "library", "business", "language", "knowledge", "independent", "rhythm", "surprise", "river", "mountain"]
ASKED = ["neccesary", "recieve", "libary", "rythm", "goverment"]


def chars2vec(folder: Path) -> tuple[Model, dict[str, int]]:
    """The network as the package builds it; the file holds its weights alone."""
    width, letters = pickles.load((folder / "model.pkl").read_bytes(), {}, where="model.pkl")
    layer = {"units": width, "return_sequences": True}
    config = {"class_name": "Sequential", "config": {"name": "chars2vec", "layers": [
        {"class_name": "InputLayer", "config": {"name": "input", "batch_input_shape": [None, None, len(letters)]}},
        {"class_name": "LSTM", "config": {"name": "lstm_1", **layer}},
        {"class_name": "LSTM", "config": {"name": "lstm_2", **layer, "return_sequences": False}}]}}
    return load(folder / "weights.h5", config=config), letters


def stand_in() -> tuple[Model, dict[str, int]]:
    """A network of random weights, which finds letters alike and no more."""
    rng = np.random.default_rng(0)
    letters = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    weights = rng.normal(0, 0.5, (128, 26)), rng.normal(0, 0.1, (128, 32)), np.zeros(128)
    return Model.sequential([LSTM("lstm", *weights)]), letters


model, letters = chars2vec(Path(sys.argv[1])) if len(sys.argv) > 1 else stand_in()
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "words.safetensors"
    model.save(file)
    # A letter that the model does not know is a row of zeros.
    tokenizer = Tokenizer.from_vocabulary(letters, char_level=True, oov_token="<?>")
    encoder = RecurrentEncoder(file, tokenizer)
    collection = Collection.build(WORDS, encoder, "euclidean", ids=WORDS)
    for asked, hits in zip(ASKED, collection.search(ASKED, k=3), strict=True):
        print(f"{asked:12}", ", ".join(f"{hit.id} {hit.score:.2f}" for hit in hits))
