"""Write merges.npz: what Keras 3.15 makes of masks where signals are merged (since 3.4 otherwise than before).

    python -m pip install keras==3.15.1 torch && KERAS_BACKEND=torch python make_merges.py

Each case is an entry `NAME/x0`, `NAME/x1`, `NAME/w0…`, `NAME/y0`; x0 are ids whose 0 is masked, x1 too or features.
"""

import pathlib

import keras
import numpy as np

L = keras.layers
rng = np.random.default_rng(11)
B, T, F, N = 4, 6, 3, 2
out = {}
A = rng.integers(1, 9, (B, T)) * np.array([[0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0], [1] * 6])
C = rng.integers(1, 9, (B, T)) * np.array([[1, 0, 0, 1, 1, 1], [1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 0], [0] * 6])
X = rng.standard_normal((B, T, F)).astype("f4")
MERGES = {"add": L.Add, "subtract": L.Subtract, "multiply": L.Multiply, "average": L.Average, "maximum": L.Maximum,
          "minimum": L.Minimum, "concatenate": L.Concatenate, "over time": lambda: L.Concatenate(axis=1)}
for name, make in MERGES.items():
    for second in ("masked", "unmasked"):
        a = L.Input((T,), dtype="int32")
        one = L.Embedding(9, F, mask_zero=True)(a)
        b = L.Input((T,), dtype="int32") if second == "masked" else L.Input((T, F))
        other = L.Embedding(9, F, mask_zero=True)(b) if second == "masked" else b
        model = keras.Model([a, b], L.LSTM(N, return_sequences=True)(make()([one, other])))
        model.set_weights([rng.standard_normal(w.shape).astype("f4") / 2 for w in model.get_weights()])
        xs = (A, C if second == "masked" else X)
        key = f"{name} {second}"
        out |= {f"{key}/x{i}": x for i, x in enumerate(xs)} | {f"{key}/w{i}": w for i, w in
                                                              enumerate(model.get_weights())}
        out[f"{key}/y0"] = model.predict(list(xs), verbose=0)
np.savez_compressed(pathlib.Path(__file__).with_name("merges.npz"), **out)
print(len(MERGES) * 2, "cases")
