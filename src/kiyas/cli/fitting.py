"""``kiyas fit``: a measure made for one's own collection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from kiyas.cli import given, show
from kiyas.directory import refuse_others
from kiyas.encode.collection import Collection
from kiyas.errors import InputError
from kiyas.evaluate import group_queries, match, read_judgements, read_queries
from kiyas.fit import Fitted, Pairs, files, fit_judged, fit_own, save_measure, text_pairs
from kiyas.fit.pairs import as_rows
from kiyas.measures import Measure
from kiyas.search import Index


@dataclass(frozen=True)
class Asked:
    """What to fit on."""

    directory: Path
    queries: Path | None = None
    query_ids: Path | None = None
    qrels: Path | None = None
    allow_unknown: bool = False
    folds: int = 5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Material:
    """An index, the judged queries if there are any, and pairs of its own texts if it has texts."""

    collection: Index | Collection
    queries: np.ndarray | None
    gains: list[dict[Any, float]] | None
    own: Pairs | None
    notes: list[str]

    @property
    def index(self) -> Index:
        """The index of the rows that are compared."""
        return self.collection.index if isinstance(self.collection, Collection) else self.collection


def material(asked: Asked) -> Material:
    """Read what is there to learn from; what can be wrong in files comes before anything that takes time."""
    if (asked.queries is None) != (asked.qrels is None):
        raise InputError("--queries and --qrels go together; without both, pairs are made from an index of texts")
    collection = given.collection(asked.directory, None, None)
    notes: list[str] = []
    vectors = gains = own = None
    if asked.queries is not None and asked.qrels is not None:
        read = read_queries(asked.queries, asked.query_ids)
        ids = given.ids_of(collection)
        matched = match(read_judgements(asked.qrels), read.ids, ids,
                        unknown="count" if asked.allow_unknown else "error")
        vectors, gains = given.query_vectors(read, collection, asked.queries), matched.gains
        if matched.unknown_documents or matched.unknown_queries:
            notes.append(f"Left out of the judgements: {matched.unknown_documents:,} of documents and "
                         f"{matched.unknown_queries:,} of queries that are not in the collection.")
    elif not isinstance(collection, Collection):
        raise InputError(f"{asked.directory}: holds vectors, and pairs are made from texts: give --queries and "
                         "--qrels, or make an index of the texts with kiyas index")
    if isinstance(collection, Collection):
        try:
            with show.progress("encoding pairs") as report:
                made = text_pairs(collection.texts, collection.encoder, seed=asked.seed,
                                  passage_tokens=collection.encoder.max_tokens, progress=report)
        except InputError as error:
            if gains is None:
                raise
            notes.append(f"No pairs of its own texts: {error}.")
        else:
            own = made.pairs
            notes.append(f"{len(own):,} pairs of its own texts, first sentence and rest, of {made.found:,} that can be "
                         f"split ({made.short:,} are too short, {made.repeated:,} nearly repeat another, "
                         f"{made.ambiguous:,} begin as others do).")
    return Material(collection, vectors, gains, own, notes)


def run(asked: Asked, output: Path | None, apply: bool, json: bool) -> None:
    """Fit, say what was gained, write the measure."""
    target = output or asked.directory.with_name(asked.directory.name + ".measure")
    refuse_others(target, files.FORMAT)
    held = material(asked)
    with show.progress("fitting") as report:
        if held.queries is not None and held.gains is not None:
            parts = held.collection.passages.documents if isinstance(held.collection, Collection) else None
            # Near-duplicate queries, and queries that share documents, are held out together.
            groups = group_queries(held.queries, held.gains, asked.folds).labels
            fitted = fit_judged(held.queries, held.index.vectors,
                                as_rows(held.gains, given.ids_of(held.collection)), held.own, parts=parts,
                                groups=groups, folds=asked.folds, seed=asked.seed, progress=report)
        else:
            assert held.own is not None
            fitted = fit_own(held.own, held.index.vectors, folds=asked.folds, seed=asked.seed, progress=report)
    facts = {**fitted.as_dict(), "directory": str(asked.directory), "documents": len(held.collection)}
    written = None
    if fitted.helps:
        save_measure(fitted.measure, target, facts)
        written = str(target)
        if apply:
            make_own(asked.directory, held.collection, fitted.measure)
    if json:
        show.print_json({**facts, "written": written, "applied": apply and fitted.helps, "notes": held.notes})
        return
    _print(fitted, held.notes, asked.directory, target if fitted.helps else None, apply)


def make_own(directory: Path, collection: Index | Collection, measure: Measure) -> None:
    """Make it the measure of the index on disk."""
    if isinstance(collection, Collection):
        collection.using(measure).save(directory, overwrite=True)
    else:
        collection.using(measure).save(directory)


def _print(fitted: Fitted, notes: list[str], directory: Path, target: Path | None, apply: bool) -> None:
    out = show.console()
    for note in notes:
        out.print(Text(note, style="dim"))
    shown = show.table("map", f"{fitted.metric}, held out", "", right=(f"{fitted.metric}, held out",))
    for setting, mean in fitted.settings.items():
        name = "none: cosine" if setting is None else "centring alone" if setting == 1 else f"shrinkage {setting:g}"
        mark = "taken" if setting == fitted.shrinkage else \
            "the weakest near the best, but no gain shown" if setting == fitted.tried else ""
        shown.add_row(name, f"{mean:.4f}", Text(mark, style="green" if mark == "taken" else "dim"))
    out.print(shown)
    out.print(Text(fitted.conclusion(), style="bold"))
    if target is None:
        out.print(Text("Nothing was written.", style="dim"))
        return
    out.print(Text.assemble("Written to ", (str(target), "bold"), "; search with it: ",
                            (f'kiyas search {directory} "your question" --measure {target}', "dim")))
    if apply:
        out.print(Text(f"{directory} now searches by it."))
    if fitted.metric.startswith("mrr"):
        out.print(Text("Measured on titles and first sentences looking for their own texts. People's queries may gain "
                       "less: with judgements, kiyas choose tells.", style="dim"))
