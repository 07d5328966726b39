"""``kiyas recurrent predict`` and its files: piece by piece, as a whole or not at all, told before the work."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("rich")

from test_cli_recurrent import WORDS, run, series  # noqa: F401  (fixtures)

from kiyas.cli import predict, show
from kiyas.encode import numpy_files
from kiyas.errors import FileError, InputError
from kiyas.recurrent import Model, Node, State, layers, load
from kiyas.recurrent.model import _tables

KERAS = Path(__file__).parent / "golden" / "recurrent" / "keras"


def small(monkeypatch, rows, steps):
    """Pieces of that size, whatever the numbers are."""
    for name, value in (("_BYTES", 1), ("_ROWS", rows), ("_STEPS", steps), ("_FEWEST_STEPS", 1)):
        monkeypatch.setattr(predict, name, value)
    monkeypatch.setattr(predict, "chosen_pieces", lambda model, x, size, real=predict.chosen_pieces: real(
        model, x, size)._replace(steps=steps) if real(model, x, size).steps else real(model, x, size))


def lstm(rng, name, features, units, **options):
    return layers.LSTM(name, rng.normal(size=(4 * units, features)), rng.normal(size=(4 * units, units)),
                       rng.normal(size=4 * units), **options)


def models():
    rng = np.random.default_rng(2)
    wide = layers.Input("in", (None, 3))
    first = lstm(rng, "one", 3, 4, return_sequences=True)
    both = [Node(wide), Node(first, ((0, 0),)), Node(lstm(rng, "two", 4, 5), ((1, 0),))]
    masked = [layers.Masking("mask"), first, lstm(rng, "two", 4, 2)]
    half = layers.GRU("g", rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), np.ones(6), return_sequences=True)
    return {"steps": Model.sequential([first, layers.Dense("head", rng.normal(size=(2, 4)))]),
            "two outputs": Model(both, [0], [(1, 0), (2, 0)]),
            "the vector first": Model(both, [0], [(2, 0), (1, 0)]), "masked": Model.sequential(masked, (None, 3)),
            "both ways": Model.sequential([layers.Bidirectional("both", half, half)])}


MODELS = models()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (2, 3), (5, 100)])
def test_pieces_are_the_whole_to_the_bit(run, tmp_path, monkeypatch, name, rows, steps):  # noqa: F811
    model = MODELS[name]
    x = np.random.default_rng(1).normal(size=(5, 7, 3)).astype(np.float32)
    x[1, :2], x[2, 3:5], x[3, 5:] = 0, 0, 0  # what a mask leaves out, in front, between and behind
    wanted, after = model.predict(x, return_state=True)
    np.save(tmp_path / "x.npy", x)
    model.save(tmp_path / "m.safetensors")
    small(monkeypatch, rows, steps)
    output = tmp_path / ("y.npz" if isinstance(wanted, tuple) else "y.npy")
    state = [] if model.whole else ["--save-state", tmp_path / "s.safetensors"]
    run("predict", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", output, *state)
    got = np.load(output)
    found = [got[k] for k in model.output_names] if isinstance(wanted, tuple) else [got]
    for ours, theirs in zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert ours.tobytes() == theirs.tobytes() and ours.shape == theirs.shape and ours.dtype == theirs.dtype
    if state:
        assert State.load(state[1]) == after
    printed = json.loads(run("predict", tmp_path / "m.safetensors", tmp_path / "x.npy", "--json"))["outputs"]
    for key, theirs in zip(model.output_names, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        np.testing.assert_array_equal(np.array(printed[key], np.float32), theirs)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["m.safetensors", output.name, "x.npy"] + (["s.safetensors"] if state else []))


@pytest.mark.parametrize("file", sorted(KERAS.glob("*.npz")), ids=lambda path: path.stem)
def test_pieces_of_models_of_keras(tmp_path, monkeypatch, file):
    place = next((file.with_suffix(e) for e in (".keras", ".h5") if file.with_suffix(e).exists()), None)
    if place is None:
        pytest.skip("its weights are apart")
    model = load(place)
    rng = np.random.default_rng(5)
    x = []
    for number, shape in enumerate(model.input_shapes):
        sizes = (5, *(11 if s is None else s for s in shape[1:]))
        tables = [table.table.shape[0] for table in _tables(model, number)]
        x.append(rng.integers(0, min(tables), sizes) if tables else rng.normal(size=sizes).astype(np.float32))
    wanted, after = model.predict(x, return_state=True)
    small(monkeypatch, 2, 4)
    states, pieces = [], predict.chosen_pieces(model, x, None)
    got = {}
    for rows, start, last, y in predict.outputs(model, x, None, pieces, 1, states, lambda *_: None):
        for k, one in enumerate(y):
            if pieces.steps and one.ndim > 2:
                got.setdefault((k, rows), []).append(one)
            elif last:
                got[k, rows] = [one]
        assert (start == 0) or pieces.steps
    for k, theirs in enumerate(wanted if isinstance(wanted, tuple) else (wanted,)):
        ours = np.concatenate([np.concatenate(v, axis=1 if len(v) > 1 else 0) for (j, _), v in got.items() if j == k])
        np.testing.assert_array_equal(ours, theirs)
    if model.state_widths:
        assert State.stack(states) == after


def test_pieces_are_of_bounded_size():
    model = MODELS["steps"]
    for shape in ((20000, 50, 3), (1, 10**6, 3), (200, 10**5, 3)):
        x = [np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, (0, 0, 0))]
        rows, steps = predict.chosen_pieces(model, x, None)
        assert rows * (steps or shape[1]) * 4 * (3 + 4 + 2 + 16) <= 1 << 26
        assert predict.chosen_pieces(model, x, 7).rows == min(7, shape[0])
    assert predict.chosen_pieces(MODELS["both ways"], [np.zeros((1, 10**5, 3))], None) == (1, None)
    # A length that the model names counts as any other, in a model within the model too.
    table, head = layers.Embedding("ids", np.ones((9, 3))), layers.Dense("head", np.ones((2, 4)))
    ids = [np.ones((10**5, 500), np.int64)]
    cell = lstm(np.random.default_rng(3), "one", 3, 4)
    steps = Model.sequential([table, cell, head], (500,))
    within = Model.sequential([layers.Nested("within", Model.sequential([table, cell], (500,))), head], (500,))
    flat = Model.sequential([table, layers.Flatten("flat"), layers.Dense("head", np.ones((2, 1500)))], (500,))
    for model in (steps, within, flat):
        rows, some = predict.chosen_pieces(model, ids, None)
        assert rows * (some or 500) * 4 * 3 <= 1 << 26


def test_a_bar_and_a_stop_within_a_batch(run, tmp_path, monkeypatch, series):  # noqa: F811
    seen = []

    class Bar:
        def __enter__(self):
            return self.report

        def __exit__(self, *_):
            pass

        def report(self, done, total):
            seen.append((done, total))
            if done == 4:
                raise KeyboardInterrupt

    small(monkeypatch, 1, 2)
    monkeypatch.setattr(show, "progress", lambda _: Bar())
    (tmp_path / "y.npy").write_text("before")
    from kiyas.cli import main

    assert main(["recurrent", "predict", str(tmp_path / "m.safetensors"), str(tmp_path / "x.npy"), "--overwrite", "-o",
                 str(tmp_path / "y.npy")]) == 130
    assert seen == [(2, 6), (4, 6)]
    assert (tmp_path / "y.npy").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("command", ["predict", "encode"])
def test_what_is_there_is_replaced_only_if_asked(run, tmp_path, series, command):  # noqa: F811
    file, x = tmp_path / "m.safetensors", tmp_path / "x.npy"
    before = x.read_bytes()
    error = run(command, file, x, "-o", x, code=1)
    assert "x.npy: is there already; give another name, or --overwrite to replace it" in error
    assert x.read_bytes() == before
    run(command, file, x, "-o", x, "--overwrite")
    assert x.read_bytes() != before
    if command == "predict":
        (tmp_path / "s.safetensors").write_text("another's")
        assert "is there already" in run(command, file, x, "--save-state", tmp_path / "s.safetensors", code=1)


def test_a_place_that_cannot_be_written_is_told_before_the_work(run, tmp_path, monkeypatch, series):  # noqa: F811
    def never(*_, **__):
        raise AssertionError("the model was read")

    (tmp_path / "t.txt").write_text("the old mill")
    (tmp_path / "file").write_text("")
    for module in ("kiyas.cli.models", "kiyas.encode.recurrent"):
        monkeypatch.setattr(f"{module}.load", never)
    file, x, bad = tmp_path / "m.safetensors", tmp_path / "x.npy", tmp_path / "file" / "sub"
    for arguments in (("predict", file, x, "-o", bad / "y.npy"), ("encode", file, x, "-o", bad / "y.npy"),
                      ("predict", file, x, "--save-state", bad / "s.safetensors"),
                      ("convert", file, "-o", bad / "m.onnx")):
        assert "cannot be written (" in run(*arguments, code=1)
    from kiyas.cli import main

    assert main(["index", str(tmp_path / "t.txt"), "-o", str(bad), "--encoder", f"recurrent:{WORDS}"]) == 1


def test_a_pipe_is_no_output_and_no_input(run, tmp_path, series):  # noqa: F811
    pipe = tmp_path / "pipe.npy"
    os.mkfifo(pipe)
    file, x = tmp_path / "m.safetensors", tmp_path / "x.npy"
    assert "is no plain file" in run("predict", file, x, "-o", pipe, "--overwrite", code=1)
    assert "is no plain file" in run("predict", file, pipe, code=1)
    assert "is no plain file" in run("info", pipe, code=1)
    assert "is no plain file" in run("info", "/dev/null", code=1)
    assert "is no plain file" in run("convert", WORDS, "--tokenizer", pipe, "-o", tmp_path / "c.onnx", code=1)
    assert "is no plain file" in run("encode", WORDS, WORDS, "--tokenizer", pipe, "-o", tmp_path / "v.npy", code=1)


def test_the_ending_that_fits_is_named_at_once(run, tmp_path):  # noqa: F811
    MODELS["two outputs"].save(tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((4, 2, 3), np.float32))
    np.save(tmp_path / "one.npy", np.zeros((1, 2, 3), np.float32))
    for more in ((), ("-o", tmp_path / "y.npy"), ("-o", tmp_path / "y.csv")):
        error = run("predict", tmp_path / "m.safetensors", tmp_path / "x.npy", *more, code=1)  # nothing printed before
        assert "--output must be a .npz file, as the model has several outputs (one, two), got " in error
    run("predict", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "y.npz")
    lines = run("predict", tmp_path / "m.safetensors", tmp_path / "one.npy").splitlines()
    assert [lines.index("# one"), lines.index("# two"), len(lines)] == [0, 3, 5]


def test_arrays_are_named_as_the_outputs_whatever_these_look_like(run, tmp_path):  # noqa: F811
    names = ["/lstm//LSTM_output_0", "../two"]
    model = MODELS["two outputs"]
    Model(model.nodes, model.inputs, model.outputs, output_names=names).save(tmp_path / "m.safetensors")
    x = np.ones((4, 2, 3), np.float32)
    np.save(tmp_path / "x.npy", x)
    run("predict", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "y.npz")
    got = np.load(tmp_path / "y.npz")
    assert got.files == names
    for name, wanted in zip(names, model.predict(x), strict=True):
        np.testing.assert_array_equal(got[name], wanted)


def test_no_output_is_written_over_another_nor_over_the_state_that_was_read(run, tmp_path, series):  # noqa: F811
    file, x, state = tmp_path / "m.safetensors", tmp_path / "x.npy", tmp_path / "s.npz"
    for options in ((), ("--overwrite",)):
        assert "--save-state must be another file than --output" in run(
            "predict", file, x, "-o", state, "--save-state", tmp_path / "." / "s.npz", *options, code=1)
    assert not state.exists()
    run("predict", file, x, "--save-state", state)
    before = state.read_bytes()
    assert "s.npz: is there already" in run("predict", file, x, "-o", state, "--state", state, code=1)
    assert state.read_bytes() == before
    run("predict", file, x, "--state", state, "--save-state", state)
    assert state.read_bytes() != before


@pytest.mark.parametrize("pieces", [(5, None), (2, None), (2, 3), (5, 100)])
def test_from_a_state_it_goes_on_whatever_the_pieces(pieces):
    """As one run over both: a sequence that begins with steps left out shows the last output of what came before."""
    rng = np.random.default_rng(4)
    for every in (True, False):
        model = Model.sequential([layers.Masking("mask"), lstm(rng, "one", 3, 4, return_sequences=True),
                                  lstm(rng, "two", 4, 2, return_sequences=every)], (None, 3))
        x = rng.normal(size=(5, 14, 3)).astype(np.float32)
        x[1, 5:9], x[2, 7:], x[3, :9] = 0, 0, 0
        wanted, after = model.predict(x, return_state=True)
        state, states, found = model.predict(x[:, :7], return_state=True)[1], [], {}
        for rows, start, last, (y,) in predict.outputs(model, [x[:, 7:]], state, predict.Pieces(*pieces), 1, states,
                                                       lambda *_: None):
            found.setdefault(rows, []).append(y)
            assert last == (start + (pieces[1] or 7) >= 7)
        got = np.concatenate([np.concatenate(y, axis=1) if every else y[-1] for y in found.values()])
        np.testing.assert_array_equal(got, wanted[:, 7:] if every else wanted)
        assert State.stack(states) == after


def test_a_state_of_a_model_that_needs_all_steps_is_refused(run, tmp_path):  # noqa: F811
    MODELS["both ways"].save(tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((1, 2, 3), np.float32))
    for option in ("--state", "--save-state"):
        assert f"{option}: Bidirectional 'both' needs all time steps at once" in run(
            "predict", tmp_path / "m.safetensors", tmp_path / "x.npy", option, tmp_path / "s.safetensors", code=1)
    MODELS["steps"].save(tmp_path / "m.safetensors")
    run("predict", tmp_path / "m.safetensors", tmp_path / "x.npy", "--save-state", tmp_path / "s.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((3, 2, 3), np.float32))
    assert "is the state of 1 sequence, the data have 3" in run(
        "predict", tmp_path / "m.safetensors", tmp_path / "x.npy", "--state", tmp_path / "s.safetensors", "-o",
        tmp_path / "y.npy", code=1)


# -- numbers -----------------------------------------------------------------------------------------------


def test_numbers_that_do_not_fit_are_named_where_they_stand(run, tmp_path, monkeypatch, series):  # noqa: F811
    small(monkeypatch, 1, 2)
    x = np.zeros((3, 9, 3))
    for number, words in ((1e300, "of at most 3.403e+38 in size, as far as float32 goes, got 1e+300 in row 2, step 7"),
                          (np.nan, "must be finite, got nan in row 2, step 7"),
                          (-np.inf, "must be finite, got -inf in row 2, step 7")):
        x[2, 7, 1] = number
        np.save(tmp_path / "bad.npy", x)
        assert words in run("predict", tmp_path / "m.safetensors", tmp_path / "bad.npy", "-o", tmp_path / "y.npy",
                            code=1)
        with pytest.raises(InputError, match=r"row 2, step 7"):
            series[0].check(x)
        with pytest.raises(InputError, match=r"row 2, step 7"):
            series[0].predict(x)
    np.save(tmp_path / "far.npy", np.full((2, 4, 3), 1e300))
    assert "the series must be of at most 3.403e+38 in size, as far as float32 goes, got 1e+300 at number 0" in run(
        "encode", tmp_path / "m.safetensors", tmp_path / "far.npy", "-o", tmp_path / "v.npy", code=1)
    ids = np.ones((4, 5), np.int64)
    ids[3, 4] = 99
    np.save(tmp_path / "ids.npy", ids)
    assert "got 99 in row 3, step 4" in run("predict", WORDS, tmp_path / "ids.npy", code=1)


def test_check_is_of_the_batch_of_all_inputs():
    nodes = [Node(layers.Input("a", (3,))), Node(layers.Input("b", (3,))), Node(layers.Add("s"), ((0, 0), (1, 0)))]
    model = Model(nodes, [0, 1], [(2, 0)])
    model.check([np.zeros((2, 3)), np.zeros((2, 3))])
    with pytest.raises(InputError, match="of batch 2, as the first input, got batch 3"):
        model.check([np.zeros((2, 3)), np.zeros((3, 3))])


@pytest.mark.parametrize(("text", "words"), [
    ("1;2;3\n4;5;6\n", "line 1: must hold numbers with commas between them, found semicolons in place of commas"),
    ("1,5;2,5\n", "line 1: must hold numbers with commas between them, found semicolons in place of commas"),
    ("a\tb\n1\t2\n", "line 2: must hold numbers with commas between them, found tabs in place of commas")])
def test_other_separators_are_named(run, tmp_path, series, text, words):  # noqa: F811
    (tmp_path / "x.csv").write_text(text)
    assert words in run("predict", tmp_path / "m.safetensors", tmp_path / "x.csv", code=1)


def test_an_altered_file_of_numpy_is_told_or_read(tmp_path):
    """Every bit of a header, and of an archive, turned over: an array, or a FileError; nothing else."""
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    np.savez(tmp_path / "x.npz", a=np.zeros(2, np.float32))
    refused = 0
    for name in ("x.npy", "x.npz"):
        data = (tmp_path / name).read_bytes()
        for place in [p for p in range(len(data)) if name == "x.npz" or p < 128]:
            for bit in (1, 4, 64, 128):
                altered = bytearray(data)
                altered[place] ^= bit
                file = tmp_path / f"altered{name[1:]}"
                file.write_bytes(altered)
                try:
                    if name == "x.npy":
                        numpy_files.read_npy(file)
                    else:
                        for key in numpy_files.npz_names(file):
                            numpy_files.read_npz(file, key)
                except FileError as error:
                    assert "\n" not in str(error)
                    refused += 1
    assert refused > 200


def test_an_altered_header_is_told_by_every_command(run, tmp_path, series):  # noqa: F811
    altered = bytearray((tmp_path / "x.npy").read_bytes())
    altered[altered.index(b"}")] ^= 0x40
    (tmp_path / "x.npy").write_bytes(altered)
    for arguments in (("predict", tmp_path / "m.safetensors", tmp_path / "x.npy"),
                      ("encode", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "v.npy")):
        assert "x.npy: cannot be read as .npy: " in run(*arguments, code=1)
    from kiyas.encode.files import read_vectors
    from kiyas.evaluate.queries import read_ids

    for read in (read_vectors, lambda path: read_ids(path, 3)):
        with pytest.raises(FileError, match=r"x\.npy: cannot be read as \.npy"):
            read(tmp_path / "x.npy")


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3), ()])
def test_arrays_without_rows_are_read(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape))
    assert numpy_files.read_npy(tmp_path / "x.npy").shape == shape
