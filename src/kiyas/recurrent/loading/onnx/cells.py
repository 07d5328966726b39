"""LSTM, GRU and RNN nodes as layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kiyas.errors import FileError
from kiyas.recurrent.activations import Activation, find
from kiyas.recurrent.layers import GRU, LSTM, Backward, Bidirectional, SimpleRNN
from kiyas.recurrent.layers.base import Layer
from kiyas.recurrent.loading import gates
from kiyas.recurrent.loading.made import made

# ONNX's name: ours, and the parameters that it takes with their defaults, alpha before beta.
_ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "sigmoid": ("sigmoid", {}), "tanh": ("tanh", {}), "relu": ("relu", {}), "softsign": ("softsign", {}),
    "softplus": ("softplus", {}), "elu": ("elu", {"alpha": 1.0}), "leakyrelu": ("leaky_relu", {"alpha": 0.01}),
    "thresholdedrelu": ("thresholded_relu", {"alpha": 1.0}), "scaledtanh": ("scaled_tanh", {"alpha": 1.0, "beta": 1.0}),
    "hardsigmoid": ("hard_sigmoid_fifth", {"alpha": 0.2, "beta": 0.5}),
    "affine": ("affine", {"alpha": 1.0, "beta": 0.0}),
}
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_KNOWN = {"hidden_size", "direction", "activations", "activation_alpha", "activation_beta", "clip", "input_forget",
          "layout", "linear_before_reset"}


def layer_of(kind: str, name: str, attributes: Mapping[str, Any], weights: list[np.ndarray | None], where: str,
             sequences: bool, states: bool) -> Layer:
    """The layer of a node: ``weights`` are its W, R, B and P, the last two None where it has none."""
    w, r, b, p = weights
    if unknown := sorted(attributes.keys() - _KNOWN):
        raise FileError(f"{where}: {kind} '{name}' has the attributes {', '.join(unknown)}, which are not known")
    direction = attributes.get("direction", "forward")
    ways = 2 if direction == "bidirectional" else 1
    if direction not in ("forward", "reverse", "bidirectional"):
        raise FileError(f"{where}: {kind} '{name}' has the direction {direction!r:.30}")
    assert w is not None and r is not None
    _check(kind, name, where, w, r, b, p, ways)
    if (stated := attributes.get("hidden_size", r.shape[2])) != r.shape[2]:
        raise FileError(f"{where}: {kind} '{name}' has a hidden_size of {stated!r:.30}, but its R is for {r.shape[2]}")
    acts = _activations(kind, name, attributes, ways, where)
    made_ = []
    for way in range(ways):
        inner = name if ways == 1 and direction == "forward" else f"{name}.{('forward', 'backward')[way]}"
        one = _one(kind, inner, attributes, where)(
            w[way], r[way], None if b is None else b[way], None if p is None else p[way],
            acts[way * len(acts) // ways:(way + 1) * len(acts) // ways], sequences, states)
        made_.append(one)
    if ways == 2:
        return made(where, Bidirectional, name, *made_, return_sequences=sequences, return_state=states)
    return made(where, Backward, name, made_[0]) if direction == "reverse" else made_[0]


def _check(kind: str, name: str, where: str, w: np.ndarray, r: np.ndarray, b: np.ndarray | None, p: np.ndarray | None,
           ways: int) -> None:
    rows = r.shape[1] if r.ndim == 3 else 0
    units = rows // _GATES[kind]
    wanted = {"W": (w, (ways, rows, w.shape[-1])), "R": (r, (ways, rows, units)), "B": (b, (ways, 2 * rows)),
              "P": (p, (ways, 3 * units))}
    for letter, (array, shape) in wanted.items():
        if array is not None and (array.shape != shape or 0 in shape or array.dtype.kind != "f"):
            raise FileError(f"{where}: the {letter} of {kind} '{name}' must be floats of shape {shape}, it is "
                            f"{array.dtype} of shape {array.shape}")


def _one(kind: str, name: str, attributes: Mapping[str, Any], where: str) -> Callable[..., Any]:
    """What makes one direction of W, R, B, P, activations, sequences, states."""
    clip = attributes.get("clip")
    clip = float(clip) if clip else None

    def lstm(w: Any, r: Any, b: Any, p: Any, acts: list[Activation], sequences: bool, states: bool) -> LSTM:
        found = gates.onnx_lstm(w, r, b, p)
        return made(where, LSTM, name, found.input_weights, found.recurrent_weights, found.bias,
                    recurrent_activation=acts[0], activation=acts[1], output_activation=acts[2],
                    peephole=found.peephole, clip=clip, coupled=bool(attributes.get("input_forget", 0)),
                    return_sequences=sequences, return_state=states)

    def gru(w: Any, r: Any, b: Any, _: Any, acts: list[Activation], sequences: bool, states: bool) -> GRU:
        after = bool(attributes.get("linear_before_reset", 0))
        found = gates.onnx_gru(w, r, b, after)
        return made(where, GRU, name, found.input_weights, found.recurrent_weights, found.bias,
                    recurrent_bias=found.recurrent_bias, reset_after=after, recurrent_activation=acts[0],
                    activation=acts[1], clip=clip, return_sequences=sequences, return_state=states)

    def rnn(w: Any, r: Any, b: Any, _: Any, acts: list[Activation], sequences: bool, states: bool) -> SimpleRNN:
        found = gates.onnx_rnn(w, r, b)
        return made(where, SimpleRNN, name, found.input_weights, found.recurrent_weights, found.bias,
                    activation=acts[0], clip=clip, return_sequences=sequences, return_state=states)

    return {"LSTM": lstm, "GRU": gru, "RNN": rnn}[kind]


def _activations(kind: str, name: str, attributes: Mapping[str, Any], ways: int, where: str) -> list[Activation]:
    """All activations of a node; alphas and betas go, in order, to those that take one."""
    names = [str(n) for n in attributes.get("activations", ())] or list(_DEFAULTS[kind]) * ways
    if len(names) != ways * len(_DEFAULTS[kind]):
        raise FileError(f"{where}: {kind} '{name}' has {len(names)} activations, wanted {ways * len(_DEFAULTS[kind])}")
    left = {"alpha": list(attributes.get("activation_alpha", ())), "beta": list(attributes.get("activation_beta", ()))}
    found = []
    for activation in names:
        if activation.lower() not in _ACTIVATIONS:
            raise FileError(f"{where}: {kind} '{name}' has the activation {activation!r:.30}, which is not known")
        ours, parameters = _ACTIVATIONS[activation.lower()]
        given = {key: float(left[key].pop(0)) if left[key] else default for key, default in parameters.items()}
        found.append(made(where, find, ours, f"{kind} '{name}'", "activations", **given))
    return found
