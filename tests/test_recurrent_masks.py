"""Masks, lengths and directions against the oracle: padding in front, behind, between and everywhere."""

from dataclasses import replace

import naive_recurrent as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_models import both_ways, every_recurrent_layer, plain, random_gru, random_lstm, random_rnn

from kiyas.recurrent import Model
from kiyas.recurrent import layers as L

M, N = 3, 4
LAYERS = {layer.name: layer for layer in every_recurrent_layer(np.random.default_rng(0), M, N)}


def random_rows(rng, batch=5, time=6):
    return rng.normal(size=(batch, time, M)).astype(np.float32)


def random_mask(rng, kind, batch, time):
    count = rng.integers(0, time + 1, batch)
    behind = np.arange(time) < count[:, None]
    return {"behind": behind, "front": behind[:, ::-1], "between": rng.random((batch, time)) < 0.5,
            "none": np.ones((batch, time), bool), "all": np.zeros((batch, time), bool)}[kind]


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=3e-6)


def check_states(state, name, wanted):
    for k, array in enumerate(state[name]):
        close(array, [row[k] for row in wanted])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", ["behind", "front", "between", "none", "all"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "backward"])
def test_a_mask_of_any_kind(name, kind, backwards):
    rng = np.random.default_rng([len(name), len(kind), backwards])
    x = random_rows(rng)
    mask = random_mask(rng, kind, *x.shape[:2])
    layer = replace(LAYERS[name], go_backwards=backwards)
    every, last, ends = naive.sequence(plain(layer), x.tolist(), mask=mask.tolist(), reverse=backwards)
    y, state = Model.sequential([layer]).predict(x, mask=mask, return_state=True, empty="zero")
    close(y, last)
    check_states(state, name, ends)
    y = Model.sequential([replace(layer, return_sequences=True)]).predict(x, mask=mask, empty="zero")
    close(y[:, ::-1] if backwards else y, every)


@pytest.mark.parametrize("name", LAYERS)
def test_lengths_with_an_initial_state(name):
    rng = np.random.default_rng(len(name))
    x, lengths = random_rows(rng), np.array([6, 0, 1, 3, 6])
    layer = replace(LAYERS[name], return_sequences=True)
    before = [rng.normal(size=(5, w)).astype(np.float32) for w in layer.state_widths]
    states = list(zip(*(b.tolist() for b in before), strict=True))
    every, _, ends = naive.sequence(plain(layer), x.tolist(), lengths=lengths.tolist(), states=states)
    y, state = Model.sequential([layer]).predict(x, lengths=lengths, state={name: before}, return_state=True,
                                                 empty="zero")
    close(y, every)
    check_states(state, name, ends)
    assert (state[name][0][1] == 0).all(), "a length of 0 ends with zeros, as in ONNX Runtime"


@pytest.mark.parametrize("make", [random_lstm, random_gru, random_rnn])
@pytest.mark.parametrize("given", ["mask", "lengths"])
@pytest.mark.parametrize("sequences", [True, False])
def test_both_ways(make, given, sequences):
    rng = np.random.default_rng(4)
    x, lengths = random_rows(rng), np.array([6, 2, 1, 3, 6])
    mask = np.arange(6) < lengths[:, None] if given == "lengths" else random_mask(rng, "between", 5, 6)
    layer = both_ways(rng, make, M, N, return_sequences=sequences)
    how = {"lengths": lengths} if given == "lengths" else {"mask": mask, "empty": "zero"}
    found = Model.sequential([layer]).predict(x, **how)
    for way, part in ((layer.forward, found[..., :N]), (layer.backward, found[..., N:])):
        every, last, _ = naive.sequence(plain(way), x.tolist(), mask=mask.tolist(), reverse=way is layer.backward,
                                        zero_masked=sequences)
        close(part, every if sequences else last)


def test_zeros_where_masked():
    rng = np.random.default_rng(5)
    x, mask = random_rows(rng), random_mask(rng, "between", 5, 6)
    layer = replace(LAYERS["lstm"], return_sequences=True, zero_output_for_mask=True)
    every, _, _ = naive.sequence(plain(layer), x.tolist(), mask=mask.tolist(), zero_masked=True)
    close(Model.sequential([layer]).predict(x, mask=mask, empty="zero"), every)


def test_the_last_output_where_it_is_masked_is_zero_without_a_sign():
    layer = replace(LAYERS["lstm"], zero_output_for_mask=True)
    x = random_rows(np.random.default_rng(5))
    mask = np.ones(x.shape[:2], bool)
    mask[:, -1] = False
    y = Model.sequential([layer]).predict(x, mask=mask)
    assert not y.any() and not np.signbit(y).any()
    stream = Model.sequential([layer]).stream(len(x))
    stream.feed(x[:, :-1])
    assert stream.feed(x[:, -1:], mask=mask[:, -1:]).tobytes() == y.tobytes()


def test_what_is_masked_does_not_matter():
    rng = np.random.default_rng(6)
    x, mask = random_rows(rng), random_mask(rng, "between", 5, 6)
    model = Model.sequential([replace(LAYERS["lstm"], return_sequences=True)])
    other = np.where(mask[..., None], x, np.float32(1e30))
    assert np.array_equal(model.predict(x, mask=mask, empty="zero"), model.predict(other, mask=mask, empty="zero"))


def test_ids_of_zero_mask_their_steps():
    rng = np.random.default_rng(7)
    table = rng.normal(size=(9, M))
    ids = np.array([[0, 0, 4, 2], [3, 1, 0, 0], [0, 0, 0, 0]])
    lstm = random_lstm(rng, M, N)
    found = Model.sequential([L.Embedding("e", table, mask_zero=True), lstm]).predict(ids)
    wanted = Model.sequential([lstm]).predict(table[ids], mask=ids != 0, empty="zero")
    assert np.array_equal(found, wanted)
    assert (found[2] == 0).all()
    plain_ids = Model.sequential([L.Embedding("e", table), lstm]).predict(ids)
    assert not np.array_equal(plain_ids, wanted)


def test_a_given_mask_and_that_of_ids_both_count():
    rng = np.random.default_rng(10)
    ids, mask = np.array([[0, 4, 2, 1]]), np.array([[True, True, False, True]])
    layers = [L.Embedding("e", rng.normal(size=(9, M)), mask_zero=True), random_lstm(rng, M, N)]
    both = Model.sequential(layers).predict(ids, mask=mask)
    assert np.array_equal(both, Model.sequential(layers).predict(ids[:, [1, 3]]))


def test_a_layer_may_be_told_not_to_pass_its_mask_on():
    """As Keras does after 3.15 (the switch that loaders set by the file's version)."""
    rng = np.random.default_rng(8)
    x, mask = random_rows(rng), random_mask(rng, "behind", 5, 6)
    first, second = random_lstm(rng, M, N, "a", return_sequences=True), random_lstm(rng, N, N, "b")
    stops = Model.sequential([replace(first, passes_mask=False), second])
    y = Model.sequential([first]).predict(x, mask=mask, empty="zero")
    assert np.array_equal(stops.predict(x, mask=mask, empty="zero"), Model.sequential([second]).predict(y))
    passes = Model.sequential([first, second]).predict(x, mask=mask, empty="zero")
    assert np.array_equal(passes, Model.sequential([second]).predict(y, mask=mask, empty="zero"))


# -- padding costs nothing and changes nothing -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["behind", "front", "between", "all"])
def test_masked_steps_are_not_computed(kind):
    rng = np.random.default_rng(9)
    x = random_rows(rng, 8, 10)
    mask = random_mask(rng, kind, 8, 10)
    layer = replace(LAYERS["lstm_clip"], return_sequences=True)
    advance, steps = layer.cells._advance, []

    def counted(zx, state):
        steps.append(len(zx))
        return advance(zx, state)

    layer.cells._advance = counted
    Model.sequential([layer]).predict(x, mask=mask, empty="zero")
    assert sum(steps) == mask.sum() < mask.size
    assert steps == sorted(steps, reverse=True), "rows leave the batch as they end"


@settings(max_examples=40)
@given(st.data(), st.sampled_from(sorted(LAYERS)), st.integers(1, 5), st.integers(1, 7), st.booleans())
def test_padding_changes_no_bit(data, name, batch, time, backwards):
    """A row alone without its padding gives what it gives in a padded batch, wherever the padding is."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    lengths = rng.integers(1, time + 1, batch)
    mask = np.array([rng.permutation(np.arange(time) < n) for n in lengths])
    x = random_rows(rng, batch, time)
    layer = replace(LAYERS[name], go_backwards=backwards)
    model = Model.sequential([layer])
    y, state = model.predict(x, mask=mask, return_state=True)
    for row in range(batch):
        alone, own = model.predict(x[row:row + 1, mask[row]], return_state=True)
        assert np.array_equal(alone[0], y[row])
        assert all(np.array_equal(a[0], b[row]) for a, b in zip(own[name], state[name], strict=True))
