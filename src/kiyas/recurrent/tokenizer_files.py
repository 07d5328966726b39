"""Tokenizers from files: Keras' JSON, pickles of Keras' Tokenizer, plain vocabularies.

Keras writes JSON whose counts and words are JSON inside strings, and people often wrap the whole once more. Pickles go
through `kiyas.recurrent.loading.pickles`, which makes no object and runs nothing.
"""

from __future__ import annotations

import json
import reprlib
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiyas.errors import FileError, InputError
from kiyas.recurrent.tokenizer import FILTERS, Tokenizer

_MODULES = (
    "keras.preprocessing.text", "keras_preprocessing.text", "keras.src.preprocessing.text",
    "keras.src.legacy.preprocessing.text", "keras._legacy.preprocessing.text", "keras.legacy.preprocessing.text",
    "tensorflow.python.keras.preprocessing.text", "tensorflow.keras.preprocessing.text",
    "tensorflow.python.keras._impl.keras.preprocessing.text", "tf_keras.preprocessing.text",
    "tf_keras.src.preprocessing.text", "keras.api.preprocessing.text", "keras_preprocessing.text.tokenizer",
)
# What a tokenizer without an option had before the option was there.
_BEFORE: dict[str, Any] = {"num_words": None, "filters": FILTERS, "lower": True, "split": " ", "char_level": False,
                           "oov_token": None}
_MAPS = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
_ENDINGS = ("json", "pickle", "pkl")
_NEEDED = ("char_level", "lower")
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 2, 60, 60


def tokenizer_from_json(text: str) -> Tokenizer:
    """The tokenizer of a JSON text, as ``to_json`` of Keras or of `Tokenizer` writes it.

    Raises `FileError` for anything else.

    >>> made = Tokenizer.from_vocabulary({"cat": 1})
    >>> tokenizer_from_json(made.to_json()).word_index
    {'cat': 1}
    """
    return _of_json(_parsed(text, "tokenizer_from_json"), "tokenizer_from_json", {})


def read_tokenizer(path: Path, options: dict[str, Any]) -> Tokenizer:
    """The tokenizer in the file; see `Tokenizer.load`."""
    if path.is_dir() or not path.exists():
        raise FileError(f"{path}: there is no such file; a tokenizer is a .json or pickled file")
    if not path.is_file():  # a pipe would be waited for
        raise FileError(f"{path}: is no plain file; a tokenizer is a .json or pickled one")
    data = path.read_bytes()
    if path.suffix.lower() == ".json" or data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b'"', b"["):
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FileError(f"{path}: is not UTF-8 at byte {error.start}, so no JSON") from None
        return _of_json(_parsed(text, str(path)), str(path), options)
    try:
        return _of_pickle(data, str(path), options)
    except FileError as error:
        raise FileError(f"{error}; a tokenizer is Keras' JSON, a pickled one or a JSON vocabulary") from None


def beside(model: Path) -> Path | None:
    """The one tokenizer that lies beside a model's file: NAME.tokenizer.json, tokenizer.json, or pickled.

    Raises `FileError` where there are several.
    """
    for stem in (f"{model.stem}.tokenizer", "tokenizer"):
        found = [path for ending in _ENDINGS if (path := model.with_name(f"{stem}.{ending}")).is_file()]
        if len(found) > 1:
            raise FileError(f"{model}: has several tokenizers beside it, {', '.join(path.name for path in found)}; "
                            "name the one that is meant")
        if found:
            return found[0]
    return None


# -- JSON --------------------------------------------------------------------------------------------------


def _parsed(text: str, where: str) -> dict[str, Any]:
    value: Any = text
    for _ in range(2):  # json.dumps(tokenizer.to_json()) is what many pages on the web advise
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise FileError(f"{where}: is not JSON ({error})") from None
        if not isinstance(value, str):
            break
    if not isinstance(value, dict):
        raise FileError(f"{where}: is no tokenizer: holds {type(value).__name__}, not a JSON object")
    return value


def _of_json(value: dict[str, Any], where: str, options: dict[str, Any]) -> Tokenizer:
    if "class_name" not in value and value and all(type(number) is int for number in value.values()):
        return _of_vocabulary(value, where, options)
    config = value.get("config")
    if value.get("class_name") != "Tokenizer" or not isinstance(config, dict):
        raise FileError(f"{where}: is no tokenizer: wants class_name 'Tokenizer' with a config, or {{word: number}}")
    config = dict(config)
    for name in _MAPS:
        if isinstance(config.get(name), str):
            try:
                config[name] = json.loads(config[name])
            except (ValueError, RecursionError) as error:
                raise FileError(f"{where}: '{name}' is not JSON ({error})") from None
    return _made(config, where, options)


def _of_vocabulary(value: Mapping[str, Any], where: str, options: dict[str, Any]) -> Tokenizer:
    missing = [name for name in _NEEDED if name not in options]
    if missing:
        raise InputError(f"{where}: is a vocabulary without options; say {' and '.join(f'{n}=' for n in missing)} "
                         f"(char_level=True for characters, lower=True where texts are lower-cased first)")
    try:
        return Tokenizer.from_vocabulary(value, **options)
    except InputError as error:
        raise FileError(f"{where}: {error}") from None


# -- pickles -----------------------------------------------------------------------------------------------


def _of_pickle(data: bytes, where: str, options: dict[str, Any]) -> Tokenizer:
    from kiyas.recurrent.loading.pickles import Record, load, record

    stands = record("Tokenizer")
    allowed: dict[tuple[str, str], Any] = {(module, "Tokenizer"): stands for module in _MODULES}
    for builtins in ("builtins", "__builtin__"):
        allowed[builtins, "int"] = allowed[builtins, "long"] = int
        allowed[builtins, "object"] = object
    allowed["collections", "OrderedDict"] = OrderedDict
    allowed["collections", "defaultdict"] = defaultdict
    for copyreg in ("copyreg", "copy_reg"):  # how protocols 0 and 1 make an object
        allowed[copyreg, "_reconstructor"] = _reconstructed
    found = load(data, allowed, where=where)
    if isinstance(found, Record) and type(found) is stands:
        return _made(dict(found.attributes), where, options)
    if isinstance(found, dict) and found and all(type(number) is int for number in found.values()):
        return _of_vocabulary(found, where, options)
    raise FileError(f"{where}: holds a pickled {type(found).__name__}, not a Tokenizer")


def _reconstructed(kind: Any, *_: Any) -> Any:
    from kiyas.recurrent.loading.pickles import Record

    if not (isinstance(kind, type) and issubclass(kind, Record)):
        raise FileError(f"a pickle that makes a {_shown(kind)}, which is not allowed here; nothing was run")
    return kind()


# -- from attributes ---------------------------------------------------------------------------------------


def _made(config: dict[str, Any], where: str, options: dict[str, Any]) -> Tokenizer:
    if config.pop("analyzer", None) is not None:
        raise FileError(f"{where}: has an analyzer, a function of its own, which is not restored; split the texts with "
                        "it yourself and give lists of words")
    others = sorted(set(options) - {"locale"})
    if others:
        raise InputError(f"{where}: says itself what {', '.join(others)} is; only locale= may be given with it")
    if "nb_words" in config:
        config["num_words"] = config.pop("nb_words")
    maps = {name: config.pop(name, None) for name in _MAPS}
    count = config.pop("document_count", 0)
    chosen: dict[str, Any] = {"locale": None, **_BEFORE, **config, **options}
    unknown = sorted(set(chosen) - {*_BEFORE, "locale"})
    if unknown:
        raise FileError(f"{where}: has options that no Tokenizer of Keras has: {', '.join(unknown)}")
    for name, value in chosen.items():
        kinds = (bool,) if name in _NEEDED else (str, int, type(None))
        if type(value) not in kinds:
            wanted = "true or false" if name in _NEEDED else "a text, a whole number or null"
            raise FileError(f"{where}: '{name}' must be {wanted}, got {_shown(value)}")
    if type(count) is not int or count < 0:
        raise FileError(f"{where}: 'document_count' must be an integer from 0, got {_shown(count)}")
    chosen["num_words"] = chosen["num_words"] or None  # 0 is no limit in Keras
    try:
        made = Tokenizer(**chosen)
    except InputError as error:
        raise FileError(f"{where}: {error}") from None
    made.word_counts = _words(maps["word_counts"], "word_counts", where)
    made.word_docs = _words(maps["word_docs"], "word_docs", where)
    made.index_docs = _by_number(_counts(maps["index_docs"], "index_docs", where), "index_docs", where)
    made.word_index = _words(maps["word_index"], "word_index", where)
    if maps["index_word"] is None:
        made.index_word = {number: word for word, number in made.word_index.items()}
    else:
        made.index_word = _by_number(maps["index_word"], "index_word", where)
        if not all(isinstance(word, str) for word in made.index_word.values()):
            raise FileError(f"{where}: 'index_word' must map to words, got {_shown(maps['index_word'])}")
    odd = next((n for n, word in made.index_word.items() if made.word_index.get(word) != n), None)
    if odd is not None:
        raise FileError(f"{where}: index_word has {made.index_word[odd]!r} as number {odd}, word_index as "
                        f"{made.word_index.get(made.index_word[odd])}")
    made.document_count = count
    return made


def _counts(value: Any, name: str, where: str) -> dict[Any, int]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(type(number) is int and number >= 0 for number in value.values()):
        raise FileError(f"{where}: '{name}' must map to integers from 0, got {_shown(value)}")
    return dict(value)


def _words(value: Any, name: str, where: str) -> dict[str, int]:
    found = _counts(value, name, where)
    if not all(isinstance(word, str) for word in found):
        raise FileError(f"{where}: '{name}' must have words as keys, got {_shown(value)}")
    return found


def _by_number(value: Any, name: str, where: str) -> dict[int, Any]:
    try:
        return {int(number): word for number, word in value.items()}
    except (ValueError, TypeError, AttributeError):
        raise FileError(f"{where}: '{name}' must have integers as keys, got {_shown(value)}") from None


def _shown(value: Any) -> str:
    """A value in few words. Lists within lists are not gone through: a pickle of 400 bytes may hold 2**40 of them."""
    text = _REPR.repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
