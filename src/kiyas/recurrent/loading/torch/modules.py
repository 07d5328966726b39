"""Layers out of a state_dict: what each module is, is told by the names and shapes of its tensors.

A state_dict has no architecture. What it does not say has to come from the person: the order of modules and the
activations between them (``config``), the activation of an RNN. Batches come first here, whatever ``batch_first`` was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.errors import FileError, InputError, message
from kiyas.recurrent import activations
from kiyas.recurrent.layers import (
    GRU,
    LSTM,
    ActivationLayer,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    LayerNormalization,
    SimpleRNN,
)
from kiyas.recurrent.layers.base import Layer
from kiyas.recurrent.loading import configuration, gates
from kiyas.recurrent.loading.made import made
from kiyas.recurrent.model import Model

Tensors = Mapping[str, np.ndarray]
_RECURRENT = re.compile(r"(?P<kind>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l(?P<layer>\d{1,3}))?"
                        r"(?P<reverse>_reverse)?")
_QUANTISED = re.compile(r"_all_weight_values|_packed_params|\.scale$|zero_point")


def model_of(tensors: Tensors, where: str, config: Any = None, prefix: str | None = None, activation: str = "tanh",
             source: Mapping[str, Any] | None = None) -> Model:
    """A model out of named tensors.

    Parameters: ``config``: the modules in order, each its name, or a dictionary of it with options (see docs), or the
    name of an activation; JSON of that, or its path; None: the one recurrent module that there is; ``prefix``: what all
    names that are used begin with; ``activation``: of an RNN, "tanh" or "relu".
    """
    if not tensors:
        raise FileError(f"{where}: holds no tensors")
    if quantised := [name for name in tensors if _QUANTISED.search(name)]:
        raise FileError(f"{where}: holds a quantised model ({quantised[0]}); save the state_dict from before "
                        "quantisation (kiyas stores weights in int8 itself: with_precision)")
    tensors = _denormalised(tensors, where)
    found = _recurrent_prefixes(tensors)
    start = _with_dot(prefix)
    if config is not None:
        steps = _steps(config)
        layers = _Chain(tensors, where, start, activation).layers(steps)
    else:
        layers = _alone(tensors, where, start if prefix is not None else None, found, activation)
    return made(where, Model.sequential, layers, source={"format": "torch", **(source or {})})


def _with_dot(prefix: str | None) -> str:
    return f"{prefix}." if prefix and not prefix.endswith(".") else prefix or ""


def _recurrent_prefixes(tensors: Iterable[str]) -> list[str]:
    """The prefixes of recurrent modules: what stands before ``weight_hh…``."""
    found = {name[:match.start()] for name in tensors if (match := _match(name)) and match["kind"] == "weight_hh"}
    return sorted(found)


def _match(name: str) -> re.Match[str] | None:
    start = name.rfind(".") + 1
    return _RECURRENT.fullmatch(name, start)


def _alone(tensors: Tensors, where: str, prefix: str | None, found: list[str], activation: str) -> list[Layer]:
    """The recurrent module that the prefix names, or the only one of the file or below the prefix."""
    under = f" under {prefix!r}" if prefix else ""
    below = [p for p in found if p.startswith(prefix or "")]
    if prefix is not None and prefix in below:
        return recurrent(tensors, prefix, where, activation)
    if not below:
        raise FileError(f"{where}: has no recurrent layer{under}, no weight_hh; it has {_listed(tensors)}")
    if len(below) > 1:
        raise FileError(f"{where}: has {len(below)} recurrent modules{under}, {_listed(below)}; choose one with "
                        "prefix=, or list the modules in order in config=")
    own = below[0]
    if others := [name for name in tensors if name.startswith(prefix or "")
                  and not (name.startswith(own) and "." not in name[len(own):] and _match(name))]:
        # With a prefix, the names of config= are those below it.
        name = own.rstrip(".")
        raise FileError(f"{where}: has{under} beside the recurrent module '{name}' also {_listed(others)}; load that "
                        f"module alone with prefix={name!r}, or list all modules in order in config=")
    return recurrent(tensors, own, where, activation)


def _steps(config: Any) -> list[dict[str, Any]]:
    if isinstance(config, Path) or (isinstance(config, str) and (config.lstrip()[:1] == "[" or Path(config).is_file())):
        config = configuration.read(config, list)
    if not isinstance(config, Sequence) or isinstance(config, str) or not config:
        raise InputError(message("load", "config", "a list of the modules of the state_dict in order, its JSON, or the "
                                 "path of that", repr(config) if isinstance(config, (str, list)) else
                                 type(config).__name__))
    steps = []
    for step in config:
        if isinstance(step, str):
            step = {"name": step}
        if not isinstance(step, Mapping) or not isinstance(step.get("name"), str):
            raise InputError(message("load", "config", "a list of names, or of dictionaries with 'name'",
                                     f"{step!r:.60}"))
        steps.append(dict(step))
    return steps


class _Chain:
    """Modules one after another."""

    def __init__(self, tensors: Tensors, where: str, prefix: str, activation: str):
        self._where, self._activation = where, activation
        self._tensors = {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}
        self._used: set[str] = set()

    def layers(self, steps: list[dict[str, Any]]) -> list[Layer]:
        found: list[Layer] = []
        taken: set[str] = set()
        for step in steps:
            for layer in self._module(step, first=not found):
                name = layer.name
                while name in taken:
                    name += "_"
                taken.add(name)
                found.append(layer if name == layer.name else replace(layer, name=name))
        if left := [name for name in self._tensors
                    if name not in self._used and not name.endswith("num_batches_tracked")]:
            raise FileError(f"{self._where}: no module of config= uses {_listed(left)}; name theirs, or choose a part "
                            "with prefix=")
        return found

    def _module(self, step: dict[str, Any], first: bool) -> list[Layer]:
        name = step.pop("name")
        start = _with_dot(name)
        own = {key[len(start):]: value for key, value in self._tensors.items() if key.startswith(start)}
        self._used |= {start + key for key in own}
        if not own:
            return [self._without_tensors(name, step)]
        if any(_match(key) for key in own):
            return self._recurrent(name, start, own, step)
        layer = self._plain(name, own, step, first)
        _all_known(step, name)
        return [layer]

    def _without_tensors(self, name: str, step: dict[str, Any]) -> Layer:
        if name == "dropout":
            return Dropout(name)
        try:
            found = activations.find(name, **step)
        except InputError:
            raise FileError(f"{self._where}: has no module '{name}', and nor is that the name of an activation; it has "
                            f"{_listed(self._tensors)}") from None
        return ActivationLayer(name, found)

    def _recurrent(self, name: str, start: str, own: Tensors, step: dict[str, Any]) -> list[Layer]:
        if foreign := [key for key in own if not _match(key) or "." in key]:
            raise FileError(f"{self._where}: module '{name}' has beside recurrent weights also {_listed(foreign)}")
        activation, every = step.pop("activation", self._activation), step.pop("return_sequences", True)
        if not isinstance(every, bool):
            raise InputError(message("load", f"config['{name}']['return_sequences']", "true or false", repr(every)))
        _all_known(step, name)
        return recurrent(self._tensors, start, self._where, activation, every)

    def _plain(self, name: str, own: Tensors, step: dict[str, Any], first: bool) -> Layer:
        weight, bias = own.get("weight"), own.get("bias")
        if "running_mean" in own and "running_var" in own:
            return made(self._where, BatchNormalization, name, _float(weight), _float(bias),
                        _required(own["running_mean"]), _required(own["running_var"]),
                        epsilon=step.pop("epsilon", 1e-5))
        if unknown := sorted(own.keys() - {"weight", "bias"}):
            raise FileError(f"{self._where}: module '{name}' has tensors that no known module has: {_listed(unknown)}")
        if weight is None or weight.ndim not in (1, 2, 3):
            shape = "no weight" if weight is None else f"a weight of shape {weight.shape}"
            raise FileError(f"{self._where}: module '{name}' is of no known kind, it has {shape}")
        if weight.ndim == 1:
            return made(self._where, LayerNormalization, name, _float(weight), _float(bias),
                        epsilon=step.pop("epsilon", 1e-5))
        activation = step.pop("activation", "linear")
        if weight.ndim == 3:
            padding = step.pop("padding", 0)
            return made(self._where, Conv1D, name, _required(weight).transpose(0, 2, 1), _float(bias),
                        stride=step.pop("stride", 1), dilation=step.pop("dilation", 1), groups=step.pop("groups", 1),
                        padding=(padding, padding) if isinstance(padding, int) else padding, activation=activation)
        kind = step.pop("class", "Embedding" if first and bias is None else "Linear")
        if kind == "Embedding" and bias is None:
            return made(self._where, Embedding, name, _required(weight))
        if kind != "Linear":
            raise InputError(message("load", f"config['{name}']['class']", "Embedding or Linear", repr(kind)))
        return made(self._where, Dense, name, _required(weight), _float(bias), activation=activation)


def _all_known(step: Mapping[str, Any], name: str) -> None:
    if step:
        raise InputError(message("load", f"config['{name}']", "a dictionary of options that the module has",
                                 ", ".join(map(str, step))))


def recurrent(tensors: Tensors, prefix: str, where: str, activation: str = "tanh", return_sequences: bool = True
              ) -> list[Layer]:
    """The layers of one LSTM, GRU, RNN, or cell: stacked ones in order, a pair of directions as `Bidirectional`."""
    parts: dict[tuple[int, bool], dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        found = _match(name)
        if found and name.startswith(prefix) and "." not in name[len(prefix):]:
            parts.setdefault((int(found["layer"] or 0), found["reverse"] is not None), {})[found["kind"]] = value
    numbers = sorted({layer for layer, _ in parts})
    ways = {reverse for _, reverse in parts}
    stem = prefix.rstrip(".")
    if numbers != list(range(len(numbers))) or len(parts) != len(numbers) * len(ways) or (0, False) not in parts:
        raise FileError(f"{where}: module '{stem}' lacks layers, it has {sorted(parts)}")
    layers: list[Layer] = []
    for number in numbers:
        name = f"{stem}.l{number}" if stem else f"l{number}"
        last = number == numbers[-1]
        forward = _layer(parts[number, False], name, where, activation, return_sequences or not last)
        if (number, True) in parts:
            backward = _layer(parts[number, True], f"{name}_reverse", where, activation, return_sequences or not last)
            layers.append(made(where, Bidirectional, name, forward, backward,
                               return_sequences=return_sequences or not last))
        else:
            layers.append(forward)
    return layers


def _layer(own: Mapping[str, np.ndarray], name: str, where: str, activation: str, return_sequences: bool
           ) -> LSTM | GRU | SimpleRNN:
    if lacking := [kind for kind in ("weight_ih", "weight_hh") if kind not in own]:
        raise FileError(f"{where}: layer '{name}' lacks {lacking[0]}")
    if ("bias_ih" in own) != ("bias_hh" in own):
        raise FileError(f"{where}: layer '{name}' has one bias of two")
    ih, hh, hr = own["weight_ih"], own["weight_hh"], own.get("weight_hr")
    if ih.ndim != 2 or hh.ndim != 2 or not hh.size or (hr is not None and hr.ndim != 2):
        raise FileError(f"{where}: layer '{name}' has weights of shapes {ih.shape} and {hh.shape}, both should have "
                        "rows and columns")
    units = hh.shape[1] if hr is None else hr.shape[1]
    kinds = {4 * units: "LSTM", 3 * units: "GRU", units: "RNN"}
    kind = kinds.get(hh.shape[0])
    if kind is None or (hr is not None and kind != "LSTM"):
        raise FileError(f"{where}: layer '{name}' has {hh.shape[0]} rows for {units} hidden units, which is 4, 3 or 1 "
                        "times that in an LSTM, GRU or RNN")
    bias, other = own.get("bias_ih"), own.get("bias_hh")
    for array in own.values():
        if array.dtype.kind != "f":
            raise FileError(f"{where}: layer '{name}' has weights of dtype {array.dtype}, they should be floats")
    for one in (bias, other):
        if one is not None and one.shape != (hh.shape[0],):
            raise FileError(f"{where}: layer '{name}' has a bias of shape {one.shape}, wanted ({hh.shape[0]},)")
    if kind != "RNN" and activation != "tanh":
        what = "a GRU" if kind == "GRU" else "an LSTM"
        raise InputError(message("load", "activation", f"left out for '{name}', which is {what}", repr(activation),
                                 "it is that of an RNN; of several modules, give it in config="))
    if kind == "LSTM":
        found = gates.torch_lstm(ih, hh, bias, other, hr)
        return made(where, LSTM, name, found.input_weights, found.recurrent_weights, found.bias,
                    projection=found.projection, return_sequences=return_sequences)
    if kind == "GRU":
        found = gates.torch_gru(ih, hh, bias, other)
        return made(where, GRU, name, found.input_weights, found.recurrent_weights, found.bias,
                    recurrent_bias=found.recurrent_bias, reset_after=True, return_sequences=return_sequences)
    if activation not in ("tanh", "relu"):
        raise InputError(message("load", "activation", "tanh or relu, what an RNN has", repr(activation)))
    found = gates.torch_rnn(ih, hh, bias, other)
    return made(where, SimpleRNN, name, found.input_weights, found.recurrent_weights, found.bias, activation=activation,
                return_sequences=return_sequences)


def _denormalised(tensors: Tensors, where: str) -> dict[str, np.ndarray]:
    """Weights as they are at run time, under their plain names.

    weight_norm keeps a size and a direction (``_g``/``_v``, or ``parametrizations.….original0/1``); AWD-LSTM keeps
    ``weight_hh_l0_raw`` beside the module, and in the module what dropout made of it last.
    """
    found = dict(tensors)
    for name in list(found):
        for size, direction, plain in ((r"(.*)_g", "{}_v", "{}"),
                                       (r"(.*\.)?parametrizations\.(.+)\.original0", "{}parametrizations.{}.original1",
                                        "{}{}")):
            match = re.fullmatch(size, name)
            if match is None:
                continue
            groups = [group or "" for group in match.groups()]
            other = direction.format(*groups)
            if other in found:
                found[plain.format(*groups)] = _normed(found.pop(name), found.pop(other), where, name)
    for name in list(found):
        if name.endswith("_raw") and _match(name[:-4]):
            plain = name[:-4]
            start = plain.rfind(".") + 1
            inner = f"{plain[:start]}module."
            raw = found.pop(name)
            found.pop(inner + plain[start:], None)
            found[plain] = raw
            for key in [key for key in found if key.startswith(inner) and _match(key)]:
                found[plain[:start] + key[len(inner):]] = found.pop(key)
    return found


def _normed(size: np.ndarray, direction: np.ndarray, where: str, name: str) -> np.ndarray:
    if direction.ndim < 2 or size.shape != (direction.shape[0], *(1,) * (direction.ndim - 1)):
        raise FileError(f"{where}: '{name}' of shape {size.shape} does not scale the rows of {direction.shape}")
    wide = direction.astype(np.float64)
    length = np.sqrt(np.sum(wide * wide, axis=tuple(range(1, wide.ndim)), keepdims=True))
    if not length.all():
        raise FileError(f"{where}: '{name}' scales a row of zeros")
    return gates.float32(size.astype(np.float64) * wide / length)


def _required(array: np.ndarray) -> np.ndarray:
    return gates.float32(array)


def _float(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else gates.float32(array)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(name or "(no prefix)" for name in names[:6]) + (
        f" and {len(names) - 6} more" if len(names) > 6 else "")
