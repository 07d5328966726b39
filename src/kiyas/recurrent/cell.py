"""One step of an LSTM, a GRU and a simple RNN, as the textbook writes it.

An LSTM reads the input x_t and its own last output h₍t−1₎, and decides with three gates what to forget, what to
write and what to show:

    f = σ(W_f·[h, x] + b_f)          forget gate: how much of each cell value stays        (n,)
    i = σ(W_i·[h, x] + b_i)          input gate: how much of the candidate is written      (n,)
    C̃ = tanh(W_C·[h, x] + b_C)       candidate                                             (n,)
    C = f ∗ C₍t−1₎ + i ∗ C̃           cell state: the memory, changed by addition           (n,)
    o = σ(W_o·[h, x] + b_o)          output gate: how much of the memory is shown          (n,)
    h = o ∗ tanh(C)                  hidden state: the output of the step                  (n,)

with n hidden units, m inputs and weights W of shape (n, n + m) over the concatenation [h₍t−1₎, x_t]. The options:

    peephole            i and f also see p ∗ C₍t−1₎, o sees p ∗ C                     Gers & Schmidhuber 2000
    projection          h = P·(o ∗ tanh(C)), so that h is shorter than C              Sak et al. 2014
    coupled             f = 1 − i                                                     ONNX `input_forget`
    clip                what goes into a gate is held in [−clip, clip]                ONNX `clip`, as ONNX Runtime
    layer_norm          see `LayerNorm`                                               Ba et al. 2016

The functions here are plain array code, for any array-API library. They are what the compiled cells are held against,
and they run the options that those lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self

from kiyas.arrays import Array, count, namespace
from kiyas.errors import InputError, message
from kiyas.recurrent.activations import Activation, find


class LSTMGates(NamedTuple):
    """Every intermediate value of one LSTM step, each (…, n); h is (…, p) with a projection."""

    f: Array
    i: Array
    C_tilde: Array
    C: Array
    o: Array
    h: Array


class GRUGates(NamedTuple):
    """Every intermediate value of one GRU step, each (…, n): update, reset, candidate, output."""

    z: Array
    r: Array
    h_tilde: Array
    h: Array


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Layer normalisation inside an LSTM, eqs. 20–22 of Ba et al. 2016 (arXiv 1607.06450).

    The products W_x·x and W_h·h are normalised over all 4n numbers, each with a scale of its own, and the bias is
    added after; the cell state is normalised on its way to the output, and kept as it is.

    Parameters: ``input_scale``, ``recurrent_scale`` (4n,) in the order i f c o; ``cell_scale``, ``cell_offset`` (n,);
    ``epsilon`` is added to the variance.
    """

    input_scale: Array
    recurrent_scale: Array
    cell_scale: Array
    cell_offset: Array
    epsilon: float = 1e-5

    def normalise(self, x: Array, scale: Array) -> Array:
        """(x − mean) / √(variance + ε) ∗ scale, over the last axis."""
        xp = namespace(x)
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        variance = xp.mean(centred * centred, axis=-1, keepdims=True)
        return centred / xp.sqrt(variance + self.epsilon) * scale


@dataclass(frozen=True, eq=False)
class LSTMEquations:
    """What turns the four pre-activations and the cell state into the next: the options of a cell."""

    recurrent_activation: Activation = field(default_factory=lambda: find("sigmoid"))
    activation: Activation = field(default_factory=lambda: find("tanh"))
    output_activation: Activation | None = None
    peephole: Array | None = None  # (3, n) in the order i f o
    coupled: bool = False
    clip: float | None = None
    layer_norm: LayerNorm | None = None

    def __call__(self, z_f: Array, z_i: Array, z_C: Array, z_o: Array, C_prev: Array) -> LSTMGates:
        """The gates for pre-activations (…, n) and the cell state before; h is not projected yet."""
        gate, shown = self.recurrent_activation, self.output_activation or self.activation
        i = gate(clipped(self._peeping(z_i, 0, C_prev), self.clip))
        f = 1 - i if self.coupled else gate(clipped(self._peeping(z_f, 1, C_prev), self.clip))
        C_tilde = self.activation(clipped(z_C, self.clip))
        C = f * C_prev + i * C_tilde
        o = gate(clipped(self._peeping(z_o, 2, C), self.clip))  # the output gate sees the new memory
        norm = self.layer_norm
        seen = C if norm is None else norm.normalise(C, norm.cell_scale) + norm.cell_offset
        return LSTMGates(f, i, C_tilde, C, o, o * shown(seen))

    def _peeping(self, z: Array, gate: int, C: Array) -> Array:
        return z if self.peephole is None else z + self.peephole[gate, :] * C


def clipped(z: Array, clip: float | None) -> Array:
    """The pre-activation held in [−clip, clip]; as it is for None."""
    if clip is None:
        return z
    xp = namespace(z)
    z = xp.where(z > clip, xp.full_like(z, clip), z)
    return xp.where(z < -clip, xp.full_like(z, -clip), z)


class _Cell:
    """Weights of a teaching cell: per-gate arrays W_· (n, p + m) over [h, x], and b_· (n,)."""

    gates: tuple[str, ...]
    extra: tuple[str, ...] = ()

    def __init__(self, input_dim: int, hidden_dim: int, weights: Mapping[str, Array], hidden_width: int | None = None
                 ) -> None:
        owner = type(self).__name__
        self.input_dim = count(input_dim, "input_dim", owner, 1, 2**31)
        self.hidden_dim = count(hidden_dim, "hidden_dim", owner, 1, 2**31)
        self._width = self.hidden_dim if hidden_width is None else hidden_width
        n, wide = self.hidden_dim, self._width + self.input_dim
        wanted = {f"W_{g}": (n, wide) for g in self.gates} | {f"b_{g}": (n,) for g in self.gates}
        optional = dict.fromkeys(self.extra, (n,))
        if not isinstance(weights, Mapping) or wanted.keys() - weights.keys() or \
                weights.keys() - wanted.keys() - optional.keys():
            found = ", ".join(weights) if isinstance(weights, Mapping) else type(weights).__name__
            raise InputError(message(owner, "weights", f"a mapping with {', '.join(wanted)}", found or "none"))
        self.weights = {k: _checked(owner, k, w, (wanted | optional)[k]) for k, w in weights.items()}
        self._alike(owner, self.weights)

    def _alike(self, owner: str, arrays: Mapping[str, Array]) -> None:
        """Refuse arrays of another library than the first weight: none computes with those of another."""
        known, first = next(iter(self.weights.items()))
        for name, array in arrays.items():
            if namespace(array) is not namespace(first):
                raise InputError(message(owner, name, f"an array of {_library(first)}, as the weight {known} is",
                                         f"one of {_library(array)}", "give all arrays in one library"))

    def _last(self, name: str, value: Any, size: int) -> Array:
        """What goes into a step, of shape (size,) or (batch, size), as an array of the library of the weights."""
        owner = f"{type(self).__name__}.step"
        value = value if hasattr(value, "shape") else namespace(*self.weights.values()).asarray(value)
        self._alike(owner, {name: value})
        if len(value.shape) not in (1, 2) or value.shape[-1] != size:
            raise InputError(message(owner, name, f"of shape ({size},) or (batch, {size})",
                                     f"shape {tuple(value.shape)}"))
        return value

    def _joined(self, x_t: Array, h_prev: Array) -> tuple[Any, Array]:
        owner = f"{type(self).__name__}.step"
        x_t, h_prev = self._last("x_t", x_t, self.input_dim), self._last("h_prev", h_prev, self._width)
        if x_t.shape[:-1] != h_prev.shape[:-1]:
            raise InputError(message(owner, "h_prev", f"of shape {(*x_t.shape[:-1], self._width)}, as x_t is "
                                     f"{tuple(x_t.shape)}", f"shape {tuple(h_prev.shape)}"))
        xp = namespace(x_t, h_prev)
        return xp, xp.concat([h_prev, x_t], axis=-1)

    def _z(self, xp: Any, v: Array, gate: str) -> Array:
        """W·v + b for v (…, p + m)."""
        W, b = self.weights[f"W_{gate}"], self.weights[f"b_{gate}"]
        return _product(xp, v, W) + b


class LSTMCell(_Cell):
    """An LSTM cell to look into: one step at a time, every gate on request.

    Parameters: ``input_dim`` m; ``hidden_dim`` n; ``weights``: W_f, W_i, W_C, W_o of shape (n, n + m) over [h, x], and
    b_f, b_i, b_C, b_o of shape (n,), arrays of any one array-API library. Options as in the module's head:
    ``recurrent_activation``, ``activation``, ``output_activation`` (names or `Activation` values), ``peephole`` (3, n)
    in the order i f o, ``projection`` (p, n) (the weights are then (n, p + m)), ``coupled``, ``clip``, ``layer_norm``.

    Raises `InputError` for missing weights, other shapes, unknown activations, and arrays of several libraries.

    >>> import numpy as np
    >>> zeros, one = np.zeros((1, 2)), np.ones(1)
    >>> cell = LSTMCell(1, 1, {"W_f": zeros, "W_i": zeros, "W_C": zeros, "W_o": zeros,
    ...                        "b_f": one, "b_i": 0 * one, "b_C": one, "b_o": one})
    >>> h, C = cell.step(np.array([3.0]), np.array([0.0]), np.array([0.2]))
    >>> h.round(4).tolist(), C.round(4).tolist()
    ([0.3532], [0.527])
    """

    gates = ("f", "i", "C", "o")

    def __init__(self, input_dim: int, hidden_dim: int, weights: Mapping[str, Array], *,
                 recurrent_activation: str | Activation = "sigmoid", activation: str | Activation = "tanh",
                 output_activation: str | Activation | None = None, peephole: Array | None = None,
                 projection: Array | None = None, coupled: bool = False, clip: float | None = None,
                 layer_norm: LayerNorm | None = None) -> None:
        width = hidden_dim if projection is None else int(projection.shape[0])
        super().__init__(input_dim, hidden_dim, weights, width)
        n = self.hidden_dim
        self.projection = None if projection is None else _checked("LSTMCell", "projection", projection, (width, n))
        self.equations = LSTMEquations(
            find(recurrent_activation, "LSTMCell", "recurrent_activation"), find(activation, "LSTMCell"),
            None if output_activation is None else find(output_activation, "LSTMCell", "output_activation"),
            None if peephole is None else _checked("LSTMCell", "peephole", peephole, (3, n)),
            coupled, checked_clip("LSTMCell", clip), layer_norm)
        options = {"projection": self.projection, "peephole": self.equations.peephole}
        if layer_norm is not None:
            options |= {f"layer_norm.{f.name}": getattr(layer_norm, f.name) for f in fields(layer_norm)
                        if f.name != "epsilon"}
        self._alike("LSTMCell", {name: array for name, array in options.items() if array is not None})

    def step(self, x_t: Array, h_prev: Array, C_prev: Array, explain: bool = False) -> tuple[Array, ...]:
        """One step: x_t (m,) or (batch, m), h_prev (n,) and C_prev (n,) or with a batch too -> (h_t, C_t).

        With ``explain`` a third value is given: `LSTMGates` f, i, C_tilde, C, o, h.
        """
        xp, v = self._joined(x_t, h_prev)
        C_prev = self._last("C_prev", C_prev, self.hidden_dim)
        norm = self.equations.layer_norm
        z = {g: self._z(xp, v, g) for g in self.gates} if norm is None else self._normalised(xp, v, norm)
        gates = self.equations(z["f"], z["i"], z["C"], z["o"], C_prev)
        if self.projection is not None:
            gates = gates._replace(h=_product(xp, gates.h, self.projection))
        return (gates.h, gates.C, gates) if explain else (gates.h, gates.C)

    def _normalised(self, xp: Any, v: Array, norm: LayerNorm) -> dict[str, Array]:
        order, p, n = ("i", "f", "C", "o"), self._width, self.hidden_dim
        W = xp.concat([self.weights[f"W_{g}"] for g in order], axis=0)
        from_h = norm.normalise(_product(xp, v[..., :p], W[:, :p]), norm.recurrent_scale)
        from_x = norm.normalise(_product(xp, v[..., p:], W[:, p:]), norm.input_scale)
        z = from_h + from_x
        return {g: z[..., k * n:(k + 1) * n] + self.weights[f"b_{g}"] for k, g in enumerate(order)}

    @classmethod
    def of(cls, layer: Any) -> Self:
        """The cell of an LSTM layer of a model, to look into its gates."""
        n, options = layer.units, {"peephole", "projection", "coupled", "clip", "layer_norm", "recurrent_activation",
                                   "activation", "output_activation"}
        xp = namespace(layer.input_weights)
        W = xp.concat([layer.recurrent_weights, layer.input_weights], axis=1)
        b = xp.zeros(4 * n, dtype=W.dtype) if layer.bias is None else layer.bias
        parts = {g: slice(k * n, (k + 1) * n) for k, g in enumerate(("i", "f", "C", "o"))}
        weights = {f"W_{g}": W[s, :] for g, s in parts.items()} | {f"b_{g}": b[s] for g, s in parts.items()}
        return cls(layer.input_weights.shape[1], n, weights, **{k: getattr(layer, k) for k in options})


class GRUCell(_Cell):
    """A GRU cell to look into (Cho et al. 2014; ``reset_after`` as cuDNN and Keras 2 have it).

        z = σ(W_z·[h, x] + b_z)                       update gate: how much of the old output stays
        r = σ(W_r·[h, x] + b_r)                       reset gate: how much of it the candidate sees
        h̃ = tanh(W_h·[r ∗ h, x] + b_h)                candidate
        h = z ∗ h₍t−1₎ + (1 − z) ∗ h̃

    With ``reset_after`` the reset is applied to the product: h̃ = tanh(W_hx·x + b_h + r ∗ (W_hh·h + b_hh)).

    Parameters: ``input_dim`` m; ``hidden_dim`` n; ``weights``: W_z, W_r, W_h of shape (n, n + m) over [h, x], b_z, b_r,
    b_h of shape (n,), and b_hh (n,), which only ``reset_after`` has.

    >>> import numpy as np
    >>> W, b = np.zeros((1, 2)), np.zeros(1)
    >>> cell = GRUCell(1, 1, {"W_z": W, "W_r": W, "W_h": W, "b_z": b, "b_r": b, "b_h": b + 1})
    >>> cell.step(np.array([3.0]), np.array([0.5]))[0].round(4).tolist()
    [0.6308]
    """

    gates = ("z", "r", "h")
    extra = ("b_hh",)

    def __init__(self, input_dim: int, hidden_dim: int, weights: Mapping[str, Array], *, reset_after: bool = False,
                 recurrent_activation: str | Activation = "sigmoid", activation: str | Activation = "tanh",
                 clip: float | None = None) -> None:
        super().__init__(input_dim, hidden_dim, weights)
        if "b_hh" in self.weights and not reset_after:
            raise InputError(message("GRUCell", "weights", "without b_hh, unless reset_after=True", "b_hh"))
        self.reset_after, self.clip = reset_after, checked_clip("GRUCell", clip)
        self.recurrent_activation = find(recurrent_activation, "GRUCell", "recurrent_activation")
        self.activation = find(activation, "GRUCell")

    def step(self, x_t: Array, h_prev: Array, explain: bool = False) -> tuple[Array, ...]:
        """One step: x_t (m,) or (batch, m), h_prev (n,) or (batch, n) -> (h_t,); with ``explain`` (h_t, `GRUGates`)."""
        xp, v = self._joined(x_t, h_prev)
        n, W = self.hidden_dim, self.weights["W_h"]
        z = self.recurrent_activation(clipped(self._z(xp, v, "z"), self.clip))
        r = self.recurrent_activation(clipped(self._z(xp, v, "r"), self.clip))
        h, x = v[..., :n], v[..., n:]
        from_x = _product(xp, x, W[:, n:]) + self.weights["b_h"]
        if self.reset_after:
            from_h = r * (_product(xp, h, W[:, :n]) + self.weights.get("b_hh", 0))
        else:
            from_h = _product(xp, r * h, W[:, :n])
        h_tilde = self.activation(clipped(from_x + from_h, self.clip))
        gates = GRUGates(z, r, h_tilde, gru_output(z, h_tilde, h))
        return (gates.h, gates) if explain else (gates.h,)


class RNNCell(_Cell):
    """A simple recurrent cell (Elman 1990): h = tanh(W_h·[h₍t−1₎, x] + b_h).

    Parameters: ``input_dim`` m; ``hidden_dim`` n; ``weights``: W_h (n, n + m) over [h, x] and b_h (n,).

    >>> import numpy as np
    >>> cell = RNNCell(1, 1, {"W_h": np.array([[0.5, 1.0]]), "b_h": np.zeros(1)})
    >>> cell.step(np.array([1.0]), np.array([0.0]))[0].round(4).tolist()
    [0.7616]
    """

    gates = ("h",)

    def __init__(self, input_dim: int, hidden_dim: int, weights: Mapping[str, Array], *,
                 activation: str | Activation = "tanh", clip: float | None = None) -> None:
        super().__init__(input_dim, hidden_dim, weights)
        self.activation, self.clip = find(activation, "RNNCell"), checked_clip("RNNCell", clip)

    def step(self, x_t: Array, h_prev: Array) -> tuple[Array, ...]:
        """One step: x_t (m,) or (batch, m), h_prev (n,) or (batch, n) -> (h_t,)."""
        xp, v = self._joined(x_t, h_prev)
        return (self.activation(clipped(self._z(xp, v, "h"), self.clip)),)


def gru_output(z: Array, h_tilde: Array, h: Array) -> Array:
    """H = z ∗ h₍t−1₎ + (1 − z) ∗ h̃."""
    return z * h + (1 - z) * h_tilde


def checked_clip(owner: str, clip: float | None) -> float | None:
    """The bound of the pre-activations, a number above 0, or None."""
    if clip is not None and (isinstance(clip, bool) or not clip > 0):
        raise InputError(message(owner, "clip", "a number above 0, or None", repr(clip)))
    return None if clip is None else float(clip)


def _product(xp: Any, v: Array, W: Array) -> Array:
    """W·v for v (…, k) and W (n, k)."""
    return xp.matmul(v, xp.matrix_transpose(W))


def _checked(owner: str, name: str, value: Array, shape: tuple[int, ...]) -> Array:
    value = value if hasattr(value, "shape") else namespace(value).asarray(value)
    if tuple(value.shape) != shape:
        raise InputError(message(owner, name, f"of shape {shape}", f"shape {tuple(value.shape)}"))
    return value


def _library(array: Array) -> str:
    return type(array).__module__.partition(".")[0]
