"""Recurrent layers with loops over rows, steps and units, in Python's float64. Imports nothing of kiyas.

A layer is a dictionary: kind, input_weights, recurrent_weights, bias, …, as docs/design.md has them; an activation is
(name, parameters).
"""

import math

INFINITE = math.inf


def sigmoid(v):
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


ACTIVATIONS = {
    "linear": lambda v: v,
    "sigmoid": sigmoid,
    "tanh": math.tanh,
    "relu": lambda v: max(v, 0.0),
    "softplus": lambda v: max(v, 0) + math.log1p(math.exp(-abs(v))),
    "softsign": lambda v: v / (1 + abs(v)),
    "elu": lambda v, alpha: v if v > 0 else alpha * math.expm1(v),
    "selu": lambda v: 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * math.expm1(v)),
    "gelu": lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2,
    "gelu_tanh": lambda v: v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) / 2,
    "exponential": math.exp,
    "swish": lambda v: v * sigmoid(v),
    "relu6": lambda v: min(max(v, 0.0), 6.0),
    "leaky_relu": lambda v, alpha: v if v > 0 else alpha * v,
    "mish": lambda v: v * math.tanh(max(v, 0) + math.log1p(math.exp(-abs(v)))),
    "hard_sigmoid": lambda v, alpha=1 / 6, beta=0.5: min(max(alpha * v + beta, 0.0), 1.0),
    "hard_sigmoid_fifth": lambda v, alpha=0.2, beta=0.5: min(max(alpha * v + beta, 0.0), 1.0),
    "hard_swish": lambda v: v * min(max(v / 6 + 0.5, 0.0), 1.0),
    "hard_tanh": lambda v: min(max(v, -1.0), 1.0),
    "affine": lambda v, alpha, beta: alpha * v + beta,
    "scaled_tanh": lambda v, alpha, beta: alpha * math.tanh(beta * v),
    "thresholded_relu": lambda v, alpha: v if v > alpha else 0.0,
    "capped_relu": lambda v, max_value, negative_slope, threshold: (
        negative_slope * (v - threshold) if v < threshold else min(v, max_value)),
    "log_sigmoid": lambda v: -(max(-v, 0) + math.log1p(math.exp(-abs(v)))),
}


def activate(activation, values):
    name, parameters = activation
    return [ACTIVATIONS[name](v, **parameters) for v in values]


def product(matrix, vector):
    return [math.fsum(w * v for w, v in zip(row, vector, strict=True)) for row in matrix]


def add(*vectors):
    return [math.fsum(parts) for parts in zip(*vectors, strict=True)]


def normalised(values, scale, epsilon):
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(variance + epsilon) * s for v, s in zip(values, scale, strict=True)]


def _held(values, clip):
    return values if clip is None else [min(max(v, -clip), clip) for v in values]


def lstm_step(layer, x, state):
    h, c = state
    n = len(c)
    zx, zh = product(layer["input_weights"], x), product(layer["recurrent_weights"], h)
    norm = layer.get("layer_norm")
    if norm is not None:
        zx = normalised(zx, norm["input_scale"], norm["epsilon"])
        zh = normalised(zh, norm["recurrent_scale"], norm["epsilon"])
    bias = [0.0] * (4 * n) if layer["bias"] is None else list(layer["bias"])
    z = add(zx, zh, bias)
    peephole = layer.get("peephole")
    peephole = [[0.0] * n] * 3 if peephole is None else peephole
    clip, gate = layer.get("clip"), layer["recurrent_activation"]
    shown = layer.get("output_activation") or layer["activation"]
    i = activate(gate, _held([a + p * old for a, p, old in zip(z[:n], peephole[0], c, strict=True)], clip))
    if layer.get("coupled"):
        f = [1 - v for v in i]
    else:
        f = activate(gate, _held([a + p * old for a, p, old in zip(z[n:2 * n], peephole[1], c, strict=True)], clip))
    candidate = activate(layer["activation"], _held(z[2 * n:3 * n], clip))
    c = [f[k] * c[k] + i[k] * candidate[k] for k in range(n)]
    o = activate(gate, _held([a + p * new for a, p, new in zip(z[3 * n:], peephole[2], c, strict=True)], clip))
    seen = c
    if norm is not None:
        seen = add(normalised(c, norm["cell_scale"], norm["epsilon"]), norm["cell_offset"])
    h = [a * b for a, b in zip(o, activate(shown, seen), strict=True)]
    if layer.get("projection") is not None:
        h = product(layer["projection"], h)
    return h, c


def gru_step(layer, x, state):
    (h,) = state
    n = len(h)
    W, R = layer["input_weights"], layer["recurrent_weights"]
    bias = [0.0] * (3 * n) if layer["bias"] is None else list(layer["bias"])
    inner = layer.get("recurrent_bias")
    inner = [0.0] * (3 * n) if inner is None else list(inner)
    zx = add(product(W, x), bias)
    zr = add(zx[:2 * n], product(R[:2 * n], h), inner[:2 * n])
    zr = activate(layer["recurrent_activation"], _held(zr, layer.get("clip")))
    z, r = zr[:n], zr[n:]
    if layer["reset_after"]:
        from_h = [a * b for a, b in zip(r, add(product(R[2 * n:], h), inner[2 * n:]), strict=True)]
    else:
        from_h = product(R[2 * n:], [a * b for a, b in zip(r, h, strict=True)])
    candidate = activate(layer["activation"], _held(add(zx[2 * n:], from_h), layer.get("clip")))
    return ([z[k] * h[k] + (1 - z[k]) * candidate[k] for k in range(n)],)


def rnn_step(layer, x, state):
    bias = [0.0] * len(state[0]) if layer["bias"] is None else list(layer["bias"])
    z = add(product(layer["input_weights"], x), product(layer["recurrent_weights"], state[0]), bias)
    return (activate(layer["activation"], _held(z, layer.get("clip"))),)


STEPS = {"LSTM": lstm_step, "GRU": gru_step, "SimpleRNN": rnn_step}


def widths(layer):
    p = len(layer["recurrent_weights"][0])
    return (p, len(layer["recurrent_weights"]) // 4) if layer["kind"] == "LSTM" else (p,)


def sequence(layer, rows, *, mask=None, lengths=None, states=None, reverse=False, zero_masked=False):
    """(outputs of every step in order of time, output of the last step taken in order of processing, end states).

    ``rows``: [batch][time][features]. Masks as in Keras on the CPU, lengths as in ONNX Runtime.
    """
    every, last, ends = [], [], []
    for number, row in enumerate(rows):
        state = tuple([0.0] * w for w in widths(layer)) if states is None else states[number]
        end = len(row) if lengths is None else lengths[number]
        before = [0.0] * widths(layer)[0]
        outputs = [[0.0] * widths(layer)[0] for _ in row]
        steps = range(end)
        for t in reversed(steps) if reverse else steps:
            if mask is None or mask[number][t]:
                state = STEPS[layer["kind"]](layer, row[t], state)
                before = outputs[t] = list(state[0])
            else:
                before = outputs[t] = [0.0] * len(before) if zero_masked else list(before)
        if lengths is not None and end == 0:
            state = tuple([0.0] * w for w in widths(layer))
        every.append(outputs)
        last.append(list(before))
        ends.append(state)
    return every, last, ends


def log_softmax(values):
    top = max(values)
    total = math.log(math.fsum(math.exp(v - top) for v in values))
    return [v - top - total for v in values]
