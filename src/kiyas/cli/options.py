"""Options that several commands have: declared once, with their help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token, convert


def _strict(kind: Any, tokens: Sequence[Token]) -> Any:
    # cyclopts would round 2.7 to 3 where an integer is wanted.
    if re.search(r"\bint\b", str(kind)) and any("." in token.value for token in tokens):
        raise ValueError("no integer")
    return convert(kind, tokens)


EVERY = Parameter(converter=_strict)


def _switch(help: str, *, name: str | None = None) -> Parameter:
    return Parameter(name=name, negative="", show_default=False, help=help)


Switch = Annotated[bool, Parameter(negative="", show_default=False)]
Json = Annotated[bool, _switch("Print JSON, for machines.", name="--json")]
Overwrite = Annotated[bool, _switch("Replace what is there.")]
Output = Annotated[Path, Parameter(name=["--output", "-o"])]
SomeOutput = Annotated[Path | None, Parameter(name=["--output", "-o"])]
Several = Annotated[list[str] | None, Parameter(negative="")]
Report = Annotated[Path | None, Parameter(help="Write a report with pictures there.")]

# Measures, and what turns texts into vectors.
OneMeasure = Annotated[str, Parameter(name=["--measure", "-m"])]
Measures = Annotated[list[str] | None, Parameter(name=["--measure", "-m"], negative="")]
Encoder = Annotated[str, Parameter(help="What turns texts into vectors: wordllama, use, "
                                        "sentence-transformers:NAME_OR_FOLDER, or recurrent:FILE.")]
By = Annotated[str, Parameter(help="A text scores as its best passage (best), or as the mean of its best three "
                                   "(mean3).")]

# Files of texts.
TextColumn = Annotated[str | None, Parameter(help="The field that holds the text (text, unless given).")]
Lines = Annotated[bool, _switch("Every line of a .txt that is not blank is a text; else the whole file is one.")]

# Judged queries.
Queries = Annotated[Path | None, Parameter(help="Judged queries, with --qrels: .jsonl, .csv, .tsv or .txt of texts, or "
                                                "vectors.")]
QueryIds = Annotated[Path | None, Parameter(help="A .txt, .json or .npy of the ids of queries that are vectors.")]
Qrels = Annotated[Path | None, Parameter(help="Judgements: TREC's form, BEIR's .tsv or .jsonl, or .json of {query: "
                                              "{document: gain}}.")]
DocumentIds = Annotated[Path | None, Parameter(help="A .txt, .json or .npy of their ids; without it, rows counted from "
                                                    "0.")]
AllowUnknown = Annotated[bool, _switch("Count judgements of unknown documents and queries instead of stopping at the "
                                       "first.")]
Apply = Annotated[bool, _switch("Make it the measure of the index too.")]

# Files of recurrent models.
Config = Annotated[Path | None, Parameter(help="The architecture, a .json file, for a model's file that holds "
                                             "weights alone.")]
Prefix = Annotated[str | None, Parameter(help="Which part of a larger file.")]
Inputs = Annotated[list[str] | None, Parameter(name="--input", negative="", help="ONNX: a number for an input of the "
                                               "graph, as sr=16000; repeat it for several.")]
Shapes = Annotated[list[str] | None, Parameter(name="--shape", negative="", help="ONNX: the shape of an input that the "
                                               "file leaves open, as input=any,576; repeat it for several.")]
Precision = Annotated[str, Parameter(help="Of the weights: float32, bfloat16 or int8. The error this makes is "
                                          "printed.")]
KeptPrecision = Annotated[str, Parameter(help="Of the weights when the .safetensors is run: float32, bfloat16 or int8. "
                                              "It is noted in the file, whose weights stay float32. The error this "
                                              "makes is printed.")]
Characters = Annotated[bool | None, Parameter(help="For a vocabulary: characters, or words.")]
Lower = Annotated[bool | None, Parameter(help="For a vocabulary: texts are lower-cased first, or not.")]
Locale = Annotated[str | None, Parameter(help="Small letters as in Turkish (tr) or Azerbaijani (az): I to ı, İ to i.")]

# Training of recurrent models.
Level = Annotated[str, Parameter(help="word or character.")]
Vocabulary = Annotated[int, Parameter(help="Most words to know; the rest are one unknown word.")]
Layers = Annotated[int, Parameter(help="LSTM layers.")]
Rate = Annotated[float, Parameter(help="Adam's learning rate.")]
Clip = Annotated[float, Parameter(help="The largest norm of the gradient.")]
Patience = Annotated[int, Parameter(help="Epochs without a better validation after which training stops.")]
CheckpointEvery = Annotated[int, Parameter(help="Steps between checkpoints.")]
Device = Annotated[str, Parameter(help="cpu or cuda.")]
Resume = Annotated[bool, _switch("Go on with the run that was stopped.")]
