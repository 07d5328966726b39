"""How long and how fast to train, and what an epoch came to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kiyas.arrays import count, number
from kiyas.errors import InputError, message

_MOST = 1 << 40


@dataclass(frozen=True)
class Schedule:
    """How training runs: Adam, gradients clipped by their norm, the best epoch kept.

    Parameters: ``epochs``, at most so many passes over the data; ``batch``, streams or pairs at a time; ``rate``,
    Adam's learning rate; ``clip``, the largest norm of the gradient of all weights together; ``patience``, epochs
    without a better validation score after which training stops; ``checkpoint_every``, steps between checkpoints
    (another is written after every epoch); ``seed`` of the first weights, dropout and order; ``device``, as PyTorch
    names it. Raises `InputError` for a value out of its range.

    >>> Schedule(epochs=0)
    Traceback (most recent call last):
        ...
    kiyas.errors.InputError: Schedule: 'epochs' must be an integer from 1, got 0
    """

    epochs: int = 20
    batch: int = 32
    rate: float = 2e-3
    clip: float = 1.0
    patience: int = 3
    checkpoint_every: int = 200
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience", "checkpoint_every"):
            count(getattr(self, name), name, "Schedule", 1, _MOST)
        count(self.seed, "seed", "Schedule", 0, (1 << 63) - 1)
        for name in ("rate", "clip"):
            number(getattr(self, name), name, "Schedule", "a positive number", 0, math.inf, open_low=True,
                   open_high=True)
        if not isinstance(self.device, str):
            raise InputError(message("Schedule", "device", "a name such as 'cpu' or 'cuda'", repr(self.device)))


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean ``loss`` in training, ``score`` in validation (larger is better), if it is best."""

    number: int
    loss: float
    score: float
    best: bool
