"""What is run and in which order; the options of `benchmarks/run.py`."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import chart
import machine
import memory
import report
import targets
from cases import HIDDEN, SOME_INNER, Bench, Effort
from data import Collection

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"


def main() -> None:
    """Run, print the table, write JSON, chart and, where asked, the page."""
    options = _options()
    if options.source:
        run = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        files = [HERE / "results" / ("quick.json" if options.quick else "latest.json"), options.save]
        files = [file for file in files if file is not None]
        run = Suite(options.quick, options.only, options.seconds, files).run()
        print("\n".join(f"written: {file}" for file in files))
    print(chart.write(run, options.chart))
    if options.markdown:
        report.write_page(options.markdown, run)
        print(f"written: {options.markdown}")
    print("\n" + report.machine(run) + "\n\n" + report.targets(run["targets"]))
    if run["quick"]:
        print("\nA quick run on tiny data: the figures say nothing about speed.")
    wrong = [f"{r['case']}, {r['collection']}, batch {r['batch']}: {e['name']}" for r in run["results"]
             for e in r["entries"] if e["checked"].startswith("WRONG")]
    if wrong:
        sys.exit("answers differ by more than float ties:\n" + "\n".join(wrong))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="kiyas and its peers in one run")
    parser.add_argument("--quick", action="store_true", help="tiny data: shows that all parts work, proves nothing")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="cases to run: inner, manhattan, exponential, "
                        "learned, user, wide, memory; on the quoted rows only")
    parser.add_argument("--seconds", type=float, default=Effort.seconds,
                        help="seconds that an engine may use in a case (default %(default)s)")
    parser.add_argument("--save", type=Path, help="where to write a further copy of the JSON")
    parser.add_argument("--chart", type=Path, help="SVG or PNG", default=HERE / "results" / "benchmarks.svg")
    parser.add_argument("--markdown", type=Path, nargs="?", const=PAGE, help="write the tables into docs/benchmarks.md")
    parser.add_argument("--from", dest="source", type=Path, help="a JSON to report on, in place of a run")
    return parser.parse_args()


@dataclass(frozen=True)
class Sizes:
    """Rows and dimensions of the collections."""

    rows: int
    dims: int
    large: int
    wide_rows: int
    wide: int
    bandwidth: int


_FULL = Sizes(200_000, 384, 1024, 20_000, 4096, 1 << 30)
_QUICK = Sizes(3000, 64, 96, 2000, 256, 1 << 22)


class Suite:
    """A run in progress; what it has found so far is written after every case, as a run takes long."""

    def __init__(self, quick: bool, only: list[str] | None, seconds: float, files: list[Path]) -> None:
        self.quick, self.only, self.files = quick, only, files
        self.size = _QUICK if quick else _FULL
        self.effort = Effort(2, 0.2, 0.0) if quick else Effort(seconds=seconds)
        self.facts = machine.facts()
        print(f"level {self.facts['level']}, {self.facts['processor']}, load {self.facts['load_before']}", flush=True)
        self.limits = {t: machine.limits(t, self.size.bandwidth) for t in (1, 2)}
        self.quoted = Collection("mixture", self.size.rows, self.size.dims)
        self.results: list[dict] = []
        self.memory: list[dict] = []
        self.missing: set[str] = set()

    def run(self) -> dict:
        """All cases that are wanted."""
        size = self.size
        bench = self._on(self.quoted, _plan(self.only))
        if self._wanted("learned"):
            narrow = Bench(Collection("mixture", size.rows, HIDDEN), self.effort)
            self._do(bench, "learn", (2, 1, narrow))
            del narrow
        self.facts["blas"] = machine.facts()["blas"]  # now that all of them are loaded
        if self._wanted("memory"):
            self.memory = memory.measure_all(bench.X, bench.Q)
        del bench
        if self.only is None:
            self._on(Collection("isotropic", size.rows, size.dims), [*_main_cases((2,)), ("exponential", (2, 1))])
            self._on(Collection("mixture", size.rows // 2, size.large), _main_cases((2, 1)))
        if self._wanted("wide"):
            for kind in ("mixture", "isotropic"):
                self._on(Collection(kind, size.wide_rows, size.wide, rms=0.025), [("exponential", (2, 1, 0.05))])
        return self._keep()

    def _wanted(self, name: str) -> bool:
        return self.only is None or name in self.only

    def _on(self, collection: Collection, plan: list[tuple[str, tuple]]) -> Bench | None:
        if not plan and not self._wanted("memory") and not self._wanted("learned"):
            return None
        print(f"\n{collection.name}", flush=True)
        for threads in self.limits:  # again each time: the best seen is the least disturbed
            self.limits[threads] = self.limits[threads].better(machine.limits(threads, self.size.bandwidth))
        bench = Bench(collection, self.effort)
        for name, arguments in plan:
            self._do(bench, name, arguments)
        return bench

    def _do(self, bench: Bench, name: str, arguments: tuple) -> None:
        start = time.perf_counter()
        self.results.append(getattr(bench, name)(*arguments))
        self.missing |= bench.missing
        print(_line(self.results[-1], time.perf_counter() - start), flush=True)
        self._keep()

    def _keep(self) -> dict:
        size = self.size
        for result in self.results:
            for entry in result["entries"]:
                if "operations" in entry:
                    limit = self.limits[result["threads"]]
                    seconds, by = limit.floor(entry["bytes"], entry["operations"], entry["operation"])
                    entry |= {"floor_ms": 1e3 * seconds, "floor_by": by, "share": 1e3 * seconds / entry["least_ms"]}
        table = targets.lines(self.results, self.memory, size.rows, size.dims, "mixture", 2)
        hostile = targets.lines(self.results, [], size.rows, size.dims, "isotropic", 2)
        found = {"date": dt.date.today().isoformat(), "quick": self.quick, "machine": self.facts,
                 "limits": {t: asdict(v) for t, v in self.limits.items()}, "effort": asdict(self.effort),
                 "quoted": {"collection": self.quoted.name, "threads": 2}, "missing": sorted(self.missing),
                 "targets": [t.plain() for t in table],
                 "hostile_targets": [t.plain() for t in hostile if t.reached is not None],
                 "results": self.results, "memory": self.memory}
        for file in self.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return found


def _main_cases(threads: tuple[int, ...]) -> list[tuple[str, tuple]]:
    """Some inner measures and manhattan, beside all peers."""
    inner = [("inner", (t, b, SOME_INNER)) for t in threads for b in (1, 16, 256)]
    return inner + [("manhattan", (t, b)) for t in threads for b in (1, 16)]


def _plan(only: list[str] | None) -> list[tuple[str, tuple]]:
    """Cases on the quoted rows: those of the targets first, with two threads; then the main ones with one."""
    plan = [("inner", (2, b)) for b in (1, 16, 256)] + [("manhattan", (2, b)) for b in (1, 16)]
    plan += [("exponential", (2, 1)), *(("user", (2, b)) for b in (1, 16, 256)), ("exponential", (2, 16))]
    plan += [*_main_cases((1,)), ("exponential", (1, 1)), ("manhattan", (2, 256))]
    return [step for step in plan if only is None or step[0] in only]


def _line(result: dict, seconds: float) -> str:
    theirs = [e for e in result["entries"] if e["library"] != "kiyas"]
    mine = [e for e in result["entries"] if e["library"] == "kiyas"]
    best = min(theirs, key=lambda e: e["median_ms"], default=None)
    peer = f"best peer {best['name']} {best['median_ms']:.2f} ms" if best else ""
    ours = ", ".join(f"{e['name'][6:]} {e['median_ms']:.2f}" for e in mine)
    return (f"  {result['case']:12} batch {result['batch']:3}, {result['threads']} threads: kiyas {ours} ms; {peer} "
            f"[{seconds:.0f} s]")
