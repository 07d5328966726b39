"""Targets of the recurrent benchmark, and what a run found as the tables of docs/recurrent-speed.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from report import BEGIN, END, table

_ORT, _CELL = "ONNX Runtime", "torch LSTMCell"
_PEERS = (_ORT, _CELL, "torch nn.LSTM", "Keras predict")


def targets(run: dict) -> list[dict]:
    """Every target: what was reached by medians of ratios and by shortest times, and whether both, one or none met it.

    One thread, but for batch 64, where each engine has its better number of threads.
    """
    out = []

    def ratio(what: str, peer: str, name: str, cases: Iterable[tuple], least: float) -> None:
        for kind, n, batch, time_ in cases:
            found = _find(run, kind, n, batch, time_, 1)
            if found is None or name not in found["ratios"].get(peer, {}):
                out.append(_line(f"{what}, n = {n}", peer, least, None, None))
            else:
                out.append(_line(f"{what}, n = {n}", peer, least, found["ratios"][peer][name],
                                 found["ratios_of_least"][peer][name]))

    f32, bf16, int8 = "kiyas float32", "kiyas bfloat16", "kiyas int8"
    for n in (32, 64, 128):
        ratio("single step", _ORT, f32, [("step", n, 1, 1)], 5 if n <= 64 else 3)
        ratio("single step", _CELL, f32, [("step", n, 1, 1)], 8 if n <= 64 else 6)
    for n, least in ((32, 1.3), (64, 1.3), (128, 1.3), (256, 1.15), (512, 1.0)):
        ratio("T = 100, float32", _ORT, f32, [("sequence", n, 1, 100)], least)
    ratio("T = 100, int8", _ORT, int8, [("sequence", 256, 1, 100)], 3)
    ratio("T = 100, int8", _ORT, int8, [("sequence", 512, 1, 100)], 5)
    ratio("T = 100, bfloat16", _ORT, bf16, [("sequence", n, 1, 100) for n in (256, 512)], 1.8)
    out += [_batch(run, n) for n in (32, 64, 128, 256, 512)]
    made = run.get("generation")
    out.append(_line("generation, 200 words", "our window read again", 20, made and made["ratio"],
                     made and made["ratio_of_least"]))
    out.append(_line("generation, 200 words", "Keras predict loop", 100, made and made.get("keras_ratio"),
                     made and made.get("keras_ratio_of_least")))
    loaded = run.get("imports")
    took = loaded and loaded["beyond_ms"]
    out.append({"case": "import of kiyas.recurrent, ms beyond NumPy", "against": "", "target": "<= 150",
                "reached": took, "of_least": took, "met": None if took is None else _verdict(took <= 150, took <= 150)})
    return out


def _batch(run: dict, n: int) -> dict:
    """Batch 64: the best peer at its better number of threads over kiyas at its own."""
    found = [c for c in (_find(run, "sequence", n, 64, 100, t) for t in (1, 2)) if c is not None]
    case = f"batch 64, T = 100, n = {n}"
    if not found:
        return _line(case, "best peer", 1.0, None, None)
    values = []
    for key in ("median_us", "least_us"):
        theirs = min((e[key], e["name"], c["threads"]) for c in found for e in c["entries"] if e["name"] in _PEERS)
        mine = min(e[key] for c in found for e in c["entries"] if e["name"] == "kiyas float32")
        values.append((theirs[0] / mine, f"{theirs[1]}, {theirs[2]} thread{'s' if theirs[2] > 1 else ''}"))
    return _line(case, f"best peer ({values[0][1]})", 1.0, values[0][0], values[1][0])


def _line(case: str, against: str, least: float, reached: float | None, of_least: float | None) -> dict:
    met = None if reached is None or of_least is None else _verdict(reached >= least, of_least >= least)
    return {"case": case, "against": against, "target": f">= {least:g}", "reached": reached, "of_least": of_least,
            "met": met}


def _verdict(median: bool, least: bool) -> str:
    return "yes" if median and least else "by one of both" if median or least else "no"


def _find(run: dict, kind: str, n: int, batch: int, time_: int, threads: int) -> dict | None:
    for c in run["results"]:
        if (c["case"], c["n"], c["batch"], c["time"], c["threads"]) == (kind, n, batch, time_, threads):
            return c
    return None


def target_table(found: list[dict]) -> str:
    """The table of ratios to reach."""
    rows = [[t["case"], t["against"], t["target"], _number(t["reached"]), _number(t["of_least"]),
             t["met"] or "not run"] for t in found]
    return table(["case", "against", "target", "median of ratios", "by shortest times", "met"], rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def machine(run: dict) -> str:
    """Where the figures come from."""
    facts = run["machine"]
    lines = [f"- processor: {facts['processor']}, {facts['processors']} processors, {facts['system']}",
             f"- load before the run: {facts['load_before']}; after it: {run['load_after']}",
             f"- instruction level: {facts['level']}",
             "- versions: " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items())]
    if run.get("flops"):
        bytes_ = ", ".join(f"{int(k) // 1024} KB {v / 1e9:.0f} GB/s" for k, v in run["bandwidth"].items())
        lines.append(f"- one thread, measured: {run['flops'] / 1e9:.0f} GFLOP/s in registers; read again and again: "
                     f"{bytes_}")
    if run["missing"]:
        lines.append("- not installed, so not compared: " + ", ".join(run["missing"]))
    return "\n".join(lines)


def case(result: dict) -> str:
    """Microseconds a step of every engine; kiyas with its floors and what it reaches of the larger."""
    rows = []
    for e in result["entries"]:
        floors = [e[k] for k in ("floor_us", "arithmetic_us") if k in e]
        ratio = result["ratios"][e["name"]].get("kiyas float32")
        rows.append([e["name"], _number(e["least_us"]), _number(e["median_us"]), _number(ratio),
                     _number(e.get("floor_us")), _number(e.get("arithmetic_us")),
                     f"{100 * max(floors) / e['least_us']:.0f} %" if floors else "",
                     "" if e["error"] is None else f"{e['error']:.1e}"])
    return table(["engine", "shortest", "median", "times kiyas float32", "floor: bytes", "floor: arithmetic",
                  "share reached", "differs by"], rows)


def _heading(c: dict) -> str:
    if c["case"] == "step":
        return f"n = m = {c['n']}, batch {c['batch']}"
    plural = "s" if c["threads"] > 1 else ""
    return f"n = m = {c['n']}, batch {c['batch']}, T = {c['time']}, {c['threads']} thread{plural}"


def whole(run: dict) -> str:
    """All of it, for the page."""
    parts = ["## Targets\n", target_table(run["targets"]), "", "## Machine\n", machine(run), ""]
    if run["quick"]:
        parts.insert(0, "A quick run on tiny models: no evidence of speed.\n")
    if run.get("precision"):
        rows = [[str(p["n"]), name, f"{e['most']:.1e}", f"{e['rms']:.1e}", f"{100 * e['relative']:.3g} %"]
                for p in run["precision"] for name, e in p["errors"].items()]
        parts += ["## What smaller weights cost\n", ("Outputs h beside the same model in float64, weights uniform in "
                  "±1/√n, inputs standard normal, 16 rows of 100 steps.\n"),
                  table(["n = m", "weights", "largest", "root mean square", "relative"], rows), ""]
    if run.get("generation"):
        g = run["generation"]
        rows = [[name, _number(t["least"]), _number(t["median"])] for name, t in g["ms"].items()]
        what = (f"Two layers of {g['units']}, vocabulary {g['vocabulary']}, {g['tokens']} words; the window holds the "
                f"whole text, {g['window']} words.\n")
        parts += ["## Generation\n", what, table(["way", "shortest, ms", "median, ms"], rows), ""]
    for kind, title in (("step", "A single step from Python, microseconds"),
                        ("sequence", "Whole sequences, microseconds a step")):
        some = [c for c in run["results"] if c["case"] == kind]
        if some:
            parts.append(f"## {title}\n")
        for c in some:
            parts += [f"### {_heading(c)}\n", case(c), ""]
    return "\n".join(parts)


def write_page(page: Path, run: dict) -> None:
    """Put the tables between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page}: needs the markers {BEGIN} and {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{whole(run)}\n{END}{after}", encoding="utf-8")
