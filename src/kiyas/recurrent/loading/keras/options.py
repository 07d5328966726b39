"""What a file says of one Keras layer: what is asked for is checked, and what nobody asked for is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kiyas.errors import FileError, InputError
from kiyas.recurrent import activations
from kiyas.recurrent.activations import Activation
from kiyas.recurrent.layers.base import Shape
from kiyas.recurrent.loading.keras.versions import Version

# These say how to train, initialise, or rearrange the sum, and change nothing of what a trained layer gives.
_HARMLESS = frozenset({
    "name", "trainable", "dtype", "batch_input_shape", "input_shape", "batch_shape", "input_length", "input_dim",
    "build_config", "compile_config", "registered_name", "module", "dropout", "recurrent_dropout", "dropout_U",
    "dropout_W", "dropout_u", "dropout_w", "unroll", "implementation", "consume_less", "unit_forget_bias", "seed",
    "use_cudnn", "init", "inner_init", "forget_bias_init", "momentum", "sparse", "ragged", "shared_object_id",
    "is_placeholder", "optional", "lora_rank", "lora_alpha", "quantization_config", "weights", "synchronized",
    "renorm_momentum", "fused",
})
_HARMLESS_ENDS = ("_initializer", "_regularizer", "_constraint")
_FLOATS = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
_REQUIRED: Any = object()


class Options:
    """What a configuration says of the layer ``name`` of a class; every method raises `FileError` naming both.

    ``weights`` are its arrays by name; ``shapes`` those of what comes in, None where they are not known.
    """

    def __init__(self, class_name: str, name: str, config: Mapping[str, Any], version: Version, where: str,
                 weights: Mapping[str, np.ndarray] | None = None, shapes: tuple[Shape | None, ...] = ()):
        self.class_name, self.name, self.version, self.where = class_name, name, version, where
        self.weights, self.shapes = weights or {}, shapes
        self._config = config
        self._asked: set[str] = set()

    @property
    def owner(self) -> str:
        """Whom an error names."""
        return f"{self.where}: {self.class_name} '{self.name}'"

    def error(self, text: str) -> FileError:
        """An error about this layer."""
        return FileError(f"{self.owner}: {text}")

    def get(self, *keys: str, default: Any = _REQUIRED) -> Any:
        """The first of the keys that is there: an option's name, then its names in other versions."""
        self._asked.update(keys)
        for key in keys:
            if key in self._config:
                return self._config[key]
        if default is _REQUIRED:
            raise self.error(f"its configuration lacks '{keys[0]}'")
        return default

    def flag(self, *keys: str, default: bool = False) -> bool:
        """An option that is true or false."""
        return bool(self._of(keys, self.get(*keys, default=default), (bool, int), "true or false"))

    def integer(self, *keys: str, default: Any = _REQUIRED) -> int:
        """An option that is a number of things, or one number in a list."""
        value = self.get(*keys, default=default)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, bool):
            value = None
        return int(self._of(keys, value, (int,), "an integer"))

    def number(self, *keys: str, default: Any = _REQUIRED) -> float:
        """An option that is a number."""
        return float(self._of(keys, self.get(*keys, default=default), (int, float), "a number"))

    def word(self, *keys: str, default: Any = _REQUIRED, allowed: tuple[str, ...] = ()) -> str:
        """An option that is a word."""
        value = str(self._of(keys, self.get(*keys, default=default), (str,), "a word"))
        if allowed and value not in allowed:
            raise self.error(f"'{keys[0]}' is {value!r}, which is not supported; one of {', '.join(allowed)} is")
        return value

    def integers(self, *keys: str, default: Any = _REQUIRED) -> tuple[int, ...]:
        """An option that is a list of integers."""
        value = self.get(*keys, default=default)
        if not isinstance(value, (list, tuple)) or not all(type(v) is int for v in value):
            raise self.error(f"'{keys[0]}' must be a list of integers, it is {value!r}")
        return tuple(value)

    def _of(self, keys: tuple[str, ...], value: Any, kinds: tuple[type, ...], wanted: str) -> Any:
        if not isinstance(value, kinds):
            raise self.error(f"'{keys[0]}' must be {wanted}, it is {value!r:.60}")
        return value

    def activation(self, *keys: str, default: Any = "linear") -> Activation:
        """An option that is an activation: a name, null for linear, or a function or layer written out."""
        return self.find_activation(self.get(*keys, default=default), keys[0])

    def find_activation(self, value: Any, key: str) -> Activation:
        """The activation as Keras wrote it; hard_sigmoid is the one of the file's version."""
        parameters: dict[str, float] = {}
        if isinstance(value, dict):
            value, parameters = self._written_out(value, key)
        if value is None:
            value = "linear"
        if value in ("hard_sigmoid", "HardSigmoid") and not self.version.keras3:
            value = "hard_sigmoid_fifth"
        if value == "leaky_relu" and not parameters:
            parameters = {"alpha": 0.2}
        try:
            return activations.find(value, self.owner, key, **parameters)
        except InputError as error:
            raise FileError(str(error)) from None

    def _written_out(self, value: Mapping[str, Any], key: str) -> tuple[Any, dict[str, float]]:
        kind, config = value.get("class_name"), value.get("config")
        if kind == "function" and isinstance(config, str):
            return config, {}
        if kind in LAYER_ACTIVATIONS and isinstance(config, dict):
            return layer_activation(Options(str(kind), self.name, config, self.version, self.where))
        if kind == "Activation" and isinstance(config, dict):
            return config.get("activation"), {}
        if kind in ("__lambda__", "Lambda") or (kind == "function" and not isinstance(config, str)):
            raise self.error(f"'{key}' is a Lambda, code in the file; nothing of a file is ever run")
        raise self.error(f"'{key}' is an unknown activation, {str(kind)!r:.60}")

    def finish(self) -> None:
        """Raise for an option that nobody asked for and that is on: it would change what the layer gives."""
        self.word("data_format", default="channels_last", allowed=("channels_last",))
        self.get("dtype", default=None)
        dtype = dtype_of(self._config)
        # Ids have an integer dtype, and layers that follow an input inherit it.
        if dtype is not None and dtype not in _FLOATS and not str(dtype).startswith(("int", "uint", "bool")):
            raise self.error(f"its dtype is {dtype!r:.60}; quantised layers are not supported")
        for key, value in self._config.items():
            if key in self._asked or key in _HARMLESS or str(key).endswith(_HARMLESS_ENDS):
                continue
            if value not in (None, False, "auto", [], {}):
                raise self.error(f"has the option '{key}' = {value!r:.60}, which is not supported")


def dtype_of(config: Mapping[str, Any]) -> Any:
    """The dtype of a layer, or the name of its policy: its weights are of that, or of float32 where that is mixed."""
    dtype = config.get("dtype", "float32")
    if isinstance(dtype, Mapping):
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, Mapping) else None
    return dtype


LAYER_ACTIVATIONS = ("LeakyReLU", "ELU", "ReLU", "ThresholdedReLU", "Softmax")


def layer_activation(options: Options) -> tuple[str, dict[str, float]]:
    """The activation, and its parameters, that a layer of `LAYER_ACTIVATIONS` is."""
    match options.class_name:
        case "LeakyReLU":
            found: tuple[str, dict[str, float]] = \
                "leaky_relu", {"alpha": options.number("negative_slope", "alpha", default=0.3)}
        case "ELU":
            found = "elu", {"alpha": options.number("alpha", default=1.0)}
        case "ThresholdedReLU":
            found = "thresholded_relu", {"alpha": options.number("theta", default=1.0)}
        case "ReLU":
            most = options.get("max_value", default=None)
            found = "capped_relu", {
                "max_value": float("inf") if most is None else options.number("max_value"),
                "negative_slope": options.number("negative_slope", default=0.0),
                "threshold": options.number("threshold", default=0.0)}
        case _:
            if options.get("axis", default=-1) not in (-1, [-1]):
                raise options.error("softmax is supported over the last axis only")
            found = "softmax", {}
    options.finish()
    return found
