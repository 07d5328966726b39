"""A chart of the quoted case: time a query of every engine, by batch."""

from __future__ import annotations

from pathlib import Path


def write(run: dict, target: Path) -> str:
    """Write an SVG or PNG; returns what to tell the person."""
    try:
        import altair as alt
    except ImportError:
        return "no chart: altair is not installed"
    quoted = run["quoted"]
    values = []
    for r in run["results"]:
        if r["case"] not in ("inner", "manhattan") or r["collection"] != quoted["collection"] \
                or r["threads"] != quoted["threads"]:
            continue
        family = "inner product" if r["case"] == "inner" else "manhattan"
        for e in r["entries"]:
            ms = e["median_ms"] / r["batch"]
            whose = "kiyas" if e["library"] == "kiyas" else "peer"
            values += [{"engine": e["name"], "batch": f"batch {r['batch']}", "family": family, "whose": whose,
                        "ms": ms, "label": f"{ms:.2g}"}]
    if not values:
        return "no chart: the quoted cases were not run"
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("engine:N", sort=alt.EncodingSortField("ms"), title=None),
        x=alt.X("ms:Q", scale=alt.Scale(type="log"), title="milliseconds a query (log scale)"))
    bars = base.mark_point(filled=True, size=70).encode(color=alt.Color("whose:N", title=None, scale=alt.Scale(
        domain=["kiyas", "peer"], range=["#c0392b", "#7f8c8d"])))
    text = base.mark_text(align="left", dx=8).encode(text="label:N")
    chart = (bars + text).properties(width=240).facet(
        row=alt.Row("family:N", title=None), column=alt.Column("batch:N", title=None, sort=["batch 1", "batch 16",
                                                                                           "batch 256"]))
    chart = chart.resolve_scale(y="independent").properties(
        title=f"{quoted['collection']}, k = 10, {quoted['threads']} threads, level {run['machine']['level']}")
    target.parent.mkdir(parents=True, exist_ok=True)
    chart.save(str(target))
    return f"chart: {target}"
