"""What a training run leaves on disk, so that it goes on after an interruption exactly as if there had been none.

    checkpoint.json     what is being trained (`task`), how far it is (`state`), hashes; written last
    state.safetensors   its arrays

A checkpoint belongs to one task: other parameters or other data are refused, naming what differs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kiyas.directory import Format, refuse_others, replacing, write_file
from kiyas.errors import FileError

FORMAT = Format("checkpoint", version=1, manifest="checkpoint.json", files=frozenset({"state.safetensors"}),
                optional=frozenset(), facts={"task": dict, "state": dict})


def fingerprint(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays: their dtypes, shapes and numbers."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def write(directory: str | os.PathLike[str], task: Mapping[str, Any], state: Mapping[str, Any],
          arrays: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint, replacing the one that is there as a whole; anything else that is there is left alone."""
    from safetensors.numpy import save

    target = Path(directory)
    refuse_others(target, FORMAT)
    with replacing(target) as part:
        data = save({name: np.asarray(array, order="C") for name, array in arrays.items()})  # 0-d stays 0-d
        entry = write_file(part / "state.safetensors", [data])
        FORMAT.write_manifest(part, {"task": dict(task), "state": dict(state), "files": {"state.safetensors": entry}})


def remove(directory: str | os.PathLike[str]) -> None:
    """Remove a checkpoint; anything else that is there is left alone."""
    if FORMAT.is_at(Path(directory)):
        shutil.rmtree(directory)


def read(directory: str | os.PathLike[str], task: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """State and arrays of the checkpoint, or None where there is none yet.

    Raises `FileError` where it is incomplete, altered, or of another task.
    """
    from safetensors.numpy import load

    source = Path(directory)
    if not FORMAT.is_at(source):
        refuse_others(source, FORMAT)
        return None
    manifest = FORMAT.read_manifest(source)
    begun = manifest["task"]
    for name in sorted(begun.keys() | task.keys()):
        if begun.get(name) != task.get(name):
            raise FileError(f"{source}: was begun with {name}={begun.get(name)!r}, this run has {task.get(name)!r}; "
                            "give another directory, or remove this one to begin anew")
    data = FORMAT.read_file(source / "state.safetensors", manifest["files"]["state.safetensors"])
    return manifest["state"], dict(load(data))
