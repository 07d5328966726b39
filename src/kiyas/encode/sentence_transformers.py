"""Any sentence-transformers model, by name or folder, before its closing normalisation.

Norms carry information that some measures use, and every cosine can be had from raw vectors, but
not the other way round; so a closing Normalize module is left out. No code from a model's own
repository is run. ``HF_HUB_OFFLINE=1`` keeps names from being looked up in the network.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.arrays import to_numpy
from kiyas.encode.base import Encoder
from kiyas.errors import FileError, InputError, message, missing_extra

_PREFIX = "sentence-transformers:"
# Numbers read of each weight tensor for the fingerprint: enough to tell two trainings apart, quick for any size.
_SAMPLED = 4096


class SentenceTransformers(Encoder):
    """A sentence-transformers model, output before its Normalize module where it has one.

    ``name``: of a model, or a folder. ``device``: as PyTorch names it; None takes what
    sentence-transformers would. ``prompt``: text put before every text ("query: "); None takes the
    model's default prompt, "" none. ``places``: as of `kiyas.encode.encoder`.
    ``max_tokens`` counts the prompt and the model's own marks.

    Texts of like length share a batch; the padding of a batch may move a vector by about 1e-7.
    Raises `MissingExtraError` without the extra ``sentence-transformers`` and `FileError` for a model
    that cannot be loaded.
    """

    _batch_size = 32
    _by_length = True

    def __init__(self, name: str, device: str | None = None, prompt: str | None = None, *,
                 places: Mapping[str, Path] | None = None) -> None:
        try:
            library = importlib.import_module("sentence_transformers")
        except ImportError:
            raise missing_extra("sentence-transformers", "sentence-transformers", "this encoder") from None
        self.name = _PREFIX + name
        place = str((places or {}).get(name, name))
        self.files = {name: Path(place).absolute()} if Path(place).is_dir() else {}
        try:
            with _quiet():
                model = library.SentenceTransformer(place, device=device)
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise FileError(f"{self.name}: cannot be loaded ({reason}); give the name of a model or its folder") \
                from None
        self.normalizes = len(model) > 1 and type(model[-1]).__name__ == "Normalize"
        if self.normalizes:
            del model[-1]
        model.eval()
        default = model.prompts.get(model.default_prompt_name) if model.default_prompt_name else None
        self.prompt = (default or "") if prompt is None else prompt
        model.default_prompt_name = None  # from here on the prompt is given with each call
        self._model = model
        self.max_tokens = _limit(model)
        dims = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        self.dims = dims()
        self.version = f"weights {_fingerprint(model)}, {self.max_tokens} tokens"

    def _vectors(self, texts: list[str]) -> tuple[np.ndarray, None]:
        vectors = self._model.encode(texts, prompt=self.prompt or None, batch_size=len(texts), convert_to_tensor=True,
                                     show_progress_bar=False, normalize_embeddings=False)
        return to_numpy(vectors), None

    def _inspect(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids = self._ids([self.prompt + text for text in texts])
        marks = self._marks()
        alone = self._ids([self.prompt])[0] if self.prompt else []
        # With a prompt, its own tokens are known; a text has to add one of its own.
        known = [sum(i not in marks for i in one) > sum(i not in marks for i in alone) for one in ids]
        return np.fromiter(map(len, ids), np.int64, len(ids)), np.array(known, bool)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        tokenizer: Any = getattr(self._model, "tokenizer", None)
        if callable(tokenizer):
            # verbose=False: a long text is what is being looked for here, not a reason to warn.
            encoded = tokenizer(texts, add_special_tokens=True, truncation=False, padding=False,
                                return_attention_mask=False, verbose=False)
            return list(encoded["input_ids"])
        if hasattr(tokenizer, "encode_batch"):
            return [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
        raise InputError(message(self.name, "model", "one whose tokens can be counted", type(tokenizer).__name__,
                                 "wrap it: kiyas.encode.CallableEncoder(model.encode, count_tokens=...)"))

    def _marks(self) -> frozenset[int]:
        return frozenset(getattr(self._model.tokenizer, "all_special_ids", ()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bar that transformers draws on stderr while it loads; progress is the caller's to show."""
    logging = importlib.import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _limit(model: Any) -> int | None:
    value = model.max_seq_length
    # Tokenizers say "no limit" with a number far beyond any memory.
    return None if value is None or value > 10**9 else int(value)


def _fingerprint(model: Any) -> str:
    """Names, shapes and a spread of the numbers of all weights, as 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().reshape(-1)
        step = max(1, flat.shape[0] // _SAMPLED)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(to_numpy(flat[::step].double()).tobytes())
    return digest.hexdigest()[:16]
