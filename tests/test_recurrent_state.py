"""State as a value: get, set, fork, stack, split, take, files."""

import json

import numpy as np
import pytest
from recurrent_models import random_gru, random_lstm, text_model_layers
from safetensors.numpy import save_file

from kiyas.errors import FileError, InputError
from kiyas.recurrent import Model, State
from kiyas.recurrent.layers import Bidirectional, Dense, Dropout, Power

RNG = np.random.default_rng(0)


def model():
    return Model.sequential([random_lstm(np.random.default_rng(0), 3, 4, "a", return_sequences=True),
                             random_gru(np.random.default_rng(1), 4, 5, "b")])


def some(batch=2):
    _, state = model().predict(RNG.normal(size=(batch, 3, 3)), return_state=True)
    return state


def test_what_it_holds():
    state = some()
    assert list(state) == ["a", "b"]
    assert len(state) == 2
    assert [a.shape for a in state["a"]] == [(2, 4), (2, 4)]
    assert [a.shape for a in state["b"]] == [(2, 5)]
    assert state.batch == 2
    assert repr(state) == "State(batch 2: a (4, 4), b (5,))"
    assert "a" in state
    assert "c" not in state


def test_a_fresh_state_is_zero_and_changes_nothing():
    m, x = model(), RNG.normal(size=(2, 5, 3))
    zero = m.new_state(2)
    assert all((a == 0).all() for arrays in zero.values() for a in arrays)
    assert np.array_equal(m.predict(x, state=zero), m.predict(x))


def test_it_cannot_be_written_to():
    state = some()
    with pytest.raises(ValueError, match="read-only"):
        state["a"][0][:] = 1
    with pytest.raises(ValueError, match="read-only"):
        model().step(np.zeros((1, 3)))[1]["a"][0][:] = 1
    stream = model().stream()
    stream.feed(np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="read-only"):
        stream.state["a"][0][:] = 1


def test_what_it_was_made_of_may_change():
    h = np.zeros((1, 2), np.float32)
    state = State({"rnn": [h]})
    h[:] = 1
    assert (state["rnn"][0] == 0).all()


@pytest.mark.parametrize("after", [[], [Power("as_it_is", 1.0)], [Dropout("dropout")], [Dense("head", np.eye(4))]])
def test_the_output_of_a_step_may_be_written_to(after):
    lstm = random_lstm(np.random.default_rng(0), 3, 4, "a", return_sequences=True)
    given = Model.sequential([lstm, *after])
    y, state = given.step(np.ones((1, 3), np.float32))
    copy = y.copy()
    y[...] = 99
    np.testing.assert_array_equal(state["a"][0], copy)


def test_a_step_leaves_the_state_before_as_it_was():
    m = model()
    _, one = m.step(np.ones((1, 3)))
    kept = one.copy()
    m.step(np.ones((1, 3)), one)
    m.predict(np.ones((1, 4, 3)), state=one)
    m.stream(state=one).feed(np.ones((1, 4, 3)))
    assert one == kept


def test_set_gives_another():
    state = some()
    other = state.set("b", np.ones((2, 5)))
    assert (other["b"][0] == 1).all()
    assert not (state["b"][0] == 1).all()
    assert other["a"][1] is not None
    assert state != other
    assert state == state.copy()
    assert state.fork() is not state


def test_split_and_stack():
    state = some(3)
    assert State.stack(state.split()) == state
    one, two = state.split([1, 2])
    assert (one.batch, two.batch) == (1, 2)
    assert State.stack([two, one]) == state.take([1, 2, 0])
    assert state.take(np.array([2, 2])).batch == 2


def test_the_state_of_a_model_without_recurrent_layers_has_rows(tmp_path):
    model = Model.sequential([Dense("d", np.arange(6.0).reshape(2, 3))])
    x = np.ones((3, 3), np.float32)
    y, state = model.step(x)
    state.save(tmp_path / "state.safetensors")
    assert state.batch == model.new_state(3).batch == state.copy().batch == State.stack(state.split()).batch == 3
    for other in (state, state.take([2, 0, 0]), State.stack(state.split()), state.copy(), model.new_state(3), {},
                  State.load(tmp_path / "state.safetensors")):
        assert np.array_equal(model.step(x, other)[0], y)
    assert state.take([1]).batch == 1


def test_streams_fork():
    m = model()
    stream = m.stream()
    stream.feed(np.ones((1, 3, 3)))
    other = stream.fork()
    a = stream.feed(np.ones((1, 2, 3)))
    before = other.state
    b = other.feed(np.ones((1, 2, 3)))
    assert np.array_equal(a, b)
    assert before != stream.state == other.state
    stream.reset()
    assert stream.state == m.new_state()
    stream.state = before
    assert np.array_equal(stream.feed(np.ones((1, 2, 3))), b)


def test_files(tmp_path):
    state = some(3)
    state.save(tmp_path / "state.safetensors")
    read = State.load(tmp_path / "state.safetensors")
    assert read == state
    assert list(read) == list(state)
    x = RNG.normal(size=(3, 4, 3))
    assert np.array_equal(model().predict(x, state=read), model().predict(x, state=state))


def test_names_of_layers_are_free(tmp_path):
    state = State({"model/lstm.1": [np.ones((1, 2))], "0": [np.zeros((1, 3)), np.ones((1, 3))]})
    state.save(tmp_path / "s")
    assert State.load(tmp_path / "s") == state


def test_more_than_ten_layers_keep_their_order(tmp_path):
    state = State({f"l{i}": [np.full((1, 2), i), np.full((1, 2), -i)] for i in range(12)})
    state.save(tmp_path / "s")
    assert State.load(tmp_path / "s") == state


def about(**changes):
    return {"format": "kiyas.recurrent.State", "version": "1", "layers": json.dumps(["a"])} | changes


@pytest.mark.parametrize(("metadata", "words"), [
    ({"format": "other"}, "is no state of kiyas"),
    (about(version="2"), "has format version 2, this kiyas reads up to 1; upgrade kiyas"),
    (about(version="x"), "is incomplete or altered"),
    (about(layers="{"), "is incomplete or altered"),
    (about(layers="3"), "is incomplete or altered"),
    ({"format": "kiyas.recurrent.State"}, "is incomplete or altered"),
])
def test_altered_files(tmp_path, metadata, words):
    save_file({"0.0": np.zeros((1, 2), np.float32)}, tmp_path / "s", metadata=metadata)
    with pytest.raises(FileError, match=words):
        State.load(tmp_path / "s")


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileError, match="there is no such file"):
        State.load(tmp_path / "s")
    some().save(tmp_path / "s")
    data = (tmp_path / "s").read_bytes()
    for end in (0, 5, 60, len(data) - 1):
        (tmp_path / "s").write_bytes(data[:end])
        with pytest.raises(FileError, match="is incomplete or altered"):
            State.load(tmp_path / "s")


# -- how a state is given ----------------------------------------------------------------------------------------------


def test_as_a_mapping_and_as_torch_has_it():
    rng = np.random.default_rng(3)
    m = Model.sequential([random_lstm(rng, 3, 4, "a", return_sequences=True), random_lstm(rng, 4, 4, "b")])
    h0, c0, x = rng.normal(size=(2, 2, 4)), rng.normal(size=(2, 2, 4)), rng.normal(size=(2, 5, 3))
    as_mapping = m.predict(x, state={"a": (h0[0], c0[0]), "b": (h0[1], c0[1])})
    assert np.array_equal(m.predict(x, state=(h0, c0)), as_mapping)
    assert np.array_equal(m.step(x[:, 0], (h0, c0))[0], m.predict(x[:, :1], state=(h0, c0)))
    gru = Model.sequential([random_gru(rng, 3, 4)])
    assert np.array_equal(gru.predict(x, state=h0[:1]), gru.predict(x, state={"gru": [h0[0]]}))


def test_as_torch_has_it_both_ways():
    rng = np.random.default_rng(4)
    both = Bidirectional("both", random_lstm(rng, 3, 4, "f"), random_lstm(rng, 3, 4, "b"))
    m = Model.sequential([both, Dense("d", np.eye(8))])
    h0, c0, x = rng.normal(size=(2, 1, 4)), rng.normal(size=(2, 1, 4)), rng.normal(size=(1, 5, 3))
    wanted = m.predict(x, state={"both": (h0[0], c0[0], h0[1], c0[1])})
    assert np.array_equal(m.predict(x, state=(h0, c0)), wanted)


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "words"), [
    (lambda: some(3), r"'state' must be of batch 2, as the input, got batch 3"),
    (lambda: State({"a": [np.zeros((2, 4))] * 2}), "'state' must be one for a, b, got a"),
    (lambda: State({"a": [np.zeros((2, 4))] * 2, "b": [np.zeros((2, 4))]}),
     r"'state' must be arrays of widths \(5,\) for b, got \(4,\)"),
    (lambda: State({**some(), "c": [np.zeros((2, 1))]}), "'state' must be one for a, b, got also c"),
    (lambda: some().set("b", np.full((2, 5), np.nan)), "'state' must be finite, got NaN or infinity in b"),
    (lambda: (np.zeros((2, 2, 4)), np.zeros((2, 2, 4))), "'state' must be a State, or h0 or"),
    (lambda: np.zeros((2, 4)), r"'state' must be a State, or h0 or \(h0, c0\) of shape \(layers·directions, batch"),
])
def test_states_that_do_not_fit(state, words):
    given = state()
    with pytest.raises(InputError, match="Model.predict: " + words):
        model().predict(np.zeros((2, 3, 3)), state=given)
    with pytest.raises(InputError, match="Model.step: " + words):
        model().step(np.zeros((2, 3)), given)


def test_streams_refuse_states_that_do_not_fit():
    with pytest.raises(InputError, match=r"Stream.state: 'state' must be of batch 1, as the input, got batch 2"):
        model().stream(state=some(2))


@pytest.mark.parametrize(("make", "words"), [
    (lambda: State({"a": [np.zeros(3)]}), r"State: 'a' must be arrays of shape \(batch, width\), got shape \(3,\)"),
    (lambda: State({"a": [np.zeros((1, 3)), np.zeros((2, 3))]}), "'a' must be of batch 1, as the arrays before, got"),
    (lambda: some()["c"], "State: 'name' must be one of a, b, got 'c'"),
    (lambda: some().set("b", np.zeros((2, 4))), r"State.set: 'b' must be 1 arrays of shapes \[\(2, 5\)\], got"),
    (lambda: some().take([2]), r"State.take: 'rows' must be a list of whole numbers from 0 to 1, got \[2\]$"),
    (lambda: some().take([-1]), "whole numbers from 0 to 1"),
    *((lambda rows=rows: some().take(rows), r"'rows' must be .*, got .*; np.flatnonzero\(mask\) gives those of a mask$")
      for rows in ([True, False], np.array([True, False]), [True, 1], [0, np.True_], [0.5], ["1"], 1, [[0]], [[0], 1])),
    (lambda: some().take([]), r"got \[\]$"),
    (lambda: some().split([1, 2]), r"'sizes' must be .* of 1 or above that add up to 2, got \[1, 2\]$"),
    *((lambda sizes=sizes: some().split(sizes), "State.split: 'sizes' must be a list of whole numbers of 1 or above")
      for sizes in ([True, True], [1.0, 1.0], [0, 2], [3, -1], 2, [])),
    (lambda: State.stack([some(), 1]), "State.stack: 'states' must be at least one state, got State, int"),
    (lambda: State.stack([]), "State.stack: 'states' must be at least one state, got none"),
    (lambda: State.stack([some(), State({"a": [np.zeros((2, 1))]})]), "'states' must be states of one model, with"),
    (lambda: model().new_state(0), "Model.new_state: 'batch' must be an integer from 1"),
])
def test_errors(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_a_file_that_cannot_be_written_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for save in (some().save, model().save):
        with pytest.raises(FileError, match=r"file/x\.safetensors: cannot be written \([^\n]*\)$"):
            save(tmp_path / "file" / "x.safetensors")
        save(tmp_path / "new" / "x.safetensors")  # the folder is made
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.safetensors"]


def test_a_text_model_has_a_state_for_each_lstm():
    assert list(Model.sequential(text_model_layers(RNG)).new_state()) == ["lstm_1", "lstm_2"]
