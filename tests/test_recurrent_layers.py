"""Layers against what Keras 2.15 gave for the same weights and inputs (golden/recurrent/layers.npz)."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from recurrent_models import MAKERS, gru, lstm

from kiyas.errors import InputError
from kiyas.recurrent import Model, Node
from kiyas.recurrent import layers as L

GOLDEN = Path(__file__).parent / "golden" / "recurrent" / "layers.npz"
MASKED = "masked "


@cache
def golden():
    cases = {}
    with np.load(GOLDEN) as file:
        for key in file:
            name, _, part = key.partition("/")
            cases.setdefault(name, {})[part] = file[key]
    return cases


def parts(name, kind):
    case = golden()[name]
    return [case[f"{kind}{i}"] for i in range(sum(k.startswith(kind) and k[1:].isdigit() for k in case))]


def compare(found, name, tolerance=2e-6):
    wanted = parts(name, "y")
    found = found if isinstance(found, tuple) else (found,)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def one(layer, x, mask=None):
    model = Model.sequential([layer], x.shape[1:])
    node = (len(model.nodes) - 1,)
    count = len(model.describe()[-1].shape)
    model = Model(model.nodes, model.inputs, [(node[0], k) for k in range(count)])
    return model.predict(x, mask=mask, empty="zero")


RECURRENT = [n for n in golden() if MASKED in n and n.split()[0] in MAKERS]


@pytest.mark.parametrize("name", RECURRENT)
def test_masked_sequences(name):
    kind, _, words = name.partition(" masked ")
    options = dict.fromkeys(filter(None, words.split("-")), True)
    x, mask = parts(name, "x")
    compare(one(MAKERS[kind](parts(name, "w"), **options), x, mask), name)


def test_every_mask_was_tried():
    assert len(RECURRENT) == 21


@pytest.mark.parametrize(("name", "make"), [
    ("lstm hard_sigmoid relu", lambda w: lstm(w, activation="relu", recurrent_activation="hard_sigmoid_fifth",
                                              return_sequences=True)),
    ("lstm no bias", lstm),
    ("gru no bias", gru),
])
def test_options_of_cells(name, make):
    compare(one(make(parts(name, "w")), parts(name, "x")[0]), name)


def test_gru_with_the_reset_before_the_product():
    name = "gru before"
    x, mask = parts(name, "x")
    compare(one(gru(parts(name, "w"), reset_after=False, return_sequences=True), x, mask), name)


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("sequences", [True, False])
def test_both_ways(merge, sequences):
    name = f"bidirectional {merge} {sequences}"
    x, mask = parts(name, "x")
    w = parts(name, "w")
    layer = L.Bidirectional("both", lstm(w[:3], "f"), lstm(w[3:], "b"), merge, return_sequences=sequences)
    compare(one(layer, x, mask), name)


def test_both_ways_with_states():
    name = "bidirectional states"
    x, mask = parts(name, "x")
    w = parts(name, "w")
    layer = L.Bidirectional("both", gru(w[:3], "f"), gru(w[3:], "b"), return_sequences=True, return_state=True)
    compare(one(layer, x, mask), name)


def test_both_ways_with_different_layers():
    name = "bidirectional two"
    w = parts(name, "w")
    layer = L.Bidirectional("both", lstm(w[:3], "f"), lstm(w[3:], "b", activation="relu"), return_sequences=True)
    compare(one(layer, parts(name, "x")[0]), name)


def test_both_ways_of_a_layer_that_goes_backwards():
    name = "bidirectional turned"
    w = parts(name, "w")
    layer = L.Bidirectional("both", lstm(w[:3], "f", go_backwards=True), lstm(w[3:], "b"), return_sequences=True)
    compare(one(layer, parts(name, "x")[0]), name)


def test_initial_state_with_steps_masked_in_front():
    name = "initial state"
    x, mask, h, c = parts(name, "x")
    layer = lstm(parts(name, "w"), return_sequences=True, return_state=True)
    nodes = [Node(L.Input("x", (6, 3))), Node(L.Input("h", (4,))), Node(L.Input("c", (4,))),
             Node(layer, ((0, 0), (1, 0), (2, 0)))]
    model = Model(nodes, [0, 1, 2], [(3, 0), (3, 1), (3, 2)])
    compare(model.predict([x, h, c], mask={"x": mask}, empty="zero"), name)
    alone = Model.sequential([lstm(parts(name, "w"), return_sequences=True)])
    y, state = alone.predict(x, mask=mask, state={"lstm": (h, c)}, return_state=True, empty="zero")
    compare((y, *state["lstm"]), name)


def test_stateful_calls_with_masks():
    name = "stateful"
    x, mask = parts(name, "x")
    model = Model.sequential([lstm(parts(name, "w"), return_sequences=True, stateful=True)]).stateful()
    compare(tuple(model.predict(x, mask=mask, empty="zero") for _ in range(2)), name)


# -- masks on their way ------------------------------------------------------------------------------------------------


def chain(*layers):
    return lambda *xs: Model.sequential(layers).predict(xs[0])


def graph(nodes, *xs, outputs=None):
    count = sum(isinstance(n.layer, L.Input) for n in nodes)
    model = Model(nodes, range(count), outputs or [(len(nodes) - 1, 0)])
    return model.predict(list(xs) if count > 1 else xs[0], empty="zero")


def embedding(w):
    return L.Embedding("embedding", w, mask_zero=True)


def dense(w, name="dense", **options):
    return L.Dense(name, w[0].T, w[1], **options)


def branch(w, merge, *xs):
    """An embedding and a second input, merged, into an LSTM."""
    nodes = [Node(L.Input("ids", (None,))), Node(L.Input("x", (6, 3))), Node(embedding(w[0]), ((0, 0),)),
             Node(merge, ((2, 0), (1, 0))), Node(lstm(w[1:]), ((3, 0),))]
    return graph(nodes, *xs)


def twice(w, merge, *xs):
    """An embedding and a dense layer over it, merged, into an LSTM."""
    nodes = [Node(L.Input("ids", (None,))), Node(embedding(w[0]), ((0, 0),)), Node(dense(w[1:3]), ((1, 0),)),
             Node(merge, ((1, 0), (2, 0))), Node(lstm(w[3:]), ((3, 0),))]
    return graph(nodes, *xs)


def through_stack(w, *xs):
    both = L.Bidirectional("both", gru(w[1:4], "f"), gru(w[4:7], "b"), return_sequences=True)
    return chain(embedding(w[0]), both, lstm(w[7:10], "l1", return_sequences=True, go_backwards=True),
                 lstm(w[10:], "l2"))(*xs)


ON_THEIR_WAY = {
    "mask through dense": lambda w, *xs: chain(embedding(w[0]), dense(w[1:3]), L.ActivationLayer("a", "tanh"),
                                               L.Dropout("d"), lstm(w[3:]))(*xs),
    "mask through normalization": lambda w, *xs: chain(
        embedding(w[0]), L.BatchNormalization("bn", *w[1:5]), L.LayerNormalization("ln", *w[5:7]),
        lstm(w[7:]))(*xs),
    "mask through distributed": lambda w, *xs: chain(embedding(w[0]), L.TimeDistributed("td", dense(w[1:3])),
                                                     lstm(w[3:]))(*xs),
    "mask through stack": through_stack,
    "mask ends at conv": lambda w, *xs: chain(embedding(w[0]), conv(w[1:3], padding="same"), lstm(w[3:]))(*xs),
    "mask through add": lambda w, *xs: twice(w, L.Add("add"), *xs),
    "mask of one in add": lambda w, *xs: branch(w, L.Multiply("multiply"), *xs),
    "mask of one in concatenate": lambda w, *xs: branch(w, L.Concatenate("concatenate"), *xs),
    "mask concatenated over time": lambda w, *xs: twice(w, L.Concatenate("concatenate", 1), *xs),
    "mask in global average": lambda w, *xs: chain(embedding(w[0]), L.GlobalAverage("mean"))(*xs),
    "mask in global max": lambda w, *xs: chain(embedding(w[0]), L.GlobalMax("max"))(*xs),
    "masking": lambda w, *xs: chain(L.Input("x", (6, 3)), L.Masking("m", -1.0), lstm(w, return_sequences=True))(*xs),
}


@pytest.mark.parametrize("name", ON_THEIR_WAY)
def test_masks_on_their_way(name):
    compare(ON_THEIR_WAY[name](parts(name, "w"), *parts(name, "x")), name)


MERGES = Path(__file__).parent / "golden" / "recurrent" / "merges.npz"
MERGED = {"add": L.Add, "subtract": L.Subtract, "multiply": L.Multiply, "average": L.Average, "maximum": L.Maximum,
          "minimum": L.Minimum, "concatenate": L.Concatenate,
          "over time": lambda name, masks: L.Concatenate(name, 1, masks=masks)}


@pytest.mark.parametrize("second", ["masked", "unmasked"])
@pytest.mark.parametrize("name", MERGED)
def test_masks_merged_as_keras_does_from_version_3_4_on(name, second):
    with np.load(MERGES) as file:
        case = {key.rpartition("/")[2]: file[key] for key in file if key.startswith(f"{name} {second}/")}
    w = [case[f"w{i}"] for i in range(len(case) - 3)]
    nodes = [Node(L.Input("a", (None,))), Node(L.Input("b", (None,) if second == "masked" else (6, 3))),
             Node(L.Embedding("e", w[0], mask_zero=True), ((0, 0),)),
             Node(L.Embedding("f", w[1], mask_zero=True) if second == "masked" else L.Dropout("f"), ((1, 0),)),
             Node(MERGED[name]("merged", masks="any"), ((2, 0), (3, 0))),
             Node(lstm(w[-3:], return_sequences=True), ((4, 0),))]
    found = graph(nodes, case["x0"], case["x1"])
    np.testing.assert_allclose(found, case["y0"], rtol=2e-6, atol=2e-6)


# -- layers without time -----------------------------------------------------------------------------------------------


def conv(w, name="conv", **options):
    return L.Conv1D(name, w[0].transpose(2, 0, 1), w[1], **options)


LAYERS = {
    "conv valid": lambda w: conv(w, stride=2),
    "conv same": lambda w: conv(w, stride=2, padding="same", activation="relu"),
    "conv causal": lambda w: conv(w, padding="causal", dilation=2),
    "max pool valid": lambda w: L.MaxPool("p", 4, 1),
    "max pool same": lambda w: L.MaxPool("p", 4, 3, "same"),
    "average pool same": lambda w: L.AveragePool("p", 4, 3, "same"),
    "average pool": lambda w: L.AveragePool("p", 2),
    "global average": lambda w: L.GlobalAverage("p", keepdims=True),
    "prelu": lambda w: L.PReLU("p", w[0]),
    "prelu shared": lambda w: L.PReLU("p", w[0]),
    "leaky": lambda w: L.ActivationLayer("a", L.base.find("leaky_relu", alpha=0.3)),
    "layer normalization": lambda w: L.LayerNormalization("ln", w[0], w[1], 1e-5),
    "batch normalization": lambda w: L.BatchNormalization("bn", *w),
    "flatten": lambda w: L.Flatten("f"),
    "reshape": lambda w: L.Reshape("r", (2, -1)),
    "permute": lambda w: L.Permute("p", (2, 1)),
    "cropping": lambda w: L.Cropping("c", 1, 2),
    "zero padding": lambda w: L.ZeroPadding("z", 1, 2),
    "upsampling": lambda w: L.UpSampling("u", 2),
    "repeat vector": lambda w: L.RepeatVector("r", 3),
    "distributed lstm": lambda w: L.TimeDistributed("td", lstm(w)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_single_layers(name):
    compare(one(LAYERS[name](parts(name, "w")), parts(name, "x")[0]), name)


PAIRS = {
    "subtract": lambda w: L.Subtract("m"),
    "average": lambda w: L.Average("m"),
    "maximum": lambda w: L.Maximum("m"),
    "minimum": lambda w: L.Minimum("m"),
    "dot features": lambda w: L.Dot("m", 2),
    "dot time": lambda w: L.Dot("m", 1, normalize=True),
    "dot vector": lambda w: L.Dot("m", (2, 1)),
    "attention": lambda w: L.Attention("m", scale=float(w[0])),
    "attention causal": lambda w: L.Attention("m", causal=True),
    "attention concat": lambda w: L.Attention("m", concat_weight=float(w[0])),
    "additive": lambda w: L.AdditiveAttention("m", weights=w[0]),
    "attention scores": lambda w: L.Attention("m", return_scores=True),
}


@pytest.mark.parametrize("name", PAIRS)
def test_layers_of_two_signals(name):
    xs, layer = parts(name, "x"), PAIRS[name](parts(name, "w"))
    nodes = [Node(L.Input("a", xs[0].shape[1:])), Node(L.Input("b", xs[1].shape[1:])), Node(layer, ((0, 0), (1, 0)))]
    outputs = [(2, 0), (2, 1)] if name == "attention scores" else None
    compare(graph(nodes, *xs, outputs=outputs), name)


def test_attention_heeds_both_masks():
    name = "attention masked"
    w = parts(name, "w")
    nodes = [Node(L.Input("a", (None,))), Node(L.Input("b", (None,))), Node(embedding(w[0]), ((0, 0),)),
             Node(L.Embedding("e2", w[1], mask_zero=True), ((1, 0),)), Node(L.Attention("m"), ((2, 0), (3, 0))),
             Node(lstm(w[2:]), ((4, 0),))]
    compare(graph(nodes, *parts(name, "x")), name)


def test_a_shared_nested_model():
    name = "shared nested"
    w = parts(name, "w")
    inner = L.Nested("inner", Model.sequential([lstm(w[:3]), dense(w[3:])]))
    nodes = [Node(L.Input("a", (6, 3))), Node(L.Input("b", (6, 3))), Node(inner, ((0, 0),)), Node(inner, ((1, 0),)),
             Node(L.Concatenate("c"), ((2, 0), (3, 0)))]
    compare(graph(nodes, *parts(name, "x")), name)


def test_an_encoder_and_its_decoder():
    name = "encoder decoder"
    w = parts(name, "w")
    nodes = [Node(L.Input("a", (6, 3))), Node(L.Input("b", (6, 3))),
             Node(lstm(w[:3], "encoder", return_state=True), ((0, 0),)),
             Node(lstm(w[3:6], "decoder", return_sequences=True), ((1, 0), (2, 1), (2, 2))),
             Node(dense(w[6:], activation="softmax"), ((3, 0),))]
    compare(graph(nodes, *parts(name, "x")), name)


@pytest.mark.parametrize("name", [n for n in golden() if n.startswith("activation ")])
def test_activations(name):
    ours = {"gelu": "gelu", "hard_sigmoid": "hard_sigmoid_fifth"}.get(name.split()[1], name.split()[1])
    x = parts(name, "x")[0]
    layer = L.ActivationLayer("a", ours)
    found = Model.sequential([layer], x.shape[1:]).predict(x)
    wanted = parts(name, "y")[0]
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6)


def test_all_that_keras_gave_is_compared():
    named = {*RECURRENT, *ON_THEIR_WAY, *LAYERS, *PAIRS, "lstm hard_sigmoid relu", "lstm no bias", "gru no bias",
             "gru before", "bidirectional states", "bidirectional two", "bidirectional turned", "initial state",
             "stateful", "attention masked", "shared nested", "encoder decoder"}
    named |= {f"bidirectional {m} {s}" for m in ("concat", "sum", "mul", "ave", None) for s in (True, False)}
    assert {n for n in golden() if not n.startswith("activation ")} == named


@pytest.mark.parametrize("layer", [
    L.PReLU("it", np.arange(12.0).reshape(4, 3)), L.Scale("it", np.arange(12.0).reshape(4, 3), np.array(0.0)),
    L.Scale("it", np.array(1.0), np.ones((4, 1))), L.Arithmetic("it", "add", np.arange(12.0).reshape(1, 4, 3)),
], ids=lambda layer: type(layer).__name__)
def test_constants_that_differ_from_step_to_step_are_not_taken_step_by_step(layer):
    model = Model.sequential([layer], (4, 3))
    with pytest.raises(InputError, match="'it' needs all time steps at once"):
        model.step(np.ones((1, 3)))
    with pytest.raises(InputError, match="'it' needs all time steps at once"):
        model.stream(1)


def test_constants_that_differ_from_step_to_step_of_more_axes_are_not_either():
    model = Model.sequential([L.Arithmetic("it", "add", np.arange(4.0).reshape(4, 1, 1))], (4, 2, 3))
    with pytest.raises(InputError, match="'it' needs all time steps at once"):
        model.step(np.ones((1, 2, 3)))


def test_constants_of_one_step_are():
    x = np.random.default_rng(3).normal(size=(2, 4, 3)).astype(np.float32)
    for constant in (np.array(0.3), np.arange(3) / 7, np.arange(3).reshape(1, 1, 3) / 7):
        model = Model.sequential([L.Arithmetic("it", "divide", constant + 1, first=True)], (None, 3))
        stream = model.stream(2)
        whole = np.concatenate([stream.feed(x[:, :1]), stream.feed(x[:, 1:])], axis=1)
        assert np.array_equal(whole, model.predict(x))
        assert np.array_equal(whole, (constant + 1).astype(np.float32) / x)


@pytest.mark.parametrize(("shape", "constant", "gives"), [
    ((4, 3), (4, 1), (None, 4, 3)), ((4, 1), (3,), (None, 4, 3)), ((None, 3), (4, 3), (None, 4, 3)),
    ((3,), (1, 3), (None, 3)), ((3,), (2, 3), None), ((3,), (1, 1, 3), None), ((4, 3), (3, 1), None),
    ((4, 3), (2, 1, 1), None)])
def test_a_constant_fits_but_for_the_batch(shape, constant, gives):
    layer = L.Arithmetic("it", "add", np.ones(constant))
    if gives is None:
        with pytest.raises(InputError, match=rf"to which a constant of shape {re.escape(str(constant))} fits"):
            layer.shapes(((None, *shape),))
    else:
        assert layer.shapes(((None, *shape),)) == (gives,)


# -- what Keras has no case for ----------------------------------------------------------------------------------------


def test_conv_in_groups():
    rng = np.random.default_rng(0)
    w, b, x = rng.normal(size=(4, 3, 2)), rng.normal(size=4), rng.normal(size=(2, 7, 4))
    found = Model.sequential([L.Conv1D("c", w, b, groups=2, padding=(1, 0))], (7, 4)).predict(x)
    padded = np.pad(x, ((0, 0), (1, 0), (0, 0)))
    wanted = np.zeros((2, 6, 4))
    for row in range(2):
        for t in range(6):
            for k in range(4):
                part = slice(0, 2) if k < 2 else slice(2, 4)
                wanted[row, t, k] = b[k] + (w[k] * padded[row, t:t + 3, part]).sum()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_weighted_attention_leaves_masked_steps_out():
    rng = np.random.default_rng(1)
    w, x = rng.normal(size=3), rng.normal(size=(2, 5, 3)).astype(np.float32)
    mask = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], bool)
    layer = L.WeightedAttention("att", w[:, None], return_attention=True)
    signals, _ = layer.run((L.Signal(x, mask),))
    for row in range(2):
        logits = [float(x[row, t] @ w) for t in range(5)]
        e = [np.exp(v - max(logits)) * mask[row, t] for t, v in enumerate(logits)]
        share = np.array(e) / (sum(e) + 1e-7)
        np.testing.assert_allclose(signals[1].values[row], share, atol=1e-6)
        np.testing.assert_allclose(signals[0].values[row], share @ x[row], atol=1e-6)


def test_scale_and_capped_relu():
    x = np.array([[-3.0, 0.5, 9.0]], np.float32)
    assert L.Scale("s", 2.0, 1.0).apply(x).tolist() == [[-5, 2, 19]]
    relu = L.base.find("capped_relu", max_value=6, negative_slope=0.5, threshold=1)
    assert L.ActivationLayer("r", relu).apply(x).tolist() == [[-2, -0.25, 6]]


def test_weights_cannot_be_written_to():
    layer = dense([np.ones((2, 3)), np.zeros(3)])
    with pytest.raises(ValueError, match="read-only"):
        layer.weights[0, 0] = 2
    with pytest.raises(AttributeError):
        layer.name = "other"


def test_lengths_do_not_vanish_in_silence():
    model = Model.sequential([conv([np.ones((2, 3, 1)), np.zeros(1)])], (None, 3))
    with pytest.raises(InputError, match="Conv1D 'conv': 'lengths' must be absent, as the layer does not carry"):
        model.predict(np.ones((1, 4, 3)), lengths=[3])


@pytest.mark.parametrize("exponent", [-1.0, 0.5, 2.0, 3.0])
def test_powers_beyond_float32_are_infinity_or_nan_without_a_warning(exponent):
    y = Model.sequential([L.Power("p", exponent)], (None, 3)).predict(np.array([[[0.0, -1e30, 1e30]]], np.float32))
    wanted = {-1.0: [np.inf, -1e-30, 1e-30], 0.5: [0, np.nan, 1e15], 2.0: [0, np.inf, np.inf],
              3.0: [0, -np.inf, np.inf]}
    np.testing.assert_allclose(y[0, 0], wanted[exponent], rtol=1e-6)
