"""4096 dimensions, each scored by itself; the tenth that disagrees most is dropped."""

import numpy as np

import kiyas

rng = np.random.default_rng(0)
dims = 4096
rows = rng.normal(size=(500, dims)).astype(np.float32)
query = rows[7].copy()
# A tenth of the dimensions are ruined, as by a broken sensor.
broken = rng.choice(dims, size=dims // 10, replace=False)
query[broken] += rng.normal(scale=50.0, size=broken.size).astype(np.float32)

measure = kiyas.measure("exponential(trim=0.1, bandwidth=0.5)")
profile = measure.profile(query, rows[7])
print(f"{int((profile < 0.5).sum())} of {dims} dimensions disagree")
print(f"exponential, trimmed: {measure(query, rows[7]):.4f}  cosine: {kiyas.measure('cosine')(query, rows[7]):.4f}")

index = kiyas.Index(rows, measure=measure)
best, score = index.search(query, k=1).row()[0]
print(f"found row {best} with score {score:.4f}")
assert best == 7
