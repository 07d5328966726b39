"""Write layers.npz: weights, inputs and outputs of single layers and small graphs by Keras 2.15 on the CPU.

    python -m pip install tensorflow-cpu==2.15.1 && python make_layers.py

Each case is an entry `NAME/x0…`, `NAME/w0…` (in Keras' order), `NAME/y0…`, and `NAME/mask` where one was given.
"""

import os

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
import pathlib

import numpy as np
import tensorflow as tf

keras, L = tf.keras, tf.keras.layers
rng = np.random.default_rng(7)
B, T, F, N = 5, 6, 3, 4
X = rng.standard_normal((B, T, F)).astype("f4")
Y = rng.standard_normal((B, T, F)).astype("f4")
V = rng.standard_normal((B, F)).astype("f4")
# padding in front, behind, between, none, everywhere
MASK = np.array([[0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0], [1] * 6, [0] * 6], bool)
IDS = rng.integers(1, 9, (B, T)) * MASK
out = {}


def case(name, model, *xs, mask=None, calls=None):
    weights = [(np.abs(rng.standard_normal(w.shape)) * 0.3 + 0.2 if "variance" in w.name
                else rng.standard_normal(w.shape) * 0.5).astype("f4") for w in model.weights]
    model.set_weights(weights)
    ys = calls(model) if calls else model(xs[0] if len(xs) == 1 else list(xs))
    ys = ys if isinstance(ys, (list, tuple)) else [ys]
    for kind, arrays in (("x", xs), ("w", weights), ("y", ys)):
        for i, a in enumerate(arrays):
            out[f"{name}/{kind}{i}"] = np.asarray(a)
    if mask is not None:
        out[f"{name}/mask"] = mask


def layer(name, made, masked=False):
    i = L.Input((T, F))
    m = L.Input((T,), dtype="bool")
    if masked:
        model = keras.Model([i, m], made(i, mask=m))
        case(name, model, X, MASK)
    else:
        case(name, keras.Model(i, made(i)), X)


for kind, cls in (("lstm", L.LSTM), ("gru", L.GRU), ("rnn", L.SimpleRNN)):
    for options in ({}, {"return_sequences": True}, {"return_sequences": True, "go_backwards": True},
                    {"return_sequences": True, "return_state": True}, {"go_backwards": True},
                    {"return_sequences": True, "zero_output_for_mask": True}, {"zero_output_for_mask": True}):
        words = "-".join(options)
        layer(f"{kind} masked {words}", cls(N, **options), masked=True)
layer("lstm hard_sigmoid relu", L.LSTM(N, activation="relu", recurrent_activation="hard_sigmoid",
                                       return_sequences=True))
layer("lstm no bias", L.LSTM(N, use_bias=False))
layer("gru before", L.GRU(N, reset_after=False, return_sequences=True), masked=True)
layer("gru no bias", L.GRU(N, use_bias=False))
for merge in ("concat", "sum", "mul", "ave", None):
    for sequences in (True, False):
        layer(f"bidirectional {merge} {sequences}", L.Bidirectional(L.LSTM(N, return_sequences=sequences),
                                                                    merge_mode=merge), masked=True)
layer("bidirectional states", L.Bidirectional(L.GRU(N, return_sequences=True, return_state=True)), masked=True)
layer("bidirectional two", L.Bidirectional(L.LSTM(2, return_sequences=True), backward_layer=L.LSTM(
    3, return_sequences=True, go_backwards=True, activation="relu")))
layer("bidirectional turned", L.Bidirectional(L.LSTM(2, return_sequences=True, go_backwards=True)))

# state given, with steps masked in front
i, m, h, c = L.Input((T, F)), L.Input((T,), dtype="bool"), L.Input((N,)), L.Input((N,))
H, C = (rng.standard_normal((B, N)).astype("f4") for _ in range(2))
case("initial state", keras.Model([i, m, h, c], L.LSTM(N, return_sequences=True, return_state=True)(
    i, mask=m, initial_state=[h, c])), X, MASK, H, C)

# stateful over two calls, masked
i = L.Input(batch_shape=(B, T, F))
m = L.Input(batch_shape=(B, T), dtype="bool")
case("stateful", keras.Model([i, m], L.LSTM(N, stateful=True, return_sequences=True)(i, mask=m)), X, MASK,
     calls=lambda model: [model([X, MASK]).numpy(), model([X, MASK]).numpy()])

# masks on their way
i = L.Input((T,), dtype="int32")
e = L.Embedding(9, F, mask_zero=True)(i)
case("mask through dense", keras.Model(i, L.LSTM(N)(L.Dropout(0.5)(L.Activation("tanh")(L.Dense(F)(e))))), IDS)
case("mask through normalization", keras.Model(i, L.LSTM(N)(L.LayerNormalization()(L.BatchNormalization()(e)))), IDS)
case("mask through distributed", keras.Model(i, L.LSTM(N)(L.TimeDistributed(L.Dense(2))(e))), IDS)
case("mask through stack", keras.Model(i, L.LSTM(N)(L.LSTM(2, return_sequences=True, go_backwards=True)(
    L.Bidirectional(L.GRU(2, return_sequences=True))(e)))), IDS)
case("mask ends at conv", keras.Model(i, L.LSTM(N)(L.Conv1D(2, 3, padding="same")(e))), IDS)
case("mask through add", keras.Model(i, L.LSTM(N)(L.Add()([e, L.Dense(F)(e)]))), IDS)
j = L.Input((T, F))
case("mask of one in add", keras.Model([i, j], L.LSTM(N)(L.Multiply()([e, j]))), IDS, X)
case("mask of one in concatenate", keras.Model([i, j], L.LSTM(N)(L.Concatenate()([e, j]))), IDS, X)
case("mask concatenated over time", keras.Model(i, L.LSTM(N)(L.Concatenate(axis=1)([e, L.Dense(F)(e)]))), IDS)
some = IDS.copy()
some[4, 2] = 3
case("mask in global average", keras.Model(i, L.GlobalAveragePooling1D()(e)), some)
case("mask in global max", keras.Model(i, L.GlobalMaxPooling1D()(e)), IDS)
k = L.Input((T, F))
case("masking", keras.Model(k, L.LSTM(N, return_sequences=True)(L.Masking(-1.0)(k))), np.where(MASK[..., None], X, -1))

# through no time
layer("conv valid", L.Conv1D(2, 3, strides=2))
layer("conv same", L.Conv1D(2, 4, strides=2, padding="same", activation="relu"))
layer("conv causal", L.Conv1D(2, 3, padding="causal", dilation_rate=2))
layer("max pool valid", L.MaxPooling1D(4, 1))
layer("max pool same", L.MaxPooling1D(4, 3, padding="same"))
layer("average pool same", L.AveragePooling1D(4, 3, padding="same"))
layer("average pool", L.AveragePooling1D(2))
layer("global average", L.GlobalAveragePooling1D(keepdims=True))
layer("prelu", L.PReLU())
layer("prelu shared", L.PReLU(shared_axes=[1]))
layer("leaky", L.LeakyReLU(0.3))
layer("layer normalization", L.LayerNormalization(epsilon=1e-5))
layer("batch normalization", L.BatchNormalization())
layer("flatten", L.Flatten())
layer("reshape", L.Reshape((2, -1)))
layer("permute", L.Permute((2, 1)))
layer("cropping", L.Cropping1D((1, 2)))
layer("zero padding", L.ZeroPadding1D((1, 2)))
layer("upsampling", L.UpSampling1D(2))
v = L.Input((F,))
case("repeat vector", keras.Model(v, L.RepeatVector(3)(v)), V)
w = L.Input((2, T, F))
case("distributed lstm", keras.Model(w, L.TimeDistributed(L.LSTM(N))(w)),
     rng.standard_normal((B, 2, T, F)).astype("f4"))
a, b = L.Input((T, F)), L.Input((T, F))
for name, cls in (("subtract", L.Subtract), ("average", L.Average), ("maximum", L.Maximum), ("minimum", L.Minimum)):
    case(name, keras.Model([a, b], cls()([a, b])), X, Y)
case("dot features", keras.Model([a, b], L.Dot(axes=2)([a, b])), X, Y)
case("dot time", keras.Model([a, b], L.Dot(axes=1, normalize=True)([a, b])), X, Y)
case("dot vector", keras.Model([a, v], L.Dot(axes=(2, 1))([a, v])), X, V)

# attention
case("attention", keras.Model([a, b], L.Attention(use_scale=True)([a, b])), X, Y)
case("attention causal", keras.Model([a, b], L.Attention()([a, b], use_causal_mask=True)), X, Y)
case("attention concat", keras.Model([a, b], L.Attention(score_mode="concat")([a, b])), X, Y)
case("additive", keras.Model([a, b], L.AdditiveAttention()([a, b])), X, Y)
i2 = L.Input((T,), dtype="int32")
e2 = L.Embedding(9, F, mask_zero=True)
case("attention masked", keras.Model([i, i2], L.LSTM(N)(L.Attention()([e, e2(i2)]))), IDS, IDS[::-1].copy())
case("attention scores", keras.Model([a, b], list(L.Attention()([a, b, b], return_attention_scores=True))), X, Y)

# graphs: shared and nested models, encoder and decoder
inner_in = L.Input((T, F))
inner = keras.Model(inner_in, L.Dense(2)(L.LSTM(N)(inner_in)))
case("shared nested", keras.Model([a, b], L.Concatenate()([inner(a), inner(b)])), X, Y)
_, sh, sc = L.LSTM(N, return_state=True)(a)
case("encoder decoder", keras.Model([a, b], L.Dense(2, activation="softmax")(
    L.LSTM(N, return_sequences=True)(b, initial_state=[sh, sc]))), X, Y)

names = ["linear", "sigmoid", "tanh", "relu", "softmax", "softplus", "softsign", "elu", "selu", "gelu", "exponential",
         "swish", "relu6", "mish", "hard_sigmoid"]
numbers = np.concatenate([np.linspace(-12, 12, 201), [0.0, -0.0, 30, -30]]).astype("f4")[None]
for name in names:
    case(f"activation {name}", keras.Model(j, L.Activation(name)(j)), X) if name == "softmax" else \
        case(f"activation {name}", keras.Sequential([L.Activation(name, input_shape=(205,))]), numbers)
np.savez_compressed(pathlib.Path(__file__).with_name("layers.npz"), **out)
print(len({k.split("/")[0] for k in out}), "cases")
