"""The same numbers as ONNX Runtime and PyTorch, for random weights: options, lengths, initial states, both ways."""

import numpy as np
import pytest

from kiyas.recurrent import Model, activations
from kiyas.recurrent.layers import GRU, LSTM, Bidirectional, SimpleRNN

T, B, M, N = 6, 4, 3, 5
ONNX_ORDER = {"LSTM": "iofc", "GRU": "zrh", "RNN": "h"}
OUR_ORDER = {"LSTM": "ifco", "GRU": "zrh", "RNN": "h"}


def to_ours(kind, array):
    """Rows of the gates from ONNX's order to ours."""
    order = ONNX_ORDER[kind]
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[order.index(g)] for g in OUR_ORDER[kind]])


def ours(kind, w, r, b, p=None, after=False, **options):
    b = np.split(b, 2)
    if kind == "GRU" and after:
        return GRU("gru", w, r, b[0], recurrent_bias=b[1], reset_after=True, **options)
    given = (to_ours(kind, w), to_ours(kind, r), to_ours(kind, b[0] + b[1]))
    if kind == "LSTM" and p is not None:
        i, o, f = np.split(p, 3)
        options["peephole"] = np.stack([i, f, o])
    return {"LSTM": LSTM, "GRU": GRU, "RNN": SimpleRNN}[kind](kind.lower(), *given, **options)


def run_onnx(kind, rng, *, ways=1, lengths=None, initial=False, peephole=False, **attributes):
    """(x, weights of each way, initial states, their outputs) of one node by ONNX Runtime."""
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    g = len(ONNX_ORDER[kind])
    shapes = {"W": (ways, g * N, M), "R": (ways, g * N, N), "B": (ways, 2 * g * N), "P": (ways, 3 * N)}
    if not peephole:
        del shapes["P"]
    constants = {k: rng.normal(size=s).astype(np.float32) / 2 for k, s in shapes.items()}
    feeds = {"X": rng.normal(size=(T, B, M)).astype(np.float32)}
    if lengths is not None:
        feeds["L"] = np.array(lengths, np.int32)
    states = ("h0", "c0") if kind == "LSTM" else ("h0",)
    if initial:
        feeds |= {k: rng.normal(size=(ways, B, N)).astype(np.float32) for k in states}
    names = ["X", "W", "R", "B", "L" if lengths is not None else "", *(k if initial else "" for k in states)]
    names += ["P"] if peephole else []
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Yh", "Yc"][: 1 + len(states)]
    if ways == 2:
        attributes["direction"] = "bidirectional"
    node = helper.make_node(kind, names, outputs, hidden_size=N, **attributes)
    info = lambda k, t=TensorProto.FLOAT: helper.make_tensor_value_info(k, t, None)  # noqa: E731
    graph = helper.make_graph([node], "g", [info(k, TensorProto.INT32 if k == "L" else TensorProto.FLOAT)
                                            for k in feeds], [info(k) for k in outputs],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    found = ort.InferenceSession(onnx.ModelProto.SerializeToString(model), providers=["CPUExecutionProvider"]).run(
        None, feeds)
    weights = [{k.lower(): v[way] for k, v in constants.items()} for way in range(ways)]
    return feeds["X"].swapaxes(0, 1), weights, [feeds[k] for k in states if initial], found


def compare(kind, rng, options=None, acts=None, **how):
    x, weights, initial, (y, *ends) = run_onnx(kind, rng, **how)
    options = options or {}
    made = [ours(kind, **w, return_sequences=True, **options) for w in weights]
    layer = made[0] if len(made) == 1 else Bidirectional("both", *made, return_sequences=True)
    lengths = how.get("lengths")
    found, state = Model.sequential([layer]).predict(x, lengths=lengths, state=tuple(initial) if initial else None,
                                                     return_state=True, empty="zero")
    wanted = y.transpose(2, 0, 1, 3).reshape(B, T, -1)
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    arrays = state[layer.name]
    count = len(ends)
    for k, end in enumerate(ends):
        for way in range(len(made)):
            np.testing.assert_allclose(arrays[way * count + k], end[way], atol=2e-6)


KINDS = pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])


@KINDS
@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("lengths", [None, [6, 3, 1, 6], [2, 0, 6, 5]], ids=str)
def test_sequences(kind, ways, initial, lengths):
    compare(kind, np.random.default_rng(0), ways=ways, initial=initial, lengths=lengths)


@pytest.mark.parametrize(("options", "attributes"), [
    ({}, {"peephole": True}),
    ({"clip": 0.4}, {"clip": 0.4}),
    ({"clip": 0.4}, {"clip": 0.4, "peephole": True}),
    ({"coupled": True}, {"input_forget": 1}),
    ({"recurrent_activation": "hard_sigmoid_fifth"}, {"activations": ["HardSigmoid", "Tanh", "Tanh"]}),
    ({"recurrent_activation": activations.find("hard_sigmoid", alpha=0.3, beta=0.4)},
     {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ({"activation": "relu", "output_activation": "tanh"}, {"activations": ["Sigmoid", "Relu", "Tanh"]}),
    ({"activation": "softsign", "output_activation": "linear"}, {"activations": ["Sigmoid", "Softsign", "Affine"],
                                                                "activation_alpha": [1.0], "activation_beta": [0.0]}),
], ids=str)
def test_options_of_lstms(options, attributes):
    compare("LSTM", np.random.default_rng(1), options, initial=True, **attributes)


@pytest.mark.parametrize("after", [0, 1])
def test_options_of_grus(after):
    compare("GRU", np.random.default_rng(2), {"after": bool(after)}, initial=True, linear_before_reset=after)


def test_options_of_rnns():
    compare("RNN", np.random.default_rng(3), {"activation": "relu"}, initial=True, activations=["Relu"])


# -- PyTorch -----------------------------------------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"proj_size": 2}, {"bias": False},
                                     {"bidirectional": True, "proj_size": 3}], ids=str)
@pytest.mark.parametrize("lengths", [None, [6, 4, 1, 2]], ids=["whole", "packed"])
def test_torch_lstms(options, lengths):
    torch = pytest.importorskip("torch")
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.manual_seed(0)
    theirs = torch.nn.LSTM(M, N, num_layers=2, batch_first=True, **options)
    x = torch.randn(B, T, M)
    ways, width = 1 + options.get("bidirectional", False), options.get("proj_size", N)
    h0, c0 = torch.randn(2 * ways, B, width), torch.randn(2 * ways, B, N)
    with torch.no_grad():
        if lengths is None:
            y, (h, c) = theirs(x, (h0, c0))
        else:
            packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
            y, (h, c) = theirs(packed, (h0, c0))
            y, _ = pad_packed_sequence(y, batch_first=True, total_length=T)
    get = {k: v.detach().numpy() for k, v in theirs.named_parameters()}
    layers = []
    for k in range(2):
        made = []
        for end in ("", "_reverse")[:ways]:
            bias = get[f"bias_ih_l{k}{end}"] + get[f"bias_hh_l{k}{end}"] if options.get("bias", True) else None
            made.append(LSTM(f"l{k}{end}", get[f"weight_ih_l{k}{end}"], get[f"weight_hh_l{k}{end}"], bias,
                             projection=get.get(f"weight_hr_l{k}{end}"), return_sequences=True))
        layers.append(made[0] if ways == 1 else Bidirectional(f"l{k}", *made, return_sequences=True))
    model = Model.sequential(layers)
    arrays = {f"l{k}": [a[2 * k + way if ways == 2 else k].numpy() for way in range(ways) for a in (h0, c0)]
              for k in range(2)}
    found, state = model.predict(x, lengths=lengths, state=arrays, return_state=True)
    np.testing.assert_allclose(found, y.numpy(), atol=2e-6)
    for k in range(2):
        for way in range(ways):
            for which, end in enumerate((h, c)):
                np.testing.assert_allclose(state[f"l{k}"][2 * way + which], end[ways * k + way].numpy(), atol=2e-6)
    assert np.array_equal(model.predict(x, lengths=lengths, state=(h0, c0)), found)
