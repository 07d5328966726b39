"""The configuration of a model, given as JSON or as the path of a file of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kiyas.errors import FileError

_MOST_JSON = 1 << 26


def read(config: str | Path, kind: type) -> Any:
    """The dictionary or list in the text, or in the file of that name.

    Raises `FileError` where there is no such file, or where it holds something else.
    """
    if isinstance(config, str) and config.lstrip().startswith(("{", "[")):
        return parsed(config, "config", kind)
    path = Path(config)
    if not path.is_file():
        raise FileError(f"{path}: there is no such file (config)")
    if path.stat().st_size > _MOST_JSON:
        raise FileError(f"{path}: is too large for a configuration")
    return parsed(path.read_bytes(), str(path), kind)


def parsed(text: str | bytes, where: str, kind: type) -> Any:
    """The dictionary or list that the JSON holds; `FileError`, naming ``where``, for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{where}: is incomplete or altered ({error})") from None
    if not isinstance(found, kind):
        raise FileError(f"{where}: is altered, it should be a {'dictionary' if kind is dict else 'list'}")
    return found
