"""ONNX graphs give what ONNX Runtime gave; what is not supported is named."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from kiyas import recurrent
from kiyas.errors import FileError, InputError

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

GOLDEN = Path(__file__).parent / "golden" / "recurrent" / "onnx"
SHARED = Path(__file__).parents[2] / "shared" / "fixtures" / "lstm" / "onnx"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared, with models of the real frameworks, is not here")
NODES = ("lstm", "lstm_both_ways_lengths_states", "lstm_reverse_lengths", "lstm_peephole_coupled_clipped",
         "lstm_empty_row", "lstm_activations", "gru", "gru_after_both_ways", "rnn_relu")


def assert_close(found, wanted, tolerance=1e-6):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance


def run_node(path, io, y, states):
    """A graph of one node, and what it should give: Y (time, directions, batch, n), states (directions, batch, n)."""
    model = recurrent.load(path)
    begin = [io[key] for key in ("h0", "c0") if key in io]
    given = {"state": tuple(begin) if len(begin) > 1 else begin[0]} if begin else {}
    if "L" in io:
        given["lengths"] = io["L"]
    found, state = model.predict(io["X"].transpose(1, 0, 2), return_state=True, empty="zero", **given)
    found = found if isinstance(found, tuple) else (found,)
    # Batch first, both directions side by side.
    assert_close(found[0], y.transpose(2, 0, 1, 3).reshape(y.shape[2], y.shape[0], -1))
    (arrays,) = state.values()
    for k, wanted in enumerate(states):
        for way in range(wanted.shape[0]):
            assert_close(arrays[way * len(states) + k], wanted[way])
    if not begin:  # then the states are outputs, as in the graph
        for one, wanted in zip(found[1:], states, strict=True):
            assert_close(one, wanted.transpose(1, 0, 2).reshape(wanted.shape[1], -1))


@pytest.mark.parametrize("name", NODES)
def test_a_node_gives_what_onnx_runtime_gave(name):
    io = np.load(GOLDEN / f"{name}.npz")
    run_node(GOLDEN / f"{name}.onnx", io, io["out_Y"], [io[key] for key in ("out_Yh", "out_Yc") if key in io])


@shared
@pytest.mark.parametrize("name", sorted(p.stem for p in SHARED.glob("*.onnx")))
def test_a_shared_node_gives_what_onnx_runtime_gave(name):
    io = np.load(SHARED / f"{name}_io.npz")
    run_node(SHARED / f"{name}.onnx", io, io["Y"], [io["Yh"], io["Yc"]])


@pytest.mark.parametrize(("name", "inputs", "outputs"), [
    ("splitter", "input", ["y"]), ("encoder", "x", ["y"]), ("encoder_fixed", "x", ["y"]),
    ("tail", "x", ["p", "mean", "largest"]), ("keras_stack", "x", ["y"]), ("keras_both", "x", ["y"]),
    ("keras_text", "x", ["y"]), ("keras_convolution", "x", ["y"])])
def test_a_whole_graph_gives_what_onnx_runtime_or_keras_gave(name, inputs, outputs):
    io = np.load(GOLDEN / f"{name}.npz")
    found = recurrent.load(GOLDEN / f"{name}.onnx").predict(io[inputs])
    for one, key in zip(found if isinstance(found, tuple) else (found,), outputs, strict=True):
        assert_close(one, io[f"out_{key}"])


def test_a_graph_of_other_sizes_than_it_was_made_with():
    """Batch and time may be of any size, also where the exporter wrote down those of its example."""
    model = recurrent.load(GOLDEN / "encoder_fixed.onnx")
    x = np.random.default_rng(0).standard_normal((3, 4, 4))
    assert np.array_equal(model.predict(x)[1], model.predict(x[1:2])[0])


def test_frames_carry_their_states():
    io = np.load(GOLDEN / "frames.npz")
    model = recurrent.load(GOLDEN / "frames.onnx")
    assert model.source["kind"] == "frames" and model.whole is None
    y, state = model.predict(io["x"][:, None], state=(io["h"], io["c"]), return_state=True)
    assert_close(y[:, 0], io["out_y"])
    for k, key in enumerate(("out_hn", "out_cn")):
        assert_close(np.stack([arrays[k] for arrays in state.values()]), io[key])
    x = np.random.default_rng(1).standard_normal((2, 7, 8)).astype(np.float32)
    whole, stream, state = model.predict(x), model.stream(batch=2), None
    assert np.array_equal(np.concatenate([stream.feed(x[:, :3]), stream.feed(x[:, 3:])], axis=1), whole)
    for t in range(7):
        y, state = model.step(x[:, t], state)
        assert np.array_equal(y, whole[:, t])


def test_one_node_can_be_taken_out_of_a_graph_that_is_not_supported():
    with pytest.raises(FileError, match=r"has operations that are not supported: Einsum; one recurrent node can be"):
        recurrent.load(GOLDEN / "unsupported.onnx")
    model = recurrent.load(GOLDEN / "unsupported.onnx", prefix="inner")
    assert [layer.name for layer in model.layers] == ["inner"] and model.input_shapes == ((None, None, 4),)
    with pytest.raises(InputError, match="'prefix' must be the name of a recurrent node: inner, got 'outer'"):
        recurrent.load(GOLDEN / "unsupported.onnx", prefix="outer")


def made(path, nodes, inputs, outputs, constants, opset=17):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(*i) for i in inputs],
                              [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def lstm(n=3, m=4):
    rng = np.random.default_rng(0)
    return {"W": rng.standard_normal((1, 4 * n, m)).astype(np.float32),
            "R": rng.standard_normal((1, 4 * n, n)).astype(np.float32)}


SEQUENCE = ("X", TensorProto.FLOAT, [None, None, 4])


def test_layout_1_is_batch_first(tmp_path):
    one = made(tmp_path / "a.onnx", [helper.make_node("LSTM", ["X", "W", "R"], ["Y", "Yh"], hidden_size=3, layout=1)],
               [SEQUENCE], ["Y", "Yh"], lstm())
    other = made(tmp_path / "b.onnx", [helper.make_node("LSTM", ["X", "W", "R"], ["Y", "Yh"], hidden_size=3)],
                 [SEQUENCE], ["Y", "Yh"], lstm())
    x = np.random.default_rng(1).standard_normal((2, 5, 4))
    for a, b in zip(recurrent.load(one).predict(x), recurrent.load(other).predict(x), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("outputs", [["Yh"], ["Yc"], ["Yh", "Yc"], ["last"], ["last", "Yh"]])
def test_states_that_go_in_and_are_all_that_comes_out_are_the_outputs(tmp_path, kind, direction, outputs):
    """Held against ONNX Runtime; batch and time of the file open, or those of one sequence, time first."""
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    if kind != "LSTM" and "Yc" in outputs:
        return
    rng, ways, n, gates = np.random.default_rng(3), 2 if direction == "bidirectional" else 1, 3, {"LSTM": 4, "GRU": 3}
    weights = {"W": rng.standard_normal((ways, gates.get(kind, 1) * n, 4)).astype(np.float32),
               "R": rng.standard_normal((ways, gates.get(kind, 1) * n, n)).astype(np.float32), "at": np.array(ways - 1)}
    begin = ["h", "c"] if kind == "LSTM" else ["h"]
    used = {"Yh"} | set(outputs) - {"last"}
    shown = ["", *(s if s in used else "" for s in ("Yh", "Yc")[:len(begin)])]
    nodes = [helper.make_node(kind, ["X", "W", "R", "", "", *begin], shown, hidden_size=n, direction=direction)]
    if "last" in outputs:
        nodes.append(helper.make_node("Gather", ["Yh", "at"], ["last"], axis=0))
    for time, batch in ((None, None), (5, 1)):
        path = made(tmp_path / "a.onnx", nodes, [
            ("X", TensorProto.FLOAT, [time, batch, 4]), *((s, TensorProto.FLOAT, [ways, batch, n]) for s in begin)],
            outputs, weights)
        x = rng.standard_normal((time or 5, batch or 3, 4)).astype(np.float32)
        start = {s: rng.standard_normal((ways, x.shape[1], n)).astype(np.float32) for s in begin}
        wanted = runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"X": x} | start)
        state = tuple(start.values()) if len(start) > 1 else start["h"]
        found = recurrent.load(path).predict(x.transpose(1, 0, 2), state=state)
        for one, other in zip(found if isinstance(found, tuple) else (found,), wanted, strict=True):
            other = other if other.ndim == 2 else other.transpose(1, 0, 2).reshape(x.shape[1], -1)
            assert_close(one, other)


# What comes after the outputs Ys of an LSTM, (time, 1, n): nodes, and the axes of the result that are time and batch.
ONE_ROW = {
    "every step": ([], (1, 0)), "product": ([helper.make_node("MatMul", ["Ys", "D"], ["out"])], (1, 0)),
    "last step": ([helper.make_node("Gather", ["Ys", "end"], ["out"], axis=0)], (0,)),
    "last state": ([helper.make_node("Squeeze", ["Yh", "first"], ["out"])], (0,)),
    "mean": ([helper.make_node("ReduceMean", ["Ys"], ["out"], axes=[0], keepdims=0)], (0,)),
    "over time": ([helper.make_node("Softmax", ["Ys"], ["out"], axis=0)], (1, 0)),
    "from the state": ([helper.make_node("LSTM", ["Ys", "W2", "R", "", "", "Yh", "Yc"], ["Y2"], hidden_size=3),
                        helper.make_node("Squeeze", ["Y2", "second"], ["out"])], (1, 0)),
    "anew": ([helper.make_node("LSTM", ["Ys", "W2", "R"], ["Y2"], hidden_size=3),
              helper.make_node("Squeeze", ["Y2", "second"], ["out"])], (1, 0)),
    "back": ([helper.make_node("LSTM", ["Ys", "W2", "R"], ["Y2"], hidden_size=3, direction="reverse"),
              helper.make_node("Squeeze", ["Y2", "second"], ["out"])], (1, 0)),
}


def one_row(path, case, time, batch=1):
    """A graph of sequences with time first, whose batch is fixed, and whose states go in and out."""
    rng = np.random.default_rng(5)
    nodes = [helper.make_node("LSTM", ["X", "W", "R", "", "", "h", "c"], ["Y", "Yh", "Yc"], hidden_size=3),
             helper.make_node("Squeeze", ["Y", "second"], ["Ys"]), *ONE_ROW[case][0]]
    weights = lstm() | {"W2": rng.standard_normal((1, 12, 3)).astype(np.float32), "end": np.array(-1),
                        "D": rng.standard_normal((3, 2)).astype(np.float32), "first": np.array([0]),
                        "second": np.array([1])}
    return made(path, nodes, [("X", TensorProto.FLOAT, [time, batch, 4]),
                              *((s, TensorProto.FLOAT, [1, batch, 3]) for s in ("h", "c"))],
                ["out" if ONE_ROW[case][0] else "Ys", "Yh", "Yc"], weights, opset=13)


@pytest.mark.parametrize("case", ONE_ROW)
@pytest.mark.parametrize("time", [None, 5])
def test_sequences_of_one_row_with_time_first_and_states_are_sequences(tmp_path, case, time):
    """They could be taken for frames, as what ought to be the batch follows one another; held against ONNX Runtime."""
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    path = one_row(tmp_path / "a.onnx", case, time)
    rng = np.random.default_rng(6)
    x = rng.standard_normal((5, 1, 4)).astype(np.float32)
    # A state that is given would stand in for one that is computed.
    start = {s: rng.standard_normal((1, 1, 3)).astype(np.float32) * (case != "from the state") for s in ("h", "c")}
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    wanted, h, c = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(
        None, {"X": x} | start)
    model = recurrent.load(path)
    assert model.source["kind"] == "sequences" and model.input_shapes == ((None, None, 4),)
    state = {name: [start[s][0] if k == 0 else np.zeros((1, 3)) for s in ("h", "c")]
             for k, name in enumerate(model.state_widths)}
    found, after = model.predict(x.transpose(1, 0, 2), return_state=True,
                                 state=None if case == "from the state" else state)
    found = found[0] if isinstance(found, tuple) else found  # a graph of nothing but states gives them all
    axes = ONE_ROW[case][1]
    assert_close(found, wanted.transpose(*axes, *range(len(axes), wanted.ndim)))
    assert_close(after[next(iter(after))][0], h[0])
    assert_close(after[next(iter(after))][1], c[0])


@pytest.mark.parametrize(("case", "words"), [
    ("from the state", "LSTM that begins from what another leaves at a frame"),
    ("anew", "LSTM that begins anew at every frame"), ("back", "LSTM that begins anew at every frame")])
def test_frames_within_which_a_layer_begins_anew_are_refused(tmp_path, case, words):
    """The state of such a layer is not carried from frame to frame."""
    with pytest.raises(FileError, match=f"has operations that are not supported: {words}"):
        recurrent.load(one_row(tmp_path / "a.onnx", case, 1))


def test_of_a_graph_of_frames_the_cell_states_are_no_output(tmp_path):
    starts = [(name, TensorProto.FLOAT, [1, 1, 3]) for name in ("h", "c")]
    for output, outputs in (("Yh", ["", "Yh"]), ("Yc", ["", "", "Yc"])):
        node = helper.make_node("LSTM", ["X", "W", "R", "", "", "h", "c"], outputs, hidden_size=3)
        path = made(tmp_path / "a.onnx", [node], [("X", TensorProto.FLOAT, [1, 1, 4]), *starts], [output], lstm())
        if output == "Yh":
            model, x = recurrent.load(path), np.random.default_rng(1).standard_normal((2, 5, 1, 4))
            assert model.source["kind"] == "frames"
            assert np.array_equal(model.predict(x)[:, -1], model.predict(x, return_state=True)[1]["lstm"][0])
            continue
        with pytest.raises(FileError, match=r"its outputs \(Yc\) are states of single steps alone; give the file an"):
            recurrent.load(path)


def test_weights_are_folded_wherever_they_come_from(tmp_path):
    weights = lstm()
    whole = made(tmp_path / "a.onnx", [helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=3)], [SEQUENCE],
                 ["Y"], weights)
    pieces = {"Wt": weights["W"][0].T, "axes": np.array([0]), "R1": weights["R"][:, :6], "R2": weights["R"][:, 6:],
              "zero": np.zeros(1, np.float32)}
    folded = made(tmp_path / "b.onnx", [
        helper.make_node("Transpose", ["Wt"], ["W0"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["W0", "axes"], ["W1"]),
        helper.make_node("Add", ["W1", "zero"], ["W"]),
        helper.make_node("Concat", ["R1", "R2"], ["R"], axis=1),
        helper.make_node("Shape", ["X"], ["S"], start=1, end=2),
        helper.make_node("Concat", ["one", "S", "n"], ["S3"], axis=0),
        helper.make_node("ConstantOfShape", ["S3"], ["H"]),
        helper.make_node("LSTM", ["X", "W", "R", "", "", "H", "H"], ["Y"], hidden_size=3)], [SEQUENCE], ["Y"],
        {**pieces, "one": np.array([1]), "n": np.array([3])})
    x = np.random.default_rng(1).standard_normal((2, 5, 4))
    assert np.array_equal(recurrent.load(folded).predict(x), recurrent.load(whole).predict(x))


def test_external_data_beside_the_file_are_read_and_no_others(tmp_path):
    node = helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=3)
    path = made(tmp_path / "a.onnx", [node], [SEQUENCE], ["Y"], lstm())
    x = np.random.default_rng(1).standard_normal((2, 5, 4))
    y = recurrent.load(path).predict(x)
    model = onnx.load(path)
    (tmp_path / "in").mkdir()
    onnx.save(model, tmp_path / "in" / "b.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    assert np.array_equal(recurrent.load(tmp_path / "in" / "b.onnx").predict(x), y)
    altered = onnx.load(tmp_path / "in" / "b.onnx", load_external_data=False)
    altered.graph.initializer[0].external_data[0].value = "../a.onnx"
    onnx.save(altered, tmp_path / "in" / "c.onnx")
    with pytest.raises(FileError, match=r"tensor 'W' lies in another file, '../a.onnx', which is not a plain file"):
        recurrent.load(tmp_path / "in" / "c.onnx")


def test_the_name_of_an_altered_tensor_is_clipped_and_printable(tmp_path):
    node = helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=3)
    model = onnx.load(made(tmp_path / "a.onnx", [node], [SEQUENCE], ["Y"], lstm()))
    model.graph.initializer[0].name = "\x00\x1b\n" * 600
    model.graph.initializer[0].raw_data = b"\x00" * 5
    onnx.save(model, tmp_path / "b.onnx")
    with pytest.raises(FileError, match=r"is altered at the tensor '\\x00\\x1b\\n") as caught:
        recurrent.load(tmp_path / "b.onnx")
    assert str(caught.value).isprintable() and len(str(caught.value)) < len(str(tmp_path)) + 500


@pytest.mark.parametrize(("nodes", "words"), [
    ([helper.make_node("LSTM", ["X", "X", "R"], ["Y"], hidden_size=3)], "LSTM with weights that are not constant"),
    ([helper.make_node("LSTM", ["X", "R", "R"], ["Y"], hidden_size=3)],
     r"LSTM 'lstm': 'input' must be of shape \(any, any, 3\), got shape \(any, any, 4\)"),
    ([helper.make_node("LSTM", ["X", "W", "W"], ["Y"], hidden_size=3, name="n")],
     r"the R of LSTM 'n' must be floats of shape \(1, 12, 3\), it is float32 of shape \(1, 12, 4\)"),
    ([helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=4, name="n")],
     "LSTM 'n' has a hidden_size of 4, but its R is for 3"),
    ([helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=3, name="n", activations=["Sin", "Tanh", "Tanh"])],
     "LSTM 'n' has the activation 'Sin', which is not known"),
    ([helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=3, name="n", direction="up")], "the direction 'up'"),
    ([helper.make_node("LSTM", ["X", "W", "nothing"], ["Y"], hidden_size=3)], "needs 'nothing', which is not there"),
    ([helper.make_node("DynamicQuantizeLSTM", ["X", "W", "R"], ["Y"], domain="com.microsoft")],
     "not supported: com.microsoft.DynamicQuantizeLSTM"),
    ([helper.make_node("MatMul", ["X", "X"], ["Y"])], "not supported: MatMul of two signals"),
    ([helper.make_node("Identity", ["W"], ["Y"])], "output 'Y' does not depend on its inputs"),
])
def test_what_is_not_supported_is_named(tmp_path, nodes, words):
    path = made(tmp_path / "a.onnx", nodes, [SEQUENCE], ["Y"], lstm())
    with pytest.raises(FileError, match=words):
        recurrent.load(path)


def test_an_if_takes_the_branch_of_a_number_that_is_given(tmp_path):
    def branch(name, op):
        return helper.make_graph([helper.make_node(op, ["X"], [name])], name, [],
                                 [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])
    path = made(tmp_path / "a.onnx", [
        helper.make_node("Equal", ["sr", "sixteen"], ["wide"]),
        helper.make_node("If", ["wide"], ["V"], then_branch=branch("a", "Tanh"), else_branch=branch("b", "Sigmoid")),
        helper.make_node("LSTM", ["V", "W", "R"], ["Y"], hidden_size=3)],
        [SEQUENCE, ("sr", TensorProto.INT64, [])], ["Y"], lstm() | {"sixteen": np.array(16000)})
    with pytest.raises(FileError, match=r"the input .sr. of rank 0 \(give numbers for it with inputs=\)"):
        recurrent.load(path)
    kinds = [recurrent.load(path, inputs={"sr": rate}).layers[0].activation.name for rate in (16000, 8000)]
    assert kinds == ["tanh", "sigmoid"]
    with pytest.raises(InputError, match=r"'inputs' must be for inputs of a.onnx, which are X, sr, got 'rate'"):
        recurrent.load(path, inputs={"rate": 1})


@pytest.mark.torch
def test_the_maker_and_the_files_agree():
    # By its path: a folder of golden files is called torch, and must not be taken for the library.
    spec = importlib.util.spec_from_file_location("make_onnx", GOLDEN.parent / "make_onnx.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert tuple(maker.NODES) == NODES
