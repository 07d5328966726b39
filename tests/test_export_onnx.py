"""Exported to ONNX and run by ONNX Runtime, a model gives what it gives here; what ONNX has no form for is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from kiyas.errors import FileError, InputError
from kiyas.recurrent import LayerNorm, Model, Node, layers, load
from kiyas.recurrent.activations import find
from kiyas.recurrent.export import export_onnx
from kiyas.recurrent.layers import Dense, Input

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

N, M, BATCH, TIME = 4, 3, 3, 6


def rng():
    return np.random.default_rng(7)


def weights(gates, n=N, m=M, p=None, seed=0):
    r = np.random.default_rng(seed)
    return {"input_weights": r.normal(0, 0.6, (gates * n, m)),
            "recurrent_weights": r.normal(0, 0.6, (gates * n, p or n)), "bias": r.normal(0, 0.6, gates * n)}


def lstm(name="lstm", seed=0, m=M, **options):
    return layers.LSTM(name, **weights(4, m=m, seed=seed), **options)


def gru(name="gru", seed=0, m=M, **options):
    return layers.GRU(name, **weights(3, m=m, seed=seed), **options)


def rnn(name="rnn", seed=0, m=M, **options):
    return layers.SimpleRNN(name, **weights(1, m=m, seed=seed), **options)


def both(name="both", inner=lstm, m=M, **options):
    every = {"return_sequences": options.get("return_sequences", False)}
    return layers.Bidirectional(name, inner("f", 1, m=m, **every), inner("b", 2, m=m, **every), **options)


def embedding(**options):
    return layers.Embedding("embedding", rng().normal(0, 1, (9, M)), **options)


def run(path, inputs, outputs=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    assert set(names) == set(inputs)
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs), strict=True))


def check(tmp_path, model, x, **options):
    """Both give the same outputs, in order."""
    export_onnx(model, tmp_path / "model.onnx", **options)
    given = x if isinstance(x, list) else [x]
    found = list(run(tmp_path / "model.onnx", dict(zip(model.input_names, given, strict=True))).values())
    wanted = model.predict(x)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-5)
    assert max(np.abs(w).max() for w in wanted) > 1e-3


def sequences():
    return rng().normal(0, 1, (BATCH, TIME, M)).astype(np.float32)


def ids(masked=False):
    found = rng().integers(1, 9, (BATCH, TIME))
    if masked:
        found[0, 4:] = found[2, 1:] = 0
    return found


RECURRENT = {
    "lstm": lstm(), "lstm sequences": lstm(return_sequences=True), "gru": gru(), "rnn": rnn(),
    "lstm without bias": layers.LSTM("lstm", *list(weights(4).values())[:2], return_sequences=True),
    "lstm peephole": lstm(peephole=rng().normal(0, 1, (3, N)), return_sequences=True),
    "lstm coupled": lstm(coupled=True), "lstm clip": lstm(clip=0.4, return_sequences=True),
    "lstm Keras 2": lstm(recurrent_activation="hard_sigmoid_fifth"),
    "lstm Keras 3": lstm(recurrent_activation="hard_sigmoid", return_sequences=True),
    "lstm f g h": lstm(recurrent_activation=find("hard_sigmoid", alpha=0.3, beta=0.4), activation="softsign",
                       output_activation="linear"),
    "lstm backwards": lstm(go_backwards=True), "lstm backwards sequences": lstm(go_backwards=True,
                                                                                return_sequences=True),
    "lstm state": lstm(return_state=True, return_sequences=True),
    "gru reset after": gru(reset_after=True, recurrent_bias=rng().normal(0, 1, 3 * N), return_sequences=True),
    "gru relu": gru(activation="relu", return_sequences=True), "rnn relu": rnn(activation="relu"),
    "both": both(), "both sequences": both(return_sequences=True), "both sum": both(merge="sum"),
    "both mul": both(merge="mul", return_sequences=True), "both ave": both(merge="ave", inner=gru),
    "backward": layers.Backward("from_the_end", lstm(return_sequences=True, return_state=True)),
    "backward last": layers.Backward("from_the_end", rnn()),
    "both apart": both(merge=None, return_sequences=True), "both state": both(return_state=True, inner=rnn),
}


def outputs(layer):
    shapes = layer.shapes(((None, None, M),))
    return Model([Node(Input("x", (None, M))), Node(layer, ((0, 0),))], [0], [(1, k) for k in range(len(shapes))])


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name, tmp_path):
    check(tmp_path, outputs(RECURRENT[name]), sequences())


@pytest.mark.parametrize("tail", [
    [lstm()], [gru(return_sequences=True)], [both(return_sequences=True)], [both(merge="sum")],
    [lstm(return_sequences=True), gru("gru", m=N)], [lstm(return_sequences=True, zero_output_for_mask=True)],
    [lstm(return_sequences=True), layers.GlobalAverage("mean")], [lstm(return_sequences=True), layers.GlobalMax("max")],
    [lstm(return_sequences=True), layers.WeightedAttention("attention", rng().normal(0, 1, N))],
    [layers.Dropout("dropout"), lstm(return_sequences=True), Dense("head", rng().normal(0, 1, (2, N)))],
], ids=lambda tail: "+".join(type(layer).__name__ for layer in tail))
def test_padding_behind(tail, tmp_path):
    check(tmp_path, Model.sequential([embedding(mask_zero=True), *tail]), ids(masked=True), padding="post")
    check(tmp_path, Model.sequential([embedding(mask_zero=True), *tail]), ids(), padding="none")


# What is zero at masked steps ends in zero where a row's last step is masked.
ZERO = {"lstm": lstm(zero_output_for_mask=True), "gru": gru(zero_output_for_mask=True, reset_after=True),
        "rnn backwards": rnn(zero_output_for_mask=True, go_backwards=True), "both": both(zero_masked=True),
        "backward": layers.Backward("end", lstm(zero_output_for_mask=True)),
        "state": lstm(zero_output_for_mask=True, return_state=True)}


def masked_outputs(layer):
    shapes = layer.shapes(((None, None, M),))
    nodes = [Node(Input("x", (None,))), Node(embedding(mask_zero=True), ((0, 0),)), Node(layer, ((1, 0),))]
    return Model(nodes, [0], [(2, k) for k in range(len(shapes))])


@pytest.mark.parametrize("name", ZERO)
def test_zeros_at_masked_steps(name, tmp_path):
    check(tmp_path, masked_outputs(ZERO[name]), ids(masked=True), padding="post")


MERGED = [(kind, masks, other, tail) for kind in ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
          for masks in ("all", "any", "none") for other in (False, True)
          for tail in (layers.GlobalAverage("mean"), layers.GlobalMax("max"), "lstm")]


def merged(kind, masks, other, tail):
    """Two inputs, the second masked or not, its rows of other lengths."""
    r = rng()
    wide = 2 * M if kind == "Concatenate" else M
    tables = [layers.Embedding(f"table_{k}", r.normal(0, 1, (9, M)), mask_zero=k == 0 or other) for k in (0, 1)]
    nodes = [Node(Input("a", (None,))), Node(Input("b", (None,))), Node(tables[0], ((0, 0),)),
             Node(tables[1], ((1, 0),)), Node(getattr(layers, kind)("merged", masks=masks), ((2, 0), (3, 0))),
             Node(lstm(m=wide) if tail == "lstm" else tail, ((4, 0),))]
    second = r.integers(1, 9, (BATCH, TIME))
    second[0, 2:] = second[1, 3:] = second[2, 2:] = 0
    return Model(nodes, [0, 1], [(5, 0)]), [ids(masked=True), second]


@pytest.mark.parametrize(("kind", "masks", "other", "tail"), MERGED)
def test_masks_of_what_is_merged(kind, masks, other, tail, tmp_path):
    check(tmp_path, *merged(kind, masks, other, tail), padding="post")


def test_masking_by_value(tmp_path):
    x = sequences()
    x[1, 2:] = 0.5
    check(tmp_path, Model.sequential([layers.Masking("masking", 0.5), gru(return_sequences=True)], (None, M)), x,
          padding="post")


@pytest.mark.parametrize("name", [
    "linear", "sigmoid", "tanh", "relu", "softmax", "softplus", "softsign", "elu", "selu", "gelu", "gelu_tanh",
    "exponential", "swish", "relu6", "leaky_relu", "mish", "hard_sigmoid", "hard_sigmoid_fifth", "hard_swish",
    "hard_tanh", "affine", "scaled_tanh", "thresholded_relu", "capped_relu", "log_sigmoid"])
def test_activations(name, tmp_path):
    given = {"capped_relu": {"max_value": 1.5, "negative_slope": 0.1, "threshold": 0.3}}.get(name, {})
    x = np.linspace(-9, 9, 60, dtype=np.float32).reshape(5, 12)
    check(tmp_path, Model.sequential([layers.ActivationLayer("a", find(name, **given))], (12,)), x)


CONV = rng().normal(0, 1, (4, 2, M))
POINTWISE = {
    "dense": Dense("d", rng().normal(0, 1, (2, M)), np.ones(2), "relu"),
    "dense without bias": Dense("d", np.ones((2, M))),
    "batch norm": layers.BatchNormalization("b", np.arange(M) + 1.0, np.ones(M), np.ones(M), np.ones(M) * 2),
    "batch norm bare": layers.BatchNormalization("b", None, None, np.ones(M), np.ones(M) * 2),
    "layer norm": layers.LayerNormalization("l", np.arange(M) + 1.0, np.ones(M)),
    "layer norm bare": layers.LayerNormalization("l", None, None),
    "prelu": layers.PReLU("p", np.array([0.1, 0.2, 0.3])), "scale": layers.Scale("s", np.array([2.0]), np.array([1.0])),
    "conv": layers.Conv1D("c", CONV, np.ones(4)), "conv same": layers.Conv1D("c", CONV, padding="same", stride=2),
    "conv causal": layers.Conv1D("c", CONV, padding="causal", dilation=2, activation="tanh"),
    "conv pair": layers.Conv1D("c", CONV, padding=(2, 1)),
    "conv groups": layers.Conv1D("c", rng().normal(0, 1, (6, 2, 1)), groups=3),
    "max": layers.MaxPool("p", 2), "max same": layers.MaxPool("p", 4, 3, "same"),
    "average": layers.AveragePool("p", 3, 1),
    "average same": layers.AveragePool("p", 4, 3, "same"), "mean": layers.GlobalAverage("g"),
    "mean kept": layers.GlobalAverage("g", keepdims=True), "largest kept": layers.GlobalMax("g", keepdims=True),
    "flatten": layers.Flatten("f"), "reshape": layers.Reshape("r", (M, TIME)),
    "reshape open": layers.Reshape("r", (-1, 2)),
    "permute": layers.Permute("p", (2, 1)), "cropping": layers.Cropping("c", 1, 2),
    "cropping front": layers.Cropping("c", 2, 0), "padding": layers.ZeroPadding("z", 2, 1),
    "up": layers.UpSampling("u", 3), "time": layers.TimeDistributed("t", Dense("d", np.ones((2, M)))),
    "slice": layers.Slice("s", 1, 1, 5, 2), "slice back": layers.Slice("s", -1, -1, None, -1),
    "pad": layers.Pad("p", 1, 2, 1, value=0.5), "pad mirror": layers.Pad("p", 1, 2, 3, "reflect"),
    "pad edge": layers.Pad("p", -1, 1, 2, "edge"), "feature mean": layers.FeatureMean("m"),
    "plus": layers.Arithmetic("a", "add", 0.1), "from": layers.Arithmetic("a", "subtract", np.ones((TIME, M)), True),
    "third": layers.Arithmetic("a", "divide", np.arange(M) + 3.0),
    "over": layers.Arithmetic("a", "divide", [[[0.3]]], True),
    "times": layers.Arithmetic("a", "multiply", np.arange(M)),
    "square": layers.Power("p", 2.0), "cube": layers.Power("p", 3.0),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_layers_without_a_state(name, tmp_path):
    check(tmp_path, Model.sequential([POINTWISE[name]], (TIME, M)), sequences())


@pytest.mark.parametrize("kind", ["Add", "Subtract", "Multiply", "Divide", "Average", "Maximum", "Minimum"])
def test_merging(kind, tmp_path):
    model = Model([Node(Input("a", (None, M))), Node(Input("b", (M,))), Node(getattr(layers, kind)("m"),
                                                                           ((0, 0), (1, 0)))], [0, 1], [(2, 0)])
    check(tmp_path, model, [sequences(), rng().normal(0, 1, (BATCH, M)).astype(np.float32)])


ATTENTION = {
    "dot": layers.Attention("a"), "scaled": layers.Attention("a", 0.3, return_scores=True),
    "concat": layers.Attention("a", 0.7, concat_weight=1.5),
    "concat unscaled": layers.Attention("a", concat_weight=0.5),
    "additive": layers.AdditiveAttention("a", weights=np.arange(M) + 0.5),
    "additive ones": layers.AdditiveAttention("a"), "causal": layers.Attention("a", causal=True),
}


def attending(layer, masked=False):
    """Two inputs, the second of another length; with ``masked``, ids of which 0 is padding."""
    begin = [Node(Input("q", (None,))), Node(Input("v", (None,)))] if masked else \
        [Node(Input("q", (None, M))), Node(Input("v", (None, M)))]
    if masked:
        table = embedding(mask_zero=True)
        begin += [Node(table, ((0, 0),)), Node(table, ((1, 0),))]
    at = len(begin)
    count = len(layer.shapes(((None, None, M),) * 2))
    return Model([*begin, Node(layer, ((at - 2, 0), (at - 1, 0)))], [0, 1], [(at, k) for k in range(count)])


@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "causal"])
def test_attention(name, tmp_path):
    check(tmp_path, attending(ATTENTION[name]), [sequences(), sequences()[:, 1:] * 2])
    check(tmp_path, attending(ATTENTION[name], True), [ids(masked=True), ids(masked=True)[:, :5]], padding="post")


DOTS = {"vectors": ((M,), (M,), -1, False), "steps": ((TIME, M), (TIME, M), -1, True),
        "middle": ((M, 4), (M, 2), 1, False),
        "mixed": ((TIME, M), (M,), (2, 1), False), "mixed other": ((M,), (M, 4), (1, 1), True)}


def dotted(name):
    one, other, axes, normalize = DOTS[name]
    r = rng()
    model = Model([Node(Input("a", one)), Node(Input("b", other)), Node(layers.Dot("dot", axes, normalize),
                                                                       ((0, 0), (1, 0)))], [0, 1], [(2, 0)])
    return model, [r.normal(0, 1, (BATCH, *shape)).astype(np.float32) for shape in (one, other)]


@pytest.mark.parametrize("name", DOTS)
def test_inner_products(name, tmp_path):
    check(tmp_path, *dotted(name))


@pytest.mark.parametrize("exponent", [-1.0, 0.5])
def test_powers_of_positive_numbers(exponent, tmp_path):
    check(tmp_path, Model.sequential([layers.Power("p", exponent)], (None, M)), np.abs(sequences()) + 0.1)


def test_a_whole_layer_at_every_step(tmp_path):
    for inner in (layers.Flatten("f"), layers.Reshape("r", (3, 2)), layers.GlobalMax("g"), POINTWISE["conv"]):
        model = Model.sequential([layers.TimeDistributed("t", inner)], (None, 2, 3))
        check(tmp_path, model, rng().normal(0, 1, (BATCH, 4, 2, 3)).astype(np.float32))


def within_each_step():
    """Models at every step of (batch, time, words), and what goes in: recurrent ones, a model of dense layers, ids."""
    dense = [Dense("one", rng().normal(0, 1, (4, M)), activation="tanh"), Dense("two", rng().normal(0, 1, (2, 4)))]
    looked_up = [embedding(), both("in")]
    numbers, words = rng().normal(0, 1, (BATCH, 4, 5, M)), np.random.default_rng(1).integers(0, 9, (BATCH, 4, 5))
    nested, every = layers.Nested, layers.TimeDistributed
    of_words = Model.sequential(looked_up, (None,))
    return {
        "dense": ([every("t", nested("n", Model.sequential(dense, (M,))))], numbers[:, :, 0]),
        "lstm": ([every("t", lstm("in")), rnn("out", m=N)], numbers),
        "sequences": ([every("t", lstm("in", return_sequences=True))], numbers),
        "both": ([every("t", both("in")), layers.GlobalMax("m")], numbers),
        "from the end": ([every("t", layers.Backward("in", lstm("x")))], numbers),
        "twice": ([every("t", every("u", Dense("d", np.ones((2, M)))))], numbers),
        "sentences": ([every("t", nested("n", of_words)), lstm("out", m=2 * N)], words),
        "ids": ([every("t", embedding()), every("u", layers.GlobalAverage("m"))], words),
        "model of ids": ([nested("n", of_words)], words[:, 0]),
    }


WITHIN = within_each_step()


def stepped(name):
    parts, x = WITHIN[name]
    return Model.sequential(parts, (None, *x.shape[2:])), x if name in ("sentences", "ids", "model of ids") \
        else x.astype(np.float32)


@pytest.mark.parametrize("name", WITHIN)
def test_a_whole_model_at_every_step(name, tmp_path):
    check(tmp_path, *stepped(name))


def padded_sentences():
    """Sentences filled up behind, each read by a model that masks their padding."""
    inner = Model.sequential([embedding(mask_zero=True), lstm("in")], (None,))
    x = np.random.default_rng(1).integers(1, 9, (BATCH, 4, 5))
    x[np.arange(5) >= np.random.default_rng(2).integers(1, 6, (BATCH, 4, 1))] = 0
    return Model.sequential([layers.TimeDistributed("t", layers.Nested("n", inner)), both("out", m=N)],
                            (None, None)), x


def test_a_model_that_masks_at_every_step(tmp_path):
    model, x = padded_sentences()
    check(tmp_path, model, x, padding="post")
    with pytest.raises(InputError, match="padding"):
        export_onnx(model, tmp_path / "x.onnx")


def test_every_layer_is_exported_or_known_not_to_be():
    """A new layer: write its form in both, or add it here and to the page."""
    from kiyas.recurrent.export.onnx_layers import LAYERS as in_onnx
    from kiyas.recurrent.export.torch_layers import LAYERS as in_torch

    base = {layers.Layer, layers.Elementwise, layers.Recurrent}
    elsewhere = {layers.Input, layers.Nested, layers.LSTM, layers.GRU, layers.SimpleRNN, layers.Bidirectional,
                 layers.Backward, layers.TimeDistributed}
    refused = {layers.Unmasked}  # neither has a layer that drops a mask on its way
    every = {thing for name in layers.__all__ if isinstance(thing := getattr(layers, name), type)
             and issubclass(thing, layers.Layer)}
    assert every - base - elsewhere - refused == set(in_onnx) == set(in_torch)


def test_a_layer_without_a_form_is_refused_by_name(tmp_path):
    model = Model([Node(Input("x", (None, M))), Node(layers.Unmasked("deaf", lstm("inner")), ((0, 0),))], [0], [(1, 0)])
    with pytest.raises(InputError, match="export to ONNX: Unmasked 'deaf' has no form there"):
        export_onnx(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("path", sorted(path for path in (Path(__file__).parent / "golden" / "recurrent").glob("*/*.*")
                                        if path.suffix in (".onnx", ".pt", ".safetensors")),
                         ids=lambda p: f"{p.parent.name}/{p.name}")
def test_models_of_others_go_out_and_come_back(path, tmp_path):
    """Loaded, exported, run by ONNX Runtime, and loaded again: the same numbers, the last time bit for bit."""
    try:
        model = load(path)
    except (FileError, InputError):
        pytest.skip("a file that is there to be refused")
    if path.parent.name == "onnx" and len(model.layers) <= 2:
        pytest.skip("a single node, whose input's width the model does not know")
    x = model._synthetic()
    try:
        check(tmp_path, model, x)
    except InputError as error:
        assert re.search(r"export to ONNX: \w+ '[^']+' (has a projection|masks)", str(error))
        return  # that it is refused, and why, is all there is to say
    if path.name == "frames.onnx":  # a reshape that moves the batch is refused, not read wrongly
        with pytest.raises(FileError, match="has another axis for its batch"):
            load(tmp_path / "model.onnx")
        return
    again = load(tmp_path / "model.onnx")
    for one, other in zip(*(y if isinstance(y, tuple) else (y,) for y in (again.predict(x), model.predict(x))),
                          strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_graph_with_a_shared_and_a_nested_model(tmp_path):
    inner = Model.sequential([lstm("inner", return_sequences=True), Dense("narrow", rng().normal(0, 1, (M, N)))])
    nested, shared = layers.Nested("nested", inner), gru("shared", return_sequences=True)
    model = Model([
        Node(Input("x", (None, M))), Node(nested, ((0, 0),)), Node(shared, ((0, 0),)), Node(shared, ((1, 0),)),
        Node(layers.Concatenate("joined"), ((2, 0), (3, 0))), Node(layers.Attention("seen", 0.5), ((4, 0), (4, 0))),
        Node(layers.GlobalAverage("mean"), ((5, 0),)), Node(layers.RepeatVector("again", 2), ((6, 0),)),
    ], [0], [(7, 0), (3, 0)])
    check(tmp_path, model, sequences())


def test_the_initial_state_may_be_an_input_of_the_graph(tmp_path):
    model = Model([Node(Input("x", (None, M))), Node(Input("h", (N,))), Node(Input("c", (N,))),
                   Node(lstm(return_sequences=True), ((0, 0), (1, 0), (2, 0)))], [0, 1, 2], [(3, 0)])
    start = rng().normal(0, 1, (2, BATCH, N)).astype(np.float32)
    check(tmp_path, model, [sequences(), *start])


def test_the_state_goes_in_and_out(tmp_path):
    model = Model.sequential([lstm("one", return_sequences=True), gru("two", m=N, return_sequences=True)])
    export_onnx(model, tmp_path / "model.onnx", state=True)
    x, state = sequences(), model.new_state(BATCH)
    carried = {f"{key}.{k}": state[key][k] for key in ("one", "two") for k in range(len(state[key]))}
    parts = []
    for start, stop in ((0, 1), (1, 4), (4, TIME)):
        found = run(tmp_path / "model.onnx", {"input": x[:, start:stop], **carried})
        parts.append(found["two"])
        carried = {name: found[f"{name}.next"] for name in carried}
    y, after = model.predict(x, return_state=True)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), y, atol=1e-5)
    np.testing.assert_allclose(carried["one.1"], after["one"][1], atol=1e-5)


REFUSED = {
    "projection": (layers.LSTM("small", **weights(4, p=2), projection=np.ones((2, N))), {},
                   "LSTM 'small' has a projection, which the LSTM of ONNX has not"),
    "layer norm": (lstm(layer_norm=LayerNorm(np.ones(16), np.ones(16), np.ones(4), np.zeros(4))), {},
                   "LSTM 'lstm' has layer normalisation inside"),
    "activation": (lstm(activation="gelu"), {}, "LSTM 'lstm' has the activation gelu, which ONNX has not inside"),
    "mask": (layers.Masking("gaps"), {}, "Masking 'gaps' masks steps of 0, and ONNX knows only where rows end"),
    "time": (layers.TimeDistributed("steps", lstm("in", activation="gelu")), {},
             "LSTM 'in' has the activation gelu, which ONNX has not inside"),
    "padding": (lstm(), {"padding": "pre"}, "export_onnx: 'padding' must be 'post', 'none' or None, got 'pre'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_by_name(name, tmp_path):
    layer, options, words = REFUSED[name]
    shape = (None, 2, M) if name == "time" else (None, M)
    with pytest.raises(InputError) as error:
        export_onnx(Model.sequential([layer], shape), tmp_path / "model.onnx", **options)
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())


def test_causal_attention_is_refused(tmp_path):
    with pytest.raises(InputError, match="export to ONNX: Attention 'a' is causal"):
        export_onnx(attending(ATTENTION["causal"]), tmp_path / "m.onnx")


def test_a_layer_of_a_users_own_is_refused(tmp_path):
    class Mine(layers.Elementwise):
        def apply(self, x):
            return x

    with pytest.raises(InputError, match="export to ONNX: Mine 'mine' has no form there"):
        export_onnx(Model.sequential([Mine("mine")], (M,)), tmp_path / "model.onnx")


def test_masks_that_onnx_cannot_follow_are_refused(tmp_path):
    for layer, words in ((lstm(return_sequences=True, go_backwards=True), "goes backwards over masked sequences"),
                         (layers.Backward("end", lstm(return_sequences=True)), "repeats outputs at masked steps; ONNX"),
                         (both(return_sequences=True, zero_masked=False), "repeats outputs at masked steps both ways")):
        with pytest.raises(InputError, match=words):
            export_onnx(Model.sequential([embedding(mask_zero=True), layer]), tmp_path / "m.onnx", padding="post")


def test_the_check_can_fail(tmp_path):
    one, other = Model.sequential([lstm()]), Model.sequential([lstm(seed=1)])
    one.predict = other.predict
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(tmp_path, one, sequences())
