"""Sums whose value does not depend on the batch, on padding or on threads: one after another, or over a contiguous row.

A library's matrix product is not used: its order of summation depends on the shape.
"""

from __future__ import annotations

import numpy as np

from kiyas.kernels.recurrent import activate

# Numbers of a product that are in memory at a time.
_BLOCK = 1 << 20


def over_time(x: np.ndarray) -> np.ndarray:
    """(batch, time, features) -> (batch, features) float64, added step by step: steps of zeros change nothing."""
    total = np.zeros((x.shape[0], x.shape[2]), np.float64)
    for t in range(x.shape[1]):
        total += x[:, t]
    return total


def scores(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(batch, a, features) and (batch, b, features) -> inner products (batch, a, b) float32."""
    batch, count, features = queries.shape
    other = keys.shape[1]
    keys = np.ascontiguousarray(keys)
    out = np.empty((batch, count, other), np.float32)
    step = max(1, _BLOCK // max(1, other * features))
    for row in range(batch):
        for a in range(0, count, step):
            products = queries[row, a:a + step, None, :] * keys[row, None, :, :]
            out[row, a:a + step] = np.add.reduce(np.ascontiguousarray(products), axis=-1, dtype=np.float64)
    return out


def weighted(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weights (batch, a, time) and values (batch, time, features) -> sums over time (batch, a, features) float32."""
    total = np.zeros((weights.shape[0], weights.shape[1], values.shape[2]), np.float64)
    for t in range(values.shape[1]):
        total += weights[:, :, t, None] * values[:, t, None, :].astype(np.float64)
    return total.astype(np.float32)


def softmax_over_time(scores_: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, (…, time), added step by step: steps of weight zero change nothing."""
    e = activate("exponential", scores_ - scores_.max(axis=-1, keepdims=True))
    total = np.zeros(e.shape[:-1], np.float64)
    for t in range(e.shape[-1]):
        total += e[..., t]
    return (e / total[..., None]).astype(np.float32)
