"""What all commands share: consoles, JSON, progress, bars, how an explanation looks."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kiyas.directory import require_writable
from kiyas.errors import FileError, InputError

if TYPE_CHECKING:
    from kiyas.metrics import Interval
    from kiyas.search import Explanation

# Where the output is no terminal: wide enough for tables, narrow enough for a page.
_PLAIN_WIDTH = 110
_EIGHTHS = " ▏▎▍▌▋▊▉"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would end the program with exit code 1; a reader that has enough is no error.
        raise BrokenPipeError


def console() -> Console:
    """Standard output; colours only on a terminal, and nothing in a text taken for markup."""
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", _PLAIN_WIDTH))
    return _Console(width=width, highlight=False, markup=False, emoji=False)


def many(number: int, thing: str) -> str:
    """The number and what it counts: 1 text, 2,000 texts."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """An empty table in the project's style."""
    made = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold", header_style="dim",
                 padding=(0, 2, 0, 0))
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def print_json(value: Any) -> None:
    """One JSON object on standard output; NaN becomes null."""
    plain = _plain(value)
    text = json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has escapes of its own
        text = json.dumps(plain, indent=1, allow_nan=False)
    sys.stdout.write(text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextmanager
def progress(text: str) -> Iterator[Callable[[float, int], None]]:
    """A progress bar on standard error, ``report(done, total)``; none where that is no terminal.

    What is written to ``sys.stdout`` meanwhile comes above the bar, where that is a terminal too.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    # In per cent too, as one long text is 0/1 all the way.
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn(),
                  TimeRemainingColumn(), console=Console(stderr=True), transient=True,
                  redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def number(x: float) -> str:
    """A score in as few characters as tell it apart.

    >>> number(0.123456), number(12345.678), number(1e-9), number(0.0)
    ('0.1235', '12346', '1e-09', '0')
    """
    if x != x:
        return "–"
    if x and abs(x) < 1e-4:
        return f"{x:.1g}"
    return f"{x:.0f}" if abs(x) >= 1e4 or x == 0 else f"{x:.4g}" if abs(x) >= 1 else f"{x:.4f}"


def interval(value: Interval, signed: bool = False) -> str:
    """A mean with its interval, without the zeros before the points.

    >>> from kiyas.metrics import Interval
    >>> interval(Interval(0.5, 0.4, 0.6)), interval(Interval(-0.05, -0.1, 0.0), signed=True)
    ('.500 [.400, .600]', '-.050 [-.100, +.000]')
    """
    mean, low, high = (f"{x:+.3f}" if signed else f"{x:.3f}" for x in value)
    return f"{mean} [{low}, {high}]".replace("0.", ".")


def require_file(path: Path, option: str) -> None:
    """Before minutes of work: can a file be written there at all?"""
    if path.is_dir():
        raise InputError(f"{option}: {path} is a directory; name a file in it")
    if path.exists() and not path.is_file():
        raise InputError(f"{option}: {path} is no plain file; name one")
    require_writable(path)


def require_free(path: Path, overwrite: bool) -> None:
    """A file that is there is replaced only if a person says so."""
    if path.exists() and not overwrite:
        raise FileError(f"{path}: is there already; give another name, or --overwrite to replace it")


def one_line(text: str, width: int) -> str:
    r"""The text in one line of at most ``width`` characters.

    >>> one_line("a long\n  text", 8)
    'a long …'
    """
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: max(0, width - 2)].rstrip() + " …"


def bar(value: float, most: float, width: int) -> str:
    """A bar of ``value`` out of ``most``, in eighths of a character.

    >>> bar(0.5, 1.0, 5)
    '██▌'
    """
    eighths = 0 if most <= 0 else round(8 * width * min(1.0, abs(value) / most))
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def explanation_json(explanation: Explanation, count: int) -> dict[str, Any]:
    """An explanation for machines."""
    return {"score": explanation.score, "pooling": explanation.pooling, "total": explanation.total,
            "rest": explanation.rest, "mapped": explanation.mapped,
            "helped": [{"dimension": i, "contribution": c} for i, c in explanation.helped(count)],
            "hurt": [{"dimension": i, "contribution": c} for i, c in explanation.hurt(count)]}


def explanation(out: Console, explained: Explanation, count: int, title: str) -> None:
    """The dimensions that helped and hurt most, as bars against the mean dimension."""
    parts = explained.contributions
    # With few dimensions the two lists would meet and show one dimension twice.
    count = min(count, (parts.size + 1) // 2)
    low = min(count, parts.size // 2)
    mean = float(parts.mean())
    helped, hurt = explained.helped(count), explained.hurt(low)[::-1]
    most = max(abs(c - mean) for _, c in [*helped, *hurt])
    out.print(Text(title, style="bold"))
    kind = "mapped dimensions" if explained.mapped else "dimensions"
    # The pooling reads "sums to the score: …".
    sums = explained.pooling.replace("sums to", "they sum to", 1)
    out.print(Text(f"{parts.size} {kind}, {number(mean)} each on average; bars show what is above and below that. "
                   f"{sums[0].upper()}{sums[1:]}.", style="dim"))
    width = 24
    shown = table("", "dimension", "contribution", "", right=("dimension", "contribution"))
    for name, rows in (("helped most", helped), ("hurt most", hurt)):
        for place, (dimension, c) in enumerate(rows):
            length = bar(c - mean, most, width)
            above = c >= mean
            line = Text(" " * width + length if above else length.rjust(width), style="green" if above else "red")
            shown.add_row(Text(name if place == 0 else "", style="dim"), str(dimension), number(c), line)
    out.print(shown)
