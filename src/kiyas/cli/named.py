"""What an argument ``--measure`` means."""

from __future__ import annotations

from kiyas.fit.files import is_measure, load_measure
from kiyas.measures import Measure
from kiyas.measures import measure as make_measure


def measure_of(text: str) -> Measure:
    """A measure by its text, or the one that ``kiyas fit`` or ``kiyas choose`` wrote into a directory of that name."""
    return load_measure(text) if is_measure(text) else make_measure(text)
