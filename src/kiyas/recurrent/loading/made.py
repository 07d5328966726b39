"""Layers made of what a file holds: what does not fit is the file's fault, and the error names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kiyas.errors import FileError, InputError

T = TypeVar("T")


def made(where: str, kind: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """``kind(*arguments, **options)``, with an `InputError` about weights turned into a `FileError` naming the file."""
    try:
        return kind(*arguments, **options)
    except InputError as error:
        raise FileError(f"{where}: {error}") from None
