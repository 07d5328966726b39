"""A fitted measure as a directory of its own: beside an index, to be searched with or sent to someone.

    measure.json            format version, the measure, how it was made, sizes and SHA-256 of the other file; last
    measure.safetensors     its arrays

`kiyas search DIR --measure FILE` and `Index.using(load_measure(FILE))` take it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiyas.directory import Format, refuse_others, replacing, write_file
from kiyas.errors import FileError, KiyasError
from kiyas.measures import from_state, to_state
from kiyas.measures.base import Measure

FORMAT = Format("measure", version=1, manifest="measure.json", files=frozenset({"measure.safetensors"}),
                optional=frozenset(), facts={"measure": dict, "made": dict})


def save_measure(measure: Measure, directory: str | os.PathLike[str], made: Mapping[str, Any] | None = None) -> None:
    """Write a measure; one that was there is replaced as a whole, anything else is left alone.

    ``made``: facts for people and machines on how it came about, JSON-able.
    """
    from safetensors.numpy import save

    from kiyas import __version__

    target = Path(directory)
    refuse_others(target, FORMAT)
    state, arrays = to_state(measure)
    with replacing(target) as part:
        entry = write_file(part / "measure.safetensors", [save(arrays)])
        FORMAT.write_manifest(part, {"kiyas": __version__, "measure": state, "made": dict(made or {}),
                                     "files": {"measure.safetensors": entry}})


def load_measure(directory: str | os.PathLike[str]) -> Measure:
    """Read a measure back, bit for bit. Raises `FileError` for a file that is missing, altered or not one of ours."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    source = Path(directory)
    manifest = FORMAT.read_manifest(source)
    name = "measure.safetensors"
    try:
        return from_state(manifest["measure"], load(FORMAT.read_file(source / name, manifest["files"][name])))
    except KiyasError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{source / FORMAT.manifest}: describes no measure ({error})") from None


def is_measure(directory: str | os.PathLike[str]) -> bool:
    """Whether a measure was saved there."""
    return FORMAT.is_at(Path(directory))
