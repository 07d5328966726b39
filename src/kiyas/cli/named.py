"""What an argument ``--measure`` means."""

from __future__ import annotations

from kiyas.arrays import Array
from kiyas.cli import show
from kiyas.errors import InputError
from kiyas.fit.files import is_measure, load_measure
from kiyas.measures import Measure
from kiyas.measures import measure as make_measure
from kiyas.measures.hubness import HubnessCorrected

# Measures that no name gives, and the command that makes one.
MADE_BY = {"learned": "kiyas learn", "linear_map": "kiyas fit"}


def measure_of(text: str) -> Measure:
    """A measure by its text, or the one that ``kiyas fit`` or ``kiyas choose`` wrote into a directory of that name."""
    if is_measure(text):
        return load_measure(text)
    if text in MADE_BY:
        raise InputError(f"{text} is made from your data: give the directory that {MADE_BY[text]} wrote")
    return make_measure(text)


def fitted(measure: Measure, rows: Array) -> Measure:
    """The measure fitted on the rows of an index, with a bar where that takes a product of all rows with all rows."""
    if measure.fitted:
        return measure
    if not isinstance(measure, HubnessCorrected):
        return measure.fit(rows)
    with show.progress(f"fitting {measure.name}") as report:
        return measure.fit(rows, progress=report)
