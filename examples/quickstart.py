"""Five minutes: compare two vectors, search, change the measure, ask why."""

import numpy as np

import kiyas

rng = np.random.default_rng(0)
vectors = rng.normal(size=(10_000, 64)).astype(np.float32) * rng.uniform(0.5, 2.0, size=(10_000, 1)).astype(np.float32)
query = vectors[42] + rng.normal(scale=0.3, size=64).astype(np.float32)

# A measure compares two vectors; larger is more alike, always.
for name in ("cosine", "ndd", "manhattan"):
    print(f"{name}: {kiyas.measure(name)(query, vectors[42]):.4f}")

# An index answers exactly, under any measure.
index = kiyas.Index(vectors, measure="ndd")
hits = index.search(query, k=3)
print("ndd:", hits.row())

# Another measure over the same rows, without copying them.
print("manhattan:", index.using("manhattan").search(query, k=3).row())

# Which dimensions made the first hit?
explanation = index.explain(query, hits.ids[0, 0])
print("helped:", explanation.helped(3), "hurt:", explanation.hurt(3))
print("the contributions:", explanation.pooling)
