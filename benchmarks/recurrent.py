"""The recurrent runtime and its peers in one run: `make bench-recurrent`, or with --quick for a look at the machinery.

docs/recurrent-speed.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

# Before the libraries load: what peers run on is decided here, not by their pools.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import machine
import recurrent_report as report
from recurrent_cases import Cases, Effort
from recurrent_limits import Limits

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "recurrent-speed.md"
CASES = ("step", "sequence", "threads", "long", "long-threads", "generation", "import", "precision")


def main() -> None:
    """Run, print the targets, write the JSON and, where asked, the page."""
    options = _options()
    target = HERE / "results" / ("recurrent-quick.json" if options.quick else "recurrent.json")
    if options.source:
        run = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        run = _run(options)
        for file in (target, options.save):
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(run, indent=1), encoding="utf-8")
                print(f"written: {file}")
    run["targets"] = report.targets(run)
    if options.markdown:
        report.write_page(options.markdown, run)
        print(f"written: {options.markdown}")
    print("\n" + report.machine(run) + "\n\n" + report.target_table(run["targets"]))
    if run["quick"]:
        print("\nA quick run on tiny models: the figures say nothing about speed.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the recurrent runtime of kiyas and its peers in one run")
    parser.add_argument("--quick", action="store_true", help="tiny models: shows that all parts work, proves nothing")
    parser.add_argument("--only", nargs="+", metavar="CASE", choices=CASES, help="default: all")
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64, 128, 256, 512], help="n = m")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64], help="rows")
    parser.add_argument("--seconds", type=float, default=Effort.seconds, help="that an engine may use in a case")
    parser.add_argument("--save", type=Path, help="where to write a further copy of the JSON")
    parser.add_argument("--markdown", type=Path, nargs="?", const=PAGE, help="write the tables into the page")
    parser.add_argument("--from", dest="source", type=Path, help="a JSON to report on, in place of a run")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> dict:
    quick, wanted = options.quick, set(options.only or CASES)
    sizes = [8, 24] if quick else options.sizes
    effort = Effort(0.02, 2, 3, 0.0005) if quick else replace(Effort(), seconds=options.seconds)
    limits = Limits()
    cases = Cases(effort, limits)
    facts = machine.facts(("numpy", "torch", "onnxruntime", "keras"))
    print(f"level {facts['level']}, {facts['processor']}, load {facts['load_before']}", flush=True)
    run: dict = {"quick": quick, "machine": facts, "results": []}
    short, long = (10, 20) if quick else (100, 1000)
    for n in sizes:
        if "step" in wanted:
            run["results"] += [cases.step(n, batch) for batch in options.batches]
        plan = [(batch, short, 1) for batch in options.batches if "sequence" in wanted]
        plan += [(batch, short, 2) for batch in options.batches if "threads" in wanted]
        plan += [(batch, long, 1) for batch in options.batches if "long" in wanted]
        plan += [(batch, long, 2) for batch in options.batches if "long-threads" in wanted]
        run["results"] += [cases.sequence(n, *what) for what in plan]
    if "precision" in wanted:
        run["precision"] = [cases.precision(n, short) for n in sizes]
    if "generation" in wanted:
        run["generation"] = cases.generation(8, 50, 5) if quick else cases.generation(128, 10_000, 200)
    if "import" in wanted:
        run["imports"] = cases.imports(2 if quick else 9)
    run["flops"] = limits.flops()
    sizes = [1 << k for k in range(14, 24)] if run["flops"] else []
    run["bandwidth"] = {size: limits.bandwidth(size) for size in sizes}
    run["missing"] = sorted(cases.missing)
    run["load_after"] = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return run


if __name__ == "__main__":
    sys.exit(main())
