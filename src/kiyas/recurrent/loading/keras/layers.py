"""Keras' other layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kiyas.recurrent.activations import find
from kiyas.recurrent.layers import (
    ActivationLayer,
    Add,
    AdditiveAttention,
    Arithmetic,
    Attention,
    Average,
    AveragePool,
    BatchNormalization,
    Concatenate,
    Conv1D,
    Cropping,
    Dense,
    Divide,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GlobalAverage,
    GlobalMax,
    LayerNormalization,
    Masking,
    Maximum,
    MaxPool,
    Minimum,
    Multiply,
    Permute,
    PReLU,
    RepeatVector,
    Reshape,
    Scale,
    Subtract,
    UpSampling,
    WeightedAttention,
    ZeroPadding,
)
from kiyas.recurrent.layers.base import Layer
from kiyas.recurrent.loading.keras.operations import OPERATION
from kiyas.recurrent.loading.keras.options import LAYER_ACTIVATIONS, Options, layer_activation
from kiyas.recurrent.loading.keras.table import Names, always, entry, with_bias


@entry("Embedding", weights=always("embeddings"))
def _embedding(o: Options) -> Layer:
    ids, width = o.integer("input_dim"), o.integer("output_dim")
    if o.weights["embeddings"].shape != (ids, width):
        raise o.error(f"its table must be of shape {(ids, width)}, it is {o.weights['embeddings'].shape}")
    return Embedding(o.name, o.weights["embeddings"], mask_zero=o.flag("mask_zero"))


@entry("Dense", "TimeDistributedDense", weights=with_bias("kernel", "bias"))
def _dense(o: Options) -> Layer:
    kernel, outputs = o.weights["kernel"], o.integer("units", "output_dim")
    if kernel.ndim != 2 or kernel.shape[1] != outputs:
        raise o.error(f"its kernel must be of shape (any, {outputs}), it is {kernel.shape}")
    return Dense(o.name, kernel.T, o.weights.get("bias"), activation=o.activation("activation"))


@entry("Conv1D", "Convolution1D", weights=with_bias("kernel", "bias"))
def _conv(o: Options) -> Layer:
    kernel, size, filters = o.weights["kernel"], o.integer("kernel_size", "filter_length"), \
        o.integer("filters", "nb_filter")
    if kernel.ndim == 4:  # Keras 1: an image of height 1; before 1.1, filters first
        if kernel.shape[:2] != (size, 1) or kernel.shape[3] != filters:
            kernel = kernel.transpose(2, 3, 1, 0)
        kernel = kernel[:, 0]
    if kernel.ndim != 3 or (kernel.shape[0], kernel.shape[2]) != (size, filters):
        raise o.error(f"its kernel must be of shape ({size}, any, {filters}), it is {o.weights['kernel'].shape}")
    return Conv1D(o.name, kernel.transpose(2, 0, 1), o.weights.get("bias"),
                  stride=o.integer("strides", "subsample_length", default=1),
                  padding=o.word("padding", "border_mode", default="valid", allowed=("valid", "same", "causal")),
                  dilation=o.integer("dilation_rate", default=1), groups=o.integer("groups", default=1),
                  activation=o.activation("activation"))


# --- element by element ----------------------------------------------------------------------------------------------

@entry("Activation")
def _activation(o: Options) -> Layer:
    return ActivationLayer(o.name, o.activation("activation"))


@entry(*LAYER_ACTIVATIONS)
def _layer_activation(o: Options) -> Layer:
    name, parameters = layer_activation(o)
    return ActivationLayer(o.name, find(name, o.owner, "activation", **parameters))


@entry("PReLU", weights=always("alpha"))
def _prelu(o: Options) -> Layer:
    o.get("shared_axes", default=None)  # the shape of alpha has them already
    return PReLU(o.name, o.weights["alpha"])


@entry("Rescaling")
def _rescaling(o: Options) -> Layer:
    return Scale(o.name, np.array(o.number("scale")), np.array(o.number("offset", default=0.0)))


@entry("Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization")
def _training_only(o: Options) -> Layer:
    o.get("rate", "p", "stddev", "sigma", "l1", default=None)
    o.get("l2", "noise_shape", default=None)
    o.get("noise_shape", default=None)
    return Dropout(o.name)


def _normalised(scale: str, *statistics: str) -> Callable[[Options], tuple[Names, Names]]:
    def weights(o: Options) -> tuple[Names, Names]:
        scaled, centred = o.flag(scale, default=True), o.flag("center", default=True)
        return ("gamma",) * scaled + ("beta",) * centred, statistics
    return weights


@entry("BatchNormalization", weights=_normalised("scale", "moving_mean", "moving_variance"))
def _batch_normalization(o: Options) -> Layer:
    if o.get("renorm", default=False) or o.get("mode", default=0) != 0:
        raise o.error("is a variant of batch normalisation that is not supported")
    _check_last_axis(o)
    return BatchNormalization(o.name, o.weights.get("gamma"), o.weights.get("beta"), o.weights["moving_mean"],
                              o.weights["moving_variance"], epsilon=o.number("epsilon", default=1e-3))


@entry("LayerNormalization", weights=_normalised("scale"))
def _layer_normalization(o: Options) -> Layer:
    if o.flag("rms_scaling"):
        raise o.error("rms_scaling=True is not supported")
    _check_last_axis(o)
    return LayerNormalization(o.name, o.weights.get("gamma"), o.weights.get("beta"),
                              epsilon=o.number("epsilon", default=1e-3))


def _check_last_axis(o: Options) -> None:
    axis = o.get("axis", default=-1)
    if isinstance(axis, list) and len(axis) == 1:
        axis = axis[0]
    rank = None if not o.shapes or o.shapes[0] is None else len(o.shapes[0])
    if axis != -1 and (rank is None or axis != rank - 1):
        raise o.error(f"'axis' is {axis!r:.30}; only the last axis is supported"
                      + (", and the shape of the input is not known; put it in config=" if rank is None else ""))


@entry("Masking")
def _masking(o: Options) -> Layer:
    return Masking(o.name, value=o.number("mask_value", default=0.0))


# --- shapes ----------------------------------------------------------------------------------------------------------

@entry("Flatten")
def _flatten(o: Options) -> Layer:
    return Flatten(o.name)


@entry("Reshape")
def _reshape(o: Options) -> Layer:
    return Reshape(o.name, o.integers("target_shape"))


@entry("Permute")
def _permute(o: Options) -> Layer:
    return Permute(o.name, o.integers("dims"))


@entry("RepeatVector")
def _repeat(o: Options) -> Layer:
    return RepeatVector(o.name, o.integer("n"))


@entry("Cropping1D", "ZeroPadding1D")
def _ends(o: Options) -> Layer:
    key = "cropping" if o.class_name == "Cropping1D" else "padding"
    both = o.get(key, default=1)
    front, behind = (both, both) if isinstance(both, int) else o.integers(key)
    return (Cropping if o.class_name == "Cropping1D" else ZeroPadding)(o.name, front, behind)


@entry("UpSampling1D")
def _up(o: Options) -> Layer:
    return UpSampling(o.name, o.integer("size", "length", default=2))


# --- several into one ------------------------------------------------------------------------------------------------

_MERGES = {"Add": Add, "Subtract": Subtract, "Multiply": Multiply, "Average": Average, "Maximum": Maximum,
           "Minimum": Minimum}


@entry(*_MERGES)
def _merge(o: Options) -> Layer:
    return _MERGES[o.class_name](o.name, masks=o.version.masks)


@entry("Concatenate")
def _concatenate(o: Options) -> Layer:
    return Concatenate(o.name, axis=o.integer("axis", default=-1), masks=o.version.masks)


_SIGNS = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Divide": "divide", "TrueDivide": "divide"}


@entry(*(f"{OPERATION}{kind}" for kind in ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum",
                                           "Minimum")))
def _operation(o: Options) -> Layer:
    """Of two tensors, or of one and a constant, element by element."""
    kind = o.class_name.removeprefix(OPERATION)
    constant, first = o.get("constant", default=None), o.flag("constant_first")
    if constant is not None:
        if kind not in _SIGNS:
            raise o.error(f"its constant, {constant!r:.60}, is not supported")
        try:
            array = np.array(constant, np.float64)
        except ValueError:
            raise o.error(f"its constant is altered: {constant!r:.60}") from None
        return Arithmetic(o.name, _SIGNS[kind], array, first=first)
    ranks = {len(shape) for shape in o.shapes if shape is not None}
    if len(ranks) > 1:
        raise o.error(f"gets signals of shapes {' and '.join(map(str, o.shapes))}, whose axes Keras lines up from the "
                      "last one on, so that the batch of one meets another axis of the other; save the model with "
                      "RepeatVector or Reshape before it, or with a layer (Add, Multiply, …) in its place")
    return {**_MERGES, "Divide": Divide, "TrueDivide": Divide}[kind](o.name, masks="none")


@entry(f"{OPERATION}Negative")
def _negative(o: Options) -> Layer:
    return Arithmetic(o.name, "multiply", np.array(-1.0))


@entry(f"{OPERATION}Concatenate")
def _joined(o: Options) -> Layer:
    return Concatenate(o.name, axis=o.integer("axis", default=0), masks="none")


@entry("Dot")
def _dot(o: Options) -> Layer:
    axes = o.get("axes")
    pair = (axes, axes) if isinstance(axes, int) else o.integers("axes")
    if len(pair) != 2:
        raise o.error(f"'axes' must be one or two axes, it is {axes!r:.60}")
    return Dot(o.name, axes=(pair[0], pair[1]), normalize=o.flag("normalize"))


@entry("Merge")
def _merge1(o: Options) -> Layer:
    mode = o.word("mode", default="sum", allowed=("sum", "concat", "mul", "ave", "max"))
    axis = o.get("concat_axis", default=-1)
    for unused in ("mode_type", "dot_axes", "output_shape", "output_shape_type", "output_mask", "output_mask_type",
                   "arguments"):
        o.get(unused, default=None)
    if mode == "concat":
        return Concatenate(o.name, axis=axis)
    return {"sum": Add, "mul": Multiply, "ave": Average, "max": Maximum}[mode](o.name)


# --- pooling ---------------------------------------------------------------------------------------------------------

@entry("GlobalMaxPooling1D", "GlobalAveragePooling1D", "GlobalMaxPool1D", "GlobalAvgPool1D")
def _global_pool(o: Options) -> Layer:
    return (GlobalMax if "Max" in o.class_name else GlobalAverage)(o.name, keepdims=o.flag("keepdims"))


@entry("MaxPooling1D", "AveragePooling1D", "MaxPool1D", "AvgPool1D")
def _pool(o: Options) -> Layer:
    size = o.integer("pool_size", "pool_length", default=2)
    stride = size if o.get("strides", "stride", default=None) is None else o.integer("strides", "stride")
    padding = o.word("padding", "border_mode", default="valid", allowed=("valid", "same"))
    return (MaxPool if "Max" in o.class_name else AveragePool)(o.name, size, stride=stride, padding=padding)


# --- attention -------------------------------------------------------------------------------------------------------

def _attention_weights(o: Options) -> tuple[Names, Names]:
    scale = ("scale",) if o.flag("use_scale", default=o.class_name == "AdditiveAttention") else ()
    return scale + (("concat_score_weight",) if o.get("score_mode", default="dot") == "concat" else ()), ()


@entry("Attention", "AdditiveAttention", weights=_attention_weights)
def _attention(o: Options) -> Layer:
    causal = o.flag("causal")
    scale, concat = o.weights.get("scale"), o.weights.get("concat_score_weight")
    if o.class_name == "AdditiveAttention":
        return AdditiveAttention(o.name, causal=causal, weights=scale)
    o.word("score_mode", default="dot", allowed=("dot", "concat"))
    if any(w is not None and w.size != 1 for w in (scale, concat)):
        raise o.error("its scale must be one number")
    return Attention(o.name, scale=None if scale is None else float(scale.reshape(())), causal=causal,
                     concat_weight=None if concat is None else float(concat.reshape(())))


@entry("AttentionWeightedAverage", weights=always("W"))
def _weighted_attention(o: Options) -> Layer:
    return WeightedAttention(o.name, o.weights["W"], return_attention=o.flag("return_attention"))
