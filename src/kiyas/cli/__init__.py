"""The command ``kiyas``. See docs/command.md.

Exit codes: 0 done, 1 an error (one line on stderr), 2 wrong usage, 130 stopped by the keyboard.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kiyas.errors import KiyasError

# A vector typed in place may begin with a minus, which is no option then.
_NEGATIVE = re.compile(r"-[\d.][\d.eE+\-, ]*$")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (those of the process, if None) and return its exit code."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return _fail("stopped", 130)


def _main(argv: Sequence[str] | None) -> int:
    tokens = [f" {t}" if _NEGATIVE.match(t) and "," in t else t for t in (sys.argv[1:] if argv is None else argv)]
    try:
        from cyclopts import CycloptsError, UnusedCliTokensError

        from kiyas.cli.app import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("cyclopts", "rich"):
            raise
        return _fail(f"the command needs {error.name}, which is not installed: pip install 'kiyas[cli]'", 1)
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        words = 0 if not tokens or tokens[0] not in app else 1 + (len(tokens) > 1 and tokens[1] in app[tokens[0]])
        where = " ".join(["kiyas", *tokens[:words]])
        if isinstance(error, UnusedCliTokensError):
            left = " ".join(t.strip() for t in error.unused_tokens or [])
            return _fail(f"one too many: {left}; a text of several words goes in quotes (see {where} --help)", 2)
        return _fail(f"{' '.join(str(error).split())} (see {where} --help)", 2)
    try:
        command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has enough; without this Python complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KiyasError as error:
        return _fail(_as_options(str(error), command), 1)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except MemoryError:
        return _fail("there is not enough memory; give vectors as .npy, which is memory-mapped, or fewer texts", 1)
    return 0


def _as_options(text: str, command: Callable[..., Any]) -> str:
    """The library's errors name parameters (give window=); whoever typed a command has options (give --window)."""
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            option = f"--{name.replace('_', '-')}"
            text = re.sub(rf"(?<![^\s(]){name}=(?=[\s,;:.)]|$)", option, text)
            text = text.replace(f"'{name}' must", f"'{option}' must")
    return text


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"kiyas: {' '.join(text.splitlines())}\n")
    return code
