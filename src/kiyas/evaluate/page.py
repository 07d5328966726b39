"""A page of results: one HTML file with its own pictures, which loads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from string import Template

from kiyas import __version__
from kiyas.evaluate.tables import Table, cell

STYLE = """
:root{color-scheme:light dark;--paper:#fcfbf8;--card:#fff;--ink:#1f1e1b;--soft:#6c6962;--line:#e3dfd6;
 --up:#0b7a6f;--down:#c2512f;--new:#8a6d1f;--base:#8b867b}
@media (prefers-color-scheme:dark){:root{--paper:#15161a;--card:#1c1e23;--ink:#e9e6df;--soft:#a09c93;--line:#33353c;
 --up:#4cc3b4;--down:#f08b68;--new:#d9b95c;--base:#8d897f}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1140px;margin:0 auto;padding:48px 24px 80px}
h1{font-size:30px;line-height:1.2;margin:0 0 8px;letter-spacing:-.01em}
h2{font-size:20px;margin:56px 0 4px}
h3{font-size:16px;margin:28px 0 8px;font-weight:600}
p{max-width:72ch;margin:6px 0}
.soft{color:var(--soft)}
.lead{font-size:18px;margin:16px 0;padding-left:14px;border-left:3px solid var(--up)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{font-weight:500;color:var(--soft);text-align:left;padding:4px 14px 8px 0;vertical-align:bottom}
td{padding:5px 14px 5px 0;border-top:1px solid var(--line);white-space:nowrap;vertical-align:middle}
td.n,th.n{text-align:right}
td small{color:var(--soft);font-size:12px}
td .note{display:block;white-space:normal;max-width:26ch;line-height:1.3}
code{font-family:ui-monospace,"SF Mono",Consolas,monospace;font-size:.94em}
.better{color:var(--up)}.worse{color:var(--down)}.none{color:var(--soft)}
blockquote{margin:10px 0;padding:10px 14px;background:var(--card);border:1px solid var(--line);border-radius:10px;
 white-space:pre-wrap;font:13px/1.5 ui-monospace,"SF Mono",Consolas,monospace;max-height:13em;overflow:auto}
footer{margin-top:64px;color:var(--soft);font-size:13px}
"""

# What the pages of reports have beside what the demo's page has.
_MORE = """
svg{display:block;max-width:none}
details{margin:10px 0}summary{cursor:pointer;color:var(--soft)}
details pre{overflow:auto;max-height:18em;background:var(--card);border:1px solid var(--line);border-radius:10px;
 padding:12px 14px;font:12px/1.5 ui-monospace,"SF Mono",Consolas,monospace;user-select:all}
td.w{white-space:normal;max-width:44ch}
.flag{display:inline-block;padding:1px 8px;border-radius:9px;border:1px solid var(--line);font-size:13px}
.flag.warn{border-color:var(--down);color:var(--down)}.flag.fine{border-color:var(--up);color:var(--up)}
"""

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body><main>
<h1>$heading</h1>
<p class="soft">$what</p>
$body
<footer>kiyas $version · $command · this page loads nothing</footer>
</main></body></html>
""")


def html_page(title: str, what: str, body: Iterable[str], command: str) -> str:
    """The page: ``what`` was looked at, the parts of its ``body`` (HTML), and the ``command`` that wrote it."""
    return _PAGE.substitute(title=escape(f"kiyas: {title}"), style=STYLE + _MORE, heading=escape(title),
                            what=escape(what), body="\n".join(body), version=escape(__version__),
                            command=f"written by <code>{escape(command)}</code>")


def lead(text: str) -> str:
    """The sentence that matters."""
    return f'<p class="lead">{escape(text)}</p>'


def section(title: str, text: str, *parts: str) -> str:
    """A heading, a paragraph and what stands below it."""
    return f"<h2>{escape(title)}</h2>\n<p>{escape(text)}</p>\n" + "\n".join(parts)


def picture(svg: str) -> str:
    """A chart in its frame."""
    return f'<div class="scroll">{svg}</div>'


def table(held: Table, kinds: Iterable[str] = ()) -> str:
    """A table, and itself as Markdown and CSV to copy; ``kinds``: a class for the last cell of each row."""
    numeric = [any(isinstance(row[i], (int, float)) for row in held.rows) for i in range(len(held.columns))]
    head = "".join(f'<th{" class=n" if n else ""}>{escape(str(c))}</th>'
                   for c, n in zip(held.columns, numeric, strict=True))
    body = []
    classes = list(kinds) or [""] * len(held.rows)
    for row, kind in zip(held.rows, classes, strict=True):
        cells = [f'<td{" class=n" if n else ""}>{escape(cell(v))}</td>' for v, n in zip(row, numeric, strict=True)]
        cells[0] = f"<td><code>{escape(cell(row[0]))}</code></td>"
        if kind:
            cells[-1] = f'<td class="{kind}">{escape(cell(row[-1]))}</td>'
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
            f"<details><summary>as Markdown</summary><pre>{escape(held.markdown())}</pre></details>"
            f"<details><summary>as CSV</summary><pre>{escape(held.csv())}</pre></details>")


def facts(held: dict[str, object]) -> str:
    """What is needed to do it again."""
    listed = " · ".join(f"{escape(name)} {escape(str(value))}" for name, value in held.items())
    return f'<p class="soft">{listed}</p>'
