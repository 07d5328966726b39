"""What the command says of bad input: every command, the whole line, as a person reads it."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("rich")

from kiyas.recurrent import Model, layers

pytestmark = pytest.mark.usefixtures("stub_encoder")

GOLDEN = Path(__file__).parent / "golden"
FILES = {
    "few.csv": "id,body\n1,hello there\n2,other text\n", "empty.txt": " \n", "empty.jsonl": "", "bad.npy": "hello",
    "few.jsonl": "\n".join(json.dumps({"id": i, "text": t}) for i, t in enumerate(["A cab.", "A hedge hid.", "Moon."])),
    "qrels.tsv": "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{q}\t1\n" for q in range(5)),
    "one.tsv": "query-id\tcorpus-id\tscore\n0\t900\t1\n1\t3\t1\n", "qids.txt": "0\n1\n2\n3\n4\n",
    "cat.tsv": "cat mammal\n",
    "pairs.csv": "sentence1,sentence2,score\na cab,a cab,1\nmoon,pool,0\n", "semicolons.csv": "1;2;3\n4;5;6\n",
    "run.txt": "0 Q0 3 1 0.5 sys\n",
    "dots.txt": "the old mill\n...\nnight moon\n",
}
# "$ what was typed", and below it the exit code and the line of the error.
SAID = (GOLDEN / "errors.txt").read_text(encoding="utf-8")
LINES = re.findall(r"^\$ (.+)\n(\d) (.+)$", SAID, re.MULTILINE)


@pytest.fixture
def place(tmp_path, monkeypatch, run):
    """A folder with files of every kind, an index of vectors and one of texts."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for name, rows in (("v", 80), ("q", 5), ("one", 1)):
        np.save(f"{name}.npy", rng.normal(size=(rows, 8)).astype(np.float32))
    np.save("nan.npy", np.full((3, 8), np.nan))
    run("index", "v.npy", "-o", "vi")
    run("index", "few.jsonl", "-o", "ti")
    for name in ("h5", "tokenizer.json"):
        (tmp_path / f"m.{name}").write_bytes((GOLDEN / "text" / f"loop_plain.{name}").read_bytes())
    (tmp_path / "weights.h5").write_bytes((GOLDEN / "recurrent" / "keras" / "pair_k3.weights.h5").read_bytes())
    head = layers.Dense("mine", np.eye(23), np.zeros(23), activation="tanh")
    Model.sequential([layers.Embedding("words", np.eye(23)), head]).save("tanh.safetensors")
    # A class of somebody's own, its name as long as the one it stands for: the file says how long its header is.
    Path("unknown.safetensors").write_bytes(Path("tanh.safetensors").read_bytes().replace(b"Dense", b"Dunno"))


@pytest.mark.parametrize(("typed", "code", "line"), LINES, ids=[typed for typed, _, _ in LINES])
def test_a_line_of_an_error(run, place, typed, code, line):
    assert run(*shlex.split(typed), code=int(code)) == f"{line}\n"


def test_every_command_is_there():
    assert 2 * len(LINES) == SAID.count("\n")
    from kiyas.cli.app import app

    leaves = {name for name in app if not name.startswith("-")} - {"recurrent"}
    assert leaves - {shlex.split(typed)[0] for typed, _, _ in LINES} == set()


def test_a_folder_that_is_not_there_is_made(run, place):
    run("recurrent", "convert", "m.h5", "-o", "new/m.safetensors")
    Path("t.txt").write_text("the old mill\n")
    run("recurrent", "encode", "m.h5", "t.txt", "-o", "newer/e.npy")
    np.save("ids.npy", np.array([[1, 2, 3]]))
    run("recurrent", "predict", "m.h5", "ids.npy", "-o", "newest/y.npy", "--save-state", "last/s.safetensors")
    assert np.load("newer/e.npy").shape == (1, 12) and Path("newest/y.npy").is_file() and Path("last").is_dir()
