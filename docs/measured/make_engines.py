"""Measure one LSTM layer in kiyas, ONNX Runtime and PyTorch, exported by kiyas: engines.csv.

One thread each, the least of many runs in turn; in microseconds a time step of the whole batch. PyTorch runs what
`to_torch` makes, in inference mode. Only the ratios within a line mean much. Needs the groups test and torch:

    python docs/measured/make_engines.py
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from kiyas.recurrent import Model, export_onnx, to_torch
from kiyas.recurrent.layers import LSTM

HERE = Path(__file__).parent
CASES = [(steps, batch) for steps, batch in ((1, 1), (100, 1), (100, 64))]
SIZES = (64, 128, 512)
SECONDS = 6.0


def least(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The shortest time of each, in seconds; they take turns, so that all see the same machine."""
    found = dict.fromkeys(functions, float("inf"))
    stop = time.perf_counter() + SECONDS
    while time.perf_counter() < stop:
        for name, function in functions.items():
            for _ in range(3):
                start = time.perf_counter()
                function()
                found[name] = min(found[name], time.perf_counter() - start)
    return found


def measure(n: int, steps: int, batch: int) -> dict[str, float]:
    """Microseconds a time step, by engine; all three carry the state when there is one step only."""
    rng = np.random.default_rng(0)
    layer = LSTM("lstm", rng.normal(0, 0.1, (4 * n, n)), rng.normal(0, 0.1, (4 * n, n)), np.zeros(4 * n),
                 return_sequences=True)
    model = Model.sequential([layer])
    x = rng.standard_normal((batch, steps, n), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, Path(folder) / "m.onnx", state=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(Path(folder) / "m.onnx"), options,
                                               providers=["CPUExecutionProvider"])
    module, tensor = to_torch(model), torch.from_numpy(x)
    zeros = np.zeros((batch, n), np.float32)
    given = {"input": x, "lstm.0": zeros, "lstm.1": zeros}
    state = {"lstm": [torch.zeros(batch, n), torch.zeros(batch, n)]}
    stream = model.stream(batch)
    one = x[:, 0]

    def in_pytorch() -> object:
        with torch.inference_mode():
            return module(tensor, state=state, return_state=True)

    found = least({"kiyas": (lambda: model.predict(x)) if steps > 1 else (lambda: stream.step(one)),
                   "ONNX Runtime": lambda: session.run(None, given), "PyTorch": in_pytorch})
    return {name: 1e6 * value / steps for name, value in found.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with (HERE / "engines.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["steps", "batch", "n = m", "kiyas", "ONNX Runtime", "PyTorch"])
        for steps, batch in CASES:
            for n in SIZES:
                writer.writerow([steps, batch, n, *(f"{v:.3g}" for v in measure(n, steps, batch).values())])
