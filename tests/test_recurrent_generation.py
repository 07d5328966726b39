"""Generation against slow twins (naive_generation): sampling, the Keras loop, carried state, beams, stop words."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_generation import all_texts, chances, drawn, keras_loop

from kiyas.errors import InputError
from kiyas.recurrent import Model, Stream, layers, load
from kiyas.recurrent.generation import Sampling, beam_search, generate, generate_tokens
from kiyas.recurrent.generation.context import Context
from kiyas.recurrent.generation.reader import one_hot
from kiyas.recurrent.generation.sampling import log_probabilities
from kiyas.recurrent.generation.stops import Stops
from kiyas.recurrent.keras import KerasModel
from kiyas.recurrent.tokenizer import Tokenizer

# -- sampling ----------------------------------------------------------------------------------------------

CUTS = [{"temperature": 1.0}, {"temperature": 0.5}, {"temperature": 3.0}, {"top_k": 1}, {"top_k": 3}, {"top_p": 0.7},
        {"top_p": 1.0}, {"temperature": 0.7, "top_k": 5, "top_p": 0.9}, {"temperature": 1e-300}]
TIED = np.log([0.1, 0.2, 0.2, 0.2, 0.05, 0.2, 0.05])


def rows(seed=0, number=20, size=30):
    rng = np.random.default_rng(seed)
    for _ in range(number):
        p = rng.dirichlet(np.full(size, 0.3))
        p[rng.integers(size, size=3)] = 0  # numbers without a chance
        yield log_probabilities(p / p.sum(), False, "test")


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_the_chances_of_every_token(cuts):
    for logs in [*rows(), TIED, np.log([1.0])]:
        ids, given_chances = Sampling(**cuts).candidates(logs)
        wanted = chances(logs.tolist(), **cuts)
        assert ids.tolist() == list(wanted)
        np.testing.assert_allclose(given_chances, list(wanted.values()), rtol=1e-12)


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_draws_fall_where_the_twin_has_them(cuts):
    for seed, logs in enumerate([*rows(3), TIED]):
        sampling, mine, its = Sampling(**cuts), np.random.default_rng(seed), np.random.default_rng(seed)
        weights = chances(logs.tolist(), **cuts)
        assert [sampling.choose(logs, mine) for _ in range(50)] == [drawn(weights, its.random()) for _ in range(50)]


def test_draws_come_as_often_as_they_should():
    logs = np.log([0.5, 0.3, 0.15, 0.05])
    rng = np.random.default_rng(1)
    counts = np.bincount([Sampling(temperature=0.5).choose(logs, rng) for _ in range(4000)], minlength=4)
    wanted = np.array([0.25, 0.09, 0.0225, 0.0025])
    np.testing.assert_allclose(counts / 4000, wanted / wanted.sum(), atol=0.02)


def test_greedy_takes_the_lowest_of_equal_ones():
    for sampling in (Sampling(), Sampling(temperature=0), Sampling(temperature=0, top_k=3)):
        assert sampling.greedy
        assert sampling.choose(TIED, np.random.default_rng(0)) == 1


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=12))
def test_logits_and_their_softmax_give_the_same(values):
    logits = np.array(values)
    p = np.exp(logits - logits.max())
    p /= p.sum()
    np.testing.assert_allclose(log_probabilities(logits, True, "t"), log_probabilities(p, False, "t"), atol=1e-9)


@pytest.mark.parametrize(("options", "words"), [
    ({"temperature": -1}, "generate: 'temperature' must be a number from 0, got -1"),
    ({"temperature": float("inf")}, "got inf"), ({"temperature": float("nan")}, "got nan"),
    ({"top_k": 0}, "'top_k' must be an integer from 1"), ({"top_p": 0}, "'top_p' must be a number above 0 and up to 1"),
    ({"top_p": 1.5}, "got 1.5"),
])
def test_bad_sampling(options, words):
    with pytest.raises(InputError, match=words):
        Sampling(**options)


@pytest.mark.parametrize(("output", "logits", "words"), [
    ([0.5, 0.4], False, r"outputs from 0\.4 to 0\.5 that sum to 0\.9; give logits=True"),
    ([1.5, -0.5], False, "outputs from -0.5"), ([np.nan, 1], False, "outputs from nan"),
    ([np.nan, 1], True, "holds NaN"),
    ([np.inf, 1], True, "holds NaN or infinity"),
])
def test_outputs_that_are_no_probabilities(output, logits, words):
    with pytest.raises(InputError, match=words):
        log_probabilities(np.array(output), logits, "t")


# -- one-hot -----------------------------------------------------------------------------------------------


def test_one_hot():
    assert one_hot(np.array([[0, 2], [1, 0]]), 3).tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0]]]
    with pytest.raises(InputError, match="numbers from 0 to 1, as the model has 2 features, got 2; is this the tok"):
        one_hot(np.array([1, 2]), 2)
    with pytest.raises(InputError, match="got 3"):
        one_hot(np.array([2, 3]), 2, outside=2)


# -- the growing text --------------------------------------------------------------------------------------

WORDS = ["cat", "sat", "on", "Hat", "ΟΔΟΣ", "I\u0307z", "<OOV>", "un known", "a.b", "", "Σ", "IŞIK", "\u0307", "cat,",
         "a-", "-b", "-"]


@pytest.mark.parametrize("options", [
    {}, {"lower": False}, {"split": "_"}, {"split": "_", "filters": " ,"}, {"oov_token": "<OOV>"}, {"char_level": True},
    {"char_level": True, "lower": False}, {"locale": "tr"}, {"char_level": True, "locale": "tr"}, {"num_words": 4},
    {"split": "--", "filters": " "}, {"split": "ata", "filters": " ,"}, {"split": "xy", "filters": " "}])
def test_a_growing_text_has_the_numbers_of_the_whole(options):
    tokenizer = Tokenizer(**options)
    tokenizer.fit_on_texts(["the cat sat on the mat hat οδος izmir i ı ΟΔΟΣ", " ".join(WORDS), WORDS])
    rng = np.random.default_rng(0)
    for _ in range(30):
        text = seed = rng.choice(["The cat", "", "ΑΣ", "the I", "a-"])
        context = Context(tokenizer, seed)
        for word in rng.choice(WORDS, 8):
            before = list(context.ids)
            longer = context.append(word)
            text += word if tokenizer.char_level else " " + word
            assert context.ids == tokenizer.texts_to_sequences([text])[0]
            assert longer == (context.ids[:len(before)] == before) or not longer


def test_a_text_of_words_grows_by_words():
    tokenizer = Tokenizer.from_vocabulary({"<s>": 1, "a": 2, "b": 3}, char_level=True)
    context = Context(tokenizer, "ab", start="<s>")
    context.append("<s>")
    assert context.ids == [1, 2, 3, 1]
    copy = context.copy()
    copy.append("a")
    assert (context.ids, copy.ids) == ([1, 2, 3, 1], [1, 2, 3, 1, 2])


# -- stop words --------------------------------------------------------------------------------------------


def test_stop_words_as_tokens():
    words = Tokenizer.from_vocabulary({"the": 1, "end": 2, "": 3})
    assert Stops("the end", words).words == {("the", "end"): "the end"}
    for stop, said in (("The end", "it has no 'The', and lower-cases"), ("", "texts of one token or more"),
                       (3, "got 3")):
        with pytest.raises(InputError, match=said):
            Stops([stop], words)


@given(st.text("ab", max_size=12), st.sampled_from(["a", "ab", "aab", "bb", "aaa"]))
def test_what_waits_can_still_become_a_stop_word(text, stop):
    letters = Tokenizer.from_vocabulary({"a": 1, "b": 2}, char_level=True)
    stops = Stops(stop, letters)
    waiting = stops.waiting(list(text))
    assert waiting == max([n for n in range(len(stop)) if text.endswith(stop[:n])], default=0)
    assert stops.reached(list(text)) == (stop if text.endswith(stop) else None)


# -- models ------------------------------------------------------------------------------------------------

NAMES = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "<OOV>"]
HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "text"


def words_tokenizer(**options):
    return Tokenizer.from_vocabulary({word: i for i, word in enumerate(NAMES, 1)}, **options)


def letters_tokenizer():
    return Tokenizer.from_vocabulary({letter: i for i, letter in enumerate("abcdefg ", 1)}, char_level=True)


def lively(size, *, mask=True, sequences=False, head="softmax", kind="LSTM", seed=0, embedding=True,
           bidirectional=False):
    """A model of random weights, large enough that its words differ."""
    rng = np.random.default_rng(seed)
    gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[kind]

    def recurrent(name, wide, n, **options):
        return getattr(layers, kind)(name, rng.normal(0, 1, (gates * n, wide)),
                                     rng.normal(0, 1 if kind == "LSTM" else 2, (gates * n, n)),
                                     rng.normal(0, 1, gates * n), **options)
    first = [layers.Embedding("embedding", rng.normal(0, 3, (size, 6)), mask_zero=mask)] if embedding else []
    second = recurrent("two", 9, 7, return_sequences=sequences)
    if bidirectional:
        second = layers.Bidirectional("two", second, recurrent("back", 9, 7, return_sequences=sequences),
                                      return_sequences=sequences)
    dense = layers.Dense("head", rng.normal(0, 4, (size, 14 if bidirectional else 7)),
                         rng.normal(0, .1, size) - 3 * (np.arange(size) == 0), activation=head)
    return Model.sequential([*first, recurrent("one", 6 if embedding else size, 9, return_sequences=True),
                             layers.Dropout("drop"), second,
                             layers.TimeDistributed("each", dense) if sequences else dense])


def one_by_one(model, tokenizer, seed_text, steps, exclude=()):
    """Greedy, reading the whole text anew for each token, from the model's own predict."""
    ids = tokenizer.texts_to_sequences([seed_text])[0]
    found = []
    for _ in range(steps):
        y = model.predict(np.array([ids]))
        row = (y[0, -1] if y.ndim == 3 else y[0]).copy()
        row[list(exclude)] = -1
        found.append(int(np.argmax(row)))
        ids = [*ids, found[-1]] if found[-1] in tokenizer.index_word else ids
    return found


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("sequences", [False, True])
def test_carried_state_gives_what_the_whole_text_gives(kind, sequences):
    said = set()
    for seed in range(3):
        model, tokenizer = lively(11, kind=kind, sequences=sequences, seed=seed), words_tokenizer()
        made = generate(model, tokenizer, "The cat sat", 30, probabilities=True)
        assert made.ids.tolist() == one_by_one(model, tokenizer, "The cat sat", 30)
        assert made.text == " ".join(["The cat sat", *[w for w in made.words if w]])
        assert str(made) == made.text
        assert made.stopped is None
        y = model.predict(np.array([[1, 2, 3]]))
        np.testing.assert_allclose(made.probabilities[0], y[0, -1] if sequences else y[0], rtol=1e-12)
        np.testing.assert_allclose(made.log_probabilities,
                                   np.log(made.probabilities[np.arange(30), made.ids]), rtol=1e-12)
        said |= set(made.ids.tolist())
    assert len(said) > 4, "models that say one thing test nothing"


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("char_level", [False, True])
@pytest.mark.parametrize("carry", [None, False])
def test_a_window_gives_what_the_keras_loop_gives(padding, mask, char_level, carry):
    tokenizer = letters_tokenizer() if char_level else words_tokenizer()
    for seed, seed_text in enumerate(["", "a", "bad cab fed", "the dog ran zebra sat"]):
        for window in (1, 5, 30):
            model = lively(len(tokenizer) + 1, mask=mask, seed=seed)
            wanted, text = keras_loop(lambda ids, m=model: m.predict(np.array([ids]), empty="zero")[0].tolist(),
                                      lambda text: tokenizer.texts_to_sequences([text])[0], tokenizer.index_word,
                                      seed_text, 10, window, padding, "" if char_level else " ")
            made = generate(model, tokenizer, seed_text, 10, window=window, padding=padding, carry=carry)
            assert made.ids.tolist() == wanted
            assert made.text.split() == text.split()
            carried = [token.carried for token in made.tokens]
            if carry is False or not mask:
                assert not any(carried[1:]) or (not mask and window == 1)
            elif window == 30 and tokenizer.texts_to_sequences([seed_text])[0]:
                assert all(carried)
            elif window == 1:
                assert not all(carried)


def test_a_split_of_several_characters_gives_what_the_keras_loop_gives():
    """The joint of two words may be cut elsewhere once both are there, and what was read is another then."""
    words = ["a", "-a", "a-", "-", "b-", "-b", "b"]
    tokenizer = Tokenizer.from_vocabulary({word: i for i, word in enumerate(words, 1)}, split="--", filters=" ")
    again = 0
    for seed in range(8):
        model = lively(len(words) + 1, seed=seed)
        wanted, text = keras_loop(lambda ids, m=model: m.predict(np.array([ids]), empty="zero")[0].tolist(),
                                  lambda text: tokenizer.texts_to_sequences([text])[0], tokenizer.index_word, "a b", 12,
                                  40)
        made = generate(model, tokenizer, "a b", 12, window=40)
        assert made.ids.tolist() == wanted and made.text.split() == text.split()
        assert all(token.carried for token in made.tokens)
        again += tokenizer.texts_to_sequences([text])[0] != tokenizer.texts_to_sequences(["a b"])[0] + wanted
    assert again, "joints that are never cut otherwise test nothing"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_carried_windows_hold_at_every_level_and_precision(precision, kind, every_level):
    tokenizer = words_tokenizer()
    model = lively(11, kind=kind, seed=2).with_precision(precision)
    for padding in ("pre", "post"):
        made, anew = (generate(model, tokenizer, "the dog", 12, window=20, padding=padding, carry=carry)
                      for carry in (None, False))
        assert made.ids.tolist() == anew.ids.tolist()
        assert made.log_probabilities.tolist() == anew.log_probabilities.tolist()
        assert all(token.carried for token in made.tokens)
        assert not any(token.carried for token in anew.tokens[1:])


def test_a_window_without_a_mask_is_never_carried_unless_asked():
    model, tokenizer = lively(11, mask=False), words_tokenizer()
    plain = generate(model, tokenizer, "the cat", 12, window=30)
    assert not any(token.carried for token in plain.tokens)
    asked = generate(model, tokenizer, "the cat", 12, window=30, carry=True)
    assert [token.carried for token in asked.tokens] == [False, *[True] * 11]
    ids = [0] * 28 + [1, 2]
    for token in asked.tokens:  # the first window, and on from there
        assert token.id == int(np.argmax(model.predict(np.array([ids]))[0]))
        ids += [token.id] if token.word else []


def test_a_model_that_needs_all_steps_wants_a_window():
    model, tokenizer = lively(11, bidirectional=True), words_tokenizer()
    for carry, cure in ((None, "give window=, the length of text"), (True, "without carry=True")):
        with pytest.raises(InputError, match=rf"Bidirectional 'two' needs all time steps at once.*{cure}"):
            generate(model, tokenizer, "the cat", window=None if carry is None else 5, carry=carry)
    made = generate(model, tokenizer, "the cat", 8, window=6)
    wanted, _ = keras_loop(lambda ids: model.predict(np.array([ids]))[0].tolist(),
                           lambda text: tokenizer.texts_to_sequences([text])[0], tokenizer.index_word, "the cat", 8, 6)
    assert made.ids.tolist() == wanted
    with pytest.raises(InputError, match=r"beam_search: Bidirectional 'two' needs all time steps"):
        beam_search(model, tokenizer, "the cat")


def test_one_hot_models_and_logits():
    tokenizer = Tokenizer.from_vocabulary({letter: i for i, letter in enumerate("abcdefg")}, char_level=True,
                                          oov_token="?")
    model = lively(7, embedding=False, mask=False, head="linear")
    made = generate(model, tokenizer, "bz", 20)
    ids = [[0, 1, 0, 0, 0, 0, 0], [0] * 7]  # an unknown character is a row of zeros
    for number in made.ids:
        y = model.predict(np.array([ids], np.float32))[0]
        assert number == int(np.argmax(y))
        ids.append(np.eye(7)[number].tolist())
    made = generate(model, tokenizer, "b", 1, probabilities=True)
    assert made.probabilities.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="outputs from -"):
        generate(model, tokenizer, "b", 1, logits=False)
    with pytest.raises(InputError, match="'logits' must be given, as the model ends neither with softmax nor linearly, "
                                         "got relu"):
        generate(lively(11, head="relu"), words_tokenizer(), "the")


def test_a_seed_gives_the_same_text_and_another_another():
    model, tokenizer = lively(11), words_tokenizer()
    texts = [generate(model, tokenizer, "the", 30, temperature=1.2, seed=seed).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    rng = np.random.default_rng(1)
    assert generate(model, tokenizer, "the", 30, temperature=1.2, seed=rng).text == texts[0]


@pytest.mark.parametrize("cuts", [{"temperature": 0.8}, {"top_k": 3}, {"top_p": 0.6, "temperature": 2.0}])
def test_sampled_texts_step_by_step(cuts):
    model, tokenizer = lively(11), words_tokenizer()
    made = generate(model, tokenizer, "the cat", 25, seed=4, **cuts)
    rng, ids = np.random.default_rng(4), [1, 2]
    for number, log_probability in zip(made.ids, made.log_probabilities, strict=True):
        p = model.predict(np.array([ids]))[0].astype(float)
        assert number == drawn(chances(np.log(p).tolist(), **cuts), rng.random())
        assert log_probability == np.log(p[number])
        ids += [int(number)] if number else []


def test_excluded_numbers_never_come():
    model, tokenizer = lively(11), words_tokenizer()
    free = generate(model, tokenizer, "the", 20).ids
    banned = [0, int(free[0])]
    made = generate(model, tokenizer, "the", 20, exclude=banned)
    assert not set(banned) & set(made.ids.tolist())
    assert made.ids.tolist() == one_by_one(model, tokenizer, "the", 20, banned)
    with pytest.raises(InputError, match="'exclude' must be numbers from 0 to 10, got 11"):
        generate(model, tokenizer, "the", exclude=[11])
    with pytest.raises(InputError, match="'exclude' must be some of the tokens only, got all"):
        generate(model, tokenizer, "the", exclude=range(11))


def test_a_number_without_a_word_adds_nothing():
    model = lively(11)
    tokenizer = Tokenizer.from_vocabulary({word: i for i, word in enumerate(NAMES[:4], 1)})
    made = generate(model, tokenizer, "the", 30, temperature=5.0, seed=0)
    assert "" in made.words
    assert made.text == " ".join(["the", *[word for word in made.words if word]])
    assert all((token.text == "") == (token.word == "") for token in made.tokens)


def test_start_stands_before_the_seed_and_is_not_shown():
    model, tokenizer = lively(11), words_tokenizer()
    made = generate(model, tokenizer, "cat sat", 5, start="<OOV>")
    assert made.text.startswith("cat sat")
    assert made.ids[0] == np.argmax(model.predict(np.array([[10, 2, 3]]))[0])
    assert made.ids.tolist() == generate(model, words_tokenizer(lower=False), ["<OOV>", "cat", "sat"], 5).ids.tolist()
    assert generate(model, tokenizer, "", 3, start="<OOV>").text[0] != " "
    with pytest.raises(InputError, match="'start' must be a token that the tokenizer knows, got '<s>'"):
        generate(model, tokenizer, "cat", start="<s>")


def test_stop_words_end_the_text_and_are_not_in_it():
    model, tokenizer = lively(len(letters_tokenizer()) + 1, seed=5), letters_tokenizer()
    free = generate(model, tokenizer, "ab", 40, exclude=[0]).continuation
    for size in (1, 2, 3):
        for place in range(0, 20, 3):
            stop = free[place:place + size]
            made = generate(model, tokenizer, "ab", 40, stop=[stop, "g" * 9], exclude=[0])
            assert made.stopped == stop
            assert made.continuation == free[:free.index(stop)]
            streamed = "".join(t.text for t in generate_tokens(model, tokenizer, "ab", 40, stop=stop, exclude=[0]))
            assert streamed == made.continuation


def test_tokens_come_as_they_are_made():
    model, tokenizer = lively(11), words_tokenizer()
    whole = generate(model, tokenizer, "the", 9)
    stream = generate_tokens(model, tokenizer, "the", 10**9)
    assert [next(stream).id for _ in range(9)] == whole.ids.tolist()
    with pytest.raises(InputError, match="'steps'"):
        generate_tokens(model, tokenizer, "the", 0)  # at once, not at the first token


def test_the_model_is_stepped_once_a_token(monkeypatch):
    model, tokenizer = lively(11), words_tokenizer()
    calls = {"feed": 0, "step": 0}
    for name in calls:
        original = getattr(Stream, name)

        def counted(self, *arguments, _name=name, _original=original, **named):
            calls[_name] += 1
            return _original(self, *arguments, **named)
        monkeypatch.setattr(Stream, name, counted)
    made = generate(model, tokenizer, "the cat", 50, exclude=[0])
    assert len(made.tokens) == 50
    assert calls == {"feed": 1, "step": 49}


# -- beams -------------------------------------------------------------------------------------------------


def logs_after(model, seed_ids):
    known = {}

    def after(text):
        if text not in known:
            known[text] = np.log(model.predict(np.array([seed_ids + list(text)]))[0].astype(float)).tolist()
        return known[text]
    return after


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("stop", [(), ("dog",)])
def test_wide_beams_find_the_most_probable_texts(power, stop):
    tokenizer = words_tokenizer()
    for seed in range(3):
        model = lively(11, seed=seed, head="softmax")
        keep = (1, 2, 4, 8)
        exclude = [i for i in range(11) if i not in keep]
        wanted = all_texts(logs_after(model, [1]), keep, 3, power, {tokenizer.word_index[s] for s in stop})[:5]
        found = beam_search(model, tokenizer, "the", 3, beams=64, stop=stop, exclude=exclude, length_penalty=power)
        for (_, numbers), made in zip(wanted, found, strict=False):
            kept = [i for i in numbers if tokenizer.index_word[i] not in stop]
            assert made.ids.tolist() == kept
            assert (made.stopped is not None) == (len(kept) < len(numbers))


def test_one_beam_is_greedy_and_more_are_never_worse():
    tokenizer = words_tokenizer()
    better = 0
    for seed in range(6):
        model = lively(11, seed=seed)
        greedy = generate(model, tokenizer, "the cat", 8, exclude=[0])
        one = beam_search(model, tokenizer, "the cat", 8, beams=1)
        assert len(one) == 1
        assert one[0].ids.tolist() == greedy.ids.tolist()
        np.testing.assert_allclose(one[0].log_probabilities, greedy.log_probabilities, rtol=1e-12)
        many = beam_search(model, tokenizer, "the cat", 8, beams=5)
        totals = [made.log_probabilities.sum() for made in many]
        assert totals == sorted(totals, reverse=True)
        assert len({tuple(made.ids) for made in many}) == 5
        better += totals[0] > greedy.log_probabilities.sum() + 1e-9
    assert better, "beams that never find more than greedy test nothing"


def test_beams_over_a_window_and_by_the_state_agree():
    model, tokenizer = lively(11), words_tokenizer()
    by_state = beam_search(model, tokenizer, "the cat", 6, beams=3)
    by_window = beam_search(model, tokenizer, "the cat", 6, beams=3, window=20)
    assert [made.ids.tolist() for made in by_state] == [made.ids.tolist() for made in by_window]
    assert [m.log_probabilities.tolist() for m in by_state] == [m.log_probabilities.tolist() for m in by_window]


def test_beams_of_a_model_without_a_state():
    """One that sees the last word alone, and one that sees all of the window at once."""
    rng = np.random.default_rng(5)
    first = layers.Embedding("embedding", rng.normal(0, 2, (11, 6)))
    head = layers.Dense("head", rng.normal(0, 2, (11, 6)), np.zeros(11), activation="softmax")
    tokenizer = words_tokenizer()
    for inner, window in (([], None), ([], 20), ([layers.GlobalAverage("mean")], 3)):
        model = Model.sequential([first, *inner, head])
        ids = tokenizer.texts_to_sequences(["the cat"])[0]

        def after(numbers, model=model, ids=ids, window=window):
            text = [*ids, *numbers][-(window or 20):]
            y = model.predict(np.array([[0] * (window - len(text)) + text if window == 3 else text]))
            return np.log(y.reshape(-1, 11)[-1].astype(np.float64))
        wanted = all_texts(after, sorted(tokenizer.index_word), 3)
        found = beam_search(model, tokenizer, "the cat", 3, beams=200, window=window)
        assert [tuple(made.ids.tolist()) for made in found[:5]] == [numbers for _, numbers in wanted[:5]]
        one = beam_search(model, tokenizer, "the cat", 3, beams=1, window=window)
        assert one[0].text == generate(model, tokenizer, "the cat", 3, window=window, exclude=[0]).text
        if inner:
            with pytest.raises(InputError, match=r"GlobalAverage 'mean' needs all time steps at once.*; give window="):
                beam_search(model, tokenizer, "the cat", 3, beams=2)


def test_bad_beams():
    model, tokenizer = lively(11), words_tokenizer()
    for options, words in (({"beams": 0}, "beam_search: 'beams' must be an integer from 1"),
                           ({"length_penalty": -1}, "'length_penalty' must be a number from 0"),
                           ({"exclude": range(1, 11)}, "got all that have a word"), ({"window": 0}, "'window'"),
                           ({"seed_text": "zebra"}, "none of whose tokens it knows")):
        with pytest.raises(InputError, match=words):
            beam_search(model, tokenizer, **{"seed_text": "the", **options})


# -- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "words"), [
    ({"steps": 0}, "generate: 'steps' must be an integer from 1"),
    ({"seed_text": 3}, "a text, or a list of words, got 3"),
    ({"seed_text": "zebra xylophone"}, "got 'zebra xylophone', none of whose tokens it knows; give other words, or st"),
    ({"seed_text": ""}, "got '', which has none"), ({"window": 0}, "'window' must be an integer from 1"),
    ({"padding": "left"}, "'padding' must be 'pre' or 'post', got 'left'"),
    ({"carry": "yes"}, "'carry' must be True, F"),
    ({"carry": False}, "'carry' must be True or None without a window"),
    ({"stop": "xylophone"}, "it has no 'xylophone'"),
    ({"temperature": -0.1}, "'temperature'"),
])
def test_bad_arguments(options, words):
    arguments = {"seed_text": "the", **options}
    for call in (generate, generate_tokens):
        with pytest.raises(InputError, match=words):
            call(lively(11), words_tokenizer(), **arguments)


def test_a_model_with_the_names_of_keras_is_one():
    model, tokenizer = lively(11), words_tokenizer()
    assert generate(KerasModel(model), tokenizer, "the", 5).text == generate(model, tokenizer, "the", 5).text


def test_models_and_tokenizers_that_do_not_fit():
    model = lively(11)
    with pytest.raises(InputError, match=r"'tokenizer' must be a kiyas.recurrent.Tokenizer, got dict; Tokenizer.load"):
        generate(model, {"the": 1}, "the")
    with pytest.raises(InputError, match=r"'model' must be a kiyas.recurrent.Model, got str; kiyas.recurrent.load"):
        generate("model.h5", words_tokenizer(), "the")
    large = Tokenizer.from_vocabulary({"the": 1, "dog": 11})
    with pytest.raises(InputError, match="11"):
        generate(model, large, "dog")


# -- Keras itself ------------------------------------------------------------------------------------------

LOOPS = json.loads((GOLDEN / "loop.json").read_text())


@pytest.mark.parametrize("case", LOOPS, ids=lambda c: f"{c['model']}-{c['seed_text']}")
@pytest.mark.parametrize("carry", [None, False])
def test_the_loop_that_keras_ran(case, carry):
    model = load(GOLDEN / f"loop_{case['model']}.h5")
    tokenizer = Tokenizer.load(GOLDEN / f"loop_{case['model']}.tokenizer.json")
    made = generate(model, tokenizer, case["seed_text"], len(case["numbers"]), window=case["window"],
                    padding=case["padding"], carry=carry)
    assert made.ids.tolist() == case["numbers"]
    assert made.text == case["text"]
    np.testing.assert_allclose(np.exp(made.log_probabilities), case["chances"], atol=1e-5)


def test_the_loops_of_keras_say_something_and_are_partly_carried():
    assert len({number for case in LOOPS for number in case["numbers"]}) > 12
    for name, wanted in (("masked", True), ("post", True), ("letters", True), ("plain", False)):
        case = next(c for c in LOOPS if c["model"] == name and c["seed_text"] == "we")
        made = generate(load(GOLDEN / f"loop_{name}.h5"), Tokenizer.load(GOLDEN / f"loop_{name}.tokenizer.json"), "we",
                        20, window=case["window"], padding=case["padding"])
        assert made.tokens[1].carried == wanted
        assert not made.tokens[-1].carried, "the text outgrows the window, whose beginning is cut off then"


def test_outputs_that_are_no_numbers_stop_it():
    tokenizer = words_tokenizer()
    for size in (1e38, 3e38):
        dense = layers.Dense("head", np.full((11, 2), size), None, activation="softmax")
        model = Model.sequential([layers.Embedding("e", np.full((11, 2), 4.0)),
                                  layers.SimpleRNN("rnn", np.eye(2), np.eye(2), None, activation="relu"), dense])
        assert np.isnan(model.predict(np.array([[1, 2]]))).any()
        with pytest.raises(InputError, match="one whose outputs are probabilities that sum to 1, got outputs from nan"):
            generate(model, tokenizer, "the cat", 3)
