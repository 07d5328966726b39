"""Choosing among few settings, from weak to strong, on values that no setting was fitted on.

The weakest setting within one standard error of the best is taken (Breiman et al. 1984): the error is that of the
paired difference, since all settings are measured on the same queries. A stronger map than is needed costs more where
later queries are not like those at hand than it gains where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kiyas.arrays import Array, count, to_numpy
from kiyas.errors import InputError, message


def weakest_near_best(values: Array, errors: float = 1.0) -> int:
    """The first row of ``values`` (settings, queries) whose mean is within ``errors`` standard errors of the best's.

    Settings go from weak to strong. With fewer than two queries there is no error, and the best itself is taken.

    >>> weakest_near_best([[0.1, 0.3, 0.2, 0.4], [0.5, 0.6, 0.4, 0.7], [0.5, 0.7, 0.4, 0.7]])
    1
    """
    table = np.asarray(to_numpy(values), np.float64)
    if table.ndim != 2 or 0 in table.shape or not np.isfinite(table).all():
        raise InputError(message("weakest_near_best", "values", "finite, of shape (settings, queries)",
                                 f"shape {table.shape}"))
    best = int(table.mean(axis=1).argmax())
    behind = table[best] - table
    n = table.shape[1]
    error = behind.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(len(table))
    return int(np.flatnonzero(behind.mean(axis=1) <= errors * error)[0])


def folds_of(groups: Sequence[int] | np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each item, whole groups together: (items,) int64 from 0.

    Groups are dealt in random order, the largest first, each to the fold that is smallest so far.

    >>> fold = folds_of([0, 0, 1, 2, 2, 3], 2, seed=0)
    >>> bool(fold[0] == fold[1]), bool(fold[3] == fold[4]), np.bincount(fold).tolist()
    (True, True, [3, 3])
    """
    count(seed, "seed", "folds_of", 0, 2**63)
    labels, group = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(group)
    if labels.size < folds:
        raise InputError(f"{labels.size} groups of queries cannot make {folds} folds; give fewer folds or more queries")
    order = np.random.default_rng(seed).permutation(labels.size)
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(folds, np.int64)
    fold_of_group = np.empty(labels.size, np.int64)
    for one in order.tolist():
        fold = int(filled.argmin())
        fold_of_group[one] = fold
        filled[fold] += sizes[one]
    return fold_of_group[group]


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen of several settings, and what the way of choosing is worth.

    ``chosen``: the setting; ``honest`` (queries,): each query's value under the setting chosen without its fold.
    """

    chosen: int
    honest: np.ndarray


def choose_across(values: Array, fold: np.ndarray, errors: float = 1.0) -> Choice:
    """Choose on all queries; and for each fold, on the queries of the others, so that the choice can be judged.

    ``values`` (settings, queries): each query's value must come from a fit without its fold.

    >>> choice = choose_across([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]], np.array([0, 0, 1, 1]))
    >>> choice.chosen, choice.honest.tolist()
    (1, [1.0, 1.0, 1.0, 1.0])
    """
    table = np.asarray(to_numpy(values), np.float64)
    honest = np.empty(table.shape[1])
    for f in np.unique(fold).tolist():
        mine = fold == f
        honest[mine] = table[weakest_near_best(table[:, ~mine], errors), mine]
    return Choice(weakest_near_best(table, errors), honest)
