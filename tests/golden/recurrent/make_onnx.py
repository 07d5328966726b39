"""Makes onnx/: small graphs and what ONNX Runtime gives for them.

Run with onnx, onnxruntime 1.32 and PyTorch 2.13 (its exporter makes the larger graphs): python make_onnx.py
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

HERE = Path(__file__).parent / "onnx"
T, B, M, N = 5, 3, 4, 3
RNG = np.random.default_rng(0)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
# name: (kind, what is given, attributes)
NODES = {
    "lstm": ("LSTM", "", {}),
    "lstm_both_ways_lengths_states": ("LSTM", "lengths states", {"direction": "bidirectional"}),
    "lstm_reverse_lengths": ("LSTM", "lengths", {"direction": "reverse"}),
    "lstm_peephole_coupled_clipped": ("LSTM", "peephole states", {"input_forget": 1, "clip": 0.7}),
    "lstm_empty_row": ("LSTM", "empty states", {}),
    "lstm_activations": ("LSTM", "", {"activations": ["HardSigmoid", "LeakyRelu", "Affine"],
                                      "activation_alpha": [0.3, 0.05, 0.9], "activation_beta": [0.4, 0.1]}),
    "gru": ("GRU", "states", {}),
    "gru_after_both_ways": ("GRU", "lengths", {"direction": "bidirectional", "linear_before_reset": 1}),
    "rnn_relu": ("RNN", "", {"activations": ["Relu"]}),
}


def r(*shape):
    """Random weights."""
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


def node(name, kind, given, attributes):
    """A graph of one recurrent node, its feeds and its results."""
    ways, rows = 2 if attributes.get("direction") == "bidirectional" else 1, GATES[kind] * N
    constants = {"W": r(ways, rows, M), "R": r(ways, rows, N), "B": r(ways, 2 * rows)}
    feeds = {"X": r(T, B, M)}
    if "lengths" in given or "empty" in given:
        feeds["L"] = np.array([5, 0 if "empty" in given else 3, 1], np.int32)
    if "states" in given:
        feeds["h0"] = r(ways, B, N)
        if kind == "LSTM":
            feeds["c0"] = r(ways, B, N)
    if "peephole" in given:
        constants["P"] = r(ways, 3 * N)
    order = ["X", "W", "R", "B", "L", "h0", "c0", "P"]
    inputs = [key if key in feeds or key in constants else "" for key in order]
    while not inputs[-1]:
        inputs.pop()
    outputs = ["Y", "Yh", "Yc"][:3 if kind == "LSTM" else 2]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, name="the_node", hidden_size=N, **attributes)], "g",
        [helper.make_tensor_value_info(k, TensorProto.INT32 if k == "L" else TensorProto.FLOAT, None) for k in feeds],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in outputs],
        [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    store(name, model.SerializeToString(), feeds, outputs)


def store(name, data, feeds, outputs=None):
    """The file, and beside it what ONNX Runtime gives."""
    (HERE / f"{name}.onnx").write_bytes(data)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = outputs or [o.name for o in session.get_outputs()]
    np.savez(HERE / f"{name}.npz", **feeds, **{f"out_{k}": v for k, v in zip(names, session.run(names, feeds),
                                                                              strict=True)})


class Splitter(nn.Module):
    """As nnsplit: bytes, a convolution, LSTMs both ways, a dense layer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.conv = nn.Embedding(20, 4), nn.Conv1d(4, 5, 5, padding=2)
        self.first, self.second = nn.LSTM(5, 3, bidirectional=True), nn.LSTM(6, 3, bidirectional=True)
        self.out = nn.Linear(6, 2)

    def forward(self, ids):
        x = self.conv(self.embedding(ids.long()).transpose(1, 2)).relu().permute(2, 0, 1)
        return self.out(self.second(self.first(x)[0])[0].permute(1, 0, 2)).sigmoid()


class Encoder(nn.Module):
    """A stack of GRUs over batches first; the last hidden states of both ways, normalised."""

    def __init__(self):
        super().__init__()
        self.rnn, self.norm = nn.GRU(M, N, 2, batch_first=True, bidirectional=True), nn.LayerNorm(2 * N)

    def forward(self, x):
        _, h = self.rnn(x)
        return self.norm(torch.cat([h[-2], h[-1]], dim=1))


class Tail(nn.Module):
    """The last step, batch normalisation, activations of several kinds, a residual, a mean over time."""

    def __init__(self):
        super().__init__()
        self.rnn, self.norm, self.out = nn.LSTM(M, M, batch_first=True), nn.BatchNorm1d(M), nn.Linear(M, 3)

    def forward(self, x):
        y = self.rnn(x)[0] + x * 0.5
        last = nn.functional.leaky_relu(self.norm(y[:, -1]), 0.1)
        return self.out(last).softmax(-1), nn.functional.elu(y).mean(dim=1), y.max(dim=1).values


class Frames(nn.Module):
    """One frame at a time: two layers, states in and out."""

    def __init__(self):
        super().__init__()
        self.conv, self.rnn, self.out = nn.Conv1d(1, 2, 3, stride=2, padding=1), nn.LSTM(8, N, 2), nn.Linear(N, 1)

    def forward(self, x, h, c):
        y = self.conv(x.unsqueeze(1)).relu().flatten(1)
        y, (h, c) = self.rnn(y.unsqueeze(0), (h, c))
        return self.out(y.squeeze(0)).tanh(), h, c


def export(name, module, feeds, dynamic, outputs):
    """A graph as PyTorch exports it."""
    path = HERE / f"{name}.onnx"
    module.eval()
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm1d):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)
        torch.onnx.export(module, tuple(torch.from_numpy(v) for v in feeds.values()), str(path), dynamo=False,
                          input_names=list(feeds), output_names=outputs, dynamic_axes=dynamic, opset_version=16)
    store(name, path.read_bytes(), feeds, outputs)


def main():
    """Write everything."""
    HERE.mkdir(exist_ok=True)
    torch.manual_seed(0)
    for name, (kind, given, attributes) in NODES.items():
        node(name, kind, given, attributes)
    axes = {0: "batch", 1: "time"}
    ids = RNG.integers(0, 20, (2, 9)).astype(np.uint8)
    export("splitter", Splitter(), {"input": ids}, {"input": axes, "y": axes}, ["y"])
    export("encoder", Encoder(), {"x": r(2, 6, M)}, {"x": axes, "y": {0: "batch"}}, ["y"])
    export("encoder_fixed", Encoder(), {"x": r(1, 6, M)}, None, ["y"])
    export("tail", Tail(), {"x": r(2, 6, M)}, {"x": axes}, ["p", "mean", "largest"])
    frames = {"x": r(1, 8), "h": r(2, 1, N), "c": r(2, 1, N)}
    export("frames", Frames(), frames, None, ["y", "hn", "cn"])
    unsupported = helper.make_graph(
        [helper.make_node("Einsum", ["X"], ["E"], equation="abc->bac"), helper.make_node("Erf", ["E"], ["F"]),
         helper.make_node("LSTM", ["F", "W", "R"], ["Y"], name="inner", hidden_size=N)], "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, None, M])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(r(1, 4 * N, M), "W"), numpy_helper.from_array(r(1, 4 * N, N), "R")])
    onnx.save(helper.make_model(unsupported, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              HERE / "unsupported.onnx")


if __name__ == "__main__":
    main()
