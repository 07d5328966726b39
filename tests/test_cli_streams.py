"""The command where its streams are odd: closed, of few characters, cut short by a reader, a terminal with a bar."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cyclopts")
pytest.importorskip("rich")

from kiyas.cli import main

WORDS = Path(__file__).parent / "golden" / "text" / "loop_masked.h5"
COMMAND = [sys.executable, "-m", "kiyas", "recurrent"]


def process(*argv, **options):
    return subprocess.run([*map(str, argv)], capture_output=True, timeout=120, check=False, **options)


def test_characters_that_the_output_lacks_are_escaped(tmp_path):
    file = tmp_path / "modèl ğ.h5"
    shutil.copy(WORDS, file)
    narrow = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = process(*COMMAND, "info", file, env=narrow)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"mod\xe8l \u011f.h5" in done.stdout
    done = process(*COMMAND, "info", file, "--json", env=narrow)
    assert json.loads(done.stdout)["file"] == str(file)
    tokenizer = WORDS.with_name("loop_masked.tokenizer.json")
    done = process(*COMMAND, "generate", file, "--tokenizer", tokenizer, "--seed-text", "ılık river", env=narrow)
    assert done.returncode == 0 and done.stdout.startswith(rb"\u0131l\u0131k river ")
    wide = process(*COMMAND, "info", file, "--json", env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert str(file).encode() in wide.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed by a shell of POSIX")
@pytest.mark.parametrize("command", ["info", "generate --seed-text the", "--help"])
def test_streams_that_are_closed(command):
    typed = f"'{sys.executable}' -m kiyas recurrent {command.replace(' ', f' {chr(39)}{WORDS}{chr(39)} ', 1)}"
    if command == "info":
        typed += f" '{WORDS}'"
    for closed in (">&-", ">&- 2>&-"):
        done = process("sh", "-c", f"{typed} {closed}")
        assert (done.returncode, done.stderr) == (0, b"")
    assert process("sh", "-c", f"'{sys.executable}' -m kiyas recurrent info none 2>&-").returncode == 1


@pytest.mark.torch
def test_a_reader_that_has_enough_ends_no_training(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "t.txt").write_text("the quick brown fox jumps over the lazy dog " * 40)
    typed = [*COMMAND, "train", "language", str(tmp_path / "t.txt"), "-o", str(tmp_path / "m.safetensors"),
             "--hidden", "4", "--window", "8", "--epochs", "4", "--patience", "4"]
    with subprocess.Popen(typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout.readline().startswith(b"epoch 1: ")
        running.stdout.close()
        assert (running.stderr.read(), running.wait(120)) == (b"", 0)
    assert (tmp_path / "m.safetensors").exists() and not (tmp_path / "m.safetensors.checkpoint").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="processes are interrupted by signals of POSIX")
@pytest.mark.parametrize("when", ["kiyas.cli.app", "numpy", "kiyas.cli.writing"])
def test_ctrl_c_while_the_command_is_imported(when):
    """Pressed when that module is looked for, which is before anything of it runs."""
    code = f"""if 1:
        import os, signal, sys
        class Pressed:
            def find_spec(self, name, *_):
                if name == {when!r}:
                    sys.meta_path.remove(self)
                    os.kill(os.getpid(), signal.SIGINT)
        from kiyas.cli import main
        sys.meta_path.insert(0, Pressed())
        sys.exit(main(["recurrent", "generate", {str(WORDS)!r}, "--seed-text", "the"]))"""
    done = process(sys.executable, "-c", code)
    # Python may end itself by the signal then, which a shell gives as 130 too.
    assert done.returncode in (130, -signal.SIGINT)
    assert re.fullmatch(rb"kiyas( recurrent generate)?: stopped\n", done.stderr), done.stderr


def test_the_command_is_there_before_numpy():
    done = process(sys.executable, "-c", "import sys, kiyas.cli; sys.exit('numpy' in sys.modules)")
    assert done.returncode == 0


BAR = """
import sys, time
from kiyas.cli import show
with show.progress("training") as report:
    for step in range(1, 4):
        report(step, 3)
        time.sleep(0.15)
        sys.stdout.write(f"epoch {step}: told\\n")
        sys.stdout.flush()
"""


def in_a_terminal(code, **streams):
    """What a process writes to a terminal of 100 columns; ``streams`` go elsewhere."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdin=theirs,
                          **{"stdout": theirs, "stderr": theirs, **streams}) as running:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            seen += part
        rest = running.stdout.read() if running.stdout else b""
    os.close(ours)
    return seen.decode(), rest.decode()


def test_lines_come_above_the_bar():
    seen, _ = in_a_terminal(BAR)
    for step in (1, 2, 3):
        before, line = seen.partition(f"epoch {step}: told")[::2]
        assert before.endswith("\r\x1b[2K"), "the bar was not cleared before"
        assert line.startswith("\r\n"), "the line does not end where it should"


def test_a_bar_takes_nothing_from_a_pipe():
    seen, piped = in_a_terminal(BAR, stdout=subprocess.PIPE)
    assert piped == "epoch 1: told\nepoch 2: told\nepoch 3: told\n"
    assert "training" in seen and "told" not in seen


def test_a_closed_stream_is_opened_once(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["recurrent", "info", "none"]) == 1
    assert sys.stderr.name == os.devnull
    sys.stderr.close()
