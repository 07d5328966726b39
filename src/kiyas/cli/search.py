"""``kiyas search`` and ``kiyas info``: what an index answers, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from kiyas.arrays import count
from kiyas.cli import show
from kiyas.cli.compare import vector_of
from kiyas.cli.named import fitted, measure_of
from kiyas.encode.collection import Collection, is_collection
from kiyas.encode.files import is_vector_file, read_vectors
from kiyas.errors import FileError, InputError
from kiyas.fit.files import is_measure
from kiyas.search import Explanation, Index

_DEFAULT_K = 10
# Facts of an index whose names say too little to a reader.
_FACTS = {"later": "rows since the measure was fitted", "code_bytes": "bytes of codes"}


@dataclass(frozen=True)
class Asked:
    """How many answers, how a text is scored by its passages, and from which score on."""

    k: int | None = None
    by: str = "best"
    min_score: float | None = None


@dataclass
class Answer:
    """What one query got under one measure: (id, score, passage or None), best first."""

    measure: str
    hits: list[tuple[Any, float, str | None]]
    rows: list[int] = field(default_factory=list)
    explained: Explanation | None = None

    def rank(self, wanted: Any) -> int | None:
        """The rank of an id, from 1; None where it is not among the hits."""
        return next((rank for rank, hit in enumerate(self.hits, 1) if hit[0] == wanted), None)


def run(directory: Path, query: str | None, like: str | None, asked: Asked, measures: list[str], explain: bool,
        json: bool) -> None:
    """Search and print."""
    if (query is None) == (like is None):
        raise InputError("give a query, or --like ID to search by a row of the index")
    if query is not None and not query.strip():
        raise InputError("the query is blank")
    chosen = [measure_of(text) for text in measures]
    asks: list[tuple[str, list[Answer]]]
    if is_collection(directory):
        asks = [_texts(Collection.load(directory), query, like, asked, chosen, explain)]
    else:
        if asked.by != "best":
            raise InputError("--by is for an index of texts; this one holds vectors")
        asks = _vectors(open_index(directory), query, like, asked, chosen, explain)
    for _, answers in asks:
        for answer, text in zip(answers, measures, strict=False):  # none are given: the index's own answers
            if is_measure(text):
                answer.measure = text  # arrays say less to a reader than the name of their file
    if json:
        show.print_json({"directory": str(directory), "queries": [
            {"query": name, "answers": [_answer_json(a, answers[0]) for a in answers]} for name, answers in asks]})
        return
    out = show.console()
    for place, (name, answers) in enumerate(asks):
        if place:
            out.print()
        if len(asks) > 1:
            out.print(Text(name, style="bold"))
        _print_one(out, answers[0]) if len(answers) == 1 else _print_beside(out, answers)
        for answer in answers:
            if answer.explained is not None:
                out.print()
                show.explanation(out, answer.explained, 5, f"Why {answer.hits[0][0]} under {answer.measure}")


def info(directory: Path, json: bool) -> None:
    """Print what an index holds."""
    facts = Collection.load(directory).info if is_collection(directory) else open_index(directory).info
    if json:
        show.print_json({"directory": str(directory), **facts})
        return
    shown = show.table("", "")
    shown.show_header = False
    for name, value in facts.items():
        text = ("yes" if value else "no") if isinstance(value, bool) else f"{value:,}" if isinstance(value, int) \
            else str(value)
        if name == "code_bytes" and value == 0:
            text = "none yet: codes are made at the first search"
        shown.add_row(Text(_FACTS.get(name, name.replace("_", " ")), style="dim"), Text(text))
    show.console().print(shown)


def open_index(directory: Path) -> Index:
    """The index of vectors there."""
    if not directory.exists():
        raise FileError(f"{directory}: there is no such directory; make an index with kiyas index FILE… -o {directory}")
    return Index.load(directory)


# -- searching -------------------------------------------------------------------------------------


def _k(asked: Asked, most: int) -> int:
    if asked.k is None:
        return min(_DEFAULT_K, most)
    return count(asked.k, "-k", "kiyas search", 1, most, "the index has no more" if asked.k > most else "")


def _texts(collection: Collection, query: str | None, like: str | None, asked: Asked, measures: list[Any],
           explain: bool) -> tuple[str, list[Answer]]:
    if query is None:
        ids = [collection.id(i) for i in range(len(collection))]
        query = collection.texts[ids.index(_known(like, ids))]
        # Searching by a text finds the text itself first; one more is asked for, and it is left out.
        own, extra = _known(like, ids), 1
    else:
        own, extra = None, 0
    k = _k(asked, len(collection) - extra)
    answers = []
    for asked_for in measures or [collection.index.measure]:
        measure = fitted(asked_for, collection.index.vectors)
        found = collection.search([query], k + extra, measure, asked.by, asked.min_score)[0]
        kept = [f for f in found if own is None or f.id != own][:k]
        answer = Answer(str(asked_for), [(f.id, f.score, f.passage) for f in kept], [f.row for f in kept])
        if explain and kept:
            answer.explained = collection.index.using(measure).explain(collection.encode(query)[0], kept[0].row)
        answers.append(answer)
    return query, answers


def _vectors(index: Index, query: str | None, like: str | None, asked: Asked, measures: list[Any],
             explain: bool) -> list[tuple[str, list[Answer]]]:
    if explain and query is None:
        raise InputError("--explain needs a query; --like gives only an id")
    ids = index.ids.tolist() if like is not None else []
    rows = None if query is None else _queries(query, index.dims)
    names = [f"like {like}"] if rows is None else [f"query {i}" for i in range(len(rows))]
    k = _k(asked, len(index) - (rows is None))
    answers: list[list[Answer]] = [[] for _ in names]
    for measure in measures or [index.measure]:
        view = index if measure is index.measure else index.using(fitted(measure, index.vectors))
        hits = view.search(rows, k, min_score=asked.min_score) if rows is not None else \
            view.neighbours([_known(like, ids)], k, min_score=asked.min_score)
        for q, mine in enumerate(answers):
            answer = Answer(str(measure), [(name, score, None) for name, score in hits.row(q)])
            if explain and answer.hits and rows is not None:
                answer.explained = view.explain(rows[q], answer.hits[0][0])
            mine.append(answer)
    return list(zip(names, answers, strict=True))


def _queries(query: str, dims: int) -> np.ndarray:
    if is_vector_file(query):
        rows = read_vectors(query)
    else:
        vector = vector_of(query) if "," in query or dims > 1 else np.array([float(query)])
        if vector is None:
            raise InputError(f"this index holds vectors, so the query must be a file of vectors or {dims} numbers "
                             f"between commas, got {show.one_line(query, 40)!r}; to search by a row, give --like ID")
        rows = vector[None, :]
    if rows.shape[1] != dims:
        raise InputError(f"the query has {rows.shape[1]} dimensions, the index {dims}")
    return np.asarray(rows)


def _known(like: str | None, ids: list[Any]) -> Any:
    """The id that was meant: ids may be integers, what was typed is a text."""
    if like in ids:
        return like
    try:
        if like is not None and int(like) in ids:
            return int(like)
    except ValueError:
        pass
    raise InputError(f"--like: there is no id {like!r} in the index (ids are like {ids[0]!r})")


# -- showing ---------------------------------------------------------------------------------------


def change(now: int, before: int | None) -> str:
    """How far a hit moved from its rank under the first measure.

    >>> change(1, 3), change(3, 1), change(2, 2), change(4, None)
    ('▲2', '▼2', '=', 'new')
    """
    if before is None:
        return "new"
    return "=" if now == before else f"▲{before - now}" if now < before else f"▼{now - before}"


def _print_one(out: Console, answer: Answer) -> None:
    with_texts = any(text is not None for _, _, text in answer.hits)
    shown = show.table("", "score", "id", *(["passage"] if with_texts else []), right=("", "score"))
    longest = max((len(str(hit[0])) for hit in answer.hits), default=2)
    width = max(30, out.width - min(longest, 40) - 20)
    for rank, (name, score, text) in enumerate(answer.hits, 1):
        row = [Text(str(rank), style="dim"), Text(show.number(score)), Text(str(name), style="bold")]
        shown.add_row(*row, *([Text(show.one_line(text or "", 2 * width))] if with_texts else []))
    out.print(Text(f"under {answer.measure}", style="dim"))
    out.print(shown if answer.hits else Text("no hit reaches the least score"))


def _print_beside(out: Console, answers: list[Answer]) -> None:
    shown = show.table("", *(a.measure for a in answers), right=("",))
    for rank in range(max(len(a.hits) for a in answers)):
        cells = []
        for place, answer in enumerate(answers):
            if rank >= len(answer.hits):
                cells.append(Text(""))
                continue
            name, score, _ = answer.hits[rank]
            moved = change(rank + 1, answers[0].rank(name)) if place else ""
            style = "green" if moved.startswith("▲") else "red" if moved.startswith("▼") else "yellow" \
                if moved == "new" else "dim"
            cells.append(Text.assemble(str(name), (f" {show.number(score)}", "dim"), (f" {moved}", style)))
        shown.add_row(Text(str(rank + 1), style="dim"), *cells)
    out.print(shown)
    out.print(Text(f"▲ ▼ = new: against {answers[0].measure}. Scores of two measures cannot be compared.", style="dim"))
    passages = {str(name): text for a in answers for name, _, text in a.hits if text is not None}
    if passages:
        out.print()
        texts = show.table("id", "passage")
        for name, text in passages.items():
            texts.add_row(Text(name, style="bold"), Text(show.one_line(text, out.width - 30)))
        out.print(texts)


def _answer_json(answer: Answer, first: Answer) -> dict[str, Any]:
    hits = []
    for rank, (name, score, text) in enumerate(answer.hits, 1):
        hit = {"rank": rank, "id": name, "score": score, "rank_under_first": first.rank(name)}
        hits.append({**hit, "passage": text} if text is not None else hit)
    out: dict[str, Any] = {"measure": answer.measure, "hits": hits}
    if answer.explained is not None:
        out["explanation"] = {"id": answer.hits[0][0], **show.explanation_json(answer.explained, 5)}
    return out
