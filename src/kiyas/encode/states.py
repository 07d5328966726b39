"""One vector of a whole sequence from a recurrent model: its last state, or a mean, maximum or attention over states.

Long sequences go through in chunks, so that memory does not grow with them. Chunks begin at the start of each sequence
and are of one length, so a vector does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from kiyas.errors import InputError, message
from kiyas.recurrent.graph import Node
from kiyas.recurrent.layers import Bidirectional, Embedding, GlobalAverage, GlobalMax, Input, Recurrent
from kiyas.recurrent.model import Model

POOLINGS = ("last", "mean", "max", "attention")
OUTPUT = "output"

# Steps that are read at a time: enough for the kernels, few enough for any memory.
_CHUNK = 256
# Steps after which it is told how many were read.
_TOLD = 1 << 14


class Rows(Protocol):
    """A sequence: an array, or what gives one for a slice of its steps."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> np.ndarray: ...


class _Watch:
    """Tells how much of many steps was read."""

    def __init__(self, report: Callable[[float], None], steps: int) -> None:
        self._report, self._steps, self._read, self._told = report, steps, 0, 0

    def add(self, steps: int) -> None:
        self._read += steps
        if self._read - self._told >= _TOLD:
            self._told = self._read
            self._report(self._read / self._steps)


class States:
    """Sequences to vectors, by a model up to one of its layers.

    Parameters: ``model``, of one input; ``layer``, the name of the layer whose outputs are pooled, or "output" for the
    model's own output as the vector; None for that where it is a vector of its own (no probabilities of classes, no
    scores of the vocabulary) and no other pooling is asked for, and else the last recurrent layer; ``pooling``, "last"
    (the state after the last step; for two directions, after the last step of each), "mean", "max", "attention" (a mean
    weighted by the softmax of each state's product with the last one over √n).

    Raises `InputError` for a layer that there is not, or that gives no vector.
    """

    def __init__(self, model: Model, layer: str | None = None, pooling: str = "last", owner: str = "States") -> None:
        if pooling not in POOLINGS:
            raise InputError(message(owner, "pooling", " or ".join(map(repr, POOLINGS)), repr(pooling)))
        if len(model.inputs) != 1:
            raise InputError(message(owner, "model", "one of one input", f"{len(model.inputs)}"))
        self.layer = _default_layer(model, pooling) if layer is None else layer
        self.pooling = pooling
        shape = model.input_shapes[0]
        self.features = None if len(shape) == 2 else shape[-1]
        if self.layer == OUTPUT:
            self._model = Model(model.nodes, model.inputs, model.outputs[:1])
        else:
            self._model = _up_to(model, self.layer, pooling, owner)
        width = self._model.output_shapes()[0][-1]
        if width is None:
            raise InputError(message(owner, "layer", "one of a known width", f"{self.layer!r}"))
        self.dims = int(width)
        self._sequences = len(self._model.output_shapes()[0]) == 3
        if pooling != "last" and not self._sequences:
            raise InputError(message(owner, "pooling", f"'last' for {self.layer!r}, which gives one vector already",
                                     repr(pooling), "name a recurrent layer with layer="))
        self._together = self._takes_lengths()
        self._halves = _halves(self._model) if pooling == "last" else None

    @property
    def streams(self) -> bool:
        """Whether long sequences go through in chunks; else each is in memory as a whole."""
        return self._model.whole is None or (self._halves is not None and self._halves[0].streams)

    def vectors(self, rows: Sequence[Rows], padded: np.ndarray | None = None,
                report: Callable[[float], None] | None = None) -> np.ndarray:
        """The vector of each sequence of ids (time,) or features (time, features): (rows, dims) float32.

        ``padded`` (rows,): how many steps at the beginning of each are padding, which is read but not pooled.
        ``report``: called with the part of all steps that was read, from 0 to 1, where there are many.
        """
        if self._halves is not None and padded is None:  # padding counts, if the model's own pooling counts it
            before, after = self._halves
            pooled = before.vectors(rows, None, report)
            return pooled if after is None else np.asarray(after.predict(pooled))
        out = np.empty((len(rows), self.dims), np.float32)
        skip = np.zeros(len(rows), np.int64) if padded is None else padded
        times = 2 if self.pooling == "attention" else 1  # how often the rows are gone through
        watch = None if report is None else _Watch(report, times * sum(map(len, rows)))
        for numbers in self._groups(rows):
            lengths = np.array([len(rows[i]) for i in numbers], np.int64)
            out[numbers] = self._pooled([rows[i] for i in numbers], lengths, skip[numbers], watch)
        return out

    # -- inside ------------------------------------------------------------------------------------

    def _groups(self, rows: Sequence[Rows]) -> Iterator[np.ndarray]:
        lengths = np.array([len(row) for row in rows], np.int64)
        if self._together:
            yield np.arange(len(rows))
            return
        for length in np.unique(lengths):
            yield np.flatnonzero(lengths == length)

    def _takes_lengths(self) -> bool:
        """Whether rows of unlike length may share a batch: some layers know of no end but the array's."""
        if self._model.whole is None:
            return True
        x = np.ones((2, 2), np.int64) if self.features is None else np.ones((2, 2, self.features), np.float32)
        try:
            self._model.predict(x, lengths=np.array([2, 1]))
        except InputError:
            return False
        return True

    def _pooled(self, rows: list[Rows], lengths: np.ndarray, skip: np.ndarray, watch: _Watch | None) -> np.ndarray:
        if self.pooling == "last":
            return self._last(rows, lengths, watch)
        if self.pooling == "attention":
            return self._attended(rows, lengths, skip, watch)
        worst = -np.inf if self.pooling == "max" else 0.0
        total = np.full((len(rows), self.dims), worst)
        for start, y in self._chunks(rows, lengths, watch):
            y = np.where(_valid(y, start, lengths, skip)[..., None], y, worst)
            both = np.concatenate([total[:, None], y], axis=1)
            # One after another, whatever the shape: a sum in another order would depend on the batch.
            total = both.max(axis=1) if self.pooling == "max" else np.add.accumulate(both, axis=1)[:, -1]
        if self.pooling == "mean":
            total /= (lengths - skip)[:, None]
        return total.astype(np.float32)

    def _last(self, rows: list[Rows], lengths: np.ndarray, watch: _Watch | None) -> np.ndarray:
        last = np.zeros((len(rows), self.dims), np.float32)
        for start, y in self._chunks(rows, lengths, watch):
            if not self._sequences:
                here = lengths > start
                last[here] = y[here]
                continue
            ends = (lengths > start) & (lengths <= start + y.shape[1])
            last[ends] = y[ends, lengths[ends] - start - 1]
        return last

    def _attended(self, rows: list[Rows], lengths: np.ndarray, skip: np.ndarray, watch: _Watch | None) -> np.ndarray:
        """Through the sequence twice: its last state is known at its end only."""
        query = self._last(rows, lengths, watch).astype(np.float64) / np.sqrt(self.dims)
        top = np.full(len(rows), -np.inf)
        weight, total = np.zeros(len(rows)), np.zeros((len(rows), self.dims))
        for start, y in self._chunks(rows, lengths, watch):
            wide = y.astype(np.float64)
            scores = np.where(_valid(y, start, lengths, skip), (wide * query[:, None]).sum(axis=-1), -np.inf)
            new = np.maximum(top, scores.max(axis=1))
            seen = np.isfinite(new)
            shift = np.where(seen, new, 0.0)
            parts = np.exp(scores - shift[:, None])
            fade = np.exp(np.where(seen, top, 0.0) - shift)
            fade[~np.isfinite(top)] = 0.0
            weight = np.add.accumulate(np.concatenate([(weight * fade)[:, None], parts], axis=1), axis=1)[:, -1]
            total = np.add.accumulate(np.concatenate([(total * fade[:, None])[:, None], parts[..., None] * wide],
                                                     axis=1), axis=1)[:, -1]
            top = new
        return (total / weight[:, None]).astype(np.float32)

    def _chunks(self, rows: list[Rows], lengths: np.ndarray, watch: _Watch | None) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the first step, outputs of a chunk of all rows). What is behind a row's end means nothing."""
        longest = int(lengths.max())
        if self._model.whole is not None:
            ends = None if (lengths == longest).all() else lengths
            yield 0, self._model.predict(self._block(rows, 0, longest), lengths=ends)
            return
        stream = self._model.stream(len(rows))
        for start in range(0, longest, _CHUNK):
            stop = min(start + _CHUNK, longest)
            steps = np.clip(lengths - start, 0, stop - start)
            yield start, stream.feed(self._block(rows, start, stop), lengths=steps)
            if watch is not None:
                watch.add(int(steps.sum()))

    def _block(self, rows: list[Rows], start: int, stop: int) -> np.ndarray:
        # Padding behind the end is 1, an id that every embedding has and that no mask takes for padding.
        shape: tuple[int, ...] = (len(rows), stop - start)
        block = np.ones(shape, np.int64) if self.features is None else np.zeros((*shape, self.features), np.float32)
        for place, row in zip(block, rows, strict=True):
            part = row[start:stop]
            place[:len(part)] = part
        return block


def _valid(y: np.ndarray, start: int, lengths: np.ndarray, skip: np.ndarray) -> np.ndarray:
    steps = np.arange(start, start + y.shape[1])
    return np.asarray((steps >= skip[:, None]) & (steps < lengths[:, None]))


def _default_layer(model: Model, pooling: str) -> str:
    shape = model.output_shapes()[0]
    if pooling == "last" and model.source.get("task") == "sentence encoder":
        return OUTPUT  # it says so itself, even where it has as many dimensions as there are words
    if pooling == "last" and len(shape) == 2 and shape[-1] is not None:
        from kiyas.recurrent.generation.reader import last_activation

        tables = {node.layer.table.shape[0] for node in model.nodes if isinstance(node.layer, Embedding)}
        scores = shape[-1] in (tables or {model.input_shapes[0][-1]})
        if shape[-1] > 1 and not scores and last_activation(model) not in ("softmax", "sigmoid"):
            return OUTPUT
    found = [layer.name for layer in model.layers if isinstance(layer, Recurrent | Bidirectional)]
    return found[-1] if found else OUTPUT


def _up_to(model: Model, name: str, pooling: str, owner: str) -> Model:
    """The model as far as a layer; a recurrent one gives its state after every step, if they are to be pooled."""
    places = [i for i, node in enumerate(model.nodes) if node.layer.name == name]
    if not places:
        names = [layer.name for layer in model.layers]
        raise InputError(message(owner, "layer", f"'{OUTPUT}' or one of {', '.join(names)}", repr(name)))
    number = places[-1]
    layer: Any = model.nodes[number].layer
    if isinstance(layer, Recurrent | Bidirectional):
        layer = replace(layer, return_sequences=pooling != "last", return_state=False)
    needed = _needed(model, number)
    place = {old: new for new, old in enumerate(needed)}
    nodes = [Node(layer if i == number else node.layer, tuple((place[a], k) for a, k in node.inputs))
             for i, node in ((i, model.nodes[i]) for i in needed)]
    cut = Model(nodes, [place[i] for i in model.inputs if i in place], [(place[number], 0)])
    if len(cut.output_shapes()[0]) not in (2, 3):
        raise InputError(message(owner, "layer", "one that gives a vector, or one a step", f"{name!r}, which gives "
                                 f"{cut.output_shapes()[0]}"))
    return cut


def _halves(model: Model) -> tuple[States, Model | None] | None:
    """A model that pools over time itself, as what comes before, with the pooling, and what comes after.

    So its long sequences go through in chunks too; the numbers are the same to the bit.
    """
    at = next((i for i, node in enumerate(model.nodes) if node.layer.time == "whole"), None)
    layer = None if at is None else model.nodes[at].layer
    if at is None or not isinstance(layer, GlobalAverage | GlobalMax) or layer.keepdims:
        return None
    rest = model.nodes[at + 1:]
    if any(before < at for node in rest for before, _ in node.inputs) or any(n.layer.time == "whole" for n in rest):
        return None
    front = _needed(model, model.nodes[at].inputs[0][0])
    place = {old: new for new, old in enumerate(front)}
    source, output = model.nodes[at].inputs[0]
    nodes = [Node(n.layer, tuple((place[a], k) for a, k in n.inputs)) for n in (model.nodes[i] for i in front)]
    before = Model(nodes, [place[i] for i in model.inputs if i in place], [(place[source], output)])
    states = States(before, OUTPUT, "mean" if isinstance(layer, GlobalAverage) else "max")
    if not rest:
        return states, None
    start = Input("pooled", (states.dims,))
    nodes = [Node(n.layer, tuple((a - at, k) for a, k in n.inputs)) for n in rest]
    return states, Model([Node(start), *nodes], [0], [(i - at, k) for i, k in model.outputs])


def _needed(model: Model, number: int) -> list[int]:
    """The nodes that a node depends on, and itself, in order."""
    wanted = {number}
    for i in range(number, -1, -1):
        if i in wanted:
            wanted |= {before for before, _ in model.nodes[i].inputs}
    return sorted(wanted)
