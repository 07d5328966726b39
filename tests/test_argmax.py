"""The largest output of a product, found by a first look: what all outputs say, or None, and never anything else."""

import pickle
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrent_weights import floats

from kiyas import kernels
from kiyas.errors import InputError
from kiyas.kernels.argmax import Argmax
from kiyas.kernels.recurrent import Linear, softmax
from kiyas.recurrent import Model, Tokenizer, layers
from kiyas.recurrent.generation import Generated, Token, generate, generate_tokens
from kiyas.recurrent.layers.dense import Dense


def checked(weights, bias, x):
    """The argmax, which must be that of all outputs; None only where two are within 1e-6 or sums may overflow."""
    linear = Linear(weights, bias)
    y = linear(x[None])[0]
    found = Argmax(linear, weights, bias)(x)
    if found is None:
        second, first = np.sort(y)[-2:] if y.size > 1 else (-np.inf, y[0])
        largest = np.linalg.norm(np.float64(weights), axis=1).max() * np.linalg.norm(np.float64(x))
        assert largest + (0 if bias is None else abs(bias).max()) > 9e37 or first - second < 1e-6
    else:
        assert found == y.argmax() == softmax(y[None])[0].argmax()
        assert np.isfinite(y[found])
    return found


@pytest.mark.parametrize("outputs, inputs", [(1, 1), (2, 7), (64, 16), (65, 33), (1000, 130), (3000, 64)])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 30.0, 1e12])
def test_it_is_the_argmax_of_all_outputs(every_level, outputs, inputs, scale):
    rng = np.random.default_rng([outputs, inputs])
    weights, bias = floats(rng, outputs, inputs) * np.float32(scale), floats(rng, outputs)
    certain = 0
    for i in range(20):
        found = checked(weights, bias if i % 2 else None, np.tanh(floats(rng, inputs) * 2))
        certain += found is not None
    assert certain >= (20 if scale >= 1 else 10), "without a bias, tiny outputs lie within 1e-6 of each other"


@given(st.data())
def test_whatever_the_numbers(data):
    n, m = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    spread = data.draw(st.sampled_from([0.0, 1.0, 30.0]))
    weights = floats(rng, n, m) * np.exp2(rng.uniform(-spread, spread, (n, 1))).astype(np.float32)
    weights[rng.random((n, m)) < data.draw(st.sampled_from([0.0, 0.5, 1.0]))] = 0
    x = np.tanh(floats(rng, m)) * np.float32(data.draw(st.sampled_from([0.0, 1e-42, 1e-31, 1e-10, 1.0, 1e20, 3e38])))
    checked(weights, None if data.draw(st.booleans()) else floats(rng, n) * np.float32(spread), x)


def test_rows_that_differ_by_less_than_their_codes_are_told_apart(every_level):
    rng = np.random.default_rng(4)
    one = floats(rng, 128)
    x = np.tanh(floats(rng, 128))
    for gap in (1e-3, 1e-5, 3e-6):
        weights = np.tile(one, (700, 1))
        weights[rng.permutation(700)[0]] += np.float32(gap) * x / (x @ x)
        assert checked(weights, None, x) is not None
    for scale in (0.0, 1e-10, 1e-5):  # nothing but the bias tells them apart, by less than a softmax does
        weights, bias = floats(rng, 3000, 64), np.zeros(3000, np.float32)
        weights[1000] = weights[2000]
        bias[2000] = 1e-3
        for gap in (0, 2.5e-8, 9e-7, 1.2e-6):
            bias[1000] = bias[2000] - np.float32(gap)
            assert (checked(weights, bias, floats(rng, 64) * np.float32(scale)) is None) == (gap < 1e-6)
    for place in (0, 699):  # as large: the lower place is a softmax's argmax, so it is left to that
        weights = np.tile(one, (700, 1))
        weights[place, 0] = np.nextafter(one[0], np.float32(9))
        assert checked(weights, None, x) is None


def test_bounds_hold_where_every_rounding_goes_one_way(every_level):
    """The largest loses half a code in every place, another wins one: a bound of half would miss it."""
    inputs, low, high = 128, 5, 150
    weights, x = np.full((200, inputs), -1.0), np.full(inputs, 0.5)
    weights[low], weights[high] = 60.49, 60.48  # with codes of 1 and of 61/60.48 · 0.992
    weights[low, 0], weights[high, 0] = 127, 127 * 60.48 / 60.52
    assert checked(weights.astype(np.float32), None, x.astype(np.float32)) == low
    # Now codes of x lose in the places that the largest has, and win in those of the other.
    weights, x = np.full((200, inputs), -1.0), np.full(inputs, 60.49)
    x[0], x[64:] = 127, 60.51
    weights[low], weights[high] = 0, 0
    weights[low, 1:64], weights[high, 64:127] = 1.001, 1
    assert checked(weights.astype(np.float32), None, x.astype(np.float32)) == low


def test_no_number_is_never_hidden(every_level):
    rng = np.random.default_rng(5)
    weights, x = floats(rng, 500, 40), floats(rng, 40)
    argmax = Argmax(Linear(weights), weights)
    linear = Linear(np.array([[2.3e38, -2.3e38], [1, 2]], np.float32))
    assert not np.isfinite(linear(np.array([[1.6, 1.6]], np.float32))[0, 0])
    assert Argmax(linear, np.array([[2.3e38, -2.3e38], [1, 2]]))(np.array([1.6, 1.6], np.float32)) is None
    for wrong in (np.nan, np.inf, -np.inf, 3e38):
        x[7] = wrong
        assert argmax(x) is None
    with pytest.raises(InputError, match="'x' must be of shape \\(40,\\), got shape \\(41,\\)"):
        argmax(np.zeros(41, np.float32))


@pytest.mark.parametrize(("make", "words"), [
    (lambda w: Argmax(Linear(w, precision="int8"), w),
     "'linear' must be of float32 weights and up to 130000 inputs, got int8 and 3 inputs"),
    (lambda w: Argmax(Linear(w), w[:1]), r"'weights' must be of shape \(2, 3\), got shape \(1, 3\)"),
    (lambda w: Argmax(Linear(w * np.nan), w * np.nan), "'weights' must be finite, got NaN or infinity"),
])
def test_what_it_cannot_be_made_of(make, words):
    with pytest.raises(InputError, match=words):
        make(np.ones((2, 3), np.float32))


def test_the_level_is_that_of_the_product(monkeypatch):
    rng = np.random.default_rng(7)
    weights, x = floats(rng, 1000, 64), floats(rng, 64)
    for name in kernels.levels():
        monkeypatch.setenv(kernels.LEVEL_VARIABLE, name)
        linear = Linear(weights)
        for other in kernels.levels():
            monkeypatch.setenv(kernels.LEVEL_VARIABLE, other)
            assert Argmax(linear, weights)(x) == linear(x[None])[0].argmax()


# -- generation --------------------------------------------------------------------------------------------


def talker(activation="softmax", precision="float32", vocabulary=1100):
    rng = np.random.default_rng(6)
    head = floats(rng, vocabulary, 64)
    lstm = layers.LSTM("lstm", floats(rng, 256, 20), floats(rng, 256, 64) / 3, None)
    model = Model.sequential([layers.Embedding("embedding", floats(rng, vocabulary, 20) * 3), lstm,
                              Dense("head", head, floats(rng, vocabulary), activation, precision)])
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts([" ".join(f"w{i}" for i in range(vocabulary - 1))])
    return model, tokenizer


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_greedy_words_and_their_log_probabilities_are_those_of_all_outputs(every_level, activation):
    model, tokenizer = talker(activation)
    assert model.nodes[-1].layer.argmax is not None
    made = generate(model, tokenizer, "w5 w7", 80)
    whole = generate(model, tokenizer, "w5 w7", 80, probabilities=True)
    assert len(set(made.ids)) > 20
    assert made.ids.tolist() == whole.ids.tolist()
    np.testing.assert_allclose(made.log_probabilities, whole.log_probabilities, rtol=1e-12, atol=1e-15)
    one_by_one = [token.log_probability for token in generate_tokens(model, tokenizer, "w5 w7", 80)]
    assert one_by_one == made.log_probabilities.tolist()
    token = next(generate_tokens(model, tokenizer, "w5 w7", 1))
    assert asdict(token)["log_probability"] == one_by_one[0]
    assert f"log_probability={one_by_one[0]!r}" in repr(token)
    assert Token(1, "w1", " w1", log_probability=-0.5).log_probability == -0.5
    kept = pickle.loads(pickle.dumps(generate(model, tokenizer, "w5 w7", 3)))
    assert [token.log_probability for token in kept.tokens] == one_by_one[:3]


def test_tokens_of_several_models_in_one_text_keep_their_own_log_probabilities():
    one, tokenizer = talker()
    other = one.sequential([one.nodes[1].layer, one.nodes[2].layer,
                            Dense("head", -one.nodes[3].layer.weights, None, "softmax")])
    made = [generate(model, tokenizer, "w5 w7", 4) for model in (one, other, one)]
    joined = Generated("", "", tuple(token for each in made for token in each.tokens), None)
    wanted = [generate(model, tokenizer, "w5 w7", 4).log_probabilities for model in (one, other, one)]
    np.testing.assert_array_equal(joined.log_probabilities, np.concatenate(wanted))


def test_it_is_used_where_it_saves_something():
    x = np.array([5])
    model, _ = talker()
    stream = model.stream()
    lazy = stream.step_lazily(x)
    wanted = model.stream().step(x)
    assert lazy.argmax == wanted.argmax()
    assert lazy.all().tobytes() == wanted.tobytes()
    state = model.step(x)[1]
    for mine, theirs in zip(stream.state.values(), state.values(), strict=True):
        assert [a.tobytes() for a in mine] == [a.tobytes() for a in theirs]
    for other in (talker(precision="int8")[0], talker("sigmoid")[0], talker(vocabulary=300)[0]):
        stream = other.stream()
        assert stream.step_lazily(x) is None
        assert stream.step(x).tobytes() == other.stream().step(x).tobytes(), "the state is as before"
    assert model.stream(2).step_lazily(np.array([5, 6])) is None
    for wrong in (np.array([-1]), np.array([1100]), np.array([5.0]), [5]):
        assert model.stream().step_lazily(wrong) is None
