"""Judgements (qrels) from files, and their match with a collection.

| form | a judgement |
|---|---|
| TREC qrels | a line `query iteration document gain` |
| BEIR .tsv | a line `query-id TAB corpus-id TAB score`, after a line of names or not |
| .jsonl | `{"query-id": …, "corpus-id": …, "score": …}`, or `query`, `document`, `gain` |
| .json | all in one: `{query: {document: gain}}` |

A gain is 0 (not relevant) or above. Codes below 0 (spam, "not a match") count as 0, and how many there were is told.
Ids are compared as texts, as no file says whether 7 is a number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kiyas.encode.files import jsonl_records, read_text
from kiyas.errors import FileError, InputError, message

_NAMES = (("query-id", "corpus-id", "score"), ("query", "document", "gain"), ("query_id", "doc_id", "relevance"))


@dataclass(frozen=True, eq=False)
class Judgements:
    """What a file says: ``gains`` {query: {document: gain}}, ids as texts.

    ``negative`` counts gains below 0, which became 0. ``source`` is the file; ``lines`` the line of each
    (query, document), empty where the file has none that mean anything (.json).
    """

    gains: Mapping[str, Mapping[str, float]]
    source: str = "the judgements"
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)
    negative: int = 0

    def place(self, query: str, document: str) -> str:
        """Where a judgement stands, for messages."""
        line = self.lines.get((query, document))
        return f"{self.source}, query {query!r}" if line is None else f"{self.source}, line {line}"

    def __len__(self) -> int:
        return sum(len(one) for one in self.gains.values())


class Matched(NamedTuple):
    """Judgements of a collection: ``gains``, one {id: gain} for each query, for `kiyas.metrics.judge`.

    Counts: ``judged`` queries have a relevant document; ``unjudged`` have none and are left out of every mean;
    ``unknown_documents`` and ``unknown_queries`` of the judgements are not in the collection (0, unless they were
    allowed); ``negative``: see `Judgements`.
    """

    gains: list[dict[Any, float]]
    judged: int
    unjudged: int
    unknown_documents: int
    unknown_queries: int
    negative: int


def read_judgements(path: str | Path) -> Judgements:
    """The judgements of a file, by its form (see the module).

    Raises `FileError` naming the line for a judgement that cannot be read, and for one that is there twice.
    """
    source = Path(path)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    ending = source.suffix.lower()
    if ending == ".json":
        return _from_json(source)
    rows = _jsonl(source) if ending == ".jsonl" else _lines(source)
    gains: dict[str, dict[str, float]] = {}
    lines: dict[tuple[str, str], int] = {}
    negative = 0
    for line, query, document, text in rows:
        gain = _gain(text, f"{source}, line {line}")
        if (query, document) in lines:
            raise FileError(f"{source}, line {line}: judges document {document!r} for query {query!r}, as line "
                            f"{lines[query, document]} does; keep one of them")
        lines[query, document] = line
        negative += gain < 0
        gains.setdefault(query, {})[document] = max(gain, 0.0)
    if not gains:
        raise FileError(f"{source}: holds no judgements")
    return Judgements(gains, str(source), lines, negative)


def match(judgements: Judgements | Mapping[Any, Mapping[Any, float]], queries: Sequence[Any], documents: Sequence[Any],
          *, unknown: str = "error") -> Matched:
    """Judgements for the queries (ids, in the order of the rankings) of a collection of those document ids.

    ``unknown``: what to do with a judgement of a document or a query that is not there: "error", or "count" to leave
    it out and count it. Raises `InputError` naming the place of the first one, and where no query has a relevant
    document.

    >>> match({"q1": {"a": 1, "b": 0}}, ["q1", "q2"], ["a", "b", "c"]).gains
    [{'a': 1.0, 'b': 0.0}, {}]
    """
    if unknown not in ("error", "count"):
        raise InputError(message("match", "unknown", "'error' or 'count'", repr(unknown)))
    held = judgements if isinstance(judgements, Judgements) else Judgements(
        {str(q): {str(d): float(g) for d, g in one.items()} for q, one in judgements.items()})
    ids = {str(d): d for d in documents}
    rows = {str(q): row for row, q in enumerate(queries)}
    if len(rows) != len(queries):
        raise InputError(message("match", "queries", "different ids", f"{len(queries) - len(rows)} repeated"))
    found: list[dict[Any, float]] = [{} for _ in queries]
    strange_queries, strange_documents = [], []
    for query, one in held.gains.items():
        if query not in rows:
            strange_queries.append((query, next(iter(one), "")))
            continue
        for document, gain in one.items():
            if document in ids:
                found[rows[query]][ids[document]] = float(gain)
            else:
                strange_documents.append((query, document))
    if unknown == "error":
        _refuse(held, strange_queries, strange_documents, queries, documents)
    judged = sum(any(g > 0 for g in one.values()) for one in found)
    if judged == 0:
        raise InputError(f"{held.source}: none of the {len(queries)} queries has a relevant document in the "
                         f"collection; {_like(queries, documents)}")
    return Matched(found, judged, len(queries) - judged, len(strange_documents), len(strange_queries), held.negative)


def _refuse(held: Judgements, queries: list[tuple[str, str]], documents: list[tuple[str, str]],
            known_queries: Sequence[Any], known_documents: Sequence[Any]) -> None:
    hint = _like(known_queries, known_documents)
    cure = "correct the ids, or leave such judgements out and count them with unknown='count'"
    if queries:
        query, document = queries[0]
        more = f" (and {len(queries) - 1} more unknown queries)" if len(queries) > 1 else ""
        raise InputError(f"{held.place(query, document)}: query {query!r} is not among the {len(known_queries)} "
                         f"queries{more}; {hint}; {cure}")
    if documents:
        query, document = documents[0]
        more = f" (and {len(documents) - 1} more unknown documents)" if len(documents) > 1 else ""
        raise InputError(f"{held.place(query, document)}: document {document!r} is not in the collection of "
                         f"{len(known_documents)}{more}; {hint}; {cure}")


def _like(queries: Sequence[Any], documents: Sequence[Any]) -> str:
    """What ids look like here; rows counted from 0 are the usual mistake."""
    text = f"queries here are like {str(queries[0])!r}, documents like {str(documents[0])!r}"
    if isinstance(documents[0], int) and list(documents[:3]) == list(range(min(3, len(documents)))):
        text += " (without ids of its own a document is known by its row, counted from 0)"
    return text


# -- forms -------------------------------------------------------------------------------------------------------------


def _from_json(path: Path) -> Judgements:
    try:
        data = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: is not JSON ({error})") from None
    if not isinstance(data, dict) or not data or not all(isinstance(one, dict) for one in data.values()):
        raise FileError(f"{path}: must be {{query: {{document: gain}}}}")
    gains = {q: {d: _gain(g, f"{path}, query {q!r}, document {d!r}") for d, g in one.items()}
             for q, one in data.items()}
    negative = sum(g < 0 for one in gains.values() for g in one.values())
    floored = {q: {d: max(g, 0.0) for d, g in one.items()} for q, one in gains.items()}
    return Judgements(floored, str(path), {}, negative)


def _jsonl(path: Path) -> Iterator[tuple[int, str, str, Any]]:
    for line, record in jsonl_records(path):
        names = next((names for names in _NAMES if all(name in record for name in names)), None)
        if names is None:
            raise FileError(f"{path}, line {line}: must have the fields {', '.join(_NAMES[0])} (or "
                            f"{', '.join(_NAMES[1])}); it has {', '.join(record) or 'none'}")
        query, document, gain = (record[name] for name in names)
        yield line, str(query), str(document), gain


def _lines(path: Path) -> Iterator[tuple[int, str, str, str]]:
    for line, text in enumerate(read_text(path).split("\n"), 1):
        if not text.strip():
            continue
        parts = text.rstrip("\r").split("\t") if "\t" in text else text.split()
        if line == 1 and len(parts) in (3, 4) and not _is_number(parts[-1]):
            continue  # the line of names
        if len(parts) == 4:
            yield line, parts[0], parts[2], parts[3]
        elif len(parts) == 3:
            yield line, parts[0], parts[1], parts[2]
        else:
            raise FileError(f"{path}, line {line}: must be 'query iteration document gain' (TREC) or 'query document "
                            f"gain' (BEIR), got {len(parts)} fields")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _gain(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or not _is_number(str(value)):
        raise FileError(f"{place}: a gain must be a number, got {value!r}")
    return float(value)
