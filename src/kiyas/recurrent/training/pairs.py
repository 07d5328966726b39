"""Pairs of texts that belong together: held out fairly, batched without false negatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kiyas.errors import InputError, message

Pair = tuple[str, str]


def checked(pairs: Sequence[Sequence[str]], owner: str) -> list[Pair]:
    """The pairs as tuples of two texts; `InputError` naming the first that is none."""
    made: list[Pair] = []
    for number, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise InputError(message(owner, "pairs", "pairs of two texts", f"{str(pair)[:40]!r} at {number}"))
        made.append((pair[0], pair[1]))
    return made


def hold_out(pairs: Sequence[Pair], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows for training and rows for validation, drawn with the seed.

    Pairs that share a text stay together, so that no text of a held-out pair was trained on. Raises `InputError` where
    less than two pairs would be on either side.

    >>> hold_out([("a", "1"), ("b", "2"), ("c", "1"), ("d", "3"), ("e", "4")], 0.4, seed=1)
    ([1, 3, 4], [0, 2])
    """
    groups: dict[int, list[int]] = {}
    for row, group in enumerate(_groups(pairs)):
        groups.setdefault(group, []).append(row)
    order = np.random.default_rng(seed).permutation(len(groups))
    keys = list(groups)
    held_out: list[int] = []
    for at in order:
        rows = groups[keys[at]]
        if len(held_out) + len(rows) <= max(2, round(share * len(pairs))):
            held_out.extend(rows)
    train = sorted(set(range(len(pairs))) - set(held_out))
    if len(held_out) < 2 or len(train) < 2:
        raise InputError(message("hold_out", "pairs", "at least two for training and two for validation that share no "
                                 "text", f"{len(train)} and {len(held_out)} of {len(pairs)}", "give more pairs"))
    return train, sorted(held_out)


def _groups(pairs: Sequence[Pair]) -> list[int]:
    """For each pair the number of its group: pairs that are linked by equal texts, directly or through others."""
    above = list(range(len(pairs)))

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    seen: dict[str, int] = {}
    for row, pair in enumerate(pairs):
        for text in pair:
            above[top(row)] = top(seen.setdefault(text, row))
    return [top(row) for row in range(len(pairs))]


def batches(rows: int, batch: int, seed: int, epoch: int) -> list[np.ndarray]:
    """All rows in an order of the epoch's own, in batches of nearly equal size and at most ``batch``."""
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return np.array_split(order, -(-rows // batch))


def related(left: Sequence[str], right: Sequence[str]) -> np.ndarray:
    """Which pairs of a batch are no true negatives, (n, n) bool: one of their texts is that of the other pair too."""
    a, b = (np.unique(np.array(side, object), return_inverse=True)[1] for side in (left, right))
    same: np.ndarray = (a[:, None] == a[None, :]) | (b[:, None] == b[None, :])
    np.fill_diagonal(same, False)
    return same


def mean_reciprocal_rank(scores: np.ndarray, queries: Sequence[str], texts: Sequence[str]) -> float:
    """How high queries rank their texts, 1 for all first: (n, n) scores of n pairs' queries and texts.

    A text of several pairs is one candidate, a query of several pairs has several right answers, and of equal scores
    the right one comes last: no rank is given away.

    >>> mean_reciprocal_rank(np.array([[0.9, 0.1], [0.8, 0.7]]), ["a", "b"], ["x", "y"])
    0.75
    """
    columns = {text: column for column, text in enumerate(texts)}
    right: dict[str, set[int]] = {}
    for query, text in zip(queries, texts, strict=True):
        right.setdefault(query, set()).add(columns[text])
    total = 0.0
    for row, query in enumerate(queries):
        own = sorted(right[query])
        others = scores[row, sorted(set(columns.values()) - right[query])]
        total += 1.0 / (1 + int((others >= scores[row, own].max()).sum()))
    return total / len(queries)
