"""One LSTM layer in other engines, made of the same canonical weights (gates i f c o). An engine is a name and a call.

`sequence` engines answer (batch, time, n) or (time, batch, n); `step` engines answer h (batch, n) and carry their state
as a user of that library would: passed back in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kiyas.recurrent import Model, Tokenizer, pad_sequences


@dataclass
class Layer:
    """Weights of an LSTM of n units with m inputs, as most frameworks draw them: uniform in ±1/√n."""

    n: int
    m: int

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.n, self.m])
        size = self.n**-0.5
        self.W, self.R = (rng.uniform(-size, size, (4 * self.n, k)).astype(np.float32) for k in (self.m, self.n))
        self.b = rng.uniform(-size, size, 4 * self.n).astype(np.float32)

    def gates(self, order: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """W, R, b with their gates in another order, such as "iofc"."""
        at = ["ifco".index(g) for g in order]
        return tuple(np.concatenate([a[g * self.n:(g + 1) * self.n] for g in at])  # type: ignore[return-value]
                     for a in (self.W, self.R, self.b))


@dataclass
class Engine:
    """A peer at one setting."""

    name: str
    call: Callable[[], np.ndarray]


def onnx_session(layer: Layer, threads: int):
    """An ONNX Runtime session of one LSTM node, or None."""
    try:
        import onnx
        import onnxruntime
    except ImportError:
        return None
    make, floats = onnx.helper, onnx.TensorProto.FLOAT
    W, R, b = layer.gates("iofc")
    constants = {"w": W[None], "r": R[None], "b": np.concatenate([b, np.zeros_like(b)])[None]}
    node = make.make_node("LSTM", ["x", "w", "r", "b", "", "h", "c"], ["y", "yh", "yc"], hidden_size=layer.n)
    inputs = [make.make_tensor_value_info("x", floats, ["t", "b", layer.m])]
    inputs += [make.make_tensor_value_info(s, floats, [1, "b", layer.n]) for s in ("h", "c")]
    graph = make.make_graph([node], "lstm", inputs, [make.make_tensor_value_info(s, floats, None)
                                                     for s in ("y", "yh", "yc")],
                            [onnx.numpy_helper.from_array(a, k) for k, a in constants.items()])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def of_steps(layer: Layer, x: np.ndarray) -> tuple[list[Engine], list[str]]:
    """Single steps over x (batch, m), the state carried; and what is not installed."""
    batch, engines, missing = x.shape[0], [], []
    session = onnx_session(layer, 1)
    if session is None:
        missing.append("onnxruntime")
    else:
        state = {"h": np.zeros((1, batch, layer.n), np.float32), "c": np.zeros((1, batch, layer.n), np.float32)}

        def by_onnx() -> np.ndarray:
            y, state["h"], state["c"] = session.run(None, {"x": x[None], "h": state["h"], "c": state["c"]})
            return y[0, 0]

        engines.append(Engine("ONNX Runtime", by_onnx))
    try:
        import torch
    except ImportError:
        missing.append("torch")
    else:
        engines += _torch_steps(torch, layer, x)
    engines.append(Engine("NumPy, gate by gate", _numpy_step(layer, x)))
    return engines, missing


def _torch_steps(torch, layer: Layer, x: np.ndarray) -> list[Engine]:
    torch.set_num_threads(1)
    cell, lstm = torch.nn.LSTMCell(layer.m, layer.n), torch.nn.LSTM(layer.m, layer.n)
    _fill(torch, cell, layer, "")
    _fill(torch, lstm, layer, "_l0")
    now = torch.from_numpy(x.copy())
    held = {"cell": tuple(torch.zeros(x.shape[0], layer.n) for _ in range(2)),
            "lstm": tuple(torch.zeros(1, x.shape[0], layer.n) for _ in range(2))}

    def by_cell() -> np.ndarray:
        with torch.inference_mode():
            held["cell"] = cell(now, held["cell"])
        return held["cell"][0].numpy()

    def by_lstm() -> np.ndarray:
        with torch.inference_mode():
            y, held["lstm"] = lstm(now[None], held["lstm"])
        return y[0].numpy()

    return [Engine("torch LSTMCell", by_cell), Engine("torch nn.LSTM", by_lstm)]


def _fill(torch, module, layer: Layer, suffix: str) -> None:
    with torch.no_grad():
        for name, value in (("weight_ih", layer.W), ("weight_hh", layer.R), ("bias_ih", layer.b)):
            getattr(module, name + suffix).copy_(torch.from_numpy(value))  # i f g o is our order
        getattr(module, "bias_hh" + suffix).zero_()


def _numpy_step(layer: Layer, x: np.ndarray) -> Callable[[], np.ndarray]:
    n = layer.n
    held = [np.zeros((x.shape[0], n), np.float32) for _ in range(2)]
    parts = [(layer.W[g * n:(g + 1) * n].T.copy(), layer.R[g * n:(g + 1) * n].T.copy(), layer.b[g * n:(g + 1) * n])
             for g in range(4)]

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    def step() -> np.ndarray:
        h, c = held
        i, f, g, o = (x @ W + h @ R + b for W, R, b in parts)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        held[:] = sigmoid(o) * np.tanh(c), c
        return held[0]

    return step


def of_sequences(layer: Layer, x: np.ndarray, threads: int) -> tuple[list[Engine], list[str]]:
    """Whole sequences x (batch, time, m) from a state of zeros, each peer at its threads; and what is not installed."""
    engines, missing = [], []
    turned = np.ascontiguousarray(x.transpose(1, 0, 2))
    zero = np.zeros((1, x.shape[0], layer.n), np.float32)
    session = onnx_session(layer, threads)
    if session is None:
        missing.append("onnxruntime")
    else:
        feed = {"x": turned, "h": zero, "c": zero}
        engines.append(Engine("ONNX Runtime", lambda: session.run(None, feed)[0][:, 0]))
    try:
        import torch
    except ImportError:
        missing.append("torch")
    else:
        lstm, cell = torch.nn.LSTM(layer.m, layer.n), torch.nn.LSTMCell(layer.m, layer.n)
        _fill(torch, lstm, layer, "_l0")
        _fill(torch, cell, layer, "")
        given = torch.from_numpy(turned)

        def by_lstm() -> np.ndarray:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                return lstm(given)[0].numpy()

        def by_cell() -> np.ndarray:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                state, out = None, []
                for t in given:
                    state = cell(t, state)
                    out.append(state[0])
                return torch.stack(out).numpy()

        engines += [Engine("torch nn.LSTM", by_lstm), Engine("torch LSTMCell", by_cell)]
    keras = _keras(layer, x)
    if keras is None:
        missing.append("keras")
    else:
        engines.append(keras)
    return engines, missing


def _keras(layer: Layer, x: np.ndarray) -> Engine | None:
    try:
        import keras
    except ImportError:
        return None
    model = keras.Sequential([keras.layers.Input(x.shape[1:]), keras.layers.LSTM(layer.n, return_sequences=True)])
    model.set_weights([layer.W.T, layer.R.T, layer.b])
    return Engine("Keras predict", lambda: model.predict(x, verbose=0).transpose(1, 0, 2))


def keras_loop(model: Model, tokenizer: Tokenizer, seed: str, words: int, window: int) -> Callable[[], object] | None:
    """The usual loop of the tutorials around `predict`, on the same weights; None where Keras is not installed."""
    try:
        import keras
    except ImportError:
        return None
    embedding, first, second, dense = model.layers
    twin = keras.Sequential([
        keras.layers.Embedding(*embedding.table.shape), keras.layers.LSTM(first.units, return_sequences=True),
        keras.layers.LSTM(second.units), keras.layers.Dense(dense.weights.shape[0], "softmax", use_bias=False)])
    twin.build((None, window))
    twin.set_weights([embedding.table, first.input_weights.T, first.recurrent_weights.T, first.bias,
                      second.input_weights.T, second.recurrent_weights.T, second.bias, dense.weights.T])

    def loop() -> str:
        text = seed
        for _ in range(words):
            ids = pad_sequences(tokenizer.texts_to_sequences([text]), maxlen=window, padding="pre")
            text += " " + tokenizer.index_word.get(int(twin.predict(ids, verbose=0)[0].argmax()), "")
        return text

    return loop
