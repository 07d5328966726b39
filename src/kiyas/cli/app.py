"""The commands and their options. What they do is imported only when one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from kiyas import __version__
from kiyas.cli.options import (
    EVERY,
    AllowUnknown,
    Apply,
    By,
    DocumentIds,
    Encoder,
    Json,
    Lines,
    Measures,
    OneMeasure,
    Output,
    Overwrite,
    Qrels,
    Queries,
    QueryIds,
    Report,
    Several,
    SomeOutput,
    Switch,
    TextColumn,
)
from kiyas.cli.recurrent import app as recurrent

app = App(name="kiyas", version=__version__, help_format="plaintext", default_parameter=EVERY,
          help="Retrieval with the similarity measure you choose, exact and fast.")


app.command(recurrent)


@app.command
def measures(name: str | None = None, /, *, json: Json = False) -> None:
    """List the measures, or tell all about one.

    Parameters
    ----------
    name
        A measure, such as ndd.
    """
    from kiyas.cli import measures as command

    command.run(name, json)


@app.command
def compare(a: str, b: str, /, *, measure: Measures = None, encoder: Encoder = "wordllama", top: int = 5,
            json: Json = False) -> None:
    """Compare two vectors or two texts under all measures, and dimension by dimension.

    Parameters
    ----------
    a
        A vector (a file of one, or numbers: 0.1,0.9,0) or a text (in quotes, or a .txt file).
    b
        The other one.
    measure
        Also compare under this one, such as "exponential(trim=0.1)"; the first is shown dimension by dimension.
    top
        How many dimensions to show.
    """
    from kiyas.cli import compare as command

    command.run(a, b, measure or [], encoder, top, json)


@app.command
def index(*files: Path, output: Output, measure: OneMeasure = "cosine", encoder: Encoder = "wordllama",
          ids: str | None = None, text_column: TextColumn = None, title_column: str | None = None,
          vector_column: str | None = None, lines: Lines = False, passage_tokens: int | None = None,
          blank: str = "error", overwrite: Overwrite = False, json: Json = False) -> None:
    """Make an index of vectors or texts.

    Vectors: .npy .npz .safetensors .fvecs .parquet .arrow. Texts: .jsonl .csv .txt .md .parquet .arrow.

    Parameters
    ----------
    files
        Files of one kind.
    output
        The directory of the index.
    measure
        The measure to search by, unless a search names another.
    ids
        The field of ids, or a .txt (one a line) or .npy file of them.
    title_column
        A field that comes before the text, such as title.
    vector_column
        The array or column that holds the vectors.
    passage_tokens
        Split longer texts into passages of so many tokens (the encoder's limit, or 256); 0 keeps texts whole.
    blank
        What to do with a text without a word the encoder knows: error, or zero for a vector of zeros.
    """
    from kiyas.cli import build as command

    command.run([*files], output, measure, encoder,
                command.Options(ids, text_column, title_column, vector_column, lines, passage_tokens, overwrite,
                                blank), json)


@app.command
def search(directory: Path, query: str | None = None, /, *, k: Annotated[int | None, Parameter(name=["-k"])] = None,
           measure: Measures = None, like: str | None = None, by: By = "best", min_score: float | None = None,
           explain: Switch = False, json: Json = False) -> None:
    """Search an index, under one measure or several side by side.

    Parameters
    ----------
    directory
        The index.
    query
        A text for an index of texts; for vectors a file, or numbers: 0.1,0.9,0.
    k
        How many answers (10, or all of a smaller index).
    measure
        Search by this measure, such as "exponential(trim=0.1)", not the index's own; repeat it to see several.
    like
        Search by this row of the index (its id) instead of a query; the row itself is left out.
    min_score
        The least score to answer with.
    explain
        Show which dimensions made the first answer.
    """
    from kiyas.cli import search as command

    command.run(directory, query, like, command.Asked(k, by, min_score), measure or [], explain, json)


@app.command
def info(directory: Path, /, *, json: Json = False) -> None:
    """Tell what an index holds.

    Parameters
    ----------
    directory
        The index.
    """
    from kiyas.cli import search as command

    command.info(directory, json)


@app.command
def evaluate(directory: Path | None = None, /, *, queries: Path | None = None, query_ids: QueryIds = None,
             qrels: Qrels = None, documents: Path | None = None, document_ids: DocumentIds = None,
             runs: Annotated[list[Path] | None, Parameter(name="--run", negative="")] = None,
             pairs: Path | None = None, encoder: str = "wordllama", measure: Measures = None, metric: Several = None,
             baseline: str = "cosine", by: By = "best", drop_self: Switch = False, allow_unknown: AllowUnknown = False,
             limit: int = 1000, seed: int = 0, html: Report = None,
             table_format: Annotated[str, Parameter(name="--format")] = "table", json: Json = False) -> None:
    """Evaluate all measures on one collection, with intervals and tests against cosine.

    Without queries and judgements, a title or first sentence of each text has to find the rest of it.

    Parameters
    ----------
    directory
        An index of vectors or texts.
    queries
        Texts (.jsonl .csv .tsv .txt), or vectors for an index of vectors.
    documents
        Vectors to search instead of an index.
    runs
        Rankings of another system in TREC's form, instead of an index; repeat it to compare several with the first.
    pairs
        Pairs of texts with a score or a label (.jsonl .csv .tsv), instead of an index.
    encoder
        What encodes pairs: wordllama, use, sentence-transformers:NAME_OR_FOLDER, or recurrent:FILE.
    measure
        Evaluate this measure against the baseline, instead of all; repeat it for several.
    metric
        Such as ndcg@10 or map@1000; repeat it for several, the first is tested.
    baseline
        The measure that the others are compared with.
    drop_self
        Leave a document out of the ranking of a query of the same id.
    limit
        Ask at most so many known items, drawn with the seed.
    seed
        Of tests, intervals and draws.
    table_format
        Print the table as table, markdown or csv.
    """
    from kiyas.cli import evaluate as command

    command.run(command.Asked(directory, queries, query_ids, qrels, documents, document_ids, tuple(runs or ()), pairs,
                              encoder, tuple(measure or ()), tuple(metric or ()), baseline, by, drop_self,
                              allow_unknown, limit, seed), html, table_format, json)


@app.command
def diagnose(directory: Path | None = None, /, *, queries: Path | None = None, query_ids: QueryIds = None,
             qrels: Path | None = None, documents: Path | None = None, document_ids: DocumentIds = None,
             allow_unknown: AllowUnknown = False, seed: int = 0, html: Report = None, json: Json = False) -> None:
    """Tell what is in a space of vectors, and which measures that makes equivalent or dangerous.

    Parameters
    ----------
    directory
        An index of vectors or texts.
    queries
        Queries, as texts or vectors: how they differ from documents, and which documents are hubs for them.
    qrels
        Judgements of these queries: whether lengths have to do with relevance.
    documents
        Vectors to diagnose instead of an index.
    seed
        Of draws.
    """
    from kiyas.cli import diagnose as command

    command.run(command.Asked(directory, queries, query_ids, qrels, documents, document_ids, allow_unknown, seed), html,
                json)


@app.command
def fit(directory: Path, /, *, queries: Queries = None, qrels: Qrels = None, query_ids: QueryIds = None,
        allow_unknown: AllowUnknown = False, output: SomeOutput = None, apply: Apply = False, folds: int = 5,
        seed: int = 0, json: Json = False) -> None:
    """Make a measure for a collection: a map in front of cosine, if it gains anything.

    Without judgements it is fitted on the collection's own texts: first sentences and what follows them.

    Parameters
    ----------
    directory
        The index.
    output
        The directory of the measure (the index's name with .measure, unless given), for --measure.
    folds
        How many parts are held out in turn.
    seed
        Of folds and draws.
    """
    from kiyas.cli import fitting as command

    command.run(command.Asked(directory, queries, query_ids, qrels, allow_unknown, folds, seed), output, apply, json)


@app.command
def choose(directory: Path | None = None, /, *, queries: Path | None = None, qrels: Qrels = None,
           query_ids: QueryIds = None, allow_unknown: AllowUnknown = False, purpose: str | None = None,
           output: SomeOutput = None, folds: int = 5, repeats: int = 3, seed: int = 0, json: Json = False) -> None:
    """Choose a measure with proof: by judged queries or known items, or by purpose where nothing can be measured.

    Parameters
    ----------
    directory
        The index; not needed with --purpose.
    queries
        Judged queries, with --qrels; without both, a collection of texts is asked for known items.
    purpose
        A start without measuring: plain-retrieval, hierarchy, long-texts, consistency, learned-relevance or speed.
    output
        The directory of the decision and its measure (the index's name with .choice, unless given), for --measure.
    folds
        How many parts the queries are dealt into.
    repeats
        How often they are dealt anew (known items: once).
    seed
        Of folds, tests and draws.
    """
    from kiyas.cli import choosing as command
    from kiyas.cli.fitting import Asked

    if purpose is not None:
        command.advise(purpose, json)
    else:
        command.run(directory, Asked(directory or Path(), queries, query_ids, qrels, allow_unknown, folds, seed),
                    output, repeats, json)


@app.command
def demo(*, limit: int | None = None, html: Path = Path("demo/kiyas.html"), json: Json = False) -> None:
    """Compare the measures on the docstrings of this machine's Python.

    Parameters
    ----------
    limit
        Use only so many docstrings, drawn with a fixed seed.
    html
        Where to write the page.
    """
    from kiyas.cli import demonstration as command

    command.run(limit, html, json)


@app.command
def learn(directory: Path, /, *, queries: Queries = None, qrels: Qrels = None, query_ids: QueryIds = None,
          allow_unknown: AllowUnknown = False, output: SomeOutput = None, form: str = "network", hidden: int = 64,
          measure: str = "cosine", from_map: Switch = False, epochs: int = 60, rate: float = 3e-4, seed: int = 0,
          apply: Apply = False, json: Json = False) -> None:
    """Train a measure on pairs: a small network beside the cosine, or a linear adapter. Needs PyTorch.

    Pairs come from judgements and from the collection's own texts; a run that was stopped goes on when given again.
    Try kiyas fit first: it takes seconds, and is what this has to beat.

    Parameters
    ----------
    directory
        The index.
    output
        The directory of the measure (the index's name with .learned, unless given), for --measure.
    form
        network, symmetric (a network that does not mind which is the query), or adapter (a matrix).
    hidden
        Hidden units of a network.
    measure
        What stands behind an adapter, such as ndd.
    from_map
        Begin as a relevance map of the same pairs instead of the cosine.
    epochs
        Passes over the pairs at most.
    rate
        The learning rate.
    seed
        Of weights, split, order and negatives.
    """
    from kiyas.cli import learning as command
    from kiyas.cli.fitting import Asked
    from kiyas.fit import TrainingPlan

    asked = Asked(directory, queries, query_ids, qrels, allow_unknown, seed=seed)
    plan = TrainingPlan(epochs=epochs, rate=rate, seed=seed)
    command.run(asked, command.Form(form, hidden, measure, from_map), plan, output, apply, json)


@app.command
def hierarchy(file: Path, /, *, output: Output, dims: int = 5, epochs: int = 300, rate: float = 0.1,
              negatives: int = 50, seed: int = 0, closure: Switch = False, html: Path | None = None,
              overwrite: Overwrite = False, json: Json = False) -> None:
    """Embed a hierarchy in the Poincaré ball and make an index of its terms.

    Explore it with kiyas search DIR --like TERM. A run that was stopped goes on when the command is given again.

    Parameters
    ----------
    file
        Pairs: a line each, the term below, a tab, the term above.
    output
        The directory of the index.
    dims
        Dimensions of the ball.
    epochs
        Passes over all pairs.
    rate
        The learning rate.
    negatives
        Terms not above that each pair is set against.
    seed
        Of the beginnings, the order and the negatives.
    closure
        The file has direct pairs only: add a pair for every term above another, however far.
    html
        Also draw the disk, for 2 dimensions, as a page.
    """
    from kiyas.cli import hierarchy as command
    from kiyas.fit import EmbeddingPlan

    plan = EmbeddingPlan(dims=dims, epochs=epochs, rate=rate, negatives=negatives, seed=seed)
    command.run(file, output, plan, command.Options(closure, html, overwrite), json)
