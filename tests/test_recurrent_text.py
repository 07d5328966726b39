"""The tokenizer and pad_sequences against Keras 2.15 (golden/text, with its maker), and what they refuse."""

import contextlib
import json
import pickle
import sys
import tracemalloc
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiyas.errors import FileError, InputError, NotFittedError
from kiyas.recurrent.pieces import pieces
from kiyas.recurrent.sequences import pad_sequences
from kiyas.recurrent.tokenizer import FILTERS, Tokenizer, lower_case
from kiyas.recurrent.tokenizer_files import tokenizer_from_json

GOLDEN = Path(__file__).parent / "golden" / "text"
SHARED = Path(__file__).parents[2] / "shared" / "fixtures" / "lstm"
MADE = json.loads((GOLDEN / "tokenizer.json").read_text(encoding="utf-8"))
PADDED = json.loads((GOLDEN / "padding.json").read_text())
CASES = [pytest.param(case, id=json.dumps(case["options"], ensure_ascii=False)) for case in MADE["cases"]]


def unfolded(text):
    """The configuration in a tokenizer's JSON, its inner JSON read too: the order of counts is no matter."""
    config = json.loads(text)["config"]
    return {k: json.loads(v) if isinstance(v, str) and v.startswith("{") else v for k, v in config.items()}


# -- the tokenizer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_fitted_as_keras_does(case):
    made = Tokenizer(**case["options"])
    made.fit_on_texts(MADE["texts"][:6])
    made.fit_on_texts(MADE["texts"][6:])
    assert unfolded(made.to_json()) == unfolded(case["json"])
    assert list(made.word_index.items()) == list(unfolded(case["json"])["word_index"].items())
    assert made.texts_to_sequences(MADE["texts"] + MADE["asked"]) == case["sequences"]
    assert made.texts_to_sequences([["The", "CAT"], ["zzz"]]) == case["lists"]
    assert made.sequences_to_texts(case["some"]) == case["texts"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_json_of_keras_is_read(case, wrapped, tmp_path):
    text = json.dumps(case["json"]) if wrapped else case["json"]
    (tmp_path / "t.json").write_text(text, encoding="utf-8")
    for made in (tokenizer_from_json(text), Tokenizer.load(tmp_path / "t.json")):
        assert made.texts_to_sequences(MADE["texts"] + MADE["asked"]) == case["sequences"]
        assert made.sequences_to_texts(case["some"]) == case["texts"]
        assert unfolded(made.to_json()) == unfolded(case["json"])


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_of_keras_are_read_without_running_anything(protocol):
    made = Tokenizer.load(GOLDEN / f"tokenizer_protocol{protocol}.pickle")
    assert (made.num_words, made.oov_token, made.document_count) == (6, "<OOV>", len(MADE["texts"]))
    again = Tokenizer(num_words=6, oov_token="<OOV>")
    again.fit_on_texts(MADE["texts"])
    assert unfolded(made.to_json()) == unfolded(again.to_json())


@pytest.mark.parametrize("module", ["keras.preprocessing.text", "keras_preprocessing.text",
                                    "tensorflow.python.keras.preprocessing.text",
                                    "keras.src.legacy.preprocessing.text"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickles_of_older_keras_lack_options(module, protocol, tmp_path, monkeypatch):
    class Tokenizer_:
        pass
    Tokenizer_.__module__, Tokenizer_.__qualname__ = module, "Tokenizer"
    Tokenizer_.__name__ = "Tokenizer"
    for name in [".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 2)]:
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(Tokenizer=Tokenizer_))
    old = Tokenizer_()
    old.__dict__ |= {"nb_words": 3, "filters": "!", "lower": False, "split": " ", "document_count": 2,
                     "word_counts": {"Işık": 2, "b": 1}, "word_docs": {"Işık": 2, "b": 1}, "index_docs": {1: 2, 2: 1},
                     "word_index": {"Işık": 1, "b": 2, "c": 3}}
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(old, protocol))
    made = Tokenizer.load(tmp_path / "t.pkl")
    assert (made.num_words, made.char_level, made.oov_token, made.lower) == (3, False, None, False)
    assert made.index_word == {1: "Işık", 2: "b", 3: "c"}
    assert made.texts_to_sequences(["b!Işık c"]) == [[2, 1]]


@pytest.mark.parametrize("version", ["k2_13_1", "k2_15_0"])
def test_the_fixture_of_keras(version):
    path = SHARED / version / "tokenizer.json"
    if not path.exists():
        pytest.skip("the shared fixtures are not beside this checkout")
    made = Tokenizer.load(path)
    assert made.texts_to_sequences(["the bird sat, the cat ate"]) == [[2, 1, 4, 2, 3, 1]]


def test_a_saved_tokenizer_is_the_same(tmp_path):
    made = Tokenizer(num_words=9, oov_token="?", char_level=True, locale="tr")
    made.fit_on_texts(["IĞDIR iline", "İzmir"])
    made.save(tmp_path / "t.json")
    back = Tokenizer.load(tmp_path / "t.json")
    assert vars(back) == vars(made)


def test_fitting_goes_on_after_loading():
    whole = Tokenizer()
    whole.fit_on_texts(MADE["texts"])
    part = Tokenizer()
    part.fit_on_texts(MADE["texts"][:3])
    part = tokenizer_from_json(part.to_json())
    part.fit_on_texts(MADE["texts"][3:])
    assert part.word_index == whole.word_index
    assert part.index_docs == whole.index_docs


TURKISH = {"ISPARTA": "ısparta", "İZMİR": "izmir", "I\u0307ğne": "iğne", "ŞIK İĞNE": "şık iğne", "ilk Ilık": "ilk ılık"}


@pytest.mark.parametrize("text", TURKISH)
def test_small_letters_in_turkish(text):
    assert lower_case(text, "tr") == TURKISH[text] == lower_case(text, "az")
    assert lower_case(text) == text.lower()


def test_the_locale_is_only_on_request():
    plain, turkish = Tokenizer(), Tokenizer(locale="tr")
    for made in (plain, turkish):
        made.fit_on_texts(["IŞIK ışık İZMİR izmir"])
    assert turkish.word_index == {"ışık": 1, "izmir": 2}
    assert list(plain.word_index) == ["işik", "ışık", "i̇zmi̇r", "izmir"]
    assert "locale" in turkish.get_config()
    assert "locale" not in plain.get_config()
    assert Tokenizer.load(GOLDEN / "tokenizer_protocol2.pickle", locale="tr").locale == "tr"


def test_unknown_words_are_told():
    made = Tokenizer(num_words=3)
    made.fit_on_texts(["a a a b b c"])
    assert made.unknown("c d a, c") == ["c", "d"]
    assert made.texts_to_sequences(["c d a, c"]) == [[1]]


def test_vocabularies():
    made = Tokenizer.from_vocabulary({"a": 0, "b": 1}, char_level=True, oov_token="<?>")
    assert made.texts_to_sequences(["abc"]) == [[0, 1, 2]]
    assert made.index_word == {0: "a", 1: "b", 2: "<?>"}
    assert (len(made), repr(made)) == (3, "<kiyas Tokenizer of 3 characters>")
    assert made.join(["a", "b"]) == "ab"
    assert Tokenizer().join(["a", "b"]) == "a b"


def test_a_vocabulary_in_a_file_wants_its_options(tmp_path):
    (tmp_path / "v.json").write_text('{"a": 1, "b": 2}')
    (tmp_path / "v.pickle").write_bytes(pickle.dumps({"a": 1, "b": 2}))
    for name in ("v.json", "v.pickle"):
        with pytest.raises(InputError, match=r"is a vocabulary without options; say char_level= and lower= "):
            Tokenizer.load(tmp_path / name)
        assert Tokenizer.load(tmp_path / name, char_level=True, lower=False).texts_to_sequences(["ba"]) == [[2, 1]]


@given(st.lists(st.text("aAbB .,!çÇıIİ", max_size=20), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_what_was_fitted_is_never_unknown(texts, char_level, lower):
    made = Tokenizer(char_level=char_level, lower=lower)
    made.fit_on_texts(texts)
    if not made.word_index:
        return
    for text, numbers in zip(texts, made.texts_to_sequences(texts), strict=True):
        assert [made.index_word[n] for n in numbers] == made.split_text(text)
        assert made.unknown(text) == []


# -- long texts --------------------------------------------------------------------------------------------


@given(st.text("aAΣσ İIı\u0307\u0301.'\n\t-x", max_size=60), st.integers(1, 9), st.booleans(), st.booleans(),
       st.sampled_from([FILTERS, "", " ", "\n", "-.", "x \n"]), st.sampled_from([" ", "x", "\n", "- ", "  ", "."]),
       st.sampled_from([None, "tr"]))
def test_a_text_in_pieces_has_the_words_of_the_whole(text, size, char_level, lower, filters, split, locale):
    made = Tokenizer(char_level=char_level, lower=lower, filters=filters, split=split, locale=locale if lower else None)
    parts = list(pieces(text, made, size))
    assert "".join(parts) == text
    assert [word for part in parts for word in made.split_text(part)] == made.split_text(text)


def test_a_long_text_is_cut_and_its_words_are_not_held():
    made = Tokenizer(oov_token="?")
    made.fit_on_texts([" ".join(f"word{i}" for i in range(100))])
    text = "word1 Word2, word3\nunknown " * 40_000
    assert max(map(len, pieces(text, made))) < 70_000
    tracemalloc.start()
    try:
        found = np.fromiter(made.iter_numbers(text), np.int64)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    once = [made.word_index[word] for word in ("word1", "word2", "word3", "?")]
    np.testing.assert_array_equal(found, np.tile(once, 40_000))
    assert used < 10e6  # the words alone would take as much


# -- what it refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "words"), [
    ({"num_words": 0}, r"Tokenizer: 'num_words' must be an integer of 1 or above, or None, got 0"),
    ({"num_words": 2.5}, r"got 2\.5"),
    ({"filters": None}, r"'filters' must be a text, got None"),
    ({"split": ""}, r"'split' must be a text of one character or more, got ''; give char_level=True"),
    ({"oov_token": 1}, r"'oov_token' must be a text or None, got 1"),
    ({"locale": "de"}, r"'locale' must be 'tr', 'az' or None, got 'de'"),
])
def test_bad_options(options, words):
    with pytest.raises(InputError, match=words):
        Tokenizer(**options)


@pytest.mark.parametrize(("texts", "words"), [
    ("a text", r"Tokenizer.texts_to_sequences: 'texts' must be a list of texts, got str; put a single text in a list"),
    (None, r"got NoneType"),
    ([None], r"or of lists of words, got NoneType at number 0"),
    (["a", 1.5], r"got float at number 1"),
    ([["a", 1]], r"got list at number 0"),
])
def test_bad_texts(texts, words):
    made = Tokenizer.from_vocabulary({"a": 1})
    with pytest.raises(InputError, match=words):
        made.texts_to_sequences(texts)
    with pytest.raises(InputError, match=words.replace("texts_to_sequences", "fit_on_texts")):
        made.fit_on_texts(texts)


def test_an_unfitted_tokenizer_says_so():
    for call in (lambda t: t.texts_to_sequences(["a"]), lambda t: t.sequences_to_texts([[1]])):
        with pytest.raises(NotFittedError, match="call fit_on_texts first"):
            call(Tokenizer(oov_token="?"))


@pytest.mark.parametrize(("vocabulary", "words"), [
    ({}, "got none"), ({"a": -1}, "got 'a': -1"), ({"a": True}, "got 'a': True"), ({1: 1}, "got 1: 1"),
    ({"a": 2**63}, "got 'a': 9223372036854775808"),
    ({"a": 1, "b": 1}, "a different number for each word, got 1 for 'a' and 'b'"),
])
def test_bad_vocabularies(vocabulary, words):
    with pytest.raises(InputError, match=words):
        Tokenizer.from_vocabulary(vocabulary)


GOOD = json.loads(MADE["cases"][0]["json"])


def changed(**config):
    return json.dumps({"class_name": "Tokenizer", "config": {**GOOD["config"], **config}})


@pytest.mark.parametrize(("text", "words"), [
    ("", "is not JSON"), ("[1]", "holds list, not a JSON object"), ('{"class_name": "Model"}', "is no tokenizer"),
    ("[" * 10**5, "is not JSON"),
    (changed(word_index="{"), "'word_index' is not JSON"), (changed(word_index='{"a": "b"}'), "must map to integers"),
    (changed(index_word='{"a": "b"}'), "'index_word' must have integers as keys"),
    (changed(index_word='{"1": "zzz"}'), "index_word has 'zzz' as number 1, word_index as None"),
    (changed(num_words=-1), "'num_words' must be an integer of 1 or above"),
    (changed(colour=1), "has options that no Tokenizer of Keras has: colour"),
    (changed(word_counts="[1]"), r"'word_counts' must map to integers from 0, got \[1\]"),
    (changed(index_word='{"1": ["a"]}'), r"'index_word' must map to words, got \{'1': \['a'\]\}"),
    (changed(lower="no"), "'lower' must be true or false, got 'no'"),
    (changed(char_level=3), "'char_level' must be true or false, got 3"),
    (changed(oov_token=["a"]), r"'oov_token' must be a text, a whole number or null, got \['a'\]"),
    (changed(num_words=2.5), "'num_words' must be a text, a whole number or null, got 2.5"),
    (changed(document_count="many"), "'document_count' must be an integer from 0, got 'many'"),
])
def test_bad_json(text, words, tmp_path):
    with pytest.raises(FileError, match=words):
        tokenizer_from_json(text)
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(FileError, match=words) as error:
        Tokenizer.load(tmp_path / "t.json")
    assert "t.json" in str(error.value)


@pytest.mark.parametrize("name", ["word_counts", "word_index", "index_word", "num_words", "filters", "document_count"])
def test_a_pickle_that_unfolds_without_end_is_refused_at_once(name, monkeypatch, tmp_path):
    """Lists within lists, each twice: 400 bytes that hold more of them than can ever be shown."""
    kind = type("Tokenizer", (), {"__module__": "keras_preprocessing.text"})
    monkeypatch.setitem(sys.modules, "keras_preprocessing", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "keras_preprocessing.text", types.SimpleNamespace(Tokenizer=kind))
    nested = ["x"]
    for _ in range(60):
        nested = [nested, nested]
    made = kind()
    made.__dict__.update({"word_index": {"a": 1}, name: nested})
    (tmp_path / "t.pickle").write_bytes(pickle.dumps(made))
    with pytest.raises(FileError, match=f"'{name}' must") as error:
        Tokenizer.load(tmp_path / "t.pickle")
    assert len(str(error.value)) < 250


class Evil:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(("data", "words"), [
    (pickle.dumps(Evil()), r"names builtins\.print, which is not allowed here; nothing was run"),
    (pickle.dumps([1, 2]), r"holds a pickled list, not a Tokenizer"),
    (pickle.dumps({"a": 1})[:-3], r"is no whole pickle"),
    (b"", r"is no whole pickle"),
    (b"ccopy_reg\n_reconstructor\n(cbuiltins\nint\nc__builtin__\nobject\nNtR.", r"not allowed"),
    (b"\xff\xfe\x00nonsense", r"is no whole pickle"), (b'{"\xff"', "is not UTF-8 at byte 2, so no JSON"),
])
def test_bad_pickles(data, words, tmp_path, capsys):
    (tmp_path / "t.pickle").write_bytes(data)
    with pytest.raises(FileError, match=words):
        Tokenizer.load(tmp_path / "t.pickle")
    assert capsys.readouterr().out == ""


def test_a_cut_or_altered_pickle_never_gets_through_with_another_error():
    data = (GOLDEN / "tokenizer_protocol4.pickle").read_bytes()
    rng = np.random.default_rng(0)
    from kiyas.recurrent.tokenizer_files import _of_pickle
    for _ in range(300):
        broken = bytearray(data[:rng.integers(len(data))] if rng.random() < .3 else data)
        for place in rng.integers(0, max(1, len(broken)), 2):
            if broken:
                broken[place] = rng.integers(256)
        with contextlib.suppress(FileError, InputError):
            _of_pickle(bytes(broken), "t", {})


def test_a_file_that_is_not_there_and_options_that_a_file_has_itself(tmp_path):
    with pytest.raises(FileError, match="there is no such file"):
        Tokenizer.load(tmp_path / "none.json")
    with pytest.raises(InputError, match="says itself what lower is; only locale= may be given with it"):
        Tokenizer.load(GOLDEN / "tokenizer_protocol4.pickle", lower=True)
    with pytest.raises(FileError, match="has an analyzer"):
        tokenizer_from_json(changed(analyzer="f"))


# -- pad_sequences ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PADDED["cases"], ids=lambda case: json.dumps(case["options"]))
def test_padded_as_keras_does(case):
    padded = pad_sequences(PADDED["rows"], **case["options"])
    assert padded.dtype == np.int32
    assert padded.tolist() == case["padded"]


def test_padded_steps_of_several_numbers():
    padded = pad_sequences(PADDED["inner"], **PADDED["options"])
    assert padded.dtype == np.float32
    assert padded.tolist() == PADDED["inner_padded"]


@given(st.lists(st.lists(st.integers(1, 9), max_size=6), max_size=4), st.integers(1, 8),
       st.sampled_from(["pre", "post"]), st.sampled_from(["pre", "post"]))
def test_padded_rows_one_by_one(rows, maxlen, padding, truncating):
    wanted = []
    for row in rows:
        kept = row[max(0, len(row) - maxlen):] if truncating == "pre" else row[:maxlen]
        zeros = [0] * (maxlen - len(kept))
        wanted.append(zeros + kept if padding == "pre" else kept + zeros)
    padded = pad_sequences(rows, maxlen, padding=padding, truncating=truncating)
    assert padded.tolist() == wanted
    assert padded.shape == (len(rows), maxlen)


def test_padding_nothing():
    assert pad_sequences([]).shape == (0, 0)
    assert pad_sequences([[], []], maxlen=2, value=7).tolist() == [[7, 7], [7, 7]]


@pytest.mark.parametrize(("arguments", "words"), [
    (([[1]], 0), r"pad_sequences: 'maxlen' must be an integer of 1 or above, or None, got 0"),
    (([[1]], True), "got True"),
    (([[1]], 2, "int32", "left"), "'padding' must be 'pre' or 'post', got 'left'"),
    (([[1]], 2, "int32", "pre", "middle"), "'truncating' must be 'pre' or 'post', got 'middle'"),
    (("12",), "a list of sequences, got str"), (([1, 2],), "got int at number 0; put a single sequence in a list"),
    (([[0.5]],), r"numbers that int32 holds, got 0\.5 in sequence 0; give dtype='float32'"),
    (([[1], [2**40]],), r"got 1099511627776 in sequence 1; give another dtype"),
    (([[1]], 2, "int32", "pre", "pre", 0.5), r"'value' must be numbers that int32 holds, got 0\.5"),
    (([["a"]],), "got <U1 at number 0"),
    (([[[1, 2]], [[1]]],), r"steps of one shape, \(2,\), got \(1,\) in sequence 1"),
    (([[[1], [1, 2]]],), "no array at number 0"),
])
def test_bad_padding(arguments, words):
    with pytest.raises(InputError, match=words):
        pad_sequences(*arguments)
