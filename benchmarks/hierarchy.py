"""How well vectors in the ball and in Euclidean space give a hierarchy back, equally tuned, at several dimensions.

    python benchmarks/hierarchy.py FILE.tsv            prints the table
    python benchmarks/hierarchy.py FILE.tsv --save     writes it into docs/hyperbolic.md, between its markers

FILE.tsv holds pairs (below, above), closed under "above": for the published figure, the 6 541 pairs of WordNet's
mammals. Both spaces get the same rates to choose from, the same passes, negatives and seed; of each, the rate with the
higher mean average precision is shown. Reconstruction has no held-out part: what is ranked is what was embedded.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import kiyas
from kiyas.fit import EmbeddingPlan, Reconstruction, embed_hierarchy, read_hierarchy, reconstruction

DOCS = Path(__file__).parent.parent / "docs" / "hyperbolic.md"
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
DIMS = (2, 5, 10, 50)
RATES = (0.03, 0.1, 0.3)


def best(hierarchy, dims: int, space: str) -> tuple[Reconstruction, float, float]:
    """The best reconstruction over the rates, its rate, and the seconds of its run."""
    found = []
    for rate in RATES:
        begin = time.perf_counter()
        try:
            X = embed_hierarchy(hierarchy, EmbeddingPlan(dims=dims, space=space, rate=rate))
        except kiyas.InputError as error:  # grew without bound
            print(f"{space}, {dims} dimensions, rate {rate:g}: {error}", flush=True)
            continue
        seconds = time.perf_counter() - begin
        found.append((reconstruction(X, hierarchy, space), rate, seconds))
        print(f"{space}, {dims} dimensions, rate {rate:g}: {found[-1][0]}, {seconds:.0f} s", flush=True)
    return max(found, key=lambda f: f[0].map)


def table(path: Path) -> str:
    hierarchy = read_hierarchy(path)
    lines = ["| dimensions | Poincaré: mean rank | MAP | rate | Euclid: mean rank | MAP | rate |",
             "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for dims in DIMS:
        cells = [str(dims)]
        for space in ("poincare", "euclidean"):
            r, rate, _ = best(hierarchy, dims, space)
            cells += [f"{r.mean_rank:.2f}", f"{r.map:.3f}", f"{rate:g}"]
        lines.append("| " + " | ".join(cells) + " |")
    plan = EmbeddingPlan()
    note = (f"{len(hierarchy.pairs):,} pairs of {len(hierarchy):,} terms, {plan.epochs} epochs, {plan.negatives} "
            f"negatives, burn-in {plan.burn_in}, seed {plan.seed}, rates {', '.join(map(str, RATES))}. Made by "
            f"`python benchmarks/hierarchy.py FILE.tsv --save` with kiyas {kiyas.__version__}, NumPy {np.__version__}.")
    return "\n".join(lines) + "\n\n" + note


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    text = table(given.file)
    print(text)
    if given.save:
        page = DOCS.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
