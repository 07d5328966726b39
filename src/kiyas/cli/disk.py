"""A hierarchy drawn in the Poincaré disk: one HTML file with an SVG in it, which loads nothing."""

from __future__ import annotations

from html import escape
from string import Template
from typing import Any

import numpy as np

from kiyas import __version__
from kiyas.errors import InputError, missing_extra
from kiyas.fit import Hierarchy, Reconstruction

# Terms beyond which a picture is a smear and its file tens of megabytes.
_MOST_TERMS = 5000
_NAMED = 28
# Room of a written name, and the width of one of its characters, in units of the disk's radius.
_TALL, _CHARACTER = 0.04, 0.017
_STEPS = 16

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>$terms terms in the Poincaré disk</title>
<style>
body{margin:0 auto;max-width:900px;padding:32px 20px;background:#fcfbf8;color:#1f1e1b;
 font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:24px;margin:0 0 6px}p{margin:6px 0;color:#55524b}svg{max-width:100%;height:auto}
</style>
</head>
<body>
<h1>$terms terms in the Poincaré disk</h1>
<p>Each line leads from a term to one directly above it, the shortest way in hyperbolic space. General terms lie near
the centre, special ones near the rim, where there is most room. Mean rank $rank, MAP $map over $pairs pairs.</p>
$picture
<p>kiyas $version</p>
</body></html>
""")


def require_altair() -> Any:
    """Altair, or the error with its install line."""
    try:
        import altair as alt
        import vl_convert  # noqa: F401  what turns its charts into SVG
    except ImportError:
        raise missing_extra("altair", "report", "the picture of the disk") from None
    return alt


def require_drawable(hierarchy: Hierarchy) -> None:
    """`InputError` for more terms than a picture can show."""
    if len(hierarchy) > _MOST_TERMS:
        raise InputError(f"a picture of {len(hierarchy):,} terms shows nothing; it is drawn for up to {_MOST_TERMS:,}")


def page(hierarchy: Hierarchy, X: np.ndarray, found: Reconstruction) -> str:
    """The page as text, from points ``X`` (n, 2) in the disk."""
    require_drawable(hierarchy)
    svg = chart(hierarchy, X)
    return _PAGE.substitute(terms=f"{len(hierarchy):,}", pairs=f"{len(hierarchy.pairs):,}",
                            rank=f"{found.mean_rank:.2f}", map=f"{found.map:.3f}", picture=svg,
                            version=escape(__version__))


def chart(hierarchy: Hierarchy, X: np.ndarray) -> str:
    """The disk as SVG."""
    alt = require_altair()
    below = np.bincount(hierarchy.pairs[:, 1], minlength=len(hierarchy))
    depth = np.bincount(hierarchy.pairs[:, 0], minlength=len(hierarchy))
    x, y = (axis(name, scale=alt.Scale(domain=[-1.03, most], nice=False), axis=None)
            for axis, name, most in ((alt.X, "x:Q", 1.33), (alt.Y, "y:Q", 1.03)))  # names need room on the right
    legend = alt.Legend(orient="bottom")
    angle = np.linspace(0, 2 * np.pi, 181)
    rim = alt.Chart(alt.Data(values=_records(x=np.cos(angle), y=np.sin(angle), order=np.arange(181.0))))
    lines = alt.Chart(alt.Data(values=_lines(hierarchy, X)))
    points = alt.Chart(alt.Data(values=_records(x=X[:, 0], y=X[:, 1], above=depth, below=below)))
    chosen = _named(hierarchy.names, below, X)
    labels = alt.Chart(alt.Data(values=[{"x": float(X[i, 0]), "y": float(X[i, 1]), "name": hierarchy.names[i]}
                                        for i in chosen]))
    layers = alt.layer(
        rim.mark_line(color="#8b867b", strokeWidth=1).encode(x=x, y=y, order="order:Q"),
        lines.mark_line(color="#8b867b", strokeWidth=0.5, opacity=0.35).encode(x=x, y=y, detail="line:N",
                                                                             order="order:Q"),
        points.mark_circle(opacity=0.9).encode(
            x=x, y=y, color=alt.Color("above:Q", scale=alt.Scale(scheme="viridis"), title="terms above",
                                 legend=legend),
            size=alt.Size("below:Q", scale=alt.Scale(type="sqrt", range=[8, 260]), title="terms below",
                          legend=legend)),
        labels.mark_text(align="left", dx=6, dy=-6, fontSize=11, stroke="#fcfbf8", strokeWidth=3).encode(
            x=x, y=y, text="name:N"),
        labels.mark_text(align="left", dx=6, dy=-6, fontSize=11, color="#1f1e1b").encode(x=x, y=y, text="name:N"),
    ).properties(width=860, height=750, background="#fcfbf8").configure_view(stroke=None)
    import vl_convert

    return str(vl_convert.vegalite_to_svg(layers.to_json()))


def _records(**columns: np.ndarray) -> list[dict[str, float]]:
    names = list(columns)
    return [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def _named(names: list[str], below: np.ndarray, X: np.ndarray) -> list[int]:
    """Terms to write out: those with most below them, no name on top of another."""
    chosen: list[int] = []
    for i in np.argsort(-below, kind="stable").tolist():
        free = all(abs(X[i, 1] - X[j, 1]) > _TALL or X[i, 0] - X[j, 0] > _CHARACTER * len(names[j])
                   or X[j, 0] - X[i, 0] > _CHARACTER * len(names[i]) for j in chosen)
        if free and len(chosen) < _NAMED:
            chosen.append(i)
    return chosen


def direct_pairs(hierarchy: Hierarchy) -> list[tuple[int, int]]:
    """The pairs with no term between them."""
    above: dict[int, set[int]] = {}
    for a, b in hierarchy.pairs.tolist():
        above.setdefault(a, set()).add(b)
    direct: list[tuple[int, int]] = []
    for term, those in above.items():
        over = set().union(*(above.get(b, set()) for b in those))
        direct.extend((term, b) for b in sorted(those - over))
    return direct


def geodesic(a: complex, b: complex, steps: int = _STEPS) -> np.ndarray:
    """Points on the shortest way from a to b in the disk, evenly apart to the eye: complex (steps + 1,).

    >>> geodesic(0j, 0.6 + 0j, 2).round(6).tolist()
    [0j, (0.3+0j), (0.6+0j)]
    """
    # With a moved to the centre the way is a straight line; then it is moved back.
    end = (b - a) / (1 - np.conj(a) * b)
    size = abs(end)
    if size == 0:
        return np.full(steps + 1, a)
    line = np.tanh(np.linspace(0, 1, 32 * steps + 1) * np.arctanh(size)) * end / size
    way = (line + a) / (1 + np.conj(a) * line)
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(way)))])
    even = np.linspace(0, length[-1], steps + 1)
    return np.asarray(np.interp(even, length, way.real) + 1j * np.interp(even, length, way.imag))


def _lines(hierarchy: Hierarchy, X: np.ndarray) -> list[dict[str, float]]:
    Z = X[:, 0] + 1j * X[:, 1]
    lines = []
    for number, (a, b) in enumerate(direct_pairs(hierarchy)):
        way = geodesic(complex(Z[a]), complex(Z[b]))
        lines += [{"x": float(z.real), "y": float(z.imag), "line": number, "order": k} for k, z in enumerate(way)]
    return lines
