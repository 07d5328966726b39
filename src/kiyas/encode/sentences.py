"""Sentence bounds by rules, for English and Turkish, and passable for languages that end sentences alike.

A bound that is missed only makes a longer unit and a bound too many a shorter one; neither loses
text. The rules therefore lean towards keeping a doubtful pair together.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Titles, with a capital (sen is a Turkish word, Sen. a title): a name follows.
_TITLES = _words("""
prof dr doç yrd öğr gör arş uzm op dt ecz müh mim av sn gen korg org tüm tuğ alb yrb yzb ord
mr mrs ms messrs mme mlle st sr sra rev hon gov sen rep col maj capt lt sgt cmdr adm pres supt mt ltd
mah cad sok sk bul blv apt
""")
# Never last in a sentence.
_INNER = _words("bkz krş örn çev haz yay cf ca viz ie eg resp approx vol vols dept univ")
# Not last when a number follows: "no. 5", but "he said no."
_BEFORE_NUMBER = _words("""
no nr nu art fig figs eq eqs sec ch chap p pp s sf ss tab md
jan feb mar apr jun jul aug sep sept oct nov dec oca şub nis haz tem ağu eyl eki kas ara
""")
# May be last or not: the next letter decides, and in text without capitals it is not the end.
_MAYBE_LAST = _words("vb vd vs etc al inc co corp jr şti yy age agm est int hz ibid")

_CLOSERS = "\"'”’»›)]}"
_OPENERS = "\"'“‘„«‹([{¿¡-–—•*"
_END = re.compile(
    rf"(?P<stop>[.!?…؟۔।](?:[^\S\n]?[.!?…؟۔।])*[{re.escape(_CLOSERS)}]*)(?=\s|$)"  # an end before white space
    r"|(?P<wide>[。！？]+[」』）”’]*)"  # East Asian ends need no white space after them
    r"|(?P<paragraph>\n[^\S\n]*\n)"  # a blank line
    r"|(?P<item>\n(?=[^\S\n]*(?:[-*•–]|\d{1,3}[.)])\s))"  # a list item
)
_WORD_BEFORE = re.compile(r"[^\s\"'“‘„«‹(\[{]*$")
_DOTTED = re.compile(r"(?!\d)\w{1,2}(?:\.\w{1,2})+$")
_ROMAN = re.compile(r"[IVXLCDM]+$")
# How far back the word before a full stop may reach: no abbreviation is longer.
_LOOK_BACK = 40


def sentences(text: str) -> list[tuple[int, int]]:
    """The (start, stop) of each sentence, in order, without the white space around it.

    What lies between them is white space only, so nothing of the text is lost. A blank line and a
    list item end a sentence too; a single line break does not.

    >>> text = "Prof. Dr. Ayşe geldi vb. şeyler. It cost 3.5 lira... No. 5 was “out.” Then?"
    >>> [text[a:b] for a, b in sentences(text)]
    ['Prof. Dr. Ayşe geldi vb. şeyler.', 'It cost 3.5 lira...', 'No. 5 was “out.”', 'Then?']
    """
    spans = []
    start = 0
    small = text.islower()  # no capitals anywhere: then they cannot tell where a sentence begins
    for match in _END.finditer(text):
        if match.lastgroup == "stop" and not _ends(text, match.start(), match["stop"], match.end(), small):
            continue
        spans.append((start, match.end()))
        start = match.end()
    spans.append((start, len(text)))
    return [span for span in (_strip(text, a, b) for a, b in spans) if span[0] < span[1]]


def _ends(text: str, at: int, mark: str, after: int, small: bool) -> bool:
    """Whether the mark at ``at`` (full stops, closing quotes) before white space ends a sentence."""
    follows = _next_letter(text, after)
    if follows == "":
        return True
    lower = follows.islower() and not small
    bare = mark.rstrip(_CLOSERS)
    if bare.endswith(("!", "?", "؟", "۔", "।")):
        return not (lower and bare != mark)  # “Nereye?” dedi.
    if bare in ("...", "…", "....") or len(bare) > 1:
        return not lower
    if at == 0 or text[at - 1].isspace():
        return True  # a full stop set apart, as in tokenised text
    found = _WORD_BEFORE.search(text[max(0, at - _LOOK_BACK):at])
    word = found[0] if found else ""
    return not (lower or _goes_on(word, follows, small))


def _goes_on(word: str, follows: str, small: bool) -> bool:
    """Whether a full stop after ``word`` belongs to the word."""
    # Plain lower() would turn İ into two characters.
    plain = word.replace("İ", "i").lower().replace(".", "")
    return (
        (plain in _TITLES and (small or word[0].isupper()))
        or plain in _INNER
        or (plain in _BEFORE_NUMBER and follows.isdigit())
        or (small and plain in _MAYBE_LAST)
        or _DOTTED.match(word) is not None  # U.S., T.C., Ph.D.
        or (len(word) == 1 and word.isupper())  # J. R. R. Tolkien
        or (word.isdigit() and len(word) <= 2)  # 20. yüzyıl, 3. Ahmet, numbered lists
        or _ROMAN.match(word) is not None  # II. Mehmet
    )


def _next_letter(text: str, at: int) -> str:
    """The first character after white space and opening quotes; "" at the end of the text."""
    while at < len(text) and (text[at].isspace() or text[at] in _OPENERS):
        at += 1
    return text[at] if at < len(text) else ""


def _strip(text: str, start: int, stop: int) -> tuple[int, int]:
    while start < stop and text[start].isspace():
        start += 1
    while start < stop and text[stop - 1].isspace():
        stop -= 1
    return start, stop
