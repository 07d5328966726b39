"""What a run found, as text for a terminal and as the tables of docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, padded so that it reads well as it is."""
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(header), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, rows)])


def targets(found: list[dict]) -> str:
    """The table of ratios to reach."""
    verdict = {True: "yes", False: "no", None: "not run"}
    rows = [[t["case"], t["against"], f"{t['sense']} {t['target']:g}", _two(t["reached"]), _two(t["of_least"]),
             verdict[t["met"]], t["detail"]] for t in found]
    return table(["case", "against", "target", "reached", "by shortest times", "met", "detail"], rows)


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def machine(run: dict) -> str:
    """Where the figures come from."""
    facts, limits = run["machine"], run["limits"]
    lines = [f"- processor: {facts['processor']}, {facts['processors']} processors, {facts['system']}",
             f"- load before the run: {facts['load_before']}",
             f"- instruction level: {facts['level']}" + ("" if facts["vnni"] else " (no VNNI here)"),
             "- versions: " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
             "- BLAS: " + "; ".join(facts["blas"])]
    for threads, limit in limits.items():
        work = "" if limit["dots"] is None else \
            f", {limit['dots'] / 1e9:.0f} G byte products/s, {limit['differences'] / 1e9:.0f} G byte differences/s"
        plural = "s" if int(threads) > 1 else ""
        lines.append(f"- {threads} thread{plural}, measured: {limit['bandwidth'] / 1e9:.1f} GB/s read{work}")
    if run["missing"]:
        lines.append("- not installed, so not compared: " + ", ".join(run["missing"]))
    return "\n".join(lines)


def case(result: dict) -> str:
    """One case: the best peer first, then the others, then kiyas with its floor."""
    theirs = sorted((e for e in result["entries"] if e["library"] != "kiyas"), key=lambda e: e["median_ms"])
    mine = [e for e in result["entries"] if e["library"] == "kiyas"]
    mark = mine[0]["name"] if mine else ""
    rows = []
    for e in [*theirs, *mine]:
        ratio = result["ratios"].get(e["name"], {}).get(mark)
        floor = f"{e['floor_ms']:.2f} ({e['floor_by']}), {100 * e['share']:.0f} %" if "floor_ms" in e else ""
        per = result["batch"]
        setting = e["setting"].removeprefix("as it comes").removeprefix(", ")
        rows.append([e["name"], f"{e['least_ms']:.2f}", f"{e['median_ms']:.2f}", f"{e['median_ms'] / per:.3f}",
                     "1" if e["name"] == mark else f"{ratio:.2f}" if ratio else "", floor,
                     f"{e['rescored']:g}" if "rescored" in e else setting, e["checked"]])
    plural = "s" if result["threads"] > 1 else ""
    title = f"### {result['case']}, {result['collection']}, batch {result['batch']}, {result['threads']} thread{plural}"
    plain = [f"{e['name']}: {e['path']}" for e in mine if e["path"].startswith("plain")]
    note = "\n\n" + "\n".join(f"- {line}" for line in plain) if plain else ""
    return title + "\n\n" + table(["engine", "least ms", "median ms", "ms a query", f"÷ {mark}",
                                   "floor ms, share reached", "setting / re-scored", "checked"], rows) + note


def memory(found: list[dict]) -> str:
    """Peak and lasting memory beside the vectors."""
    rows = []
    for m in found:
        if "error" in m:
            rows.append([m["name"], "–", "–", "–", m["error"][:60]])
            continue
        codes = f"{m['code_mb']:.0f} MiB, {m['bytes_a_dimension']:.3f} bytes a dimension" if "code_mb" in m else ""
        rows.append([m["name"], f"{m['vectors_mb']:.0f}", f"{m['peak_mb']:.0f}", f"{m['held_mb']:.0f}", codes])
    return table(["engine", "vectors MiB", "peak beside them MiB", "held after it MiB", "codes"], rows)


def settings(results: list[dict]) -> str:
    """Peers that have settings: what each setting took at the warm-up (shortest of up to three calls)."""
    rows = []
    for r in results:
        for e in r["entries"]:
            if len(e["tried_ms"]) > 1 and r["kind"] == "mixture":
                tried = ", ".join(f"{name} {ms:.1f}" for name, ms in e["tried_ms"].items())
                rows.append([e["name"], r["collection"], str(r["batch"]), str(r["threads"]), tried])
    return table(["engine", "rows", "batch", "threads", "ms with each setting"], rows)


def markdown(run: dict) -> str:
    """Everything measured, for the page between its markers."""
    quoted = run["quoted"]
    parts = [f"Measured on {run['date']}{' (a quick run on tiny data: no evidence)' if run['quick'] else ''}.",
             machine(run), f"## Targets: {quoted['collection']}, {quoted['threads']} threads", targets(run["targets"])]
    if run["hostile_targets"]:
        parts += ["## The same on the hostile rows", targets(run["hostile_targets"])]
    if run["memory"]:
        parts += [f"## Memory: {quoted['collection']}, batch 256", memory(run["memory"])]
    parts += ["## Every case", *(case(r) for r in run["results"]), "## Settings of peers", settings(run["results"])]
    return "\n\n".join(parts)


def write_page(page: Path, run: dict) -> None:
    """Replace what stands between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page}: needs the markers {BEGIN} and {END}")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n\n{markdown(run)}\n\n{END}{tail}", encoding="utf-8")
