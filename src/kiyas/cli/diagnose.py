"""``kiyas diagnose``: what is in a space of vectors, on a page and as a report with pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.padding import Padding
from rich.text import Text

from kiyas.cli import given, show
from kiyas.directory import write_whole
from kiyas.encode.collection import Collection
from kiyas.encode.files import is_vector_file, read_vectors
from kiyas.errors import InputError
from kiyas.evaluate import Queries, match, read_judgements, read_queries
from kiyas.evaluate.diagnosis import Diagnosis, diagnose
from kiyas.search import Index

_STYLES = {"care": ("take care", "red"), "note": ("note", "yellow"), "fine": ("fine", "green")}


@dataclass(frozen=True)
class Asked:
    """What to diagnose."""

    directory: Path | None = None
    queries: Path | None = None
    query_ids: Path | None = None
    qrels: Path | None = None
    documents: Path | None = None
    document_ids: Path | None = None
    allow_unknown: bool = False
    seed: int = 0


def run(asked: Asked, html: Path | None, json: bool) -> None:
    """Diagnose, print, and write the report."""
    given.can_report(html)
    what, done = diagnosed(asked)
    if html is not None:
        from kiyas.evaluate.report import diagnosis_page

        with show.progress("drawing") as report:
            write_whole(html, diagnosis_page(done, what))
            report(1, 1)
    if json:
        show.print_json({"what": what, **done.as_dict(), "report": None if html is None else str(html)})
        return
    _print(done, what)
    if html is not None:
        show.console().print(Text.assemble("\nThe report, with pictures: ", (str(html), "bold")))


def diagnosed(asked: Asked) -> tuple[str, Diagnosis]:
    """What was looked at, in words, and the findings."""
    collection = given.collection(asked.directory, asked.documents, asked.document_ids)
    if asked.qrels is not None and asked.queries is None:
        raise InputError("--qrels needs --queries, whose judgements they are")
    read = None if asked.queries is None else _queries(asked, asked.queries)
    relevant = None if asked.qrels is None or read is None else _relevant(asked, asked.qrels, collection, read.ids)
    vectors = None if read is None or asked.queries is None else given.query_vectors(read, collection, asked.queries)
    lengths = None
    index = collection
    if isinstance(collection, Collection):
        index, lengths = collection.index, [len(text) for text in collection.passages.texts]
        relevant = None if relevant is None else relevant[collection.passages.documents]
    assert isinstance(index, Index)
    rows = index.vectors
    with show.progress("diagnosing") as report:
        done = diagnose(rows, vectors, lengths=lengths, relevant=relevant, seed=asked.seed, progress=report)
    kind = "passages of texts" if isinstance(collection, Collection) else "vectors"
    asking = "" if read is None else f", {len(read):,} queries"
    text = f"{len(index):,} {kind} of {index.dims} dimensions{asking}"
    if done.facts["neighbours_of"] < len(index):
        text += f"; neighbours within a draw of {done.facts['neighbours_of']:,}"
    return text, done


def _queries(asked: Asked, path: Path) -> Queries:
    if asked.query_ids is None and asked.qrels is None and is_vector_file(path):
        # Ids are needed only where judgements have to be found for them.
        vectors = read_vectors(path)
        return Queries([str(i) for i in range(len(vectors))], vectors=vectors)
    return read_queries(path, asked.query_ids)


def _relevant(asked: Asked, qrels: Path, collection: Index | Collection, queries: list[str]) -> np.ndarray:
    ids = given.ids_of(collection)
    matched = match(read_judgements(qrels), queries, ids, unknown="count" if asked.allow_unknown else "error")
    rows = {name: row for row, name in enumerate(ids)}
    out = np.zeros(len(ids))
    for one in matched.gains:
        for document, gain in one.items():
            out[rows[document]] += gain > 0
    return out


def _print(done: Diagnosis, what: str) -> None:
    out = show.console()
    out.print(Text(what, style="bold"))
    for finding in done.findings:
        word, style = _STYLES[finding.concern]
        out.print()
        out.print(Text.assemble((finding.title, "bold"), "  ", (word, style)))
        told = ((finding.here, ""), (finding.meaning, "dim"),
                (f"→ {finding.effect}", style if finding.concern != "fine" else ""))
        for text, look in told:
            out.print(Padding(Text(text, style=look), (0, 0, 0, 2), expand=False))
