"""The same bits whether step by step, in chunks or whole; alone or in a batch; on one thread or two."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_models import both_ways, every_recurrent_layer, random_gru, random_lstm, text_model_layers

from kiyas.recurrent import Model, Node, State
from kiyas.recurrent import layers as L

M = 3


def models():
    rng = np.random.default_rng(1)
    for layer in every_recurrent_layer(rng, M, 4, return_sequences=True):
        yield layer.name, [layer]
    yield "ends", [random_lstm(rng, M, 4)]
    yield "stack", [random_lstm(rng, M, 20, "a", return_sequences=True),
                    random_gru(rng, 20, 7, "b", return_sequences=True, reset_after=True), random_lstm(rng, 7, 33, "c"),
                    L.BatchNormalization("bn", None, None, rng.normal(size=33), rng.uniform(1, 2, 33)),
                    L.Dense("d", rng.normal(size=(11, 33)), rng.normal(size=11), "softmax")]
    yield "steps", [L.Masking("m", 9.0), random_lstm(rng, M, 4, "a", return_sequences=True),
                    L.TimeDistributed("td", L.Dense("d", rng.normal(size=(5, 4)), None, "gelu")),
                    L.LayerNormalization("ln", None, None), L.ActivationLayer("act", "softmax")]
    inner = Model.sequential([random_lstm(rng, M, 4, "in", return_sequences=True)])
    yield "nested", [L.Nested("inner", inner), random_lstm(rng, 4, 3, "out", return_sequences=True)]


MODELS = dict(models())


def model_of(name):
    layers = MODELS[name]
    return Model.sequential(layers, (None, M))


def draw_x(data, batch, time):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    scale = data.draw(st.sampled_from([1, 1e-3, 30]))
    return (rng.normal(size=(batch, time, M)) * scale).astype(np.float32)


def cuts(data, size):
    """Numbers of steps that add up to ``size``."""
    marks = sorted(data.draw(st.sets(st.integers(1, size - 1)))) if size > 1 else []
    return list(zip([0, *marks], [*marks, size], strict=True))


def same(a, b):
    assert a.shape == b.shape
    assert a.dtype == b.dtype == np.float32
    assert np.array_equal(a, b)


def last_of(y):
    return y[:, -1] if y.ndim == 3 else y


def same_state(a, b):
    assert list(a) == list(b)
    assert a == b


every_model = pytest.mark.parametrize("name", sorted(MODELS))


@every_model
@settings(max_examples=6)
@given(st.data(), st.integers(1, 4), st.integers(1, 9))
def test_chunks_and_steps(name, data, batch, time):
    model, x = model_of(name), draw_x(data, batch, time)
    whole, end = model.predict(x, return_state=True)
    stream = model.stream(batch)
    parts = [stream.feed(x[:, a:b]) for a, b in cuts(data, time)]
    state, steps, one_by_one = None, [], model.stream(batch)
    for t in range(time):
        y, state = model.step(x[:, t], state)
        steps.append(y)
        same(one_by_one.step(x[:, t]) if data.draw(st.booleans()) else last_of(one_by_one.feed(x[:, t:t + 1])), y)
    same_state(one_by_one.state, end)
    if whole.ndim == 3:
        same(np.concatenate(parts, axis=1), whole)
        same(np.stack(steps, axis=1), whole)
    else:
        same(parts[-1], whole)
        same(steps[-1], whole)
    same_state(stream.state, end)
    same_state(state, end)


@every_model
@settings(max_examples=6)
@given(st.data(), st.integers(1, 6), st.integers(1, 7))
def test_batches(name, data, batch, time):
    model, x = model_of(name), draw_x(data, batch, time)
    whole, end = model.predict(x, return_state=True)
    for row in range(batch):
        alone, own = model.predict(x[row:row + 1], return_state=True)
        same(alone[0], whole[row])
        same_state(own, end.split()[row])
    in_parts, own = model.predict(x, batch_size=data.draw(st.integers(1, batch)), return_state=True)
    same(in_parts, whole)
    same_state(own, end)


@every_model
def test_threads(name):
    rng = np.random.default_rng(2)
    model, x = model_of(name), rng.normal(size=(9, 40, M)).astype(np.float32)
    same(model.predict(x, threads=2), model.predict(x, threads=1))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_cells_that_share_their_units_between_threads(precision):
    rng = np.random.default_rng(8)
    n = 300
    layers = [random_lstm(rng, M, n, "a", return_sequences=True), random_gru(rng, n, n, "b", return_sequences=True),
              L.Dense("d", rng.normal(size=(40, n)) / n, None, "softmax")]
    model = Model.sequential([replace(layer, precision=precision) for layer in layers])
    for batch in (1, 3):
        x = rng.normal(size=(batch, 12, M)).astype(np.float32)
        lengths = rng.integers(1, 13, batch)
        whole, end = model.predict(x, return_state=True)
        two, own = model.predict(x, return_state=True, threads=2)
        same(two, whole)
        same_state(own, end)
        same(model.predict(x, lengths=lengths, threads=2), model.predict(x, lengths=lengths))
        stream = model.stream(batch)
        same(np.concatenate([stream.feed(x[:, :7], threads=2), stream.feed(x[:, 7:])], axis=1), whole)
        stream.reset()
        same(np.stack([stream.step(x[:, t]) for t in range(12)], axis=1), whole)


# Layer normalisation divides by the spread of a row, and what is rounded grows with it.
@pytest.mark.parametrize(("name", "tolerance"), [("stack", 1e-6), ("gru_after", 1e-6), ("lstm_layer_norm", 1e-5)])
def test_levels_agree_to_rounding_and_each_with_itself(name, tolerance, every_level):
    rng = np.random.default_rng(3)
    layers = [replace(layer) for layer in MODELS[name]]  # kernels are packed for a level when they are made
    x = rng.normal(size=(3, 9, M)).astype(np.float32)
    model = Model.sequential(layers, (None, M))
    whole, state = model.predict(x, return_state=True)
    stream = model.stream(3)
    parts = [stream.feed(x[:, :4]), stream.feed(x[:, 4:])]
    same(parts[-1] if whole.ndim == 2 else np.concatenate(parts, axis=1), whole)
    same_state(stream.state, state)
    np.testing.assert_allclose(whole, model_of(name).predict(x), rtol=0, atol=tolerance)


@settings(max_examples=30)
@given(st.data(), st.integers(1, 4), st.integers(1, 8))
def test_masked_chunks(data, batch, time):
    """A chunk may begin, end or consist of masked steps: outputs repeat those of the chunk before."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    layers = text_model_layers(rng, mask_zero=True)[:2]
    model = Model.sequential(layers)
    ids = rng.integers(1, 12, (batch, time)) * (rng.random((batch, time)) < 0.6)
    whole, end = model.predict(ids, return_state=True)
    stream = model.stream(batch)
    same(np.concatenate([stream.feed(ids[:, a:b]) for a, b in cuts(data, time)], axis=1), whole)
    same_state(stream.state, end)
    state, steps = None, []
    for t in range(time):
        y, state = model.step(ids[:, t], state)
        steps.append(y)
    same(np.stack(steps, axis=1), whole)
    same_state(state, end)
    stream.reset()
    same(np.stack([stream.step(ids[:, t]) for t in range(time)], axis=1), whole)
    same_state(stream.state, end)


@pytest.mark.parametrize("vocabulary", [12, 1500], ids=["table of products", "table"])
@settings(max_examples=10)
@given(st.data(), st.integers(1, 3), st.integers(1, 8))
def test_steps_of_texts(vocabulary, data, batch, time):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    model = Model.sequential(text_model_layers(np.random.default_rng(0), vocabulary))
    ids = rng.integers(0, vocabulary, (batch, time))
    whole, end = model.predict(ids, return_state=True)
    state, stream = None, model.stream(batch)
    for t in range(time):
        y, state = model.step(ids[:, t], state)
        same(stream.step(ids[:, t]), y)
    same(y, whole)
    same_state(state, end)
    same_state(stream.state, end)


@settings(max_examples=20)
@given(st.data(), st.integers(1, 5), st.integers(1, 8))
def test_lengths_and_batches(data, batch, time):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    lengths = rng.integers(1, time + 1, batch)
    model = Model.sequential([both_ways(rng, random_lstm, M, 4, return_sequences=True), random_gru(rng, 8, 3)])
    x = rng.normal(size=(batch, time, M)).astype(np.float32)
    whole = model.predict(x, lengths=lengths)
    for row, n in enumerate(lengths):
        same(model.predict(x[row:row + 1, :n])[0], whole[row])


@settings(max_examples=20)
@given(st.data(), st.integers(2, 5), st.integers(2, 8))
def test_pooling_and_attention_over_padding(data, batch, time):
    """Steps behind a row's end change no bit of what is pooled or attended to."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    lengths = rng.integers(1, time + 1, batch)
    x = rng.normal(size=(batch, time, M)).astype(np.float32)
    for layer in (L.GlobalAverage("p"), L.GlobalMax("p"), L.WeightedAttention("p", rng.normal(size=M))):
        model = Model.sequential([layer], (None, M))
        whole = model.predict(x, lengths=lengths)
        for row, n in enumerate(lengths):
            same(model.predict(x[row:row + 1, :n])[0], whole[row])


@settings(max_examples=20)
@given(st.data(), st.integers(2, 5), st.integers(1, 7))
def test_streams_of_a_batch_are_streams_of_their_own(data, batch, time):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    model = Model.sequential(text_model_layers(np.random.default_rng(0)))
    ids = rng.integers(0, 12, (batch, time))
    together = model.stream(batch)
    y = together.feed(ids)
    alone = [model.stream() for _ in range(batch)]
    ys = [s.feed(ids[i:i + 1]) for i, s in enumerate(alone)]
    same(np.concatenate(ys), y)
    same_state(State.stack([s.state for s in alone]), together.state)


def test_results_do_not_depend_on_memory_layout():
    rng = np.random.default_rng(4)
    model, x = model_of("stack"), rng.normal(size=(4, 6, M)).astype(np.float32)
    same(model.predict(np.asfortranarray(x)), model.predict(x))
    same(model.predict(x[:, ::-1][:, ::-1]), model.predict(x))
    same(model.predict(x.astype(np.float64)), model.predict(x))


@pytest.mark.parametrize("layer", [
    L.Attention("a"), L.AdditiveAttention("a"), L.Dot("a", 2), L.Dot("a", 1, True), L.Concatenate("a"), L.Add("a")],
    ids=lambda layer: type(layer).__name__)
def test_layers_of_two_signals_do_not_depend_on_the_batch(layer):
    rng = np.random.default_rng(5)
    nodes = [Node(L.Input("x", (None, 5))), Node(L.Input("y", (None, 5))), Node(layer, ((0, 0), (1, 0)))]
    model = Model(nodes, [0, 1], [(2, 0)])
    x, y = (rng.normal(size=(4, 9, 5)).astype(np.float32) for _ in range(2))
    whole = model.predict([x, y])
    for row in range(4):
        same(model.predict([x[row:row + 1], y[row:row + 1]])[0], whole[row])


@pytest.mark.parametrize("layer", [
    L.Conv1D("c", np.random.default_rng(0).normal(size=(6, 3, M)), np.ones(6), padding="same", activation="tanh"),
    L.MaxPool("p", 3, 2), L.AveragePool("p", 3, 2, "same"), L.GlobalAverage("p")], ids=lambda x: type(x).__name__)
def test_windows_do_not_depend_on_the_batch(layer, monkeypatch):
    monkeypatch.setattr("kiyas.recurrent.layers.dense._SEEN", 100)  # a few windows at a time
    x = np.random.default_rng(6).normal(size=(5, 11, M)).astype(np.float32)
    model = Model.sequential([layer], (None, M))
    whole = model.predict(x)
    for row in range(5):
        same(model.predict(x[row:row + 1])[0], whole[row])


def test_one_model_serves_several_threads_at_once():
    rng = np.random.default_rng(7)
    model = Model.sequential([random_lstm(rng, M, 70, "a", return_sequences=True), random_gru(rng, 70, 70, "b"),
                              L.Dense("d", rng.normal(size=(50, 70)), None, "softmax")])
    xs = [rng.normal(size=(3, 60, M)).astype(np.float32) for _ in range(8)]
    wanted = [model.predict(x) for x in xs]

    def work(x):
        state = None
        for t in range(60):
            y, state = model.step(x[:, t], state)
        return model.predict(x), y

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for (whole, steps), y in zip(pool.map(work, xs), wanted, strict=True):
                same(whole, y)
                same(steps, y)
