"""Makes textgenrnn.json, textgenrnn.npz, chars2vec.json and chars2vec.npz beside it, with TensorFlow 2.15.1.

    pip install tensorflow-cpu==2.15.1
    pip download --no-deps --no-binary :all: textgenrnn==2.0.0 chars2vec==0.1.7, and unpack both
    python make_real.py FOLDER

The networks are built again as their packages describe them; weights are the packages' own.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
FOLDER = Path(sys.argv[1])
L, K = tf.keras.layers, tf.keras.backend


class AttentionWeightedAverage(L.Layer):
    """textgenrnn's attention: a weight for each step by one vector, normalised over time (plus 1e-7)."""

    def build(self, shape):
        self.W = self.add_weight(name=f"{self.name}_W", shape=(shape[-1], 1))

    def call(self, x):
        scores = tf.squeeze(tf.matmul(x, self.W), -1)
        weights = tf.exp(scores - tf.reduce_max(scores, axis=1, keepdims=True))
        weights = weights / (tf.reduce_sum(weights, axis=1, keepdims=True) + K.epsilon())
        return tf.reduce_sum(x * weights[..., None], axis=1)


def textgenrnn():
    package = FOLDER / "textgenrnn-2.0.0" / "textgenrnn"
    vocabulary = json.loads((package / "textgenrnn_vocab.json").read_text(encoding="utf-8"))
    size = len(vocabulary) + 1
    x = L.Input((40,), name="input")
    embedded = L.Embedding(size, 100, name="embedding")(x)
    one = L.LSTM(128, return_sequences=True, name="rnn_1")(embedded)
    two = L.LSTM(128, return_sequences=True, name="rnn_2")(one)
    both = L.Concatenate(name="rnn_concat")([embedded, one, two])
    y = L.Dense(size, activation="softmax", name="output")(AttentionWeightedAverage(name="attention")(both))
    model = tf.keras.Model(x, y)
    model.load_weights(str(package / "textgenrnn_weights.hdf5"))
    (HERE / "textgenrnn.json").write_text(model.to_json())
    words = {number: token for token, number in vocabulary.items()}
    rng = np.random.default_rng(0)
    windows = rng.integers(1, size, (6, 40))
    windows[1, :30] = windows[2, :39] = 0
    found, texts = {"windows": windows.astype(np.int16), "outputs": model.predict(windows, verbose=0)[:, ::7]}, []
    for prefix in ("", "The meaning of ", "Why do cats"):
        text = ["<s>", *prefix]
        for _ in range(60):  # textgenrnn's own loop at temperature 0
            ids = tf.keras.preprocessing.sequence.pad_sequences([[vocabulary.get(c, 0) for c in text[-40:]]], maxlen=40)
            best = int(np.argmax(model.predict(ids, verbose=0)[0]))
            text.append(words[best])
            if words[best] == "<s>":
                break
        texts.append("".join(text[1:]).removesuffix("<s>"))
    np.savez_compressed(HERE / "textgenrnn.npz", texts=np.array(texts), **found)
    print(texts)


def chars2vec():
    package = FOLDER / "chars2vec-0.1.7" / "chars2vec" / "trained_models" / "eng_50"
    dims, numbers = pickle.loads((package / "model.pkl").read_bytes())  # only to make the golden file
    x = L.Input((None, len(numbers)))
    model = tf.keras.Model(x, L.LSTM(dims, recurrent_activation="hard_sigmoid", name="lstm_2")(
        L.LSTM(dims, recurrent_activation="hard_sigmoid", return_sequences=True, name="lstm_1")(x)))
    model.load_weights(str(package / "weights.h5"))
    (HERE / "chars2vec.json").write_text(model.to_json())
    words = ["language", "lnguage", "naïve", "Mississippi", "a", "world-wide", "recurrent", "recurent"]
    vectors = []
    for word in words:
        rows = np.zeros((1, len(word), len(numbers)), np.float32)
        for place, letter in enumerate(word.lower()):
            if letter in numbers:
                rows[0, place, numbers[letter]] = 1
        vectors.append(model.predict(rows, verbose=0)[0])
    np.savez_compressed(HERE / "chars2vec.npz", words=np.array(words), vectors=np.array(vectors))


textgenrnn()
chars2vec()
