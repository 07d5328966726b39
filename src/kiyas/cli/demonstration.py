"""``kiyas demo``: the measures compared on real texts, from reading them to a page of results."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from kiyas import __version__
from kiyas.arrays import count
from kiyas.cli import known, show
from kiyas.cli.docstrings import Docstring, Library, read_library
from kiyas.cli.pictures import shorter
from kiyas.cli.search import change
from kiyas.directory import write_whole
from kiyas.encode import Encoder, encoder, known_items
from kiyas.errors import InputError
from kiyas.evaluate import Evaluation
from kiyas.evaluate.choosing import FEWEST, Decision, choose_known
from kiyas.fit import Pairs
from kiyas.search import Explanation, Index

MEASURES = ("cosine", "ndd", "manhattan", "exponential(trim=0.1)")
QUESTIONS = (
    "How do I write text to a file?",
    "run another program and read what it prints",
    "turn a date into a string",
    "wait until a thread has finished",
)
_SHOWN = 8
_FEWEST = 20
_SEED = 0
# More questions choose the same, and every fold asks them all again.
_CHOOSING = 1000


@dataclass
class Question:
    """A question's answers under each measure, as (name, score), best first."""

    text: str
    answers: dict[str, list[tuple[str, float]]]


@dataclass
class Report:
    """All that the demo found; the printed text, the JSON and the page are views of it."""

    library: Library
    docstrings: list[Docstring]
    encoder: Encoder
    dims: int
    questions: list[Question]
    explained: dict[str, Explanation]
    explained_name: str
    queries: int
    ambiguous: int
    evaluation: Evaluation
    decision: Decision | None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def conclusion(self) -> str:
        """What the table says about cosine."""
        return self.evaluation.conclusion()

    def text_of(self, name: str) -> str:
        """The docstring of that name."""
        return next(one.text for one in self.docstrings if one.name == name)


Progress = Callable[[str], AbstractContextManager[Callable[[float, int], None]]]


def run(limit: int | None, html: Path, json: bool) -> None:
    """Do it all, print it, write the page."""
    show.require_file(html, "--html")
    report = make_report(encoder("wordllama"), limit, show.progress)
    from kiyas.cli.page import page

    write_whole(html, page(report))
    if json:
        show.print_json(as_dict(report, html))
    else:
        _print(report, html)


def make_report(chosen: Encoder, limit: int | None, progress: Progress, root: Path | None = None) -> Report:
    """Read, encode, index, ask, measure.

    ``limit``: only so many docstrings, drawn with a fixed seed. ``root``: see `read_library`.
    """
    clock = _Clock()
    with progress("reading docstrings") as report:
        library = read_library(root, report)
    docstrings = library.docstrings
    if limit is not None:
        wanted = count(limit, "--limit", "kiyas demo", _FEWEST, 2**31)
        rows = np.random.default_rng(_SEED).permutation(len(docstrings))[:wanted]
        docstrings = [docstrings[i] for i in sorted(rows.tolist())]
    items = known_items([one.text for one in docstrings])
    if len(items.queries) < 2:
        raise InputError(f"only {len(items.queries)} of {len(docstrings)} docstrings can be asked for; "
                         + ("raise --limit" if limit is not None else "this standard library has too few"))
    clock.stop("reading")
    with progress("encoding") as report:
        vectors = chosen.encode([one.text for one in docstrings], progress=report)
        rest = vectors.copy()
        # Only the texts that lost their first sentence differ between the two collections.
        rest[items.targets] = chosen.encode([items.texts[i] for i in items.targets])
        queries = chosen.encode(items.queries)
        asked = chosen.encode(QUESTIONS)
    clock.stop("encoding")
    index = Index(vectors, ids=[one.name for one in docstrings])
    questions = _ask(index, asked)
    name = questions[0].answers[MEASURES[0]][0][0]
    explained = {m: index.using(m).explain(asked[0], name) for m in MEASURES}
    clock.stop("questions")
    with progress("measuring") as report:
        evaluation = known.evaluate(Index(rest), queries, items.targets, report)
    clock.stop("measuring")
    decision = None
    if len(items.queries) >= FEWEST:
        targets = np.array(items.targets)
        some = np.sort(np.random.default_rng(_SEED).permutation(targets.size)[:_CHOOSING])
        pairs = Pairs(queries[some], rest[targets[some]], targets[some])
        with progress("choosing") as report:
            decision = choose_known(pairs, measures=MEASURES[1:], seed=_SEED, progress=report)
        clock.stop("choosing")
    return Report(library, docstrings, chosen, vectors.shape[1], questions, explained, name, len(items.queries),
                  items.ambiguous, evaluation, decision, clock.seconds)


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now


def _ask(index: Index, asked: np.ndarray) -> list[Question]:
    k = min(_SHOWN, len(index))
    found = {m: index.using(m).search(asked, k=k) for m in MEASURES}
    return [Question(text, {m: hits.row(q) for m, hits in found.items()}) for q, text in enumerate(QUESTIONS)]


def as_dict(report: Report, html: Path) -> dict[str, Any]:
    """The report for machines."""
    library = report.library
    return {
        "kiyas": __version__, "python": platform.python_version(), "source": str(library.root),
        "files": library.files, "docstrings_found": library.found, "repeated": library.repeated,
        "nearly_repeated": library.near, "docstrings": len(report.docstrings),
        "encoder": report.encoder.name, "encoder_version": report.encoder.version, "dims": report.dims,
        "questions": [{"question": q.text, "answers": {m: [{"id": i, "score": s} for i, s in hits]
                                                       for m, hits in q.answers.items()}} for q in report.questions],
        "explained": {"question": report.questions[0].text, "id": report.explained_name,
                      "measures": {m: show.explanation_json(e, 5) for m, e in report.explained.items()}},
        "queries": report.queries, "ambiguous_left_out": report.ambiguous,
        "evaluation": report.evaluation.as_dict(), "conclusion": report.conclusion, "caveat": known.CAVEAT,
        "decision": None if report.decision is None else report.decision.as_dict(), "seconds": report.seconds,
        "page": str(html),
    }


# -- printing --------------------------------------------------------------------------------------


def _print(report: Report, html: Path) -> None:
    out = show.console()
    library = report.library
    out.print(Text.assemble((f"{len(report.docstrings):,} docstrings", "bold"),
                            f" of Python {platform.python_version()}'s standard library ({library.files:,} files; "
                            f"{library.repeated:,} repeated and {library.near:,} nearly repeated ones left out), "
                            f"encoded by {report.encoder.name} to {report.dims} dimensions."))
    for question in report.questions:
        _print_question(question)
    out.print()
    show.explanation(out, report.explained[MEASURES[0]], 5, f"Why {report.explained_name} answers "
                     f"“{report.questions[0].text}” under {MEASURES[0]}")
    out.print()
    _print_results(report)
    out.print()
    out.print(Text(report.conclusion, style="bold"))
    out.print()
    if report.decision is not None:
        _print_decision(report.decision)
    out.print(Text(known.CAVEAT))
    total = sum(report.seconds.values())
    steps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.seconds.items())
    out.print(Text(f"{total:.0f} s in all: {steps}.", style="dim"))
    out.print(Text.assemble("The page, with pictures: ", (str(html), "bold")))


def _print_decision(decision: Decision) -> None:
    out = show.console()
    out.print(Text(f"The choice for this collection, by kiyas choose on {decision.queries:,} of the questions",
                   style="bold"))
    out.print(Text(f"Each fold chose among {', '.join(MEASURES)} and a map fitted to the other folds' questions and "
                   f"answers. {decision.task()} So the means are not those above, and measures may rank otherwise.",
                   style="dim"))
    out.print(Text(decision.conclusion(), style="bold"))
    out.print(Text(decision.costs()))


def _print_question(question: Question) -> None:
    out = show.console()
    out.print()
    out.print(Text(f"“{question.text}”", style="bold"))
    shown = show.table("", *MEASURES, right=("",))
    width = (out.width - 4) // len(MEASURES) - 7
    ranks = {name: rank for rank, (name, _) in enumerate(question.answers[MEASURES[0]], 1)}
    for rank in range(min(5, len(ranks))):
        cells = []
        for measure in MEASURES:
            name = question.answers[measure][rank][0]
            moved = "" if measure == MEASURES[0] else change(rank + 1, ranks.get(name))
            cells.append(Text.assemble(shorter(name, width), (f" {moved}", "dim")))
        shown.add_row(Text(str(rank + 1), style="dim"), *cells)
    out.print(shown)


def _print_results(report: Report) -> None:
    out = show.console()
    out.print(Text(f"Known-item search: {report.queries:,} first sentences look for the rest of their own docstring "
                   f"among {len(report.docstrings):,} texts", style="bold"))
    out.print(Text("Means, and differences of MRR@10 to cosine with 95 % bootstrap intervals; verdicts by sign-flip "
                   f"tests, after Holm over {report.evaluation.family}. {report.ambiguous:,} "
                   "sentences that begin several docstrings are not asked.", style="dim"))
    shown = show.table("measure", *known.METRICS, "MRR@10 − cosine", "", right=(*known.METRICS, "MRR@10 − cosine"))
    for result in report.evaluation.results:
        c = result.comparison
        style = {"better": "green", "worse": "red"}.get(result.verdict, "dim")
        shown.add_row(Text(result.name), *(f"{result.means[m].mean:.3f}" for m in known.METRICS.values()),
                      "" if c is None else show.interval(c.difference, signed=True), Text(result.verdict, style=style))
    out.print(shown)
    notes = [f"{r.name}: {r.note}" for r in report.evaluation.results if r.note]
    left = [f"{name} ({why})" for name, why in report.evaluation.left_out.items()]
    out.print(Text(f"{'; '.join(notes)}. Not in the table: {', '.join(left)}.", style="dim"))
