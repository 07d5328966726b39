"""The reports of an evaluation, as pages with pictures. Needs the extra ``report``."""

from __future__ import annotations

from html import escape

from kiyas.evaluate import charts, page
from kiyas.evaluate.charts import require_charts
from kiyas.evaluate.diagnosis import Diagnosis, Finding
from kiyas.evaluate.evaluation import Evaluation, Result
from kiyas.evaluate.pairs import PairEvaluation

__all__ = ["diagnosis_page", "evaluation_page", "pairs_page", "require_charts"]

_KINDS = {"better": "better", "worse": "worse"}


def evaluation_page(done: Evaluation, what: str, command: str = "kiyas evaluate") -> str:
    """The page of an evaluation: differences with intervals, every metric, the queries that changed, the table."""
    main, base = done.main, done.baseline
    ordered = sorted(done.results, key=lambda r: -r.means[main].mean)
    parts = [page.lead(done.conclusion())]
    parts += [f'<p class="soft">{escape(note)}</p>' for note in done.notes]
    compared = [r for r in ordered if r.comparison is not None]
    if compared:
        rows = [{"name": r.name, "mean": r.comparison.difference.mean, "low": r.comparison.difference.low,
                 "high": r.comparison.difference.high, "kind": r.verdict} for r in compared if r.comparison]
        parts.append(page.section(
            f"Better than {base.name}?", f"The difference of {main} to {base.name} over the same queries, with 95 % "
            f"bootstrap intervals. Coloured where a sign-flip test shows a difference after Holm's correction over "
            f"{done.family}. What ranks as another measure does is not drawn.",
            page.picture(charts.whiskers(rows, f"{main} − {base.name}", f"differences of {main} to {base.name}"))))
    metrics = list(base.means)
    parts.append(page.section(
        "Every metric", "Means over the judged queries. Each column has its own scale.",
        page.picture(charts.grid(metrics, [(r.name, [r.means[m].mean for m in metrics]) for r in ordered],
                                 "every metric of every measure"))))
    if compared:
        parts.append(_queries(done, compared[0]))
    kinds = [_KINDS.get(r.verdict, "none") for r in done.results]
    parts.append(page.section("The numbers", "p: two-sided, by sign flips. Effect: the mean difference over its "
                              "standard deviation. Detectable: the least true difference that so many queries would "
                              "show four times out of five.", page.table(done.table(), kinds)))
    if done.left_out:
        left = "; ".join(f"{name}: {why}" for name, why in done.left_out.items())
        parts.append(f'<p class="soft">Not in the table: {escape(left)}.</p>')
    notes = "; ".join(f"{r.name}: {r.note}" for r in done.results if r.note)
    parts.append(f'<p class="soft">{escape(notes)}</p>')
    parts.append(page.facts(done.facts))
    return page.html_page("Which measure finds more?", what, parts, command)


def _queries(done: Evaluation, best: Result) -> str:
    assert best.comparison is not None
    main = done.main
    gaps = best.values[main] - done.baseline.values[main]
    c = best.comparison
    return page.section(
        f"Query by query: {best.name}", f"{c.better} queries are better than under {done.baseline.name}, {c.worse} "
        f"worse, {c.equal} the same. A mean that rests on a few large bars may not hold on the next queries.",
        page.picture(charts.bars(gaps[gaps.argsort()[::-1]], "queries, in order of the difference",
                                 f"{main} − {done.baseline.name}", f"differences of {main} query by query")))


def pairs_page(done: PairEvaluation, what: str, command: str = "kiyas evaluate --pairs") -> str:
    """The page of an evaluation on pairs."""
    metrics = list(done.results[0].metrics)
    ordered = sorted(done.results, key=lambda r: -r.metrics[metrics[0]])
    parts = [f'<p class="lead">{escape(note)}</p>' for note in done.notes]
    rows = [{"name": r.name, "mean": r.difference.mean, "low": r.difference.low, "high": r.difference.high,
             "kind": r.verdict} for r in ordered if r.difference is not None]
    base = done.results[0].name
    if rows:
        parts.append(page.section(f"Better than {base}?", f"The difference of {metrics[0]} to {base} over the same "
                                  "pairs, with bootstrap intervals as wide as all need to hold together at 95 %.",
                                  page.picture(charts.whiskers(rows, f"{metrics[0]} − {base}", "differences"))))
    kinds = [_KINDS.get(r.verdict, "none") for r in done.results]
    parts.append(page.section("The numbers", "Measures that order the pairs as an earlier one does are not compared.",
                              page.table(done.table(), kinds)))
    return page.html_page("Which measure follows people?", what, parts, command)


_FLAGS = {"care": '<span class="flag warn">take care</span>', "note": '<span class="flag">note</span>',
          "fine": '<span class="flag fine">fine</span>'}


def diagnosis_page(done: Diagnosis, what: str, command: str = "kiyas diagnose") -> str:
    """The page of a diagnosis: what to take from it, then every finding with its formula, meaning and picture."""
    told = "".join(f"<li>{escape(sentence)}</li>" for sentence in done.advice())
    parts = [f"<h2>What to take from it</h2><ul>{told or '<li>Nothing stands out.</li>'}</ul>"]
    parts += [_finding(finding) for finding in done.findings]
    parts.append(page.facts(done.facts))
    return page.html_page("What is in these vectors?", what, parts, command)


def _finding(finding: Finding) -> str:
    drawn = "" if finding.plot is None else page.picture(_drawn(finding))
    return (f"<h2>{escape(finding.title)} {_FLAGS[finding.concern]}</h2>\n<p><b>{escape(finding.here)}</b></p>\n"
            f"<p>{escape(finding.meaning)}</p>\n<p>{escape(finding.effect)}</p>\n"
            f'<p class="soft">{escape(finding.formula)}</p>\n{drawn}')


def _drawn(finding: Finding) -> str:
    plot = finding.plot
    assert plot is not None
    if plot.kind == "histogram":
        return charts.histogram(plot.series, plot.x, finding.title)
    if plot.kind == "bars":
        return charts.named_bars(plot.series, plot.x, finding.title)
    return charts.lines(plot.series, plot.x, plot.y, finding.title, log_x=plot.log_x, log_y=plot.log_y,
                        points=plot.kind == "points")
