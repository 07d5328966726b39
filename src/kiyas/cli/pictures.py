"""Small pictures as SVG text: how ranks change, what dimensions gave, how wide an interval is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

import numpy as np

from kiyas.metrics import Interval

STYLE = """
svg{display:block;max-width:none}
svg text{font:12px ui-monospace,"SF Mono",Consolas,monospace;fill:var(--ink)}
svg .head{font-weight:600}
svg .place{fill:var(--soft)}
.doc .pill{fill:var(--card);stroke:var(--line);stroke-width:1.2}
.doc path{fill:none;stroke:var(--line);stroke-width:2.2}
.doc .up{stroke:var(--up)}.doc .down{stroke:var(--down)}
.doc path.up{opacity:.65}.doc path.down{opacity:.65}
.doc .fresh{stroke:var(--new);stroke-dasharray:4 3}
.doc path.skip{opacity:0;stroke-dasharray:2 5}.doc:hover path{opacity:1}
.ranks:hover .doc{opacity:.2}
.ranks .doc:hover{opacity:1}
.doc:hover .pill{stroke-width:2.2}
.strip .more{fill:var(--up)}.strip .less{fill:var(--down)}
.strip line{stroke:var(--line)}
.whisker .zero{stroke:var(--base);stroke-dasharray:2 3}
.whisker .better{stroke:var(--up);fill:var(--up)}.whisker .worse{stroke:var(--down);fill:var(--down)}
.whisker .none{stroke:var(--soft);fill:var(--soft)}
"""

_PILL, _GAP, _ROW, _TOP, _LEFT = 212, 46, 34, 30, 26
_CHARACTERS = 25


def ranks(answers: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """A bump chart: a column for each measure, best at the top, and a line for each id across them."""
    measures = list(answers)
    places: dict[str, dict[int, int]] = {}
    for column, measure in enumerate(measures):
        for rank, (name, _) in enumerate(answers[measure]):
            places.setdefault(name, {})[column] = rank
    depth = max(len(hits) for hits in answers.values())
    width = _LEFT + len(measures) * _PILL + (len(measures) - 1) * _GAP + 2
    parts = [(f'<svg class="ranks" width="{width}" height="{_TOP + depth * _ROW}" role="img" '
              'aria-label="ranks under each measure">')]
    parts += [f'<text class="head" x="{_x(c) + 2}" y="16">{escape(m)}</text>' for c, m in enumerate(measures)]
    parts += [f'<text class="place" x="0" y="{_y(r) + 4}">{r + 1}</text>' for r in range(depth)]
    parts += [_document(name, where, answers, measures) for name, where in places.items()]
    return "".join(parts) + "</svg>"


def _x(column: int) -> int:
    return _LEFT + column * (_PILL + _GAP)


def _y(rank: int) -> int:
    return _TOP + rank * _ROW + _ROW // 2 - 2


def _document(name: str, where: Mapping[int, int], answers: Mapping[str, Sequence[tuple[str, float]]],
              measures: Sequence[str]) -> str:
    scores = ", ".join(f"{measures[c]}: {rank + 1} ({answers[measures[c]][rank][1]:.4g})" for c, rank in where.items())
    parts = [f'<g class="doc"><title>{escape(name)}\n{escape(scores)}</title>']
    columns = sorted(where)
    for a, b in pairwise(columns):
        kind = "up" if where[b] < where[a] else "down" if where[b] > where[a] else ""
        x0, x1, y0, y1 = _x(a) + _PILL, _x(b), _y(where[a]), _y(where[b])
        middle = (x0 + x1) / 2
        skip = " skip" if b > a + 1 else ""
        parts.append(f'<path class="{kind}{skip}" d="M{x0},{y0} C{middle},{y0} {middle},{y1} {x1},{y1}"/>')
    for column, rank in where.items():
        kind = _moved(where, column)
        parts.append(f'<rect class="pill {kind}" x="{_x(column)}" y="{_y(rank) - 12}" width="{_PILL}" height="24" '
                     f'rx="12"/><text x="{_x(column) + 12}" y="{_y(rank) + 4}">{escape(shorter(name))}</text>')
    return "".join(parts) + "</g>"


def _moved(where: Mapping[int, int], column: int) -> str:
    if 0 not in where:
        return "fresh"
    return "up" if where[column] < where[0] else "down" if where[column] > where[0] else ""


def shorter(name: str, characters: int = _CHARACTERS) -> str:
    """A qualified name shortened from the left, where it says least.

    >>> shorter("asyncio.streams.StreamReader.readline", 24)
    '…StreamReader.readline'
    """
    if len(name) <= characters:
        return name
    cut = name[-(characters - 1):]
    dot = cut.find(".")
    return "…" + (cut[dot + 1:] if 0 <= dot < characters // 3 else cut)


def dimensions(contributions: Mapping[str, np.ndarray], width: int = 1056, height: int = 64) -> str:
    """A strip for each measure: every dimension's contribution against the mean one."""
    left = 190
    total = len(contributions) * (height + 14)
    parts = [f'<svg class="strip" width="{width}" height="{total}" role="img" aria-label="contributions">']
    for row, (measure, values) in enumerate(contributions.items()):
        middle = row * (height + 14) + height / 2 + 4
        off = values - values.mean()
        most = float(np.abs(off).max()) or 1.0
        step = (width - left) / off.size
        parts.append(f'<text x="0" y="{middle + 4:.0f}">{escape(measure)}</text>'
                     f'<line x1="{left}" x2="{width}" y1="{middle}" y2="{middle}"/>')
        for i, value in enumerate(off.tolist()):
            tall = abs(value) / most * height / 2
            kind, top = ("more", middle - tall) if value >= 0 else ("less", middle)
            parts.append(f'<rect class="{kind}" x="{left + i * step:.1f}" y="{top:.1f}" width="{step * .8:.1f}" '
                         f'height="{tall:.1f}"><title>dimension {i}: {values[i]:.4g}</title></rect>')
    return "".join(parts) + "</svg>"


def whisker(interval: Interval | None, reach: float, kind: str, width: int = 216) -> str:
    """An interval on a line from −reach to +reach, with 0 marked."""
    middle, scale = width / 2, (width / 2 - 6) / (reach or 1.0)
    parts = [(f'<svg class="whisker" width="{width}" height="18" role="img">'
              f'<line class="zero" x1="{middle}" x2="{middle}" y1="0" y2="18"/>')]
    if interval is not None:
        a, b, m = (middle + scale * v for v in (interval.low, interval.high, interval.mean))
        parts.append(f"<title>{interval.mean:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})</title>"
                     f'<line class="{kind}" x1="{a:.1f}" x2="{b:.1f}" y1="9" y2="9" stroke-width="2"/>'
                     f'<circle class="{kind}" cx="{m:.1f}" cy="9" r="3.6" stroke="none"/>')
    return "".join(parts) + "</svg>"
