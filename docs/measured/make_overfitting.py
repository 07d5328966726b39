"""Measure what the hidden size and dropout do to a character model: overfitting.csv.

Text: docstrings of this Python's standard library, 100 000 characters, the last tenth for validation. Two LSTM layers
of the given size, 12 epochs, every epoch scored; nothing is stopped early. Seeded; needs PyTorch and some minutes:

    python docs/measured/make_overfitting.py
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

from kiyas.cli.docstrings import read_library
from kiyas.recurrent.training import LanguageModel, Schedule, train_language_model

HERE = Path(__file__).parent
CHARACTERS = 100_000
SIZES = (16, 64, 256)
SHARES = (0.0, 0.3, 0.5)


def text() -> str:
    """Docstrings in the order of their modules, one text."""
    return "\n\n".join(one.text for one in read_library().docstrings)[:CHARACTERS]


def measure() -> list[dict[str, object]]:
    """A row for each size and share: perplexity in training and in validation, at the best epoch and at the last."""
    rows = []
    for hidden in SIZES:
        for dropout in SHARES:
            shape = LanguageModel(level="character", hidden=hidden, dropout=dropout, window=32)
            done = train_language_model(text(), shape, Schedule(epochs=12, patience=12, batch=8))
            best = next(one for one in reversed(done.epochs) if one.best)
            last = done.epochs[-1]
            rows.append({
                "hidden": hidden, "dropout": dropout, "parameters": done.model.count_parameters(),
                "best epoch": best.number, "best validation": f"{math.exp(-best.score):.2f}",
                "last training": f"{math.exp(last.loss):.2f}", "last validation": f"{math.exp(-last.score):.2f}"})
            sys.stderr.write(f"{rows[-1]}\n")
    return rows


if __name__ == "__main__":
    measured = measure()
    with (HERE / "overfitting.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(measured[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(measured)
