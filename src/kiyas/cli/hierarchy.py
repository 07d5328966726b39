"""``kiyas hierarchy``: pairs of terms to an index of points in the ball, and a picture of the disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.text import Text

from kiyas.cli import show
from kiyas.directory import replacing, write_whole
from kiyas.encode.collection import free_or_ours, is_collection
from kiyas.errors import InputError
from kiyas.fit import EmbeddingPlan, checkpoint, embed_hierarchy, read_hierarchy, reconstruction
from kiyas.search import Index


@dataclass(frozen=True)
class Options:
    """How to read the pairs, and what else to write."""

    closure: bool = False
    html: Path | None = None
    overwrite: bool = False


def run(file: Path, output: Path, plan: EmbeddingPlan, options: Options, json: bool) -> None:
    """Read, embed, index, save, and tell how well the vectors give the hierarchy back."""
    if options.html is not None:
        if plan.dims != 2:
            raise InputError("--html draws the disk of 2 dimensions: give --dims 2 with it")
        from kiyas.cli.disk import require_altair

        require_altair()
    free_or_ours(output, options.overwrite)
    hierarchy = read_hierarchy(file)
    if options.closure:
        hierarchy = hierarchy.closed()
    if options.html is not None:
        from kiyas.cli.disk import require_drawable

        require_drawable(hierarchy)
    # Beside the index until that is written: what goes on where an interrupted run stopped.
    unfinished = output.with_name(f"{output.name}.unfinished")
    begin = time.perf_counter()
    with show.progress(f"embedding {len(hierarchy):,} terms") as report:
        X = embed_hierarchy(hierarchy, plan, progress=report, checkpoint=unfinished)
    seconds = time.perf_counter() - begin
    found = reconstruction(X, hierarchy)
    _save(Index(X, measure="poincare", ids=hierarchy.names), output)
    checkpoint.remove(unfinished)
    if options.html is not None:
        from kiyas.cli.disk import page

        write_whole(options.html, page(hierarchy, X, found))
    facts = {"directory": str(output), "terms": len(hierarchy), "pairs": len(hierarchy.pairs), "dims": plan.dims,
             "mean_rank": found.mean_rank, "map": found.map, "seconds": seconds,
             "largest_norm": float(np.linalg.norm(X, axis=1).max()),
             "html": None if options.html is None else str(options.html)}
    if json:
        show.print_json(facts)
        return
    out = show.console()
    out.print(Text.assemble((str(output), "bold"), f": {len(hierarchy):,} terms in {plan.dims} dimensions of the "
                                                   "Poincaré ball"))
    out.print(Text(f"Of its {len(hierarchy.pairs):,} pairs: mean rank {found.mean_rank:.2f}, MAP {found.map:.3f} (1 "
                   "and 1 would give the hierarchy back whole)."))
    if options.html is not None:
        out.print(Text(f"The disk is drawn in {options.html}"))
    out.print(Text(f"Explore it: kiyas search {output} --like {_quoted(hierarchy.names[0])}", style="dim"))


def _save(index: Index, output: Path) -> None:
    if is_collection(output):
        with replacing(output) as part:
            index.save(part)
    else:
        index.save(output)


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
