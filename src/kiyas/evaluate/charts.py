"""Charts by Altair, drawn to SVG text that can stand in a page: no script, no font, nothing to load.

Colours are names of the page's own (``var(--ink)``), so that a chart follows the reader's light or dark page.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from kiyas.errors import missing_extra

# Altair wants colours; each stands for a variable of the page's style, and is put in its place afterwards.
_INK, _SOFT, _LINE, _UP, _DOWN, _BASE, _NEW = ("#010101", "#020202", "#030303", "#040404", "#050505", "#060606",
                                               "#070707")
_VARIABLES = {_INK: "--ink", _SOFT: "--soft", _LINE: "--line", _UP: "--up", _DOWN: "--down", _BASE: "--base",
              _NEW: "--new"}
COLOURS = {"better": _UP, "worse": _DOWN, "no difference shown": _SOFT, "baseline": _INK, "same": _BASE}
_MOST_POINTS = 1500
_FONT = "system-ui, -apple-system, Segoe UI, sans-serif"


def require_charts() -> None:
    """Raise `MissingExtraError` with the install line unless charts can be drawn."""
    _modules()


def _modules() -> tuple[Any, Any]:
    try:
        return importlib.import_module("altair"), importlib.import_module("vl_convert")
    except ImportError as error:
        raise missing_extra(error.name or "altair", "report", "a report with pictures") from None


def svg(chart: Any, label: str) -> str:
    """A chart as SVG text, described by ``label`` for those who cannot see it."""
    _, convert = _modules()
    text = convert.vegalite_to_svg(chart.properties(background="transparent").to_json(indent=None))
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, f"var({name})")
    # Ids are the document's, so those of two charts on one page must differ; a page needs no namespaces.
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>c{own}-", text)
    text = re.sub(r'<\?xml[^>]*>|<!DOCTYPE[^>]*>| xmlns(:\w+)?="[^"]*"', "", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


def _styled(chart: Any, width: int, height: int | Any) -> Any:
    return (chart.properties(width=width, height=height)
            .configure(font=_FONT).configure_view(stroke=None)
            .configure_axis(labelColor=_INK, titleColor=_SOFT, gridColor=_LINE, domainColor=_LINE, tickColor=_LINE,
                            labelFontSize=12, titleFontSize=12, titleFontWeight="normal", labelLimit=300)
            .configure_legend(labelColor=_INK, titleColor=_SOFT, labelFontSize=12, titleFontWeight="normal"))


def _room(names: Sequence[str]) -> float:
    """Pixels for names beside an axis: the reader's font may be wider than the one that a chart was laid out with."""
    return 7.2 * max(map(len, names), default=0)


def whiskers(rows: Sequence[Mapping[str, Any]], title: str, label: str) -> str:
    """A line a row: ``name``, ``mean`` with ``low`` and ``high``, and its ``kind`` (a key of `COLOURS`)."""
    alt, _ = _modules()
    data = alt.Data(values=[dict(row) for row in rows])
    order = [row["name"] for row in rows]
    colour = alt.Color("kind:N", scale=alt.Scale(domain=[*COLOURS], range=[*COLOURS.values()]), legend=None)
    y = alt.Y("name:N", sort=order, title=None,
              axis=alt.Axis(grid=False, ticks=False, domain=False, minExtent=_room(order)))
    base = alt.Chart(data)
    zero = alt.Chart(alt.Data(values=[{"x": 0}])).mark_rule(color=_BASE, strokeDash=[3, 3]).encode(x="x:Q")
    chart = zero + base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, axis=alt.Axis(tickCount=6)), x2="high:Q", y=y, color=colour) + base.mark_point(
        filled=True, size=60, opacity=1).encode(x="mean:Q", y=y, color=colour)
    return svg(_styled(chart, 520, 22 * len(rows)), label)


def grid(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]], label: str) -> str:
    """A dot plot a column: how every row's value lies between the others'."""
    alt, _ = _modules()
    values = [{"name": name, "metric": metric, "value": value} for name, row in rows
              for metric, value in zip(columns, row, strict=True)]
    order = [name for name, _ in rows]
    chart = alt.Chart(alt.Data(values=values)).mark_point(filled=True, size=42, opacity=1, color=_UP).encode(
        x=alt.X("value:Q", title=None, scale=alt.Scale(zero=False, nice=True),
                axis=alt.Axis(tickCount=3, labelOverlap="greedy", labelSeparation=6, labelFlush=False)),
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(
            ticks=False, domain=False, gridDash=[2, 3], grid=True, minExtent=_room(order))),
    ).properties(width=100, height=20 * len(order)).facet(
        column=alt.Column("metric:N", sort=list(columns), title=None,
                          header=alt.Header(labelColor=_INK, labelFontSize=12))).resolve_scale(x="independent")
    return svg(chart.configure(font=_FONT).configure_view(stroke=None).configure_axis(
        labelColor=_INK, gridColor=_LINE, domainColor=_LINE, tickColor=_LINE, labelFontSize=11, labelLimit=260), label)


def bars(values: np.ndarray, x_title: str, y_title: str, label: str) -> str:
    """A bar for each value, in the order given, above and below zero."""
    alt, _ = _modules()
    data = alt.Data(values=[{"x": i + 1, "y": float(v), "kind": "better" if v > 0 else "worse"}
                            for i, v in enumerate(values)])
    chart = alt.Chart(data).mark_bar(size=max(1.0, min(14.0, 480 / max(1, len(values))))).encode(
        x=alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickMinStep=1)),
        y=alt.Y("y:Q", title=y_title),
        color=alt.Color("kind:N", scale=alt.Scale(domain=[*COLOURS], range=[*COLOURS.values()]), legend=None))
    return svg(_styled(chart, 520, 160), label)


def named_bars(values: Mapping[str, float], x_title: str, label: str) -> str:
    """A bar for each name, from 0 to 1."""
    alt, _ = _modules()
    data = alt.Data(values=[{"name": name, "x": float(v)} for name, v in values.items()])
    chart = alt.Chart(data).mark_bar(size=11, color=_UP).encode(
        x=alt.X("x:Q", title=x_title, scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("name:N", sort=list(values), title=None,
                axis=alt.Axis(grid=False, ticks=False, domain=False, minExtent=_room([*values]))))
    return svg(_styled(chart, 420, 19 * len(values)), label)


def histogram(series: Mapping[str, np.ndarray], x_title: str, label: str, bins: int = 40) -> str:
    """How values are spread, an outline for each of one or two series, as shares of the series."""
    alt, _ = _modules()
    finite = np.concatenate([v[np.isfinite(v)] for v in series.values()])
    edges = np.histogram_bin_edges(finite, bins=bins)
    rows = []
    for name, values in series.items():
        counts = np.histogram(values, bins=edges)[0] / max(1, values.size)
        rows += [{"name": name, "low": float(a), "high": float(b), "share": float(c)}
                 for a, b, c in zip(edges[:-1], edges[1:], counts, strict=True)]
    chart = alt.Chart(alt.Data(values=rows)).mark_bar(opacity=0.55).encode(
        x=alt.X("low:Q", title=x_title, bin="binned", axis=alt.Axis(grid=False)), x2="high:Q",
        y=alt.Y("share:Q", title="share", stack=None, axis=alt.Axis(format="%", tickCount=4)),
        color=_by_name(alt, list(series)))
    return svg(_styled(chart, 420, 170), label)


def lines(series: Mapping[str, tuple[np.ndarray, np.ndarray]], x_title: str, y_title: str, label: str, *,
          log_x: bool = False, log_y: bool = False, points: bool = False) -> str:
    """A line, or points, for each of one or two series of (x, y)."""
    alt, _ = _modules()
    rows = []
    for name, (xs, ys) in series.items():
        # More points than pixels only make the page heavy.
        kept = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), _MOST_POINTS)).astype(int))
        rows += [{"name": name, "x": float(f"{xs[i]:.5g}"), "y": float(f"{ys[i]:.5g}")} for i in kept]
    base = alt.Chart(alt.Data(values=rows))
    mark = base.mark_circle(size=14, opacity=0.45) if points else base.mark_line(strokeWidth=2)
    chart = mark.encode(
        x=alt.X("x:Q", title=x_title, scale=alt.Scale(type="log" if log_x else "linear", zero=False)),
        y=alt.Y("y:Q", title=y_title, scale=alt.Scale(type="log" if log_y else "linear", zero=False),
                axis=alt.Axis(tickCount=5)),
        color=_by_name(alt, list(series)))
    return svg(_styled(chart, 420, 190), label)


def _by_name(alt: Any, names: Sequence[str]) -> Any:
    return alt.Color("name:N", scale=alt.Scale(domain=list(names), range=[_UP, _DOWN, _NEW, _BASE][:len(names)]),
                     legend=alt.Legend(title=None, orient="top") if len(names) > 1 else None)
