"""A text of many tokens as streams side by side, cut into windows that follow one another."""

from __future__ import annotations

import numpy as np

# Id 0 stands for no token, as everywhere.
NOTHING = 0


def split(text: str, validation: float) -> tuple[str, str]:
    """The beginning of a text for training and its end for validation, cut at white space where there is any.

    >>> split("one two three four", 0.5)
    ('one two', ' three four')
    """
    cut = len(text) - round(len(text) * validation)
    while 0 < cut < len(text) and not text[cut].isspace():
        cut -= 1
    cut = cut or len(text) - round(len(text) * validation)
    return text[:cut], text[cut:]


def streams(ids: np.ndarray, batch: int) -> np.ndarray:
    """The tokens as at most ``batch`` streams of equal length, (rows, length) int64: row after row is the text.

    A row begins with the last token of the row before, so that every token but the first has one before it that it is
    predicted from. The last row is filled up with 0.

    >>> streams(np.arange(1, 8), 2)
    array([[1, 2, 3, 4],
           [4, 5, 6, 7]])
    >>> streams(np.arange(1, 7), 2)
    array([[1, 2, 3, 4],
           [4, 5, 6, 0]])
    """
    steps = -(-(ids.size - 1) // min(batch, ids.size - 1))
    rows = -(-(ids.size - 1) // steps)
    padded = np.full(rows * steps + 1, NOTHING, np.int64)
    padded[: ids.size] = ids
    return np.stack([padded[row * steps:(row + 1) * steps + 1] for row in range(rows)])


def windows(length: int, window: int) -> list[tuple[int, int]]:
    """(start, stop) of the windows over the inputs of a stream of ``length`` tokens; their targets lie one further.

    >>> windows(8, 3)
    [(0, 3), (3, 6), (6, 7)]
    """
    return [(start, min(start + window, length - 1)) for start in range(0, length - 1, window)]
