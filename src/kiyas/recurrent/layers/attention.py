"""Simple attention over time, as Keras has it, and the weighted average of textgenrnn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kiyas.errors import InputError, message
from kiyas.kernels.recurrent import Linear, activate
from kiyas.recurrent.layers.base import FRESH, Arrays, Context, Layer, Shape, Signal, Time, numbers
from kiyas.recurrent.layers.sums import over_time, scores, softmax_over_time, weighted

# What Keras takes from the scores of masked steps in float32.
_MASKED = np.float32(1e9)
_EPSILON = 1e-7


@dataclass(frozen=True, eq=False)
class Attention(Layer):
    """Dot-product attention: inputs query (batch, a, d), value (batch, b, e) and key (batch, b, d), value if left out.

    Parameters: ``scale``: a number that scores are multiplied with, or None; ``causal``: a query sees keys up to its
    own step; ``concat_weight``: with a number, scores are that times Σ tanh(scale·(q + k)) (Keras' score_mode
    "concat"); ``return_scores``: the weights (batch, a, b) as a second output.
    """

    scale: float | None = None
    causal: bool = False
    concat_weight: float | None = None
    return_scores: bool = False

    @property
    def time(self) -> Time:
        return "whole"

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if len(inputs) not in (2, 3):
            raise InputError(message(self.owner, "inputs", "query, value and perhaps key", f"{len(inputs)} signals"))
        query, value = (self._input_shape(s, None, None, None) for s in inputs[:2])
        self._input_shape(inputs[-1], None, value[1], query[2], what="key")
        out: tuple[Shape, ...] = ((query[0], query[1], value[2]),)
        return (*out, (query[0], query[1], value[1])) if self.return_scores else out

    def scored(self, query: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Scores (batch, a, b) before masks and softmax."""
        if self.concat_weight is not None:
            factor = np.float32(1 if self.scale is None else self.scale)
            return np.float32(self.concat_weight) * summed_tanh(query, key, factor, None)
        found = scores(query, key)
        return found if self.scale is None else found * np.float32(self.scale)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        query, value = (numbers(s) for s in inputs[:2])
        found = self.scored(query, numbers(inputs[-1]))
        valid = inputs[1].valid()
        hidden = np.zeros((1, *found.shape[1:]), bool)
        if self.causal:
            hidden = np.arange(found.shape[2])[None, None, :] > np.arange(found.shape[1])[None, :, None]
        if valid is not None:
            hidden = hidden | ~valid[:, None, :]
        weights = softmax_over_time(found - _MASKED * hidden.astype(np.float32))
        y = weighted(weights, value)
        seen = inputs[0].valid()
        if seen is not None:
            y = y * seen[..., None].astype(np.float32)
        out = Signal(y, inputs[0].mask, inputs[0].lengths)
        return ((out, Signal(weights)) if self.return_scores else (out,)), None


@dataclass(frozen=True, eq=False)
class AdditiveAttention(Attention):
    """Additive attention (Bahdanau): scores Σ weights·tanh(query + key); ``weights`` (d,), or None for ones."""

    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._weights("weights", None, optional=True)

    def scored(self, query: np.ndarray, key: np.ndarray) -> np.ndarray:
        if self.weights is not None and self.weights.shape[0] != query.shape[2]:
            raise InputError(message(self.owner, "query", f"of {self.weights.shape[0]} features", f"{query.shape[2]}"))
        return summed_tanh(query, key, np.float32(1), self.weights)


@dataclass(frozen=True, eq=False)
class WeightedAttention(Layer):
    """A weighted mean over time: weights are softmax(x·``weights``) (textgenrnn's AttentionWeightedAverage).

    Parameters: ``weights`` (features,); ``return_attention``: the weights (batch, time) as a second output. Masked
    steps have no part in it.
    """

    weights: np.ndarray
    return_attention: bool = False

    def __post_init__(self) -> None:
        if self.weights is not None and np.ndim(self.weights) == 2 and np.shape(self.weights)[1] == 1:
            self._set(weights=np.asarray(self.weights)[:, 0])
        self._weights("weights", None)

    @property
    def time(self) -> Time:
        return "whole"

    @cached_property
    def _linear(self) -> Linear:
        return Linear(np.ascontiguousarray(self.weights[None, :]))

    def shapes(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, time, features = self._input_shape(self._one(inputs), None, None, self.weights.shape[0])
        return ((batch, features), (batch, time)) if self.return_attention else ((batch, features),)

    def run(self, inputs: tuple[Signal, ...], state: Arrays | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], Arrays | None]:
        signal = self._one(inputs)
        x = numbers(signal)
        batch, time, features = x.shape
        logits = self._linear(x.reshape(-1, features), threads=context.threads).reshape(batch, time)
        valid = signal.valid()
        if valid is not None and not valid.any(axis=1).all():
            raise InputError(message(self.owner, "input", "of at least one step that is not masked in every row",
                                     f"none in row {int(np.argmin(valid.any(axis=1)))}"))
        top = logits if signal.lengths is None or valid is None else np.where(valid, logits, np.float32(-np.inf))
        # As the original: the largest is taken over masked steps too, and ε is added to the sum.
        e = activate("exponential", logits - top.max(axis=1, keepdims=True))
        if valid is not None:
            e = np.where(valid, e, np.float32(0))
        share = (e / (over_time(e[..., None]) + _EPSILON)).astype(np.float32)
        y = weighted(share[:, None, :], x)[:, 0]
        return ((Signal(y), Signal(share)) if self.return_attention else (Signal(y),)), None


def summed_tanh(query: np.ndarray, key: np.ndarray, factor: np.float32, weights: np.ndarray | None) -> np.ndarray:
    """Σ weights·tanh(factor·(q + k)) over features, (batch, a, b) float32."""
    out = np.empty((query.shape[0], query.shape[1], key.shape[1]), np.float32)
    for row in range(query.shape[0]):
        for a in range(query.shape[1]):
            terms = activate("tanh", factor * (query[row, a] + key[row]))
            terms = terms if weights is None else terms * weights
            out[row, a] = np.add.reduce(np.ascontiguousarray(terms), axis=-1, dtype=np.float64)
    return out
