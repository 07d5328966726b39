"""The command ``kiyas``. See docs/command.md.

Exit codes: 0 done, 1 an error, 2 wrong usage, 130 stopped by the keyboard. An error is one line on stderr: the
command, a colon, what is wrong and the cure.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kiyas.errors import KiyasError

if TYPE_CHECKING:
    from inspect import BoundArguments

    from cyclopts import App

# A vector typed in place may begin with a minus, which is no option then.
_NEGATIVE = re.compile(r"-[\d.][\d.eE+\-, ]*$")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (those of the process, if None) and return its exit code."""
    where = "kiyas"
    try:
        _open_streams()
        tokens = [f" {t}" if _NEGATIVE.match(t) and "," in t else t for t in (sys.argv[1:] if argv is None else argv)]
        from cyclopts import CycloptsError

        from kiyas.cli import wording
        from kiyas.cli.app import app
        where = _command(app, tokens)
    except KeyboardInterrupt:
        return _fail(where, "stopped", 130)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("cyclopts", "rich"):
            raise
        return _fail(where, f"the command needs {error.name}, which is not installed: pip install 'kiyas[cli]'", 1)
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        return _run(command, bound, where)
    except CycloptsError as error:
        return _fail(where, f"{wording.usage(error)} (see {where} --help)", 2)
    except KeyboardInterrupt:
        return _fail(where, "stopped", 130)


def _run(command: Callable[..., Any], bound: BoundArguments, where: str) -> int:
    try:
        command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except BrokenPipeError:
        leave_stdout()
        return 0
    except KiyasError as error:
        from kiyas.cli.wording import in_words

        return _fail(where, in_words(error, command), 1)
    except OSError as error:
        reason = "there is no such file or directory" if isinstance(error, FileNotFoundError) else error.strerror
        return _fail(where, f"{error.filename}: {reason}" if error.filename else str(error), 1)
    except MemoryError:
        return _fail(where, "there is not enough memory; give vectors as .npy, which is memory-mapped, or fewer texts",
                     1)
    return 0


def leave_stdout() -> None:
    """The reader (head, less) has enough: what is still written goes nowhere, and Python's own flush at exit too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _open_streams() -> None:
    """Streams that take every character: one that their encoding lacks is written as an escape."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the process
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open to the end
        elif stream.errors == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _command(app: App, tokens: list[str]) -> str:
    """What was typed of the name of a command: "kiyas", "kiyas search", "kiyas recurrent train language"."""
    words = ["kiyas"]
    for token in tokens:
        if token.startswith("-") or token not in app:
            break
        app = app[token]
        words.append(token)
    return " ".join(words)


def _fail(where: str, text: str, code: int) -> int:
    sys.stderr.write(f"{where}: {' '.join(text.splitlines())}\n")
    return code
