"""Texts to vectors, and long texts to passages. See docs/texts.md.

`encoder` builds one by name; `split_texts` cuts long texts into overlapping passages;
`documents_from_passages` turns hits of passages into hits of documents; `known_items` makes questions from texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kiyas.encode.base import CallableEncoder, Encoder
from kiyas.encode.documents import DocumentHits, documents_from_passages, search_documents
from kiyas.encode.known import KnownItems, different_texts, known_items
from kiyas.encode.passages import Passages, split_texts
from kiyas.encode.sentences import sentences
from kiyas.errors import InputError, message

__all__ = [
    "CallableEncoder",
    "DocumentHits",
    "Encoder",
    "KnownItems",
    "Passages",
    "different_texts",
    "documents_from_passages",
    "encoder",
    "known_items",
    "search_documents",
    "sentences",
    "split_texts",
]

_NAMES = ("wordllama", "use", "sentence-transformers:NAME_OR_FOLDER", "recurrent:FILE")


def encoder(spec: str | Encoder | Callable[[list[str]], Any], places: Mapping[str, Path] | None = None) -> Encoder:
    """The encoder of that name, the encoder itself, or any callable texts → (texts, dims) array as one.

    Names: ``wordllama``, ``use``, ``sentence-transformers:NAME_OR_FOLDER``, ``recurrent:FILE``. ``places`` has files
    and folders that a name speaks of, where they are not where it says. Raises `InputError` for another name,
    suggesting near ones; `MissingExtraError` with the install line where it needs a package that is not there.

    >>> encoder("wordlama")
    Traceback (most recent call last):
        ...
    kiyas.errors.InputError: encoder: 'spec' must be one of wordllama, use, sentence-transformers:NAME_OR_FOLDER, \
recurrent:FILE, got 'wordlama'; did you mean wordllama?
    """
    if isinstance(spec, Encoder):
        return spec
    if isinstance(spec, str):
        return _by_name(spec, places) if places else _by_name(spec)
    if callable(spec):
        return CallableEncoder(spec)
    raise _unknown(spec)


def _by_name(spec: str, places: Mapping[str, Path] | None = None) -> Encoder:
    kind, _, rest = spec.partition(":")
    if kind == "sentence-transformers" and rest:
        from kiyas.encode.sentence_transformers import SentenceTransformers
        return SentenceTransformers(rest, places=places)
    if kind == "recurrent" and rest:
        from kiyas.encode.recurrent import by_name
        return by_name(spec, places)
    if spec == "wordllama":
        from kiyas.encode.wordllama import WordLlama
        return WordLlama()
    if spec == "use":
        from kiyas.encode.use import UniversalSentenceEncoder
        return UniversalSentenceEncoder()
    near = get_close_matches(kind, [name.partition(":")[0] for name in _NAMES], n=1)
    full = [name for name in _NAMES if near and name.startswith(near[0])]
    raise _unknown(spec, f"did you mean {full[0]}?" if full else "")


def _unknown(spec: object, cure: str = "") -> InputError:
    names = ", ".join(_NAMES)
    allowed = f"one of {names}" if isinstance(spec, str) else f"{names}, an Encoder or a callable"
    return InputError(message("encoder", "spec", allowed, repr(spec), cure))
