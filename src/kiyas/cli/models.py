"""``kiyas recurrent info`` and ``convert``: models in files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from kiyas.cli import exporting, show
from kiyas.errors import FileError, InputError, message
from kiyas.recurrent import Model, Tokenizer, load
from kiyas.recurrent.tokenizer import check_locale
from kiyas.recurrent.tokenizer_files import beside

_PRECISIONS = ("float32", "bfloat16", "int8")
# How the recurrent layers of each format have their gates.
_GATES = {"keras": {"LSTM": "i f c o", "GRU": "z r h"}, "keras 1": {"LSTM": "i c f o", "GRU": "z r h"},
          "torch": {"LSTM": "i f g o", "GRU": "r z n"}, "onnx": {"LSTM": "i o f c", "GRU": "z r h"},
          "kiyas": {"LSTM": "i f c o", "GRU": "z r h"}}


@dataclass(frozen=True)
class Chosen:
    """A model's file, what else it takes to read it, and in which precision."""

    file: Path
    config: Path | None = None
    prefix: str | None = None
    precision: str = "float32"
    inputs: Sequence[str] | None = None
    shapes: Sequence[str] | None = None

    def load(self) -> Model:
        """The model. What rounding its weights costs is told on standard error."""
        if self.precision not in _PRECISIONS:
            raise InputError(message("kiyas recurrent", "--precision", f"one of {', '.join(_PRECISIONS)}",
                                     repr(self.precision)))
        options: dict[str, Any] = {"inputs": dict(_number(text) for text in self.inputs or ()),
                                   "shapes": dict(_sizes(text) for text in self.shapes or ())}
        model = load(self.file, config=self.config, prefix=self.prefix, **{k: v for k, v in options.items() if v})
        if self.precision == "float32":
            return model
        rounded = model.with_precision(self.precision)
        if (error := rounded.precision_error) is not None:
            sys.stderr.write(f"{self.precision} weights: outputs differ by at most {error.largest:.2g}, "
                             f"{error.mean:.2g} on average ({error.sample})\n")
        return rounded


def _number(text: str) -> tuple[str, int | float]:
    name, _, value = text.rpartition("=")
    for kind in (int, float):
        try:
            if name:
                return name, kind(value)
        except ValueError:
            continue
    raise InputError(message("kiyas recurrent", "--input", "NAME=NUMBER, such as sr=16000", repr(text)))


def _sizes(text: str) -> tuple[str, tuple[int | None, ...]]:
    name, _, value = text.rpartition("=")
    sizes = [size.strip() for size in value.split(",")]
    if not name or not all(size == "any" or (size.isdecimal() and int(size) > 0) for size in sizes):
        raise InputError(message("kiyas recurrent", "--shape", "NAME=SIZE,SIZE such as input=any,576", repr(text)))
    return name, tuple(None if size == "any" else int(size) for size in sizes)


@dataclass(frozen=True)
class Spelled:
    """A tokenizer's file, and what a plain vocabulary does not say itself."""

    file: Path | None = None
    characters: bool | None = None
    lower: bool | None = None
    locale: str | None = None

    def load(self, model: Path) -> Tokenizer:
        """The tokenizer, or the one beside the model."""
        if not model.exists():
            raise FileError(f"{model}: there is no such file")
        file = beside(model) if self.file is None else self.file
        if file is None:
            raise FileError(f"{model}: has no tokenizer beside it ({model.stem}.tokenizer.json); give --tokenizer FILE")
        given = {"char_level": self.characters, "lower": self.lower, "locale": self.locale}
        try:
            made = Tokenizer.load(file, **{k: v for k, v in given.items() if v is not None})
            check_locale(self.locale, made.lower, str(file))
            return made
        except InputError as error:
            if None in (self.characters, self.lower) and "is a vocabulary" in str(error):
                raise InputError(f"{file}: is a vocabulary without options; say --characters or --no-characters, and "
                                 "--lower or --no-lower") from None
            raise


# -- info --------------------------------------------------------------------------------------------------


def info(chosen: Chosen, json: bool) -> None:
    """Print what a model is."""
    model = chosen.load()
    facts = _facts(chosen.file, model)
    rows = model.describe()
    if json:
        show.print_json({**facts, "layers": [
            {"name": r.layer, "class": r.kind, "outputs": r.shape, "parameters": r.parameters, "place": r.place}
            for r in rows]})
        return
    out = show.console()
    shown = show.table("", "")
    shown.show_header = False
    for name, value in facts.items():
        shown.add_row(Text(name.replace("_", " "), style="dim"), Text(_words(value)))
    out.print(shown)
    out.print()
    layers = show.table("layer", "class", "output", "weights", "computed", right=("weights",))
    for r in rows:
        layers.add_row(Text(r.layer), Text(r.kind), Text(", ".join(_shape(s) for s in r.shape)),
                       f"{r.parameters:,}" if r.parameters else "", Text(r.place))
    out.print(layers)


def _facts(file: Path, model: Model) -> dict[str, Any]:
    source = {k: v for k, v in model.source.items() if k not in ("path", "outputs")}
    form = str(source.get("format", "kiyas"))
    if form == "keras" and str(source.get("keras_version", "")).startswith("1."):
        form = "keras 1"
    if _is_own(file):
        # What kiyas wrote has its own order of gates, and keeps what the model was made from.
        before = " ".join(str(v) for k, v in source.items() if k in ("format", "keras_version"))
        source, form = {"format": "kiyas"} | ({"made from": before} if before else {}), "kiyas"
    facts: dict[str, Any] = {"file": str(file), **source}
    kinds = _kinds(model)
    gates = {kind: order for kind, order in _GATES.get(form, {}).items() if kind in kinds}
    if gates:
        facts["gates"] = gates
    facts |= {"inputs": dict(zip(model.input_names, model.input_shapes, strict=True)),
              "outputs": dict(zip(model.output_names, model.output_shapes(), strict=True)),
              "weights": model.count_parameters(), "stateful": model.is_stateful,
              "step_by_step": "yes" if model.whole is None else f"no: {model.whole.owner} needs all steps at once"}
    tokenizer = beside(file)
    if tokenizer is not None:
        facts["tokenizer"] = str(tokenizer)
    return facts


def _is_own(file: Path) -> bool:
    from kiyas.recurrent.loading import tensors

    with file.open("rb") as opened:
        return tensors.is_safetensors(opened.read(512)) and tensors.is_own(tensors.read(file)[1])


def _kinds(model: Model) -> set[str]:
    """Classes of the recurrent layers, those inside of others too."""
    found: set[str] = set()
    for layer in model.layers:
        stack: list[Any] = [layer]
        while stack:
            one = stack.pop()
            found.add(type(one).__name__)
            if hasattr(one, "model"):
                found |= _kinds(one.model)
            stack += [getattr(one, name) for name in ("forward", "backward", "layer") if hasattr(one, name)]
    return found


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if s is None else str(s) for s in shape)})"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_shape(v) if isinstance(v, tuple) else v}" for k, v in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


# -- convert -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """How a model is written: over a file that is there, with its state going in and out, its padding known."""

    overwrite: bool = False
    state: bool = False
    padding: str | None = None


def convert(chosen: Chosen, output: Path, spelled: Spelled, written: Written, json: bool) -> None:
    """Write a model, in the form that the ending says, and its tokenizer beside it."""
    if output.suffix not in exporting.ENDINGS:
        raise InputError(message("kiyas recurrent convert", "--output", "a .safetensors, .onnx or .pt file",
                                 str(output)))
    if chosen.precision != "float32" and output.suffix != ".safetensors":
        raise InputError(f"--precision is for an output that ends in .safetensors, not {output.name}, which holds "
                         "float32 weights")
    beside_output = output.with_name(f"{output.stem}.tokenizer.json")
    source = beside(chosen.file) if spelled.file is None else spelled.file
    # In another form beside the model itself, the tokenizer is where it should be.
    there = source is not None and beside_output.exists() and beside_output.samefile(source)
    tokenizer = spelled.load(chosen.file) if source is not None and not there else None
    if tokenizer is not None and beside_output.is_file() and \
            beside_output.read_bytes() == tokenizer.to_json().encode():  # from another form of the same model
        tokenizer = None
    for path in [output, *([beside_output] if tokenizer is not None else [])]:
        show.require_free(path, written.overwrite)
    show.require_file(output, "--output")
    model = chosen.load()
    exporting.write(model, output, written.state, written.padding)
    facts: dict[str, Any] = {"file": str(output), "weights": model.count_parameters(), "bytes": output.stat().st_size}
    if tokenizer is not None:
        tokenizer.save(beside_output)
        facts["tokenizer"] = str(beside_output)
    if json:
        show.print_json(facts)
        return
    what = f": {facts['weights']:,} weights, {facts['bytes']:,} bytes"
    show.console().print(Text.assemble((str(output), "bold"), what))
    if tokenizer is not None:
        show.console().print(Text.assemble((str(beside_output), "bold"), f": {len(tokenizer):,} "
                                           f"{'characters' if tokenizer.char_level else 'words'}"))
