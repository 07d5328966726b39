"""A directory with a manifest: replaced as a whole or not at all, and checked when it is read."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from kiyas.directory import (
    Format,
    refuse_others,
    replacing,
    replacing_file,
    require_writable,
    write_file,
    write_whole,
)
from kiyas.errors import FileError

BOX = Format("box", version=2, manifest="box.json", files=frozenset({"a.bin"}), optional=frozenset({"b.bin"}),
             facts={"rows": int, "kind": dict})


def write(folder, data=b"contents"):
    with replacing(folder) as part:
        entry = write_file(part / "a.bin", [data])
        BOX.write_manifest(part, {"rows": 3, "kind": {}, "files": {"a.bin": entry}})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def box(tmp_path):
    write(tmp_path / "box")
    return tmp_path / "box"


@pytest.fixture
def altered(box):
    """Change entries of the manifest; None takes one out."""
    whole = json.loads((box / "box.json").read_text())

    def change(**entries):
        manifest = {key: value for key, value in (whole | entries).items() if value is not None}
        (box / "box.json").write_text(json.dumps(manifest))

    return change


# -- writing -------------------------------------------------------------------------------------------


def test_a_file_is_its_pieces_and_its_entry_is_true(tmp_path):
    entry = write_file(tmp_path / "f", (piece for piece in [b"one", memoryview(b"two"), b""]))
    assert (tmp_path / "f").read_bytes() == b"onetwo"
    assert entry == {"bytes": 6, "sha256": hashlib.sha256(b"onetwo").hexdigest()}


def test_the_manifest_begins_with_format_and_version(box):
    assert list(json.loads((box / "box.json").read_text()).items())[:2] == [("format", "kiyas box"), ("version", 2)]


def test_a_new_directory_and_its_parents_are_made(tmp_path):
    write(tmp_path / "x" / "y" / "box")
    assert names(tmp_path / "x" / "y") == ["box"]
    assert BOX.read_manifest(tmp_path / "x" / "y" / "box")["rows"] == 3


def test_the_old_directory_goes_with_all_it_held(box):
    (box / "b.bin").write_bytes(b"old")
    write(box, b"new")
    assert names(box.parent) == ["box"]
    assert names(box) == ["a.bin", "box.json"]
    assert (box / "a.bin").read_bytes() == b"new"


def test_what_an_earlier_failure_left_is_not_taken_over(box):
    left = box.with_name(f"box.part-{os.getpid()}")
    left.mkdir()
    (left / "stray").write_bytes(b"")
    write(box)
    assert names(box.parent) == ["box"]
    assert "stray" not in names(box)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("there", [True, False])
def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path, error, there):
    target = tmp_path / "box"
    if there:
        write(target)

    def stopped():
        yield b"half"
        raise error

    with pytest.raises(type(error)), replacing(target) as part:
        write_file(part / "a.bin", stopped())
    assert names(tmp_path) == (["box"] if there else [])
    if there:
        assert BOX.read_file(target / "a.bin", BOX.read_manifest(target)["files"]["a.bin"]) == b"contents"


@pytest.mark.parametrize("which", ["the old one away", "the new one into place"])
def test_a_failed_rename_restores_the_old_directory(box, monkeypatch, which):
    rename, refused = Path.rename, []

    def fail_once(self, target):
        if not refused and (".part-" in self.name) == (which == "the new one into place"):
            # For the second rename, the old directory is away at this point: it has to come back.
            refused.append(box.exists())
            raise PermissionError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(PermissionError, match="no"):
        write(box, b"new")
    assert refused == [which == "the old one away"]
    assert names(box.parent) == ["box"]
    assert BOX.read_file(box / "a.bin", BOX.read_manifest(box)["files"]["a.bin"]) == b"contents"


def test_a_file_is_replaced_as_a_whole_and_its_directory_is_made(tmp_path):
    target = tmp_path / "new" / "newer" / "a.txt"
    for content in ("one ü", b"two", memoryview(b"three")):
        write_whole(target, content)
        assert target.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
        assert names(target.parent) == ["a.txt"]


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("before")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"file/a\.txt: cannot be written \(Not a directory\)"):
        write_whole(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(FileError, match=r"folder: cannot be written \(Is a directory\)"):
        write_whole(tmp_path / "folder", "x")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"file: cannot be written \(No space left on device\)"):
        write_whole(tmp_path / "file", "after")
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "before"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(FileError, match=r"a\.txt: cannot be written \(Permission denied\)"):
            write_whole(tmp_path / "a.txt", "x")
    finally:
        tmp_path.chmod(0o700)


def test_only_ours_or_an_empty_directory_may_be_replaced(box, tmp_path):
    other = Format("other", 1, "other.json", frozenset(), frozenset(), {})
    refuse_others(box, BOX)
    refuse_others(box, other, BOX)
    refuse_others(tmp_path / "nothing", BOX)
    (tmp_path / "empty").mkdir()
    refuse_others(tmp_path / "empty", BOX)
    with pytest.raises(FileError, match="box: exists and is no kiyas other; give another directory"):
        refuse_others(box, other)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="file: exists and is no kiyas box or other; give another directory"):
        refuse_others(tmp_path / "file", BOX, other)


# -- reading: files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [BOX.check_file, BOX.read_file], ids=["check", "read"])
def test_missing_cut_and_altered_files_are_named(box, read):
    path, entry = box / "a.bin", BOX.read_manifest(box)["files"]["a.bin"]
    read(path, entry)
    path.write_bytes(b"Contents")
    with pytest.raises(FileError, match=r"a\.bin: is altered, its contents do not match the manifest"):
        read(path, entry)
    path.write_bytes(b"content")
    with pytest.raises(FileError, match=r"a\.bin: has 7 bytes, the manifest says 8; half-written or altered"):
        read(path, entry)
    path.unlink()
    with pytest.raises(FileError, match=r"a\.bin: is missing from the box"):
        read(path, entry)
    path.mkdir()
    with pytest.raises(FileError, match=r"a\.bin: is missing from the box"):
        read(path, entry)


def test_without_verify_only_the_hash_is_not_looked_at(box):
    path, entry = box / "a.bin", BOX.read_manifest(box)["files"]["a.bin"]
    path.write_bytes(b"Contents")
    BOX.check_file(path, entry, verify=False)
    path.write_bytes(b"content")
    with pytest.raises(FileError, match="has 7 bytes"):
        BOX.check_file(path, entry, verify=False)


@pytest.mark.parametrize("entry", [{}, {"bytes": "8"}, {"bytes": 8}, {"bytes": 8, "sha256": None}], ids=str)
def test_an_entry_that_says_nothing_lets_nothing_through(box, entry):
    with pytest.raises(FileError, match=r"a\.bin: (is altered|has 8 bytes)"):
        BOX.read_file(box / "a.bin", entry)


# -- reading: the manifest -----------------------------------------------------------------------------


def refused(folder, words):
    with pytest.raises(FileError, match=words):
        BOX.read_manifest(folder)


def test_no_manifest(box, tmp_path):
    refused(tmp_path / "nowhere", "nowhere: there is no such directory")
    (box / "box.json").unlink()
    refused(box, r"box: is no kiyas box, it has no box\.json$")


@pytest.mark.parametrize("name", ["box", "box [1]"])
def test_an_interrupted_save_is_pointed_out(box, name):
    target = box.with_name(name)
    box.rename(target.with_name(f"{name}.old-7"))
    target.mkdir()
    refused(target, r"it has no box\.json; an interrupted save left box.*\.old-7 beside it, rename that")


def test_a_manifest_too_large_is_not_read(box, monkeypatch):
    with (box / "box.json").open("r+b") as file:
        file.truncate((1 << 26) + 1)  # a hole: nothing is written
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("read"))
    refused(box, r"box\.json: is too large to be a manifest")


@pytest.mark.parametrize("data", [b"", b'{"format": "kiyas box", ', b"\xff\xfe{", b"[" * 100_000, b"1" * 5000],
                         ids=["empty", "cut", "not UTF-8", "deep", "a long number"])
def test_a_manifest_that_is_no_json(box, data):
    (box / "box.json").write_bytes(data)
    refused(box, r"box\.json: is incomplete or altered \(")


@pytest.mark.parametrize("data", [b"[]", b"null", b"{}", b'{"format": "kiyas index", "version": 1}'])
def test_a_manifest_of_another_format(box, data):
    (box / "box.json").write_bytes(data)
    refused(box, r"box\.json: is not the manifest of a kiyas box")


@pytest.mark.parametrize("version", [3, "2", 1.5, [2]])
def test_a_newer_version_says_to_upgrade(box, altered, version):
    altered(version=version)
    refused(box, r"box\.json: has format version .*, this kiyas reads up to 2; upgrade kiyas")
    altered(version=version, rows=None)
    refused(box, "upgrade kiyas")


def test_an_older_version_is_read(box, altered):
    altered(version=1)
    assert BOX.read_manifest(box)["version"] == 1


@pytest.mark.parametrize("name", ["version", "files", "rows", "kind"])
def test_an_entry_that_is_lacking_is_named(box, altered, name):
    altered(**{name: None})
    refused(box, rf"box\.json: is incomplete, it lacks {name}$")


@pytest.mark.parametrize("entries", [
    {"rows": -1}, {"rows": "3"}, {"kind": []}, {"files": []}, {"files": {}}, {"files": {"a.bin": 1}},
    {"files": {"b.bin": {}}}, {"files": {"a.bin": {}, "c.bin": {}}}, {"files": {"a.bin": {}, "../secret": {}}},
], ids=str)
def test_entries_of_the_wrong_kind_and_unknown_files(box, altered, entries):
    altered(**entries)
    refused(box, r"box\.json: is altered, parts of it are of the wrong kind")


def test_optional_files_may_be_there(box, altered):
    altered(files={"a.bin": {}, "b.bin": {}})
    assert BOX.read_manifest(box)["files"].keys() == {"a.bin", "b.bin"}


def test_a_file_that_is_written_bit_by_bit_is_there_at_the_end_only(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with replacing_file(target) as part:
        part.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    with pytest.raises(KeyboardInterrupt), replacing_file(target) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "one" and names(target.parent) == ["a.txt"]
    with pytest.raises(FileError, match="another's error"), replacing_file(target):
        raise FileError("another's error")


def test_whether_a_place_can_be_written_is_known_before(tmp_path):
    require_writable(tmp_path / "new" / "a.txt")
    assert names(tmp_path / "new") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"a\.txt: cannot be written \(Not a directory\)"):
        require_writable(tmp_path / "file" / "a.txt")
    if Path("/sys/kernel").is_dir():
        with pytest.raises(FileError, match=r"/sys/kernel/z\.npy: cannot be written \("):
            require_writable(Path("/sys/kernel/z.npy"))


@pytest.mark.parametrize("place", [".", "/"])
def test_a_place_without_a_name_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for way in (replacing, replacing_file, require_writable):
        with pytest.raises(FileError, match=r"cannot be written; give a file or directory with a name"), \
                way(Path(place)):
            raise AssertionError("nothing is done")
    assert not list(tmp_path.iterdir())
