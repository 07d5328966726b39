"""``kiyas recurrent train``: its commands and their options. What they do is imported only when one of them runs."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from kiyas.cli.options import (
    CheckpointEvery,
    Clip,
    Device,
    Json,
    Layers,
    Level,
    Locale,
    OneMeasure,
    Output,
    Overwrite,
    Patience,
    Rate,
    Resume,
    Switch,
    TextColumn,
    Vocabulary,
)

app = App(name="train", help_format="plaintext",
          help="Train a language model or a sentence encoder (extra torch), to be run without PyTorch.")


@app.command
def language(*files: Path, output: Output, level: Level = "word", hidden: int = 256, layers: Layers = 2,
             embedding: int | None = None, dropout: float = 0.2, tied: Switch = False, window: int = 64,
             vocabulary: Vocabulary = 10_000, lower: Switch = False, locale: Locale = None, filters: str | None = None,
             validation: float = 0.1, text_column: TextColumn = None, epochs: int = 20, batch: int = 32,
             rate: Rate = 2e-3, clip: Clip = 1.0, patience: Patience = 3, checkpoint_every: CheckpointEvery = 200,
             seed: int = 0, device: Device = "cpu", resume: Resume = False, overwrite: Overwrite = False,
             json: Json = False) -> None:
    """Train a model of the next word or character on texts.

    Stopped by Ctrl-C or killed, the run is kept beside the output; --resume ends it as if nothing had happened.

    Parameters
    ----------
    files
        Texts: .txt .md .jsonl .csv .parquet, read as one.
    output
        The kiyas .safetensors to write; the tokenizer comes beside it as NAME.tokenizer.json.
    hidden
        Units of a layer.
    embedding
        Numbers a word is embedded in (as many as --hidden, unless given).
    dropout
        The share of numbers dropped between layers while training.
    tied
        The softmax shares the table of the embedding.
    window
        Steps that the gradient goes back; the state goes on.
    lower
        Make all letters small.
    filters
        Characters taken for white space (punctuation in a word model, none in a character model, unless given).
    validation
        The share of the text, its end, that is kept for validation.
    epochs
        Most passes over the text.
    batch
        Streams of the text read side by side.
    seed
        Of the first weights and of dropout: the same seed, the same model.
    """
    from kiyas.cli import training as command
    from kiyas.recurrent.training import LanguageModel, Schedule

    shape = LanguageModel(level, hidden, layers, embedding, dropout, tied, window, vocabulary, lower, filters,
                          validation, locale)
    schedule = Schedule(epochs, batch, rate, clip, patience, checkpoint_every, seed, device)
    command.language([*files], text_column, shape, schedule, command.Target(output, resume, overwrite, json))


@app.command
def encoder(*files: Path, output: Output, measure: OneMeasure = "cosine", fields: str = "query,text",
            level: Level = "word", hidden: int = 128, layers: Layers = 1, bidirectional: bool = True,
            embedding: int = 128, pooling: str = "mean", dims: int | None = None, dropout: float = 0.2,
            vocabulary: Vocabulary = 20_000, lower: bool = True, locale: Locale = None, longest: int = 256,
            overlong: str = "raise", validation: float = 0.1, epochs: int = 20, batch: int = 32,
            rate: Rate = 2e-3, clip: Clip = 1.0, patience: Patience = 3, checkpoint_every: CheckpointEvery = 200,
            seed: int = 0, device: Device = "cpu", resume: Resume = False, overwrite: Overwrite = False,
            json: Json = False) -> None:
    """Train an encoder of texts on pairs that belong together, scored under a measure.

    Search with it: kiyas index FILES --encoder recurrent:MODEL --measure MEASURE -o DIR

    Parameters
    ----------
    files
        Pairs: .jsonl or .csv with two fields of text.
    output
        The kiyas .safetensors to write; the tokenizer comes beside it as NAME.tokenizer.json.
    measure
        What the vectors are trained for, such as ndd or "exponential(trim=0.1)".
    fields
        The two fields of a pair, such as title,body.
    hidden
        Units of a layer, in each direction.
    bidirectional
        Read both ways.
    embedding
        Numbers a word is embedded in.
    pooling
        mean of all steps, or the last state.
    dims
        Dimensions of the vectors through a dense layer (without one: as pooled).
    dropout
        The share of numbers dropped while training.
    lower
        Make all letters small.
    longest
        Most words (or characters) of a text.
    overlong
        What to do with a longer one: raise, or cut to read its beginning.
    validation
        The share of pairs that is held out.
    epochs
        Most passes over the pairs.
    batch
        Pairs at a time; the texts of the others are what a query must tell its own from.
    seed
        Of the first weights, dropout, order and held-out pairs: the same seed, the same model.
    """
    from kiyas.cli import training as command
    from kiyas.recurrent.training import Schedule, SentenceEncoder

    shape = SentenceEncoder(level, hidden, layers, bidirectional, embedding, pooling, dims, dropout, vocabulary, lower,
                            longest, overlong, validation, locale)
    schedule = Schedule(epochs, batch, rate, clip, patience, checkpoint_every, seed, device)
    command.encoder([*files], fields, measure, shape, schedule, command.Target(output, resume, overwrite, json))
