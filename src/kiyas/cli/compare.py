"""``kiyas compare``: two vectors or two texts under all measures, and dimension by dimension."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from kiyas.arrays import count
from kiyas.cli import show
from kiyas.cli.named import MADE_BY, measure_of
from kiyas.encode.files import is_vector_file, read_files, read_vectors
from kiyas.errors import InputError, KiyasError, NotFittedError
from kiyas.measures import list_measures
from kiyas.measures import measure as make_measure
from kiyas.measures.base import Measure
from kiyas.search import Index


def run(a: str, b: str, measures: list[str], encoder: str, top: int, json: bool) -> None:
    """Compare and print."""
    top = count(top, "--top", "kiyas compare", 1, 2**31)
    chosen = [measure_of(text) for text in measures]
    x, y, names = _pair(a, b, encoder)
    for label, vector in (("A", x), ("B", y)):
        if not np.isfinite(vector).all():
            raise InputError(f"{label} must be finite, got NaN or infinity")
    if x.size != y.size:
        raise InputError(f"the two have {x.size} and {y.size} dimensions; only vectors of one space can be compared")
    rows = [_row(m, x, y) for m in chosen] + [_by_name(name, x, y) for name in list_measures()]
    explained_by = chosen[0] if chosen else make_measure("cosine")
    if not explained_by.fitted:
        raise InputError(f"{explained_by} needs a collection to be fitted on; give it to kiyas index or kiyas search")
    explained = Index(y[None, :], measure=explained_by).explain(x, 0)
    if json:
        show.print_json({"a": names[0], "b": names[1], "dims": x.size, "norms": [np.linalg.norm(x), np.linalg.norm(y)],
                         "measures": rows, "explained": {"measure": str(explained_by),
                                                         **show.explanation_json(explained, min(top, x.size)),
                                                         "contributions": explained.contributions}})
        return
    out = show.console()
    for label, name, vector in (("A", names[0], x), ("B", names[1], y)):
        out.print(Text.assemble((f"{label}  ", "bold"), show.one_line(name, out.width - 30),
                                (f"  length {show.number(float(np.linalg.norm(vector)))}", "dim")))
    out.print()
    shown = show.table("measure", "score", "distance", "scores lie in", right=("score", "distance"))
    for row in rows:
        if row["score"] is None:
            shown.add_row(Text(row["measure"], style="dim"), "–", "", Text(row["reason"], style="dim"))
        else:
            distance = "" if row["distance"] is None else show.number(row["distance"])
            shown.add_row(Text(row["measure"]), Text(show.number(row["score"]), style="bold"), distance,
                          Text(row["range"], style="dim"))
    out.print(shown)
    out.print()
    show.explanation(out, explained, top, f"Dimension by dimension under {explained_by}")


def _by_name(name: str, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    if name in MADE_BY:
        return _missing(name, f"is made from a collection by {MADE_BY[name]}")
    return _row(make_measure(name), x, y)


def _row(measure: Measure, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    try:
        score = float(measure(x, y))
    except NotFittedError:
        return _missing(str(measure), "needs a collection to be fitted on")
    except InputError as error:  # outside of its domain
        reason = str(error).rpartition(": ")[2].partition(";")[0].removesuffix(" in row 0")
        return _missing(str(measure), reason.replace("'A'", "A").replace("'B'", "B"))
    try:
        distance = float(measure.distance(x, y))
    except KiyasError:
        distance = None
    return {"measure": str(measure), "score": score, "distance": distance, "range": measure.facts.range, "reason": None}


def _missing(name: str, reason: str) -> dict[str, Any]:
    return {"measure": name, "score": None, "distance": None, "range": None, "reason": reason}


# -- reading the two -------------------------------------------------------------------------------


def _pair(a: str, b: str, encoder: str) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    vectors = [vector_of(text) for text in (a, b)]
    if vectors[0] is not None and vectors[1] is not None:
        return vectors[0], vectors[1], (a.strip(), b.strip())
    if vectors[0] is not None or vectors[1] is not None:
        one, other = ("A", "B") if vectors[0] is not None else ("B", "A")
        raise InputError(f"{one} is a vector and {other} a text; give two vectors or two texts")
    from kiyas.encode import encoder as make_encoder

    texts = [_text(a), _text(b)]
    for name, text in zip("AB", texts, strict=True):
        if not text.strip():
            raise InputError(f"{name} is blank; give a text with words in it, or a vector")
    encoded = make_encoder(encoder).encode(texts)
    return encoded[0], encoded[1], (texts[0], texts[1])


def vector_of(text: str) -> np.ndarray | None:
    """The vector that an argument means: a file of one, or numbers between commas; None for a text.

    >>> vector_of(" -1, 2.5")
    array([-1. ,  2.5])
    >>> vector_of("red, green") is None
    True
    """
    if is_vector_file(text):
        rows = read_vectors(text)
        if len(rows) != 1:
            raise InputError(f"{text}: holds {len(rows)} vectors, where one is wanted")
        return np.asarray(rows[0])
    try:
        return np.array([float(part) for part in text.split(",")]) if "," in text else None
    except ValueError:
        return None


def _text(argument: str) -> str:
    if argument.endswith((".txt", ".md")) and Path(argument).is_file():
        return (read_files([argument]).texts or [""])[0]
    return argument
