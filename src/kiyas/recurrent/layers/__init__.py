"""Frozen layers: what a `Model` is made of."""

from kiyas.recurrent.layers.arithmetic import Arithmetic
from kiyas.recurrent.layers.attention import AdditiveAttention, Attention, WeightedAttention
from kiyas.recurrent.layers.base import Context, Layer, Shape, Signal
from kiyas.recurrent.layers.bidirectional import Bidirectional
from kiyas.recurrent.layers.dense import Conv1D, Dense
from kiyas.recurrent.layers.distributed import Nested, TimeDistributed
from kiyas.recurrent.layers.elementwise import (
    ActivationLayer,
    BatchNormalization,
    Dropout,
    Elementwise,
    LayerNormalization,
    PReLU,
    Scale,
)
from kiyas.recurrent.layers.embedding import Embedding, Input, Masking
from kiyas.recurrent.layers.exchange import Backward, FeatureMean, Pad, Power, Slice, Unmasked
from kiyas.recurrent.layers.merge import (
    Add,
    Average,
    Concatenate,
    Divide,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from kiyas.recurrent.layers.pool import AveragePool, GlobalAverage, GlobalMax, MaxPool
from kiyas.recurrent.layers.recurrent import GRU, LSTM, Recurrent, SimpleRNN
from kiyas.recurrent.layers.shape import (
    Cropping,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling,
    ZeroPadding,
)

__all__ = [
    "ActivationLayer", "Add", "AdditiveAttention", "Arithmetic", "Attention", "Average", "AveragePool", "Backward",
    "BatchNormalization", "Bidirectional", "Concatenate", "Context", "Conv1D", "Cropping", "Dense", "Divide", "Dot",
    "Dropout", "Elementwise", "Embedding", "FeatureMean", "Flatten", "GRU", "GlobalAverage", "GlobalMax", "Input",
    "LSTM", "Layer", "LayerNormalization", "Masking", "MaxPool", "Maximum", "Minimum", "Multiply", "Nested", "PReLU",
    "Pad", "Permute", "Power", "Recurrent", "RepeatVector", "Reshape", "Scale", "Shape", "Signal", "SimpleRNN", "Slice",
    "Subtract", "TimeDistributed", "Unmasked", "UpSampling", "WeightedAttention", "ZeroPadding",
]
