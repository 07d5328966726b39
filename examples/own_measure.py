"""A measure of your own: a function of (A·B, ‖A‖², ‖B‖²), of a difference, or of two vectors."""

import numpy as np

import kiyas


def damped(p, a2, b2):
    """A dot product that very long vectors do not win."""
    return p / (1 + np.sqrt(a2) + np.sqrt(b2))


def within_reach(delta):
    """How many dimensions agree to 0.1."""
    return np.where(delta < 0.1, 1.0, 0.0)


rows = np.random.default_rng(0).normal(size=(20_000, 128)).astype(np.float32)
query = rows[3] * np.float32(1.02)

# Declared to increase in A·B, it is searched by proven bounds. The declaration is probed, and hits tell of it.
index = kiyas.Index(rows, measure=kiyas.user_measure(damped, increasing=True))
hits = index.search(query, k=2)
print(hits.row(), hits.path, f"{int(hits.rescored[0])} rows scored", "declared" if hits.declared else "")

# A function of the difference in one dimension takes part in all that exponential and gower can do.
agreeing = kiyas.user_measure(within_reach, trim=0.1)
print(index.using(agreeing).search(query, k=2).row())
