"""Sequences of different lengths as one array, as ``pad_sequences`` of Keras makes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kiyas.errors import InputError, message

_OWNER = "pad_sequences"


def pad_sequences(sequences: Iterable[Any], maxlen: int | None = None, dtype: str | np.dtype[Any] = "int32",
                  padding: str = "pre", truncating: str = "pre", value: float = 0.0) -> np.ndarray:
    """Sequences padded and cut to one length, (sequences, maxlen, …) of ``dtype``.

    Parameters: ``sequences``, each (steps, …) with steps of one shape; ``maxlen``, None for the longest;
    ``padding`` and ``truncating``, "pre" or "post": the end that is padded, and the end that is cut off;
    ``value``, what is padded with. As in Keras both are "pre": the **last** maxlen items stay, at the end.

    Different from Keras on purpose: ``maxlen=0`` raises (Keras cuts nothing then), and so does a number that ``dtype``
    cannot hold, such as 0.5 in int32 (Keras makes it 0). Raises `InputError`.

    >>> pad_sequences([[1, 2, 3], [4]], maxlen=2).tolist()
    [[2, 3], [0, 4]]
    >>> pad_sequences([[1, 2, 3], [4]], padding="post", truncating="post", maxlen=2).tolist()
    [[1, 2], [4, 0]]
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise InputError(message(_OWNER, name, "'pre' or 'post'", repr(side)))
    if maxlen is not None and (isinstance(maxlen, bool) or not isinstance(maxlen, (int, np.integer)) or maxlen < 1):
        raise InputError(message(_OWNER, "maxlen", "an integer of 1 or above, or None", repr(maxlen)))
    if isinstance(sequences, (str, bytes)) or not isinstance(sequences, Iterable):
        raise InputError(message(_OWNER, "sequences", "a list of sequences", type(sequences).__name__))
    kind = np.dtype(dtype)
    arrays = [_array(one, number, kind) for number, one in enumerate(sequences)]
    longest = max((len(a) for a in arrays), default=0)
    length = longest if maxlen is None else int(maxlen)
    inner = next((a.shape[1:] for a in arrays if len(a)), ())
    for number, a in enumerate(arrays):
        if len(a) and a.shape[1:] != inner:
            raise InputError(message(_OWNER, "sequences", f"steps of one shape, {inner}",
                                     f"{a.shape[1:]} in sequence {number}"))
    out = np.full((len(arrays), length, *inner), _held(np.asarray(value), kind, "value", "value"), kind)
    for row, a in zip(out, arrays, strict=True):
        if not len(a):
            continue
        kept = a[-length:] if truncating == "pre" else a[:length]
        if padding == "pre":
            row[length - len(kept):] = kept
        else:
            row[:len(kept)] = kept
    return out


def _array(one: Any, number: int, kind: np.dtype[Any]) -> np.ndarray:
    wanted = "numbers of shape (steps, …)"
    try:
        array = np.asarray(one)
    except ValueError as error:
        raise InputError(message(_OWNER, "sequences", wanted, f"no array at number {number} ({error})")) from None
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        got = f"{type(one).__name__} at number {number}" if array.ndim == 0 else f"{array.dtype} at number {number}"
        raise InputError(message(_OWNER, "sequences", wanted, got, "put a single sequence in a list"
                                 if array.ndim == 0 else ""))
    return _held(array, kind, "sequences", f"sequence {number}")


def _held(array: np.ndarray, kind: np.dtype[Any], name: str, where: str) -> np.ndarray:
    """The array in the wanted dtype; an integer dtype must hold every number as it is."""
    with np.errstate(invalid="ignore"):
        cast = array.astype(kind)
    if kind.kind in "iu" and array.size and not (cast == array).all():
        odd = array[cast != array].flat[0]
        raise InputError(message(_OWNER, name, f"numbers that {kind} holds", f"{odd} in {where}",
                                 "give dtype='float32'" if array.dtype.kind == "f" else "give another dtype"))
    return cast
