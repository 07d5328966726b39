"""What fitted maps and the choice of a measure are worth, on collections with judgements.

    python benchmarks/evidence.py --data DIR            prints the tables
    python benchmarks/evidence.py --data DIR --save     writes them into docs/choosing.md, between its markers

DIR is as for quality.py, and has pairs_ids.json (a document id each) with pairs_ENCODER_short.npy and
pairs_ENCODER_rest.npy: titles or first sentences, and the rest of the same texts. ``--only NAME`` takes the collections
whose title holds NAME. Half an hour on a small machine; nothing is chosen on what scores it (docs/choosing.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from quality import collections

import kiyas
from kiyas.evaluate import Comparison, choose, choose_known, compare
from kiyas.evaluate.tables import Table
from kiyas.fit import Pairs, fit_judged, fit_own, relevance_map, whitening
from kiyas.fit.selection import folds_of
from kiyas.measures import Cosine, LinearMap, Measure
from kiyas.metrics import Interval, judge, ndcg

DOCS = Path(__file__).parent.parent / "docs" / "choosing.md"
BEGIN, END = "<!-- evidence:begin -->", "<!-- evidence:end -->"
K = 10


@dataclass(frozen=True)
class Material:
    """One collection under one encoder: vectors, gains by row for each judged query, pairs of its own texts."""

    title: str
    documents: np.ndarray
    queries: np.ndarray
    gains: list[dict[int, float]]
    own: Pairs

    def ndcg(self, measure: Measure, which: np.ndarray | None = None) -> np.ndarray:
        """Of every judged query (or some) under a measure."""
        rows = np.arange(len(self.queries)) if which is None else which
        hits = kiyas.Index(self.documents, measure=measure).search(self.queries[rows], k=K)
        return ndcg(judge(hits.ids, [self.gains[q] for q in rows]), K)


def read(title: str, folder: Path, encoder: str) -> Material:
    """A collection's files."""
    ids = [str(i) for i in json.loads((folder / "ids.json").read_text())["doc_ids"]]
    row = {name: place for place, name in enumerate(ids)}
    qrels = json.loads((folder / "qrels.json").read_text())
    lines = (folder / "queries.jsonl").read_text().splitlines()
    names = [str(json.loads(line)["id"]) for line in lines if line.strip()]
    gains = [{row[str(d)]: float(g) for d, g in qrels.get(name, {}).items() if g > 0} for name in names]
    judged = [i for i, one in enumerate(gains) if one]
    part = {name: np.load(folder / f"{name}.npy") for name in
            (f"{encoder}_docs", f"{encoder}_queries", f"pairs_{encoder}_short", f"pairs_{encoder}_rest")}
    owners = np.array([row[str(i)] for i in json.loads((folder / "pairs_ids.json").read_text())])
    own = Pairs(part[f"pairs_{encoder}_short"], part[f"pairs_{encoder}_rest"], owners)
    return Material(title, part[f"{encoder}_docs"], part[f"{encoder}_queries"][judged], [gains[i] for i in judged], own)


# -- the tables --------------------------------------------------------------------------------------------------------


def own_texts(all_: list[Material]) -> tuple[Table, list[float]]:
    """Label-free maps, the judged queries used to score alone."""
    rows, gained = [], []
    for m in all_:
        fitted = fit_own(m.own, m.documents)
        base = m.ndcg(Cosine())
        c = compare(m.ndcg(fitted.measure), base)
        gained.append(c.difference.mean)
        taken = "none" if fitted.shrinkage is None else "centring" if fitted.shrinkage == 1 else f"{fitted.shrinkage:g}"
        rows.append([m.title, len(m.own), _interval(fitted.gain), taken, float(base.mean()),
                     "0" if fitted.shrinkage is None else _interval(c.difference)])
    rows.append(["mean", None, None, None, None, f"{np.mean(gained):+.4f}, worst {min(gained):+.4f}"])
    return Table(["collection", "pairs", "MRR@10 gained on pairs held out", "shrinkage taken", "cosine nDCG@10",
                  "nDCG@10 gained with judged queries"], rows), gained


def judged(all_: list[Material]) -> tuple[Table, list[float]]:
    """The map of training queries and own pairs, always taken as the inner folds say: five folds, three seeds."""
    rows, gained = [], []
    for m in all_:
        base, total = m.ndcg(Cosine()), np.zeros(len(m.queries))
        taken = []
        for seed in range(3):
            fold = folds_of(np.arange(len(m.queries)), 5, seed)
            for f in range(5):
                held, train = np.flatnonzero(fold == f), np.flatnonzero(fold != f)
                hidden = {row for q in held for row in m.gains[q]}
                fitted = fit_judged(m.queries[train], m.documents, [m.gains[q] for q in train], m.own, withheld=hidden,
                                    seed=seed, proven=False)
                taken.append("none" if fitted.shrinkage is None else f"{fitted.shrinkage:g}")
                total[held] += m.ndcg(fitted.measure, held) / 3
        c = compare(total, base)
        gained.append(c.difference.mean)
        often = ", ".join(f"{name} × {taken.count(name)}" for name in sorted(set(taken), reverse=True))
        rows.append([m.title, len(m.queries), float(base.mean()), _interval(c.difference), _p(c), often])
    rows.append(["mean", None, None, f"{np.mean(gained):+.4f}, worst {min(gained):+.4f}", None, None])
    return Table(["collection", "queries", "cosine nDCG@10", "gained on held-out queries", "p", "shrinkages taken"],
                 rows), gained


def choice(all_: list[Material]) -> tuple[Table, list[float]]:
    """`kiyas choose`: every measure of the catalogue and the map, judged queries."""
    rows, gained = [], []
    for m in all_:
        done = choose(kiyas.Index(m.documents), m.queries, m.gains, own=m.own)
        gained.append(done.comparison.difference.mean)
        picks = ", ".join(f"{name} × {n}" for name, n in sorted(done.picks.items(), key=lambda one: -one[1]))
        rows.append([m.title, done.baseline, done.score, _interval(done.comparison.difference), _p(done.comparison),
                     done.comparison.detectable, picks, done.name])
    rows.append(["mean", None, None, f"{np.mean(gained):+.4f}, worst {min(gained):+.4f}", None, None, None, None])
    return Table(["collection", "cosine", "procedure", "gained on held-out queries", "p", "detectable",
                  "taken in the outer folds", "recommended"], rows), gained


def choice_known(all_: list[Material]) -> Table:
    """`kiyas choose` without judgements, and what its choice does for judged queries."""
    rows = []
    for m in all_:
        done = choose_known(m.own)
        measure = fit_own(m.own, m.documents, proven=False).measure if done.name == "relevance map" else done.measure
        c = compare(m.ndcg(measure), m.ndcg(Cosine()))
        rows.append([m.title, done.baseline, _interval(done.comparison.difference), done.name, _interval(c.difference)])
    return Table(["collection", "cosine MRR@10", "gained on held-out pairs", "recommended",
                  "nDCG@10 gained with judged queries"], rows)


def parts(all_: list[Material]) -> Table:
    """What each idea gives alone, at one fixed setting and without labels: the judged queries only score."""
    def one_center(m: Material) -> Measure:
        return whitening(m.documents, 0.0)

    def uncentred(m: Material) -> Measure:
        return _map(m, 0.8).with_(center=None, query_center=None)

    def swapped(m: Material) -> Measure:
        both = _map(m, 0.8)
        return both.with_(query_center=both.center)

    kinds = {
        "one centre for queries and documents": one_center,
        "a centre for each": lambda m: _map(m, 1.0),
        "RCA at 0.8, not centred": uncentred,
        "RCA at 0.8, one centre for both": swapped,
        "RCA at 0.95, a centre for each": lambda m: _map(m, 0.95),
        "RCA at 0.8, a centre for each": lambda m: _map(m, 0.8),
        "RCA at 0.5, a centre for each": lambda m: _map(m, 0.5),
        "RCA at 0.2, a centre for each": lambda m: _map(m, 0.2),
        "partial whitening, exponent 1/8": lambda m: whitening(m.documents, 0.125),
        "whitening, exponent 1/2": lambda m: whitening(m.documents, 0.5),
    }
    base = [m.ndcg(Cosine()) for m in all_]
    rows = []
    for name, kind in kinds.items():
        gains = [float((m.ndcg(kind(m)) - b).mean()) for m, b in zip(all_, base, strict=True)]
        rows.append([name, *(f"{g:+.3f}" for g in gains), f"{np.mean(gains):+.4f}"])
    return Table(["kind of map", *(m.title for m in all_), "mean"], rows)


def _map(m: Material, shrinkage: float) -> LinearMap:
    return relevance_map(m.own, m.own.queries, m.documents, shrinkage)


def _interval(x: Interval) -> str:
    return f"{x.mean:+.4f} [{x.low:+.4f}, {x.high:+.4f}]"


def _p(c: Comparison) -> str:
    return f"{c.p:.2g}"


# -- writing -----------------------------------------------------------------------------------------------------------


def report(root: Path, only: str = "") -> str:
    """All tables, as Markdown."""
    all_ = [read(*one) for one in collections(root) if only in one[0] and (one[1] / "pairs_ids.json").is_file()]
    sections = [
        ("Without judgements: a map from the collection's own texts", own_texts,
         ("Fitted and chosen on titles or first sentences and their texts; the judged queries only score it. Intervals "
          "of 95 % over queries.")),
        ("With judgements: a map, queries held out", judged,
         ("Five folds, three seeds, shrinkage by inner folds. No pair of a document that is relevant to a held-out "
          "query is fitted on, in inner folds too. p by sign flips.")),
        ("The whole choice, with judgements", choice,
         ("`kiyas choose`: all measures and the map, near-duplicate queries and queries that share documents held out "
          "together, five folds dealt three times.")),
        ("The whole choice, without judgements", choice_known,
         ("`kiyas choose` by known items, and what the measure that it takes does for the judged queries, which it "
          "never saw.")),
        ("What each idea gives", parts,
         ("One fixed setting for all collections, no labels, the judged queries only score. This table is for "
          "understanding: reading the best row off it would be choosing on what scores.")),
    ]
    out = []
    for title, make, words in sections:
        start = time.perf_counter()
        made = make(all_)
        table = made[0] if isinstance(made, tuple) else made
        out.append(f"### {title}\n\n{words}\n\n{table.markdown()}")
        print(f"{title}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    out.append(f"Made by `python benchmarks/evidence.py --data DIR --save` with kiyas {kiyas.__version__}.\n")
    return "\n".join(out)


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    text = report(options.data, options.only)
    print(text)
    if options.save:
        page = DOCS.read_text(encoding="utf-8")
        head, rest = page.split(BEGIN)
        DOCS.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
