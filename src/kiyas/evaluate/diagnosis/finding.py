"""What a diagnosis consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Plot:
    """Numbers of a picture: ``kind`` histogram, lines, points or bars; ``series`` by name; titles of the axes."""

    kind: str
    series: dict[str, Any]
    x: str
    y: str = ""
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing about a space.

    ``key`` and ``title``; ``values`` by name; ``formula``; ``meaning``, in general; ``here``, in this space;
    ``effect``: which measures it makes equivalent or dangerous; ``concern``: "fine", "note" or "care".
    """

    key: str
    title: str
    values: dict[str, Any]
    formula: str
    meaning: str
    here: str
    effect: str
    concern: str = "fine"
    plot: Plot | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the numbers of the picture."""
        return {"title": self.title, "values": {k: v.tolist() if isinstance(v, np.ndarray) else v
                                                for k, v in self.values.items()},
                "formula": self.formula, "meaning": self.meaning, "here": self.here, "effect": self.effect,
                "concern": self.concern}
