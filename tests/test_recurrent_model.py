"""The graph: several inputs and outputs, shared and nested models, steps, stateful calls, description, precision."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from recurrent_models import both_ways, every_recurrent_layer, plain, random_gru, random_lstm, text_model_layers

from kiyas.errors import InputError
from kiyas.recurrent import Model, Node, State, register_layer
from kiyas.recurrent import layers as L
from kiyas.recurrent.registry import registered

RNG = np.random.default_rng(0)


def text_model(**options):
    return Model.sequential(text_model_layers(np.random.default_rng(0), **options))


def two_inputs():
    rng = np.random.default_rng(1)
    nodes = [Node(L.Input("words", (None,))), Node(L.Input("facts", (2,))),
             Node(L.Embedding("table", rng.normal(size=(5, 3))), ((0, 0),)),
             Node(random_lstm(rng, 3, 4, "lstm", return_state=True), ((2, 0),)),
             Node(L.Concatenate("joined", 1), ((3, 0), (1, 0))),
             Node(L.Dense("head", rng.normal(size=(3, 6))), ((4, 0),))]
    return Model(nodes, [0, 1], [(5, 0), (3, 1), (3, 2)])


# -- several inputs and outputs ----------------------------------------------------------------------------------------


def test_several_inputs_and_outputs():
    m = two_inputs()
    words, facts = np.array([[1, 2, 3], [4, 0, 1]]), RNG.normal(size=(2, 2))
    found = m.predict([words, facts])
    assert [v.shape for v in found] == [(2, 3), (2, 4), (2, 4)]
    by_name = m.predict({"facts": facts, "words": words})
    assert all(np.array_equal(a, b) for a, b in zip(found, by_name, strict=True))
    assert m.input_names == ("words", "facts")
    assert m.output_names == ("head", "lstm:1", "lstm:2")
    assert m.input_shapes == ((None, None), (None, 2))
    assert m.output_shapes() == ((None, 3), (None, 4), (None, 4))


def test_steps_of_several_inputs():
    m = two_inputs()
    words, facts = np.array([[1, 2, 3], [4, 0, 1]]), RNG.normal(size=(2, 2))
    state = None
    for t in range(3):
        y, state = m.step([words[:, t], facts], state)
    for a, b in zip(y, m.predict([words, facts]), strict=True):
        assert np.array_equal(a, b)


def test_batches_of_several_inputs():
    m = two_inputs()
    words, facts = RNG.integers(0, 5, (7, 3)), RNG.normal(size=(7, 2))
    whole = m.predict([words, facts])
    for a, b in zip(m.predict([words, facts], batch_size=3), whole, strict=True):
        assert np.array_equal(a, b)


# -- shared and nested -------------------------------------------------------------------------------------------------


def test_a_layer_at_two_places_has_a_state_for_each():
    rng = np.random.default_rng(2)
    lstm = random_lstm(rng, 3, 3, "lstm", return_sequences=True)
    m = Model.sequential([lstm, lstm])
    assert list(m.new_state()) == ["lstm", "lstm#2"]
    assert m.count_parameters() == lstm.count_parameters()
    x = rng.normal(size=(1, 5, 3))
    once = Model.sequential([lstm])
    assert np.array_equal(m.predict(x), once.predict(once.predict(x)))
    stream = m.stream()
    assert np.array_equal(np.concatenate([stream.feed(x[:, :2]), stream.feed(x[:, 2:])], axis=1), m.predict(x))


def test_nested_models():
    rng = np.random.default_rng(3)
    a, b = random_lstm(rng, 3, 4, "a", return_sequences=True), random_gru(rng, 4, 2, "b", return_sequences=True)
    inner = Model.sequential([a, L.Nested("deep", Model.sequential([b]))])
    outer = Model.sequential([L.Nested("inner", inner), L.Dense("d", rng.normal(size=(2, 2)))], (None, 3))
    flat = Model.sequential([a, b, outer.layer("d")])
    x = rng.normal(size=(2, 5, 3))
    assert list(outer.new_state()) == ["inner/a", "inner/deep/b"]
    y, state = outer.predict(x, return_state=True)
    assert np.array_equal(y, flat.predict(x))
    assert np.array_equal(state["inner/deep/b"][0], flat.predict(x, return_state=True)[1]["b"][0])
    assert np.array_equal(outer.predict(x, state=state), flat.predict(x, state=dict(zip("ab", state.values(),
                                                                                        strict=True))))
    assert outer.count_parameters() == flat.count_parameters()
    assert outer.whole is None


def test_ids_that_a_model_within_looks_up_are_a_sequence():
    rng = np.random.default_rng(8)
    first = [L.Embedding("e", rng.normal(size=(7, 5))), random_lstm(rng, 5, 4, "l")]
    head = L.Dense("head", rng.normal(size=(3, 4)))
    flat = Model.sequential([*first, head])
    inner = Model.sequential([L.Nested("within", Model.sequential(first))], (None,))
    model = Model.sequential([L.Nested("outer", inner), head], (None,))
    ids = rng.integers(0, 7, (2, 5))
    assert np.array_equal(model.predict(ids, lengths=[5, 2]), flat.predict(ids, lengths=[5, 2]))
    y, state = model.step(ids[:, 0])
    assert np.array_equal(y, flat.step(ids[:, 0])[0])
    assert np.array_equal(model.step(ids[:, 1], state)[0], flat.predict(ids[:, :2]))
    assert model.with_precision("int8").precision_error == flat.with_precision("int8").precision_error
    of_words = Model.sequential([L.TimeDistributed("each", first[0]), L.TimeDistributed("words", first[1]),
                                 random_lstm(rng, 4, 3, "last")], (None, None))
    assert of_words.with_precision("int8").precision_error.largest < 0.1
    with pytest.raises(InputError, match="ids' must be from 0 to 6, got 7"):
        of_words.check(np.full((1, 2, 2), 7))


def test_a_nested_model_twice():
    rng = np.random.default_rng(4)
    nest = L.Nested("nest", Model.sequential([random_lstm(rng, 3, 3, "in", return_sequences=True)]))
    m = Model.sequential([nest, nest], (None, 3))
    assert list(m.new_state()) == ["nest/in", "nest#2/in"]


def test_nodes_may_be_given_in_any_order_that_can_be_run():
    rng = np.random.default_rng(5)
    dense = L.Dense("d", rng.normal(size=(2, 3)))
    nodes = [Node(L.Input("x", (3,))), Node(dense, ((0, 0),)), Node(L.Add("sum"), ((1, 0), (1, 0)))]
    x = rng.normal(size=(2, 3))
    assert np.array_equal(Model(nodes, [0], [(2, 0), (1, 0)]).predict(x)[0],
                          2 * Model.sequential([dense]).predict(x))


# -- stateful ----------------------------------------------------------------------------------------------------------


def stateful_model():
    rng = np.random.default_rng(6)
    return Model.sequential([random_lstm(rng, 3, 4, "a", stateful=True, return_sequences=True),
                             random_lstm(rng, 4, 4, "b")])


def test_only_layers_marked_so_go_on():
    m = stateful_model()
    x = RNG.normal(size=(2, 6, 3))
    first, second = (Model.sequential([layer]) for layer in m.layers)
    with_memory = m.stateful(2)
    found = [with_memory.predict(x[:, :3]), with_memory.predict(x[:, 3:])]
    inner, state = first.predict(x[:, :3], return_state=True)
    assert np.array_equal(found[0], second.predict(inner))
    assert np.array_equal(found[1], second.predict(first.predict(x[:, 3:], state=state)))
    assert list(with_memory.state) == ["a"]
    assert m.is_stateful


def test_resetting_and_setting():
    m = stateful_model().stateful()
    x = RNG.normal(size=(2, 3, 3))
    first = m.predict(x)
    kept = m.state
    second = m.predict(x)
    assert not np.array_equal(first, second)
    m.reset_states()
    assert np.array_equal(m.predict(x), first)
    m.state = kept
    assert np.array_equal(m.predict(x), second)
    m.reset_state()
    assert np.array_equal(m.predict(x), first)


def test_more_rows_than_the_batch_follow_one_another():
    m, x = stateful_model(), RNG.normal(size=(4, 3, 3))
    whole, parts = m.stateful(2), m.stateful(2)
    assert np.array_equal(whole.predict(x), np.concatenate([parts.predict(x[:2]), parts.predict(x[2:])]))


def test_a_model_forgets():
    m, x = stateful_model(), RNG.normal(size=(2, 3, 3))
    assert np.array_equal(m.predict(x), m.predict(x))


def test_memory_inside_a_nested_model():
    inner = stateful_model()
    m = Model.sequential([L.Nested("inner", inner)], (None, 3))
    assert m.is_stateful
    outside, inside = m.stateful(2), inner.stateful(2)
    x = RNG.normal(size=(2, 6, 3))
    for part in (x[:, :2], x[:, 2:]):
        assert np.array_equal(outside.predict(part), inside.predict(part))
    assert list(outside.state) == ["inner/a"]


def test_stateful_errors():
    with pytest.raises(InputError, match="'model' must be one with a layer that is marked stateful, got Model"):
        text_model().stateful()
    m = stateful_model().stateful()
    with pytest.raises(InputError, match="'batch' must be known before a state can be got or set, got None"):
        _ = m.state
    m.predict(np.zeros((2, 1, 3)))
    with pytest.raises(InputError, match="'x' must be of batch 2 or a multiple of it, as the state has as many rows"):
        m.predict(np.zeros((3, 1, 3)))


# -- what a model says of itself ---------------------------------------------------------------------------------------


def test_describe():
    rows = text_model().describe()
    assert [r.layer for r in rows] == ["input", "embedding", "lstm_1", "lstm_2", "head"]
    assert [r.kind for r in rows] == ["Input", "Embedding", "LSTM", "LSTM", "Dense"]
    assert [r.shape for r in rows] == [((None, None),), ((None, None, 5),), ((None, None, 6),), ((None, 6),),
                                       ((None, 12),)]
    assert [r.parameters for r in rows] == [0, 60, 4 * 6 * (5 + 6 + 1), 4 * 6 * (6 + 6 + 1), 12 * 7]
    assert rows[2].place == "compiled, float32"
    assert repr(text_model()) == "Model(Embedding, LSTM, LSTM, Dense; 744 weights)"


def test_it_says_where_a_layer_is_computed_and_why():
    places = {layer.name: layer.place for layer in every_recurrent_layer(RNG, 3, 4)}
    assert places["lstm"] == places["gru"] == places["rnn"] == "compiled, float32"
    assert places["lstm_peephole"].startswith("plain: ")
    assert "peephole" in places["lstm_peephole"]
    assert "layer normalization" in places["lstm_layer_norm"]
    assert sum(place.startswith("plain") for place in places.values()) == 7


def test_a_layer_by_name():
    m = text_model()
    assert m.layer("lstm_2").units == 6
    with pytest.raises(InputError, match=r"Model.layer: 'name' must be one of embedding, lstm_1, lstm_2, head"):
        m.layer("x")


def test_models_can_be_copied_and_sent():
    m = text_model()
    ids = RNG.integers(0, 12, (2, 4))
    m.predict(ids)
    for other in (copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert np.array_equal(other.predict(ids), m.predict(ids))


# -- precision ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "most"), [("float32", 0), ("bfloat16", 0.05), ("int8", 0.1)])
def test_precision(precision, most):
    rng = np.random.default_rng(7)
    m = Model.sequential([L.Embedding("e", rng.normal(size=(12, 16))),
                          both_ways(rng, random_lstm, 16, 24, return_sequences=True),
                          L.TimeDistributed("td", L.Dense("d", rng.normal(size=(24, 48)) / 7)),
                          random_gru(rng, 24, 16)])
    other = m.with_precision(precision)
    error = other.precision_error
    assert error.largest <= most
    assert error.mean <= error.largest
    assert (error.largest > 0) == (precision != "float32")
    assert error.sample == "synthetic inputs"
    assert other.source["precision"] == precision
    assert other.layer("both").place == f"compiled, {precision}"
    ids = rng.integers(0, 12, (3, 7))
    measured = m.with_precision(precision, sample=ids).precision_error
    assert measured.largest == np.abs(m.predict(ids) - other.predict(ids)).max()
    assert measured.sample == "the sample given"
    stream = Model.sequential([random_lstm(rng, 3, 20, return_sequences=True)]).with_precision(precision)
    x = rng.normal(size=(4, 6, 3))
    s = stream.stream(4)
    assert np.array_equal(np.concatenate([s.feed(x[:, :1]), s.feed(x[:, 1:])], axis=1), stream.predict(x))
    assert np.array_equal(stream.predict(x[1:2])[0], stream.predict(x)[1])


def test_precision_of_nested_models():
    rng = np.random.default_rng(8)
    nested = L.Nested("n", Model.sequential([random_lstm(rng, 3, 16)]))
    m = Model.sequential([nested], (None, 3)).with_precision("int8")
    assert m.layer("n").model.layer("lstm").precision == "int8"
    with pytest.raises(InputError, match="LSTM 'lstm': 'precision' must be one of float32, bfloat16, int8, got 'half'"):
        m.with_precision("half")


# -- layers of one's own -----------------------------------------------------------------------------------------------


def test_layers_of_ones_own():
    class Doubled(L.Elementwise):
        def apply(self, x):
            return 2 * x

    register_layer("Doubled", lambda name, config, weights: Doubled(name))
    m = Model.sequential([registered("Doubled")("twice", {}, []), random_lstm(np.random.default_rng(9), 3, 4)],
                         (None, 3))
    x = RNG.normal(size=(1, 4, 3))
    assert np.array_equal(m.predict(x), Model.sequential(m.layers[1:]).predict(2 * x.astype(np.float32)))
    assert registered("Nobody") is None
    with pytest.raises(InputError, match="register_layer: 'factory' must be a callable"):
        register_layer("X", None)
    with pytest.raises(InputError, match="'class_name' must be the name of a class, got ''"):
        register_layer("", plain)


# -- import ------------------------------------------------------------------------------------------------------------


def test_import_brings_nothing_heavy():
    code = ("import sys, numpy, kiyas.recurrent; "
            "print([m for m in ('torch', 'h5py', 'onnx', 'tensorflow', 'keras', 'scipy', 'onnxruntime') "
            "if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_state_of_a_stream_goes_into_predict():
    m = text_model()
    ids = RNG.integers(0, 12, (2, 6))
    stream = m.stream(2)
    stream.feed(ids[:, :2])
    assert isinstance(stream.state, State)
    assert np.array_equal(m.predict(ids[:, 2:], state=stream.state), m.predict(ids))
