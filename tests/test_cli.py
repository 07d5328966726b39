"""The command: what it prints, its JSON, its errors and exit codes. In process, and a few times as a process."""

import json
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from kiyas import Index
from kiyas.errors import FileError, InputError

pytest.importorskip("cyclopts")
pytest.importorskip("rich")

from command import LETTERS, Letters

pytestmark = pytest.mark.usefixtures("stub_encoder")


@pytest.fixture
def vectors(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    np.save(tmp_path / "v.npy", rows)
    return rows


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,text\nx,"Badge cabbage. Face a cab."\ny,"A hedgehog hid."\nz,"Moon pool look."\n')
    return path


# -- measures, compare -----------------------------------------------------------------------------


def test_measures_lists_all(run):
    out = run("measures")
    assert "tempered_cosine" in out
    assert "A·B / (‖A‖‖B‖)" in out
    listed = json.loads(run("measures", "--json"))["measures"]
    assert len(listed) >= 17
    assert all(m["formula"] and m["meaning"] for m in listed)


def test_measures_one_in_full_with_traps(run):
    out = run("measures", "l2")
    assert "euclidean — Euclidean" in out
    assert "Traps" in out
    assert json.loads(run("measures", "ndd", "--json"))["parameters"] == ["query_norm"]


def test_measures_unknown_suggests(run):
    assert "did you mean ndd?" in run("measures", "ndq", code=1)


def test_compare_numbers_with_minus(run):
    got = json.loads(run("compare", "0.1,0.9,0", "-0.1,0.8,0.3", "--json"))
    scores = {m["measure"]: m["score"] for m in got["measures"]}
    assert scores["cosine"] == pytest.approx(0.71 / np.sqrt(0.82 * 0.74))
    assert scores["gower"] is None
    assert sum(got["explained"]["contributions"]) == pytest.approx(scores["cosine"])
    out = run("compare", "0.1,0.9,0", "-0.1,0.8,0.3", "-m", "exponential(trim=0.1)")
    assert "needs a collection to be fitted on" in out
    assert "Dimension by dimension under exponential(trim=0.1)" in out


def test_compare_shows_no_dimension_twice(run):
    out = run("compare", "1,2,4", "3,2,1", "--top", "5", "-m", "manhattan")
    table = out[out.index("helped most"):].splitlines()
    assert len([line for line in table if line.strip()]) == 3
    assert "hurt most            2" in out  # where they differ most


def test_compare_texts_and_files(run, tmp_path):
    (tmp_path / "a.txt").write_text("a cab")
    np.save(tmp_path / "v.npy", np.ones(3))
    got = json.loads(run("compare", tmp_path / "a.txt", "a badge", "--json"))
    assert (got["a"], got["dims"]) == ("a cab", len(LETTERS))
    assert json.loads(run("compare", tmp_path / "v.npy", "1,1,1", "--json"))["dims"] == 3


@pytest.mark.parametrize(("a", "b", "words"), [
    ("1,2", "1,2,3", "2 and 3 dimensions"), ("1,2", "a text", "A is a vector and B a text"),
    ("nowhere.npy", "1,2", "nowhere.npy: there is no such file"), ("1,nan", "1,2", "finite"),
    ("a text", " ", "B is blank"),
])
def test_compare_errors(run, a, b, words):
    assert words in run("compare", a, b, code=1)


def test_measures_that_no_name_gives_are_made_by_a_command(run):
    from kiyas.cli.named import MADE_BY

    rows = {m["measure"]: m["reason"] for m in json.loads(run("compare", "1,2", "3,4", "--json"))["measures"]}
    assert {name: reason for name, reason in rows.items() if "made" in (reason or "")} == \
        {"learned": "is made from a collection by kiyas learn", "linear_map": "is made from a collection by kiyas fit"}
    assert set(MADE_BY) <= set(rows)


def test_compare_says_that_a_measure_needs_rows(run):
    for measure in ("csls", "mahalanobis", "gower"):
        assert run("compare", "1,2", "3,4", "-m", measure, code=1) == \
            f"kiyas compare: {measure} needs a collection to be fitted on; give it to kiyas index or kiyas search\n"


# -- index, search, info ---------------------------------------------------------------------------


def test_vectors_from_file_to_answer(run, vectors, tmp_path):
    out = run("index", tmp_path / "v.npy", "-o", tmp_path / "ix", "-m", "ndd")
    assert "60 vectors of 8 dimensions under ndd" in out
    np.save(tmp_path / "q.npy", vectors[:2])
    got = json.loads(run("search", tmp_path / "ix", tmp_path / "q.npy", "-k", 3, "-m", "cosine", "-m", "manhattan",
                         "--explain", "--json"))
    index = Index(vectors)
    for q, query in enumerate(got["queries"]):
        for answer in query["answers"]:
            wanted = index.using(answer["measure"]).search(vectors[q], 3).row()
            assert [(h["id"], h["score"]) for h in answer["hits"]] == wanted
            assert answer["explanation"]["score"] == wanted[0][1]
    assert json.loads(run("info", tmp_path / "ix", "--json"))["rows"] == 60
    shown = run("info", tmp_path / "ix")
    assert "memory mapped" in shown and "none yet: codes are made at the first search" in shown
    assert "rows since the measure was fitted" in shown


def test_fitting_that_takes_long_is_shown(run, vectors, texts, tmp_path, monkeypatch):
    from kiyas.cli import show

    told = []

    @contextmanager
    def seen(text):
        yield lambda done, total: told.append((text, done, total))

    monkeypatch.setattr(show, "progress", seen)
    run("index", tmp_path / "v.npy", "-o", tmp_path / "plain")
    assert told == []
    run("index", tmp_path / "v.npy", "-o", tmp_path / "ix", "-m", "csls")
    run("search", tmp_path / "ix", "--like", 3)  # fitted already
    assert told == [("fitting csls", 60, 60)]
    run("search", tmp_path / "plain", "--like", 3, "-m", "local_scaling(k=2)")
    run("index", texts, "-o", tmp_path / "words", "-m", "csls(k=1)")
    assert told[1:] == [("fitting local_scaling", 60, 60), ("encoding", 3, 3), ("fitting csls", 3, 3)]
    assert json.loads(run("info", tmp_path / "words", "--json"))["measure"] == "csls(k=1)"


def test_several_measures_show_rank_changes(run, vectors, tmp_path):
    run("index", tmp_path / "v.npy", "-o", tmp_path / "ix")
    query = ",".join(str(x) for x in vectors[3])
    out = run("search", tmp_path / "ix", query, "-m", "cosine", "-m", "dot", "--explain")
    assert "against cosine" in out
    assert any(mark in out for mark in ("▲", "▼", "new")) and "▲ ▼ = new: against " in out
    assert "Why 3 under cosine" in out


def test_like_leaves_the_row_out(run, vectors, tmp_path):
    run("index", tmp_path / "v.npy", "-o", tmp_path / "ix")
    got = json.loads(run("search", tmp_path / "ix", "--like", 5, "--json"))
    ids = [h["id"] for h in got["queries"][0]["answers"][0]["hits"]]
    assert len(ids) == 10
    assert 5 not in ids


def test_texts_are_answered_by_text_with_the_passage(run, texts, tmp_path):
    out = run("index", texts, "-o", tmp_path / "ix", "--passage-tokens", 2)
    assert "3 texts in" in out
    assert "kiyas search" in out
    got = json.loads(run("search", tmp_path / "ix", "cabbage badge", "--json"))
    hits = got["queries"][0]["answers"][0]["hits"]
    assert hits[0]["id"] == "x"
    assert hits[0]["passage"] == "Badge cabbage."
    assert len(hits) == 3
    assert "Badge cabbage." in run("search", tmp_path / "ix", "cabbage badge", "-k", 1)
    info = json.loads(run("info", tmp_path / "ix", "--json"))
    assert (info["texts"], info["encoder"], info["encoder_version"]) == (3, "wordllama", "stub")
    assert json.loads(run("search", tmp_path / "ix", "--like", "x", "--json"))["queries"][0]["answers"][0]["hits"][0][
        "id"] != "x"


def test_lines_and_min_score(run, tmp_path):
    (tmp_path / "t.txt").write_text("abba\n\ncab\nmoon\n")
    run("index", tmp_path / "t.txt", "--lines", "-o", tmp_path / "ix")
    hits = json.loads(run("search", tmp_path / "ix", "ab", "--min-score", 0.5, "--json"))["queries"][0]["answers"][0]
    assert [h["id"] for h in hits["hits"]] == [0, 1]
    told = " ".join(run("index", "--help").replace("│", "").split())
    assert "Every line of a .txt that is not blank is a text" in told


def test_an_index_is_replaced_only_when_asked(run, vectors, texts, tmp_path):
    run("index", texts, "-o", tmp_path / "ix")
    assert "--overwrite" in run("index", tmp_path / "v.npy", "-o", tmp_path / "ix", code=1)
    run("index", tmp_path / "v.npy", "-o", tmp_path / "ix", "--overwrite")
    assert json.loads(run("info", tmp_path / "ix", "--json"))["dims"] == 8
    run("index", texts, "-o", tmp_path / "ix", "--overwrite")
    assert json.loads(run("info", tmp_path / "ix", "--json"))["texts"] == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    assert "no kiyas index" in run("index", texts, "-o", tmp_path / "mine", "--overwrite", code=1)
    assert (tmp_path / "mine" / "letter").read_text() == "dear"
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"v.npy", "t.csv", "ix", "mine"}


def test_another_encoder_version_is_refused(run, texts, tmp_path, monkeypatch):
    run("index", texts, "-o", tmp_path / "ix")

    class Newer(Letters):
        def __init__(self):
            super().__init__()
            self.version = "stub 2"

    monkeypatch.setattr("kiyas.encode._by_name", lambda spec: Newer())
    assert "cannot be compared: install that version, or index again" in run("search", tmp_path / "ix", "a", code=1)


@pytest.mark.parametrize("name", ["collection.json", "texts.utf8", "texts.safetensors", "ids.json"])
def test_altered_collections_are_named(run, texts, tmp_path, name):
    run("index", texts, "-o", tmp_path / "ix")
    path = tmp_path / "ix" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert name in run("search", tmp_path / "ix", "a", code=1)
    path.unlink()
    run("search", tmp_path / "ix", "a", code=1)


def test_search_errors(run, vectors, texts, tmp_path):
    run("index", tmp_path / "v.npy", "-o", tmp_path / "iv")
    run("index", texts, "-o", tmp_path / "it")
    assert "there is no such directory" in run("search", tmp_path / "no", "a", code=1)
    assert "has 2 dimensions, the index 8" in run("search", tmp_path / "iv", "1,2", code=1)
    assert "must be a file of vectors or 8 numbers" in run("search", tmp_path / "iv", "a text", code=1)
    assert "-k must be an integer from 1 to 59" in run("search", tmp_path / "iv", "--like", 1, "-k", 0, code=1)
    assert "-k must be an integer from 1 to 3" in run("search", tmp_path / "it", "a", "-k", 4, code=1)
    assert "the query is blank" in run("search", tmp_path / "it", " ", code=1)
    assert "no id 'q'" in run("search", tmp_path / "it", "--like", "q", code=1)
    assert "give a query, or --like" in run("search", tmp_path / "it", code=1)
    assert "unknown measure" in run("search", tmp_path / "it", "a", "-m", "cosinus", code=1)
    assert "--by is for an index of texts" in run("search", tmp_path / "iv", "--like", 1, "--by", "mean3", code=1)


# -- files -----------------------------------------------------------------------------------------


def _fvecs(rows):
    out = np.empty((len(rows), rows.shape[1] + 1), "<f4")
    out[:, 0].view("<i4")[:] = rows.shape[1]
    out[:, 1:] = rows
    return out.tobytes()


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "fvecs", "parquet", "arrow"])
def test_every_kind_of_vector_file_gives_the_same_rows(vectors, tmp_path, kind):
    from kiyas.encode.files import read_files

    path = tmp_path / f"f.{kind}"
    if kind == "npy":
        np.save(path, vectors)
    elif kind == "npz":
        np.savez(path, a=vectors)
    elif kind == "safetensors":
        from safetensors.numpy import save_file
        save_file({"a": vectors}, path)
    elif kind == "fvecs":
        path.write_bytes(_fvecs(vectors))
    else:
        arrow = pytest.importorskip("pyarrow")
        feather, parquet = (pytest.importorskip(f"pyarrow.{part}") for part in ("feather", "parquet"))
        table = arrow.table({"id": [f"r{i}" for i in range(60)], "v": [row.tolist() for row in vectors]})
        table = table.cast(arrow.schema([("id", arrow.string()), ("v", arrow.list_(arrow.float32()))]))
        (parquet.write_table if kind == "parquet" else feather.write_feather)(table, path)
    got = read_files([path])
    np.testing.assert_array_equal(got.vectors, vectors)
    assert got.vectors.dtype == np.float32
    assert (got.ids or ["r0"])[0] == "r0"


def test_ids_beside_vectors_and_several_files(vectors, tmp_path):
    from kiyas.encode.files import read_files

    (tmp_path / "ids.txt").write_text("\n".join(f"n{i}" for i in range(120)))
    got = read_files([tmp_path / "v.npy"] * 2, ids=tmp_path / "ids.txt")
    assert got.vectors.shape == (120, 8)
    assert got.ids[-1] == "n119"


BROKEN = {
    "a.npy": (b"\x93NUMPY broken", "cannot be read as .npy"), "a.npz": (b"PK broken", "cannot be read as .npz"),
    "a.safetensors": (b"\x08\0\0\0\0\0\0\0nonsense", "cannot be read as .safetensors"),
    "a.fvecs": (b"\x03\0\0\0\0\0", "cut off"), "b.fvecs": (b"", "cut off"),
    "a.jsonl": (b'{"text": "a"}\n{"te', "line 2"), "b.jsonl": (b'{"body": "a"}', "--text-column"),
    "c.jsonl": (b'{"text": " "}', "not blank"), "d.jsonl": (b"", "no records"),
    "e.jsonl": (b"[1]", "JSON object"), "f.jsonl": (b'{"text": "a", "id": 1.5}', "integer or a text"),
    "a.csv": (b"id,text\n1,a,b\n", "must have 2 fields"), "a.txt": (b"\xff\xfe", "not UTF-8 at byte 0"),
    "a.doc": (b"", "kiyas reads .npy"), "a.parquet": (b"PAR1 broken", "cannot be read as .parquet"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(run, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    content, words = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    err = run("index", tmp_path / name, "-o", tmp_path / "ix", code=1)
    assert words in err
    assert name in err
    assert not (tmp_path / "ix").exists()


def test_wrong_arrays_are_named(run, tmp_path):
    for value, words in ((np.zeros((2, 2, 2)), "shape (2, 2, 2)"), (np.array([["a"]]), "<U1"),
                         (np.ones((0, 4)), "(0, 4)"), (np.array([[1.0, np.nan]]), "row 0")):
        np.save(tmp_path / "x.npy", value)
        assert words in run("index", tmp_path / "x.npy", "-o", tmp_path / "ix", code=1)
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    run("index", tmp_path / "x.npy", "-o", tmp_path / "ix", code=1)
    np.savez(tmp_path / "y.npz", a=np.ones((2, 2)), b=np.ones((2, 2)))
    assert "--vector-column" in run("index", tmp_path / "y.npz", "-o", tmp_path / "ix", code=1)


def test_mixed_kinds_are_refused(run, vectors, texts, tmp_path):
    assert "files of one kind" in run("index", tmp_path / "v.npy", texts, "-o", tmp_path / "ix", code=1)
    assert "a directory" in run("index", tmp_path, "-o", tmp_path / "ix", code=1)
    (tmp_path / "one.txt").write_text("A cab.")
    assert "1 text in 1 passage of" in run("index", tmp_path / "one.txt", "-o", tmp_path / "one")
    assert "no file was given" in run("index", "-o", tmp_path / "ix", code=1)


# -- usage, exit codes -----------------------------------------------------------------------------


@pytest.mark.parametrize(("argv", "words"), [
    (["nonsense"], "nonsense"), (["search"], "(see kiyas search --help)"), (["search", "d", "q", "--kk"], "--kk"),
    (["search", "d", "q", "-k", "ten"], "kiyas search: -k must be an integer, got 'ten' (see"),
    (["index", "a.npy"], "kiyas index: --output is missing (see kiyas index --help)"),
    (["index", "a.npy", "-o"], "kiyas index: -o needs a value"), (["compare", "1,2"], "kiyas compare: B is missing"),
    (["recurrent", "train", "language", "a"], "kiyas recurrent train language: --output is missing"),
])
def test_wrong_usage_is_two(run, argv, words):
    assert words in run(*argv, code=2)


def test_words_without_quotes_are_told_so(run):
    assert run("search", "d", "interest", "rates", code=2) == \
        "kiyas search: one too many: rates; a text of several words goes in quotes (see kiyas search --help)\n"


def test_errors_name_options_rather_than_parameters(run, texts, tmp_path):
    run("index", texts, "-o", tmp_path / "ix")
    assert run("search", tmp_path / "ix", "q", "--by", "worst", code=1) == \
        "kiyas search: --by must be 'best' or 'mean3', got 'worst'\n"
    assert run("search", tmp_path / "ix", "q", "-k", 0, code=1).startswith("kiyas search: -k must be an integer from 1")
    assert run("search", tmp_path / "ix", "q", "-m", "csls(k=0)", code=1).startswith("kiyas search: csls: 'k' must be")


def test_wording():
    from typing import Annotated

    from cyclopts import Parameter

    from kiyas.cli.wording import in_words, option_names

    def command(file, /, *, window=None, seed_text="", start=None, tied=False, prefix="",
                words: Annotated[int, Parameter(name=["--words", "--steps"])] = 1,
                k: Annotated[int, Parameter(name="-k")] = 1):
        raise NotImplementedError

    assert option_names(command)["k"] == "-k" and option_names(command)["seed_text"] == "--seed-text"
    for library, here in [
        ("generate: 'seed_text' must be so; give window=, or (start=); not window=3 or a.start=",
         "--seed-text must be so; give --window, or (--start); not window=3 or a.start="),
        ("generate: 'steps' must be 1", "--words must be 1"),
        ("train: 'schedule.window' must be 2", "--window must be 2"),
        ("Index: 'vectors' must be finite", "the vectors must be finite"),
        ("csls.fit: 'X' must be more", "csls: the vectors must be more"),
        ("csls: 'k' must be 1", "csls: 'k' must be 1"),
        ("encoder: 'spec' must be known", "encoder: 'spec' must be known"),  # this command has no such option
        ("LSTM 'a': 'input' must be of 3", "LSTM 'a': 'input' must be of 3"),
        ("give prefix='a.b', or give tied=False", "give --prefix a.b, or leave --tied out"),
    ]:
        assert in_words(InputError(library), command) == here
    assert in_words(FileError("a.txt: 'k' must be"), command) == "a.txt: 'k' must be"


def _commands(app):
    for name in app:
        if not name.startswith("-"):
            yield app[name]
            yield from _commands(app[name])


def test_help_has_no_line_broken_in_the_middle():
    from docstring_parser import parse

    from kiyas.cli.app import app

    said = {}
    for one in _commands(app):
        if one.default_command:
            told = {p.arg_name: p.description for p in parse(one.default_command.__doc__).params}
            for option in one.assemble_argument_collection():
                name = option.field_info.name
                assert (name in told) != bool(option.parameter.help), (one.name, name)  # said once, and said
                said[one.name, name] = told.get(name) or option.parameter.help
    assert len(said) > 150
    assert [text for text in said.values() if "\n" in text] == []


def test_stopping_is_130(run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr("kiyas.cli.measures.run", stop)
    assert run("measures", code=130) == "kiyas measures: stopped\n"


def test_stopping_while_the_command_is_imported(run, monkeypatch):
    class Stop:
        def __getattr__(self, name):
            raise KeyboardInterrupt
    monkeypatch.setitem(sys.modules, "kiyas.cli.app", Stop())
    assert run("measures", code=130) == "kiyas: stopped\n"


def test_system_errors_are_one_line(run, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied", "/x/y")
    monkeypatch.setattr("kiyas.cli.measures.run", fail)
    assert run("measures", code=1) == "kiyas measures: /x/y: Permission denied\n"


def test_without_the_extra_the_install_line(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    assert "pip install 'kiyas[cli]'" in run("measures", code=1)


def _process(*argv, **options):
    return subprocess.run([sys.executable, "-W", "error", "-m", "kiyas", *argv], capture_output=True, text=True,
                          timeout=120, check=False, **options)


def test_as_a_process():
    import kiyas

    assert _process("--version").stdout.strip() == kiyas.__version__
    helped = _process("--help")
    assert helped.returncode == 0
    assert all(name in helped.stdout for name in ("measures", "compare", "index", "search", "info", "demo"))
    wrong = _process("measures", "nope")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("kiyas measures: unknown measure 'nope'")


def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m kiyas measures --json | head -c 10"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_starting_imports_no_encoder():
    code = ("import sys; from kiyas.cli import main; main(['--version']); "
            "print(sorted({'tokenizers', 'pyarrow', 'torch', 'kiyas.encode'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
