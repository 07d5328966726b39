"""Layers out of Keras' weights, and random ones, for the tests of recurrent models."""

from dataclasses import fields

import numpy as np

from kiyas.recurrent import LayerNorm
from kiyas.recurrent.layers import GRU, LSTM, Bidirectional, Dense, Embedding, SimpleRNN


def lstm(weights, name="lstm", **options):
    return LSTM(name, weights[0].T, weights[1].T, weights[2] if len(weights) > 2 else None, **options)


def rnn(weights, name="rnn", **options):
    return SimpleRNN(name, weights[0].T, weights[1].T, weights[2] if len(weights) > 2 else None, **options)


def gru(weights, name="gru", **options):
    bias = weights[2] if len(weights) > 2 else None
    after = options.pop("reset_after", True)
    parts = (bias[0], bias[1]) if bias is not None and bias.ndim == 2 else (bias, None)
    return GRU(name, weights[0].T, weights[1].T, parts[0], recurrent_bias=parts[1], reset_after=after, **options)


MAKERS = {"lstm": lstm, "gru": gru, "rnn": rnn}


def random_lstm(rng, m, n, name="lstm", p=None, **options):
    p = n if p is None else p
    return LSTM(name, *_weights(rng, 4 * n, m, p), **options)


def random_gru(rng, m, n, name="gru", **options):
    extra = {"recurrent_bias": rng.normal(size=3 * n)} if options.get("reset_after") else {}
    return GRU(name, *_weights(rng, 3 * n, m, n), **extra, **options)


def random_rnn(rng, m, n, name="rnn", **options):
    return SimpleRNN(name, *_weights(rng, n, m, n), **options)


def _weights(rng, rows, m, p):
    return rng.normal(size=(rows, m)) / np.sqrt(m), rng.normal(size=(rows, p)) / np.sqrt(p), rng.normal(size=rows) / 2


def random_norm(rng, n):
    return LayerNorm(*(rng.uniform(0.5, 1.5, size=4 * n) for _ in range(2)), rng.uniform(0.5, 1.5, size=n),
                     rng.normal(size=n) / 4)


def lstm_options(rng, n, names, p=None):
    """The options of those names, with random weights where they have some."""
    made = {"peephole": lambda: rng.normal(size=(3, n)), "projection": lambda: rng.normal(size=(p, n)),
            "coupled": lambda: True, "clip": lambda: 0.4, "layer_norm": lambda: random_norm(rng, n)}
    return {name: made[name]() for name in names}


# Every way in which steps are computed: compiled cells, and the plain one for each option.
def every_recurrent_layer(rng, m, n, **options):
    yield random_lstm(rng, m, n, "lstm", **options)
    yield random_lstm(rng, m, n, "lstm_relu", recurrent_activation="hard_sigmoid", activation="relu",
                      output_activation="tanh", **options)
    for name in ("peephole", "coupled", "clip", "layer_norm"):
        yield random_lstm(rng, m, n, f"lstm_{name}", **lstm_options(rng, n, [name]), **options)
    p = max(1, n - 1)
    yield random_lstm(rng, m, n, "lstm_projection", p, **lstm_options(rng, n, ["projection"], p), **options)
    yield random_gru(rng, m, n, "gru", **options)
    yield random_gru(rng, m, n, "gru_after", reset_after=True, **options)
    yield random_gru(rng, m, n, "gru_clip", clip=0.3, **options)
    yield random_rnn(rng, m, n, "rnn", **options)
    yield random_rnn(rng, m, n, "rnn_clip", clip=0.3, **options)


def plain(layer):
    """The weights and options of a layer as a dictionary of float64 arrays, for the oracle."""
    made = {f.name: getattr(layer, f.name) for f in fields(layer)}
    if made.get("layer_norm") is not None:
        made["layer_norm"] = {f.name: getattr(made["layer_norm"], f.name) for f in fields(made["layer_norm"])}
    for key in ("activation", "recurrent_activation", "output_activation"):
        if made.get(key) is not None:
            made[key] = (made[key].name, dict(made[key].parameters))
    return {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in made.items()} | {
        "kind": type(layer).__name__}


def text_model_layers(rng, vocabulary=12, d=5, n=6, **options):
    """The layers of a word model: embedding, two LSTMs, softmax."""
    return [Embedding("embedding", rng.normal(size=(vocabulary, d)), **options),
            random_lstm(rng, d, n, "lstm_1", return_sequences=True), random_lstm(rng, n, n, "lstm_2"),
            Dense("head", rng.normal(size=(vocabulary, n)), rng.normal(size=vocabulary), "softmax")]


def both_ways(rng, make, m, n, name="both", merge="concat", **options):
    ways = (make(rng, m, n, f"{name}_{way}") for way in ("forward", "backward"))
    return Bidirectional(name, *ways, merge, **options)
