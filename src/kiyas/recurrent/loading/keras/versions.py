"""What a Keras version means where a configuration leaves something open."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

# The newest release whose layers were compared with ours.
NEWEST = "3.15"


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
        return "all" if self.major < 3 else "none" if (self.major, self.minor) < (3, 4) else "any"

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


def by_form(config: Mapping[str, Any]) -> Version | None:
    """The version that a configuration's form tells, as Keras 3 writes none into it; None if it does not tell either.

    Inputs have a ``batch_shape`` in Keras 3 and a ``batch_input_shape`` in 2. A layer's dtype is written out from 3.4
    on, where masks of merged signals changed, and is a word before; without any, the newest is meant.

    >>> layer = {"class_name": "LSTM", "config": {"batch_shape": [None, None, 3], "dtype": "float32"}}
    >>> str(by_form(layer)), by_form(layer).masks
    ('3.0 to 3.3, by its form', 'none')
    >>> layer["config"]["dtype"] = {"class_name": "DTypePolicy", "config": {"name": "float32"}}
    >>> str(by_form(layer)), by_form(layer).masks
    ('3.4 or newer, by its form', 'any')
    """
    text = json.dumps(config)
    three, two = '"batch_shape"' in text, '"batch_input_shape"' in text
    if three == two:
        return None
    if two:
        return replace(parse("2.12"), text="2, by its form")
    kinds = {type(dtype) for dtype in _dtypes(config)}
    if dict not in kinds and str in kinds:
        return replace(parse("3.3"), text="3.0 to 3.3, by its form")
    return replace(parse(NEWEST), text="3.4 or newer, by its form" if dict in kinds else "3, by its form")


def _dtypes(config: Any) -> list[Any]:
    """The dtypes of all layers; those of inputs are words in every version."""
    found, waiting = [], [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, Mapping):
            inner = value.get("config")
            if isinstance(inner, Mapping) and "dtype" in inner and value.get("class_name") not in (
                    "InputLayer", "__keras_tensor__"):
                found.append(inner["dtype"])
            waiting += value.values()
    return found
