"""All measures on collections with judgements, tested against cosine; and what is in their vectors.

    python benchmarks/judged.py --data DIR             prints both tables
    python benchmarks/judged.py --data DIR --save      writes them into docs/evaluating.md and docs/diagnosing.md,
                                                       between their markers, and every metric to docs/measured/

DIR as for quality.py. The table is what `kiyas evaluate` prints for each, with its intervals and Holm's correction.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from quality import collections

import kiyas
from kiyas.evaluate import Evaluation, Table, evaluate_measures, match, read_judgements
from kiyas.evaluate.diagnosis import Diagnosis, diagnose

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"


def load(folder: Path, encoder: str) -> tuple[kiyas.Index, np.ndarray, list[dict[Any, float]]]:
    """An index of the documents, the queries' vectors, and their judgements."""
    ids = json.loads((folder / "ids.json").read_text())
    docs, queries = (np.load(folder / f"{encoder}_{part}.npy") for part in ("docs", "queries"))
    matched = match(read_judgements(folder / "qrels.json"), ids["query_ids"], ids["doc_ids"])
    return kiyas.Index(docs, ids=ids["doc_ids"]), queries, matched.gains


def diagnosed(folder: Path, index: kiyas.Index, queries: np.ndarray, gains: list[dict[Any, float]]) -> Diagnosis:
    """The diagnosis, with the lengths of the texts and what is relevant."""
    texts = [json.loads(line) for line in (folder / "docs.jsonl").read_text().splitlines() if line.strip()]
    answered = dict.fromkeys(index.ids.tolist(), 0)
    for one in gains:
        for document, gain in one.items():
            answered[document] += gain > 0
    return diagnose(index.vectors, queries, lengths=[len(f"{t.get('title', '')} {t['text']}") for t in texts],
                    relevant=[*answered.values()])


# -- tables ------------------------------------------------------------------------------------------------------------


def comparison(done: dict[str, Evaluation]) -> str:
    """The main metric of every measure: cosine's, and the differences to it."""
    # A parameter that comes from the documents differs from collection to collection, and is one row.
    names = list(dict.fromkeys(_row(r.name) for one in done.values() for r in one.results))
    rows = []
    for name in names:
        row = [f"`{name}`"]
        for one in done.values():
            r = next((r for r in one.results if _row(r.name) == name), None)
            if r is None:
                row.append("")
            elif r is one.baseline:
                mean, low, high = r.means[one.main]
                row.append(f"**{mean:.3f}** [{low:.3f}, {high:.3f}]")
            elif r.comparison is None:
                row.append(f"= {r.equivalent}")
            else:
                mean, low, high = r.comparison.difference
                mark = {"better": " ▲", "worse": " ▼"}.get(r.verdict, "")
                row.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{mark}")
        rows.append(row)
    main = next(iter(done.values())).main
    text = Table([f"{main}", *done], rows).markdown()
    sizes = ", ".join(f"{title}: {one.queries}" for title, one in done.items())
    better = [f"{r.name} on {title}" for title, one in done.items() for r in one.tested if r.verdict == "better"]
    worse = sum(r.verdict == "worse" for one in done.values() for r in one.tested)
    tests = sum(len(one.tested) for one in done.values())
    return (f"{text}\ncosine with its 95 % bootstrap interval; below, differences to it over the same queries with "
            "paired intervals. ▲ ▼: better or worse by a sign-flip test after Holm's correction within the column. "
            f"= : ranks as that one. `query_norm` is the median length of a document. Judged queries: {sizes}.\n\n"
            f"Of {tests} comparisons {len(better)} {'is' if len(better) == 1 else 'are'} shown to be better than "
            f"cosine ({'; '.join(better) or 'none'}), {worse} worse.\n")


def _row(name: str) -> str:
    return "ndd(query_norm=…)" if name.startswith("ndd(query_norm=") else name


def everything(done: dict[str, Evaluation]) -> Table:
    """Every metric, interval and test of every measure on every collection."""
    columns: list[str] = []
    rows = []
    for title, one in done.items():
        held = one.table()
        columns = ["collection", *held.columns]
        rows += [[title, *(round(v, 6) if isinstance(v, float) else v for v in row)] for row in held.rows]
    return Table(columns, rows)


def spaces(found: dict[str, Diagnosis]) -> str:
    """The numbers of every diagnosis, a row each."""
    wanted = [("mean cosine of two documents", "anisotropy", "mean_cosine"),
              ("participation ratio", "spread", "participation_ratio"), ("IsoScore", "spread", "isoscore"),
              ("effective rank", "spread", "effective_rank"), ("rank of the covariance", "spread", "rank"),
              ("dimensions", "spread", "dims"), ("dead dimensions", "dimensions", "dead"),
              ("largest share of the mean cosine", "dimensions", "largest_share_of_mean_cosine"),
              ("intrinsic dimension, TwoNN", "intrinsic_dimension", "two_nn"),
              ("intrinsic dimension, maximum likelihood", "intrinsic_dimension", "maximum_likelihood"),
              ("spread of lengths", "norms", "coefficient_of_variation"),
              ("query/document length", "norms", "query_document_ratio"),
              ("Spearman(length, characters)", "norm_and_text", "spearman"),
              ("Spearman(length, relevance)", "norm_and_relevance", "spearman"),
              ("hubs, skewness from documents", "hubness", "skewness"),
              ("hubs, skewness from queries", "hubness", "from_queries"),
              ("distances, spread", "concentration", "coefficient_of_variation"),
              ("distances, contrast", "concentration", "contrast"),
              ("Spearman(score, characters), cosine", "score_and_length", "cosine"),
              ("Spearman(score, characters), dot", "score_and_length", "dot"),
              ("coordinates of queries outside", "dimensions", "query_coordinates_outside"),
              ("exact duplicates", "duplicates", "exact")]
    rows: list[list[str]] = []
    for title, key, value in wanted:
        row = [title]
        for one in found.values():
            held = one[key].values[value]
            if isinstance(held, dict):
                held = held["skewness"]
            if isinstance(held, np.ndarray):
                held = held.size
            row.append(str(held) if isinstance(held, int) else f"{held:.3g}")
        rows.append(row)
    return Table(["", *found], rows).markdown()


def write(page: Path, text: str) -> None:
    """Put a text between the markers of a page."""
    head, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{text}{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pages are")
    options = parser.parse_args()
    done, found = {}, {}
    for title, folder, encoder in collections(options.data):
        index, queries, gains = load(folder, encoder)
        done[title] = evaluate_measures(index, queries, gains)
        found[title] = diagnosed(folder, index, queries, gains)
        print(f"{title}: {done[title].conclusion()}", flush=True)
    made = f"\nMade by `python benchmarks/judged.py --data DIR --save` with kiyas {kiyas.__version__}.\n"
    evaluated, diagnoses = comparison(done) + made, spaces(found) + made
    print(f"\n{evaluated}\n{diagnoses}")
    if options.save:
        write(options.docs / "evaluating.md", evaluated)
        write(options.docs / "diagnosing.md", diagnoses)
        (options.docs / "measured" / "evaluating.csv").write_text(everything(done).csv(), encoding="utf-8")


if __name__ == "__main__":
    main()
