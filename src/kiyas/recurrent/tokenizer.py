"""Texts to numbers and back, as the Tokenizer of Keras does it. Files: `kiyas.recurrent.tokenizer_files`.

Equal to Keras' Tokenizer by default, traps included: number 0 is reserved for padding; numbers go by count, words of
one count in the order in which they were first met; ``oov_token`` takes number 1; words numbered ``num_words`` and
above are treated as unknown; an unknown word vanishes unless there is an ``oov_token`` (`Tokenizer.unknown` tells
which). Different on purpose: what Keras takes in silence and nobody means raises here (a text in place of a list of
texts), and ``locale`` is ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from kiyas.directory import write_whole
from kiyas.errors import InputError, NotFittedError, message
from kiyas.recurrent.pieces import pieces

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
LOCALES = ("tr", "az")

# A text, or the words (char_level: characters) that it was cut into by somebody else.
Text = str | Sequence[str]


def lower_case(text: str, locale: str | None = None) -> str:
    """The text in small letters: as Python (and Keras) has it, or as Turkish and Azerbaijani have it.

    >>> lower_case("ISPARTA", "tr"), lower_case("ISPARTA")
    ('ısparta', 'isparta')
    >>> [len(lower_case("İ", locale)) for locale in ("tr", None)]
    [1, 2]
    """
    if locale in LOCALES:
        # I with a dot above, in one character or in two, is i; any other I is ı.
        text = text.replace("I\u0307", "i").replace("İ", "i").replace("I", "ı")
    return text.lower()


def check_locale(locale: object, lower: bool, owner: str) -> None:
    """Raise `InputError` for a locale that is not known, and where ``lower`` says that no letter is made small."""
    if locale is None:
        return
    if locale not in LOCALES:
        raise InputError(message(owner, "locale", "'tr', 'az' or None", repr(locale)))
    if not lower:
        raise InputError(message(owner, "locale", "left out where letters stay as they are", repr(locale),
                                 "give lower=True, or leave it out"))


class Tokenizer:
    """Words (or characters) numbered by how often they occur, as the Tokenizer of Keras numbers them.

    Parameters: ``num_words``, only numbers below it are used (None: all); ``filters``, characters that are replaced by
    ``split``, unused with ``char_level``; ``lower``, whether to lower-case; ``split``, what words are split at;
    ``char_level``, every character is a token; ``oov_token``, what stands for unknown words (None: they vanish);
    ``locale``, "tr" or "az" for small letters as in Turkish (None: as in Keras).

    ``word_index`` and ``index_word`` map words to numbers and back; ``word_counts``, ``word_docs``, ``index_docs`` and
    ``document_count`` are counts of the texts it was fitted on.

    >>> tokenizer = Tokenizer(oov_token="<OOV>")
    >>> tokenizer.fit_on_texts(["The cat sat.", "The dog ate the cat-food!"])
    >>> tokenizer.texts_to_sequences(["the bird sat, the cat ate"])
    [[2, 1, 4, 2, 3, 6]]
    >>> tokenizer.sequences_to_texts([[2, 3, 4]])
    ['the cat sat']
    """

    def __init__(self, num_words: int | None = None, filters: str = FILTERS, lower: bool = True, split: str = " ",
                 char_level: bool = False, oov_token: str | None = None, *, locale: str | None = None) -> None:
        if num_words is not None and (isinstance(num_words, bool) or not isinstance(num_words, (int, np.integer))
                                      or num_words < 1):
            raise InputError(message("Tokenizer", "num_words", "an integer of 1 or above, or None", repr(num_words)))
        for name, value in (("filters", filters), ("split", split)):
            if not isinstance(value, str):
                raise InputError(message("Tokenizer", name, "a text", repr(value)))
        if not split:
            raise InputError(message("Tokenizer", "split", "a text of one character or more", "''",
                                     "give char_level=True for characters"))
        if oov_token is not None and not isinstance(oov_token, str):
            raise InputError(message("Tokenizer", "oov_token", "a text or None", repr(oov_token)))
        check_locale(locale, True, "Tokenizer")
        self.num_words = None if num_words is None else int(num_words)
        self.filters, self.split = filters, split
        self.lower, self.char_level = bool(lower), bool(char_level)
        self.oov_token, self.locale = oov_token, locale
        self.document_count = 0
        self.word_counts: dict[str, int] = {}
        self.word_docs: dict[str, int] = {}
        self.index_docs: dict[int, int] = {}
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}
        self._replaced = str.maketrans(dict.fromkeys(filters, split))

    @classmethod
    def from_vocabulary(cls, vocabulary: Mapping[str, int], **options: Any) -> Self:
        """A tokenizer of these words and numbers, which somebody else chose.

        Other ``options`` are those of `Tokenizer`. An ``oov_token`` that is not in the vocabulary takes the number
        after the largest one.

        >>> Tokenizer.from_vocabulary({"a": 1, "b": 2}, char_level=True).texts_to_sequences(["abba"])
        [[1, 2, 2, 1]]
        """
        made = cls(**options)
        numbers: dict[int, str] = {}
        for word, number in vocabulary.items():
            if not isinstance(word, str) or isinstance(number, bool) or not isinstance(number, (int, np.integer)) \
                    or not 0 <= number < 2**63:
                raise InputError(message("Tokenizer.from_vocabulary", "vocabulary", "texts with 64-bit integers from 0",
                                         f"{word!r}: {number!r}"))
            if int(number) in numbers:
                raise InputError(message("Tokenizer.from_vocabulary", "vocabulary", "a different number for each word",
                                         f"{number} for {numbers[int(number)]!r} and {word!r}"))
            numbers[int(number)] = word
        if not numbers:
            raise InputError(message("Tokenizer.from_vocabulary", "vocabulary", "texts with integers from 0", "none"))
        if made.oov_token is not None and made.oov_token not in vocabulary:
            numbers[max(numbers) + 1] = made.oov_token
        made.index_word = numbers
        made.word_index = {word: number for number, word in numbers.items()}
        return made

    @staticmethod
    def load(path: str | os.PathLike[str], **options: Any) -> Tokenizer:
        """Read a tokenizer: Keras' JSON, a pickled Tokenizer of Keras (nothing in it is run), or a plain vocabulary.

        A vocabulary is a JSON object ``{"word": number}``; it says neither whether words or characters are meant, nor
        whether they are in small letters, so ``char_level`` and ``lower`` have to be given with it. With the other
        files, ``options`` may only give a ``locale``. Raises `FileError`.
        """
        from kiyas.recurrent.tokenizer_files import read_tokenizer

        return read_tokenizer(Path(path), options)

    def __repr__(self) -> str:
        kind = "characters" if self.char_level else "words"
        return f"<kiyas Tokenizer of {len(self.word_index)} {kind}>"

    def __len__(self) -> int:
        return len(self.word_index)

    # -- texts to numbers ------------------------------------------------------------------------------

    def split_text(self, text: Text) -> list[str]:
        """The words of a text, or with ``char_level`` its characters, lower-cased if it is to be.

        A list of texts counts as words already; it is only lower-cased.

        >>> Tokenizer().split_text("To be, or not -- to be!")
        ['to', 'be', 'or', 'not', 'to', 'be']
        """
        if not isinstance(text, str):
            return [lower_case(word, self.locale) if self.lower else word for word in text]
        if self.lower:
            text = lower_case(text, self.locale)
        if self.char_level:
            return list(text)
        return [word for word in text.translate(self._replaced).split(self.split) if word]

    def fit_on_texts(self, texts: Iterable[Text]) -> None:
        """Number the words of the texts, together with those of the texts it was fitted on before."""
        for text in _checked(texts, "fit_on_texts"):
            self.document_count += 1
            words = self.split_text(text)
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in dict.fromkeys(words):
                self.word_docs[word] = self.word_docs.get(word, 0) + 1
        by_count = sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        ordered = by_count if self.oov_token is None else [self.oov_token, *by_count]
        # Where a text holds the oov_token itself, the later number counts, as in Keras.
        self.word_index = {word: number for number, word in enumerate(ordered, 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        for word, count in self.word_docs.items():
            self.index_docs[self.word_index[word]] = count

    def texts_to_sequences(self, texts: Iterable[Text]) -> list[list[int]]:
        """The numbers of the words of each text; unknown words are ``oov_token``, or vanish where there is none."""
        return [list(self.iter_numbers(text)) for text in _checked(texts, "texts_to_sequences")]

    def iter_numbers(self, text: Text) -> Iterator[int]:
        """The numbers of a text one after another; of a long one, the words are never in memory all at once.

        >>> list(Tokenizer.from_vocabulary({"cat": 1, "sat": 2}).iter_numbers("The cat sat."))
        [1, 2]
        """
        oov = self._oov()
        for piece in pieces(text, self) if isinstance(text, str) else [text]:
            for word in self.split_text(piece):
                number = self.word_index.get(word)
                if number is None or (self.num_words is not None and number >= self.num_words):
                    number = oov
                if number is not None:
                    yield number

    def unknown(self, text: Text) -> list[str]:
        """The words of the text that it has no number for, each once.

        >>> Tokenizer.from_vocabulary({"cat": 1}).unknown("a cat, a dog")
        ['a', 'dog']
        """
        return [word for word in dict.fromkeys(self.split_text(text))
                if (number := self.word_index.get(word)) is None
                or (self.num_words is not None and number >= self.num_words)]

    def _oov(self) -> int | None:
        if not self.word_index:
            raise NotFittedError("Tokenizer: has no words yet; call fit_on_texts first, or Tokenizer.load(file)")
        return None if self.oov_token is None else self.word_index.get(self.oov_token)

    # -- numbers to texts ------------------------------------------------------------------------------

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The words of each sequence joined by spaces, as Keras does it also with ``char_level``.

        Numbers without a word (0 among them), and those of ``num_words`` and above, are ``oov_token``, or vanish.
        """
        oov = self._oov()
        texts = []
        for sequence in sequences:
            words = []
            for number in sequence:
                word = self.index_word.get(number)
                if word is None or (self.num_words is not None and number >= self.num_words):
                    word = None if oov is None else self.index_word[oov]
                if word is not None:
                    words.append(word)
            texts.append(" ".join(words))
        return texts

    def join(self, words: Iterable[str]) -> str:
        """The words as a text: with a space between them, characters without."""
        return ("" if self.char_level else " ").join(words)

    # -- files -----------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What `to_json` writes: options, and the counts and words each as JSON of their own, as in Keras."""
        config: dict[str, Any] = {
            "num_words": self.num_words, "filters": self.filters, "lower": self.lower, "split": self.split,
            "char_level": self.char_level, "oov_token": self.oov_token, "document_count": self.document_count}
        for name in ("word_counts", "word_docs", "index_docs", "index_word", "word_index"):
            config[name] = json.dumps(getattr(self, name))
        if self.locale is not None:
            # Keras refuses the file then, rather than lower-casing otherwise in silence.
            config["locale"] = self.locale
        return config

    def to_json(self, **options: Any) -> str:
        """As Keras' ``to_json``: Keras reads it too, unless a ``locale`` is set. ``options`` go to `json.dumps`."""
        return json.dumps({"class_name": "Tokenizer", "config": self.get_config()}, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json` to a file, which is replaced as a whole."""
        write_whole(Path(path), self.to_json())


def _checked(texts: Iterable[Text], method: str) -> Iterator[Text]:
    owner, wanted = f"Tokenizer.{method}", "a list of texts"
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise InputError(message(owner, "texts", wanted, type(texts).__name__,
                                 "put a single text in a list" if isinstance(texts, str) else ""))
    for number, text in enumerate(texts):
        if not isinstance(text, str) and not (
                isinstance(text, Sequence) and all(isinstance(word, str) for word in text)):
            raise InputError(message(owner, "texts", f"{wanted}, or of lists of words",
                                     f"{type(text).__name__} at number {number}"))
        yield text
