"""The offline default: a table of token vectors, averaged. English first; 32 000 tokens, 256 dimensions.

wordllama 0.4.0.post1 carries its weights but looks for its tokenizer in a folder that is not there,
and then downloads. Both files are therefore read from the installed package, without importing it (its
import also configures the root logger).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.encode.base import Encoder
from kiyas.errors import FileError, MissingExtraError, missing_extra

_PURPOSE = "the wordllama encoder"
_TABLE = "l2_supercat_256"
_TENSOR = "embedding.weight"
# Token vectors gathered at a time (16 MiB), however long a text is.
_BLOCK = 1 << 14


class WordLlama(Encoder):
    """Mean of wordllama's token vectors (``l2_supercat_256``), not normalised; no token limit.

    Bit for bit what wordllama's own ``embed(texts, norm=False)`` gives, and independent of the batch.
    Every character has tokens (by its bytes, if need be), so only a blank text has no vector.

    Raises `MissingExtraError` without the extra ``text``, `FileError` where the package lacks its files.
    """

    def __init__(self) -> None:
        tokenizers = _module("tokenizers")
        folder = _package()
        self.name = "wordllama"
        self.version = f"{importlib.metadata.version('wordllama')} {_TABLE}"
        # The wheel that was tried has "tokenizers"; wordllama's own code looks in "tokenizer".
        names = [f"{part}/l2_supercat_tokenizer_config.json" for part in ("tokenizers", "tokenizer")]
        self._tokenizer = tokenizers.Tokenizer.from_file(str(_existing(folder, names)))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._table = _read_table(_existing(folder, [f"weights/{_TABLE}.safetensors"]))
        self.dims = self._table.shape[1]

    def _vectors(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids, counts = self._tokens(texts)
        starts = np.cumsum(counts) - counts
        out = np.zeros((len(texts), self._table.shape[1]), np.float32)
        first = 0
        while first < len(texts):
            # As many whole texts as fill a block; a text longer than that is summed block by block.
            last = int(np.searchsorted(starts, starts[first] + _BLOCK, side="right")) - 1
            last = max(last, first + 1)
            if counts[first] > _BLOCK:
                last = first + 1
                out[first] = self._long_sum(ids[starts[first]:starts[first] + counts[first]])
            else:
                end = starts[last] if last < len(texts) else ids.size
                rows = self._table[ids[starts[first]:end]]
                for i in range(first, last):
                    a = starts[i] - starts[first]
                    np.add.reduce(rows[a:a + counts[i]], axis=0, out=out[i])
            first = last
        out /= np.maximum(counts, 1).astype(np.float32)[:, None]
        return out, counts > 0

    def _long_sum(self, ids: np.ndarray) -> np.ndarray:
        total = np.zeros((1, self._table.shape[1]), np.float32)
        for start in range(0, ids.size, _BLOCK):
            total = np.add.reduce(np.concatenate([total, self._table[ids[start:start + _BLOCK]]]), axis=0,
                                  keepdims=True)
        return np.asarray(total[0])

    def _tokens(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        encoded = [one.ids for one in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        counts = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return np.fromiter(chain.from_iterable(encoded), np.int64, int(counts.sum())), counts

    def _inspect(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        counts = self._tokens(texts)[1]
        return counts, counts > 0


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _missing(name) from None


def _missing(package: str) -> MissingExtraError:
    return missing_extra(package, "text", _PURPOSE)


def _package() -> Path:
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise _missing("wordllama")
    return Path(spec.origin).parent


def _existing(folder: Path, names: list[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileError(f"wordllama: the installed package has no {' or '.join(names)} in {folder}; "
                    "install the version that kiyas was tried with: pip install 'kiyas[text]'")


def _read_table(path: Path) -> np.ndarray:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise FileError(f"wordllama: {path} is damaged: {error}") from None
    if _TENSOR not in tensors or tensors[_TENSOR].ndim != 2:
        raise FileError(f"wordllama: {path} has no table '{_TENSOR}'")
    return tensors[_TENSOR].astype(np.float32)
