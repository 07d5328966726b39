"""Cells of recurrent layers, dense products and activations, in one order of summation.

A sum over inputs starts at the bias and has one order whatever the batch, the number of time steps or the number of
threads, so that step by step, whole sequences and batches agree bit for bit. Weights are canonical (docs/design.md):
float32, rows are outputs, gates i f c o (LSTM) and z r h (GRU); they are packed once, when a kernel is made, for the
instruction level in use. Kernels know nothing of layers.

Precisions: ``float32``; ``bfloat16``, weights rounded to 16 bits, everything else as in float32; ``int8``, weights in
steps of a row's largest ÷ 127 and inputs of a product likewise, each row by itself, sums of products exact.
docs/recurrent-speed.md has what that costs and gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kiyas.errors import InputError, message
from kiyas.kernels import _native, level

if TYPE_CHECKING:
    from kiyas.kernels.argmax import Argmax

PRECISIONS = ("float32", "bfloat16", "int8")
# Inputs whose 8-bit products, 127 · 127 each, add up within 32 bits.
MOST_CODED = 130_000
# Activations of the compiled code and their parameters; the order is that of `Activation` in native/recurrent.h, where
# hard_sigmoid_fifth is hard_sigmoid with other numbers.
ACTIVATIONS: dict[str, dict[str, float]] = {
    "linear": {}, "sigmoid": {}, "tanh": {}, "relu": {}, "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5}, "softsign": {},
    "elu": {"alpha": 1.0}, "selu": {}, "exponential": {}, "swish": {}, "relu6": {}, "leaky_relu": {"alpha": 0.2},
    "softplus": {}, "gelu": {}, "gelu_tanh": {}, "mish": {}, "hard_sigmoid_fifth": {"alpha": 0.2, "beta": 0.5},
}
_NUMBERS = {name: number for number, name in enumerate(ACTIVATIONS)} | {"hard_sigmoid_fifth": 4}
# A table of what every id adds to the gates may take this many bytes; beyond, ids are looked up in the embedding.
TABLE_BYTES = 1 << 28
# Floats of the longest vectors of any level. The compiled code pads the units of a gate to whole vectors (those of a
# simple cell to four); what a table takes is counted for the longest, so that every level decides alike.
_LONGEST = 16
# A name, a name with its parameters, or any object with `name` and `parameters`.
Named = Any
State = tuple[np.ndarray, ...]


class Found(NamedTuple):
    """What `find` answers: a kernel, or None and the reason."""

    kernel: Any | None
    reason: str


# ---- activations ----------------------------------------------------------------------------------------------------


def _act(activation: Named, owner: str, parameter: str) -> np.ndarray:
    """Number, alpha and beta, as the compiled code takes them."""
    if isinstance(activation, str):
        name, given = activation, {}
    elif isinstance(activation, tuple):
        name, given = activation[0], dict(activation[1])
    else:
        name, given = activation.name, dict(activation.parameters)
    if name not in ACTIVATIONS:
        raise InputError(message(owner, parameter, f"one of {', '.join(ACTIVATIONS)}", repr(name)))
    known = ACTIVATIONS[name]
    if unknown := sorted(given.keys() - known.keys()):
        raise InputError(message(owner, parameter, f"{name} with {', '.join(known) or 'no parameters'}",
                                 ", ".join(unknown)))
    values = {**known, **given}
    return np.array([_NUMBERS[name], values.get("alpha", 0.0), values.get("beta", 0.0)], np.float32)


def activate(activation: Named, x: np.ndarray, out: np.ndarray | None = None, **parameters: float) -> np.ndarray:
    """An activation, elementwise; what it gives for a number does not depend on where the number stands.

    Parameters: ``activation``: a name of `ACTIVATIONS`, with ``parameters`` where it takes them, or an object with
    ``name`` and ``parameters``; ``x``: any shape, taken as float32; ``out``: a float32 array of that shape to write to.

    >>> activate("hard_sigmoid", np.array([-4, 0, 1.5], np.float32)).tolist()
    [0.0, 0.5, 0.75]
    """
    act = _act((activation, parameters) if isinstance(activation, str) else activation, "activate", "activation")
    x = np.ascontiguousarray(x, np.float32).reshape(np.shape(x))
    y = _writable(out, x.shape, "activate")
    _native.activate(level(), act, x.reshape(-1), y.reshape(-1))
    return y


def softmax(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Softmax over the last axis; each row by itself.

    >>> softmax(np.zeros((1, 4), np.float32)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    x = np.ascontiguousarray(x, np.float32)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise InputError(message("softmax", "x", "of at least one number along the last axis", f"shape {x.shape}"))
    y = _writable(out, x.shape, "softmax")
    _native.softmax(level(), x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]))
    return y


def all_finite(x: np.ndarray) -> bool:
    """Whether x, a contiguous float32 array, has neither NaN nor infinity. False for other arrays.

    >>> all_finite(np.ones(3, np.float32)), all_finite(np.array([1, np.inf], np.float32))
    (True, False)
    """
    return bool(_native.all_finite(level(), x))


def _writable(out: np.ndarray | None, shape: tuple[int, ...], owner: str) -> np.ndarray:
    if out is None:
        return np.empty(shape, np.float32)
    flags = out.flags
    if out.dtype != np.float32 or out.shape != shape or not (flags.c_contiguous and flags.aligned and flags.writeable):
        raise InputError(message(owner, "out", f"a writable contiguous float32 array of shape {shape}",
                                 f"{out.dtype} of shape {out.shape}{'' if flags.aligned else ', not aligned'}"))
    return out


# ---- what is given --------------------------------------------------------------------------------------------------


def _weights(value: Any, owner: str, name: str, rows: int | None = None, columns: int | None = None) -> np.ndarray:
    w = np.ascontiguousarray(value, np.float32)
    wanted = f"of shape ({rows or 'outputs'}, {columns or 'inputs'})"
    if w.ndim != 2 or 0 in w.shape or (rows or w.shape[0]) != w.shape[0] or (columns or w.shape[1]) != w.shape[1]:
        raise InputError(message(owner, name, wanted, f"shape {w.shape}"))
    return w


def _bias(value: Any, owner: str, name: str, rows: int) -> np.ndarray | None:
    if value is None:
        return None
    b = np.ascontiguousarray(value, np.float32)
    if b.shape != (rows,):
        raise InputError(message(owner, name, f"of shape ({rows},)", f"shape {b.shape}"))
    return b


def _precision(value: str, owner: str, *inputs: int) -> int:
    if value not in PRECISIONS:
        raise InputError(message(owner, "precision", f"one of {', '.join(PRECISIONS)}", repr(value)))
    if value == "int8" and max(inputs) > MOST_CODED:
        raise InputError(message(owner, "precision", f"float32 or bfloat16 for more than {MOST_CODED} inputs", "int8"))
    return PRECISIONS.index(value)


def _floats(x: Any, shape: tuple[int | None, ...], names: str, owner: str, name: str = "x") -> np.ndarray:
    found = np.asarray(x)
    if found.dtype.kind not in "fiub":
        raise InputError(message(owner, name, f"numbers of shape {names}", f"dtype {found.dtype}"))
    if found.ndim != len(shape) or any(a is not None and a != b for a, b in zip(shape, found.shape, strict=True)):
        raise InputError(message(owner, name, f"of shape {names}", f"shape {found.shape}"))
    return _plain(found, np.float32)


def _plain(x: Any, dtype: type) -> np.ndarray:
    """As compiled code reads it: contiguous, aligned, in the machine's own order of bytes."""
    return np.require(x, dtype, ["C", "A"])


def _ids(x: Any, dims: int, names: str, vocabulary: int, owner: str) -> np.ndarray:
    found = np.asarray(x)
    if found.dtype.kind not in "iu":
        raise InputError(message(owner, "x", f"ids (integers) of shape {names}, as there is an embedding",
                                 f"dtype {found.dtype}"))
    if found.ndim != dims:
        raise InputError(message(owner, "x", f"of shape {names}", f"shape {found.shape}"))
    if found.size and (found.min() < 0 or found.max() >= vocabulary):
        wrong = found[(found < 0) | (found >= vocabulary)].flat[0]
        raise InputError(message(owner, "x", f"ids from 0 to {vocabulary - 1}", f"{wrong}"))
    return _plain(found, np.int64)


def _refused(owner: str) -> InputError:
    """Compiled code does not take what was found to be right: a wrong answer is what must not follow."""
    return InputError(f"{owner}: compiled code cannot read these arrays")


def _threads(threads: int, owner: str) -> int:
    if not isinstance(threads, (int, np.integer)) or isinstance(threads, bool) or not 1 <= threads <= 256:
        raise InputError(message(owner, "threads", "an integer from 1 to 256", repr(threads)))
    return int(threads)


# ---- products -------------------------------------------------------------------------------------------------------


class Linear:
    """x·Wᵀ + b with one order of summation an output, whatever the number of rows.

    Parameters: ``weights`` (outputs, inputs); ``bias`` (outputs,) or None; ``precision``: how weights are stored.

    >>> Linear(np.array([[1, 2], [3, 4]], np.float32), np.ones(2, np.float32))(np.ones((1, 2), np.float32)).tolist()
    [[4.0, 8.0]]
    """

    def __init__(self, weights: np.ndarray, bias: np.ndarray | None = None, precision: str = "float32") -> None:
        w = _weights(weights, "Linear", "weights")
        self.outputs, self.inputs = w.shape
        self.precision = precision
        self._native = _native.Dense(level(), w, _bias(bias, "Linear", "bias", self.outputs),
                                     _precision(precision, "Linear", self.inputs))
        self._call = self._native.call

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weights."""
        return int(self._native.bytes)

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """X (rows, inputs) -> (rows, outputs), written to ``out`` where given."""
        y: np.ndarray | None = self._call(x, out, 1) if threads == 1 else None
        return self._carefully(x, out, threads) if y is None else y

    def _carefully(self, x: Any, out: np.ndarray | None, threads: int) -> np.ndarray:
        x = _floats(x, (None, self.inputs), f"(rows, {self.inputs})", "Linear")
        y = _writable(out, (x.shape[0], self.outputs), "Linear")
        if self._call(x, y, _threads(threads, "Linear")) is None:
            raise _refused("Linear")
        return y


# ---- cells ----------------------------------------------------------------------------------------------------------


class _Cell:
    """What the cells share: checks, single steps, sequences."""

    _KIND = 0
    _GATES = 1
    states = 1

    def __init__(self, input_weights: Any, recurrent_weights: Any, bias: Any, recurrent_bias: Any,
                 acts: Sequence[Named], precision: str, embedding: Any, kind: int | None = None) -> None:
        self._owner = owner = type(self).__name__
        r = _weights(recurrent_weights, owner, "recurrent_weights")
        self.units = r.shape[1]
        rows = self._GATES * self.units
        r = _weights(r, owner, "recurrent_weights", rows, self.units)
        w = _weights(input_weights, owner, "input_weights", rows)
        self.inputs = w.shape[1]
        self.precision = precision
        number = _precision(precision, owner, self.inputs, self.units)
        gate, candidate, output = (_act(a, owner, name) for a, name in
                                   zip(acts, ("recurrent_activation", "activation", "output_activation"), strict=True))
        self._native = _native.RecurrentCell(level(), self._KIND if kind is None else kind, w, r,
                                             _bias(bias, owner, "bias", rows), recurrent_bias, gate, candidate, output,
                                             number)
        self.vocabulary = 0
        self._embedding: np.ndarray | None = None  # only where its table would be too large
        if embedding is not None:
            table = _weights(embedding, owner, "embedding", None, self.inputs)
            self.vocabulary = table.shape[0]
            vectors = 4 * _LONGEST if self._GATES == 1 else _LONGEST
            padded = self._GATES * -(-self.units // vectors) * vectors
            if self.vocabulary * padded * 4 <= TABLE_BYTES:
                self._native.embed(table)
            else:
                self._embedding = table
        self._looks_up = self._embedding is not None
        self._step, self._sequence = self._native.step, self._native.sequence

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weights and of the table of an embedding."""
        return int(self._native.bytes)

    def zeros(self, batch: int) -> State:
        """A state of zeros: arrays (batch, units)."""
        return tuple(np.zeros((batch, self.units), np.float32) for _ in range(self.states))

    def step(self, x: np.ndarray, state: State | None = None, out: State | None = None) -> tuple[np.ndarray, State]:
        """One step: x (batch, inputs) or ids (batch,) -> (y, state), y (batch, units) being the state's first array.

        ``state``: a tuple of arrays (batch, units), None for zeros; it is not changed. ``out``: a tuple of such arrays
        to write the new state to; they may be those of ``state``.
        """
        found: tuple[np.ndarray, State] | None = None if self._looks_up else self._step(x, state, out)
        return self._step_carefully(x, state, out) if found is None else found

    def _step_carefully(self, x: Any, state: Any, out: Any) -> tuple[np.ndarray, State]:
        x = self._input(x, 1)
        now = self._state(state, x.shape[0])
        into = None if out is None else tuple(_writable(o, now[0].shape, self._owner) for o in out)
        if into is not None and len(into) != self.states:
            raise InputError(message(self._owner, "out", f"{self.states} arrays", f"{len(into)}"))
        found: tuple[np.ndarray, State] | None = self._step(x, now, into)
        if found is None:
            raise _refused(self._owner)
        return found

    def sequence(self, x: np.ndarray, state: State | None = None, *, lengths: Any = None, mask: Any = None,
                 zero_masked: bool = False, reverse: bool = False, threads: int = 1,
                 out: np.ndarray | None = None) -> tuple[np.ndarray, State]:
        """A sequence: x (batch, time, inputs) or ids (batch, time) -> y (batch, time, units), state at the end.

        ``lengths`` (batch,): y is zero from there on, the state is that at the row's end, and ``reverse`` starts there.
        ``mask`` (batch, time): a step whose mask is False keeps the state and repeats the output before it (in order of
        processing; zeros before the first), or gives zeros with ``zero_masked``. ``reverse`` runs from the end; y stays
        in order of time. A row without steps keeps its state. ``threads``: rows are shared between them; large cells
        share the units of few rows. ``out``: an array for y, written while x is read: it may not overlap x.
        """
        if lengths is None and mask is None and not reverse:
            found = self._whole(x, state, True, out, threads)
            if found is not None:
                return found
        x = self._input(x, 2)
        y = _writable(out, (*x.shape[:2], self.units), self._owner)
        return y, self._run(x, state, y, None, lengths, mask, zero_masked, reverse, threads)

    def last(self, x: np.ndarray, state: State | None = None, *, lengths: Any = None, mask: Any = None,
             reverse: bool = False, threads: int = 1) -> tuple[np.ndarray, State]:
        """As `sequence`, but y (batch, units) is the output of the last step taken; zeros where there was none."""
        if lengths is None and mask is None and not reverse:
            found = self._whole(x, state, False, None, threads)
            if found is not None:
                return found
        x = self._input(x, 2)
        if lengths is None and mask is None and x.shape[1]:
            new = self._run(x, state, None, None, None, None, False, reverse, threads)
            return new[0], new
        y = np.empty((x.shape[0], self.units), np.float32)
        return y, self._run(x, state, None, y, lengths, mask, False, reverse, threads)

    def _whole(self, x: Any, state: Any, every: bool, out: Any, threads: Any) -> tuple[np.ndarray, State] | None:
        """Sequences of one length in one compiled call, or None where something is not plainly right."""
        if self._looks_up or type(threads) is not int or not 1 <= threads <= 256:
            return None
        found: tuple[np.ndarray, State] | None = self._sequence(x, state, every, out, threads)
        return found

    def _run(self, x: np.ndarray, state: Any, y: np.ndarray | None, last: np.ndarray | None, lengths: Any, mask: Any,
             zero_masked: bool, reverse: bool, threads: int) -> State:
        batch, time = x.shape[:2]
        if lengths is not None:
            lengths = np.asarray(lengths)
            if lengths.shape != (batch,) or lengths.dtype.kind not in "iu" or np.any((lengths < 0) | (lengths > time)):
                raise InputError(message(self._owner, "lengths", f"{batch} integers from 0 to {time}", repr(lengths)))
            lengths = np.ascontiguousarray(lengths, np.int64)
        if mask is not None:
            mask = np.ascontiguousarray(mask, bool)
            if mask.shape != (batch, time):
                raise InputError(message(self._owner, "mask", f"of shape ({batch}, {time})", f"shape {mask.shape}"))
        given = self._state(state, batch)
        new: State = given if state is None else tuple(s.copy() for s in given)
        ids = x.ndim == 2
        self._native.run(None if ids else x, x if ids else None, batch, time, new[0], new[1] if len(new) > 1 else None,
                         y, last, lengths, mask, bool(zero_masked), bool(reverse), _threads(threads, self._owner))
        return new

    def _input(self, x: Any, dims: int) -> np.ndarray:
        """X of `dims` dimensions before the features, checked: floats, or ids where there is a table of them."""
        axes = "(batch, time" if dims == 2 else "(batch"
        if not self.vocabulary:
            return _floats(x, (None,) * dims + (self.inputs,), f"{axes}, {self.inputs})", self._owner)
        ids = _ids(x, dims, axes + (")" if dims == 2 else ",)"), self.vocabulary, self._owner)
        return ids if self._embedding is None else self._embedding[ids]

    def _state(self, state: Any, batch: int) -> State:
        if state is None:
            return self.zeros(batch)
        now: State = tuple(_plain(s, np.float32) for s in state)
        if len(now) != self.states or any(s.shape != (batch, self.units) for s in now):
            raise InputError(message(self._owner, "state", f"{self.states} arrays of shape ({batch}, {self.units})",
                                     f"shapes {', '.join(str(s.shape) for s in now)}"))
        return now


class LSTMKernel(_Cell):
    """LSTM: gates i f c o; c = f·c + i·c̃, h = o·output_activation(c). State (h, c).

    Parameters: ``input_weights`` (4n, m), ``recurrent_weights`` (4n, n), ``bias`` (4n,) or None; activations by name,
    ``output_activation`` None for ``activation``; ``precision``; ``embedding`` (V, m): inputs are ids then.

    >>> kernel = LSTMKernel(np.ones((4, 1), np.float32), np.ones((4, 1), np.float32))
    >>> y, (h, c) = kernel.step(np.zeros((1, 1), np.float32), kernel.zeros(1))
    >>> y.shape, float(y[0, 0])
    ((1, 1), 0.0)
    """

    _KIND, _GATES, states = 0, 4, 2

    def __init__(self, input_weights: Any, recurrent_weights: Any, bias: Any = None,
                 recurrent_activation: Named = "sigmoid", activation: Named = "tanh",
                 output_activation: Named | None = None, precision: str = "float32", embedding: Any = None) -> None:
        output = activation if output_activation is None else output_activation
        super().__init__(input_weights, recurrent_weights, bias, None, (recurrent_activation, activation, output),
                         precision, embedding)


class GRUKernel(_Cell):
    """GRU: gates z r h; h = z·h + (1 − z)·h̃, the reset applied before or after the product. State (h,).

    Parameters as for `LSTMKernel`, with 3n rows; ``recurrent_bias`` (3n,) with ``reset_after`` only.
    """

    _KIND, _GATES, states = 2, 3, 1

    def __init__(self, input_weights: Any, recurrent_weights: Any, bias: Any = None, recurrent_bias: Any = None,
                 reset_after: bool = False, recurrent_activation: Named = "sigmoid", activation: Named = "tanh",
                 precision: str = "float32", embedding: Any = None) -> None:
        self.reset_after = reset_after
        if recurrent_bias is not None:
            if not reset_after:
                raise InputError(message("GRUKernel", "recurrent_bias", "None where the reset is applied before",
                                         "given"))
            n = np.shape(recurrent_weights)[-1]
            recurrent_bias = _bias(recurrent_bias, "GRUKernel", "recurrent_bias", 3 * n)
            bias = _bias(np.zeros(3 * n) if bias is None else bias, "GRUKernel", "bias", 3 * n)
            # Update and reset gate add both biases; the candidate's stands apart, with its product.
            gates = bias[: 2 * n].astype(np.float64) + recurrent_bias[: 2 * n]
            bias = np.concatenate([gates.astype(np.float32), bias[2 * n :]])
        super().__init__(input_weights, recurrent_weights, bias, recurrent_bias,
                         (recurrent_activation, activation, activation), precision, embedding, 1 if reset_after else 2)


class RNNKernel(_Cell):
    """SimpleRNN: h = activation(x·Wᵀ + h·Rᵀ + b). State (h,). Parameters as for `LSTMKernel`, with n rows."""

    _KIND, _GATES, states = 3, 1, 1

    def __init__(self, input_weights: Any, recurrent_weights: Any, bias: Any = None, activation: Named = "tanh",
                 precision: str = "float32", embedding: Any = None) -> None:
        super().__init__(input_weights, recurrent_weights, bias, None, (activation,) * 3, precision, embedding)


# What a layer may have and no kernel computes: the values that mean absent, and its name for people.
_LACKING = {
    "peephole": "peephole", "projection": "projection", "coupled": "coupled gates", "clip": "clip",
    "layer_norm": "layer normalization",
}


def find(layer: Any, precision: str = "float32", embedding: np.ndarray | None = None) -> Found:
    """The kernel for a recurrent layer (an object with the fields of docs/design.md), or None with the reason."""
    kind = type(layer).__name__
    if kind not in ("LSTM", "GRU", "SimpleRNN"):
        return Found(None, f"no kernel for {kind}")
    for field, name in _LACKING.items():
        value = getattr(layer, field, None)
        if value is not None and value is not False:
            return Found(None, f"{name}: not in the compiled cell")
    for field in ("activation", "recurrent_activation", "output_activation"):
        value = getattr(layer, field, None)
        called = value if isinstance(value, str) or value is None else value.name
        if called is not None and called not in ACTIVATIONS:
            return Found(None, f"{field} {called}: not in the compiled cell")
    given = (layer.input_weights, layer.recurrent_weights, layer.bias)
    if kind == "LSTM":
        return Found(LSTMKernel(*given, layer.recurrent_activation, layer.activation, layer.output_activation,
                                precision, embedding), "")
    if kind == "GRU":
        return Found(GRUKernel(*given, layer.recurrent_bias, layer.reset_after, layer.recurrent_activation,
                               layer.activation, precision, embedding), "")
    return Found(RNNKernel(*given, layer.activation, precision, embedding), "")


# ---- steps ----------------------------------------------------------------------------------------------------------


class Stepper:
    """Cells one after another with their state kept between steps; `step` costs little more than the arithmetic.

    Parameters: ``kernels``: the first takes the input, each further one the output of the one before; ``batch``: rows;
    ``head``: a `Linear` after the last cell; ``activation``: of the output, ``"softmax"`` or a name of `ACTIVATIONS`.

    >>> kernel = RNNKernel(np.ones((2, 1), np.float32), np.eye(2, dtype=np.float32))
    >>> stepper = Stepper([kernel])
    >>> stepper.step(np.zeros((1, 1), np.float32)).tolist()
    [[0.0, 0.0]]
    """

    def __init__(self, kernels: Sequence[Any], batch: int = 1, head: Linear | None = None,
                 activation: Named = "linear") -> None:
        self.kernels, self.batch = list(kernels), int(batch)
        if not self.kernels or self.batch < 1:
            raise InputError(message("Stepper", "kernels", "one at least, and a batch of at least 1",
                                     f"{len(self.kernels)} and batch {batch}"))
        width = self.kernels[0].units
        for k in self.kernels[1:]:
            if k.vocabulary or k.inputs != width:
                raise InputError(message("Stepper", "kernels", f"such that each takes the {width} outputs of the one "
                                         "before", f"{'ids' if k.vocabulary else k.inputs}"))
            width = k.units
        if head is not None and head.inputs != width:
            raise InputError(message("Stepper", "head", f"of {width} inputs", f"{head.inputs}"))
        self._states: list[State] = [k.zeros(self.batch) for k in self.kernels]
        self._outputs = width if head is None else head.outputs
        soft = activation == "softmax"
        act = _act("linear" if soft else activation, "Stepper", "activation")
        self._native = _native.Stepper(level(), [k._native for k in self.kernels], [s[0] for s in self._states],
                                       [s[1] if len(s) > 1 else None for s in self._states],
                                       None if head is None else head._native, soft, act, self.batch)
        self._step, self._step_argmax = self._native.step, self._native.step_argmax

    def reset(self) -> None:
        """Begin anew: the state is zero."""
        for state in self._states:
            for s in state:
                s[...] = 0

    @property
    def state(self) -> list[State]:
        """The state of each cell, a copy; assign to set it."""
        return [tuple(s.copy() for s in state) for state in self._states]

    @state.setter
    def state(self, value: Sequence[State]) -> None:
        if len(value) != len(self.kernels):
            raise InputError(message("Stepper", "state", f"of {len(self.kernels)} cells", f"{len(value)}"))
        checked = [k._state(state, self.batch) for k, state in zip(self.kernels, value, strict=True)]
        for mine, theirs in zip(self._states, checked, strict=True):
            for a, b in zip(mine, theirs, strict=True):
                a[...] = b

    def step(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """X (batch, inputs), or ids (batch,) (a plain integer where batch is 1) -> y (batch, outputs).

        Raises `InputError` for NaN or infinity in x.
        """
        y: np.ndarray | None = self._step(x, out)
        return self._carefully(x, out) if y is None else y

    def step_argmax(self, x: Any, argmax: Argmax) -> tuple[int | None, np.ndarray]:
        """A step of one row: what ``argmax``, of the head, finds for what it is given, and that, (1, units).

        x: as `step` takes it, an array of the right kind and in range; raises `InputError` for any other.
        """
        found: int | None = self._step_argmax(x, argmax._native)
        if found is None:
            if argmax.inputs != (width := self.kernels[-1].units):
                raise InputError(message("Stepper", "argmax", f"of {width} inputs", f"{argmax.inputs}"))
            raise InputError(message("Stepper", "x", "one row, of the right kind and in range", f"{x!r}"))
        return None if found < 0 else found, self._states[-1][0].copy()

    def _carefully(self, x: Any, out: np.ndarray | None) -> np.ndarray:
        first = self.kernels[0]
        if first.vocabulary and np.ndim(x) == 0:
            x = np.full(self.batch, x)
        x = first._input(x, 1)
        if x.shape[0] != self.batch:
            raise InputError(message("Stepper", "x", f"of batch {self.batch}", f"{x.shape[0]}"))
        if x.dtype == np.float32 and not all_finite(x):
            raise InputError(message("Stepper", "x", "finite", "NaN or infinity"))
        y = _writable(out, (self.batch, self._outputs), "Stepper")
        if self._step(x, y) is None:
            raise _refused("Stepper")
        return y
