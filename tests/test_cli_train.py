"""The command: training, stopped and resumed, and models written in the forms of others."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from test_training import PAIRS, TEXT

for extra in ("cyclopts", "rich"):
    pytest.importorskip(extra)

from kiyas.cli import main  # noqa: E402
from kiyas.recurrent import Tokenizer, load  # noqa: E402

LANGUAGE = ["recurrent", "train", "language", "--level", "character", "--hidden", "8", "--batch", "4", "--window", "8",
            "--checkpoint-every", "5"]
ENCODER = ["recurrent", "train", "encoder", "--hidden", "6", "--embedding", "5", "--validation", "0.2", "--batch", "8"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    lines = [json.dumps({"query": q, "text": t}) for q, t in PAIRS]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    lines = ["title,body", *(f'"{q}","{t}"' for q, t in PAIRS)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def run(capsys, *arguments):
    code = main(arguments)
    out = capsys.readouterr()
    return code, out.out, out.err


class Stopping:
    """A progress that presses Ctrl-C after seven steps."""

    def __enter__(self):
        return lambda done, total: done == 7 and os.kill(os.getpid(), signal.SIGINT)

    def __exit__(self, *_):
        return None


@pytest.fixture
def stopped_run(place, capsys, monkeypatch):
    """What was typed for a run that was stopped, and whose checkpoint is there."""
    from kiyas.cli import show

    typed = [*LANGUAGE, "text.txt", "-o", "m.safetensors", "--epochs", "2"]
    with monkeypatch.context() as patched:
        patched.setattr(show, "progress", lambda text: Stopping())
        assert run(capsys, *typed, "--lower")[0] == 130
    return typed


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch")
    found.set_num_threads(1)
    return found


@pytest.mark.torch
def test_a_language_model_is_trained_and_writes(torch, place, capsys):
    code, out, err = run(capsys, *LANGUAGE, "text.txt", "-o", "new/m.safetensors", "--epochs", "2")
    assert (code, err) == (0, "")
    assert "epoch 2: perplexity" in out and "new/m.safetensors: " in out and "characters" in out
    assert sorted(p.name for p in (place / "new").iterdir()) == ["m.safetensors", "m.tokenizer.json"]
    code, out, err = run(capsys, "recurrent", "generate", "new/m.safetensors", "--seed-text", "the ", "--words", "9")
    assert code == 0, err
    assert out.startswith("the ") and len(out) > len("the ") + 8
    code, _, err = run(capsys, *LANGUAGE, "text.txt", "-o", "new/m.safetensors")
    assert code == 1 and "new/m.safetensors: is there already; give another name, or --overwrite" in err
    assert run(capsys, *LANGUAGE, "text.txt", "-o", "new/m.safetensors", "--epochs", "1", "--overwrite")[0] == 0


@pytest.mark.torch
def test_an_encoder_is_trained_and_searches(torch, place, capsys):
    code, out, err = run(capsys, *ENCODER, "pairs.csv", "--fields", "title,body", "-m", "ndd", "--epochs", "2", "-o",
                         "e.safetensors", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["file"] == "e.safetensors" and 0 < told["mrr"] <= 1 and len(told["epochs"]) == 2
    assert load("e.safetensors").source["measure"] == "ndd"
    code, _, err = run(capsys, "index", "pairs.jsonl", "--encoder", "recurrent:e.safetensors", "-m", "ndd", "-o", "idx")
    assert code == 0, err
    assert run(capsys, "search", "idx", "red car", "-k", "2")[0] == 0


@pytest.mark.torch
def test_a_run_stopped_by_the_keyboard_goes_on(torch, place, capsys, monkeypatch):
    from kiyas.cli import show

    assert run(capsys, *LANGUAGE, "text.txt", "-o", "whole.safetensors", "--epochs", "2")[0] == 0
    progress = show.progress

    monkeypatch.setattr(show, "progress", lambda text: Stopping())
    code, _, err = run(capsys, *LANGUAGE, "text.txt", "-o", "m.safetensors", "--epochs", "2")
    assert code == 130
    assert "the run is kept in m.safetensors.checkpoint; go on with --resume" in err
    assert "kiyas recurrent train language: stopped" in err
    assert not (place / "m.safetensors").exists()
    monkeypatch.setattr(show, "progress", progress)
    code, _, err = run(capsys, *LANGUAGE, "text.txt", "-o", "m.safetensors", "--epochs", "2")
    assert code == 1 and "m.safetensors.checkpoint: a run that was stopped; go on with --resume, or remove it" in err
    assert run(capsys, *LANGUAGE, "text.txt", "-o", "m.safetensors", "--epochs", "2", "--resume")[0] == 0
    assert (place / "m.safetensors").read_bytes() == (place / "whole.safetensors").read_bytes()
    assert not (place / "m.safetensors.checkpoint").exists()
    code, _, err = run(capsys, *LANGUAGE, "text.txt", "-o", "other.safetensors", "--resume")
    assert code == 1
    assert "other.safetensors.checkpoint: there is no checkpoint to resume from; train without --resume\n" in err


@pytest.mark.torch
def test_turkish_letters_are_made_small_as_turkish_has_them(torch, place, capsys):
    (place / "text.txt").write_text("IŞIK HIZI İzmir\nışık hızı izmir\n" * 30, encoding="utf-8")
    words = ["recurrent", "train", "language", "text.txt", "--hidden", "4", "--window", "4", "--epochs", "1", "--lower"]
    assert run(capsys, *words, "--locale", "tr", "-o", "m.safetensors")[0] == 0
    made = Tokenizer.load("m.tokenizer.json")
    assert set(made.word_index) == {"<unk>", "ışık", "hızı", "izmir"} and made.locale == "tr"
    code, _, err = run(capsys, *words[:-1], "--locale", "tr", "-o", "n.safetensors")
    assert code == 1 and "--locale must be left out where letters stay as they are, got 'tr'; give --lower, or" in err
    code, _, err = run(capsys, *words, "--locale", "de", "-o", "n.safetensors")
    assert code == 1 and "--locale must be 'tr' or 'az', got 'de'" in err
    pairs = [{"query": f"IŞIK {i}", "text": f"ışık {i} hızı"} for i in range(20)]
    (place / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    assert run(capsys, *ENCODER, "pairs.jsonl", "--locale", "tr", "--epochs", "1", "-o", "e.safetensors")[0] == 0
    made = Tokenizer.load("e.tokenizer.json")
    assert made.locale == "tr" and "ışık" in made.word_index and "işik" not in made.word_index


@pytest.mark.torch
def test_a_run_goes_on_in_its_own_locale_only(torch, place, capsys, stopped_run):
    code, _, err = run(capsys, *stopped_run, "--lower", "--locale", "tr", "--resume")
    assert code == 1 and "belongs to another run, locale was None there and is 'tr' now" in err


@pytest.mark.parametrize(("arguments", "words"), [
    ([*LANGUAGE, "-o", "m.safetensors"], "no file was given"),
    ([*LANGUAGE, "text.txt", "-o", "m.h5"], "--output must be a .safetensors file, got m.h5"),
    ([*LANGUAGE, "text.txt", "-o", "m.safetensors", "--dropout", "2"], "--dropout must be a share from 0 to below 1"),
])
def test_what_cannot_be_trained_is_said_before(place, capsys, arguments, words):
    code, _, err = run(capsys, *arguments)
    assert code == 1 and words in err


@pytest.mark.torch
@pytest.mark.parametrize(("arguments", "words"), [
    ([*ENCODER, "text.txt", "-o", "e.safetensors"], "text.txt: pairs are read from .jsonl and .csv; not .txt"),
    ([*ENCODER, "pairs.csv", "-o", "e.safetensors"], "pairs.csv, line 2: has no field 'query'; name the two with"),
    ([*ENCODER, "null.jsonl", "-o", "e.safetensors"], "null.jsonl, line 1: has no text in the field 'query'; name"),
    ([*ENCODER, "pairs.jsonl", "--longest", "1", "-o", "e.safetensors"], "larger --longest, split the text, or give"),
    ([*ENCODER, "pairs.csv", "--fields", "title", "-o", "e.safetensors"], "--fields must be two names with a comma"),
    ([*ENCODER, "pairs.jsonl", "-m", "cosin", "-o", "e.safetensors"], "cosine"),
    ([*LANGUAGE, "nowhere.txt", "-o", "m.safetensors"], "nowhere.txt: there is no such file"),
])
def test_bad_input_is_named(torch, place, capsys, arguments, words):
    (place / "null.jsonl").write_text('{"query": null, "text": "a"}\n')
    code, _, err = run(capsys, *arguments)
    assert code == 1 and words in err


def test_without_pytorch_the_install_line_is_told(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = run(capsys, *LANGUAGE, "text.txt", "-o", "m.safetensors")
    assert code == 1 and "training needs torch, which is not installed: pip install 'kiyas[torch]'" in err


# -- other forms -------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(place):
    from test_export_onnx import both, embedding

    from kiyas.recurrent import Model, Tokenizer

    made = Model.sequential([embedding(mask_zero=True), both(return_sequences=True)])
    made.save(place / "model.safetensors")
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(["a b c"])
    tokenizer.save(place / "model.tokenizer.json")
    return made


def test_a_model_becomes_onnx(place, model, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    code, _, err = run(capsys, "recurrent", "convert", "model.safetensors", "-o", "model.onnx")
    assert code == 1 and "Embedding 'embedding' masks id 0" in err and "give --padding post" in err
    code, _, err = run(capsys, "recurrent", "convert", "model.safetensors", "-o", "model.onnx", "--padding", "post")
    assert (code, err) == (0, "")
    code, _, err = run(capsys, "recurrent", "convert", "model.safetensors", "-o", "other.onnx", "--padding", "foo")
    assert (code, err) == (1, "kiyas recurrent convert: --padding must be 'post' or 'none', got 'foo'\n")
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    ids = np.array([[1, 2, 3, 0]])
    np.testing.assert_allclose(session.run(None, {"input": ids})[0], model.predict(ids), atol=1e-5)
    for ending, option in ((".safetensors", "--state"), (".pt", "--state")):
        code, _, err = run(capsys, "recurrent", "convert", "model.safetensors", "-o", f"other{ending}", option)
        assert code == 1 and f"--state is for an output that ends in .onnx, not other{ending}" in err
    code, _, err = run(capsys, "recurrent", "convert", "model.safetensors", "-o", "model.tflite")
    assert code == 1 and "--output must be a .safetensors, .onnx or .pt file, got model.tflite" in err


@pytest.mark.torch
def test_a_model_becomes_a_state_dict(torch, place, model, capsys):
    code, _, err = run(capsys, "recurrent", "convert", "model.safetensors", "-o", "other.pt")
    assert (code, err) == (0, "")
    weights = torch.load(place / "other.pt", weights_only=True)
    assert set(weights) >= {"embedding.weight", "both.forward_.weight_ih_l0", "both.backward_.bias_hh_l0"}
    assert (place / "other.tokenizer.json").exists()


def test_the_help_of_training_needs_no_pytorch():
    code = ("import sys; from kiyas.cli import main; main(['recurrent', 'train', 'language', '--help']); "
            "sys.exit('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--checkpoint-every" in done.stdout
