"""``kiyas recurrent``: what it prints, its JSON, its files, its errors."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("rich")

from command import assert_one_prefix

from kiyas.cli import main
from kiyas.recurrent import Model, State, Tokenizer, beam_search, generate, layers, load

GOLDEN = Path(__file__).parent / "golden" / "text"
WORDS = GOLDEN / "loop_masked.h5"


@pytest.fixture
def run(capsys):
    def call(*argv, code=0, said=""):
        got = main(["recurrent", *map(str, argv)])
        out, err = capsys.readouterr()
        assert got == code, err or out
        assert "Traceback" not in err
        if code:
            assert err.count("\n") == 1
            assert_one_prefix(err, ("recurrent", *argv))
            return err
        assert (said in err) if said else not err
        return out
    return call


@pytest.fixture
def series(tmp_path):
    rng = np.random.default_rng(0)
    model = Model.sequential([
        layers.LSTM("one", rng.normal(size=(16, 3)), rng.normal(size=(16, 4)), rng.normal(size=16),
                    return_sequences=True),
        layers.Dense("head", rng.normal(size=(2, 4)), np.zeros(2))])
    model.save(tmp_path / "m.safetensors")
    x = rng.normal(size=(1, 6, 3))
    np.save(tmp_path / "x.npy", x)
    return model, x


# -- info --------------------------------------------------------------------------------------------------


def test_info(run):
    out = run("info", WORDS)
    for words in ("keras version  2.15.0", "LSTM i f c o", "3,475", "step by step   yes", "lstm_1", "(any, any, 16)",
                  "loop_masked.tokenizer.json"):
        assert words in out
    made = json.loads(run("info", WORDS, "--json"))
    assert (made["format"], made["keras_version"], made["gates"]) == ("keras", "2.15.0", {"LSTM": "i f c o"})
    assert made["weights"] == sum(layer["parameters"] for layer in made["layers"]) == 3475
    assert [layer["class"] for layer in made["layers"]] == ["Input", "Embedding", "LSTM", "Dropout", "LSTM", "Dense"]
    assert made["outputs"] == {"dense": [None, 23]}


def test_info_says_what_needs_all_steps(run, tmp_path):
    half = layers.GRU("g", np.ones((6, 3)), np.ones((6, 2)), np.ones(6))
    Model.sequential([layers.Bidirectional("both", half, half)]).save(tmp_path / "m.safetensors")
    made = json.loads(run("info", tmp_path / "m.safetensors", "--json"))
    assert made["step_by_step"] == "no: Bidirectional 'both' needs all steps at once"
    assert made["gates"] == {"GRU": "z r h"}


# -- convert -----------------------------------------------------------------------------------------------


def test_what_an_onnx_graph_leaves_open_is_given_by_options(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(3)
    weights = {"W": rng.normal(size=(1, 8, 3)), "R": rng.normal(size=(1, 8, 2))}
    # Features are as many as the last size of the input says, where the graph is told.
    nodes = [helper.make_node("Mul", ["x", "scale"], ["scaled"]), helper.make_node("Shape", ["x"], ["s"], start=2),
             helper.make_node("Equal", ["s", "three"], ["is"]), helper.make_node("Not", ["is"], ["not"]),
             helper.make_node("Cast", ["not"], ["more"], to=kind.FLOAT),
             helper.make_node("Add", ["scaled", "more"], ["v"]),
             helper.make_node("LSTM", ["v", "W", "R"], ["y"], hidden_size=2)]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", kind.FLOAT, [None, None, None]),
                     helper.make_tensor_value_info("scale", kind.FLOAT, [])],
        [helper.make_tensor_value_info("y", kind.FLOAT, None)],
        [*(onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()),
         onnx.numpy_helper.from_array(np.array([3]), "three")])
    file = tmp_path / "open.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    assert "the input 'scale' of rank 0 (give numbers for it with --input)" in run("info", file, code=1)
    assert "(give that of 'x' with --shape)" in run("info", file, "--input", "scale=0.5", code=1)
    options = ["--input", "scale=0.5", "--shape", "x=any,any,3"]
    assert "(any, any, 3)" in run("info", file, *options)
    run("convert", file, *options, "-o", tmp_path / "m.safetensors")
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    for name, more in (("m.safetensors", []), ("open.onnx", options)):
        run("predict", tmp_path / name, tmp_path / "x.npy", *more, "-o", tmp_path / f"{name}.npy")
    wanted = load(file, inputs={"scale": 0.5}, shapes={"x": (None, None, 3)}).predict(x)
    assert np.load(tmp_path / "m.safetensors.npy").tobytes() == np.load(tmp_path / "open.onnx.npy").tobytes()
    assert np.load(tmp_path / "open.onnx.npy").tobytes() == wanted.tobytes()
    for wrong, words in ((["--input", "scale"], "--input must be NAME=NUMBER, such as scale=16000, got 'scale'"),
                         (["--input", "scale=x"], "got 'scale=x'"),
                         (["--input", "rate=1"], "which are x, scale, got 'rate'"),
                         (["--shape", "x=3;4"], "--shape must be NAME=SIZE,SIZE such as input=any,576, got 'x=3;4'"),
                         (["--shape", "x=0"], "got 'x=0'")):
        assert words.replace("scale=16000", "sr=16000") in run("info", file, *wrong, code=1)
    assert "--input must be left out" in run("info", WORDS, "--input", "sr=1", code=1)


def test_the_same_tokenizer_beside_a_new_form_is_kept(run, tmp_path):
    model, beside = tmp_path / "w.safetensors", tmp_path / "w.tokenizer.json"
    run("convert", WORDS, "-o", model)
    before = beside.read_bytes()
    model.unlink()
    assert "22 words" not in run("convert", WORDS, "-o", model)
    assert model.exists() and beside.read_bytes() == before
    beside.write_text("another's")
    model.unlink()
    assert "w.tokenizer.json: is there already" in run("convert", WORDS, "-o", model, code=1)
    assert not model.exists()


def test_the_modules_of_a_state_dict_are_given_in_a_file(run, tmp_path):
    torch = Path(__file__).parent / "golden" / "recurrent" / "torch"
    (tmp_path / "modules.json").write_text(json.dumps(
        ["embedding", {"name": "conv", "padding": 1}, "relu", "encoder", "norm", "hidden", "out", "softmax"]))
    given = [torch / "tagger_checkpoint.pt", "--prefix", "model", "--config"]
    rows = json.loads(run("info", *given, tmp_path / "modules.json", "--json"))["layers"]
    assert [row["class"] for row in rows][:4] == ["Input", "Embedding", "Conv1D", "ActivationLayer"]
    assert "none.json: there is no such file" in run("info", *given, tmp_path / "none.json", code=1)


def test_convert_takes_the_tokenizer_along(run, tmp_path):
    out = run("convert", WORDS, "-o", tmp_path / "w.safetensors")
    assert "3,475 weights" in out
    assert "22 words" in out
    ids = np.array([[0, 0, 3, 1, 2]])
    np.testing.assert_array_equal(load(tmp_path / "w.safetensors").predict(ids), load(WORDS).predict(ids))
    assert vars(Tokenizer.load(tmp_path / "w.tokenizer.json")) == \
        vars(Tokenizer.load(GOLDEN / "loop_masked.tokenizer.json"))
    assert "is there already; give another name, or --overwrite" in run("convert", WORDS, "-o",
                                                                        tmp_path / "w.safetensors", code=1)
    made = json.loads(run("convert", WORDS, "-o", tmp_path / "w.safetensors", "--overwrite", "--precision", "int8",
                          "--json", said="int8 weights: outputs differ by at most"))
    assert made["weights"] == 3475
    told = json.loads(run("info", tmp_path / "w.safetensors", "--json"))
    assert (told["format"], told["made from"], told["gates"]) == ("kiyas", "keras 2.15.0", {"LSTM": "i f c o"})
    text = run("generate", tmp_path / "w.safetensors", "--seed-text", "the river", "--words", "3")
    assert text.startswith("the river")


def test_convert_of_a_vocabulary(run, tmp_path):
    shutil.copy(WORDS, tmp_path / "m.h5")
    (tmp_path / "v.json").write_text('{"a": 1, "b": 2}')
    target = tmp_path / "o.safetensors"
    error = run("convert", tmp_path / "m.h5", "-o", target, "--tokenizer", tmp_path / "v.json", code=1)
    assert "say --characters or --no-characters, and --lower or --no-lower" in error
    assert not target.exists()
    run("convert", tmp_path / "m.h5", "-o", target, "--tokenizer", tmp_path / "v.json", "--characters", "--no-lower")
    made = Tokenizer.load(tmp_path / "o.tokenizer.json")
    assert (made.char_level, made.lower, made.word_index) == (True, False, {"a": 1, "b": 2})
    words = ("--tokenizer", tmp_path / "v.json", "--no-characters", "--overwrite", "--locale", "tr")
    run("convert", tmp_path / "m.h5", "-o", target, *words, "--lower")
    assert Tokenizer.load(tmp_path / "o.tokenizer.json").locale == "tr"
    error = run("convert", tmp_path / "m.h5", "-o", target, *words, "--no-lower", code=1)
    assert "--locale must be left out where letters stay as they are" in error


# -- predict -----------------------------------------------------------------------------------------------


def test_predict_in_every_form(run, tmp_path, series):
    model, x = series
    file, y = tmp_path / "m.safetensors", model.predict(x)
    np.savetxt(tmp_path / "x.csv", x[0], delimiter=",", header="a,b,c", comments="")
    np.savez(tmp_path / "x.npz", input=x)
    for data in ("x.npy", "x.csv", "x.npz"):
        printed = run("predict", file, tmp_path / data)
        np.testing.assert_allclose(np.loadtxt(printed.splitlines(), delimiter=","), y[0], atol=1e-6)
    out = run("predict", file, tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert "head (1, 6, 2)" in out
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), y)
    run("predict", file, tmp_path / "x.npy", "-o", tmp_path / "y.csv")
    np.testing.assert_allclose(np.loadtxt(tmp_path / "y.csv", delimiter=","), y[0], rtol=1e-8)
    run("predict", file, tmp_path / "x.npy", "-o", tmp_path / "y.npz", "--threads", "2", "--batch-size", "1")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["head"], y)
    made = json.loads(run("predict", file, tmp_path / "x.npy", "--json"))
    np.testing.assert_allclose(made["outputs"]["head"], y, rtol=1e-6)


def test_predict_goes_on_from_a_state(run, tmp_path, series):
    model, x = series
    for name, part in (("a", x[:, :2]), ("b", x[:, 2:])):
        np.save(tmp_path / f"{name}.npy", part)
    file, state = tmp_path / "m.safetensors", tmp_path / "s.safetensors"
    run("predict", file, tmp_path / "a.npy", "-o", tmp_path / "ya.npy", "--save-state", state)
    run("predict", file, tmp_path / "b.npy", "-o", tmp_path / "yb.npy", "--state", state, "--save-state", state)
    both = np.concatenate([np.load(tmp_path / "ya.npy"), np.load(tmp_path / "yb.npy")], axis=1)
    np.testing.assert_array_equal(both, model.predict(x))
    assert State.load(state) == model.predict(x, return_state=True)[1]
    lost = tmp_path / "lost.safetensors"  # nothing to go on from where the outputs could not be written
    np.save(tmp_path / "many.npy", np.zeros((2, 2, 3), np.float32))
    run("predict", file, tmp_path / "many.npy", "-o", tmp_path / "y.csv", "--save-state", lost, code=1)
    assert not lost.exists()


def test_predict_of_ids(run, tmp_path):
    (tmp_path / "x.csv").write_text("0,3,1\n0,0,2\n")
    printed = run("predict", WORDS, tmp_path / "x.csv")
    np.testing.assert_allclose(np.loadtxt(printed.splitlines(), delimiter=","),
                               load(WORDS).predict(np.array([[0, 3, 1], [0, 0, 2]])), atol=1e-6)


BAD_CSV = {"1,2,x\n": "line 1: must hold numbers with commas between them, got '1,2,x'",
           "a,b,c\n1,2\n3\n": "line 3: has 1 numbers, the first one 2", "a,b\n": "holds no numbers",
           "1,2,3\nb,c,d\n": "line 2: must hold numbers"}


@pytest.mark.parametrize("text", BAD_CSV)
def test_bad_csv(run, tmp_path, series, text):
    (tmp_path / "x.csv").write_text(text)
    assert BAD_CSV[text] in run("predict", tmp_path / "m.safetensors", tmp_path / "x.csv", code=1)


def test_numbers_in_files_of_another_kind(run, tmp_path, series):
    (tmp_path / "latin.csv").write_bytes(b"1,2,\xe73\n")
    np.save(tmp_path / "one.npy", np.zeros((1, 2, 3), np.float32))
    np.savez(tmp_path / "several.npz", input=np.zeros((1, 2, 3), np.float32))
    (tmp_path / "one.npz").write_bytes((tmp_path / "one.npy").read_bytes())
    (tmp_path / "several.npy").write_bytes((tmp_path / "several.npz").read_bytes())
    altered = bytearray((tmp_path / "several.npz").read_bytes())
    altered[120] ^= 255
    (tmp_path / "altered.npz").write_bytes(altered)
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "cut.npy").write_bytes(b"PK\x03\x04 and no more")
    for name, words in (("latin.csv", "is not UTF-8 at byte 4"), ("altered.npz", "cannot be read as .npz: "),
                        ("cut.npz", "cannot be read as .npz: "), ("cut.npy", "cannot be read as .npy: "),
                        ("one.npz", "cannot be read as .npz: it holds a single array, as an .npy file does"),
                        ("several.npy", "cannot be read as .npy: it holds several arrays, as an .npz file does")):
        assert words in run("predict", tmp_path / "m.safetensors", tmp_path / name, code=1)
    for name in ("cut.npy", "several.npy"):
        assert "cannot be read as .npy: " in run("encode", tmp_path / "m.safetensors", tmp_path / name, "-o",
                                                 tmp_path / "v.npy", code=1)


def test_bad_predictions(run, tmp_path, series):
    file = tmp_path / "m.safetensors"
    np.save(tmp_path / "nan.npy", np.full((1, 2, 3), np.nan))
    np.save(tmp_path / "wide.npy", np.zeros((1, 2, 4)))
    np.save(tmp_path / "many.npy", np.zeros((2, 2, 3)))
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY nonsense")
    for arguments, words in ((("none.npy",), "there is no such file"),
                             ((tmp_path / "nan.npy",), "must be finite, got nan"),
                             ((tmp_path / "wide.npy",), "4"), ((tmp_path / "bad.npy",), "cannot be read as .npy"),
                             ((tmp_path / "many.npy",), "a .npy file for head, of shape (2, 2, 2)"),
                             ((tmp_path / "x.npy", "-o", "y.txt"), "a .npy, .csv or .npz file"),
                             ((tmp_path / "x.npy", "--precision", "int4"), "one of float32, bfloat16, int8, got"),
                             ((WORDS,), "is of a kind that is not read here")):
        assert words in run("predict", file, *arguments, code=1)
    np.savez(tmp_path / "other.npz", other=np.zeros((1, 2, 3)))
    assert "has no array 'input'; it has other" in run("predict", file, tmp_path / "other.npz", code=1)
    np.savez(tmp_path / "more.npz", input=np.zeros((1, 2, 3)), y=np.zeros((1, 2, 2)))
    assert "more.npz: has also 'y', which is no input of the model; its inputs are input" in \
        run("predict", file, tmp_path / "more.npz", code=1)


# -- generate ----------------------------------------------------------------------------------------------


def library(**options):
    return generate(load(WORDS), Tokenizer.load(GOLDEN / "loop_masked.tokenizer.json"), "the river", 12, **options)


@pytest.mark.parametrize(("arguments", "options"), [
    ((), {}), (("--temperature", "0.7", "--seed", "3"), {"temperature": 0.7, "seed": 3}),
    (("--top-k", "3", "--seed", "3"), {"top_k": 3, "seed": 3}),
    (("--top-p", "0.8", "--seed", "1"), {"top_p": 0.8, "seed": 1}),
    (("--window", "9"), {"window": 9}), (("--window", "9", "--padding", "post"), {"window": 9, "padding": "post"}),
    (("--window", "9", "--carry"), {"window": 9, "carry": True}), (("--stop", "old"), {"stop": "old"}),
    (("--exclude", "1", "--exclude", "2"), {"exclude": [1, 2]}), (("--start", "moon"), {"start": "moon"}),
])
def test_generate_is_the_library(run, arguments, options):
    wanted = library(**options)
    given = ("generate", WORDS, "--seed-text", "the river", "--words", "12", *arguments)
    assert run(*given) == wanted.text + "\n"
    made = json.loads(run(*given, "--json"))
    assert (made["text"], made["ids"], made["stopped"]) == (wanted.text, wanted.ids.tolist(), wanted.stopped)
    np.testing.assert_allclose(made["log_probabilities"], wanted.log_probabilities)


def test_generate_with_beams(run):
    found = beam_search(load(WORDS), Tokenizer.load(GOLDEN / "loop_masked.tokenizer.json"), "the river", 5, 3)
    given = ("generate", WORDS, "--seed-text", "the river", "--words", "5", "--beams", "3")
    assert [line.split("\t")[1] for line in run(*given).splitlines()] == [one.text for one in found]
    assert [one["text"] for one in json.loads(run(*given, "--json"))["texts"]] == [one.text for one in found]
    flat = beam_search(load(WORDS), Tokenizer.load(GOLDEN / "loop_masked.tokenizer.json"), "the river", 5, 3,
                       logits=True)
    made = json.loads(run(*given, "--logits", "--json"))["texts"][0]
    np.testing.assert_allclose(made["log_probabilities"], flat[0].log_probabilities)
    for seed in ("1", "0"):
        assert "so --seed has nothing to say; leave one out" in run(*given, "--seed", seed, code=1)


def test_generate_tells_unknown_words(run, tmp_path):
    out = run("generate", WORDS, "--seed-text", "zebra the", "--words", "1",
              said="not in the tokenizer's vocabulary, and left out: 'zebra'\n")
    assert out.startswith("zebra the ")
    run("generate", GOLDEN / "loop_plain.h5", "--seed-text", "zebra the", "--words", "1",
        said="not in the tokenizer's vocabulary, and read as '<OOV>': 'zebra'\n")


def test_generate_as_a_process_streams_to_its_reader():
    done = subprocess.run([sys.executable, "-m", "kiyas", "recurrent", "generate", str(WORDS), "--tokenizer",
                           str(GOLDEN / "loop_masked.tokenizer.json"), "--seed-text", "the river", "--words", "12"],
                          capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == library().text + "\n"


def test_whether_a_softmax_is_to_be_taken(run, tmp_path):
    head = layers.Dense("head", np.eye(3), np.arange(3.0), activation="tanh")
    made = Model.sequential([layers.Embedding("words", np.zeros((3, 3))), head])
    made.save(tmp_path / "m.safetensors")
    tokenizer = Tokenizer.from_vocabulary({"a": 1, "b": 2})
    tokenizer.save(tmp_path / "m.tokenizer.json")
    given = ("generate", tmp_path / "m.safetensors", "--seed-text", "a", "--words", "2")
    assert "give --no-logits for probabilities, --logits for what a softmax" in run(*given, code=1)
    assert run(*given, "--logits") == generate(made, tokenizer, "a", 2, logits=True).text + "\n" == "a b b\n"
    assert "must be one whose outputs are probabilities" in run(*given, "--no-logits", code=1)


def test_nothing_is_written_before_what_was_given_is_looked_at(tmp_path, capsys):
    for given in (["--exclude", "999"], ["--tokenizer", str(tmp_path / "t.json")]):
        Tokenizer.from_vocabulary({"river": 1, "the": 999}).save(tmp_path / "t.json")
        assert main(["recurrent", "generate", str(WORDS), "--seed-text", "the river", *given]) == 1
        assert capsys.readouterr().out == ""


def test_bad_generations(run, tmp_path):
    shutil.copy(WORDS, tmp_path / "m.h5")
    for arguments, words in ((("generate", tmp_path / "m.h5"), "has no tokenizer beside it (m.tokenizer.json)"),
                             (("generate", WORDS, "--seed-text", ""), "got '', which has none; give other words"),
                             (("generate", WORDS, "--seed-text", "the", "--words", "0"), "--words must be an integer"),
                             (("generate", "none.h5", "--tokenizer", GOLDEN / "loop_plain.tokenizer.json"),
                              "no such file"),
                             (("info", "none.h5"), "none.h5: there is no such file"),
                             (("info", Path(__file__)), "is of no format that kiyas reads")):
        assert words in run(*arguments, code=1)
    assert "(see kiyas recurrent generate --help)" in run("generate", WORDS, "--sedd", "1", code=2)


# -- encode ------------------------------------------------------------------------------------------------


def test_encode_texts_and_series(run, tmp_path, series):
    from kiyas.encode.recurrent import RecurrentEncoder

    (tmp_path / "t.txt").write_text("the old mill\nnight moon\n")
    out = run("encode", WORDS, tmp_path / "t.txt", "--lines", "-o", tmp_path / "v.npy", "--pooling", "mean")
    assert "2 vectors of 12 dimensions (lstm_1, mean)" in out
    wanted = RecurrentEncoder(WORDS, pooling="mean").encode(["the old mill", "night moon"])
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), wanted)
    _, x = series
    np.save(tmp_path / "s.npy", np.concatenate([x, -x]))
    made = json.loads(run("encode", tmp_path / "m.safetensors", tmp_path / "s.npy", "-o", tmp_path / "v.npy", "--layer",
                          "one", "--json", "--overwrite"))
    assert (made["vectors"], made["dims"], made["layer"]) == (2, 4, "one")
    assert made["encoder_version"].startswith("weights ")


def test_encode_by_a_part_of_a_file(run, tmp_path):
    from kiyas.encode.recurrent import RecurrentEncoder

    tagger = GOLDEN.parent / "recurrent" / "torch" / "tagger_checkpoint.pt"
    x = np.random.default_rng(0).standard_normal((2, 3, 5))
    np.save(tmp_path / "s.npy", x)
    run("encode", tagger, tmp_path / "s.npy", "-o", tmp_path / "v.npy", "--prefix", "model.encoder")
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"),
                                  RecurrentEncoder(tagger, prefix="model.encoder").encode_series(x))
    assert "--config" in run("encode", GOLDEN.parent / "recurrent" / "keras" / "pair_k3.weights.h5", tmp_path / "s.npy",
                             "-o", tmp_path / "w.npy", code=1)
    (tmp_path / "t.txt").write_text("the")
    assert run("encode", tagger, tmp_path / "t.txt", "-o", tmp_path / "w.npy", "--prefix", "model.encoder",
               code=1).endswith("as NAME.tokenizer.json, or give --tokenizer FILE\n")


def test_bad_encodings(run, tmp_path, series):
    np.save(tmp_path / "flat.npy", np.zeros(3))
    (tmp_path / "t.txt").write_text("the\n")
    target = ("-o", tmp_path / "v.npy")
    for arguments, words in (((*target,), "no file was given"), ((tmp_path / "t.txt", "-o", "v.txt"), "a .npy file"),
                             ((tmp_path / "t.txt", tmp_path / "flat.npy", *target), "not both"),
                             ((tmp_path / "t.txt", "--layer", "two", *target), "--layer must be 'output' or one of"),
                             ((tmp_path / "flat.npy", *target), "must hold series of shape (series, time, features)")):
        assert words in run("encode", WORDS, *arguments, code=1)
    (tmp_path / "v.json").write_text('{"the": 1}')  # options that only convert can be told
    said = run("encode", WORDS, tmp_path / "t.txt", "--tokenizer", tmp_path / "v.json", *target, code=1)
    assert "-o NEW --tokenizer v.json, with --characters or --no-characters" in said and "char_level" not in said


def test_texts_without_words_and_long_ones_by_wish(run, tmp_path):
    from kiyas.encode.recurrent import RecurrentEncoder

    (tmp_path / "t.txt").write_text("the old mill\n...\n")
    given = ("encode", WORDS, tmp_path / "t.txt", "--lines", "-o", tmp_path / "v.npy", "--blank", "zero")
    run(*given)
    made = np.load(tmp_path / "v.npy")
    assert made[0].any() and not made[1].any()
    run(*given, "--window", "2", "--overlong", "cut", "--overwrite")
    wanted = RecurrentEncoder(WORDS, window=2).encode(["old mill"])
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy")[:1], wanted)


def test_an_index_takes_texts_without_words_by_wish(tmp_path, capsys):
    from kiyas.encode.collection import Collection

    (tmp_path / "t.txt").write_text("the old mill\n...\nsilver runs\n")
    given = ["index", str(tmp_path / "t.txt"), "--lines", "-o", str(tmp_path / "shelf"), "--encoder",
             f"recurrent:{WORDS}"]
    assert main(given) == 1
    assert "text 1 that has no token that the encoder knows ('...'); leave it out, or give --blank zero for a vector" \
        in " ".join(capsys.readouterr().err.split())
    assert main([*given, "--blank", "zero"]) == 0
    vectors = Collection.load(tmp_path / "shelf").index.vectors
    assert vectors[0].any() and not vectors[1].any() and vectors[2].any()
    np.save(tmp_path / "v.npy", np.eye(3))
    for arguments, words in ((given, "--blank must be 'error' or 'zero', got 'skip'"), (
            ["index", str(tmp_path / "v.npy"), "-o", str(tmp_path / "x")], "--blank is for texts, and")):
        assert main([*arguments, "--blank", "skip", "--overwrite"]) == 1
        assert words in " ".join(capsys.readouterr().err.split())


def test_index_by_a_recurrent_encoder(tmp_path, capsys):
    (tmp_path / "t.txt").write_text("the old mill\nan old man walks past the river at night\nsilver runs\n")
    assert main(["index", str(tmp_path / "t.txt"), "--lines", "-o", str(tmp_path / "shelf"), "--encoder",
                 f"recurrent:{WORDS}", "-m", "manhattan"]) == 0
    capsys.readouterr()
    assert main(["search", str(tmp_path / "shelf"), "silver runs", "-k", "1", "--json"]) == 0
    hit = json.loads(capsys.readouterr().out)["queries"][0]["answers"][0]["hits"][0]
    assert hit["passage"] == "silver runs"
    assert main(["search", str(tmp_path / "shelf"), "Éàç"]) == 1
    assert capsys.readouterr().err.endswith("knows ('Éàç'); leave it out, or give other words\n")


def test_an_index_opens_from_another_folder(tmp_path, capsys, monkeypatch):
    def call(*argv):
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        return code, out, err

    made = tmp_path / "made"
    made.mkdir()
    for name in ("h5", "tokenizer.json"):
        shutil.copy(GOLDEN / f"loop_masked.{name}", made / f"m.{name}")
    (made / "t.txt").write_text("the old mill\nsilver runs\n")
    monkeypatch.chdir(made)
    assert call("index", "t.txt", "--lines", "-o", "ix", "--encoder", "recurrent:m.h5")[0] == 0
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("search", "made/ix", "silver runs", "-k", "1")
    assert code == 0 and "silver runs" in out
    (made / "m.h5").unlink()
    code, out, _ = call("info", "made/ix")
    assert code == 0 and "recurrent:m.h5" in out
    code, _, err = call("search", "made/ix", "silver runs")
    assert code == 1 and err == (
        "kiyas search: made/ix: was made with the encoder recurrent:m.h5, which cannot be had here "
        f"(there is no {made / 'm.h5'}); put it back there, or index the texts again\n")
