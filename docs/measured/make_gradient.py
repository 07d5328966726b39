"""Measure how far a gradient reaches back in an LSTM and in a plain RNN, and draw it: gradient.csv and gradient.svg.

All networks are fresh, with 32 units and 32 inputs drawn from N(0, 1) at each of 300 steps. A loss on the last output
is followed back through kiyas' own cells: its gradient with respect to the input of a step says how much the last
output still feels of that step. Norms are divided by that of the last step; curves are geometric means over 20
networks. Seeded; needs the extra "report" for the picture:

    python docs/measured/make_gradient.py
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kiyas.recurrent import LSTMCell, RNNCell

HERE = Path(__file__).parent
UNITS = INPUTS = 32
STEPS, FARTHEST, NETWORKS = 300, 100, 20

Norms = np.ndarray  # (steps,), the last step first


def uniform(rng: np.random.Generator, rows: int, columns: int, limit: float) -> np.ndarray:
    """Weights between −limit and limit."""
    return rng.uniform(-limit, limit, (rows, columns))


def orthogonal(rng: np.random.Generator) -> np.ndarray:
    """A random rotation, as Keras begins recurrent weights."""
    q, r = np.linalg.qr(rng.standard_normal((UNITS, UNITS)))
    return q * np.sign(np.diag(r))


def as_in_keras(rng: np.random.Generator) -> np.ndarray:
    """Weights (n, n + m) over [h, x]: orthogonal for h, Glorot's uniform for x."""
    return np.hstack([orthogonal(rng), uniform(rng, UNITS, INPUTS, np.sqrt(6 / (UNITS + INPUTS)))])


def as_in_pytorch(rng: np.random.Generator) -> np.ndarray:
    """Weights (n, n + m) over [h, x]: all uniform, up to 1/√n."""
    return uniform(rng, UNITS, UNITS + INPUTS, 1 / np.sqrt(UNITS))


def plain(rng: np.random.Generator, weights: Callable[[np.random.Generator], np.ndarray]) -> Norms:
    """Gradient norms of a plain RNN: each step back multiplies by (1 − h²) and by the weights."""
    W = weights(rng)
    cell = RNNCell(INPUTS, UNITS, {"W_h": W, "b_h": np.zeros(UNITS)})
    h, outputs = np.zeros(UNITS), []
    for x in rng.standard_normal((STEPS, INPUTS)):
        (h,) = cell.step(x, h)
        outputs.append(h)
    dh, norms = rng.standard_normal(UNITS), []
    for h in reversed(outputs):
        dv = W.T @ (dh * (1 - h * h))
        dh = dv[:UNITS]
        norms.append(np.linalg.norm(dv[UNITS:]))
    return np.array(norms)


def gated(rng: np.random.Generator, forget_bias: float) -> Norms:
    """Gradient norms of an LSTM: on the way through the cell state each step back multiplies by f alone."""
    W = {gate: as_in_keras(rng) for gate in "fiCo"}
    b = {gate: np.full(UNITS, forget_bias if gate == "f" else 0.0) for gate in "fiCo"}
    cell = LSTMCell(INPUTS, UNITS, {f"W_{g}": W[g] for g in W} | {f"b_{g}": b[g] for g in b})
    h, C, seen = np.zeros(UNITS), np.zeros(UNITS), []
    for x in rng.standard_normal((STEPS, INPUTS)):
        before = C
        h, C, gates = cell.step(x, h, C, explain=True)
        seen.append((gates, before))
    dh, dC, norms = rng.standard_normal(UNITS), np.zeros(UNITS), []
    for g, before in reversed(seen):
        shown = np.tanh(g.C)
        dC = dC + dh * g.o * (1 - shown * shown)
        dz = {"f": dC * before * g.f * (1 - g.f), "i": dC * g.C_tilde * g.i * (1 - g.i),
              "C": dC * g.i * (1 - g.C_tilde**2), "o": dh * shown * g.o * (1 - g.o)}
        dv = sum(W[gate].T @ dz[gate] for gate in "fiCo")
        dh, dC = dv[:UNITS], dC * g.f
        norms.append(np.linalg.norm(dv[UNITS:]))
    return np.array(norms)


CURVES: dict[str, Callable[[np.random.Generator], Norms]] = {
    "plain RNN, begun as in PyTorch": lambda rng: plain(rng, as_in_pytorch),
    "plain RNN, begun as in Keras": lambda rng: plain(rng, as_in_keras),
    "LSTM, forget bias 0": lambda rng: gated(rng, 0.0),
    "LSTM, forget bias 1 (as in Keras)": lambda rng: gated(rng, 1.0),
    "LSTM, forget bias 4": lambda rng: gated(rng, 4.0),
}


def measure() -> dict[str, np.ndarray]:
    """For each network the gradient at distances 0 to `FARTHEST` from the last step, relative to the last step."""
    found = {}
    for name, curve in CURVES.items():
        runs = np.stack([curve(np.random.default_rng(seed)) for seed in range(NETWORKS)])[:, : FARTHEST + 1]
        found[name] = np.exp(np.log(runs / runs[:, :1]).mean(axis=0))
    return found


def write_table(found: dict[str, np.ndarray], path: Path) -> None:
    """One row a distance, one column a network; three digits, so that every machine writes the same."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["distance", *found])
        for distance in range(FARTHEST + 1):
            writer.writerow([distance, *(f"{found[name][distance]:.2e}" for name in found)])


def draw(found: dict[str, np.ndarray], path: Path) -> None:
    """Lines over distance, down to where they leave the picture."""
    import altair as alt

    least = 1e-10
    colours = dict(zip(found, ("#d35400", "#e59866", "#85929e", "#5dade2", "#1a5276"), strict=True))
    points = [{"network": name, "distance": k, "gradient": float(value)}
              for name, values in found.items() for k, value in enumerate(values) if value >= least]
    x = alt.X("distance:Q", title="steps back from the last", scale=alt.Scale(domain=[0, FARTHEST], nice=False))
    y = alt.Y("gradient:Q", title="gradient norm, last step = 1",
              scale=alt.Scale(type="log", domain=[least, 1], nice=False),
              axis=alt.Axis(format=".0e", values=[10.0**-k for k in range(0, 11, 2)]))
    colour = alt.Color("network:N", title=None, sort=[*reversed(colours)],
                       scale=alt.Scale(domain=[*reversed(colours)], range=[*reversed(colours.values())]),
                       legend=alt.Legend(labelLimit=0, labelFontSize=12, symbolStrokeWidth=3))
    chart = alt.Chart(alt.Data(values=points)).mark_line(strokeWidth=2.5).encode(x, y, colour)
    chart = chart.properties(width=430, height=260, background="white").configure_view(strokeWidth=0)
    chart.save(str(path))


if __name__ == "__main__":
    measured = measure()
    write_table(measured, HERE / "gradient.csv")
    draw(measured, HERE / "gradient.svg")
