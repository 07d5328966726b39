"""Tables that can be copied: Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Names of ``columns`` and ``rows`` of numbers, texts and None."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def markdown(self) -> str:
        r"""With numbers to the right, at four decimals.

        >>> print(Table(["measure", "score"], [["cosine", 0.5], ["a|b", None]]).markdown(), end="")
        | measure | score |
        |---|---:|
        | cosine | 0.5000 |
        | a\|b |  |
        """
        numeric = [any(isinstance(row[i], (int, float)) for row in self.rows) for i in range(len(self.columns))]
        lines = [self.columns, ["---:" if right else "---" for right in numeric]]
        body = [[cell(value).replace("|", "\\|") for value in row] for row in self.rows]
        return "".join(f"| {' | '.join(row)} |\n" if place != 1 else f"|{'|'.join(row)}|\n"
                       for place, row in enumerate([*lines, *body]))

    def csv(self) -> str:
        """With numbers in full."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return text.getvalue()


def cell(value: Any) -> str:
    """A value as a reader wants it.

    >>> cell(0.12345), cell(None), cell(12), cell(2e-7)
    ('0.1235', '', '12', '2e-07')
    """
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.2g}" if value and abs(value) < 5e-5 else f"{value:.4f}"
    return str(value)
