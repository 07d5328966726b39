"""Real texts that every machine has: the docstrings of its Python's standard library.

Files are parsed, nothing is imported. Tests are left out, as their docstrings are about tests.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kiyas.encode.known import different_texts, words_of
from kiyas.errors import FileError

_LEFT_OUT = frozenset(("test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib-dynload"))
_WORD = re.compile(r"\w+")

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
    kept = [different[row] for row in different_texts([one.text for one in different])]
    return Library(kept, place, len(files), len(found), len(found) - len(different), len(different) - len(kept))


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


def _without_repeated(found: list[Docstring]) -> list[Docstring]:
    seen: set[tuple[str, ...]] = set()
    names: set[str] = set()
    kept = []
    for one in found:
        # Definitions under an if and its else share a name; the first one is kept.
        if (key := words_of(one.text)) not in seen and one.name not in names:
            kept.append(one)
        seen.add(key)
        names.add(one.name)
    return kept
