"""Known items: questions and their answers from a collection's own texts, without judgements.

A text's title (or, without one, its first sentence) has to find the rest of the same text. It is a narrow task, nearer
to "find what I half remember" than to a question, and it is what every collection has.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kiyas.encode.base import Progress
from kiyas.encode.sentences import sentences
from kiyas.errors import InputError, message

_WORD = re.compile(r"\w+")
# Share of word pairs in common from which two texts are taken for one.
NEAR = 0.8
# A question of fewer words asks for nothing in particular; an answer of fewer words says nothing.
_QUESTION_WORDS, _ANSWER_WORDS = 4, 8
# Texts between two reports of progress.
_TOLD = 256


@dataclass(frozen=True)
class KnownItems:
    """Questions made from texts, and the texts to search.

    ``texts``: what is searched, one for each text given: the rest of those that are asked for, the whole of the
    others. ``queries``: titles or first sentences; ``targets``: the number of the text that each belongs to.
    ``ambiguous`` questions begin several texts, ``short`` texts have too few words for a question and an answer;
    neither is asked.
    """

    texts: list[str]
    queries: list[str]
    targets: list[int]
    ambiguous: int
    short: int


def known_items(texts: Sequence[str], titles: Sequence[str] | None = None) -> KnownItems:
    """Split texts into questions and answers.

    ``titles``: one for each text, blank where there is none; without them, a text's first sentence is the question.
    A first line with a blank line after it is a sentence of its own, so a text that begins with its title is split
    there. Leave near-duplicates out first (`different_texts`): an answer that is there twice cannot be found once.

    >>> items = known_items(["How to write to a file. Open it, call write, and close it in the end.", "Too short."])
    >>> items.queries, items.targets, items.texts[0][:8], items.short
    (['How to write to a file.'], [0], 'Open it,', 1)
    """
    if titles is not None and len(titles) != len(texts):
        raise InputError(message("known_items", "titles", f"{len(texts)}, one a text", len(titles)))
    split = [(" ".join(titles[i].split()), text.strip()) if titles is not None and titles[i].strip()
             else first_and_rest(text) for i, text in enumerate(texts)]
    starts = Counter(words_of(first) for first, _ in split)
    searched, queries, targets, ambiguous, short = [], [], [], 0, 0
    for row, (text, (first, rest)) in enumerate(zip(texts, split, strict=True)):
        long_enough = len(first.split()) >= _QUESTION_WORDS and len(rest.split()) >= _ANSWER_WORDS
        asked = long_enough and starts[words_of(first)] == 1
        ambiguous += long_enough and not asked
        short += not long_enough
        searched.append(rest if asked else text)
        if asked:
            queries.append(first)
            targets.append(row)
    return KnownItems(searched, queries, targets, ambiguous, short)


def words_of(text: str) -> tuple[str, ...]:
    """The words alone: what two texts have in common that differ in spaces, capitals and marks only."""
    return tuple(_WORD.findall(text.lower()))


def first_and_rest(text: str) -> tuple[str, str]:
    """The first sentence on one line, and what follows it."""
    spans = sentences(text)
    if not spans:
        return text, ""
    start, stop = spans[0]
    return " ".join(text[start:stop].split()), text[stop:].strip()


def different_texts(texts: Sequence[str], share: float = NEAR, progress: Progress | None = None) -> list[int]:
    """The numbers of the texts that say something new: neither the words of one before, nor nearly.

    Two texts are nearly the same if they share that part of their word pairs (Jaccard). Two sets that share 80 % of all
    their members share one of the rarest members of each: only those are looked up (prefix filtering), which finds
    every such pair without comparing all. ``progress(done, total)`` counts texts.

    >>> different_texts(["One and two and three.", "Something else.", "one, and two and THREE"])
    [0, 1]
    """
    words = [words_of(text) for text in texts]
    sets = [frozenset(pairwise(w)) for w in words]
    frequency = Counter(pair for pairs in sets for pair in pairs)
    holders: dict[tuple[str, str], list[int]] = {}
    seen: set[tuple[str, ...]] = set()
    kept = []
    for row, pairs in enumerate(sets):
        if progress is not None and row % _TOLD == 0:
            progress(row, len(sets))
        if words[row] in seen:
            continue
        seen.add(words[row])
        rare = sorted(pairs, key=lambda pair: (frequency[pair], pair))
        prefix = rare[:len(rare) - math.ceil(share * len(rare)) + 1]
        near = {other for pair in prefix for other in holders.get(pair, ())}
        if any(len(pairs & sets[o]) >= share * len(pairs | sets[o]) for o in near):
            continue
        kept.append(row)
        for pair in prefix:
            holders.setdefault(pair, []).append(row)
    return kept
