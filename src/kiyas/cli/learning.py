"""``kiyas learn``: a measure trained on pairs, with PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.text import Text

from kiyas.cli import given, show
from kiyas.cli.fitting import Asked, Material, make_own, material
from kiyas.directory import refuse_others
from kiyas.encode.collection import Collection
from kiyas.errors import InputError, message
from kiyas.fit import (
    LearnedFit,
    Pairs,
    TrainingPlan,
    checkpoint,
    files,
    judged_pairs,
    learn_adapter,
    learn_similarity,
    relevance_map,
    save_measure,
)
from kiyas.fit.pairs import as_rows
from kiyas.fit.training import refit_directory, require_torch
from kiyas.measures import LinearMap

FORMS = ("network", "symmetric", "adapter")


@dataclass(frozen=True)
class Form:
    """What is trained: a network, a symmetric one, or an adapter in front of a measure; and what it begins as."""

    form: str = "network"
    hidden: int = 64
    measure: str = "cosine"
    from_map: bool = False

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(message("kiyas learn", "--form", ", ".join(FORMS), repr(self.form)))
        if self.form != "adapter" and self.measure != "cosine":
            raise InputError("--measure is for --form adapter; a network stands beside the cosine")


def run(asked: Asked, form: Form, plan: TrainingPlan, output: Path | None, apply: bool, json: bool) -> None:
    """Train, say what was gained, write the measure."""
    require_torch("training a measure")
    target = output or asked.directory.with_name(asked.directory.name + ".learned")
    refuse_others(target, files.FORMAT)
    held = material(asked)
    pairs, documents, queries = _task(held)
    unfinished = target.with_name(target.name + ".unfinished")

    def start(left: Pairs) -> LinearMap:
        return relevance_map(left, queries, documents)

    begin = start if form.from_map else None
    with show.progress("training") as report:
        if form.form == "adapter":
            fit = learn_adapter(pairs, documents, plan, measure=form.measure, start=begin, progress=report,
                                checkpoint=unfinished)
        else:
            fit = learn_similarity(pairs, documents, plan, hidden=form.hidden, symmetric=form.form == "symmetric",
                                   start=begin, progress=report, checkpoint=unfinished)
    keep = fit.helps or form.from_map
    facts = {"directory": str(asked.directory), "form": form.form, "from_map": form.from_map, "pairs": len(pairs),
             "held_out_queries": fit.trained.before.size, "before": float(fit.trained.before.mean()),
             "after": float(fit.trained.after.mean()), "epoch": fit.trained.epoch, "epochs": fit.trained.epochs,
             "seed": plan.seed, "conclusion": fit.trained.conclusion()}
    if keep:
        save_measure(fit.measure, target, facts)
        if apply:
            make_own(asked.directory, held.collection, fit.measure)
    for directory in (unfinished, refit_directory(unfinished)):
        checkpoint.remove(directory)
    if json:
        show.print_json({**facts, "written": str(target) if keep else None, "applied": apply and keep,
                         "notes": held.notes})
        return
    _print(fit, held, target if keep else None, asked.directory, apply and keep)


def _task(held: Material) -> tuple[Pairs, np.ndarray, np.ndarray]:
    """Pairs by document, a vector a document (of a long one its first passage), and what queries look like."""
    documents = np.asarray(held.index.vectors)
    part = None
    if isinstance(held.collection, Collection):
        part = held.collection.passages.documents
        documents = documents[np.searchsorted(part, np.arange(len(held.collection)))]
    found = [] if held.own is None else [held.own]
    queries = None if held.own is None else held.own.queries
    if held.queries is not None and held.gains is not None:
        queries = held.queries
        gains = as_rows(held.gains, given.ids_of(held.collection))
        found.append(judged_pairs(held.queries, np.asarray(held.index.vectors), gains, part))
    assert queries is not None
    pairs = Pairs(*(np.concatenate([getattr(p, name) for p in found]) for name in ("queries", "documents", "owners")))
    return pairs, documents, queries


def _print(fit: LearnedFit, held: Material, target: Path | None, directory: Path, applied: bool) -> None:
    out = show.console()
    for note in held.notes:
        out.print(Text(note, style="dim"))
    out.print(Text(fit.trained.conclusion(), style="bold"))
    if target is None:
        out.print(Text("Nothing was written.", style="dim"))
        return
    query = '"your question"' if isinstance(held.collection, Collection) else "QUERY.npy"
    out.print(Text.assemble("Written to ", (str(target), "bold"), "; search with it: ",
                            (f"kiyas search {directory} {query} --measure {target}", "dim")))
    if applied:
        out.print(Text(f"{directory} now searches by it."))
