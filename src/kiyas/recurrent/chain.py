"""One time step of a plain chain of layers, with everything bound beforehand: a step costs microseconds.

What is irregular in any way (other types, NaN, masked ids, states of other models) is left to the long way round in
`kiyas.recurrent.model`, which gives the same bits, or the error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kiyas.errors import InputError
from kiyas.kernels import recurrent as kernels
from kiyas.recurrent.activations import find
from kiyas.recurrent.layers.base import Arrays, Layer
from kiyas.recurrent.layers.dense import Dense
from kiyas.recurrent.layers.distributed import TimeDistributed
from kiyas.recurrent.layers.elementwise import Dropout, Elementwise
from kiyas.recurrent.layers.embedding import Embedding, Input
from kiyas.recurrent.layers.recurrence import PlainCells
from kiyas.recurrent.layers.recurrent import Recurrent
from kiyas.recurrent.state import State

if TYPE_CHECKING:
    from kiyas.kernels.argmax import Argmax
    from kiyas.recurrent.graph import Graph

# A table of embedding times input weights is worth its making up to this vocabulary: beyond, a text has fewer tokens.
_TABLE_ROWS = 1024

Apply = Callable[[np.ndarray], np.ndarray]
Step = Callable[[np.ndarray, Arrays | None], tuple[np.ndarray, Arrays]]


class Compiled(NamedTuple):
    """A chain all of which is compiled: cells, the names of their states, a product after them or None."""

    cells: list[Any]
    names: list[str]
    head: Dense | None = None

    @property
    def activation(self) -> Any:
        """Of the product: "softmax", or an activation of single numbers."""
        found = find("linear" if self.head is None else self.head.activation)
        return "softmax" if found.name == "softmax" else found

    def outputs(self, v: np.ndarray, threads: int = 1) -> np.ndarray:
        """Of what the last cell gives, (rows, units), the outputs of the chain."""
        if self.head is None:
            return v
        y, activation = self.head.linear(v, threads=threads), self.activation
        return kernels.softmax(y, y) if activation == "softmax" else kernels.activate(activation, y, y)


class Chain:
    """The steps of a chain: made by `chain`."""

    def __init__(self, embedding: Embedding | None, fused: bool, features: int,
                 parts: list[tuple[Step, str] | Apply], compiled: Compiled | None, every: list[bool] | None) -> None:
        self._embedding, self._fused, self._features, self._parts = embedding, fused, features, parts
        self._compiled, self._every = compiled, every
        self._least = 1 if embedding is not None and embedding.mask_zero else 0

    def step(self, x: object, state: State | None) -> tuple[np.ndarray, State] | None:
        """Outputs and the state after one step, or None where the long way round has to be taken."""
        if type(x) is not np.ndarray:
            return None
        v = self._looked_up(x) if self._embedding is not None else self._checked(x)
        if v is None:
            return None
        batch = x.shape[0]
        if state is not None and (type(state) is not State or state._maker is not self or state.batch != batch):
            return None
        before = None if state is None else state._arrays
        new: dict[str, Arrays] = {}
        h: np.ndarray | None = None
        for part in self._parts:
            if type(part) is tuple:
                run, key = part
                v, arrays = run(v, None if before is None else before[key])
                new[key], h = arrays, v
            else:
                v = part(v)  # type: ignore[operator]
        # The output of a cell is its state too, and that is nobody else's.
        return (v.copy() if h is not None and v is h else v), State._of(new, batch, self)

    def quick(self, batch: int) -> Quick | None:
        """The chain with its state inside compiled code, where all of it is compiled; else None."""
        if self._compiled is None:
            return None
        head = self._compiled.head
        stepper = kernels.Stepper(self._compiled.cells, batch, None if head is None else head.linear,
                                  self._compiled.activation)
        table = None if self._embedding is None or self._fused else self._embedding.table
        return Quick(self, stepper, self._compiled, table, self._embedding is not None, self._least)

    def whole(self, x: object, threads: int) -> np.ndarray | None:
        """Outputs of whole sequences from a fresh state, all compiled, or None where the long way round is to be taken.

        A short sequence of a small model takes less time than the long way's checks.
        """
        if self._every is None or self._compiled is None or type(x) is not np.ndarray or 0 in x.shape or x.ndim < 2:
            return None
        if self._embedding is not None:
            table = self._embedding.table
            if x.ndim != 2 or x.dtype.kind not in "iu" or x.min() < self._least or x.max() >= table.shape[0]:
                return None
            v = x if self._fused else table[x]
        else:
            if x.ndim != 3 or x.shape[2] != self._features or not kernels.all_finite(x):
                return None
            v = x
        for cell, every in zip(self._compiled.cells, self._every, strict=True):
            v = (cell.sequence if every else cell.last)(v, threads=threads)[0]
        return self._compiled.outputs(v.reshape(-1, v.shape[-1]), threads).reshape(*v.shape[:-1], -1)

    def _checked(self, x: np.ndarray) -> np.ndarray | None:
        if x.ndim != 2 or x.shape[1] != self._features or x.shape[0] == 0 or x.dtype.kind not in "fiu":
            return None
        v: np.ndarray = np.ascontiguousarray(x, np.float32)
        return v if kernels.all_finite(v) else None

    def _looked_up(self, ids: np.ndarray) -> np.ndarray | None:
        embedding = self._embedding
        assert embedding is not None
        if ids.ndim != 1 or ids.dtype != np.int64 or ids.size == 0:
            return None
        table = embedding.table
        if ids.size == 1:
            i = ids.item()
            if not self._least <= i < table.shape[0]:
                return None
            return ids if self._fused else table[i:i + 1]
        if ids.min() < self._least or ids.max() >= table.shape[0]:
            return None
        return ids if self._fused else table[ids]


class LazyOutput:
    """The outputs after one step of one row, computed when they are asked for.

    ``argmax``: where they are largest, as far as that is known without them: None where only they tell.
    """

    def __init__(self, argmax: int | None, last: np.ndarray, compiled: Compiled) -> None:
        self.argmax, self._last, self._compiled = argmax, last, compiled

    def all(self) -> np.ndarray:
        """All outputs, (1, outputs), as `Stream.step` gives them."""
        return self._compiled.outputs(self._last)

    @staticmethod
    def all_of(several: Sequence[LazyOutput]) -> np.ndarray:
        """Those of steps of one model, (steps, outputs): the same bits, the weights read once."""
        return several[0]._compiled.outputs(np.concatenate([one._last for one in several]))


class Quick:
    """A stream's steps in one call of compiled code, the state inside; made by `Chain.quick`."""

    def __init__(self, chain: Chain, stepper: kernels.Stepper, compiled: Compiled, table: np.ndarray | None, ids: bool,
                 least: int) -> None:
        self._chain, self._stepper, self._compiled = chain, stepper, compiled
        self._table, self._ids, self._least = table, ids, least

    def step(self, x: object) -> np.ndarray | None:
        """Outputs after one step, or None where the long way round has to be taken; the state is as before then."""
        v = self._first(x)
        try:
            return None if v is None else self._stepper.step(v)
        except InputError:  # the long way round says whose error it is
            return None

    def step_lazily(self, x: object) -> LazyOutput | None:
        """As `step`, the outputs computed when they are asked for; None, too, where that would save nothing."""
        argmax, v = self._argmax, self._first(x)
        try:
            if argmax is None or v is None:
                return None
            return LazyOutput(*self._stepper.step_argmax(v, argmax), self._compiled)
        except InputError:
            return None

    @cached_property
    def _argmax(self) -> Argmax | None:
        head = self._compiled.head  # the largest stays the largest
        rises = self._compiled.activation == "softmax" or self._compiled.activation.name == "linear"
        return head.argmax if head is not None and self._stepper.batch == 1 and rises else None

    def _first(self, x: Any) -> Any:
        """What the first cell takes for x, or None."""
        if not self._ids:
            return x
        if type(x) is not np.ndarray or x.ndim != 1 or x.dtype != np.int64 or x.size != self._stepper.batch:
            return None
        least, most = (x.item(),) * 2 if x.size == 1 else (x.min(), x.max())
        if least < self._least:
            return None
        if self._table is None:
            return x
        if most >= self._table.shape[0]:
            return None
        return self._table[least:least + 1] if x.size == 1 else self._table[x]

    @property
    def state(self) -> State:
        """The state now, a copy; assign to set it."""
        arrays = dict(zip(self._compiled.names, self._stepper.state, strict=True))
        return State._of(arrays, self._stepper.batch, self._chain)

    @state.setter
    def state(self, value: State | None) -> None:
        if value is None:
            self._stepper.reset()
        else:
            self._stepper.state = [value[name] for name in self._compiled.names]


def chain(graph: Graph) -> Chain | None:
    """The chain of a graph that is one: one input, one output, layer after layer, each step by itself."""
    nodes = graph.nodes
    if graph.inputs != (0,) or graph.outputs != ((len(nodes) - 1, 0),) or not graph.has_time(0):
        return None
    if any(node.inputs != ((i, 0),) for i, node in enumerate(nodes[1:])):
        return None
    layers = [node.layer for node in nodes[1:]]
    embedding = layers[0] if layers and isinstance(layers[0], Embedding) else None
    rest = list(zip(layers, graph.names[1:], strict=True))[0 if embedding is None else 1:]
    shape = nodes[0].layer.shape if isinstance(nodes[0].layer, Input) else ()
    if not rest or len(shape) != (1 if embedding is not None else 2) or (embedding is None and shape[1] is None):
        return None
    parts: list[tuple[Step, str] | Apply] = []
    fused = False
    for layer, name in rest:
        if isinstance(layer, Recurrent) and layer.time == "recurrent":
            cells = layer.cells
            if embedding is not None and not parts and embedding.table.shape[0] <= _TABLE_ROWS:
                found = kernels.find(layer, layer.precision, embedding.table).kernel
                fused = found is not None
                cells = found if found is not None else cells
            parts.append((cells.step, name))
        elif not isinstance(layer, Dropout):
            applied = _applied(layer)
            if applied is None:
                return None
            parts.append(applied)
    if not parts or not any(isinstance(part, tuple) for part in parts):
        return None
    return Chain(embedding, fused, 0 if embedding is not None else int(shape[1] or 0), parts,
                 _compiled([(layer, name) for layer, name in rest if not isinstance(layer, Dropout)], parts),
                 _outputs([layer for layer, _ in rest if isinstance(layer, Recurrent)]))


def _outputs(cells: list[Recurrent]) -> list[bool] | None:
    """Whether each layer gives all its outputs or its last; None where a sequence does not run through all of them."""
    every = [layer.return_sequences for layer in cells]
    plain = all(every[:-1]) and not any(layer.return_state for layer in cells)
    return every if plain else None


def _compiled(rest: list[tuple[Layer, str]], parts: list[tuple[Step, str] | Apply]) -> Compiled | None:
    """Cells of compiled code, then a dense layer or none."""
    cells = [part for part in parts if isinstance(part, tuple)]
    found = [getattr(run, "__self__", None) for run, _ in cells]
    if any(isinstance(k, PlainCells) or k is None for k in found) or len(parts) > len(cells) + 1:
        return None
    names = [name for _, name in cells]
    if len(parts) == len(cells):
        return Compiled(found, names)
    head = rest[-1][0]
    head = head.layer if isinstance(head, TimeDistributed) else head
    if not isinstance(head, Dense) or isinstance(parts[-1], tuple):
        return None
    name = find(head.activation).name
    return Compiled(found, names, head) if name == "softmax" or name in kernels.ACTIVATIONS else None


def _applied(layer: Layer) -> Apply | None:
    """What a layer does to the numbers (batch, features) of one step; None for those that need more."""
    if isinstance(layer, TimeDistributed):
        layer = layer.layer
    if isinstance(layer, Dense):
        linear, activation = layer.linear, find(layer.activation)
        if activation.name == "linear":
            return linear
        return lambda v: activation(linear(v))
    return layer.apply if isinstance(layer, Elementwise) and not isinstance(layer, Dropout) else None
