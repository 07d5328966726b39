"""Makes keras/: small models of the real Keras, in every format of its version, with their outputs.

Run once with Keras 2.15 (TensorFlow 2.15) and once with Keras 3.15 (any backend): python make_keras.py
and once with Keras 3.3, which makes masks of merged signals otherwise: python make_keras.py merge
A name of one of the models alone (merge, calculate, halve) makes that one.
"""

import os
import sys
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
from keras import Input, Model, Sequential, layers

HERE = Path(__file__).parent / "keras"
TWO = keras.__version__.startswith("2")
TAG = "k2" if TWO else "k33" if keras.__version__.startswith("3.3.") else "k3"


def pair():
    """Two texts through one shared model of masked LSTMs (nested, used twice), which holds a frozen layer."""
    tower = Sequential([
        layers.Embedding(9, 4, mask_zero=True),
        layers.LSTM(3, return_sequences=True, recurrent_activation="hard_sigmoid"),
        layers.BatchNormalization(trainable=False),
        layers.Bidirectional(layers.GRU(2, return_sequences=True), merge_mode="mul"),
        layers.BatchNormalization(scale=False),
        layers.LSTM(3, return_sequences=True, use_bias=False, activation="softsign"),
        layers.LSTM(3, return_sequences=True),  # as large as the one before: order alone tells them apart
        layers.SimpleRNN(4, activation="relu"),
    ], name="tower")
    one, other = Input((None,), dtype="int32", name="one"), Input((None,), dtype="int32", name="other")
    a, b = tower(one), tower(other)
    difference = layers.Subtract()([a, b])
    score = layers.Dense(1, activation="sigmoid", name="score")(layers.Dot(1)([difference, difference]))
    return Model([one, other], [score, layers.Average()([a, b])], name="pair")


def many():
    """A translator with its states handed over, and one of each other layer."""
    source, target = Input((6, 4), name="source"), Input((5, 4), name="target")
    steps, h, c = layers.LSTM(3, return_sequences=True, return_state=True, name="encoder")(source)
    out = layers.LSTM(3, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    seen = layers.Attention(use_scale=True)([out, steps])
    added = layers.AdditiveAttention()([out, steps])
    wide = layers.Concatenate()([out, seen, added])
    head = layers.TimeDistributed(layers.Dense(4, activation="gelu"))(layers.LayerNormalization()(wide))

    both = layers.Bidirectional(layers.LSTM(2, return_state=True, activation="elu"), merge_mode="ave")(source)
    causal = layers.Conv1D(6, 2, padding="causal", dilation_rate=2, groups=2, activation="swish")(source)
    pooled = layers.MaxPooling1D(3, strides=2, padding="same")(layers.AveragePooling1D(2)(causal))
    turned = layers.Permute((2, 1))(layers.Reshape((3, 8))(source))
    shaped = layers.ZeroPadding1D(1)(layers.Cropping1D((1, 0))(layers.UpSampling1D(2)(turned)))
    flat = layers.Flatten()(layers.LeakyReLU()(shaped))
    again = layers.GRU(2, reset_after=False, go_backwards=True)(layers.RepeatVector(3)(flat))
    spread = layers.Maximum()([layers.GlobalMaxPooling1D()(causal), layers.GlobalAveragePooling1D()(causal)])
    kinds = layers.Add()([layers.Softmax()(spread), layers.PReLU()(spread), layers.ELU(alpha=0.5)(spread),
                          layers.ReLU(max_value=0.4, negative_slope=0.1)(layers.Multiply()([spread, spread]))])
    dropped = layers.GaussianNoise(0.1)(layers.SpatialDropout1D(0.5)(pooled))
    tail = layers.Activation("softmax")(layers.Dropout(0.5)(kinds))
    return Model([source, target], [head, *both, dropped, again, tail], name="many")


def translator():
    """Masked texts: the states of one handed to the other, through an embedding that both share."""
    source, target = Input((None,), dtype="int32", name="source"), Input((None,), dtype="int32", name="target")
    table = layers.Embedding(9, 4, mask_zero=True)
    _, h, c = layers.LSTM(5, return_state=True, dropout=0.2)(table(source))
    out = layers.LSTM(5, return_sequences=True)(table(target), initial_state=[h, c])
    both = layers.Bidirectional(layers.GRU(3, return_sequences=True))(layers.Dropout(0.1)(out))
    wide = layers.Concatenate()([both, layers.Attention()([both, both])])
    head = layers.TimeDistributed(layers.Dense(4, activation="softmax"))(wide)
    summary = layers.Add()([layers.LSTM(2)(wide), layers.LSTM(2)(out)])
    return Model([source, target], [head, summary, layers.RNN(layers.LSTMCell(3))(out)], name="translator")


def nested():
    """Models within models, called up to three times; what they give goes further and is an output as well."""
    def tower(units, sequences=False, features=3):
        x = Input((None, features))
        return Model(x, layers.LSTM(units, return_sequences=sequences)(x))

    a, b, films = Input((5, 3), name="a"), Input((5, 3), name="b"), Input((2, 4, 3), name="films")
    often = tower(4)
    p, q, r = often(a), often(b), often(layers.Subtract()([a, b]))
    head = layers.Dense(1)(layers.Concatenate()([q, r, p]))

    steps = Input((None, 3))
    chained, both = tower(3, True), tower(3, True)
    middle = Model(steps, [layers.GRU(2)(chained(chained(steps))), chained(steps), both(steps)])
    outer = Input((5, 3))
    u, v, w = middle(outer)
    whole = Model(outer, [u, layers.Dense(2)(u), layers.SimpleRNN(2)(layers.Add()([v, w])), w])
    one, other = whole(b), whole(a)

    line = Sequential([Input((5, 3)), tower(4, True), layers.GRU(2)])
    late = Sequential([layers.LSTM(2), layers.Dense(2)])
    late(a)  # a call that is of no model
    x, y = line(a), line(b)
    z, t = late(b), late(layers.Subtract()([b, a]))
    shots = layers.TimeDistributed(tower(3))(films)
    return Model([a, b, films], [r, p, head, one[3], other[0], layers.Dense(1)(other[1]), one[2],
                                 layers.Concatenate()([one[0], other[2]]), y, layers.Dense(2)(x), t,
                                 layers.Dense(1)(z), layers.GRU(2)(shots), shots], name="nested")


def mapped():
    """Inputs and outputs in mappings, of the model and of one within it."""
    x, y = Input((4, 3), name="x"), Input((4, 3), name="y")
    inner = Model({"y": y, "x": x}, {"last": layers.LSTM(2)(x), "all": layers.GRU(3, return_sequences=True)(y)})
    left, right = Input((4, 3), name="left"), Input((4, 3), name="right")
    one, other = inner({"x": left, "y": right}), inner({"y": left, "x": right})
    return Model({"right": right, "left": left},
                 {"z": one["last"], "head": layers.Dense(1)(layers.Concatenate()([one["last"], other["last"]])),
                  "late": other["all"], "a": layers.SimpleRNN(2)(one["all"])}, name="mapped")


def randomise(model, seed):
    """Weights that are not the zeros and ones of a new model."""
    rng = np.random.default_rng(seed)

    def new(w):
        name = getattr(w, "path", w.name)
        x = rng.standard_normal(w.shape) * 0.4
        return (np.abs(x) + 0.2 if "variance" in name else x).astype(np.float32)
    model.set_weights([new(w) for w in model.weights])


def save(model, name, feeds, h5=True):
    """The formats, and the outputs."""
    outputs = model(feeds)
    feeds, outputs = ([y[key] for key in sorted(y)] if isinstance(y, dict) else y for y in (feeds, outputs))
    outputs = [np.asarray(keras.ops.convert_to_numpy(y)) if not TWO else y.numpy() for y in outputs]
    np.savez(HERE / f"{name}_{TAG}.npz", **{f"x{k}": x for k, x in enumerate(feeds)},
             **{f"y{k}": y for k, y in enumerate(outputs)})
    if h5:
        model.save(HERE / f"{name}_{TAG}.h5")
    model.save(HERE / f"{name}_{TAG}.keras")
    squeeze(HERE / f"{name}_{TAG}.keras")


def squeeze(path):
    """The same entries, compressed: Keras stores them as they are."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def translate():
    """The translator of this version."""
    model = translator()
    randomise(model, 4)
    save(model, "translator", [np.array([[1, 2, 0, 0], [3, 4, 5, 6]], np.int32),
                               np.array([[1, 2, 3, 0, 0], [7, 8, 1, 1, 0]], np.int32)], h5=False)


def nest():
    """Models within models, and mappings, of this version."""
    rng = np.random.default_rng(5)
    model = nested()
    randomise(model, 6)
    save(model, "nested", [rng.standard_normal(shape).astype(np.float32) for shape in ((2, 5, 3), (2, 5, 3),
                                                                                     (2, 2, 4, 3))], h5=not TWO)
    model = mapped()
    randomise(model, 7)
    save(model, "mapped", {name: rng.standard_normal((2, 4, 3)).astype(np.float32) for name in ("left", "right")},
         h5=False)


def merge():
    """Signals masked in different places, merged."""
    one, other = Input((6,), dtype="int32"), Input((6,), dtype="int32")
    a, b = layers.Embedding(9, 4, mask_zero=True)(one), layers.Embedding(9, 4, mask_zero=True)(other)
    model = Model([one, other], [layers.LSTM(3)(layers.Concatenate()([a, b])), layers.GRU(2)(layers.Add()([a, b]))])
    randomise(model, 8)
    save(model, "merged", [np.array([[1, 2, 3, 0, 0, 0], [0, 5, 0, 6, 7, 8]], np.int32),
                           np.array([[1, 2, 3, 4, 5, 0], [0, 0, 4, 4, 0, 1]], np.int32)], h5=False)


def operate():
    """Operations of Keras 3 on masked signals, which hand no mask on; and a layer that does."""
    one, other = Input((6,), dtype="int32"), Input((6,), dtype="int32")
    a, b = layers.Embedding(9, 4, mask_zero=True)(one), layers.Embedding(9, 4, mask_zero=True)(other)
    made = (a * b, a - b, keras.ops.maximum(a, b), a + a, keras.ops.concatenate([a, b], axis=-1),
            layers.Multiply()([a, b]))
    model = Model([one, other], [layers.LSTM(2)(signal) for signal in made])
    randomise(model, 9)
    save(model, "operations", [np.array([[1, 2, 3, 0, 0, 0], [0, 5, 0, 6, 7, 8]], np.int32),
                               np.array([[1, 2, 3, 4, 5, 0], [0, 0, 4, 4, 0, 1]], np.int32)])


def calculate():
    """Arithmetic with constants and between tensors: eight outputs without a layer, and one that no mask gets to."""
    x, y, ids = Input((5, 3), name="x"), Input((5, 1), name="y"), Input((5,), dtype="int32", name="z")
    e = layers.Embedding(9, 3, mask_zero=True)(ids)
    steps = np.arange(15, dtype=np.float32).reshape(5, 3) / 7
    left = np.array([0.1, 0.2, 0.3], np.float32)
    made = [1.0 - x / 3, -(x * 0.1) - 0.7, 0.3 / (x + y), (x - y) / (x * x + 1), 2 * x + np.float32(0.1), x * steps,
            left - x if TWO else keras.ops.subtract(left, x), y + np.ones((1, 1, 4), np.float32) / 3]
    model = Model([x, y, ids], [*made, layers.LSTM(2)(e * 0.5 + x)])
    randomise(model, 10)
    rng = np.random.default_rng(11)
    save(model, "arithmetic", [rng.standard_normal((2, 5, 3)).astype(np.float32),
                               rng.standard_normal((2, 5, 1)).astype(np.float32),
                               np.array([[1, 2, 0, 0, 4], [0, 7, 8, 1, 0]], np.int32)], h5=not TWO)


def halve():
    """Weights of half precision, with what their float32 twin gives: the arithmetic here is float32."""
    def made(*dtypes):
        fair = {"recurrent_initializer": "glorot_uniform"}  # orthogonal ones are not to be had in bfloat16
        one, two, three = dtypes
        return Sequential([Input((5, 3)), layers.LSTM(3, return_sequences=True, dtype=one, **fair),
                           layers.Bidirectional(layers.GRU(2, dtype=two, **fair), dtype=two),
                           layers.Dense(2, dtype=three)], name="half")
    model, twin = made("bfloat16", "float16", "mixed_bfloat16"), made(*["float32"] * 3)
    randomise(model, 12)
    twin.set_weights([np.asarray(w).astype(np.float32) for w in model.get_weights()])
    x = np.random.default_rng(13).standard_normal((2, 5, 3)).astype(np.float32)
    save(model, "half", [x])
    y = twin(x)
    np.savez(HERE / f"half_{TAG}.npz", x0=x, y0=y.numpy() if TWO else keras.ops.convert_to_numpy(y))


def main():
    """Write everything of this version."""
    HERE.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    model = pair()
    randomise(model, 1)
    save(model, "pair", [np.array([[1, 2, 3, 0], [0, 0, 5, 8]], np.int32),
                         np.array([[4, 0, 6, 7], [1, 1, 0, 0]], np.int32)])
    model.save_weights(HERE / f"pair_{TAG}.weights.h5")
    if TWO:
        model.save_weights(HERE / f"pair_{TAG}_legacy.h5")
    model = many()
    randomise(model, 2)
    save(model, "many", [rng.standard_normal((2, 6, 4)).astype(np.float32),
                         rng.standard_normal((2, 5, 4)).astype(np.float32)])
    translate()
    nest()
    merge()
    calculate()
    halve()
    if not TWO:
        operate()
    if TWO:
        import tensorflow as tf

        old = tf.compat.v1.keras.layers
        model = Sequential([Input((5, 3)), old.CuDNNLSTM(4, return_sequences=True), old.CuDNNGRU(2)])
        plain = Sequential([Input((5, 3)), layers.LSTM(4, return_sequences=True), layers.GRU(2)])
        randomise(model, 3)
        model.save(HERE / "cudnn_k2.h5")
        plain.load_weights(HERE / "cudnn_k2.h5")
        x = rng.standard_normal((2, 5, 3)).astype(np.float32)
        np.savez(HERE / "cudnn_k2.npz", x0=x, y0=plain(x).numpy())
        Sequential([Input((3,)), layers.Lambda(lambda v: v * 2)]).save(HERE / "lambda_k2.h5")


if __name__ == "__main__":
    {"merge": merge, "calculate": calculate, "halve": halve}[sys.argv[1]]() if sys.argv[1:] else main()
