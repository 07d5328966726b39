"""A model as generation sees it: numbers of tokens in, one row of numbers for the next token out, state carried.

The model gets ids (batch, time) where its input is ids, and rows of 0 and 1 (batch, time, features) where its input is
features, as character models without an embedding have it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.chain import LazyOutput
from kiyas.recurrent.generation.sampling import check_probabilities, log_probabilities
from kiyas.recurrent.keras import KerasModel
from kiyas.recurrent.layers import Dropout, Reshape
from kiyas.recurrent.model import Model
from kiyas.recurrent.state import State
from kiyas.recurrent.stream import Stream
from kiyas.recurrent.tokenizer import Tokenizer

# Rows of a whole vocabulary that are held at once.
_TOGETHER = 64


def one_hot(ids: np.ndarray, width: int, outside: int | None = None, owner: str = "one_hot") -> np.ndarray:
    """Rows of zeros with a 1 at each number, (…, width) float32.

    ``outside``: a number (of unknown characters) whose row is all zeros if it is not below ``width``. Raises
    `InputError` for any other number out of range.

    >>> one_hot(np.array([1, 2]), 2, outside=2).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    ids = np.asarray(ids)
    inside = (ids >= 0) & (ids < width)
    wrong = ~inside if outside is None else ~inside & (ids != outside)
    if wrong.any():
        raise InputError(message(owner, "ids", f"numbers from 0 to {width - 1}, as the model has {width} features",
                                 f"{ids[wrong].flat[0]}", "is this the tokenizer that the model was trained with?"))
    out = np.zeros((*ids.shape, width), np.float32)
    np.put_along_axis(out, np.where(inside, ids, 0)[..., None], inside[..., None].astype(np.float32), axis=-1)
    return out


class Output:
    """What a model gives for the next token: a row of numbers, which may be computed only when it is asked for."""

    def __init__(self, found: np.ndarray | LazyOutput, reader: Reader) -> None:
        self._found, self._reader = found, reader

    @property
    def row(self) -> np.ndarray:
        """All of it, (vocabulary,)."""
        return self._found if isinstance(self._found, np.ndarray) else self._reader._last(self._found.all())[0]

    def best(self) -> tuple[int, float | Later]:
        """The number of the most probable token, and its log-probability."""
        if isinstance(self._found, LazyOutput) and self._found.argmax is not None:
            return self._found.argmax, Later(self._found, self._reader)
        row = self.row
        number = int(row.argmax())
        return number, self._reader.log_probability(row, number)


class Later:
    """The log-probability of the most probable token, which was found without it."""

    def __init__(self, output: LazyOutput, reader: Reader) -> None:
        self._output, self._reader = output, reader

    @staticmethod
    def computed(several: Sequence[Later]) -> list[float]:
        """Of tokens of a text, as each by itself."""
        found: list[float] = []
        for reader, one_reader in groupby(several, attrgetter("_reader")):  # texts of several models may be joined
            own = list(one_reader)
            for start in range(0, len(own), _TOGETHER):
                outputs = [later._output for later in own[start:start + _TOGETHER]]
                for output, row in zip(outputs, LazyOutput.all_of(outputs), strict=True):
                    assert output.argmax is not None
                    found.append(reader.log_probability(row, output.argmax))
        return found


class Reader:
    """A model and a tokenizer that fit each other.

    Parameters: ``logits``, whether a softmax is still to be taken of the model's output (None: where its last layer
    has none). Raises `InputError` for a model of another kind.
    """

    def __init__(self, model: Model | KerasModel, tokenizer: Tokenizer,
                 logits: bool | None = None, owner: str = "generate") -> None:
        if not isinstance(tokenizer, Tokenizer):
            raise InputError(message(owner, "tokenizer", "a kiyas.recurrent.Tokenizer", type(tokenizer).__name__,
                                     "Tokenizer.load(file), or Tokenizer.from_vocabulary({word: number})"))
        if isinstance(model, KerasModel):
            model = model.model
        if not isinstance(model, Model):
            raise InputError(message(owner, "model", "a kiyas.recurrent.Model", type(model).__name__,
                                     "kiyas.recurrent.load(file)"))
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise InputError(message(owner, "model", "one of one input and one output",
                                     f"{len(model.inputs)} and {len(model.outputs)}"))
        self.model, self.tokenizer, self.owner = model, tokenizer, owner
        shape = tuple(model.input_shapes[0])
        self.features: int | None = None
        if len(shape) == 3:
            if shape[2] is None:
                raise InputError(message(owner, "model", "one whose input has a known number of features", f"{shape}"))
            self.features = int(shape[2])
        elif len(shape) != 2:
            raise InputError(message(owner, "model", "one whose input is ids (batch, time) or features (batch, time, "
                                     "features)", f"{shape}"))
        ending = last_activation(model)
        self._softmax = ending == "softmax"
        self.logits = _wants_softmax(ending, owner) if logits is None else logits

    @property
    def steps(self) -> bool:
        """Whether the model can go on from a state, step by step."""
        return self.blocking is None

    @property
    def blocking(self) -> str | None:
        """The first layer that needs all time steps at once, as errors name it."""
        return None if self.model.whole is None else self.model.whole.owner

    def begin(self, ids: Sequence[int]) -> tuple[Output, Stream]:
        """Read the numbers from a fresh state: the output after the last, and the stream to go on with."""
        stream = self.model.stream()
        return Output(self._last(stream.feed(self._input(np.asarray([ids]))))[0], self), stream

    def go_on(self, number: int, stream: Stream, lazily: bool = False) -> Output:
        """Read one number more; ``lazily``, where only the most probable token is asked for."""
        x = self._input(np.array([number]))
        later = stream.step_lazily(x) if lazily else None
        return Output(later, self) if later is not None else Output(self._last(stream.step(x))[0], self)

    def step(self, ids: Sequence[int], state: State) -> tuple[np.ndarray, State]:
        """Read one number for each row of the state: (rows, vocabulary), and the new state."""
        y, state = self.model.step(self._input(np.asarray(ids)), state)
        return self._last(y), state

    def windows(self, ids: np.ndarray) -> np.ndarray:
        """Read whole windows (rows, time), each from a fresh state: (rows, vocabulary)."""
        return self._last(self.model.predict(self._input(ids)))

    def log_probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Of the model's output, in float64."""
        return log_probabilities(rows, self.logits, self.owner)

    def log_probability(self, row: np.ndarray, number: int) -> float:
        """Of one number, at less cost than of all of them."""
        if self.logits:
            return float(self.log_probabilities(row)[number])
        p = float(row[number])
        # A softmax of ours sums to 1; NaN anywhere in it would be the largest, and is no number from 0.
        if not (self._softmax and p >= 0):
            check_probabilities(row, self.owner)
        return math.log(p) if p else -math.inf

    def _input(self, ids: np.ndarray) -> np.ndarray:
        if self.features is None:
            return ids.astype(np.int64, copy=False)
        oov = self.tokenizer.oov_token
        outside = None if oov is None else self.tokenizer.word_index.get(oov)
        return one_hot(ids, self.features, outside, self.owner)

    def _last(self, y: np.ndarray) -> np.ndarray:
        """Of outputs at every step those of the last one."""
        return np.asarray(y[:, -1] if y.ndim == 3 else y)


def _wants_softmax(name: str, owner: str) -> bool:
    if name not in ("softmax", "linear"):
        raise InputError(message(owner, "logits", "given, as the model ends neither with softmax nor linearly", name,
                                 "give logits=False for probabilities, logits=True for what a softmax is still "
                                 "to be taken of"))
    return name == "linear"


def last_activation(model: Model) -> str:
    """The name of the activation that the model ends with."""
    number = model.outputs[0][0]
    while True:
        layer: Any = model.nodes[number].layer
        while hasattr(layer, "layer"):  # TimeDistributed
            layer = layer.layer
        if hasattr(layer, "model"):  # a model as a layer
            return last_activation(layer.model)
        if hasattr(layer, "activation"):
            return str(layer.activation.name)
        if not isinstance(layer, Dropout | Reshape):
            return type(layer).__name__
        number = model.nodes[number].inputs[0][0]
