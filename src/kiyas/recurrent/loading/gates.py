"""Every gate order and layout there is, translated into one (docs/design.md, "Canonical weights").

Canonical: rows are outputs, so that a product is ``x @ W.T``; LSTM gates i f c o, GRU gates z r h with
h = z·h + (1−z)·h̃; float32. Each function takes the arrays of one layer as a source has them.

| source | LSTM | GRU | matrices | biases |
|---|---|---|---|---|
| Keras 2, 3 | i f c o | z r h | (in, gates), to be transposed | one; GRU with reset_after (2, 3n) |
| Keras 1 | i c f o, each by itself | z r h, each by itself | (in, n) a gate | one a gate |
| Keras' CuDNN layers | i f c o | z r h | as Keras, and transposed inside each gate | two halves, one after the other |
| PyTorch | i f g(=c) o | r z n(=h) | (gates, in) | two |
| ONNX | i o f c | z r h | (directions, gates, in) | two halves; peepholes i o f |
| TensorFlow 1 | i j(=c) f o | | one for [x, h]: (in + n, gates) | one; forget_bias is added when run |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kiyas.errors import FileError, InputError, message

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Gates:
    """The weights of one recurrent layer in canonical order; None for what it has not."""

    input_weights: np.ndarray
    recurrent_weights: np.ndarray
    bias: np.ndarray | None
    recurrent_bias: np.ndarray | None = None
    peephole: np.ndarray | None = None
    projection: np.ndarray | None = None


def float32(x: np.ndarray) -> np.ndarray:
    """The array as float32 in C order. What float32 cannot hold becomes NaN or infinity, which every layer refuses."""
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(x, np.float32)


def added(*biases: np.ndarray | None) -> np.ndarray | None:
    """The biases of the same gates added in float64, as float32; None if there are none."""
    there = [b for b in biases if b is not None]
    with np.errstate(all="ignore"):
        return float32(np.sum([b.astype(np.float64) for b in there], axis=0)) if there else None


def reordered(x: np.ndarray, order: Sequence[int], gates: int | None = None) -> np.ndarray:
    """The blocks of rows of ``x``, one a gate, taken in that order.

    >>> reordered(np.array([10, 11, 20, 21]), (1, 0))
    array([20, 21, 10, 11])
    """
    gates = gates or len(order)
    if not x.ndim or x.shape[0] % gates:
        raise FileError(f"an array of shape {x.shape} does not divide into {gates} gates")
    blocks = x.reshape(gates, -1, *x.shape[1:])
    return np.ascontiguousarray(blocks[list(order)].reshape(-1, *x.shape[1:]))


# --- Keras -----------------------------------------------------------------------------------------------------------

def keras(kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray | None) -> Gates:
    """Keras 2 and 3, LSTM, SimpleRNN, and GRU: the order is ours, the matrices are transposed.

    A GRU with ``reset_after`` has two biases, one on either side of the reset gate, which cannot be added.
    """
    two = bias is not None and bias.ndim == 2
    return Gates(float32(kernel.T), float32(recurrent.T),
                 None if bias is None else float32(bias[0] if two else bias),
                 float32(bias[1]) if bias is not None and two else None)


def keras1_lstm(arrays: Arrays) -> Gates:
    """Keras 1: twelve arrays, W U b of i, then of c, f, o; with ``consume_less="gpu"`` three, as in Keras 2."""
    return keras(*_by_gate(arrays, (0, 2, 1, 3)))


def keras1_gru(arrays: Arrays) -> Gates:
    """Keras 1: nine arrays, W U b of z, then of r, h; the reset gate comes before the product."""
    return keras(*_by_gate(arrays, (0, 1, 2)))


def _by_gate(arrays: Arrays, order: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (np.concatenate([arrays[3 * gate] for gate in order], axis=1),
            np.concatenate([arrays[3 * gate + 1] for gate in order], axis=1),
            np.concatenate([arrays[3 * gate + 2] for gate in order]))


def cudnn_lstm(kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> Gates:
    """Keras' CuDNNLSTM: cuDNN has rows of inputs where Keras has columns; two biases of every gate, to be added."""
    return keras(_within(kernel, 4, like_input=True), _within(recurrent, 4), added(*np.split(bias, 2)))


def cudnn_gru(kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> Gates:
    """Keras' CuDNNGRU: as CuDNNLSTM; cuDNN resets after the product, so the halves of the bias stay apart."""
    return keras(_within(kernel, 3, like_input=True), _within(recurrent, 3), bias.reshape(2, -1))


def _within(matrix: np.ndarray, gates: int, like_input: bool = False) -> np.ndarray:
    """Transpose inside each gate. A gate of the kernel keeps its shape (in, n): its bytes are (n, in) row by row."""
    return np.concatenate([block.T.reshape(block.shape, order="F") if like_input else block.T
                           for block in np.split(matrix, gates, axis=1)], axis=1)


# --- PyTorch ---------------------------------------------------------------------------------------------------------

def torch_lstm(ih: np.ndarray, hh: np.ndarray, bias_ih: np.ndarray | None, bias_hh: np.ndarray | None,
               hr: np.ndarray | None = None) -> Gates:
    """PyTorch: i f g o is our order under another name; ``hr`` (p, n) projects h."""
    return Gates(float32(ih), float32(hh), added(bias_ih, bias_hh), projection=None if hr is None else float32(hr))


def torch_gru(ih: np.ndarray, hh: np.ndarray, bias_ih: np.ndarray | None, bias_hh: np.ndarray | None) -> Gates:
    """PyTorch: r z n becomes z r h; n = tanh(Wx + b + r·(Uh + b')), the reset gate after the product."""
    swap = (1, 0, 2)
    return Gates(float32(reordered(ih, swap)), float32(reordered(hh, swap)),
                 None if bias_ih is None else float32(reordered(bias_ih, swap)),
                 None if bias_hh is None else float32(reordered(bias_hh, swap)))


def torch_rnn(ih: np.ndarray, hh: np.ndarray, bias_ih: np.ndarray | None, bias_hh: np.ndarray | None) -> Gates:
    """PyTorch: one gate, two biases to be added."""
    return Gates(float32(ih), float32(hh), added(bias_ih, bias_hh))


# --- ONNX: one direction of W, R, B, P -------------------------------------------------------------------------------

def onnx_lstm(w: np.ndarray, r: np.ndarray, b: np.ndarray | None, p: np.ndarray | None) -> Gates:
    """ONNX: i o f c becomes i f c o; the bias is [Wb, Rb]; peepholes i o f become i f o."""
    order = (0, 2, 3, 1)
    bias = None if b is None else added(*np.split(b, 2))
    return Gates(float32(reordered(w, order)), float32(reordered(r, order)),
                 None if bias is None else float32(reordered(bias, order)),
                 peephole=None if p is None else float32(reordered(p, (0, 2, 1)).reshape(3, -1)))


def onnx_gru(w: np.ndarray, r: np.ndarray, b: np.ndarray | None, reset_after: bool) -> Gates:
    """ONNX: z r h is our order; the halves of the bias are added unless ``linear_before_reset`` keeps them apart."""
    if b is None or not reset_after:
        return Gates(float32(w), float32(r), None if b is None else added(*np.split(b, 2)))
    first, second = np.split(b, 2)
    return Gates(float32(w), float32(r), float32(first), float32(second))


def onnx_rnn(w: np.ndarray, r: np.ndarray, b: np.ndarray | None) -> Gates:
    """ONNX: one gate, the bias is [Wb, Rb]."""
    return Gates(float32(w), float32(r), None if b is None else added(*np.split(b, 2)))


# --- TensorFlow 1 ----------------------------------------------------------------------------------------------------

def tensorflow1_lstm(kernel: np.ndarray, bias: np.ndarray, forget_bias: float = 1.0) -> Gates:
    """TensorFlow 1, BasicLSTMCell: one kernel for [x, h], gates i j f o; forget_bias was added when it ran.

    Parameters: ``kernel`` (inputs + units, 4·units), ``bias`` (4·units,), ``forget_bias`` as the cell was made with.
    Raises `InputError` for other shapes.
    """
    kernel, bias = np.asarray(kernel), np.asarray(bias)
    units = bias.shape[0] // 4 if bias.ndim == 1 else 0
    if not units or kernel.ndim != 2 or kernel.shape[1] != 4 * units or kernel.shape[0] <= units \
            or bias.shape != (4 * units,):
        raise InputError(message("tensorflow1_lstm", "kernel", "of shape (inputs + units, 4·units), with a bias of "
                                 "(4·units,)", f"{kernel.shape} and {bias.shape}"))
    order = (0, 2, 1, 3)
    rows = reordered(kernel.T, order)
    b = reordered(bias.astype(np.float64), order)
    b[units:2 * units] += forget_bias
    return Gates(float32(rows[:, :-units]), float32(rows[:, -units:]), float32(b))
