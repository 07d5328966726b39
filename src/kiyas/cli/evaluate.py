"""``kiyas evaluate``: all measures on one collection, on pairs of texts, or the runs of other systems."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from rich.text import Text

from kiyas.arrays import count
from kiyas.cli import given, show
from kiyas.cli.build import PASSAGE_TOKENS
from kiyas.cli.named import measure_of
from kiyas.directory import write_whole
from kiyas.encode import encoder as make_encoder
from kiyas.encode.collection import Collection
from kiyas.encode.known import different_texts, known_items
from kiyas.errors import InputError
from kiyas.evaluate import (
    KNOWN_ITEM_METRICS,
    METRICS,
    Evaluation,
    PairEvaluation,
    evaluate_measures,
    evaluate_pairs,
    evaluate_rankings,
    match,
    ranking_of,
    read_judgements,
    read_pairs,
    read_queries,
    read_run,
)
from kiyas.evaluate.tables import Table
from kiyas.fit.files import is_measure
from kiyas.measures import Measure
from kiyas.search import Index

FORMATS = ("table", "markdown", "csv")


@dataclass(frozen=True)
class Asked:
    """What to evaluate, and how."""

    directory: Path | None = None
    queries: Path | None = None
    query_ids: Path | None = None
    qrels: Path | None = None
    documents: Path | None = None
    document_ids: Path | None = None
    runs: tuple[Path, ...] = ()
    pairs: Path | None = None
    encoder: str = "wordllama"
    measures: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    baseline: str = "cosine"
    by: str = "best"
    drop_self: bool = False
    allow_unknown: bool = False
    limit: int = 1000
    seed: int = 0

    def refuse(self, what: str, *names: str) -> None:
        """Raise `InputError` where one of these was given: it has nothing to say about ``what``."""
        for field in fields(self):
            if field.name in names and getattr(self, field.name) != field.default:
                option = {"measures": "--measure", "metrics": "--metric"}.get(field.name,
                                                                             f"--{field.name.replace('_', '-')}")
                raise InputError(f"{option} has nothing to say about {what}; leave it out")


def run(asked: Asked, html: Path | None, form: str, json: bool) -> None:
    """Evaluate, print, and write the report."""
    if form not in FORMATS:
        raise InputError(f"--format must be one of {', '.join(FORMATS)}, got {form!r}")
    given.can_report(html)
    what, done = evaluated(asked)
    if html is not None:
        from kiyas.evaluate.report import evaluation_page, pairs_page

        with show.progress("drawing") as report:
            page = evaluation_page(done, what) if isinstance(done, Evaluation) else pairs_page(done, what)
            write_whole(html, page)
            report(1, 1)
    if json:
        show.print_json({"what": what, **done.as_dict(), "report": None if html is None else str(html)})
    elif form != "table":
        _write_table(done.table(), form)
    elif isinstance(done, Evaluation):
        _print(done, what)
    else:
        _print_pairs(done, what)
    if html is not None and not json and form == "table":
        show.console().print(Text.assemble("The report, with pictures: ", (str(html), "bold")))


def evaluated(asked: Asked) -> tuple[str, Evaluation | PairEvaluation]:
    """What was evaluated, in words, and the result."""
    ways = [asked.directory is not None, asked.documents is not None, bool(asked.runs), asked.pairs is not None]
    if sum(ways) != 1:
        raise InputError("give one thing to evaluate: an index DIR, --documents FILE, --run FILE or --pairs FILE")
    if asked.pairs is not None:
        asked.refuse("pairs", "queries", "query_ids", "qrels", "document_ids", "metrics", "drop_self", "allow_unknown")
        return _pairs(asked, asked.pairs)
    if asked.runs:
        return _runs(asked)
    collection = given.collection(asked.directory, asked.documents, asked.document_ids)
    if asked.queries is None and asked.qrels is None:
        asked.refuse("known items, which have no judgements", "query_ids", "drop_self", "allow_unknown")
        return _known(asked, collection)
    if asked.queries is None or asked.qrels is None:
        raise InputError("--queries and --qrels go together; without both, known items are made from an index of texts")
    return _judged(asked, collection, asked.queries, asked.qrels)


# -- the ways ----------------------------------------------------------------------------------------------------------


def _judged(asked: Asked, collection: Index | Collection, queries: Path, qrels: Path) -> tuple[str, Evaluation]:
    # What can be wrong in the files comes before minutes of encoding and searching.
    read = read_queries(queries, asked.query_ids)
    given.require_comparable(read, collection, queries)
    judgements = read_judgements(qrels)
    ids = given.ids_of(collection)
    matched = match(judgements, read.ids, ids, unknown="count" if asked.allow_unknown else "error")
    vectors = given.query_vectors(read, collection, queries)
    by_text = {str(name): name for name in ids}
    excluded = [by_text.get(name) for name in read.ids] if asked.drop_self else None
    with show.progress("evaluating") as report:
        done = evaluate_measures(collection, vectors, matched.gains, measures=_measures(asked),
                                 metrics=asked.metrics or METRICS, baseline=measure_of(asked.baseline),
                                 excluded=excluded, by=asked.by, seed=asked.seed, progress=report)
    notes = list(done.notes)
    if matched.negative:
        notes.append(f"{matched.negative:,} gains below 0 count as not relevant.")
    if matched.unknown_documents or matched.unknown_queries:
        notes.append(f"Left out of the judgements: {matched.unknown_documents:,} of documents and "
                     f"{matched.unknown_queries:,} of queries that are not in the collection.")
    if excluded is not None:
        notes.append(f"{sum(e is not None for e in excluded):,} queries are documents themselves; each was left out of "
                     "its own ranking.")
    done = replace(done, notes=notes)
    return (f"{done.queries:,} judged queries ({done.unjudged:,} without a relevant document left out) on "
            f"{len(ids):,} documents of {done.facts['dims']} dimensions"), done


def _known(asked: Asked, collection: Index | Collection) -> tuple[str, Evaluation]:
    if not isinstance(collection, Collection):
        raise InputError(f"{asked.directory or asked.documents}: holds vectors, and known items are made from texts: "
                         "give --queries and --qrels, or make an index of the texts with kiyas index")
    limit = count(asked.limit, "--limit", "kiyas evaluate", 2, 2**31)
    count(asked.seed, "--seed", "kiyas evaluate", 0, 2**63)
    with show.progress("comparing texts") as report:
        kept = different_texts(collection.texts, progress=report)
    items = known_items([collection.texts[row] for row in kept])
    if len(items.queries) < 2:
        raise InputError(f"only {len(items.queries)} of {len(collection)} texts can be asked for: a text needs a title "
                         "or first sentence of four words, and eight words after it; give --queries and --qrels")
    chosen = np.arange(len(items.queries))
    if chosen.size > limit:
        chosen = np.sort(np.random.default_rng(asked.seed).permutation(chosen.size)[:limit])
    with show.progress("encoding") as report:
        # Split as the collection was: where no text was too long, none is now.
        split = len(collection.passages) > len(collection)
        tokens = collection.encoder.max_tokens or (PASSAGE_TOKENS if split else None)
        rest = Collection.build(items.texts, collection.encoder, passage_tokens=tokens, progress=report)
        vectors = collection.encode([items.queries[i] for i in chosen])
    gains = [{items.targets[i]: 1.0} for i in chosen]
    with show.progress("evaluating") as report:
        done = evaluate_measures(rest, vectors, gains, measures=_measures(asked),
                                 metrics=asked.metrics or KNOWN_ITEM_METRICS,
                                 baseline=measure_of(asked.baseline), by=asked.by, seed=asked.seed, progress=report)
    task = ("Known items: a title or first sentence has to find the rest of its own text. It is a narrow task. "
            f"{len(collection) - len(kept):,} texts that nearly repeat another were left out, {items.ambiguous:,} "
            f"questions that begin several texts and {items.short:,} short texts were not asked.")
    return (f"{len(chosen):,} known items of {len(items.queries):,} on {len(kept):,} texts, by "
            f"{collection.encoder.name}"), replace(done, notes=[*done.notes, task])


def _runs(asked: Asked) -> tuple[str, Evaluation]:
    if asked.qrels is None:
        raise InputError("--run needs --qrels, the judgements that it is held against")
    asked.refuse("rankings, which are taken as they are", "measures", "drop_self", "queries", "query_ids",
                 "document_ids")
    judgements = read_judgements(asked.qrels)
    runs = [read_run(path) for path in asked.runs]
    for place, one in enumerate(runs):
        twin = next((other for other in runs[:place] if other.name == one.name), None)
        if twin is not None:
            raise InputError(f"{one.source}: is the run {one.name!r}, as {twin.source} is; name each run differently "
                             "(the last field of its lines)")
        for query in one.ranked:
            if query not in judgements.gains and not asked.allow_unknown:
                raise InputError(f"{one.source}: ranks for the query {query!r}, which has no judgements in "
                                 f"{asked.qrels}; correct the id, or pass such queries over with --allow-unknown")
    queries = list(judgements.gains)
    numbers: dict[str, int] = {}
    for judged in judgements.gains.values():
        for document in judged:
            numbers.setdefault(document, len(numbers))
    rankings = {one.name: ranking_of(one, queries, numbers) for one in runs}
    gains = [{numbers[d]: g for d, g in judgements.gains[q].items()} for q in queries]
    done = evaluate_rankings(rankings, gains, metrics=asked.metrics or METRICS, seed=asked.seed)
    missing = {one.name: sum(q not in one.ranked for q in queries) for one in runs}
    notes = [*done.notes, *(f"{name} lacks {lacks:,} of the {len(queries):,} judged queries, which count as 0."
                            for name, lacks in missing.items() if lacks)]
    return f"{show.many(len(runs), 'run')} on {done.queries:,} judged queries", replace(done, notes=notes)


def _pairs(asked: Asked, path: Path) -> tuple[str, PairEvaluation]:
    read = read_pairs(path)
    encoder = make_encoder(asked.encoder)
    with show.progress("encoding") as report:
        vectors = encoder.encode([*read.first, *read.second], progress=report)
    half = len(read.first)
    with show.progress("evaluating") as report:
        done = evaluate_pairs(vectors[:half], vectors[half:], read.gold, measures=_measures(asked),
                              baseline=measure_of(asked.baseline), seed=asked.seed, progress=report)
    return f"{half:,} {'labelled' if read.labelled else 'scored'} pairs, by {encoder.name}", done


def _measures(asked: Asked) -> dict[str, Measure] | None:
    """Those that were asked for, a saved one by the name of its directory; None for all."""
    made = {text: measure_of(text) for text in asked.measures}
    return {text if is_measure(text) else str(measure): measure for text, measure in made.items()} or None


# -- showing -----------------------------------------------------------------------------------------------------------


def _write_table(table: Table, form: str) -> None:
    sys.stdout.write(table.markdown() if form == "markdown" else table.csv())


def _print(done: Evaluation, what: str) -> None:
    out = show.console()
    out.print(Text(what[0].upper() + what[1:], style="bold"))
    main, metrics = done.main, list(done.baseline.means)
    shown = show.table("measure", *metrics, right=(*metrics,))
    for r in done.results:
        shown.add_row(Text(r.name), *(f"{r.means[m].mean:.4f}" for m in metrics))
    out.print(shown)
    out.print()
    gap = f"− {done.baseline.name}"
    out.print(Text(f"{main} against {done.baseline.name}", style="bold"))
    shown = show.table("measure", main, gap, "p (Holm)", "", right=(main, gap, "p (Holm)"))
    for r in done.results:
        c = r.comparison
        style = {"better": "green", "worse": "red"}.get(r.verdict, "dim")
        shown.add_row(Text(r.name), show.interval(r.means[main]),
                      "" if c is None else show.interval(c.difference, signed=True),
                      "" if c is None else show.number(c.adjusted), Text(r.verdict, style=style))
    out.print(shown)
    out.print(Text(f"95 % bootstrap intervals; p by {done.facts.get('samples', 10_000):,} sign flips over the same "
                   f"queries, after Holm over {done.family}.", style="dim"))
    notes = [f"{r.name}: {r.note}" for r in done.results if r.note]
    if notes:
        out.print(Text("; ".join(notes) + ".", style="dim"))
    if done.left_out:
        out.print(Text("Not in the table: " + ", ".join(f"{n} ({why})" for n, why in done.left_out.items()) + ".",
                       style="dim"))
    for note in done.notes:
        out.print(Text(note))
    out.print(Text(done.conclusion(), style="bold"))


def _print_pairs(done: PairEvaluation, what: str) -> None:
    out = show.console()
    out.print(Text(what[0].upper() + what[1:], style="bold"))
    metrics = list(done.results[0].metrics)
    gap = f"{metrics[0]} − {done.results[0].name}"
    shown = show.table("measure", *metrics, gap, "", right=(*metrics, gap))
    for r in done.results:
        style = {"better": "green", "worse": "red"}.get(r.verdict, "dim")
        shown.add_row(Text(r.name), *(f"{v:.4f}" for v in r.metrics.values()),
                      "" if r.difference is None else show.interval(r.difference, signed=True),
                      Text(r.verdict, style=style))
    out.print(shown)
    out.print(Text("Differences with intervals over pairs, as wide as all of them together need to hold at 95 %.",
                   style="dim"))
    for note in done.notes:
        out.print(Text(note))
