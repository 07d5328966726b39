"""One time step of a plain chain of layers, with everything bound beforehand: a step costs microseconds.

What is irregular in any way (other types, NaN, masked ids, states of other models) is left to the long way round in
`kiyas.recurrent.model`, which gives the same bits, or the error.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from kiyas.kernels import recurrent as kernels
from kiyas.recurrent.activations import find
from kiyas.recurrent.layers.base import Arrays, Layer
from kiyas.recurrent.layers.dense import Dense
from kiyas.recurrent.layers.distributed import TimeDistributed
from kiyas.recurrent.layers.elementwise import Dropout, Elementwise
from kiyas.recurrent.layers.embedding import Embedding, Input
from kiyas.recurrent.layers.recurrent import Recurrent
from kiyas.recurrent.state import State

if TYPE_CHECKING:
    from kiyas.recurrent.graph import Graph

# A table of embedding times input weights is worth its making up to this vocabulary: beyond, a text has fewer tokens.
_TABLE_ROWS = 1024

Apply = Callable[[np.ndarray], np.ndarray]
Step = Callable[[np.ndarray, Arrays | None], tuple[np.ndarray, Arrays]]


class Chain:
    """The steps of a chain: made by `chain`."""

    def __init__(self, embedding: Embedding | None, fused: bool, features: int,
                 parts: list[tuple[Step, str] | Apply]) -> None:
        self._embedding, self._fused, self._features, self._parts = embedding, fused, features, parts
        self._least = 1 if embedding is not None and embedding.mask_zero else 0
        self._last_is_cell = isinstance(parts[-1], tuple)

    def step(self, x: object, state: State | None) -> tuple[np.ndarray, State] | None:
        """Outputs and the state after one step, or None where the long way round has to be taken."""
        if type(x) is not np.ndarray:
            return None
        v = self._looked_up(x) if self._embedding is not None else self._checked(x)
        if v is None:
            return None
        batch = x.shape[0]
        if state is not None and (type(state) is not State or state._chain is not self or state.batch != batch):
            return None
        before = None if state is None else state._arrays
        new: dict[str, Arrays] = {}
        for part in self._parts:
            if type(part) is tuple:
                run, key = part
                v, arrays = run(v, None if before is None else before[key])
                new[key] = arrays
                for a in arrays:
                    a.flags.writeable = False
            else:
                v = part(v)  # type: ignore[operator]
        return (v.copy() if self._last_is_cell else v), State._of(new, batch, self)

    def _checked(self, x: np.ndarray) -> np.ndarray | None:
        if x.ndim != 2 or x.shape[1] != self._features or x.shape[0] == 0:
            return None
        v: np.ndarray = np.ascontiguousarray(x, np.float32)
        flat = v.ravel()
        return v if flat.dot(flat) < inf else None  # NaN, infinity, or too large to tell

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
    return Chain(embedding, fused, 0 if embedding is not None else int(shape[1] or 0), parts)


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
