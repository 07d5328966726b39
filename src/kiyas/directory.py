"""A directory of files with a manifest of their hashes, written as a whole.

A `Format` says what such a directory holds. `replacing` writes a new one beside the old one and renames it into
place, so that it is never half there; `Format.write_manifest` comes last, and what is read is checked against it.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiyas.errors import FileError

# A manifest is a few kilobytes; of a larger file, nothing is read into memory.
_MOST_MANIFEST = 1 << 26


@dataclass(frozen=True)
class Format:
    """What a directory of one kind holds.

    ``noun`` names it in messages; ``version`` is the newest that is read; ``manifest`` is the name of its manifest.
    ``files`` must be there, ``optional`` may be; ``facts`` are the entries of the manifest beside its files, with
    their types (an ``int`` is a count, from 0).
    """

    noun: str
    version: int
    manifest: str
    files: frozenset[str]
    optional: frozenset[str]
    facts: Mapping[str, type]

    def is_at(self, directory: Path) -> bool:
        """Whether the directory has a manifest of that name."""
        return (directory / self.manifest).is_file()

    def write_manifest(self, directory: Path, entries: Mapping[str, Any]) -> None:
        """Write the manifest, after all files; ``entries["files"]`` has what `write_file` returned, by name."""
        manifest = {"format": f"kiyas {self.noun}", "version": self.version, **entries}
        write_file(directory / self.manifest, [json.dumps(manifest, ensure_ascii=False, indent=1).encode()])

    def read_manifest(self, directory: Path) -> dict[str, Any]:
        """The manifest, its entries of the right kind and its files of known names; `FileError` otherwise."""
        path = directory / self.manifest
        if not directory.exists():
            raise FileError(f"{directory}: there is no such directory")
        if not self.is_at(directory):
            left = sorted(p.name for p in directory.parent.glob(f"{glob.escape(directory.name)}.old-*"))
            cure = f"; an interrupted save left {left[0]} beside it, rename that" if left else ""
            raise FileError(f"{directory}: is no kiyas {self.noun}, it has no {self.manifest}{cure}")
        if path.stat().st_size > _MOST_MANIFEST:
            raise FileError(f"{path}: is too large to be a manifest")
        try:
            manifest = json.loads(path.read_bytes())
            if not isinstance(manifest, dict) or manifest.get("format") != f"kiyas {self.noun}":
                raise FileError(f"{path}: is not the manifest of a kiyas {self.noun}")
            # Before the entries: a newer version may have others.
            version = manifest.get("version", 0)
            if not isinstance(version, int) or version > self.version:
                raise FileError(f"{path}: has format version {version}, this kiyas reads up to {self.version}; "
                                "upgrade kiyas")
        except (ValueError, RecursionError) as error:
            raise FileError(f"{path}: is incomplete or altered ({error})") from None
        if lacking := sorted({"version", "files", *self.facts} - manifest.keys()):
            raise FileError(f"{path}: is incomplete, it lacks {', '.join(lacking)}")
        if not self._of_the_right_kind(manifest):
            raise FileError(f"{path}: is altered, parts of it are of the wrong kind")
        return manifest

    def _of_the_right_kind(self, manifest: dict[str, Any]) -> bool:
        files = manifest["files"]
        # Only known names, as a name is a path: "../other" must not be opened.
        return isinstance(files, dict) and self.files <= files.keys() <= self.files | self.optional \
            and all(isinstance(entry, dict) for entry in files.values()) \
            and all(isinstance(manifest[key], kind) and (kind is not int or manifest[key] >= 0)
                    for key, kind in self.facts.items())

    def check_file(self, path: Path, entry: Mapping[str, Any], verify: bool = True) -> None:
        """Raise `FileError` unless the file is there, of the size and, with ``verify``, the hash of its entry."""
        self._check_size(path, entry)
        if verify:
            with path.open("rb") as file:
                _check_hash(path, entry, hashlib.file_digest(file, "sha256").hexdigest())

    def read_file(self, path: Path, entry: Mapping[str, Any]) -> bytes:
        """The contents of a file, the very bytes that were checked; see `check_file`."""
        self._check_size(path, entry)
        data = path.read_bytes()
        _check_hash(path, entry, hashlib.sha256(data).hexdigest())
        return data

    def _check_size(self, path: Path, entry: Mapping[str, Any]) -> None:
        if not path.is_file():
            raise FileError(f"{path}: is missing from the {self.noun}")
        size, said = path.stat().st_size, entry.get("bytes")
        if size != said:
            raise FileError(f"{path}: has {size} bytes, the manifest says {said}; half-written or altered")


def _check_hash(path: Path, entry: Mapping[str, Any], digest: str) -> None:
    if digest != entry.get("sha256"):
        raise FileError(f"{path}: is altered, its contents do not match the manifest")


def write_file(path: Path, pieces: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Write a file through to the disk, piece by piece, and return its entry for a manifest: bytes and sha256."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new directory to write into, which becomes ``target`` when the block ends.

    A directory that was there is replaced as a whole. If the block or the renaming fails, it is still there as it was.
    """
    part, old = _beside(target, "part"), _beside(target, "old")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        if target.exists():
            target.rename(old)
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def refuse_others(target: Path, *formats: Format) -> None:
    """Raise `FileError` if ``target`` holds anything but a directory of one of the formats."""
    if not target.exists() or any(known.is_at(target) for known in formats):
        return
    if not target.is_dir() or any(target.iterdir()):
        nouns = " or ".join(known.noun for known in formats)
        raise FileError(f"{target}: exists and is no kiyas {nouns}; give another directory")


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file as a whole: it is there complete, or as it was before. Its directory is made if need be.

    Raises `FileError` for a place that cannot be written to.
    """
    with replacing_file(path) as part:
        write_file(part, [content.encode() if isinstance(content, str) else content])


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A path to write a new file to, which becomes ``path`` when the block ends; if it fails, all is as it was.

    Its directory is made if need be. Raises `FileError` for a place that cannot be written to.
    """
    part = _beside(path, "part")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def require_writable(path: Path) -> None:
    """Before minutes of work: raise `FileError` unless a file or directory can be made there; makes its directory."""
    probe = _beside(path, "probe")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()


def _beside(path: Path, what: str) -> Path:
    if not path.name:  # "." and "/" cannot be replaced
        raise FileError(f"{path}: cannot be written; give a file or directory with a name of its own")
    return path.with_name(f"{path.name}.{what}-{os.getpid()}")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileError):
            raise
        # Making a folder where a file is fails as "File exists", which says nothing of what is wrong.
        reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror or error
        raise FileError(f"{path}: cannot be written ({reason})") from None
