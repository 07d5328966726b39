"""The names of Keras, for programs that only change their imports.

    from kiyas.recurrent.keras import Tokenizer, load_model, pad_sequences

instead of ``tensorflow.keras.models``, ``tensorflow.keras.preprocessing.text`` and ``….sequence``. What is behind it is
`kiyas.recurrent.Model`, which new programs use directly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.arrays import count
from kiyas.errors import InputError, message
from kiyas.recurrent.layers.base import Layer, Shape
from kiyas.recurrent.loading import load
from kiyas.recurrent.model import Model
from kiyas.recurrent.sequences import pad_sequences
from kiyas.recurrent.stream import Stateful
from kiyas.recurrent.tokenizer import Tokenizer
from kiyas.recurrent.tokenizer_files import tokenizer_from_json

__all__ = ["KerasModel", "Tokenizer", "load_model", "pad_sequences", "tokenizer_from_json"]


def load_model(path: str | Path, custom_objects: Any = None, compile: bool = True,  # noqa: ARG001
               **options: Any) -> KerasModel:
    """A model file of Keras 1, 2 or 3 (or any that `kiyas.recurrent.load` reads), with the methods of a Keras model.

    Parameters: ``path``; ``custom_objects`` and ``compile`` are taken and have no effect (classes of a person's own are
    made known by `kiyas.recurrent.register_layer`, and nothing is trained here); ``options`` go to `load`.
    """
    return KerasModel(load(path, **options))


class KerasModel:
    """A `Model` as Keras has it: `predict` in batches, with a memory where layers are marked stateful.

    Parameters: ``model``: what it stands for, and what everything else is asked of.

    >>> from kiyas.recurrent.layers import SimpleRNN
    >>> layer = SimpleRNN("rnn", [[1.0]], [[1.0]], None, activation="linear", stateful=True)
    >>> model = KerasModel(Model.sequential([layer]))
    >>> x = np.ones((1, 2, 1))
    >>> [model.predict(x).item(), model.predict(x).item()]
    [2.0, 4.0]
    >>> model.reset_states()
    >>> model.predict(x).item()
    2.0
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._memory: Stateful | None = None
        self._structure = _structure(model)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: Any = None,
                callbacks: Any = None) -> Any:
        """The outputs for the rows of x: an array, or what the model has for several, a list or a dictionary of arrays.

        ``batch_size``: rows at a time (None: 32); a stateful model goes on from batch to batch and from call to call.
        ``verbose``, ``steps`` and ``callbacks`` have no effect.
        """
        size = 32 if batch_size is None else count(batch_size, "batch_size", "KerasModel.predict", 1, 2**31)
        if not self.model.is_stateful:
            return self._arranged(self.model.predict(x, batch_size=size, empty="zero"))
        if self._memory is None:
            rows = np.shape(x if len(self.model.inputs) == 1 else next(iter(x.values() if isinstance(x, dict) else x)))
            self._memory = self.model.stateful(min(size, rows[0]) if rows and rows[0] else None)
        return self._arranged(self._memory.predict(x, empty="zero"))

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for the rows of x, all of them at once."""
        return self.predict(x, batch_size=2**31)

    def __call__(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        """As `predict_on_batch`, with a ``mask`` (batch, time) where one is given; ``training`` has no effect."""
        if mask is None:
            return self.predict_on_batch(x)
        if self.model.is_stateful:
            self._memory = self._memory or self.model.stateful()
            return self._arranged(self._memory.predict(x, mask=mask, empty="zero"))
        return self._arranged(self.model.predict(x, mask=mask, empty="zero"))

    def reset_states(self) -> None:
        """Forget what stateful layers remember, and the number of rows with it."""
        self._memory = None

    reset_state = reset_states  # Keras 3's name

    def _arranged(self, y: Any) -> Any:
        values = list(y) if isinstance(y, tuple) else [y]
        return _as(self._structure, values) if self._structure is not None else values if len(values) > 1 else y

    @property
    def stateful(self) -> bool:
        """Whether a layer carries its state from call to call."""
        return self.model.is_stateful

    @property
    def layers(self) -> list[Layer]:
        """The layers in order."""
        return list(self.model.layers)

    def get_layer(self, name: str) -> Layer:
        """The layer of a name."""
        return self.model.layer(name)

    @property
    def input_shape(self) -> Shape | list[Shape]:
        """The shape of the input, or a list for several."""
        shapes = self.model.input_shapes
        return shapes[0] if len(shapes) == 1 else list(shapes)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or a list for several; a model of Keras 2 with a dictionary of outputs, that."""
        shapes = self.model.output_shapes()
        if self._structure is not None and str(self.model.source.get("keras_version", "")).startswith("2"):
            return _as(self._structure, shapes)
        return shapes[0] if len(shapes) == 1 else list(shapes)

    def count_params(self) -> int:
        """The number of weights."""
        return self.model.count_parameters()

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a line for each layer: name, class, output shape, weights, and where it is computed."""
        rows = self.model.describe()
        width = max(len(f"{r.layer} ({r.kind})") for r in rows)
        for r in rows:
            print_fn(f"{f'{r.layer} ({r.kind})':{width}}  {r.shape[0]!s:>20}  {r.parameters:>10,}  {r.place}".rstrip())
        print_fn(f"{self.count_params():,} weights")


def _structure(model: Model) -> Any:
    """What holds the outputs, with their numbers; None for an array or a plain list."""
    held = model.source.get("outputs")
    if held is None:
        return None
    try:
        found = json.loads(held)
        _as(found, model.outputs)
    except (TypeError, ValueError, IndexError, RecursionError):
        raise InputError(message("KerasModel", "model", f"one whose source tells of its {len(model.outputs)} outputs",
                                 f"{held!r:.60}")) from None
    return found


def _as(structure: Any, values: Sequence[Any]) -> Any:
    """Values in place of their numbers."""
    if isinstance(structure, dict):
        return {key: _as(inner, values) for key, inner in structure.items()}
    return [_as(inner, values) for inner in structure] if isinstance(structure, list) else values[structure]
