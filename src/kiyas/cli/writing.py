"""``kiyas recurrent generate`` and ``encode``: texts out of a model, and texts or series into vectors."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from kiyas.cli import show
from kiyas.cli.models import Chosen, Spelled
from kiyas.directory import replacing_file
from kiyas.encode.files import read_files
from kiyas.encode.numpy_files import read_npy
from kiyas.errors import FileError, InputError, message
from kiyas.recurrent import Generated, Tokenizer, beam_search, generate_tokens
from kiyas.recurrent import generate as generate_whole


@dataclass(frozen=True)
class Asked:
    """What to write, and how the words are chosen."""

    seed_text: str
    steps: int
    temperature: float | None
    top_k: int | None
    top_p: float | None
    beams: int | None
    seed: int | None
    stop: tuple[str, ...]
    window: int | None
    padding: str | None
    carry: bool
    start: str | None
    exclude: tuple[int, ...]
    logits: bool | None = None

    def check(self) -> None:
        """Raise `InputError` for options of a window where there is none."""
        for option, given in (("--padding", self.padding is not None), ("--carry", self.carry)):
            if given and self.window is None:
                raise InputError(f"{option} is about a window; give --window too, or leave it out")

    def drawing(self) -> dict[str, Any]:
        """The arguments of `generate` beside model, tokenizer, text and steps."""
        return {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p, "seed": self.seed,
                "stop": self.stop, "window": self.window, "padding": self.padding or "pre",
                "carry": True if self.carry else None, "start": self.start, "exclude": self.exclude,
                "logits": self.logits}


def generate(chosen: Chosen, spelled: Spelled, asked: Asked, json: bool) -> None:
    """Continue a text, each word as soon as it is there."""
    asked.check()
    tokenizer = spelled.load(chosen.file)
    model = chosen.load()
    _tell_unknown(tokenizer, asked.seed_text)
    if asked.beams is not None:
        drawn = [f"--{name.replace('_', '-')}" for name in ("temperature", "top_k", "top_p", "seed", "carry")
                 if getattr(asked, name) is not None and getattr(asked, name) is not False]
        if drawn:
            raise InputError(f"--beams looks for the most probable text, so {drawn[0]} has nothing to say; "
                             "leave one out")
        found = beam_search(model, tokenizer, asked.seed_text, asked.steps, asked.beams, stop=asked.stop,
                            window=asked.window, padding=asked.padding or "pre", start=asked.start,
                            exclude=asked.exclude, logits=asked.logits)
        if json:
            show.print_json({"texts": [_json(one) for one in found]})
        else:
            for one in found:
                sys.stdout.write(f"{one.log_probabilities.sum():.3f}\t{one.text}\n")
        return
    if json:
        show.print_json(_json(generate_whole(model, tokenizer, asked.seed_text, asked.steps, **asked.drawing())))
        return
    tokens = generate_tokens(model, tokenizer, asked.seed_text, asked.steps, **asked.drawing())
    # The first one is made before anything is written: what was given is looked at then.
    begun = list(islice(tokens, 1))
    sys.stdout.write(asked.seed_text)
    sys.stdout.flush()
    first = not asked.seed_text
    for token in chain(begun, tokens):
        sys.stdout.write(token.text.lstrip(" ") if first and not tokenizer.char_level else token.text)
        sys.stdout.flush()
        first = False
    sys.stdout.write("\n")


def _json(made: Generated) -> dict[str, Any]:
    return {"text": made.text, "continuation": made.continuation, "ids": made.ids, "words": made.words,
            "log_probabilities": made.log_probabilities, "stopped": made.stopped,
            "carried": sum(token.carried for token in made.tokens)}


def _tell_unknown(tokenizer: Tokenizer, text: str) -> None:
    unknown = tokenizer.unknown(text)
    if unknown:
        shown = ", ".join(map(repr, unknown[:5])) + (" …" if len(unknown) > 5 else "")
        oov = tokenizer.oov_token
        fate = "left out" if oov is None or oov not in tokenizer.word_index else f"read as {oov!r}"
        sys.stderr.write(f"not in the tokenizer's vocabulary, and {fate}: {shown}\n")


# -- encode ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pooled:
    """How states become a vector; see `kiyas.encode.recurrent.RecurrentEncoder`."""

    tokenizer: Path | None
    layer: str | None
    pooling: str
    window: int | None
    config: Path | None = None
    prefix: str | None = None


@dataclass(frozen=True)
class Texts:
    """How files of texts are read, and whether vectors that are there are replaced."""

    text_column: str | None
    lines: bool
    batch_size: int | None
    blank: str = "error"
    overlong: str = "error"
    overwrite: bool = False


def encode(file: str, files: list[Path], output: Path, pooled: Pooled, texts: Texts, json: bool) -> None:
    """Write a vector for each text or series."""
    from kiyas.encode.recurrent import RecurrentEncoder

    if not files:
        raise InputError("no file was given: kiyas recurrent encode MODEL FILE… -o VECTORS.npy")
    if output.suffix != ".npy":
        raise InputError(message("kiyas recurrent encode", "--output", "a .npy file", str(output)))
    show.require_free(output, texts.overwrite)
    show.require_file(output, "--output")
    encoder = RecurrentEncoder(file, pooled.tokenizer, layer=pooled.layer, pooling=pooled.pooling, window=pooled.window,
                               config=pooled.config, prefix=pooled.prefix)
    series = [path.suffix == ".npy" for path in files]
    if any(series) and not all(series):
        raise InputError("give texts, or .npy files of series, not both")
    for option, given in (("--blank", texts.blank), ("--overlong", texts.overlong)):
        if given != "error" and all(series):
            raise InputError(f"{option} is for texts, and {files[0]} holds series; leave it out")
    if texts.overlong != "error" and pooled.window is None:
        raise InputError("--overlong is about a window; give --window too, or leave it out")
    with show.progress("encoding") as report:
        if all(series):
            vectors = encoder.encode_series(_series(files), texts.batch_size, report)
        else:
            records = read_files(files, text_column=texts.text_column, lines=texts.lines)
            if records.texts is None:
                raise FileError(f"{files[0]}: holds vectors, not texts")
            report(0, len(records.texts))
            vectors = encoder.encode(records.texts, texts.batch_size, report, blank=texts.blank,
                                     overlong=texts.overlong)
    with replacing_file(output) as part, part.open("wb") as opened:
        np.save(opened, vectors)
    facts = {"file": str(output), "vectors": len(vectors), "dims": vectors.shape[1], "encoder": encoder.name,
             "encoder_version": encoder.version, "layer": encoder.layer, "pooling": encoder.pooling}
    if json:
        show.print_json(facts)
        return
    show.console().print(Text.assemble((str(output), "bold"), f": {show.many(len(vectors), 'vector')} of "
                                       f"{vectors.shape[1]} dimensions ({encoder.layer}, {encoder.pooling})"))


def _series(files: list[Path]) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for path in files:
        x = read_npy(path)
        if x.ndim not in (2, 3):
            raise FileError(f"{path}: must hold series of shape (series, time, features) or (time, features), got "
                            f"shape {x.shape}")
        found += list(x) if x.ndim == 3 else [x]
    return found
