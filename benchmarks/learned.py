"""A learned similarity beside cosine and its linear rivals, on queries held out; and how fast it is searched.

    python benchmarks/learned.py --data DIR            prints the tables
    python benchmarks/learned.py --data DIR --save     writes them into docs/learned-similarity.md, between its markers

DIR as for quality.py. Queries are split into five folds. For each, everything is trained on pairs of the other folds
that hold no document relevant to a query of the fold; early stopping holds queries out of those again. Nothing is
chosen by what it scores: one plan, one seed and one set of parameters for all collections. Vectors have unit length.
Speed: exact top-10 of single queries on one thread, the learned measure and manhattan over rows of as many floats as it
has of halves and vector together, taking turns.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from data import Collection
from judged import load
from quality import collections

import kiyas
from kiyas.evaluate import compare
from kiyas.fit import (
    Pairs,
    TrainingPlan,
    judged_pairs,
    learn_adapter,
    learn_reranker,
    learn_similarity,
    relevance_map,
)
from kiyas.metrics import judge, ndcg

DOCS = Path(__file__).parent.parent / "docs" / "learned-similarity.md"
MARKS = {name: (f"<!-- {name}:begin -->", f"<!-- {name}:end -->") for name in ("measured", "speed")}
FOLDS, K, DEPTH, HIDDEN = 5, 10, 100, 64
PLAN = TrainingPlan()
# A pair costs the re-ranker hundreds of times what it costs the network: smaller steps, and less patience.
RERANKING = TrainingPlan(batch=16, hard=2, patience=2, epochs=6)
ROWS, DIMS, ROUNDS, ASKED = 100_000, 384, 5, 64


def unit(X: np.ndarray) -> np.ndarray:
    X = X.astype(np.float32)
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-30)


def trained(pairs: Pairs, Q: np.ndarray, D: np.ndarray) -> dict:
    """Everything that is compared, made of training pairs, their queries and all documents."""

    def map_of(some: Pairs) -> kiyas.LinearMap:
        return relevance_map(some, Q, D)

    return {
        "cosine": "cosine",
        "relevance map": map_of(pairs),
        "linear adapter": learn_adapter(pairs, D, PLAN).measure,
        "linear adapter, from the map": learn_adapter(pairs, D, PLAN, start=map_of).measure,
        "network": learn_similarity(pairs, D, PLAN, hidden=HIDDEN).measure,
        "network, symmetric": learn_similarity(pairs, D, PLAN, hidden=HIDDEN, symmetric=True).measure,
        "network, from the map": learn_similarity(pairs, D, PLAN, hidden=HIDDEN, start=map_of).measure,
        f"re-ranker over the {DEPTH} best of cosine": learn_reranker(pairs, D, RERANKING, hidden=16),
    }


def held_out(folder: Path, encoder: str) -> dict[str, np.ndarray]:
    """nDCG@10 of every judged query, scored in the fold that had no part in the training."""
    index, queries, by_id = load(folder, encoder)
    D, ids = unit(index.vectors), index.ids.tolist()
    row = {name: i for i, name in enumerate(ids)}
    gains = [{row[name]: gain for name, gain in one.items()} for one in by_id]
    answerable = np.array([any(g > 0 for g in one.values()) for one in gains])
    Q = unit(queries)[answerable]
    gains = [one for one, keep in zip(gains, answerable, strict=True) if keep]
    fold = np.random.default_rng(0).permutation(len(Q)) % FOLDS
    values: dict[str, np.ndarray] = {}
    for number in range(FOLDS):
        asked, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        withheld = {r for q in asked for r, gain in gains[q].items() if gain > 0}
        pairs = judged_pairs(Q[rest], D, [gains[q] for q in rest]).without(withheld)
        for name, measure in trained(pairs, Q[rest], D).items():
            if hasattr(measure, "rerank"):
                found = measure.rerank(kiyas.Index(D), Q[asked], k=K, depth=DEPTH)
            else:
                found = kiyas.Index(D, measure).search(Q[asked], k=K)
            values.setdefault(name, np.empty(len(Q)))[asked] = ndcg(judge(found.ids, [gains[q] for q in asked]), K)
        print(f"{folder.name}, {encoder}, fold {number + 1}: "
              + ", ".join(f"{n} {v[fold <= number].mean():.4f}" for n, v in values.items()), flush=True)
    return values


def quality(root: Path) -> str:
    done = {title: held_out(folder, encoder) for title, folder, encoder in collections(root)}
    names = list(next(iter(done.values())))
    lines = ["| | " + " | ".join(done) + " |", "| --- |" + " --- |" * len(done)]
    for name in names:
        cells = []
        for values in done.values():
            if name == "cosine":
                cells.append(f"**{values[name].mean():.4f}**")
                continue
            found = compare(values[name], values["cosine"])
            mark = {"better": " ▲", "worse": " ▼"}.get(found.verdict(), "")
            cells.append(f"{found.difference.mean:+.4f}{mark}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "The network against its rivals, over the same queries:", "",
              "| | " + " | ".join(done) + " |", "| --- |" + " --- |" * len(done)]
    for name, rival in (("network", "linear adapter"), ("network, symmetric", "linear adapter"),
                        ("network, from the map", "linear adapter, from the map"),
                        ("network, from the map", "relevance map")):
        cells = []
        for values in done.values():
            found = compare(values[name], values[rival])
            d, mark = found.difference, {"better": " ▲", "worse": " ▼"}.get(found.verdict(), "")
            cells.append(f"{d.mean:+.4f} [{d.low:+.3f}, {d.high:+.3f}]{mark}")
        lines.append(f"| {name}, less {rival} | " + " | ".join(cells) + " |")
    sizes = ", ".join(f"{title}: {v['cosine'].size}" for title, v in done.items())
    return "\n".join(lines) + (
        f"\n\nnDCG@10 of cosine, and differences to it, each query scored in the one of {FOLDS} folds that had no part "
        f"in the training. ▲ ▼: shown by a sign-flip test of that one comparison, uncorrected. {HIDDEN} hidden units, "
        f"rate {PLAN.rate:g}, seed {PLAN.seed}. Queries: {sizes}. Made by `python benchmarks/learned.py --data DIR "
        f"--save` with kiyas {kiyas.__version__}.")


def speed() -> str:
    rng = np.random.default_rng(0)
    X, Q = Collection("mixture", ROWS, DIMS).make()
    wide, asked_wide = Collection("mixture", ROWS, HIDDEN + DIMS).make()
    first = rng.standard_normal((HIDDEN // 2, DIMS)) / np.sqrt(DIMS)
    first = np.concatenate([first, -first])
    second = 0.1 * rng.standard_normal(HIDDEN)
    engines = {
        f"learned, {HIDDEN} units and α·cosine over {DIMS} dimensions":
            (kiyas.Index(X, kiyas.Learned(first, -first, np.zeros(HIDDEN), second, 0.0, 20.0)), Q),
        f"learned, {HIDDEN} units without cosine":
            (kiyas.Index(X, kiyas.Learned(first, -first, np.zeros(HIDDEN), second)), Q),
        f"manhattan over {HIDDEN + DIMS} dimensions": (kiyas.Index(wide, "manhattan"), asked_wide),
    }
    times: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(ROUNDS + 1):
        for name, (index, queries) in engines.items():
            begin = time.perf_counter()
            for query in queries[:ASKED]:
                index.search(query, k=K, threads=1)
            if turn:  # the first builds the codes
                times[name].append(ASKED / (time.perf_counter() - begin))
    base = np.median(times[f"manhattan over {HIDDEN + DIMS} dimensions"])
    lines = ["| | queries a second | of manhattan's | path |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {name} | {np.median(got):,.0f} | {np.median(got) / base:.2f} | {engines[name][0].info['path']} |"
              for name, got in times.items()]
    return "\n".join(lines) + (f"\n\n{ROWS:,} rows, single queries, one thread, median of {ROUNDS} rounds in turn; "
                               "random weights, which leave the bounds the least to rule out.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    texts = {"speed": speed()}
    print(texts["speed"], flush=True)
    if given.data is not None:
        texts["measured"] = quality(given.data)
        print(texts["measured"])
    if given.save:
        page = DOCS.read_text(encoding="utf-8")
        for name, text in texts.items():
            begin, end = MARKS[name]
            before, _, rest = page.partition(begin)
            page = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
        DOCS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
