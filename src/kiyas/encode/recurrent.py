"""Any recurrent model as an encoder of texts or series: ``kiyas index --encoder recurrent:FILE``.

See docs/generation.md for tokenizers, docs/texts.md for encoders.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.arrays import count
from kiyas.encode.base import Encoder, Progress
from kiyas.encode.states import States
from kiyas.errors import FileError, InputError, message
from kiyas.recurrent.generation.reader import one_hot
from kiyas.recurrent.loading import load
from kiyas.recurrent.tokenizer import Tokenizer
from kiyas.recurrent.tokenizer_files import beside

_PREFIX = "recurrent:"
_OPTIONS = ("tokenizer", "layer", "pooling", "window", "config", "prefix")


class RecurrentEncoder(Encoder):
    """A recurrent model that turns texts, or series of numbers, into vectors.

    Parameters: ``file``, of any model that `kiyas.recurrent.load` reads; ``tokenizer``, a file or a `Tokenizer`, None
    for the one beside the model (NAME.tokenizer.json, tokenizer.json, or pickled); ``layer`` and ``pooling``: see
    `kiyas.encode.states.States`; ``window``: texts are padded in front to this length before they are read, for a model
    that was trained so, with `pad_sequences`, without a mask (longer ones are then too long); ``config`` and
    ``prefix``: see `kiyas.recurrent.load`, the first as a file; ``places``: as of `kiyas.encode.encoder`.

    ``name`` is ``recurrent:FILE`` with the options that are not defaults, ``recurrent:FILE(pooling=mean)``; ``version``
    has the hashes of all files. Texts of like length share a batch; a vector does not depend on the batch, bit for
    bit. Raises `FileError` for files, `InputError` for options that do not fit.
    """

    _batch_size = 64
    _by_length = True

    def __init__(self, file: str | Path, tokenizer: str | Path | Tokenizer | None = None, *, layer: str | None = None,
                 pooling: str = "last", window: int | None = None, config: str | Path | None = None,
                 prefix: str | None = None, places: Mapping[str, Path] | None = None) -> None:
        where = {str(given): (places or {}).get(str(given), Path(given))
                 for given in (file, tokenizer, config) if isinstance(given, str | Path)}
        self.files = {given: path.absolute() for given, path in where.items()}
        path = where[str(file)]
        given: dict[str, object] = {"tokenizer": tokenizer if isinstance(tokenizer, str | Path) else None,
                                    "layer": layer, "pooling": None if pooling == "last" else pooling, "window": window,
                                    "config": config, "prefix": prefix}
        options = ", ".join(f"{key}={value}" for key, value in given.items() if value is not None)
        self.name = f"{_PREFIX}{file}" + (f"({options})" if options else "")
        self.model = load(path, config=None if config is None else where[str(config)], prefix=prefix)
        self._states = States(self.model, layer, pooling, self.name)
        self.layer, self.pooling, self.dims = self._states.layer, pooling, self._states.dims
        self.window = self.max_tokens = None if window is None else count(window, "window", self.name, 1, 2**31)
        self._given = tokenizer
        self._read: Tokenizer | None = tokenizer if isinstance(tokenizer, Tokenizer) else None
        hashes = [f"weights {_digest(path.read_bytes())}"]
        if config is not None:
            hashes.append(f"config {_digest(where[str(config)].read_bytes())}")
        if isinstance(tokenizer, Tokenizer):
            hashes.append(f"tokenizer {_digest(tokenizer.to_json().encode())}")
        else:
            self._tokenizer_file = where[str(tokenizer)] if tokenizer is not None else beside(path)
            if self._tokenizer_file is not None:
                self._read = _tokenizer(self._tokenizer_file)
                hashes.append(f"tokenizer {_digest(self._tokenizer_file.read_bytes())}")
        self.version = ", ".join(hashes)

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns texts into the model's numbers; `FileError` where there is none (a model of series)."""
        if self._read is None:
            raise FileError(f"{self.name}: has no tokenizer; put it beside the model as NAME.tokenizer.json, or give "
                            f"{_PREFIX}FILE(tokenizer=FILE)")
        return self._read

    def encode_series(self, series: Iterable[Any], batch_size: int | None = None,
                      progress: Progress | None = None) -> np.ndarray:
        """The vectors of series of numbers, each (time, features) with a time of its own: (series, dims) float32.

        Raises `InputError` naming the series whose shape does not fit or that holds NaN.
        """
        owner = f"{self.name}.encode_series"
        if self._states.features is None:
            raise InputError(message(owner, "series", "for a model whose input is features", "a model of ids"))
        rows = [self._series(one, number, owner) for number, one in enumerate(series)]
        if not rows:
            raise InputError(message(owner, "series", "at least one", "none"))
        size = self._batch_size if batch_size is None else count(batch_size, "batch_size", owner, 1, 2**31)
        order = np.argsort([-len(row) for row in rows], kind="stable")
        out = np.empty((len(rows), self._states.dims), np.float32)
        for start in range(0, len(rows), size):
            numbers = order[start:start + size]
            out[numbers] = self._states.vectors([rows[i] for i in numbers])
            if progress is not None:
                progress(min(start + size, len(rows)), len(rows))
        return out

    def _series(self, one: Any, number: int, owner: str) -> np.ndarray:
        wanted = f"numbers of shape (time, {self._states.features}) with at least one step"
        row = np.asarray(one)
        if row.ndim != 2 or row.shape[1] != self._states.features or not len(row) or row.dtype.kind not in "fiu":
            raise InputError(message(owner, "series", wanted, f"shape {row.shape} of {row.dtype} at number {number}"))
        if not np.isfinite(row).all():
            raise InputError(message(owner, "series", "finite", f"NaN or infinity at number {number}"))
        with np.errstate(over="ignore"):
            narrow = row.astype(np.float32)
        if not np.isfinite(narrow).all():
            raise InputError(message(owner, "series", f"of at most {np.finfo(np.float32).max:.4g} in size, as far as "
                                     "float32 goes", f"{row.flat[int(np.argmin(np.isfinite(narrow)))]} at number "
                                     f"{number}"))
        return narrow

    # -- texts -------------------------------------------------------------------------------------

    def _vectors(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        return self._watched(texts, None)

    def _watched(self, texts: list[str], report: Callable[[float], None] | None) -> tuple[np.ndarray, np.ndarray]:
        ids = [self._ids(text) for text in texts]
        known = np.array([one.size > 0 for one in ids])
        out = np.zeros((len(texts), self._states.dims), np.float32)
        rows = np.flatnonzero(known)
        if rows.size:
            out[rows] = self._of_ids([ids[i] for i in rows], report)
        return out, known

    def _ids(self, text: str) -> np.ndarray:
        ids = np.fromiter(self.tokenizer.iter_numbers(text), np.int64)
        # Half the memory, but for numbers that no embedding has: those must be named, not wrapped around.
        return ids.astype(np.int32) if ids.max(initial=0) < 2**31 else ids

    def _of_ids(self, ids: Sequence[np.ndarray], report: Callable[[float], None] | None) -> np.ndarray:
        padded = None
        if self.window is not None:
            ids = [one[-self.window:] for one in ids]
            padded = np.array([self.window - one.size for one in ids], np.int64)
            ids = [np.concatenate([np.zeros(gap, np.int64), one]) for gap, one in zip(padded, ids, strict=True)]
        if self._states.features is None:
            return self._states.vectors(ids, padded, report)
        oov = self.tokenizer.oov_token
        outside = None if oov is None else self.tokenizer.word_index.get(oov)
        rows = [_OneHot(one, self._states.features, outside, self.name) for one in ids]
        return self._states.vectors(rows, padded, report)

    def _inspect(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        counts = np.array([sum(1 for _ in self.tokenizer.iter_numbers(text)) for text in texts], np.int64)
        return counts, counts > 0


class _OneHot:
    """Numbers as rows of 0 and 1, made where they are looked at: those of a long text would fill any memory."""

    def __init__(self, ids: np.ndarray, features: int, outside: int | None, owner: str) -> None:
        self._ids, self._given = ids, (features, outside, owner)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, part: slice) -> np.ndarray:
        return one_hot(self._ids[part], *self._given)


def by_name(spec: str, places: Mapping[str, Path] | None = None) -> RecurrentEncoder:
    """The encoder of ``recurrent:FILE`` or ``recurrent:FILE(option=value, …)``.

    Options are tokenizer, layer, pooling, window, config and prefix. Raises `InputError` for another one.
    """
    place = spec.removeprefix(_PREFIX)
    match = None if Path(place).exists() or place in (places or {}) else re.fullmatch(r"(.*)\(([^()]*)\)", place)
    options: dict[str, Any] = {}
    if match is not None:
        place = match[1]
        for part in filter(None, (piece.strip() for piece in match[2].split(","))):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or key not in _OPTIONS or not value:
                raise InputError(message("encoder", "spec", f"{_PREFIX}FILE(option=value, …) with "
                                         f"{', '.join(_OPTIONS)}", repr(part)))
            options[key] = value
    if "window" in options:
        if not options["window"].isdecimal():
            raise InputError(message("encoder", "window", "an integer from 1", repr(options["window"])))
        options["window"] = int(options["window"])
    return RecurrentEncoder(place, places=places, **options)


def _tokenizer(file: Path) -> Tokenizer:
    try:
        return Tokenizer.load(file)
    except InputError as error:
        # The options that are missing are none of an encoder's.
        if "is a vocabulary without options" in str(error):
            raise InputError(f"{file}: is a vocabulary without options; write the model with a tokenizer beside it: "
                             f"kiyas recurrent convert MODEL -o NEW --tokenizer {file.name}, with --characters or "
                             "--no-characters, and --lower or --no-lower") from None
        raise


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
