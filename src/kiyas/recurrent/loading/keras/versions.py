"""What a Keras version means where a configuration leaves something open."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """The ``keras_version`` of a file. Files of Keras 1 may have none.

    ``tensorflow`` marks the Keras inside TensorFlow (``2.2.4-tf``), whose layers had other defaults than Keras' own of
    the same number. ``passes_mask``: whether a recurrent layer hands its mask on, as every release up to 3.15 does;
    Keras' development stopped that in July 2026 (a8b52ca11a).
    """

    text: str
    major: int
    minor: int
    tensorflow: bool
    passes_mask: bool = True

    @property
    def masks(self) -> str:
        """How masks of signals that are merged become one: see `kiyas.recurrent.layers.merge.Merge`."""
        return "any" if (self.major, self.minor) >= (3, 4) else "all"

    @property
    def keras1(self) -> bool:
        """Keras 1, or before it."""
        return self.major < 2

    @property
    def keras3(self) -> bool:
        """Keras 3 or newer."""
        return self.major >= 3

    @property
    def tensorflow2(self) -> bool | None:
        """Whether LSTM and GRU are those of TensorFlow 2 and after; None if the number does not tell."""
        if self.tensorflow and (self.major, self.minor) == (2, 2):
            return None  # TensorFlow 1.13 to 2.1 all wrote 2.2.4-tf
        return (self.major, self.minor) >= ((2, 3) if self.tensorflow else (2, 4))

    @property
    def recurrent_activation(self) -> str | None:
        """The default of LSTM and GRU; None if the number does not tell."""
        if not self.tensorflow and (self.major, self.minor) == (2, 3):
            return "sigmoid"  # Keras 2.3.0 changed it, one version before it became TensorFlow's
        return {None: None, True: "sigmoid", False: "hard_sigmoid"}[self.tensorflow2]

    def __str__(self) -> str:
        return self.text


def parse(text: str | None) -> Version:
    """The version; without one (None), Keras 1.

    >>> parse("2.2.4").recurrent_activation, parse("3.15.1").recurrent_activation
    ('hard_sigmoid', 'sigmoid')
    >>> parse("2.2.4-tf").recurrent_activation is None
    True
    """
    found = re.match(r"(\d{1,3})\.(\d{1,3})", text or "")
    if not found:
        return Version("1, as it has no version", 1, 0, False)
    major, minor = int(found[1]), int(found[2])
    return Version(text or "", major, minor, "-tf" in (text or ""), passes_mask=(major, minor) <= (3, 15))
