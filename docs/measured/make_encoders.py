"""Train one small encoder under several measures on the docstrings of this Python, and test each: encoders.csv.

A query is the first sentence of a docstring, its text the rest. A fifth of the pairs is held out of training;
validation chooses the epoch on a part of the others, so that the test pairs have chosen nothing. Everything else is
the same: shape, seed, batches. The test is known-item search: the mean reciprocal rank of a test query's text among
all test texts, under the measure that was trained under, with a bootstrap interval; wordllama under cosine is beside
it. Needs the extras torch and text, and some minutes:

    python docs/measured/make_encoders.py
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

import kiyas
from kiyas.cli.docstrings import read_library
from kiyas.encode import Encoder, encoder
from kiyas.encode.known import known_items
from kiyas.metrics import bootstrap_interval
from kiyas.recurrent import Schedule, SentenceEncoder, train_sentence_encoder

HERE = Path(__file__).parent
MEASURES = ("cosine", "dot", "ndd", "euclidean", "manhattan", "poincare")
SHAPE = SentenceEncoder(hidden=64, embedding=64, overlong="cut", longest=64)
SCHEDULE = Schedule(epochs=8, batch=64)


def pairs() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs to train on, and pairs for the test that share no text with them."""
    items = known_items([one.text for one in read_library().docstrings])
    found = [(query, items.texts[target]) for query, target in zip(items.queries, items.targets, strict=True)]
    found = [pair for pair in found if all(any(c.isalnum() for c in text) for text in pair)]
    texts = [text for _, text in found]
    once = [pair for pair in found if texts.count(pair[1]) == 1]
    order = np.random.default_rng(0).permutation(len(once))
    cut = len(once) // 5
    return [once[i] for i in order[cut:]], [once[i] for i in order[:cut]]


def reciprocal_ranks(measure: kiyas.Measure, model: Encoder, test: list[tuple[str, str]]) -> np.ndarray:
    """1 / rank of each query's own text; of equal scores it comes last."""
    queries, texts = (model.encode([pair[side] for pair in test], overlong="cut", blank="zero") for side in (0, 1))
    measure = measure if measure.fitted else measure.fit(texts)
    scores = measure.pairwise(queries, texts)
    return 1.0 / (scores >= np.diag(scores)[:, None]).sum(axis=1)


if __name__ == "__main__":
    train, test = pairs()
    rows = [["encoder", "measure", "pairs", "test pairs", "MRR", "low", "high", "best epoch"]]

    def add(name: str, measure: str, model: Encoder, epoch: int | str) -> None:
        """One line of the table."""
        ranks = reciprocal_ranks(kiyas.measure(measure), model, test)
        interval = bootstrap_interval(ranks)
        rows.append([name, measure, len(train), len(test), *(f"{v:.3f}" for v in (ranks.mean(), interval.low,
                                                                                 interval.high)), epoch])
        sys.stderr.write(f"{rows[-1]}\n")

    for name in MEASURES:
        done = train_sentence_encoder(train, name, SHAPE, SCHEDULE)
        with tempfile.TemporaryDirectory() as folder:
            done.save(Path(folder) / "m.safetensors")
            add("LSTM", name, encoder(f"recurrent:{folder}/m.safetensors"),
                max(one.number for one in done.epochs if one.best))
    add("wordllama", "cosine", encoder("wordllama"), "")
    with (HERE / "encoders.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
