"""Model: a graph of frozen layers. Forward only; nothing of it ever changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kiyas.arrays import count
from kiyas.errors import InputError, message
from kiyas.recurrent import inputs as checks
from kiyas.recurrent.chain import Chain, chain
from kiyas.recurrent.graph import Graph, Node, called
from kiyas.recurrent.layers.base import FRESH, Context, Layer, Shape, Signal
from kiyas.recurrent.layers.bidirectional import Bidirectional
from kiyas.recurrent.layers.dense import Dense
from kiyas.recurrent.layers.distributed import TimeDistributed
from kiyas.recurrent.layers.embedding import Embedding, Input
from kiyas.recurrent.layers.recurrent import Recurrent
from kiyas.recurrent.state import State

if TYPE_CHECKING:
    from kiyas.recurrent.stream import Stateful, Stream


class Row(NamedTuple):
    """A line of `Model.describe`: a layer, its class, output shapes, number of weights, and where it is computed."""

    layer: str
    kind: str
    shape: tuple[Shape, ...]
    parameters: int
    place: str


class PrecisionError(NamedTuple):
    """How far a model with rounded weights is from the one it was made of, on a sample."""

    largest: float
    mean: float
    relative: float
    sample: str


class Model:
    """A trained recurrent model: frozen layers in a graph.

    Parameters: ``nodes``: `Node` values, inputs first; ``inputs``: the numbers of the `Input` nodes; ``outputs``:
    (node, which output) pairs; ``input_names``, ``output_names``: for people and for mappings (default: the layers'
    names); ``source``: facts about where it came from (format, version).

    Raises `InputError` naming the layer whose input does not fit.

    >>> from kiyas.recurrent.layers import LSTM, Dense
    >>> model = Model.sequential([LSTM("lstm", np.zeros((8, 3)), np.zeros((8, 2)), np.ones(8)),
    ...                           Dense("head", np.ones((1, 2)))])
    >>> round(float(model.predict(np.zeros((1, 4, 3)))[0, 0]), 3)
    1.318
    """

    def __init__(self, nodes: Sequence[Node], inputs: Sequence[int], outputs: Sequence[tuple[int, int]],
                 input_names: Sequence[str] | None = None, output_names: Sequence[str] | None = None,
                 source: Mapping[str, Any] | None = None) -> None:
        self._graph = Graph(nodes, inputs, outputs)
        self.nodes, self.inputs, self.outputs = self._graph.nodes, self._graph.inputs, self._graph.outputs
        self.input_names = _names("input_names", input_names, [self.nodes[i].layer.name for i in self.inputs])
        self.output_names = _names("output_names", output_names, _output_names(self._graph))
        self.source = dict(source or {})
        self.precision_error: PrecisionError | None = None
        self._time = [self._graph.has_time(i) for i in self.inputs]
        self.state_widths = self._graph.state_widths()
        self._fitting: set[tuple[Shape, ...]] = set()

    @classmethod
    def sequential(cls, layers: Sequence[Layer], input_shape: Shape | None = None,
                   source: Mapping[str, Any] | None = None) -> Model:
        """A model of layers one after another.

        Parameters: ``layers``; ``input_shape``: without the batch, ``(None, features)`` or ``(None,)`` for ids; it may
        be left out where the first layer says it (Embedding, LSTM, GRU, SimpleRNN, Bidirectional, Dense).
        """
        layers = list(layers)
        if not layers:
            raise InputError(message("Model.sequential", "layers", "at least one layer", "none"))
        if not isinstance(layers[0], Input):
            shape = _first_shape(layers[0]) if input_shape is None else tuple(input_shape)
            taken = {layer.name for layer in layers}
            layers.insert(0, Input(next(n for n in ("input", "input_", "model_input") if n not in taken), shape))
        nodes = [Node(layer, () if i == 0 else ((i - 1, 0),)) for i, layer in enumerate(layers)]
        return cls(nodes, [0], [(len(nodes) - 1, 0)], source=source)

    # -- running -----------------------------------------------------------------------------------

    def predict(self, x: Any, lengths: Any = None, mask: Any = None, state: Any = None, return_state: bool = False,
                batch_size: int | None = None, threads: int = 1, empty: str = "error") -> Any:
        """Whole sequences, from a fresh state or a given one.

        Parameters: ``x``: (batch, time, features), or (batch, time) of ids; a list or a mapping by name for several
        inputs. ``lengths`` (batch,): where each row ends, as of packed sequences and ONNX: outputs of recurrent layers
        behind are zero, and states are those at the end. ``mask`` (batch, time) of booleans, True where a step counts,
        with padding anywhere, as in Keras: a masked step changes no state and its output repeats the one before.
        ``state``: a `State`, or PyTorch's (h0, c0). ``return_state``: give the state after the last step too.
        ``batch_size``: rows at a time (None: all). ``threads``: 1 or more; results do not depend on it, nor on the
        batch. ``empty``: what to do with a row without steps: "error", or "zero" (recurrent layers give zeros for it).

        Returns an array, or a tuple of arrays for several outputs; with ``return_state``, that and the `State`.

        Raises `InputError` naming what does not fit: shapes, NaN, ids that the embedding lacks, lengths, states.
        """
        owner = "Model.predict"
        threads = count(threads, "threads", owner, 1, 256)
        if empty not in ("error", "zero"):
            raise InputError(message(owner, "empty", "error or zero", repr(empty)))
        plain = lengths is None and mask is None and state is None and batch_size is None and not return_state
        if plain and self._chain is not None:
            quickly = self._chain.whole(x, threads)
            if quickly is not None:
                return quickly
        signals = self._signals(owner, x, lengths, mask, empty)
        batch = signals[0].values.shape[0]
        known = None if state is None else checks.state(owner, state, self.state_widths, batch)
        size = batch if batch_size is None else count(batch_size, "batch_size", owner, 1, 2**31)
        if size >= batch:
            parts = [self.run(signals, known, Context(threads))]
        else:
            parts = [self.run(_rows(signals, a, a + size), None if known is None else
                              {k: tuple(s[a:a + size] for s in v) for k, v in known.items()}, Context(threads))
                     for a in range(0, batch, size)]
        y = self._joined([[s.values for s in out] for out, _ in parts])
        if not return_state:
            return y
        new = {key: tuple(np.concatenate([p[key][i] for _, p in parts]) for i in range(len(widths)))
               for key, widths in self.state_widths.items()}
        return y, State._of(new, batch, self._maker)

    def check(self, x: Any) -> None:
        """Raise the `InputError` that `predict` of ``x`` would raise for its shapes, its numbers and its ids.

        Nothing is run or copied, so that memory-mapped arrays can be looked at before hours of work. Weights that make
        infinity of large numbers do not show.
        """
        owner = "Model.check"
        batch = 0
        for k, value in enumerate(checks.several(owner, "x", x, self.input_names)):
            called, time = self._called("x", k), 1 if self._time[k] else None
            array = checks.shaped(owner, called, value, (None, *self._input_shape(k)), time)
            batch = batch or array.shape[0]
            if array.shape[0] != batch:
                raise InputError(message(owner, called, f"of batch {batch}, as the first input",
                                         f"batch {array.shape[0]}"))
            if array.dtype.kind == "f":
                checks.require_finite(owner, called, array, time)
            for table in _tables(self, k):
                table.ids(array)

    def step(self, x: Any, state: Any = None, threads: int = 1) -> tuple[Any, State]:
        """One time step: x (batch, features), or ids (batch,) -> the outputs after it, and the new state.

        ``state``: None for a fresh one, a `State`, or PyTorch's (h0, c0). The output is that of `predict` over all
        steps so far: bit for bit the same.

        Raises `InputError` naming the first layer that needs all time steps at once (Bidirectional, Flatten, …).
        """
        own = self._chain
        if own is not None and threads == 1:
            quickly = own.step(x, state)
            if quickly is not None:
                return quickly
        return self._step("Model.step", x, state, threads)

    def _step(self, owner: str, x: Any, state: Any, threads: int, rows: int | None = None) -> tuple[Any, State]:
        """The long way round, for every model and every input."""
        self._require_steps(owner)
        given = checks.several(owner, "x", x, self.input_names)
        wide = []
        for k, value in enumerate(given):
            shape: Shape = (None, *self._input_shape(k))
            if self._time[k]:
                shape = (None, *shape[2:])
            one = checks.values(owner, self._called("x", k), value, shape, None)
            wide.append(Signal(one[:, None] if self._time[k] else one))
            if one.shape[0] != (rows or wide[0].values.shape[0]):
                raise InputError(message(owner, self._called("x", k), f"of batch {rows or wide[0].values.shape[0]}",
                                         f"{one.shape[0]}"))
        batch = wide[0].values.shape[0]
        own = type(state) is State and state._maker is self._maker and state.batch == batch
        before = state if own or state is None else checks.state(owner, state, self.state_widths, batch)
        out, new = self.run(tuple(wide), before, Context(threads, resumed=True))
        y = tuple(s.values[:, 0] if timed else s.values for s, timed in zip(out, self._timed_outputs, strict=True))
        return (y[0] if len(y) == 1 else y), State._of(new, batch, self._maker)

    def stream(self, batch: int = 1, state: Any = None) -> Stream:
        """A stream of ``batch`` rows: fed chunk by chunk, it keeps its state; see `kiyas.recurrent.Stream`."""
        from kiyas.recurrent.stream import Stream

        return Stream(self, batch, state)

    def stateful(self, batch: int | None = None) -> Stateful:
        """The model with a memory, as a stateful one in Keras; see `kiyas.recurrent.Stateful`."""
        from kiyas.recurrent.stream import Stateful

        return Stateful(self, batch)

    def new_state(self, batch: int = 1) -> State:
        """The state of zeros that a fresh sequence begins with."""
        rows = count(batch, "batch", "Model.new_state", 1, 2**31)
        return State._of({k: tuple(np.zeros((rows, w), np.float32) for w in ws) for k, ws in self.state_widths.items()},
                         rows)

    def run(self, signals: Sequence[Signal], state: Mapping[str, tuple[np.ndarray, ...]] | None = None,
            context: Context = FRESH) -> tuple[tuple[Signal, ...], dict[str, tuple[np.ndarray, ...]]]:
        """Signals in, signals and the new state out, for layers and loaders; `predict` is for people."""
        shapes = tuple(tuple(None if i == 0 else s for i, s in enumerate(v.values.shape)) for v in signals)
        if shapes not in self._fitting:  # another length of time may not fit: the error names the layer
            self._graph.output_shapes(shapes)
            if len(self._fitting) >= _REMEMBERED:
                self._fitting.clear()
            self._fitting.add(shapes)
        return self._graph.run(signals, state, context)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_chain", "_timed_outputs", "whole")}

    # -- looking -----------------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in order, each once, inputs left out."""
        return tuple({id(n.layer): n.layer for n in self.nodes if not isinstance(n.layer, Input)}.values())

    def layer(self, name: str) -> Layer:
        """The layer of a name; raises `InputError` with the names there are."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise InputError(message("Model.layer", "name", f"one of {', '.join(x.name for x in self.layers)}", repr(name)))

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """The shapes of the inputs, None for any size (of batch and time)."""
        return tuple((None, *self._input_shape(k)) for k in range(len(self.inputs)))

    def output_shapes(self, inputs: Sequence[Shape] | None = None) -> tuple[Shape, ...]:
        """The shapes of the outputs, for shapes of the inputs (None: as the model says)."""
        return self._graph.output_shapes(self.input_shapes if inputs is None else inputs)

    @property
    def is_stateful(self) -> bool:
        """Whether a layer is marked to carry its state from call to call."""
        return any(layer.remembers for layer in self.layers)

    def stateful_keys(self) -> tuple[str, ...]:
        """The names of the states of the layers so marked."""
        return tuple(key for node, name in zip(self.nodes, self._graph.names, strict=True)
                     for key in called(node.layer, name, node.layer.remembers))

    def count_parameters(self) -> int:
        """The number of weights, those of a shared layer once."""
        return sum(layer.count_parameters() for layer in self.layers)

    def describe(self) -> list[Row]:
        """A row for each call of a layer: name, class, output shapes, weights, and where and in what it is computed."""
        return [Row(name, type(node.layer).__name__, shapes, node.layer.count_parameters(), node.layer.place)
                for name, node, shapes in zip(self._graph.names, self.nodes, self._graph.shapes, strict=True)]

    @cached_property
    def whole(self) -> Layer | None:
        """The first layer that needs all time steps at once, or None if the model can go step by step."""
        return self._graph.whole()[0]

    def __repr__(self) -> str:
        kinds = ", ".join(type(n.layer).__name__ for n in self.nodes if not isinstance(n.layer, Input))
        return f"Model({kinds}; {self.count_parameters():,} weights)"

    # -- changing ----------------------------------------------------------------------------------

    def with_precision(self, precision: str, sample: Any = None, **given: Any) -> Model:
        """A model whose recurrent and dense weights are stored as "float32", "bfloat16" or "int8".

        ``sample``: inputs to measure its error on, as for `predict` (which also takes ``given``: lengths, mask); None
        for synthetic ones: normal numbers, or all ids in turn. ``precision_error`` of the new model holds the largest
        and the mean absolute difference of its outputs, and the root of the mean squares relative to those of the
        outputs.
        """
        changed: dict[int, Layer] = {}
        for node in self.nodes:
            change = getattr(node.layer, "with_precision", None)
            changed.setdefault(id(node.layer), node.layer if change is None else change(precision))
        model = Model([Node(changed[id(n.layer)], n.inputs) for n in self.nodes], self.inputs, self.outputs,
                      self.input_names, self.output_names, {**self.source, "precision": precision})
        words = "the sample given" if sample is not None else "synthetic inputs"
        x = sample if sample is not None else self._synthetic()
        mine, theirs = self.predict(x, **given), model.predict(x, **given)
        model.precision_error = _difference(mine, theirs, words)
        return model

    def save(self, path: str | Path) -> None:
        """Write to a kiyas safetensors file, which `kiyas.recurrent.load` reads."""
        from importlib import import_module

        import_module("kiyas.recurrent.loading.own").save(self, path)

    # -- inside ------------------------------------------------------------------------------------

    def _input_shape(self, k: int) -> Shape:
        layer = self.nodes[self.inputs[k]].layer
        assert isinstance(layer, Input)
        return layer.shape

    def _called(self, parameter: str, k: int) -> str:
        return parameter if len(self.inputs) == 1 else f"{parameter}[{self.input_names[k]}]"

    def _signals(self, owner: str, x: Any, lengths: Any, mask: Any, empty: str) -> tuple[Signal, ...]:
        given = checks.several(owner, "x", x, self.input_names)
        all_lengths = checks.several(owner, "lengths", lengths, self.input_names, optional=True)
        all_masks = checks.several(owner, "mask", mask, self.input_names, optional=True)
        signals: list[Signal] = []
        for k, value in enumerate(given):
            array = checks.values(owner, self._called("x", k), value, (None, *self._input_shape(k)),
                                  1 if self._time[k] else None)
            signals.append(checks.signal(owner, array, self._time[k], all_lengths[k], all_masks[k], empty))
            if array.shape[0] != signals[0].values.shape[0]:
                raise InputError(message(owner, self._called("x", k),
                                         f"of batch {signals[0].values.shape[0]}, as the first input",
                                         f"batch {array.shape[0]}"))
        return tuple(signals)

    def _require_steps(self, owner: str) -> None:
        if self.whole is not None:
            raise InputError(f"{owner}: {self.whole.owner} needs all time steps at once; use predict on whole "
                             "sequences")

    @cached_property
    def _chain(self) -> Chain | None:
        return chain(self._graph)

    @property
    def _maker(self) -> object:
        """Whose states need no check."""
        return self._chain or self._graph

    @cached_property
    def _timed_outputs(self) -> tuple[bool, ...]:
        return tuple(len(shape) > 2 for shape in self.output_shapes())

    def _joined(self, parts: list[list[np.ndarray]]) -> Any:
        y = tuple(p[0] if len(p) == 1 else np.concatenate(p) for p in map(list, zip(*parts, strict=True)))
        return y[0] if len(y) == 1 else y

    def _synthetic(self) -> list[np.ndarray]:
        """Inputs that nobody has chosen: normal numbers, and ids in turn."""
        rng = np.random.default_rng(0)
        out = []
        for k in range(len(self.inputs)):
            sizes = [s if s is not None else _SYNTHETIC_STEPS for s in self._input_shape(k)]
            tables = [layer.table.shape[0] for layer in _tables(self, k)]
            shape = (_SYNTHETIC_ROWS, *sizes)
            out.append(rng.integers(min(1, min(tables) - 1), min(tables), shape) if tables
                       else rng.standard_normal(shape).astype(np.float32))
        return out if len(out) > 1 else out[0]  # type: ignore[return-value]


# Shapes that a model remembers to have checked.
_REMEMBERED = 1024
_SYNTHETIC_ROWS, _SYNTHETIC_STEPS = 8, 64


def _names(parameter: str, given: Sequence[str] | None, known: list[str]) -> tuple[str, ...]:
    names = tuple(known if given is None else given)
    if len(names) != len(known) or len(set(names)) != len(names):
        raise InputError(message("Model", parameter, f"{len(known)} different names", f"{names}"))
    return names


def _output_names(graph: Graph) -> list[str]:
    names: list[str] = []
    for i, k in graph.outputs:
        name = graph.names[i] if len(graph.shapes[i]) == 1 or k == 0 else f"{graph.names[i]}:{k}"
        names.append(name if name not in names else f"{name} ({len(names)})")
    return names


def _first_shape(layer: Layer) -> Shape:
    if isinstance(layer, Embedding):
        return (None,)
    if isinstance(layer, Recurrent):
        return (None, layer.features)
    if isinstance(layer, Bidirectional):
        return (None, layer.forward.features)
    if isinstance(layer, Dense):
        return (int(layer.weights.shape[1]),)
    raise InputError(message("Model.sequential", "input_shape", f"given, as {layer.owner} comes first", "None"))


def _tables(model: Model, k: int) -> Iterator[Embedding]:
    """The embeddings that look up input ``k``, those of layers and models within the model too."""
    for node in model.nodes:
        for place, source in enumerate(node.inputs):
            if source == (model.inputs[k], 0):
                layer = node.layer
                while isinstance(layer, TimeDistributed):
                    layer = layer.layer
                if isinstance(layer, Embedding):
                    yield layer
                inner = getattr(layer, "model", None)
                if isinstance(inner, Model) and place < len(inner.inputs):
                    yield from _tables(inner, place)


def _rows(signals: Sequence[Signal], start: int, stop: int) -> tuple[Signal, ...]:
    return tuple(Signal(s.values[start:stop], None if s.mask is None else s.mask[start:stop],
                        None if s.lengths is None else s.lengths[start:stop]) for s in signals)


def _difference(mine: Any, theirs: Any, sample: str) -> PrecisionError:
    a, b = ([np.asarray(v, np.float64).ravel() for v in (y if isinstance(y, tuple) else (y,))] for y in (mine, theirs))
    one, other = np.concatenate(a), np.concatenate(b)
    gap, size = np.abs(one - other), float(np.sqrt(np.mean(one * one)))
    return PrecisionError(float(gap.max()), float(gap.mean()),
                          float(np.sqrt(np.mean(gap * gap))) / size if size else 0.0, sample)
