"""The names of Keras on our models."""

from pathlib import Path

import numpy as np
import pytest
from recurrent_models import random_lstm, text_model_layers

from kiyas.errors import InputError
from kiyas.recurrent import Model, Node, keras
from kiyas.recurrent import layers as L

RNG = np.random.default_rng(0)
GOLDEN = Path(__file__).parent / "golden" / "recurrent" / "keras"


def stateful_model():
    rng = np.random.default_rng(1)
    return Model.sequential([random_lstm(rng, 3, 4, "a", stateful=True, return_sequences=True),
                             random_lstm(rng, 4, 2, "b", stateful=True)])


def test_predict_in_batches():
    model = Model.sequential(text_model_layers(np.random.default_rng(2), mask_zero=True))
    ids = RNG.integers(0, 12, (70, 4))
    ids[3] = 0  # only padding: Keras gives an answer
    mine = keras.KerasModel(model)
    assert np.array_equal(mine.predict(ids, verbose=0), model.predict(ids))
    assert np.array_equal(mine(ids, training=False), model.predict(ids))
    assert np.array_equal(mine.predict_on_batch(ids), model.predict(ids))


def test_a_stateful_loop():
    """The usual loop: a step at a time, batch_size=1, the state reset between texts."""
    model = stateful_model()
    x = RNG.normal(size=(1, 5, 3))
    mine = keras.KerasModel(model)
    assert mine.stateful
    for _ in range(2):
        steps = [mine.predict(x[:, t:t + 1], batch_size=1, verbose=0) for t in range(5)]
        assert np.array_equal(steps[-1], model.predict(x))
        mine.reset_states()
    assert np.array_equal(mine(x), model.predict(x))
    mine.reset_state()
    assert np.array_equal(mine.predict(x.repeat(2, axis=0)), model.predict(x.repeat(2, axis=0)))


def test_rows_follow_one_another_in_batches_of_one():
    x = RNG.normal(size=(3, 2, 3))
    mine = keras.KerasModel(stateful_model())
    assert np.array_equal(mine.predict(x, batch_size=1)[-1:], stateful_model().predict(x.reshape(1, 6, 3)))


def test_the_batch_of_a_stateful_model_is_fixed():
    mine = keras.KerasModel(stateful_model())
    mine.predict(np.zeros((2, 1, 3)))
    with pytest.raises(InputError, match="'x' must be of batch 2 or a multiple of it"):
        mine.predict(np.zeros((3, 1, 3)))


@pytest.mark.parametrize("make", [stateful_model, lambda: Model.sequential([random_lstm(RNG, 3, 4)])])
def test_a_mask_that_is_given(make):
    x, mask = RNG.normal(size=(2, 3, 3)), np.array([[0, 1, 1], [0, 0, 0]], bool)
    model = make()
    assert np.array_equal(keras.KerasModel(model)(x, mask=mask), model.predict(x, mask=mask, empty="zero"))


def test_several_outputs_are_a_list():
    nodes = [Node(L.Input("x", (3,))), Node(L.Dense("a", np.ones((2, 3))), ((0, 0),)),
             Node(L.Dense("b", np.ones((1, 3))), ((0, 0),))]
    mine = keras.KerasModel(Model(nodes, [0], [(1, 0), (2, 0)]))
    assert [y.shape for y in mine.predict(np.ones((4, 3)))] == [(4, 2), (4, 1)]
    assert mine.input_shape == (None, 3)
    assert mine.output_shape == [(None, 2), (None, 1)]


@pytest.mark.parametrize("version", ["k2", "k3"])
def test_outputs_in_a_dictionary_are_a_dictionary(version, tmp_path):
    path = GOLDEN / f"mapped_{version}.keras"
    io = np.load(GOLDEN / f"mapped_{version}.npz")
    model = keras.load_model(path)
    x = {"right": io["x1"], "left": io["x0"]}
    model.model.save(tmp_path / "own.safetensors")
    for mine in (model, keras.load_model(tmp_path / "own.safetensors"),
                 keras.KerasModel(model.model.with_precision("float32"))):
        for y in (mine.predict(x, verbose=0), mine.predict_on_batch(x), mine(x)):
            assert isinstance(y, dict) and sorted(y) == ["a", "head", "late", "z"]
            for key, number in zip(sorted(y), range(4), strict=True):
                assert np.abs(y[key] - io[f"y{number}"]).max() <= 1e-6
    shapes = {"a": (None, 2), "head": (None, 1), "late": (None, 4, 3), "z": (None, 2)}
    assert model.output_shape == (shapes if version == "k2" else list(shapes.values()))


A, B = ["a", 0, 0], ["b", 0, 0]


@pytest.mark.parametrize(("outputs", "gives"), [
    (A, "a"), ([A], "a"), ([A, B], ["a", "b"]), ({"z": A, "b": B}, {"z": "a", "b": "b"}), ({"z": A}, {"z": "a"}),
    ({"q": [A, B], "c": B}, {"q": ["a", "b"], "c": "b"}), ([{"z": A, "b": B}, A], [{"z": "a", "b": "b"}, "a"]),
    ({"q": {"u": A, "r": B}}, {"q": {"u": "a", "r": "b"}}), ([[A, B], A], [["a", "b"], "a"]),
    ({"q": [A]}, {"q": ["a"]}), ([[A]], ["a"]),
    ([{"z": A}], {"z": "a"}), ([A, [A]], ["a", ["a"]]), ({"z": A, "y": A}, {"z": "a", "y": "a"}),
])
def test_outputs_are_held_as_keras_holds_them(outputs, gives, tmp_path):
    """What Keras 3.15 gives for each; Keras 2.15 too, which writes [[a]] as [a]."""
    h5py = pytest.importorskip("h5py")
    dense = [{"class_name": "Dense", "name": name, "inbound_nodes": [[["x", 0, 0, {}]]],
              "config": {"name": name, "units": units}} for name, units in (("a", 2), ("b", 1))]
    x = {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 3]},
         "inbound_nodes": []}
    config = {"class_name": "Functional", "config": {"name": "m", "layers": [x, *dense], "input_layers": [["x", 0, 0]],
                                                     "output_layers": outputs}}
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        for group, units in (("dense", 2), ("dense_1", 1)):
            file[f"layers/{group}/vars/0"], file[f"layers/{group}/vars/1"] = np.ones((3, units)), np.zeros(units)
    found = keras.load_model(tmp_path / "m.weights.h5", config=config).predict(np.ones((4, 3)))

    def named(y):
        if isinstance(y, dict):
            return {key: named(inner) for key, inner in y.items()}
        return [named(inner) for inner in y] if isinstance(y, list) else {2: "a", 1: "b"}[y.shape[1]]
    assert named(found) == gives


@pytest.mark.parametrize("held", ["{", "[0, 1, 2]", "1.5", 3])
def test_outputs_that_are_not_there_are_refused(held):
    model = Model.sequential([L.Dense("a", np.ones((2, 3)))], source={"outputs": held})
    with pytest.raises(InputError, match="KerasModel: 'model' must be one whose source tells of its 1 outputs, got"):
        keras.KerasModel(model)


def test_what_it_says_of_itself(capsys):
    mine = keras.KerasModel(Model.sequential(text_model_layers(np.random.default_rng(2))))
    mine.summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["lstm_1", "(LSTM)", "(None,", "None,", "6)", "288", "compiled,", "float32"]
    assert lines[-1] == "744 weights"
    assert [layer.name for layer in mine.layers] == ["embedding", "lstm_1", "lstm_2", "head"]
    assert mine.get_layer("head").weights.shape == (12, 6)
    assert mine.output_shape == (None, 12)


def test_load_model(tmp_path):
    model = stateful_model()
    model.save(tmp_path / "m.safetensors")
    mine = keras.load_model(tmp_path / "m.safetensors", compile=False)
    x = RNG.normal(size=(1, 5, 3))
    assert np.array_equal(mine.predict(x), model.predict(x))
    assert mine.stateful
