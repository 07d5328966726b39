"""``kiyas recurrent train``: texts or pairs from files, training with a bar, the model and its tokenizer to files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from kiyas.cli import leave_stdout, show
from kiyas.cli.named import measure_of
from kiyas.encode.files import csv_records, jsonl_records, read_files
from kiyas.errors import FileError, InputError, message
from kiyas.recurrent.training import (
    Epoch,
    LanguageModel,
    Schedule,
    SentenceEncoder,
    Trained,
    train_language_model,
    train_sentence_encoder,
)
from kiyas.recurrent.training.language import perplexity
from kiyas.recurrent.training.loop import import_torch
from kiyas.recurrent.training.trained import tokenizer_path

_OWNER = "kiyas recurrent train"


@dataclass(frozen=True)
class Target:
    """Where a model goes, and whether a run goes on."""

    output: Path
    resume: bool
    overwrite: bool
    json: bool

    @property
    def checkpoint(self) -> Path:
        """Where the run is kept until the model is written."""
        return self.output.with_name(f"{self.output.name}.checkpoint")

    def check(self, files: list[Path], schedule: Schedule) -> None:
        """What can be wrong without reading anything comes before minutes of training."""
        if not files:
            raise InputError(f"no file was given: {_OWNER} … FILE… -o MODEL.safetensors")
        if self.output.suffix != ".safetensors":
            raise InputError(message(_OWNER, "--output", "a .safetensors file", str(self.output)))
        for path in (self.output, tokenizer_path(self.output)):
            show.require_free(path, self.overwrite)
        if self.checkpoint.exists() and not self.resume:
            raise FileError(f"{self.checkpoint}: a run that was stopped; go on with --resume, or remove it to start "
                            "anew")
        show.require_file(self.output, "--output")
        import_torch(schedule.device)


def language(files: list[Path], text_column: str | None, shape: LanguageModel, schedule: Schedule, target: Target
             ) -> None:
    """Train a language model on the texts of files."""
    target.check(files, schedule)
    texts = read_files(files, text_column=text_column).texts
    if texts is None:
        raise FileError(f"{files[0]}: holds vectors, where texts are wanted")

    def told(epoch: Epoch) -> str:
        return f"perplexity {show.number(perplexity(-epoch.score))} (training {show.number(perplexity(epoch.loss))})"

    _run(target, told, lambda **given: train_language_model(texts, shape, schedule, **given))


def encoder(files: list[Path], fields: str, measure: str, shape: SentenceEncoder, schedule: Schedule, target: Target
            ) -> None:
    """Train a sentence encoder on the pairs of files."""
    target.check(files, schedule)
    names = [name.strip() for name in fields.split(",")]
    if len(names) != 2 or not all(names):
        raise InputError(message(_OWNER, "--fields", "two names with a comma between them", repr(fields)))
    chosen = measure_of(measure)
    pairs = [pair for path in files for pair in _pairs(path, names)]

    def told(epoch: Epoch) -> str:
        return f"mean reciprocal rank {show.number(epoch.score)} (training loss {show.number(epoch.loss)})"

    _run(target, told, lambda **given: train_sentence_encoder(pairs, chosen, shape, schedule, **given))


def _pairs(path: Path, names: list[str]) -> list[tuple[str, str]]:
    kinds: dict[str, Callable[[Path], Any]] = {".jsonl": jsonl_records, ".csv": csv_records}
    if path.suffix.lower() not in kinds:
        raise FileError(f"{path}: pairs are read from .jsonl and .csv; not {path.suffix or 'a file without an ending'}")
    found: list[tuple[str, str]] = []
    for line, record in kinds[path.suffix.lower()](path):
        texts = [record.get(name) for name in names]
        for name, text in zip(names, texts, strict=True):
            if not isinstance(text, str):
                what = "no text in the field" if name in record else "no field"
                raise FileError(f"{path}, line {line}: has {what} {name!r}; name the two with --fields")
        found.append((texts[0], texts[1]))
    return found


def _run(target: Target, told: Callable[[Epoch], str], train: Callable[..., Trained]) -> None:
    out = show.console()

    def on_epoch(epoch: Epoch) -> None:
        if target.json:
            return
        try:
            # By sys.stdout, which keeps out of the way of a bar.
            sys.stdout.write(f"epoch {epoch.number}: {told(epoch)}{' *' if epoch.best else ''}\n")
            sys.stdout.flush()
        except BrokenPipeError:  # a reader that has enough (head) ends no training
            leave_stdout()

    try:
        with show.progress("training") as report:
            done = train(checkpoint=target.checkpoint, resume=target.resume, progress=report, on_epoch=on_epoch)
    except KeyboardInterrupt:
        if target.checkpoint.exists():
            sys.stderr.write(f"the run is kept in {target.checkpoint}; go on with --resume\n")
        raise
    beside = done.save(target.output)
    target.checkpoint.unlink()
    if target.json:
        show.print_json({"file": str(target.output), "tokenizer": str(beside), **done.validation,
                         "weights": done.model.count_parameters(),
                         "epochs": [{"epoch": e.number, "loss": e.loss, "score": e.score, "best": e.best}
                                    for e in done.epochs]})
        return
    best = next(e for e in reversed(done.epochs) if e.best)
    out.print(Text.assemble((str(target.output), "bold"), f": {done.model.count_parameters():,} weights of epoch "
                            f"{best.number}, {told(best)}"))
    out.print(Text.assemble((str(beside), "bold"), f": {len(done.tokenizer):,} "
                            f"{'characters' if done.tokenizer.char_level else 'words'}"))
