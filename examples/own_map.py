"""A measure made for a collection from its own texts, and the choice that decides whether to use it.

Here the vectors are made up: half of their directions are noise that titles and texts do not share. With texts,
`kiyas.fit.text_pairs(texts, encoder)` makes the pairs; on an index of texts, `kiyas choose DIR` does all of this.
"""

import numpy as np

import kiyas
from kiyas.evaluate import choose_known
from kiyas.fit import Pairs, fit_own

rng = np.random.default_rng(0)
texts = rng.standard_normal((400, 16))
noise = np.repeat([2.0, 0.2], 8)
titles = texts + noise * rng.standard_normal((400, 16))
turn = np.linalg.qr(rng.standard_normal((16, 16)))[0]  # no dimension is noise by itself, as in an encoder's space
texts, titles = texts @ turn, titles @ turn
pairs = Pairs(titles, texts, np.arange(400))

fitted = fit_own(pairs, texts)
print(fitted.conclusion())

decision = choose_known(pairs, texts, measures=["dot", "euclidean", "manhattan"])
print(decision.conclusion())
print(decision.costs())

index = kiyas.Index(texts, measure=decision.measure)
print(index.search(titles[:1], k=3).ids)
