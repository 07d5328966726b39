"""The encoder that an index was made with, found again from wherever the index is opened.

A manifest keeps the encoder's name and version and, for each file that the name speaks of, where it was: as a whole
path, and seen from the index, so that both may be moved together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from kiyas.encode import encoder as make_encoder
from kiyas.encode.base import Encoder
from kiyas.errors import FileError, InputError

_AS_GIVEN: Mapping[str, Path] = {}


class Stored:
    """An encoder that is known by name and version, and built when it is first asked for.

    Parameters: ``source``, the directory of the index; ``facts``, what `facts_of` gave (indexes of before it kept
    places have a name and a version alone).
    """

    def __init__(self, source: Path, facts: Mapping[str, Any]) -> None:
        self.source = source
        self.name, self.version = str(facts.get("name")), str(facts.get("version"))
        files = facts.get("files", {})
        if not isinstance(files, dict) or not all(isinstance(place, dict) for place in files.values()):
            raise FileError(f"{source}: the files of its encoder are of the wrong kind; the manifest is altered")
        self._files: dict[str, dict[str, Any]] = files

    @property
    def files(self) -> Mapping[str, Path]:
        """Where its files are; where they were, if they are gone."""
        there = [places for places in self._places() if all(path.exists() for path in places.values())]
        return next(iter(there or self._places()), _AS_GIVEN)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder; `FileError` where its files are gone, or none of those found is of that version."""
        other, problem = None, ""
        for places in [*self._places(), _AS_GIVEN]:
            if not all(path.exists() for path in places.values()):
                continue
            try:
                made = make_encoder(self.name, places)
            except InputError:
                raise FileError(f"{self.source}: was made with the encoder {self.name!r}, which is a function of your "
                                "own; load it with Collection.load(directory, encoder=…)") from None
            except FileError as error:
                if places or not self._files:
                    problem = problem or str(error)
                continue
            if made.version == self.version:
                return made
            other = other or made
        if other is not None:
            return same(self.source, self.name, self.version, other)
        raise FileError(f"{self.source}: was made with the encoder {self.name}, which cannot be had here "
                        f"({problem or self._looked()}); put it back there, or index the texts again")

    def _places(self) -> Iterator[Mapping[str, Path]]:
        """Where the files may be: where they were, then where they are if they were moved with the index."""
        beside = self.source.resolve()
        ways: tuple[tuple[str, Callable[[str], Path]], ...] = (("absolute", Path), ("relative", beside.joinpath))
        seen: list[Mapping[str, Path]] = []
        for way, path_of in ways:
            places = {given: Path(os.path.normpath(path_of(place[way]))) for given, place in self._files.items()
                      if isinstance(place.get(way), str)}
            if self._files and len(places) == len(self._files) and places not in seen:
                seen.append(places)
                yield places

    def _looked(self) -> str:
        lost = [str(path) for places in self._places() for path in places.values() if not path.exists()]
        return f"there is no {' nor '.join(lost)}" if lost else ""


def facts_of(encoder: Encoder | Stored, dims: int, directory: Path) -> dict[str, Any]:
    """What a manifest in ``directory`` keeps of an encoder."""
    facts: dict[str, Any] = {"name": encoder.name, "version": encoder.version, "dims": dims}
    files = {given: {"absolute": str(path.resolve()), "relative": _from(directory, path)}
             for given, path in encoder.files.items()}
    return {**facts, "files": files} if files else facts


def same(source: Path, name: str, version: str, encoder: Encoder) -> Encoder:
    """The encoder, if it is of that name and version; `FileError` otherwise."""
    if (encoder.name, encoder.version) != (name, version):
        raise FileError(f"{source}: was made with the encoder {name} {version}, this is {encoder.name} "
                        f"{encoder.version}; their vectors cannot be compared: install that version, or index again")
    return encoder


def _from(directory: Path, path: Path) -> str | None:
    try:
        return Path(os.path.relpath(path.resolve(), directory.resolve())).as_posix()
    except ValueError:  # another drive
        return None
