"""Where to start when there is nothing to measure with: a measure for each purpose, with reasons for and against.

Reasons, not results: the table in docs/measures.md has their sources. As soon as a few dozen queries are judged,
`kiyas.evaluate.choose` decides on them instead.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

from kiyas.errors import InputError, message


class Advice(NamedTuple):
    """A measure as the text that makes it, why it, what speaks against it, and how to find out."""

    measure: str
    why: str
    against: str
    check: str


PURPOSES: dict[str, Advice] = {
    "plain-retrieval": Advice(
        "cosine", "Text encoders are trained with it, and on vectors of one length most other measures rank the same.",
        "Models trained with dot want dot; what their card names goes first.",
        "kiyas choose DIR (known items) or with --queries and --qrels; kiyas fit DIR often gains a little."),
    "hierarchy": Advice(
        "poincare", "Trees fit into few hyperbolic dimensions: general things near the centre, special ones outside.",
        "It needs vectors trained in the ball (kiyas.fit); ordinary embeddings scaled into it gain nothing known, and "
        "with 50 dimensions or more Euclidean training does as well.",
        "Compare mean rank and MAP with a Euclidean run of the same dimensions."),
    "long-texts": Advice(
        "cosine", "Over passages, a text scored by its best one: averaging a whole text blurs it.",
        "Many passages take memory; dot and ndd rank long averaged texts down.",
        "kiyas search --by best and --by mean3 on the same questions; kiyas diagnose shows score against length."),
    "consistency": Advice(
        "angular", "An even scale and a true metric on directions: thresholds and clusters mean the same everywhere.",
        "It ranks as cosine does; where equal vectors only may reach 1, take euclidean or dice.",
        "Label a few dozen pairs as same or different and run kiyas evaluate --pairs."),
    "learned-relevance": Advice(
        "linear_map", "Fitted to pairs that belong together, with cosine behind it: the one clear gain measured; "
        "a query is mapped once, then searched as under cosine.",
        "It needs pairs or texts to make them of, and it is one encoder's own. A network has to beat it first.",
        "kiyas fit DIR makes it and says what it gained on pairs held out; kiyas choose tests it on judged queries."),
    "speed": Advice(
        "cosine", "One matrix product; all inner measures share one certified scan and cost the same within a little.",
        "Per-dimension measures and trimming cost several times as much.",
        "make bench measures them on your machine."),
}


def advise(purpose: str) -> Advice:
    """The starting point for a purpose, by name.

    >>> advise("speed").measure
    'cosine'
    """
    key = purpose.strip().lower().replace("_", "-").replace(" ", "-")
    if key not in PURPOSES:
        near = difflib.get_close_matches(key, PURPOSES, n=1)
        raise InputError(message("advise", "purpose", f"one of {', '.join(PURPOSES)}", repr(purpose),
                                 f"did you mean {near[0]}?" if near else ""))
    return PURPOSES[key]
