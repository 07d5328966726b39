"""Real texts that every machine has: the docstrings of its Python's standard library.

Files are parsed, nothing is imported. Tests are left out, as their docstrings are about tests.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kiyas.encode import sentences
from kiyas.errors import FileError

_LEFT_OUT = frozenset(("test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib-dynload"))
_WORD = re.compile(r"\w+")
# Share of word pairs in common from which two docstrings are taken for one text.
_NEAR = 0.8
# A sentence of fewer words asks for nothing in particular; fewer words of an answer say nothing.
_QUESTION_WORDS, _ANSWER_WORDS = 4, 8

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Docstring:
    """A docstring and the qualified name of what it documents."""

    name: str
    text: str


@dataclass(frozen=True)
class Library:
    """Docstrings, each text once, and what was seen on the way."""

    docstrings: list[Docstring]
    root: Path
    files: int
    found: int
    repeated: int
    near: int


@dataclass(frozen=True)
class KnownItems:
    """Known-item search: first sentences have to find the rest of their own docstring.

    ``texts``: what is searched, one for each docstring: the rest of those that are asked for, the whole of the
    others. ``queries``: first sentences; ``targets``: the number of the text that each belongs to.
    ``ambiguous``: first sentences that begin several docstrings, and are therefore not asked.
    """

    texts: list[str]
    queries: list[str]
    targets: list[int]
    ambiguous: int


def read_library(root: Path | None = None, progress: Callable[[int, int], None] | None = None) -> Library:
    """All docstrings below ``root`` (the standard library of this Python), without those that say the same.

    Raises `FileError` where there are none, as in a Python without its sources.
    """
    place = Path(sysconfig.get_path("stdlib")) if root is None else root
    files = sorted(path for path in place.rglob("*.py") if not _LEFT_OUT.intersection(path.relative_to(place).parts))
    found: list[Docstring] = []
    for number, path in enumerate(files, 1):
        found.extend(_docstrings(path, place))
        if progress is not None:
            progress(number, len(files))
    if not found:
        raise FileError(f"{place}: no docstrings in {len(files)} source files of the standard library; this Python "
                        "came without them (a stripped or zipped build): run kiyas with a full Python 3.11 or newer")
    different = _without_repeated(found)
    kept = _without_near(different)
    return Library(kept, place, len(files), len(found), len(found) - len(different), len(different) - len(kept))


def known_items(docstrings: list[Docstring]) -> KnownItems:
    """Split docstrings into questions and answers."""
    split = [_first_and_rest(one.text) for one in docstrings]
    starts = Counter(_key(first) for first, _ in split)
    texts, queries, targets, ambiguous = [], [], [], 0
    for row, (one, (first, rest)) in enumerate(zip(docstrings, split, strict=True)):
        long_enough = len(first.split()) >= _QUESTION_WORDS and len(rest.split()) >= _ANSWER_WORDS
        asked = long_enough and starts[_key(first)] == 1
        ambiguous += long_enough and not asked
        texts.append(rest if asked else one.text)
        if asked:
            queries.append(first)
            targets.append(row)
    return KnownItems(texts, queries, targets, ambiguous)


def _docstrings(path: Path, root: Path) -> Iterator[Docstring]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in old modules
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # templates and deliberately broken files, which are no modules of the library
    module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    yield from _below(tree, module)


def _below(node: ast.AST, name: str) -> Iterator[Docstring]:
    if isinstance(node, Definition):
        text = ast.get_docstring(node, clean=False)
        # A docstring of escapes may hold half a surrogate pair, which is no text.
        if text and len(_WORD.findall(text)) > 1 and _encodable(text):
            yield Docstring(name, inspect.cleandoc(text))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _below(child, f"{name}.{child.name}")
        elif isinstance(child, ast.If | ast.Try | ast.With):
            yield from _below(child, name)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _key(text: str) -> tuple[str, ...]:
    """The words alone: what two texts have in common that differ in spaces, capitals and marks only."""
    return tuple(_WORD.findall(text.lower()))


def _first_and_rest(text: str) -> tuple[str, str]:
    spans = sentences(text)
    if not spans:
        return text, ""
    start, stop = spans[0]
    return " ".join(text[start:stop].split()), text[stop:].strip()


def _without_repeated(found: list[Docstring]) -> list[Docstring]:
    seen: set[tuple[str, ...]] = set()
    names: set[str] = set()
    kept = []
    for one in found:
        # Definitions under an if and its else share a name; the first one is kept.
        if (key := _key(one.text)) not in seen and one.name not in names:
            kept.append(one)
        seen.add(key)
        names.add(one.name)
    return kept


def _without_near(docstrings: list[Docstring]) -> list[Docstring]:
    """Without those of which most word pairs (Jaccard) are in one before.

    Two sets that share 80 % of all their members share one of the rarest members of each: only those are looked
    up (prefix filtering), which finds every such pair without comparing all.
    """
    words = [_key(one.text) for one in docstrings]
    sets = [frozenset(pairwise(w)) for w in words]
    frequency = Counter(pair for pairs in sets for pair in pairs)
    holders: dict[tuple[str, str], list[int]] = {}
    kept = []
    for row, pairs in enumerate(sets):
        rare = sorted(pairs, key=lambda pair: (frequency[pair], pair))
        prefix = rare[:len(rare) - int(-(-_NEAR * len(rare) // 1)) + 1]
        near = {other for pair in prefix for other in holders.get(pair, ())}
        if any(len(pairs & sets[o]) >= _NEAR * len(pairs | sets[o]) for o in near):
            continue
        kept.append(docstrings[row])
        for pair in prefix:
            holders.setdefault(pair, []).append(row)
    return kept
