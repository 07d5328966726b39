"""Weights of cells with the kernels made of them and their slow twins, and what tests of kernels share."""

import math

import naive_cells as naive
import numpy as np

from kiyas.kernels import recurrent as r

KINDS = ("lstm", "gru_after", "gru_before", "simple")
PARAMETERS = {"elu": {"alpha": 0.7}, "leaky_relu": {"alpha": 0.1}, "hard_sigmoid": {"alpha": 0.3, "beta": 0.4}}


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


class Weights:
    """Weights of a cell, the kernel made of them and its slow twin."""

    def __init__(self, kind, n, m, seed=0):
        rng = np.random.default_rng([seed, n, m])
        self.kind, self.n, self.m = kind, n, m
        gates = {"lstm": 4, "simple": 1}.get(kind, 3)
        self.W = floats(rng, gates * n, m) / np.float32(math.sqrt(m))
        self.R = floats(rng, gates * n, n) / np.float32(math.sqrt(n))
        self.b = floats(rng, gates * n) * np.float32(0.3)
        self.rb = floats(rng, gates * n) * np.float32(0.3) if kind == "gru_after" else None

    def kernel(self, precision="float32", embedding=None, gate="sigmoid", activation="tanh", output=None):
        options = {"precision": precision, "embedding": embedding, "activation": activation}
        if self.kind == "lstm":
            return r.LSTMKernel(self.W, self.R, self.b, recurrent_activation=gate, output_activation=output, **options)
        if self.kind == "simple":
            return r.RNNKernel(self.W, self.R, self.b, **options)
        after = self.kind == "gru_after"
        return r.GRUKernel(self.W, self.R, self.b, self.rb, after, recurrent_activation=gate, **options)

    def step(self, gate="sigmoid", activation="tanh", output=None):
        """(x, state) -> state, of one row."""
        f, g = _naive(gate), _naive(activation)
        o = g if output is None else _naive(output)
        if self.kind == "lstm":
            return lambda x, s: naive.lstm_step(x, *s, self.W, self.R, self.b, f, g, o)
        if self.kind == "simple":
            return lambda x, s: (naive.simple_step(x, s[0], self.W, self.R, self.b, g),)
        return lambda x, s: (naive.gru_step(x, s[0], self.W, self.R, self.b, self.rb, self.kind == "gru_after", f, g),)


def _naive(name):
    name, given_ = (name, {}) if isinstance(name, str) else name
    return lambda x: naive.ACTIVATIONS[name](x, **given_)


def assert_bits(a, b):
    assert a.dtype == b.dtype == np.float32
    assert a.shape == b.shape
    assert np.array_equal(a.view(np.uint32), b.view(np.uint32))


def assert_states(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert_bits(x, y)


def state_of(rng, kernel, batch):
    return tuple(floats(rng, batch, kernel.units) * np.float32(0.5) for _ in range(kernel.states))
