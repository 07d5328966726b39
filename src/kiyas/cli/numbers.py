"""Numbers in files for models: .npy, .npz and .csv read, and written as they come."""

from __future__ import annotations

import csv
import io
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from kiyas.directory import replacing_file
from kiyas.encode.numpy_files import npz_names, read_npy, read_npz
from kiyas.errors import FileError
from kiyas.recurrent import Model

ENDINGS = (".npy", ".csv", ".npz")
Shape = tuple[int, ...]


# -- reading -----------------------------------------------------------------------------------------------


def inputs_of(data: Path, model: Model) -> list[np.ndarray]:
    """The inputs of a model, in their order; an .npy is memory-mapped."""
    if not data.exists():
        raise FileError(f"{data}: there is no such file")
    if data.suffix == ".npz":
        return _arrays(data, model.input_names)
    if len(model.inputs) > 1:
        raise FileError(f"{data}: the model has the inputs {', '.join(model.input_names)}; give a .npz with an array "
                        "for each")
    if data.suffix not in ENDINGS:
        raise FileError(f"{data}: is of a kind that is not read here; give .npy, .csv or .npz")
    x = read_npy(data) if data.suffix == ".npy" else _csv(data)
    # One sequence is a batch of one.
    return [x[None] if x.ndim == len(model.input_shapes[0]) - 1 else x]


def _arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    there = npz_names(path)
    if lacking := [name for name in names if name not in there]:
        raise FileError(f"{path}: has no array {lacking[0]!r}; it has {', '.join(there)}")
    if others := [name for name in there if name not in names]:
        raise FileError(f"{path}: has also {', '.join(map(repr, others))}, which is no input of the model; its inputs "
                        f"are {', '.join(names)}")
    return [read_npz(path, name) for name in names]


def _csv(path: Path) -> np.ndarray:
    rows: list[list[float]] = []
    if not path.is_file():
        raise FileError(f"{path}: is no plain file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is not UTF-8 at byte {error.start}") from None
    with io.StringIO(text, newline="") as file:
        for number, record in enumerate(csv.reader(file), 1):
            if not record:
                continue
            try:
                rows.append([float(field) for field in record])
            except ValueError:
                got = f"got {','.join(record)[:60]!r}"
                if other := _other_separator(record):
                    raise FileError(f"{path}, line {number}: must hold numbers with commas between them, found "
                                    f"{other} in place of commas, {got}") from None
                if number == 1 and not any(_is_number(field) for field in record):
                    continue  # names of the columns
                raise FileError(f"{path}, line {number}: must hold numbers with commas between them, {got}") from None
            if len(rows[-1]) != len(rows[0]):
                raise FileError(f"{path}, line {number}: has {len(rows[-1])} numbers, the first one {len(rows[0])}")
    if not rows:
        raise FileError(f"{path}: holds no numbers")
    return np.array(rows)


def _other_separator(record: list[str]) -> str | None:
    """What stands between the numbers of a line, where that is no comma (a comma may be a decimal point there)."""
    line = ",".join(record)
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in line and all(_is_number(part.replace(",", ".")) for part in line.split(mark)):
            return name
    return None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


# -- writing -----------------------------------------------------------------------------------------------


class Sink:
    """Where outputs go, piece by piece: output ``k`` of a whole ``shape``, from a row and a step on."""

    def __init__(self, outputs: int) -> None:
        self.shapes: list[Shape] = [()] * outputs
        self.arrays: list[np.ndarray] = []

    def put(self, k: int, shape: Shape, row: int, step: int, y: np.ndarray) -> None:
        """Take the outputs (rows, …) or (rows, steps, …) that belong there."""
        raise NotImplementedError


class Lines(Sink):
    """Lines of numbers: of vectors a row each, of one sequence a row a step. Pieces come in their order."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(1)
        self._file = file

    def put(self, k: int, shape: Shape, row: int, step: int, y: np.ndarray) -> None:
        self.shapes[k] = shape
        np.savetxt(self._file, y[0] if y.ndim == 3 else y, "%.9g", ",")


class Kept(Sink):
    """Arrays in memory."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.arrays = [np.empty(0)] * outputs

    def put(self, k: int, shape: Shape, row: int, step: int, y: np.ndarray) -> None:
        if not self.shapes[k]:
            self.arrays[k], self.shapes[k] = np.empty(shape, y.dtype), shape
        self.arrays[k][(slice(row, row + len(y)), *([slice(step, step + y.shape[1])] if y.ndim > 1 else []))] = y


class Npy(Sink):
    """.npy files, one for each output. Written and not mapped, so that no more than a piece is in memory."""

    def __init__(self, files: list[BinaryIO]) -> None:
        super().__init__(len(files))
        self._files = files
        self._begins = [0] * len(files)

    def put(self, k: int, shape: Shape, row: int, step: int, y: np.ndarray) -> None:
        file = self._files[k]
        if not self.shapes[k]:
            header = {"descr": np.lib.format.dtype_to_descr(y.dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            self.shapes[k], self._begins[k] = shape, file.tell()
        size = math.prod(shape[1:]) * y.itemsize
        pieces = [y] if y.shape[1:] == shape[1:] else y
        for i, piece in enumerate(pieces):
            within = step * math.prod(shape[2:]) * y.itemsize
            file.seek(self._begins[k] + (row + i) * size + within)
            file.write(np.ascontiguousarray(piece).data)


@contextmanager
def opened(output: Path, names: list[str]) -> Iterator[Sink]:
    """A new file of outputs of those names, by its ending; it is there, and as a whole, when the block has ended."""
    with replacing_file(output) as part:
        if output.suffix == ".csv":
            with part.open("w", encoding="ascii") as lines:
                yield Lines(lines)
        elif output.suffix == ".npy":
            with part.open("wb") as file:
                yield Npy([file])
        else:
            with tempfile.TemporaryDirectory(dir=part.parent, prefix=f"{part.name}-") as folder:
                places = [Path(folder) / f"{k}.npy" for k in range(len(names))]
                with ExitStack() as closed:
                    yield Npy([closed.enter_context(place.open("wb")) for place in places])
                with zipfile.ZipFile(part, "w") as archive:
                    for name, place in zip(names, places, strict=True):
                        # Under the very name, as `numpy.savez` does it: `write` takes names for paths of files.
                        with place.open("rb") as array, archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                            shutil.copyfileobj(array, entry)
