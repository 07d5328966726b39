"""Makes tokenizer.json, padding.json and the pickles beside it, with TensorFlow 2.15.1 (Keras 2.15.0).

    pip install tensorflow-cpu==2.15.1
    python make_tokenizer.py
"""

import json
import pickle
from pathlib import Path

import tensorflow as tf

HERE = Path(__file__).parent
text = tf.keras.preprocessing.text
pad_sequences = tf.keras.preprocessing.sequence.pad_sequences

TEXTS = [
    "The cat sat. The cat ran!", "A dog, a cat; and the bird_house...", "", "   ", "Don't stop: it's 3.5 km\tto\nSofia",
    "Isparta'da IŞIK, İzmir'de iğde; ÇAĞRI ile şiir", "ΑΣ ΟΔΟΣ σας", "UNK the [UNK] <OOV> oov",
    "x" * 40, "naïve café CAFÉ",
]
ASKED = ["the bird sat on the cat", "IŞIK ve İzmir", "", "zzz qqq", "A DOG! don't", "οδος ΟΔΟΣ", "the <OOV> UNK"]
OPTIONS = [
    {}, {"num_words": 5}, {"oov_token": "<OOV>"}, {"oov_token": "unk", "num_words": 4}, {"lower": False},
    {"char_level": True}, {"char_level": True, "lower": False, "num_words": 9, "oov_token": "?"}, {"filters": ""},
    {"filters": "aeı", "split": "_"}, {"split": "at"}, {"oov_token": "cat"}, {"num_words": 1},
]


def one(options):
    made = text.Tokenizer(**options)
    made.fit_on_texts(TEXTS[:6])
    made.fit_on_texts(TEXTS[6:])  # fitting goes on where it stopped
    sequences = made.texts_to_sequences(TEXTS + ASKED)
    some = [*sequences[:4], [0, 1, 2, 999]]
    return {"options": options, "json": made.to_json(), "sequences": sequences, "some": some,
            "texts": made.sequences_to_texts(some),
            "lists": made.texts_to_sequences([["The", "CAT"], ["zzz"]])}


def paddings():
    rows = [[1, 2, 3, 4, 5], [6], [], [7, 8]]
    cases = []
    for maxlen in (None, 1, 3, 5, 8):
        for padding in ("pre", "post"):
            for truncating in ("pre", "post"):
                options = {"maxlen": maxlen, "padding": padding, "truncating": truncating, "value": -1}
                cases.append({"options": options, "padded": pad_sequences(rows, **options).tolist()})
    inner = [[[.5, 1.], [2., 3.]], [[4., 5.]]]
    options = {"maxlen": 3, "dtype": "float32"}
    return {"rows": rows, "cases": cases, "inner": inner, "options": options,
            "inner_padded": pad_sequences(inner, **options).tolist()}


cases = [one(options) for options in OPTIONS]
(HERE / "tokenizer.json").write_text(
    json.dumps({"texts": TEXTS, "asked": ASKED, "cases": cases}, ensure_ascii=False, indent=0), encoding="utf-8")
(HERE / "padding.json").write_text(json.dumps(paddings(), indent=0))
for protocol in (0, 2, 4):
    made = text.Tokenizer(num_words=6, oov_token="<OOV>")
    made.fit_on_texts(TEXTS)
    (HERE / f"tokenizer_protocol{protocol}.pickle").write_bytes(pickle.dumps(made, protocol=protocol))
