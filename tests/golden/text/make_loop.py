"""Makes loop.json and the models loop_*.h5 beside it: the usual Keras generation loop, run by Keras itself.

    pip install tensorflow-cpu==2.15.1
    python make_loop.py

Each model is trained for a moment on a few lines, so that its words differ; then the loop of the tutorials runs.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
L = tf.keras.layers
Tokenizer = tf.keras.preprocessing.text.Tokenizer
pad_sequences = tf.keras.preprocessing.sequence.pad_sequences

LINES = [
    "the river runs past the old mill and the mill turns", "an old man walks past the river at night",
    "at night the moon turns the river to silver", "the man and the moon are old",
    "silver runs the night train past us",
    "we walk to the mill and the river walks with us",
]
CASES = [  # name, character level, mask_zero, layer, padding, maxlen, out-of-vocabulary token
    ("masked", False, True, "LSTM", "pre", 9, None), ("plain", False, False, "LSTM", "pre", 6, "<OOV>"),
    ("post", False, True, "LSTM", "post", 8, None), ("letters", True, True, "GRU", "pre", 12, None),
]


def sequences(tokenizer, lines):
    made = []
    for ids in tokenizer.texts_to_sequences(lines):
        made += [ids[:end + 1] for end in range(1, len(ids))]
    return made


def trained(name, char_level, mask, kind, padding, maxlen, oov):
    tf.keras.utils.set_random_seed(7)
    tokenizer = Tokenizer(char_level=char_level, oov_token=oov)
    tokenizer.fit_on_texts(LINES)
    rows = sequences(tokenizer, LINES)
    size = len(tokenizer.word_index) + 1
    layer = getattr(L, kind)
    model = tf.keras.Sequential([
        L.Input((None,)), L.Embedding(size, 8, mask_zero=mask), layer(16, return_sequences=True), L.Dropout(0.1),
        layer(12), L.Dense(size, activation="softmax")], name=name)
    x = pad_sequences([row[:-1] for row in rows], maxlen, padding=padding)
    y = np.array([row[-1] for row in rows])
    model.compile(tf.keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=80, verbose=0)
    model.save(HERE / f"loop_{name}.h5", include_optimizer=False)
    (HERE / f"loop_{name}.tokenizer.json").write_text(tokenizer.to_json())
    return model, tokenizer


def loop(model, tokenizer, seed_text, steps, maxlen, padding, join):
    numbers, chances = [], []
    for _ in range(steps):
        ids = tokenizer.texts_to_sequences([seed_text])[0]
        ids = pad_sequences([ids], maxlen=maxlen, padding=padding)
        row = model.predict(ids, verbose=0)[0]
        best = int(np.argmax(row))
        numbers.append(best)
        chances.append(float(row[best]))
        word = ""
        for known, index in tokenizer.word_index.items():
            if index == best:
                word = known
                break
        seed_text += join + word
    return {"numbers": numbers, "chances": chances, "text": seed_text}


found = []
for case in CASES:
    name, char_level, mask, kind, padding, maxlen, oov = case
    model, tokenizer = trained(*case)
    for seed_text in ("the river", "an OLD unknown, man", "we", "nothing known 42" if char_level else "zebra"):
        made = loop(model, tokenizer, seed_text, 20, maxlen, padding, "" if char_level else " ")
        found.append({"model": name, "window": maxlen, "padding": padding, "seed_text": seed_text, **made})
(HERE / "loop.json").write_text(json.dumps(found, indent=0))
