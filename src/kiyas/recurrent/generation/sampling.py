"""From a model's output for the next token to the token: greedy, temperature, top-k, top-p.

All in float64. The order of the cuts is the usual one: temperature, then top-k, then top-p, each over what the one
before it left, renormalised. Ties go to the lower number, so a seed gives the same tokens on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kiyas.arrays import count, number
from kiyas.errors import InputError, message

# How far from 1 the sum of float32 probabilities may be; a vocabulary of a million rounds to about 1e-4.
_SLACK = 1e-3


def log_probabilities(output: np.ndarray, logits: bool, owner: str) -> np.ndarray:
    """Natural logarithms of the probabilities, (…, vocabulary) float64, of probabilities or of logits.

    Raises `InputError` for what is neither: NaN, a negative probability, probabilities that do not sum to 1.

    >>> log_probabilities(np.array([0.5, 0.5, 0.0]), False, "example").round(3).tolist()
    [-0.693, -0.693, -inf]
    """
    values = np.asarray(output, np.float64)
    if logits:
        top = values.max(axis=-1, keepdims=True)
        if not np.isfinite(top).all():
            raise InputError(f"{owner}: the model's output holds NaN or infinity")
        shifted = values - top
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
    check_probabilities(values, owner)
    with np.errstate(divide="ignore"):
        return np.log(values)


def check_probabilities(values: np.ndarray, owner: str) -> None:
    """Raise `InputError` unless each row is of probabilities."""
    # NaN fails both comparisons.
    if not (values.min() >= 0) or not (np.abs(values.sum(axis=-1, dtype=np.float64) - 1) <= _SLACK).all():
        raise InputError(message(owner, "model", "one whose outputs are probabilities that sum to 1",
                                 f"outputs from {values.min():.4g} to {values.max():.4g} that sum to "
                                 f"{values.sum(axis=-1, dtype=np.float64).flat[0]:.6g}",
                                 "give logits=True if a softmax is still to be taken"))


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen. Greedy (the most probable one) unless one of them is given.

    ``temperature``: probabilities to the power 1/temperature; below 1 sharper, above 1 flatter, 0 greedy; 1 where only
    the others are given. ``top_k``: only the k most probable. ``top_p``: only the fewest most probable that reach p
    together.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None:
            number(self.temperature, "temperature", "generate", "a number from 0", 0, np.inf, open_high=True)
        if self.top_k is not None:
            count(self.top_k, "top_k", "generate", 1, 2**31)
        if self.top_p is not None:
            number(self.top_p, "top_p", "generate", "a number above 0 and up to 1", 0, 1, open_low=True)

    @property
    def greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return self.temperature == 0 or (self.temperature is None and self.top_k is None and self.top_p is None)

    def choose(self, logs: np.ndarray, rng: np.random.Generator) -> int:
        """The number of the next token, given the (vocabulary,) log-probabilities."""
        if self.greedy:
            return int(np.argmax(logs))
        ids, chances = self._cut(logs)
        reached = np.cumsum(chances)
        # The first place whose sum is above the draw: one without a chance adds nothing, so it is never that.
        place = int(np.searchsorted(reached, rng.random() * reached[-1], side="right"))
        place = min(place, int(np.searchsorted(reached, reached[-1])))
        return place if ids is None else int(ids[place])

    def candidates(self, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The numbers that may be drawn, rising, and their probabilities (not for greedy).

        >>> ids, chances = Sampling(top_k=2).candidates(np.log([0.2, 0.5, 0.3]))
        >>> ids.tolist(), chances.round(3).tolist()
        ([1, 2], [0.625, 0.375])
        """
        ids, chances = self._cut(logs)
        possible = np.flatnonzero(chances > 0)
        return possible if ids is None else ids[possible], chances[possible]

    def _cut(self, logs: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The numbers left (None: all), and the probability of each."""
        heat = 1.0 if self.temperature is None else self.temperature
        ids = None if self.top_k is None or self.top_k >= logs.size else top(logs, self.top_k)
        kept = logs if ids is None else logs[ids]
        # Divided after the largest is taken off: a temperature near 0 then ends at 0, not at NaN.
        with np.errstate(over="ignore"):
            chances = np.exp((kept - kept.max()) / heat)
        chances /= chances.sum()
        if self.top_p is not None:
            nucleus = _nucleus(kept, chances, self.top_p)
            ids, chances = nucleus if ids is None else ids[nucleus], chances[nucleus] / chances[nucleus].sum()
        return ids, chances


def _nucleus(logs: np.ndarray, chances: np.ndarray, p: float) -> np.ndarray:
    """The places of the fewest most probable ones that reach p together, rising."""
    # All that are below (1 - p)/n do not make 1 - p together: the others are enough. Values are sorted, as that is
    # several times as fast as sorting places.
    falling = np.sort(chances[chances >= (1 - p) / chances.size * (1 - 1e-9)])[::-1]
    # The first place at which p is reached; to 1e-12, so that 0.5 + 0.2 reaches 0.7.
    return top(logs, int(np.searchsorted(np.cumsum(falling), p - 1e-12)) + 1)


def top(values: np.ndarray, k: int) -> np.ndarray:
    """The places of the k largest values (of all, if there are fewer), rising; of equal ones the lower places.

    >>> top(np.array([2.0, 1.0, 2.0, 3.0]), 2).tolist()
    [0, 3]
    """
    if k >= values.size:
        return np.arange(values.size)
    least = np.partition(values, values.size - k)[values.size - k]
    above = np.flatnonzero(values > least)
    return np.sort(np.concatenate([above, np.flatnonzero(values == least)[: k - above.size]]))
