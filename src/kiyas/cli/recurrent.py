"""``kiyas recurrent``: the commands and their options. What they do is imported only when one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from kiyas.cli.options import (
    Characters,
    Config,
    Inputs,
    Json,
    KeptPrecision,
    Lines,
    Locale,
    Lower,
    Output,
    Overwrite,
    Precision,
    Prefix,
    Several,
    Shapes,
    SomeOutput,
    Switch,
    TextColumn,
)
from kiyas.cli.recurrent_train import app as train

app = App(name="recurrent", help_format="plaintext",
          help="Run trained LSTMs, GRUs and simple RNNs without a training framework.")
app.command(train)


@app.command
def info(file: Path, /, *, config: Config = None, prefix: Prefix = None, inputs: Inputs = None, shapes: Shapes = None,
         json: Json = False) -> None:
    """Tell what a model is: its layers, shapes, weights, and how its file has them.

    Parameters
    ----------
    file
        Keras .h5 or .keras, PyTorch .pt or .safetensors, ONNX, or kiyas .safetensors.
    """
    from kiyas.cli import models as command

    command.info(command.Chosen(file, config, prefix, inputs=inputs, shapes=shapes), json)


@app.command
def convert(file: Path, /, *, output: Output, config: Config = None, prefix: Prefix = None, inputs: Inputs = None,
            shapes: Shapes = None, precision: KeptPrecision = "float32", tokenizer: Path | None = None,
            characters: Characters = None, lower: Lower = None, locale: Locale = None, state: Switch = False,
            padding: str | None = None, overwrite: Overwrite = False, json: Json = False) -> None:
    """Write a model as kiyas .safetensors, as .onnx, or as a state_dict for PyTorch (.pt); its tokenizer beside it.

    Parameters
    ----------
    file
        The model.
    output
        The file to write; its ending says the form.
    tokenizer
        Its tokenizer (Keras' JSON or pickled, or a JSON vocabulary), written as NAME.tokenizer.json.
    state
        To .onnx: the state goes in and out, for streams.
    padding
        To .onnx, of a model that masks: post, if rows are padded behind; none, if they never are.
    """
    from kiyas.cli import models as command

    command.convert(command.Chosen(file, config, prefix, precision, inputs, shapes), output,
                    command.Spelled(tokenizer, characters, lower, locale),
                    command.Written(overwrite, state, padding), json)


@app.command
def predict(file: Path, data: Path, /, *, output: SomeOutput = None, config: Config = None, prefix: Prefix = None,
            inputs: Inputs = None, shapes: Shapes = None, precision: Precision = "float32", state: Path | None = None,
            save_state: Path | None = None, batch_size: int | None = None, threads: int = 1,
            overwrite: Overwrite = False, json: Json = False) -> None:
    """Run a model on numbers.

    Parameters
    ----------
    file
        The model.
    data
        .npy (batch, time, features), (time, features) or ids (batch, time); .csv, a step a line; .npz, inputs by name.
    output
        .npy, .csv or .npz; without it, lines of numbers are printed.
    state
        Go on from a state that --save-state wrote.
    save_state
        Write the state after the last step there.
    batch_size
        Sequences at a time; without it, as many as take some 64 MB on their way.
    threads
        How many threads.
    """
    from kiyas.cli import models
    from kiyas.cli import predict as command

    command.predict(models.Chosen(file, config, prefix, precision, inputs, shapes), data, output,
                    command.Run(state, save_state, batch_size, threads, overwrite), json)


@app.command
def generate(file: Path, /, *, tokenizer: Path | None = None, seed_text: str = "Hello",
             words: Annotated[int, Parameter(name=["--words", "--steps"])] = 10, temperature: float | None = None,
             top_k: int | None = None, top_p: float | None = None, beams: int | None = None, seed: int | None = None,
             stop: Several = None, window: int | None = None, padding: str | None = None, carry: Switch = False,
             start: str | None = None, exclude: Annotated[list[int] | None, Parameter(negative="")] = None,
             logits: bool | None = None,
             config: Config = None, prefix: Prefix = None, precision: Precision = "float32",
             characters: Characters = None, lower: Lower = None, locale: Locale = None, json: Json = False) -> None:
    """Let a language model continue a text, word by word (or character by character).

    Parameters
    ----------
    file
        The model.
    tokenizer
        Keras' JSON or pickled, or a JSON vocabulary; without it, the one beside the model.
    seed_text
        The text to continue.
    words
        How many words (of a character model: characters) to add.
    temperature
        Draw at random: below 1 rare words are rarer. Without it (and --top-k, --top-p): the most probable word.
    top_k
        Draw among so many most probable ones.
    top_p
        Draw among the fewest most probable ones that reach this probability together.
    beams
        Beam search over so many texts, instead of drawing.
    seed
        Of the draws: the same seed, the same text.
    stop
        A word that ends the text; repeat it for several.
    window
        Read the last so many words anew for each one, padded, as the usual Keras loop (maxlen) does.
    padding
        Of the window: pre (unless given) or post.
    carry
        With a window: read it once, and carry the state from there.
    start
        A token to read before the text, such as "<s>".
    exclude
        The number of a token never to write; repeat it for several.
    logits
        A softmax is still to be taken of what the model gives, or not; to be said where its last layer does not.
    """
    from kiyas.cli import models, writing

    writing.generate(models.Chosen(file, config, prefix, precision),
                     models.Spelled(tokenizer, characters, lower, locale),
                     writing.Asked(seed_text, words, temperature, top_k, top_p, beams, seed, tuple(stop or ()), window,
                                   padding, carry, start, tuple(exclude or ()), logits), json)


@app.command
def encode(file: str, /, *files: Path, output: Output, tokenizer: Path | None = None, layer: str | None = None,
           pooling: str = "last", window: int | None = None, blank: str = "error", overlong: str = "error",
           text_column: TextColumn = None, lines: Lines = False, batch_size: int | None = None, config: Config = None,
           prefix: Prefix = None, overwrite: Overwrite = False, json: Json = False) -> None:
    """Turn texts or series into vectors, by the states of a model.

    Parameters
    ----------
    file
        The model.
    files
        Texts (.txt .md .jsonl .csv .parquet), or series: .npy of (series, time, features) or (time, features).
    output
        The .npy to write: a vector for each text or series.
    tokenizer
        Keras' JSON or pickled; without it, the one beside the model.
    layer
        A layer, or "output"; else the model's output where that is a vector, and the last recurrent layer's if not.
    pooling
        last, mean, max or attention.
    window
        Pad texts in front to this length, as the model was trained.
    blank
        What to do with a text without a word the model knows: error, or zero for a vector of zeros.
    overlong
        What to do with a text longer than the window: error, or cut to read its end.
    batch_size
        Texts at a time.
    """
    from kiyas.cli import writing

    writing.encode(file, [*files], output, writing.Pooled(tokenizer, layer, pooling, window, config, prefix),
                   writing.Texts(text_column, lines, batch_size, blank, overlong, overwrite), json)
