"""Everything at once: from vectors, and what is known of their texts, queries and judgements, to findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kiyas import __version__
from kiyas.arrays import Array, count, matrix, row_blocks, to_numpy
from kiyas.errors import InputError, KiyasError, message
from kiyas.evaluate.contenders import contenders, row_norms
from kiyas.evaluate.diagnosis import neighbours as near
from kiyas.evaluate.diagnosis import parts, spectrum
from kiyas.evaluate.diagnosis.finding import Finding
from kiyas.measures import measure as make_measure
from kiyas.metrics import spearman
from kiyas.search import Index

# Neighbours of every row are compared with all rows: above so many, a draw of them stands for all.
MOST_ROWS = 20_000
# Queries that the agreement of measures, and the length bias, are averaged over.
_MOST_QUERIES = 300
_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """``findings`` in reading order; ``facts``: rows, dims, how many were drawn, seed, versions."""

    findings: list[Finding]
    facts: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Finding:
        for finding in self.findings:
            if finding.key == key:
                return finding
        raise KeyError(key)

    def advice(self) -> list[str]:
        """What to take from it, in a few sentences: findings of concern first."""
        order = {"care": 0, "note": 1}
        told = sorted((f for f in self.findings if f.concern in order), key=lambda f: order[f.concern])
        return [f"{f.title}: {f.effect}" for f in told]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the numbers of the pictures."""
        return {**self.facts, "findings": {f.key: f.as_dict() for f in self.findings}, "advice": self.advice()}


def diagnose(documents: Array, queries: Array | None = None, *, lengths: Array | None = None,
             relevant: Array | None = None, measure: str = "cosine", seed: int = 0,
             progress: Callable[[int, int], None] | None = None) -> Diagnosis:
    """Diagnose a space.

    Parameters: ``documents`` (n, d), at least three rows; ``queries`` (m, d), if there are any; ``lengths`` (n,) of the
    documents' texts in characters; ``relevant`` (n,): how many queries each document answers; ``measure`` whose hubs
    are counted; ``seed`` of the draws: neighbours are those of a draw of 20 000 rows where
    there are more, pairs are 20 000.

    >>> found = diagnose(np.random.default_rng(0).normal(size=(500, 8)))
    >>> abs(found["anisotropy"].values["mean_cosine"]) < 0.01, found["unit_norm"].values["unit"]
    (True, False)
    """
    X = np.asarray(to_numpy(matrix(documents, "documents", "diagnose")))
    Q = None if queries is None else np.asarray(to_numpy(matrix(queries, "queries", "diagnose", dims=X.shape[1])))
    count(seed, "seed", "diagnose", 0, 2**63)
    if len(X) < 3:
        raise InputError(message("diagnose", "documents", "at least three rows", len(X)))
    characters = _each(lengths, len(X), "lengths")
    answers = _each(relevant, len(X), "relevant")
    told = _Told(progress, 3 + 2 * near.PARTS + len(contenders(X)))
    held = spectrum.moments(X)
    query_norms = None if Q is None else row_norms(Q)
    findings = [parts.unit_norm(held.norms, query_norms), parts.norms(held.norms, query_norms)]
    if characters is not None:
        findings.append(parts.norm_and_text(held.norms, characters))
    if answers is not None:
        findings.append(parts.norm_and_relevance(held.norms, answers))
    told()
    drawn = np.arange(len(X)) if len(X) <= MOST_ROWS else np.sort(
        np.random.default_rng(seed).permutation(len(X))[:MOST_ROWS])
    sample = X[drawn]
    distances, cosines, deltas = near.random_pairs(sample, seed)
    findings += [parts.direction(held, cosines), parts.spread(held), parts.dimensions(held, Q)]
    told()
    index = Index(sample)
    found = near.neighbours(index, told=told)
    different = near.different_rows(X)
    own = near.different_rows(sample)
    # A neighbour that is there twice would make a ratio of 1, and the dimension infinite.
    apart = near.neighbours(Index(sample[own])) if 3 <= own.size < len(sample) else found
    findings += [parts.intrinsic(apart), parts.concentration(found, distances), parts.coordinates(deltas)]
    view = index.using(measure)
    k = min(near.HUB_ANSWERS, len(index) - 1)
    from_documents = near.hubness(near.answers_of_rows(view, k, told)[0], len(index))
    from_queries = None if Q is None else near.hubness(view.search(Q, k=k).ids, len(index))
    findings.append(parts.hubs(from_documents, from_queries, measure))
    findings.append(parts.duplicates(len(X) - different.size, found, len(X), float(distances.mean())))
    asked = _asked(sample, Q, seed)
    if characters is not None and np.ptp(characters) > 0:
        findings.append(parts.score_and_length(_length_bias(sample, asked, characters[drawn])))
    told()
    findings.append(parts.agreement(*_agreement(index, asked, k, told)))
    facts = {"documents": len(X), "queries": 0 if Q is None else len(Q), "dims": int(X.shape[1]),
             "neighbours_of": len(drawn), "seed": seed, "kiyas": __version__, "numpy": np.__version__}
    return Diagnosis(findings, facts)


class _Told:
    """Counts steps for ``progress(done, total)``."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def __call__(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _each(values: Any, rows: int, name: str) -> np.ndarray | None:
    if values is None:
        return None
    found = np.asarray(to_numpy(values), np.float64)
    if found.shape != (rows,):
        raise InputError(message("diagnose", name, f"{rows} numbers, one a document", f"shape {found.shape}"))
    return found


def _asked(sample: np.ndarray, queries: np.ndarray | None, seed: int) -> np.ndarray:
    """Queries to rank for; without any, documents stand in (each finds itself first, under every measure alike)."""
    source = sample if queries is None else queries
    if len(source) > _MOST_QUERIES:
        source = source[np.sort(np.random.default_rng(seed + 1).permutation(len(source))[:_MOST_QUERIES])]
    return np.asarray(source)


def _length_bias(rows: np.ndarray, queries: np.ndarray, characters: np.ndarray) -> dict[str, np.ndarray]:
    out = {}
    for name in ("cosine", "dot", "euclidean"):
        made = make_measure(name)
        out[name] = np.array([spearman(scores, characters) for start, stop in row_blocks(len(queries), len(rows))
                              for scores in np.asarray(made.pairwise(queries[start:stop], rows))])
    return out


def _agreement(index: Index, queries: np.ndarray, k: int, told: Callable[[], None]
               ) -> tuple[dict[str, float], dict[str, str]]:
    """For each measure, the mean share of cosine's first answers that it has among its own; and why some have none."""
    base = index.using("cosine").search(queries, k=k).ids
    out, left_out = {}, {}
    for one in contenders(index.vectors):
        told()
        if one.measure == "cosine":
            continue
        try:
            theirs = index.using(one.measure).search(queries, k=k).ids
        except KiyasError as error:
            left_out[one.measure] = str(error)
            continue
        out[one.measure] = float(np.mean([len({*a} & {*b}) / k for a, b in zip(base.tolist(), theirs.tolist(),
                                                                                 strict=True)]))
    return out, left_out
