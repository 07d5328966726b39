"""Recurrent models as encoders: pooling against loops, independence of the batch, files, options, what is refused."""

import json
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kiyas.encode import encoder
from kiyas.encode import states as module
from kiyas.encode.collection import Collection
from kiyas.encode.recurrent import RecurrentEncoder, by_name
from kiyas.encode.states import States
from kiyas.errors import FileError, InputError
from kiyas.recurrent import Model, Tokenizer, layers

GOLDEN = Path(__file__).parent / "golden" / "text"
TEXTS = ["the old mill", "night", "an old man walks past the river at night", "silver runs",
         "the man and the moon are old"]


def weights(rng, cls, name, wide, n, **options):
    gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[cls]
    return getattr(layers, cls)(name, rng.normal(0, 1, (gates * n, wide)), rng.normal(0, 1, (gates * n, n)),
                                rng.normal(0, 1, gates * n), **options)


def series_model(kind="LSTM", seed=0, bidirectional=False):
    rng = np.random.default_rng(seed)
    second = weights(rng, kind, "two", 6, 5)
    if bidirectional:
        second = layers.Bidirectional("two", second, weights(rng, kind, "back", 6, 5))
    return Model.sequential([weights(rng, kind, "one", 3, 6, return_sequences=True), second])


def series(seed=0, lengths=(1, 7, 300, 4, 256, 512, 7)):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 3)).astype(np.float32) for n in lengths]


def states_of(model, name, row):
    """The outputs of a recurrent layer after every step, by the model's own predict, prefix by prefix."""
    last = States(model, name)
    return np.array([last.vectors([row[:n]])[0] for n in range(1, len(row) + 1)])


def pooled(h, how):
    h = h.astype(np.float64)
    if how == "attention":
        scores = [sum(a * b for a, b in zip(one, h[-1], strict=True)) / len(h[-1]) ** 0.5 for one in h]
        shares = [np.exp(s - max(scores)) for s in scores]
        return sum(w * one for w, one in zip(shares, h, strict=True)) / sum(shares)
    return {"last": h[-1], "mean": sum(h) / len(h), "max": h.max(axis=0)}[how]


@pytest.mark.parametrize("pooling", module.POOLINGS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_poolings_against_loops(pooling, kind):
    model = series_model(kind)
    rows = series(lengths=(1, 7, 40))
    got = States(model, "two", pooling).vectors(rows)
    for row, vector in zip(rows, got, strict=True):
        np.testing.assert_allclose(vector, pooled(states_of(model, "two", row), pooling), atol=1e-6)
    np.testing.assert_array_equal(States(model, "two").vectors(rows)[2], model.predict(rows[2][None])[0])


@pytest.mark.parametrize("pooling", module.POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_vector_does_not_depend_on_the_batch(pooling, bidirectional):
    model = series_model(bidirectional=bidirectional)
    states, rows = States(model, "two", pooling), series()
    assert states.streams != bidirectional
    whole = states.vectors(rows)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(states.vectors([row])[0], whole[i])
    np.testing.assert_array_equal(states.vectors(rows[::-1]), whole[::-1])


@pytest.mark.parametrize("pooling", module.POOLINGS)
def test_chunks_only_bound_the_memory(pooling, monkeypatch):
    states, rows = States(series_model(), "two", pooling), series()
    whole = states.vectors(rows)
    seen = []
    original = module.States._block
    monkeypatch.setattr(module.States, "_block",
                        lambda self, rows, a, b: seen.append(b - a) or original(self, rows, a, b))
    monkeypatch.setattr(module, "_CHUNK", 16)
    np.testing.assert_allclose(states.vectors(rows), whole, atol=1e-6)
    assert max(seen) == 16


def test_both_ways_the_last_state_is_that_at_the_end_of_each():
    model = series_model(bidirectional=True)
    rows = series(lengths=(5, 9))
    got = States(model, "two").vectors(rows)
    for row, vector in zip(rows, got, strict=True):
        np.testing.assert_array_equal(vector, model.predict(row[None])[0])


def test_which_layer_is_taken():
    rng = np.random.default_rng(0)
    lstm = weights(rng, "LSTM", "lstm", 4, 6)
    table = layers.Embedding("embedding", rng.normal(size=(9, 4)))

    def head(n, activation="linear"):
        return layers.Dense("head", rng.normal(size=(n, 6)), activation=activation)
    for last, wanted, dims in (([head(9, "softmax")], "lstm", 6), ([head(9)], "lstm", 6), ([head(3)], "output", 3),
                               ([head(3, "softmax")], "lstm", 6), ([head(1)], "lstm", 6), ([], "output", 6),
                               ([head(3, "tanh")], "output", 3)):
        states = States(Model.sequential([table, lstm, *last]))
        assert (states.layer, states.dims) == (wanted, dims)
    encoder = Model.sequential([table, lstm, head(9)], source={"task": "sentence encoder"})
    assert (States(encoder).layer, States(encoder, pooling="mean").layer) == ("output", "lstm")
    model = Model.sequential([table, lstm, head(3)])
    assert (States(model, pooling="mean").layer, States(model, pooling="mean").dims) == ("lstm", 6)
    assert States(model, "embedding", "mean").dims == 4
    with pytest.raises(InputError, match="'layer' must be 'output' or one of embedding, lstm, head, got 'two'"):
        States(model, "two")
    with pytest.raises(InputError, match="'pooling' must be 'last' for 'head', which gives one vector already"):
        States(model, "head", "mean")
    with pytest.raises(InputError, match="'pooling' must be 'last' or 'mean' or 'max' or 'attention', got 'sum'"):
        States(model, pooling="sum")


@pytest.mark.parametrize("pool", [layers.GlobalAverage("pool"), layers.GlobalMax("pool")])
@pytest.mark.parametrize("head", [False, True])
def test_a_model_that_pools_itself_goes_through_in_chunks_too(pool, head, monkeypatch):
    rng = np.random.default_rng(0)
    dense = [layers.Dense("head", rng.normal(size=(4, 6)), None, activation="tanh")] if head else []
    model = Model.sequential([weights(rng, "LSTM", "lstm", 3, 6, return_sequences=True), pool, *dense])
    rows = series(lengths=(3, 70, 3, 20))
    monkeypatch.setattr(module, "_CHUNK", 16)
    states = States(model)
    assert states.streams
    assert states.layer == "output"
    got = states.vectors(rows)
    for row, vector in zip(rows, got, strict=True):
        np.testing.assert_array_equal(vector, model.predict(row[None])[0])


def test_attention_over_time_needs_the_whole():
    rng = np.random.default_rng(0)
    model = Model.sequential([weights(rng, "LSTM", "lstm", 3, 6, return_sequences=True),
                              layers.WeightedAttention("attention", rng.normal(size=6))])
    rows = series(lengths=(3, 8, 3))
    states = States(model)
    assert not states.streams
    for row, vector in zip(rows, states.vectors(rows), strict=True):
        np.testing.assert_array_equal(vector, model.predict(row[None])[0])


# -- texts -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    shutil.copy(GOLDEN / "loop_masked.h5", tmp_path / "words.h5")
    shutil.copy(GOLDEN / "loop_masked.tokenizer.json", tmp_path / "words.tokenizer.json")
    return tmp_path


def test_texts_by_the_tokenizer_beside(folder):
    made = encoder(f"recurrent:{folder / 'words.h5'}")
    assert (made.layer, made.dims, made.max_tokens) == ("lstm_1", 12, None)
    assert made.version.startswith("weights ")
    assert ", tokenizer " in made.version
    seen = []
    vectors = made.encode(TEXTS, batch_size=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]
    model, tokenizer = made.model, made.tokenizer
    inner = Model(model.nodes, model.inputs, [(len(model.nodes) - 2, 0)])
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = np.array(tokenizer.texts_to_sequences([text]))
        np.testing.assert_array_equal(vector, inner.predict(ids)[0])
    assert made.count_tokens(TEXTS).tolist() == [3, 1, 9, 2, 7]
    with pytest.raises(InputError, match="text 1 that has no token that the encoder knows"):
        made.encode(["the", "zebra"])
    assert not made.encode(["the", "zebra"], blank="zero")[1].any()


def test_options_are_in_the_name_and_come_back_from_it(folder):
    path = folder / "words.h5"
    made = RecurrentEncoder(path, layer="lstm", pooling="mean", window=9)
    assert made.name == f"recurrent:{path}(layer=lstm, pooling=mean, window=9)"
    again = by_name(made.name)
    assert (again.name, again.version) == (made.name, made.version)
    np.testing.assert_array_equal(again.encode(TEXTS), made.encode(TEXTS))
    assert made.dims == 16
    with pytest.raises(InputError, match="of at most 9 tokens, got 10 in text 0"):
        made.encode(["the " * 10])
    np.testing.assert_array_equal(made.encode(["the " * 12], overlong="cut"), made.encode(["the " * 9]))


def test_weights_alone_and_a_part_of_a_file(tmp_path):
    keras = GOLDEN.parent / "recurrent" / "keras"
    with zipfile.ZipFile(keras / "pair_k3.keras") as whole:
        (tmp_path / "pair.json").write_bytes(whole.read("config.json"))
    made = RecurrentEncoder(keras / "pair_k3.weights.h5", config=tmp_path / "pair.json", prefix="tower")
    ids = np.array([[1, 2, 3]])
    np.testing.assert_array_equal(made.model.predict(ids),
                                  RecurrentEncoder(keras / "pair_k3.keras", prefix="tower").model.predict(ids))
    again = by_name(made.name)
    assert (again.name, again.version) == (made.name, made.version)
    (tmp_path / "pair.json").write_text((tmp_path / "pair.json").read_text() + "\n")
    assert by_name(made.name).version != made.version


def test_a_window_is_padded_as_keras_pads_and_padding_is_not_pooled(folder):
    shutil.copy(GOLDEN / "loop_plain.h5", folder / "plain.h5")
    shutil.copy(GOLDEN / "loop_plain.tokenizer.json", folder / "plain.tokenizer.json")
    last = RecurrentEncoder(folder / "plain.h5", window=8)
    free = RecurrentEncoder(folder / "plain.h5")
    model = last.model
    inner = Model(model.nodes, model.inputs, [(len(model.nodes) - 2, 0)])
    ids = last.tokenizer.texts_to_sequences(["the old mill"])[0]
    np.testing.assert_array_equal(last.encode(["the old mill"])[0], inner.predict(np.array([[0] * 5 + ids]))[0])
    assert np.abs(last.encode(["the old mill"]) - free.encode(["the old mill"])).max() > 1e-3
    mean = RecurrentEncoder(folder / "plain.h5", window=8, pooling="mean").encode(["the old mill"])[0]
    every = [RecurrentEncoder(folder / "plain.h5", window=5 + n).encode([text])[0]
             for n, text in enumerate(["the", "the old", "the old mill"], 1)]
    np.testing.assert_allclose(mean, np.mean(every, axis=0), atol=1e-6)


def test_a_collection_made_with_one_is_searched_with_the_same_one_only(folder, tmp_path):
    name = f"recurrent:{folder / 'words.h5'}"
    Collection.build(TEXTS, name, "manhattan").save(tmp_path / "shelf")
    found = Collection.load(tmp_path / "shelf").search("silver runs", k=1)[0][0]
    assert (found.id, found.score) == (3, 1.0)
    shutil.copy(GOLDEN / "loop_post.h5", folder / "words.h5")
    altered = Collection.load(tmp_path / "shelf")
    assert altered.info["encoder"] == name
    with pytest.raises(FileError, match="was made with the encoder recurrent:"):
        altered.encode("silver runs")
    with pytest.raises(FileError, match="their vectors cannot be compared"):
        Collection.load(tmp_path / "shelf", encoder=name)


@pytest.fixture
def shelf(folder, monkeypatch):
    """A collection in a folder, made with a model that is named as seen from there."""
    at = folder / "made"
    at.mkdir()
    for name in ("words.h5", "words.tokenizer.json"):
        (folder / name).rename(at / name)
    (at / "words.tokenizer.json").rename(at / "other.json")
    monkeypatch.chdir(at)
    Collection.build(TEXTS, "recurrent:words.h5(tokenizer=other.json, pooling=mean)", "manhattan").save("shelf")
    monkeypatch.chdir(folder)
    return at / "shelf"


def finds(directory):
    loaded = Collection.load(directory)
    found = loaded.search("silver runs", k=1)[0][0]
    return (found.id, found.score) == (3, 1.0) and loaded.encoder.name.startswith("recurrent:words.h5(tokenizer=other")


def test_a_collection_is_searched_from_anywhere(shelf, folder, monkeypatch):
    assert finds(shelf)
    # Saved elsewhere it finds the model where that is.
    Collection.load(shelf).using("euclidean").save(folder / "copy")
    assert finds(folder / "copy")
    loaded = Collection.load(shelf)
    assert loaded.encode("silver runs").shape == (1, 12)
    loaded.save(folder / "deep" / "copy")
    assert finds(folder / "deep" / "copy")
    # Moved with its model, and another model where that was.
    shutil.copytree(shelf.parent, folder / "moved")
    for model in ("loop_post.h5", None):
        (shelf.parent / "words.h5").unlink()
        if model:
            shutil.copy(GOLDEN / model, shelf.parent / "words.h5")
        assert finds(folder / "moved" / "shelf")


def test_a_collection_without_its_model_tells_what_it_wants(shelf, monkeypatch):
    model = shelf.parent / "words.h5"
    kept = model.read_bytes()
    model.unlink()
    loaded = Collection.load(shelf)
    assert (len(loaded), loaded.info["dims"]) == (len(TEXTS), 12)
    assert "by recurrent:words.h5(" in repr(loaded)
    loaded.save(shelf, overwrite=True)
    with pytest.raises(FileError, match=rf"shelf: was made with the encoder recurrent:words.h5\(.*there is no {model}\)"
                                        "; put it back there, or index the texts again"):
        Collection.load(shelf).encode("silver")
    model.write_bytes(kept)
    assert finds(shelf)


def test_a_collection_of_before_places_were_kept(shelf, monkeypatch):
    manifest = json.loads((shelf / "collection.json").read_text(encoding="utf-8"))
    assert set(manifest["encoder"].pop("files")) == {"words.h5", "other.json"}
    (shelf / "collection.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(FileError, match=r"cannot be had here \(words.h5: there is no such file\)"):
        Collection.load(shelf).encode("silver")
    monkeypatch.chdir(shelf.parent)
    assert finds(shelf)
    manifest["encoder"]["files"] = ["words.h5"]
    (shelf / "collection.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(FileError, match="the files of its encoder are of the wrong kind"):
        Collection.load(shelf)


def test_series_and_their_errors(tmp_path):
    series_model().save(tmp_path / "m.safetensors")
    made = encoder(f"recurrent:{tmp_path / 'm.safetensors'}")
    rows = series()
    seen = []
    vectors = made.encode_series(rows, batch_size=3, progress=lambda *a: seen.append(a))
    assert seen == [(3, 7), (6, 7), (7, 7)]
    np.testing.assert_array_equal(vectors, made._states.vectors(rows))
    for bad, words in (([], "at least one, got none"), ([rows[0], np.zeros((0, 3))], r"got shape \(0, 3\) .* number 1"),
                       ([np.zeros((4, 2))], r"numbers of shape \(time, 3\) .* got shape \(4, 2\)"),
                       ([np.full((2, 3), np.nan)], "NaN or infinity at number 0")):
        with pytest.raises(InputError, match=words):
            made.encode_series(bad)
    with pytest.raises(FileError, match=r"has no tokenizer; put it beside the model as NAME\.tokenizer\.json"):
        made.encode(["a"])


@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
def test_a_long_text_tells_how_far_it_is(folder, monkeypatch, pooling):
    monkeypatch.setattr(module, "_TOLD", 512)
    made = encoder(f"recurrent:{folder / 'words.h5'}(pooling={pooling})")
    seen = []
    text = "the old mill and an old man " * 300
    vectors = made.encode([text, "night"], batch_size=1, progress=lambda done, total: seen.append((done, total)))
    done = [part for part, _ in seen]
    assert done == sorted(done) and done[-2:] == [1, 2] and 0.05 < done[0] < 0.5 and len(done) > 3
    np.testing.assert_array_equal(vectors, made.encode([text, "night"]))


@pytest.mark.parametrize("number", [12, 2**31, 2**32 + 1])
def test_a_number_that_the_model_lacks_is_named_however_large(tmp_path, number):
    rng = np.random.default_rng(0)
    Model.sequential([layers.Embedding("e", rng.normal(size=(10, 3))), weights(rng, "LSTM", "l", 3, 4)]).save(
        tmp_path / "m.safetensors")
    made = RecurrentEncoder(tmp_path / "m.safetensors", Tokenizer.from_vocabulary({"a": number, "b": 1}))
    with pytest.raises(InputError, match=f"from 0 to 9, got {number} in row"):
        made.encode(["b a"])


def test_one_hot_rows_of_a_long_text_are_made_as_they_are_read(tmp_path):
    rng = np.random.default_rng(0)
    model = Model.sequential([weights(rng, "SimpleRNN", "rnn", 200, 4)])
    model.save(tmp_path / "m.safetensors")
    made = RecurrentEncoder(tmp_path / "m.safetensors", Tokenizer.from_vocabulary({"a": 0, "b": 199}, char_level=True))
    text = "ab" * 20_000
    tracemalloc.start()
    try:
        vector = made.encode([text])[0]
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < 4e6  # all rows would take 32 MB
    np.testing.assert_array_equal(vector, model.predict(np.tile(np.eye(200, dtype=np.float32)[[0, 199]],
                                                                (20_000, 1))[None])[0])


def test_one_hot_characters_with_unknown_ones_as_zeros(tmp_path):
    rng = np.random.default_rng(0)
    model = Model.sequential([weights(rng, "LSTM", "lstm", 3, 4)])
    model.save(tmp_path / "m.safetensors")
    tokenizer = Tokenizer.from_vocabulary({"a": 0, "b": 1, "c": 2}, char_level=True, oov_token="?")
    made = RecurrentEncoder(tmp_path / "m.safetensors", tokenizer)
    x = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32)
    np.testing.assert_array_equal(made.encode(["bza"])[0], model.predict(x[None])[0])
    tokenizer.save(tmp_path / "m.tokenizer.json")
    beside = RecurrentEncoder(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(beside.encode(["bza"]), made.encode(["bza"]))
    with pytest.raises(InputError, match="series"):
        RecurrentEncoder(GOLDEN / "loop_masked.h5", tokenizer).encode_series([x])


@pytest.mark.parametrize(("spec", "words"), [
    ("recurrent:none.h5", "none.h5: there is no such file"),
    ("recurrent:none.h5(colour=red)",
     r"recurrent:FILE\(option=value, …\) with tokenizer, layer, pooling, window, config, prefix, got"),
    ("recurrent:none.h5(window=x)", "'window' must be an integer from 1, got 'x'"),
    ("recurrent:none.h5(window)", "got 'window'"),
    ("recurrant:none.h5", "did you mean recurrent:FILE"),
])
def test_bad_names(spec, words):
    with pytest.raises((InputError, FileError), match=words):
        encoder(spec)


def test_several_tokenizers_beside_are_not_chosen_from(folder):
    shutil.copy(GOLDEN / "tokenizer_protocol4.pickle", folder / "words.tokenizer.pickle")
    with pytest.raises(FileError, match=r"several tokenizers beside it, words\.tokenizer\.json, words"):
        RecurrentEncoder(folder / "words.h5")
    made = by_name(f"recurrent:{folder / 'words.h5'}(tokenizer={folder / 'words.tokenizer.json'})")
    assert len(made.tokenizer) == 22


def test_the_end_of_a_row_in_a_chunk_counts_beside_the_model_s_own_mask():
    rng = np.random.default_rng(0)
    lstm = weights(rng, "LSTM", "lstm", 3, 4)
    table = layers.Embedding("embedding", rng.normal(size=(5, 3)), mask_zero=True)
    model = Model.sequential([table, lstm])
    ids = np.array([[1, 2, 3], [4, 0, 2]])
    got = model.stream(2).feed(ids, lengths=[1, 2])
    np.testing.assert_array_equal(got, [model.predict(ids[:1, :1])[0], model.predict(ids[1:, :1])[0]])
    np.testing.assert_array_equal(model.predict(ids, mask=np.arange(3) < [[1], [2]]), got)
    series = Model.sequential([layers.Masking("masking"), weights(rng, "LSTM", "lstm", 3, 4)], (None, 3))
    x = rng.normal(size=(1, 3, 3))
    np.testing.assert_array_equal(series.stream().feed(x, lengths=[2]), series.predict(x[:, :2]))
