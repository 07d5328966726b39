"""What an encoder is, and the checks that all of them share.

An encoder's own module says only how texts become vectors (`Encoder._vectors`) and how tokens are
counted (`Encoder._inspect`). Everything that could go wrong in silence is caught here: a blank text, a
text without a known token, a text longer than the model reads, vectors of the wrong shape, NaN.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from kiyas.arrays import count, to_numpy
from kiyas.errors import InputError, message

# (done, total); within long texts, ``done`` counts parts of them.
Progress = Callable[[float, int], None]

# Texts tokenised at a time: enough to keep a parallel tokenizer busy, few enough to bound memory.
_INSPECTED = 1024


class Encoder(ABC):
    """Turns texts into vectors.

    ``name``: what `kiyas.encode.encoder` takes to build the same encoder again. ``version``: changes
    when the vectors do; both are stored with an index. ``dims``: length of a vector (None until a
    wrapped callable has been called once). ``max_tokens``: the longest text that the model reads,
    counted as `count_tokens` does; None for no limit. ``files``: where the files are that the name speaks
    of, by what the name calls them.
    """

    name: str
    version: str
    dims: int | None
    max_tokens: int | None = None
    files: Mapping[str, Path] = MappingProxyType({})

    # For those who implement one:
    _batch_size = 1024  # texts a batch, unless asked otherwise
    _batch_characters = 1 << 20  # and characters, so that long texts do not add up
    _by_length = False  # whether texts of like length should share a batch (padding costs time)

    def encode(self, texts: Iterable[str], batch_size: int | None = None, progress: Progress | None = None, *,
               blank: str = "error", overlong: str = "error") -> np.ndarray:
        """The vectors of the texts, (texts, dims) float32, as the model gives them (not normalised).

        ``batch_size``: texts at a time (None: the encoder's own). ``progress(done, total)`` is called
        after each batch. ``blank``: what to do with a text that is empty, only white space, or without
        any token the model knows: "error", or "zero" for a vector of zeros. ``overlong``: what to do
        with a text of more than ``max_tokens`` tokens: "error", or "cut" to let the model drop the rest
        (`kiyas.encode.split_texts` splits instead).

        Raises `InputError` naming the number of the text, counted from 0.
        """
        owner = f"{self.name}.encode"
        items = checked_texts(texts, owner)
        size = self._batch_size if batch_size is None else count(batch_size, "batch_size", owner, 1, 2**31)
        _choice(blank, "blank", owner, ("error", "zero"))
        _choice(overlong, "overlong", owner, ("error", "cut"))
        usable = np.array([not text.isspace() and text != "" for text in items])
        if blank == "error" and not usable.all():
            raise _blank(owner, usable, items, "is blank")
        if self.max_tokens is not None:
            usable = self._check_lengths(items, usable, blank, overlong)
        return self._encode_checked(items, usable, size, progress, blank)

    def count_tokens(self, texts: Iterable[str]) -> np.ndarray:
        """The number of tokens of each text, (texts,) int64, those that the model adds itself included."""
        items = checked_texts(texts, f"{self.name}.count_tokens")
        return np.concatenate([self._inspect(items[a:a + _INSPECTED])[0] for a in range(0, len(items), _INSPECTED)])

    @abstractmethod
    def _vectors(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
        """Vectors (texts, dims), and where it is known only now: which texts had a known token."""

    def _watched(self, texts: list[str], report: Callable[[float], None] | None
                 ) -> tuple[np.ndarray, np.ndarray | None]:
        """`_vectors`; ``report`` may be called with the part of these texts that was read, from 0 to 1."""
        return self._vectors(texts)

    @abstractmethod
    def _inspect(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token counts (int64), and whether a text has a token that the model knows (bool)."""

    def _check_lengths(self, items: list[str], usable: np.ndarray, blank: str, overlong: str) -> np.ndarray:
        """Before any encoding, as the last text may be the one too long. Returns the usable texts."""
        owner, limit = f"{self.name}.encode", self.max_tokens or 0
        rows = np.flatnonzero(usable)
        known = usable.copy()
        counts = np.zeros(len(items), np.int64)
        for start in range(0, rows.size, _INSPECTED):
            block = rows[start:start + _INSPECTED]
            counts[block], known[block] = self._inspect([items[i] for i in block])
        if blank == "error" and not known.all():
            raise _blank(owner, known, items, "has no token that the encoder knows")
        long = np.flatnonzero(counts > limit)
        if overlong == "error" and long.size:
            raise InputError(message(
                owner, "texts", f"of at most {limit} tokens",
                f"{counts[long[0]]} in text {long[0]}" + (f" ({long.size} texts are longer)" if long.size > 1 else ""),
                "split them with kiyas.encode.split_texts, or give overlong='cut' to drop the rest"))
        return known

    def _encode_checked(self, items: list[str], usable: np.ndarray, size: int, progress: Progress | None,
                        blank: str) -> np.ndarray:
        owner, total = f"{self.name}.encode", len(items)
        out = None if self.dims is None else np.zeros((total, self.dims), np.float32)
        done = total - int(usable.sum())
        for rows in self._batches(items, np.flatnonzero(usable), size):
            raw, known = self._watched([items[i] for i in rows], _part_of(progress, done, len(rows), total))
            vectors = _checked_vectors(raw, rows, self.dims, owner)
            if known is not None and not known.all():
                if blank == "error":
                    mask = np.ones(total, bool)
                    mask[rows] = known
                    raise _blank(owner, mask, items, "has no token that the encoder knows")
                vectors = np.where(known[:, None], vectors, np.float32(0))
            if out is None:
                self.dims = vectors.shape[1]
                out = np.zeros((total, self.dims), np.float32)
            out[rows] = vectors
            done += len(rows)
            if progress is not None:
                progress(done, total)
        if out is None:
            raise InputError(message(owner, "texts", "not all blank while dims is not known", f"{total} blank texts",
                                     "give the encoder dims="))
        return out

    def _batches(self, items: Sequence[str], rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
        lengths = np.array([len(items[i]) for i in rows], np.int64)
        if self._by_length:
            # Longest first, so that running out of memory happens at once rather than at the end.
            order = np.argsort(-lengths, kind="stable")
            rows, lengths = rows[order], lengths[order]
        ends = np.cumsum(lengths)
        start = 0
        while start < rows.size:
            before = ends[start - 1] if start else 0
            stop = int(np.searchsorted(ends, before + self._batch_characters, side="right"))
            stop = min(max(stop, start + 1), start + size, rows.size)
            yield rows[start:stop]
            start = stop


class CallableEncoder(Encoder):
    """Any function texts → (texts, dims) array as an encoder.

    ``name`` defaults to the function's own; ``version`` should change when the vectors do.
    ``count_tokens``: a function texts → counts, needed for ``max_tokens`` and for passages.

    >>> lengths = CallableEncoder(lambda texts: [[len(t), 1.0] for t in texts], name="lengths")
    >>> lengths.encode(["to", "measure"]).tolist()
    [[2.0, 1.0], [7.0, 1.0]]
    """

    def __init__(self, function: Callable[[list[str]], Any], name: str | None = None, version: str = "", *,
                 dims: int | None = None, max_tokens: int | None = None,
                 count_tokens: Callable[[list[str]], Any] | None = None) -> None:
        if not callable(function):
            raise InputError(message("CallableEncoder", "function", "a callable texts -> array", repr(function)))
        own = getattr(function, "__qualname__", type(function).__qualname__)
        self.name = name if name is not None else f"{getattr(function, '__module__', '')}.{own}".strip(".")
        self.version = version
        self.dims = None if dims is None else count(dims, "dims", "CallableEncoder", 1, 2**31)
        self.max_tokens = None if max_tokens is None else count(max_tokens, "max_tokens", "CallableEncoder", 1, 2**62)
        if max_tokens is not None and count_tokens is None:
            raise InputError(message("CallableEncoder", "count_tokens", "given with max_tokens", "None"))
        self._function, self._count = function, count_tokens

    def _vectors(self, texts: list[str]) -> tuple[np.ndarray, None]:
        value = self._function(texts)
        try:
            return np.asarray(to_numpy(value)), None
        except (ValueError, TypeError) as error:
            raise InputError(message(f"{self.name}.encode", "function", "one that returns a (texts, dims) array",
                                     f"{type(value).__name__} that is no array ({error})")) from None

    def _inspect(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        if self._count is None:
            raise InputError(message(f"{self.name}.count_tokens", "count_tokens", "given to the encoder", "None",
                                     "CallableEncoder(function, count_tokens=...)"))
        return checked_counts(self._count(texts), len(texts), f"{self.name}.count_tokens"), np.ones(len(texts), bool)


def _part_of(progress: Progress | None, done: int, texts: int, total: int) -> Callable[[float], None] | None:
    """What tells of a part of some texts as of so many texts."""
    if progress is None:
        return None
    told = progress
    return lambda part: told(done + part * texts, total)


def checked_texts(texts: Iterable[str], owner: str) -> list[str]:
    """The texts as a list of at least one; `InputError` names the first that is no text."""
    wanted = "a list of texts"
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise InputError(message(owner, "texts", wanted, type(texts).__name__,
                                 "put a single text in a list" if isinstance(texts, str) else ""))
    items = [text if type(text) is str else _plain(text, i, owner) for i, text in enumerate(texts)]
    if not items:
        raise InputError(message(owner, "texts", wanted, "none"))
    for i, text in enumerate(items):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InputError(message(owner, "texts", "valid Unicode", f"a lone surrogate in text {i} at character "
                                         f"{error.start}", "decode the file with its own encoding")) from None
    return items


def checked_counts(counts: Any, texts: int, owner: str) -> np.ndarray:
    """Token counts of a function that is not ours, (texts,) int64."""
    values = np.asarray(counts)
    if values.shape != (texts,) or values.dtype.kind not in "iu" or (values < 0).any():
        raise InputError(message(owner, "count_tokens", f"a function that returns {texts} integers of 0 or above",
                                 f"shape {values.shape} of {values.dtype}"))
    return values.astype(np.int64)


def _plain(text: object, number: int, owner: str) -> str:
    if not isinstance(text, str):  # numpy.str_ and the like are texts; numbers and None are not
        raise InputError(message(owner, "texts", "texts only", f"{type(text).__name__} at number {number}"))
    return str(text)


def _checked_vectors(raw: Any, rows: np.ndarray, dims: int | None, owner: str) -> np.ndarray:
    values = np.asarray(raw)
    wanted = f"shape ({len(rows)}, {'dims' if dims is None else dims}) of floats"
    if values.ndim != 2 or values.shape[0] != len(rows) or 0 in values.shape or values.dtype.kind not in "fiu" \
            or (dims is not None and values.shape[1] != dims):
        raise InputError(message(owner, "vectors", wanted, f"shape {values.shape} of {values.dtype}"))
    with np.errstate(over="ignore"):
        vectors = values.astype(np.float32)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise InputError(message(owner, "vectors", "finite in float32",
                                 f"NaN or infinity for text {rows[int(np.argmin(finite))]}"))
    return vectors


def _choice(value: object, name: str, owner: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(message(owner, name, " or ".join(map(repr, allowed)), repr(value)))


def _blank(owner: str, usable: np.ndarray, items: list[str], what: str) -> InputError:
    rows = np.flatnonzero(~usable)
    got = f"text {rows[0]} that {what} ({items[rows[0]][:20]!r})"
    if rows.size > 1:
        got += f" and {rows.size - 1} more"
    return InputError(message(owner, "texts", "texts with words in them", got,
                              "leave it out, or give blank='zero' for a vector of zeros"))
