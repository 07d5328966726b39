"""Retrieval quality of every measure, on collections with judgements and on the standard library's docstrings.

    python benchmarks/quality.py --data DIR            prints the table
    python benchmarks/quality.py --data DIR --save     writes it into docs/measures.md, between its markers

DIR holds a folder a collection: ids.json {doc_ids} (documents by row), qrels.json {query: {document: gain}},
queries.jsonl {id}, and ENCODER_docs.npy, ENCODER_queries.npy. Statistics (ranges, bandwidths, covariances, norms) are
fitted on documents only. Each cell is nDCG@10 less that of cosine, with the 95 % paired bootstrap interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

import kiyas
from kiyas.measures import scale_into_ball
from kiyas.metrics import bootstrap_difference, bootstrap_interval, judge, ndcg

DOCS = Path(__file__).parent.parent / "docs" / "measures.md"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
K = 10

# What is compared: a name for the table, and how an index is made of documents and answers queries.
Ranker = Callable[[np.ndarray, np.ndarray], np.ndarray]


def under(spec: str) -> Ranker:
    """Rank under a measure as it is, fitted on the documents where it needs it."""
    return lambda docs, queries: kiyas.Index(docs, spec).search(queries, k=K).ids


def ndd_at_row_norm(docs: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """ndd with queries brought to the median norm of the documents."""
    norm = float(np.median(np.linalg.norm(docs, axis=1)))
    return kiyas.Index(docs, f"ndd(query_norm={norm!r})").search(queries, k=K).ids


def unit_rows(spec: str) -> Ranker:
    """Rank under a measure after every vector has been scaled to length 1."""

    def rank(docs: np.ndarray, queries: np.ndarray) -> np.ndarray:
        return kiyas.Index(_unit(docs), spec).search(_unit(queries), k=K).ids

    return rank


def in_ball(docs: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """poincare after all vectors have been divided by one number that puts them into the ball."""
    largest = float(max(np.linalg.norm(docs, axis=1).max(), np.linalg.norm(queries, axis=1).max()))
    docs, _ = scale_into_ball(docs, radius=largest * 1.001)
    queries, _ = scale_into_ball(queries, radius=largest * 1.001)
    return kiyas.Index(docs, "poincare").search(queries, k=K).ids


def _unit(x: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms == 0, 1, norms)


RANKERS: dict[str, Ranker] = {
    "cosine (= angular)": under("cosine"),
    "dot": under("dot"),
    "euclidean": under("euclidean"),
    "ndd": under("ndd"),
    "ndd, query at the rows' median norm": ndd_at_row_norm,
    "log_scaled": under("log_scaled"),
    "hybrid": under("hybrid"),
    "tanimoto (= dice)": under("tanimoto"),
    "tempered_cosine(beta=0.5)": under("tempered_cosine(beta=0.5)"),
    "tempered_cosine(beta=1.25)": under("tempered_cosine(beta=1.25)"),
    "poincare, scaled into the ball": in_ball,
    "csls": under("csls"),
    "local_scaling": under("local_scaling"),
    "manhattan": under("manhattan"),
    "manhattan on unit rows": unit_rows("manhattan"),
    "gower": under("gower"),
    "gower on unit rows": unit_rows("gower"),
    "exponential": under("exponential"),
    "exponential(bandwidth='fitted')": under("exponential(bandwidth='fitted')"),
    "exponential(trim=0.1)": under("exponential(trim=0.1)"),
    "exponential(trim=0.1, bandwidth='fitted') on unit rows": unit_rows("exponential(trim=0.1, bandwidth='fitted')"),
    "mahalanobis(shrinkage='ledoit-wolf')": under("mahalanobis(shrinkage='ledoit-wolf')"),
}


def collections(root: Path) -> list[tuple[str, Path, str]]:
    """(title, folder, encoder) of every collection under a folder."""
    found = []
    for folder in sorted(p for p in root.iterdir() if (p / "qrels.json").is_file()):
        found += [(f"{folder.name}, {docs.name.removesuffix('_docs.npy')}", folder, docs.name.removesuffix("_docs.npy"))
                  for docs in sorted(folder.glob("*_docs.npy"))]
    return found


def scores(folder: Path, encoder: str) -> dict[str, np.ndarray]:
    """nDCG@10 of every query with a relevant document, for every ranker."""
    ids = json.loads((folder / "ids.json").read_text())
    qrels = json.loads((folder / "qrels.json").read_text())
    lines = (folder / "queries.jsonl").read_text().splitlines()
    queries = [str(json.loads(line)["id"]) for line in lines if line.strip()]
    docs, vectors = (np.load(folder / f"{encoder}_{part}.npy") for part in ("docs", "queries"))
    document = np.array([str(i) for i in ids["doc_ids"]], dtype=object)
    gains = {str(q): {str(d): float(g) for d, g in found.items() if g > 0} for q, found in qrels.items()}
    result = {}
    for name, rank in RANKERS.items():
        judged = judge(document[rank(docs, vectors)], [gains.get(q, {}) for q in queries])
        result[name] = ndcg(judged, k=K)[judged.answerable]
    return result


def table(root: Path) -> str:
    """The Markdown table."""
    columns = {title: scores(folder, encoder) for title, folder, encoder in collections(root)}
    baseline = next(iter(RANKERS))
    head = ["measure", *columns]
    rows = [head, ["---"] * len(head)]
    for name in RANKERS:
        cells = [f"`{name}`" if "(" in name and "=" in name and " " not in name else name]
        for values in columns.values():
            if name == baseline:
                mean, low, high = bootstrap_interval(values[name])
                cells.append(f"**{mean:.3f}** [{low:.3f}, {high:.3f}]")
            else:
                mean, low, high = bootstrap_difference(values[name], values[baseline])
                mark = "" if low <= 0 <= high else " ▲" if mean > 0 else " ▼"
                cells.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{mark}")
        rows.append(cells)
    sizes = ", ".join(f"{title}: {next(iter(v.values())).size}" for title, v in columns.items())
    note = ("nDCG@10 of cosine with its 95 % bootstrap interval; below, the difference to it with the paired interval "
            f"(uncorrected for the number of measures). ▲ ▼: the interval leaves 0 out. Judged queries: {sizes}. "
            "Fitted on documents only. Made by `python benchmarks/quality.py --data DIR --save` "
            f"with kiyas {kiyas.__version__}.")
    return "\n".join("| " + " | ".join(r) + " |" for r in rows) + "\n\n" + note


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    text = table(options.data)
    print(text)
    if options.save:
        page = DOCS.read_text()
        head, rest = page.split(BEGIN)
        DOCS.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
