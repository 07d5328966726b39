"""``kiyas index``: files to a directory that can be searched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from kiyas.cli import show
from kiyas.cli.named import fitted, measure_of
from kiyas.directory import replacing, require_writable
from kiyas.encode import encoder as make_encoder
from kiyas.encode.collection import Collection, free_or_ours, is_collection
from kiyas.encode.files import Records, read_files
from kiyas.errors import InputError
from kiyas.measures.base import Measure
from kiyas.search import Index

# For encoders without a limit of their own: the mean of more tokens says little about any of them.
PASSAGE_TOKENS = 256


@dataclass(frozen=True)
class Options:
    """How to read the files, and where to write."""

    ids: str | None = None
    text_column: str | None = None
    title_column: str | None = None
    vector_column: str | None = None
    lines: bool = False
    passage_tokens: int | None = None
    overwrite: bool = False
    blank: str = "error"

    def check(self, records: Records, file: Path) -> None:
        """Raise `InputError` for an option that says nothing about what the files hold."""
        holds, wants = ("texts", "vectors") if records.vectors is None else ("vectors", "texts")
        about = {"--vector-column": self.vector_column} if records.vectors is None else {
            "--text-column": self.text_column, "--title-column": self.title_column, "--lines": self.lines or None,
            "--passage-tokens": self.passage_tokens, "--blank": None if self.blank == "error" else self.blank}
        for option, value in about.items():
            if value is not None:
                raise InputError(f"{option} is for {wants}, and {file} holds {holds}; leave it out")


def run(files: list[Path], output: Path, measure: str, encoder: str, options: Options, json: bool) -> None:
    """Read, encode, index, save, and tell what was made."""
    if not files:
        raise InputError("no file was given: kiyas index FILE… -o DIR")
    # What can be wrong without reading anything comes first, before minutes of encoding.
    chosen = measure_of(measure)
    free_or_ours(output, options.overwrite)
    require_writable(output)
    records = read_files(files, text_column=options.text_column, title_column=options.title_column,
                         vector_column=options.vector_column, ids=options.ids, lines=options.lines)
    options.check(records, files[0])
    if records.vectors is not None:
        facts = _vectors(records.vectors, records, output, chosen)
    else:
        facts = _texts(records, output, chosen, encoder, options)
    if json:
        show.print_json({"directory": str(output), **facts})
        return
    what = show.many(facts["rows"], "vector") if records.texts is None else \
        f"{show.many(facts['texts'], 'text')} in {show.many(facts['passages'], 'passage')}"
    out = show.console()
    out.print(Text.assemble((str(output), "bold"), f": {what} of {facts['dims']} dimensions under {facts['measure']}"))
    query = "QUERY.npy" if records.texts is None else '"your question"'
    out.print(Text(f"Search it: kiyas search {output} {query}", style="dim"))


def _vectors(vectors: np.ndarray, records: Records, output: Path, measure: Measure) -> dict[str, Any]:
    index = Index(vectors, measure=fitted(measure, vectors), ids=records.ids)
    if is_collection(output):
        # `Index.save` replaces nothing but an index.
        with replacing(output) as part:
            index.save(part)
    else:
        index.save(output)
    return index.info


def _texts(records: Records, output: Path, measure: Measure, encoder: str, options: Options) -> dict[str, Any]:
    chosen = make_encoder(encoder)
    tokens = options.passage_tokens
    if tokens is None:
        tokens = chosen.max_tokens or PASSAGE_TOKENS
    with show.progress("encoding") as report:
        collection = Collection.build(records.texts or [], chosen, ids=records.ids, passage_tokens=tokens or None,
                                      progress=report, blank=options.blank)
    collection = collection.using(fitted(measure, collection.index.vectors))
    collection.save(output, options.overwrite)
    return collection.info
