"""Recurrent cells and activations in plain Python and float64, written from the equations; imports nothing of kiyas."""

import math


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def elu(x, alpha):
    return x if x > 0 else alpha * math.expm1(x)


ACTIVATIONS = {
    "linear": lambda x: x,
    "sigmoid": sigmoid,
    "tanh": math.tanh,
    "relu": lambda x: max(x, 0.0),
    "hard_sigmoid": lambda x, alpha=1 / 6, beta=0.5: min(1.0, max(0.0, alpha * x + beta)),
    "hard_sigmoid_fifth": lambda x, alpha=0.2, beta=0.5: min(1.0, max(0.0, alpha * x + beta)),
    "softsign": lambda x: x / (1 + abs(x)),
    "elu": lambda x, alpha=1.0: elu(x, alpha),
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "exponential": math.exp,
    "swish": lambda x: x * sigmoid(x),
    "relu6": lambda x: min(6.0, max(0.0, x)),
    "leaky_relu": lambda x, alpha=0.2: x if x > 0 else alpha * x,
    "softplus": softplus,
    "gelu": lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "mish": lambda x: x * math.tanh(softplus(x)),
}


def product(weights, x, bias=None):
    """bias + Σ weights[r][k]·x[k] for each row r."""
    sums = [math.fsum(float(w) * float(v) for w, v in zip(row, x, strict=True)) for row in weights]
    return sums if bias is None else [s + float(b) for s, b in zip(sums, bias, strict=True)]


def lstm_step(x, h, c, W, R, b, gate, candidate, output):
    n = len(h)
    z = [p + q for p, q in zip(product(W, x, b), product(R, h), strict=True)]
    c = [gate(z[n + j]) * c[j] + gate(z[j]) * candidate(z[2 * n + j]) for j in range(n)]
    return [gate(z[3 * n + j]) * output(c[j]) for j in range(n)], c


def gru_step(x, h, W, R, b, recurrent_bias, reset_after, gate, candidate):
    n = len(h)
    zx, zh = product(W, x, b), product(R, h, recurrent_bias)
    update = [gate(zx[j] + zh[j]) for j in range(n)]
    reset = [gate(zx[n + j] + zh[n + j]) for j in range(n)]
    if reset_after:
        inner = [reset[j] * zh[2 * n + j] for j in range(n)]
    else:
        inner = product(R[2 * n:], [r * v for r, v in zip(reset, h, strict=True)])
    new = [candidate(zx[2 * n + j] + inner[j]) for j in range(n)]
    return [update[j] * h[j] + (1 - update[j]) * new[j] for j in range(n)]


def simple_step(x, h, W, R, b, activation):
    return [activation(p + q) for p, q in zip(product(W, x, b), product(R, h), strict=True)]


def sequence(step, x, state, length=None, mask=None, zero_masked=False, reverse=False):
    """One row: outputs at every time, and the state at its end. ``step(x, state) -> state``, a tuple, h first."""
    time = len(x)
    length = time if length is None else length
    out = [[0.0] * len(state[0]) for _ in range(time)]
    before = [0.0] * len(state[0])
    for t in (reversed(range(length)) if reverse else range(length)):
        if mask is None or mask[t]:
            state = step(x[t], state)
            before = state[0]
            out[t] = before
        elif not zero_masked:
            out[t] = before
    return out, state
