"""Long texts cut where a tokenizer cannot see across, so that its words need not all be in memory at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

# Characters of a piece: enough that cutting costs nothing, few enough for any memory.
_PIECE = 1 << 16
# White space that is neither a letter nor passed over when Σ looks for the end of its word.
_MARKS = " \n\t"
# Lower-casing looks at neighbours: a capital sigma at the end of a word, an I before a dot above it.
LOOK_AROUND = ("Σ", "\u0307")


class _Options(Protocol):
    """What counts of a `kiyas.recurrent.Tokenizer`."""

    filters: str
    split: str
    lower: bool
    char_level: bool


def pieces(text: str, options: _Options, size: int = _PIECE) -> Iterator[str]:
    """The text in pieces of ``size`` characters or a little more, each tokenized as it is within the whole text.

    Words are cut after white space that separates them; a split of several characters may begin within a word, so such
    a text stays whole, as one without such white space does. Characters are cut anywhere, unless they are lower-cased
    and there are some that look at their neighbours.
    """
    if len(text) <= size:
        yield text
        return
    if not options.char_level:
        marks = [m for m in _MARKS if len(options.split) == 1 and (m == options.split or m in options.filters)]
    elif options.lower and any(mark in text for mark in LOOK_AROUND):
        marks = list(_MARKS)
    else:
        marks = [""]  # found wherever it is looked for
    start = 0
    while start < len(text):
        found = [place + len(m) for m in marks if (place := text.find(m, start + size)) >= 0]
        stop = min(found, default=len(text))
        yield text[start:stop]
        start = stop
