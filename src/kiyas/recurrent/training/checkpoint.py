"""A training run in one file: written as a whole, read without running anything in it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiyas.directory import write_whole
from kiyas.errors import FileError

_FORMAT, _VERSION = "kiyas training checkpoint", 1


def write(torch: Any, path: Path, state: Mapping[str, Any]) -> None:
    """Write the state beside the file and rename: whatever stops the program, the file is whole."""
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, "version": _VERSION, **state}, buffer)
    write_whole(path, buffer.getbuffer())


def read(torch: Any, path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a run that has these facts; `FileError` for another's, for a damaged file and for none."""
    if not path.is_file():
        raise FileError(f"{path}: there is no checkpoint to resume from; train without resuming")
    try:
        # weights_only: tensors and plain values, nothing that a file could have run.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  torch raises many kinds on damaged files
        raise FileError(f"{path}: is no checkpoint, or is damaged ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise FileError(f"{path}: is not a {_FORMAT}")
    if state["version"] > _VERSION:
        raise FileError(f"{path}: has format version {state['version']}, this kiyas reads up to {_VERSION}; "
                        "upgrade kiyas")
    for name in sorted(facts.keys() | state["facts"].keys()):
        now, then = facts.get(name), state["facts"].get(name)
        if now != then:
            raise FileError(f"{path}: belongs to another run, {name} was {then!r} there and is {now!r} now; "
                            "resume with what that run was given, or remove the file and start anew")
    return state
