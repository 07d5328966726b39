"""Keras' recurrent layers, of every version."""

from __future__ import annotations

from typing import Any

from kiyas.recurrent.layers import GRU, LSTM, SimpleRNN
from kiyas.recurrent.layers.base import Layer
from kiyas.recurrent.loading import gates
from kiyas.recurrent.loading.keras.options import Options
from kiyas.recurrent.loading.keras.table import Names, entry, with_bias

_USUAL = with_bias("kernel", "recurrent_kernel", "bias")


def _keras1(*gate_names: str) -> Any:
    """Three arrays a gate in Keras 1, unless it held them as one for the GPU."""
    apart = tuple(f"{array}_{gate}" for gate in gate_names for array in "WUb")

    def weights(o: Options) -> tuple[Names, Names]:
        if o.version.keras1 and o.get("consume_less", default="cpu") != "gpu":
            return apart, ()
        return _USUAL(o)
    return weights


@entry("LSTM", "CuDNNLSTM", weights=_keras1("i", "c", "f", "o"), in_cell=True)
def _lstm(o: Options) -> Layer:
    cudnn = o.class_name == "CuDNNLSTM"
    if "W_i" in o.weights:
        found = gates.keras1_lstm(list(o.weights.values()))
    else:
        bias = o.weights.get("bias")
        _check_shapes(o, 4)
        # What is on disk decides, not the class: weights of either were loaded into the other.
        two = bias is not None and bias.shape == (2 * o.weights["kernel"].shape[1],)
        kernel, recurrent = o.weights["kernel"], o.weights["recurrent_kernel"]
        found = gates.cudnn_lstm(kernel, recurrent, bias) if bias is not None and two \
            else gates.keras(kernel, recurrent, bias)
    made = LSTM(o.name, found.input_weights, found.recurrent_weights, found.bias,
                activation="tanh" if cudnn else o.activation("activation", default="tanh"),
                recurrent_activation="sigmoid" if cudnn else _recurrent_activation(o), **_shared(o))
    return _checked(o, made)


@entry("GRU", "CuDNNGRU", weights=_keras1("z", "r", "h"), in_cell=True)
def _gru(o: Options) -> Layer:
    cudnn = o.class_name == "CuDNNGRU"
    if "W_z" in o.weights:
        found, after = gates.keras1_gru(list(o.weights.values())), False
    else:
        bias, wide = o.weights.get("bias"), o.weights["kernel"].shape[-1]
        _check_shapes(o, 3)
        if bias is not None and bias.shape == (2 * wide,):
            found, after = gates.cudnn_gru(o.weights["kernel"], o.weights["recurrent_kernel"], bias), True
            o.get("reset_after", default=True)
        else:
            found = gates.keras(o.weights["kernel"], o.weights["recurrent_kernel"], bias)
            after = _reset_after(o, bias)
    made = GRU(o.name, found.input_weights, found.recurrent_weights, found.bias,
               recurrent_bias=found.recurrent_bias, reset_after=after,
               activation="tanh" if cudnn else o.activation("activation", default="tanh"),
               recurrent_activation="sigmoid" if cudnn else _recurrent_activation(o), **_shared(o))
    return _checked(o, made)


@entry("SimpleRNN", weights=_USUAL, in_cell=True)
def _simple(o: Options) -> Layer:
    _check_shapes(o, 1)
    found = gates.keras(o.weights["kernel"], o.weights["recurrent_kernel"], o.weights.get("bias"))
    made = SimpleRNN(o.name, found.input_weights, found.recurrent_weights, found.bias,
                     activation=o.activation("activation", default="tanh"), **_shared(o))
    return _checked(o, made)


def _shared(o: Options) -> dict[str, Any]:
    if o.flag("time_major"):
        raise o.error("is time-major, which is not supported; save it with time_major=False")
    return {"return_sequences": o.flag("return_sequences"), "return_state": o.flag("return_state"),
            "go_backwards": o.flag("go_backwards"), "stateful": o.flag("stateful"),
            "zero_output_for_mask": o.flag("zero_output_for_mask"), "passes_mask": o.version.passes_mask}


def _recurrent_activation(o: Options) -> Any:
    default = o.version.recurrent_activation
    found = o.get("recurrent_activation", "inner_activation", default=default)
    if found is None and default is None:
        raise o.error(f"its configuration lacks 'recurrent_activation', and Keras {o.version} does not "
                            "tell: it is hard_sigmoid in TensorFlow 1 and sigmoid in TensorFlow 2; put it in config=")
    return o.find_activation(found, "recurrent_activation")


def _reset_after(o: Options, bias: Any) -> bool:
    if bias is not None:  # its shape tells
        after = bool(bias.ndim == 2)
        if o.get("reset_after", default=after) not in (after, None):
            raise o.error(f"'reset_after' is {not after}, but its bias is of shape {bias.shape}")
        return after
    default = o.version.tensorflow2
    if default is None:
        o.get("reset_after")
    return o.flag("reset_after", default=bool(default))


def _check_shapes(o: Options, number: int) -> None:
    """Raise unless the arrays are of the units that the configuration says."""
    n = o.integer("units", "output_dim")
    allowed: dict[str, tuple[tuple[int | None, ...], ...]] = {
        "kernel": ((None, number * n),), "recurrent_kernel": ((n, number * n),),
        "bias": ((number * n,), (2 * number * n,), (2, number * n))[:{1: 1, 3: 3, 4: 2}[number]]}
    for name, array in o.weights.items():
        if not any(len(array.shape) == len(shape)
                   and all(w in (None, h) for w, h in zip(shape, array.shape, strict=True)) for shape in allowed[name]):
            wanted = " or ".join(str(tuple("any" if w is None else w for w in shape)).replace("'", "")
                                 for shape in allowed[name])
            raise o.error(f"its {name} must be of shape {wanted} for {n} units, it is {array.shape}")


def _checked(o: Options, made: Any) -> Layer:
    n = o.integer("units", "output_dim")
    if made.units != n:
        raise o.error(f"has weights of {made.units} units, its configuration says {n}")
    return made  # type: ignore[no-any-return]
