"""The text so far as numbers, growing by a word each time as it does in the usual Keras loop.

The loop writes ``text += " " + word`` (characters: ``text += character``) and tokenizes the whole text again. The
numbers are then those of the text before and of the word after them wherever the tokenizer cannot see across the joint;
only where it can is the whole text gone through again.
"""

from __future__ import annotations

from collections.abc import Sequence

from kiyas.recurrent.pieces import LOOK_AROUND
from kiyas.recurrent.tokenizer import Tokenizer


class Context:
    """The numbers of a text that grows.

    Parameters: ``seed_text``, a text, or words as a list; ``start``, a token to put before it, such as "<s>". ``ids``
    are all numbers so far; `append` says whether those from before stayed.

    >>> context = Context(Tokenizer.from_vocabulary({"the": 1, "cat": 2, "sat": 3}), "The cat")
    >>> context.append("sat"), context.ids
    (True, [1, 2, 3])
    """

    def __init__(self, tokenizer: Tokenizer, seed_text: str | Sequence[str], start: str | None = None) -> None:
        self.tokenizer = tokenizer
        if start is None and isinstance(seed_text, str):
            self._words = False
            self._parts = [seed_text]
            self.ids = self._numbers(seed_text)
        else:
            self._words = True
            self._parts = tokenizer.split_text(seed_text)
            # The start as it is: lower-casing is for what people write.
            self.ids = [] if start is None else [tokenizer.word_index[start]]
            self.ids += self._numbers(self._parts)
        self._looks_around = tokenizer.lower and any(mark in part for mark in LOOK_AROUND for part in self._parts)

    def append(self, word: str) -> bool:
        """Let the text grow by a word. False where numbers from before are others now."""
        self._parts.append(word)
        if self._words:
            self.ids.extend(self._numbers([word]))
            return True
        if self._seamless(word):
            self.ids.extend(self._numbers(word))
            return True
        before, self.ids = self.ids, self._numbers(self.tokenizer.join(self._parts))
        return self.ids[:len(before)] == before

    def copy(self) -> Context:
        """Another context of the same text."""
        other = object.__new__(Context)
        other.__dict__.update(self.__dict__)
        other._parts, other.ids = list(self._parts), list(self.ids)
        return other

    def _numbers(self, text: str | list[str]) -> list[int]:
        return self.tokenizer.texts_to_sequences([text])[0]

    def _seamless(self, word: str) -> bool:
        t = self.tokenizer
        if not t.char_level:
            # A split of several characters may begin in the word before or end in this one: "a-" + "--" + "b".
            return len(t.split) == 1 and (t.split == " " or " " in t.filters)
        self._looks_around = self._looks_around or (t.lower and any(mark in word for mark in LOOK_AROUND))
        return not self._looks_around
