"""The demo's page: one HTML file with its own pictures, which loads nothing."""

from __future__ import annotations

import platform
from html import escape
from string import Template
from typing import TYPE_CHECKING

from kiyas import __version__
from kiyas.cli import known, pictures
from kiyas.cli.pictures import STYLE as PICTURES
from kiyas.evaluate.page import STYLE

if TYPE_CHECKING:
    from kiyas.cli.demonstration import Report
    from kiyas.evaluate import Evaluation

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>kiyas: one library, many measures</title>
<style>$style</style>
</head>
<body><main>
<h1>What changes when the measure changes</h1>
<p class="soft">$docstrings docstrings of Python $python’s standard library ($files files; $repeated repeated and $near
nearly repeated ones left out), encoded by $encoder to $dims dimensions. Every answer is exact.</p>
<p class="lead">$conclusion</p>
<p class="soft">$caveat</p>

<h2>The same question under four measures</h2>
<p class="soft">Each column is a ranking; lines lead from one to the next. A frame is <span class="better">teal</span>
where the docstring ranks higher than under cosine, <span class="worse">orange</span> where lower, dashed where it is
not among cosine’s first $shown. Point at a docstring to follow it alone.</p>
$questions

<h2>Why it was found</h2>
<p>“$asked” found <code>$name</code>. Each bar is one of the $dims dimensions, in their own order: above the line it
gave more to the score than the mean dimension, below it less.</p>
<blockquote>$text</blockquote>
<div class="scroll">$explained</div>

<h2>Does another measure find more?</h2>
<p>Known-item search: the first sentence of $queries docstrings has to find the rest of its own text among $docstrings.
Sentences that begin several docstrings ($ambiguous) are not asked. Parameters are defaults or come from the documents
alone, so nothing was chosen by its result.</p>
<div class="scroll">$results</div>
<p class="soft">Means with 95 % bootstrap intervals over queries. On the right: the difference of MRR@10 to cosine over
the same queries, with its interval; coloured where a sign-flip test shows a difference after Holm’s correction over
$family. Measures that rank alike are not compared. Not in the table: $left_out.</p>

<h2>The choice for this collection</h2>
$decision

<footer>kiyas $version · written by <code>kiyas demo</code> in $seconds s · this page loads nothing</footer>
</main></body></html>
""")


def page(report: Report) -> str:
    """The page as text."""
    library, first = report.library, report.questions[0]
    return _PAGE.substitute(
        style=STYLE + PICTURES, docstrings=f"{len(report.docstrings):,}", python=escape(platform.python_version()),
        files=f"{library.files:,}", repeated=f"{library.repeated:,}", near=f"{library.near:,}",
        encoder=escape(report.encoder.name), dims=report.dims, conclusion=escape(report.conclusion),
        caveat=escape(known.CAVEAT), shown=len(next(iter(first.answers.values()))),
        questions="\n".join(f'<h3>“{escape(q.text)}”</h3>\n<div class="scroll">{pictures.ranks(q.answers)}</div>'
                            for q in report.questions),
        asked=escape(first.text), name=escape(report.explained_name),
        text=escape(report.text_of(report.explained_name)),
        explained=pictures.dimensions({m: e.contributions for m, e in report.explained.items()}),
        queries=f"{report.queries:,}", ambiguous=f"{report.ambiguous:,}", results=_table(report.evaluation),
        decision=_decision(report),
        left_out=escape(", ".join(f"{name} ({why})" for name, why in report.evaluation.left_out.items())),
        family=report.evaluation.family,
        version=escape(__version__), seconds=f"{sum(report.seconds.values()):.0f}")


def _decision(report: Report) -> str:
    if report.decision is None:
        return "<p>Too few questions to choose by.</p>"
    d = report.decision
    folds = sum(d.picks.values())
    rows = "".join(f'<tr><td><code>{escape(name)}</code></td><td class="n">{mean:.4f}</td>'
                   f'<td class="n">{d.picks.get(name, 0)} of {folds}</td></tr>'
                   for name, mean in sorted(d.means.items(), key=lambda one: -one[1]))
    return (f'<p class="lead">{escape(d.conclusion())}</p><p>{escape(d.costs())}</p>'
            f"<p>As <code>kiyas choose</code> decides: {d.queries:,} of the questions in {d.facts['folds']} folds. "
            "Each fold’s measure was chosen, and a map fitted, on the other folds; the sentence above is what that "
            "reached on questions held out. The means below are what the choice saw, not what it is worth. "
            f"{escape(d.task())} So the means are not those of the table above, and measures may rank otherwise.</p>"
            f'<div class="scroll"><table><thead><tr><th>measure</th><th class="n">{escape(d.metric)}</th>'
            f'<th class="n">taken</th></tr></thead><tbody>{rows}</tbody></table></div>')


def _table(evaluation: Evaluation) -> str:
    ordered = sorted(evaluation.results, key=lambda r: -r.means[evaluation.main].mean)
    gaps = [r.comparison.difference for r in ordered if r.comparison is not None]
    reach = max((max(abs(gap.low), abs(gap.high)) for gap in gaps), default=1.0)
    head = "".join(f'<th class="n">{name}</th>' for name in known.METRICS)
    rows = []
    for r in ordered:
        cells = "".join(f'<td class="n">{mean:.3f} <small>{low:.3f}–{high:.3f}</small></td>'
                        for mean, low, high in (r.means[m] for m in known.METRICS.values()))
        note = f'<small class="note">{escape(r.note)}</small>' if r.note else ""
        kind = {"better": "better", "worse": "worse"}.get(r.verdict, "none")
        gap = None if r.comparison is None else r.comparison.difference
        rows.append(f"<tr><td><code>{escape(r.name)}</code>{note}</td>{cells}<td>"
                    f'{pictures.whisker(gap, reach, kind)}</td><td class="{kind}">{r.verdict}</td></tr>')
    return (f'<table><thead><tr><th>measure</th>{head}<th>MRR@10 − cosine’s<br>−{reach:.2f} to +{reach:.2f}</th><th>'
            f"</th></tr></thead><tbody>{''.join(rows)}</tbody></table>")
