"""Stop words: where generation ends, and which tokens have to wait because they may be the beginning of one."""

from __future__ import annotations

from collections.abc import Iterable

from kiyas.errors import InputError, message
from kiyas.recurrent.tokenizer import Tokenizer


class Stops:
    """The stop words of one generation, each as the tokens it consists of.

    Parameters: ``stop``, a text or texts; ``tokenizer``, that of the model: a stop word is one token where the
    tokenizer has it as one, and else its words or characters. Raises `InputError` for a word that could never be
    generated.

    >>> letters = Tokenizer.from_vocabulary({"a": 1, "b": 2, "<s>": 3}, char_level=True)
    >>> stops = Stops(["<s>", "ab"], letters)
    >>> stops.reached(["b", "a", "b"]), stops.waiting(["b", "a"])
    ('ab', 1)
    """

    def __init__(self, stop: str | Iterable[str], tokenizer: Tokenizer) -> None:
        self.words: dict[tuple[str, ...], str] = {}
        for word in [stop] if isinstance(stop, str) else stop:
            if not isinstance(word, str) or not word:
                raise InputError(message("generate", "stop", "texts of one token or more", repr(word)))
            self.words[_tokens(word, tokenizer)] = word

    def reached(self, tokens: list[str]) -> str | None:
        """The stop word that the tokens end with."""
        for words, stop in self.words.items():
            if tuple(tokens[-len(words):]) == words:
                return stop
        return None

    def length(self, stop: str) -> int:
        """How many tokens a stop word has."""
        return next(len(words) for words, text in self.words.items() if text == stop)

    def waiting(self, tokens: list[str]) -> int:
        """How many tokens at the end may be the beginning of a stop word, so that it is not known if they stay."""
        longest = 0
        for words in self.words:
            for size in range(min(len(words) - 1, len(tokens)), longest, -1):
                if tuple(tokens[-size:]) == words[:size]:
                    longest = size
                    break
        return longest


def _tokens(word: str, tokenizer: Tokenizer) -> tuple[str, ...]:
    if word in tokenizer.word_index:
        return (word,)
    tokens = tuple(word) if tokenizer.char_level else tuple(part for part in word.split(tokenizer.split) if part)
    missing = next((token for token in tokens or (word,) if token not in tokenizer.word_index), None)
    if missing is not None:
        raise InputError(message("generate", "stop", "words that the tokenizer knows", repr(word),
                                 f"it has no {missing!r}" + (", and lower-cases its words" if tokenizer.lower else "")))
    return tokens
