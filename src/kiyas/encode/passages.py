"""Long texts as overlapping passages, on sentence bounds, nothing lost.

Each text is cut into units: its sentences, or the words of a sentence that is too long by itself, or
pieces of a word that is. Units are then packed, as many as fit, and the next passage starts a little
back. Token counts of parts add up only nearly (a tokenizer may join differently across a seam), so every
passage is counted as it is, and a text with one that is too long is packed anew, more loosely.
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kiyas.arrays import count
from kiyas.encode.base import Encoder, Progress, checked_counts, checked_texts
from kiyas.encode.sentences import sentences
from kiyas.errors import InputError, message

_OWNER = "split_texts"
_WORD = re.compile(r"\S+")
# Texts handled at a time, which bounds the units held in memory.
_TEXTS = 256
# Spans counted at a time, which bounds the strings held in memory.
_COUNTED = 1 << 14

CountTokens = Callable[[list[str]], Sequence[int] | np.ndarray]
Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Passages:
    """Passages of texts, in the order of the texts and within them.

    ``texts``: the passages. ``documents`` (passages,) int64: the number of the text that each comes from,
    never falling. ``spans`` (passages, 2) int64: where it stands there, so that ``texts[i]`` is
    ``source[documents[i]][spans[i, 0]:spans[i, 1]]``.
    """

    texts: list[str]
    documents: np.ndarray
    spans: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


class _Units:
    """Spans in order, each counted by itself: ``tokens`` without the marks that the model adds to any text.

    In columns: a text without ends of sentences has a unit for each of its words.
    """

    __slots__ = ("sentence", "start", "stop", "tokens")

    def __init__(self) -> None:
        self.start, self.stop, self.tokens, self.sentence = (array("q") for _ in range(4))

    def __len__(self) -> int:
        return len(self.start)

    def append(self, start: int, stop: int, tokens: int, sentence: int) -> None:
        self.start.append(start)
        self.stop.append(stop)
        self.tokens.append(tokens)
        self.sentence.append(sentence)


def split_texts(texts: Iterable[str], encoder: Encoder | None = None, *, passage_tokens: int | None = None,
                overlap: int = 1, overlap_tokens: int | None = None, count_tokens: CountTokens | None = None,
                progress: Progress | None = None) -> Passages:
    """Split the texts that are longer than ``passage_tokens`` into overlapping passages of at most so many.

    ``passage_tokens``: None takes the encoder's ``max_tokens``, and where it has none leaves every text
    whole. ``overlap``: how many sentences of a passage the next one repeats (fewer where they do not fit
    ``overlap_tokens``, a quarter of the passage unless given); of a sentence that had to be split itself,
    words up to ``overlap_tokens`` are repeated, unless ``overlap`` is 0. ``count_tokens``: a function texts →
    counts, instead of an encoder.

    A text that fits is one passage, unchanged, a blank one too. The passages of one that is split begin and
    end without white space; every other character of it is in at least one of them. Raises `InputError`
    where one character has more than ``passage_tokens`` tokens.

    >>> words = lambda texts: [len(t.split()) for t in texts]
    >>> split_texts(["One two. Three four. Five six."], passage_tokens=4, count_tokens=words, overlap=0).texts
    ['One two. Three four.', 'Five six.']
    """
    items = checked_texts(texts, _OWNER)
    counter, limit = _counter(encoder, count_tokens), _limit(encoder, passage_tokens)
    overlap = count(overlap, "overlap", _OWNER, 0, 2**31)
    found: list[list[Span]] = []
    if limit is None:
        found = [[(0, len(text))] for text in items]
    else:
        back = limit // 4 if overlap_tokens is None else \
            count(overlap_tokens, "overlap_tokens", _OWNER, 0, limit - 1, "less than a passage")
        splitter = _Splitter(counter, limit, overlap, back)
        for start in range(0, len(items), _TEXTS):
            found.extend(splitter.split(items[start:start + _TEXTS], start))
            if progress is not None:
                progress(len(found), len(items))
    documents = np.repeat(np.arange(len(items), dtype=np.int64), [len(spans) for spans in found])
    spans = np.array([span for one in found for span in one], np.int64).reshape(-1, 2)
    return Passages([items[d][a:b] for d, (a, b) in zip(documents, spans, strict=True)], documents, spans)


class _Splitter:
    """The settings of one call."""

    def __init__(self, counter: Callable[[list[str]], np.ndarray], limit: int, overlap: int, back: int) -> None:
        self.counter, self.limit, self.overlap, self.back = counter, limit, overlap, back
        one, two = counter(["a", "a a"])
        self.marks = max(0, int(2 * one - two))  # tokens that the model adds to any text
        self.room = limit - self.marks

    def split(self, items: list[str], first: int) -> list[list[Span]]:
        """The spans of the passages of each text; ``first`` is the number of the first text, for messages."""
        found = [[(0, len(text))] for text in items]
        long = [i for i in np.flatnonzero(self.counter(items) > self.limit) if not items[i].isspace()]
        units = self._units([items[i] for i in long], [first + int(i) for i in long])
        allowed = dict.fromkeys(range(len(long)), self.room)
        while allowed:
            packed = {j: list(_pack(units[j], room, self.overlap, self.back)) for j, room in allowed.items()}
            flat = [(j, items[long[j]][a:b]) for j, spans in packed.items() for a, b in spans]
            over: dict[int, int] = {}
            for (j, _), tokens in zip(flat, self.counter([text for _, text in flat]), strict=True):
                over[j] = max(over.get(j, 0), int(tokens) - self.limit)
            for j, excess in over.items():
                if excess <= 0:
                    found[long[j]] = packed[j]
            # Ends at the latest when every passage is a single unit, which was counted as it is.
            allowed = {j: allowed[j] - excess for j, excess in over.items() if excess > 0}
        return found

    def _units(self, texts: list[str], numbers: list[int]) -> list[_Units]:
        """The units of each text, each counted as it is and within the limit."""
        units = self._counted(texts, [((*span, s) for s, span in enumerate(sentences(text))) for text in texts])
        units = self._finer(texts, units, lambda text, a, b: ((m.start(), m.end()) for m in _WORD.finditer(text, a, b)))
        # A word may need halving more than once; a character cannot be halved.
        while any(tokens > self.room for one in units for tokens in one.tokens):
            for number, one in zip(numbers, units, strict=True):
                for start, stop, tokens in zip(one.start, one.stop, one.tokens, strict=True):
                    if tokens > self.room and stop - start == 1:
                        cure = f"text {number} has one of {tokens + self.marks} tokens at character {start}"
                        raise InputError(message(_OWNER, "passage_tokens", "room for any single character", self.limit,
                                                 cure))
            units = self._finer(texts, units, lambda _, a, b: ((a, (a + b) // 2), ((a + b) // 2, b)))
        return units

    def _finer(self, texts: list[str], units: list[_Units],
               cut: Callable[[str, int, int], Iterable[Span]]) -> list[_Units]:
        """Units that are too long replaced by their parts, counted."""
        def parts(text: str, one: _Units) -> Iterator[tuple[int, int, int]]:
            for start, stop, tokens, sentence in zip(one.start, one.stop, one.tokens, one.sentence, strict=True):
                if tokens > self.room:
                    for a, b in cut(text, start, stop):
                        yield a, b, sentence

        counted = self._counted(texts, [parts(text, one) for text, one in zip(texts, units, strict=True)])
        return [self._merged(one, new) if len(new) else one for one, new in zip(units, counted, strict=True)]

    def _merged(self, units: _Units, parts: _Units) -> _Units:
        made, place = _Units(), 0
        for i in range(len(units)):
            if units.tokens[i] <= self.room:
                made.append(units.start[i], units.stop[i], units.tokens[i], units.sentence[i])
                continue
            while place < len(parts) and parts.start[place] < units.stop[i]:
                made.append(parts.start[place], parts.stop[place], parts.tokens[place], parts.sentence[place])
                place += 1
        return made

    def _counted(self, texts: list[str], spans: list[Iterator[tuple[int, int, int]]]) -> list[_Units]:
        units = [_Units() for _ in texts]
        flat = ((place, *span) for place, one in enumerate(spans) for span in one)
        while block := list(itertools.islice(flat, _COUNTED)):
            tokens = self.counter([texts[place][a:b] for place, a, b, _ in block]).tolist()
            for (place, a, b, sentence), number in zip(block, tokens, strict=True):
                units[place].append(a, b, number - self.marks, sentence)
        return units


def _pack(units: _Units, room: int, overlap: int, back: int) -> Iterator[Span]:
    """Passages of consecutive units whose counts add up to at most ``room``, at least one unit each."""
    start = 0
    while True:
        stop, tokens = start + 1, units.tokens[start]
        while stop < len(units) and tokens + units.tokens[stop] <= room:
            tokens += units.tokens[stop]
            stop += 1
        yield units.start[start], units.stop[stop - 1]
        if stop == len(units):
            return
        start = _step_back(units, start, stop, min(back, room - units.tokens[stop]), overlap)


def _step_back(units: _Units, start: int, stop: int, left: int, overlap: int) -> int:
    """Where the next passage starts: after ``start``, and before ``stop`` by ``left`` tokens of ``overlap`` sentences.

    ``left`` leaves room for the unit at ``stop``, or the passage would hold nothing new.
    """
    place = stop
    repeated: set[int] = set()
    while place - 1 > start and units.tokens[place - 1] <= left:
        repeated.add(units.sentence[place - 1])
        if len(repeated) > overlap:
            break
        left -= units.tokens[place - 1]
        place -= 1
    return place


def _counter(encoder: Encoder | None, count_tokens: CountTokens | None) -> Callable[[list[str]], np.ndarray]:
    if (encoder is None) == (count_tokens is None):
        raise InputError(message(_OWNER, "encoder", "given, or count_tokens in its place",
                                 "neither" if encoder is None else "both"))
    if encoder is not None:
        return encoder.count_tokens
    function = count_tokens
    assert function is not None
    return lambda texts: checked_counts(function(texts), len(texts), _OWNER)


def _limit(encoder: Encoder | None, passage_tokens: int | None) -> int | None:
    longest = encoder.max_tokens if encoder is not None else None
    if passage_tokens is None:
        return longest
    return count(passage_tokens, "passage_tokens", _OWNER, 1, longest or 2**31,
                 "more would be cut off by the encoder" if longest else "")
