"""The cases of the recurrent benchmark: kiyas and its peers take turns, and their answers are compared."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import recurrent_peers as peers
from recurrent_limits import Limits
from timing import Times

from kiyas.kernels.recurrent import PRECISIONS
from kiyas.recurrent import Model, Tokenizer, generate
from kiyas.recurrent.layers import LSTM, Dense, Embedding

# What float32 engines may differ by, and what smaller weights may cost at most in these models.
_AGREE = {"float32": 1e-4, "bfloat16": 0.02, "int8": 0.05}
_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class Effort:
    """Seconds an engine may use in a case, the least and the most repetitions, and a pause after threaded calls."""

    seconds: float = 0.5
    least: int = 3
    most: int = 300
    sample: float = 0.002
    pause: float = 0.0


def race(engines: dict[str, Callable[[], object]], effort: Effort) -> Times:
    """All engines take turns, in reversed order every other time; a sample is as many calls as last a few ms.

    A turn begins with a call that is not timed: an engine is not compared by what others left in the caches.
    One whose single call outlasts its time is timed once.
    """
    calls, least = {}, {}
    for name, call in engines.items():
        start = time.perf_counter()
        call()
        first = max(time.perf_counter() - start, 1e-7)
        calls[name] = int(np.clip(np.ceil(effort.sample / first), 1, 5000))
        least[name] = effort.least if first < 2 * effort.seconds else 1
    times = Times()
    used = dict.fromkeys(engines, 0.0)
    for repetition in range(effort.most):
        order = list(engines) if repetition % 2 == 0 else list(engines)[::-1]
        for name in order:
            if repetition >= least[name] and used[name] > effort.seconds:
                times.add(name, float("nan"))
                continue
            if effort.pause:
                time.sleep(effort.pause)
            call = engines[name]
            turn = time.perf_counter()
            call()
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            end = time.perf_counter()
            spent = end - start
            used[name] += end - turn
            times.add(name, spent / calls[name])
        if repetition >= max(least.values()) and all(u > effort.seconds for u in used.values()):
            break
    return times


class Cases:
    """Runs them and says what was found, as plain dictionaries."""

    def __init__(self, effort: Effort, limits: Limits) -> None:
        self.effort, self.limits = effort, limits
        self.missing: set[str] = set()

    def step(self, n: int, batch: int) -> dict:
        """A single step from Python, n = m, the state carried."""
        layer = peers.Layer(n, n)
        x = _inputs(batch, 1, n)[:, 0].copy()
        others, missing = peers.of_steps(layer, x)
        self.missing |= set(missing)
        wanted = others[-1].call().copy()
        engines, errors = {}, {}
        for e in others[:-1]:
            errors[e.name] = float(np.abs(e.call() - wanted).max())
        engines |= {e.name: e.call for e in others}
        for precision in PRECISIONS:
            model = _model(layer, precision)
            stream, name = model.stream(batch), f"kiyas {precision}"
            errors[name] = float(np.abs(stream.step(x) - wanted).max())
            engines[name] = lambda stream=stream: stream.step(x)
        engines["kiyas float32, Model.step"] = _functional(_model(layer, "float32"), x)
        _agree(errors)
        return self._case("step", n, batch, 1, 1, race(engines, self.effort), errors, 4 * n * 2 * n, n)

    def sequence(self, n: int, batch: int, time_: int, threads: int) -> dict:
        """Whole sequences from a state of zeros, n = m; times are those of a step."""
        layer, x = peers.Layer(n, n), _inputs(batch, time_, n)
        others, missing = peers.of_sequences(layer, x, threads)
        if batch * time_ > 2000:  # a loop over cells in Python has nothing more to tell there
            others = [e for e in others if e.name != "torch LSTMCell"]
        self.missing |= set(missing)
        engines = {e.name: e.call for e in others}
        model = _model(layer, "float32")
        wanted = model.predict(x, threads=threads).transpose(1, 0, 2)
        errors = {e.name: float(np.abs(e.call() - wanted).max()) for e in others}
        for precision in PRECISIONS:
            made, name = _model(layer, precision), f"kiyas {precision}"
            errors[name] = float(np.abs(made.predict(x, threads=threads).transpose(1, 0, 2) - wanted).max())
            engines[name] = lambda made=made: made.predict(x, threads=threads)
        cell, out = model.nodes[-1].layer.cells, np.empty((batch, time_, n), np.float32)
        engines["kiyas float32, the cell alone"] = lambda: cell.sequence(x, out=out, threads=threads)
        _agree(errors)
        effort = self.effort if threads == 1 else Effort(self.effort.seconds, self.effort.least, self.effort.most,
                                                         self.effort.sample, 0.02)
        times = race(engines, effort)
        return self._case("sequence", n, batch, time_, threads, times, errors, 4 * n * n, n)

    def _case(self, kind: str, n: int, batch: int, time_: int, threads: int, times: Times, errors: dict[str, float],
              weights: int, m: int) -> dict:
        entries = []
        flops = self.limits.flops()
        for name in times.of:
            entry = {"name": name, "least_us": 1e6 * times.least(name) / time_,
                     "median_us": 1e6 * times.median(name) / time_, "repetitions": times.count(name),
                     "error": errors.get(name)}
            if name.startswith("kiyas"):
                precision = name.split()[1].strip(",")
                size = weights * _BYTES[precision]
                bandwidth = self.limits.bandwidth(size)
                if bandwidth:
                    entry["floor_us"] = 1e6 * size / bandwidth
                if flops and precision == "float32":
                    entry["arithmetic_us"] = 1e6 * 8 * n * (n + m) * batch / flops
            entries.append(entry)
        mine = [name for name in times.of if name.startswith("kiyas")]
        print(f"  {kind} n={n} batch={batch} time={time_} threads={threads}: " +
              ", ".join(f"{e['name']} {e['least_us']:.2f}" for e in entries), flush=True)
        return {"case": kind, "n": n, "batch": batch, "time": time_, "threads": threads, "entries": entries,
                "ratios": {a: {b: times.ratio(a, b) for b in mine} for a in times.of},
                "ratios_of_least": {a: {b: times.ratio_of_least(a, b) for b in mine} for a in times.of}}

    def generation(self, units: int, vocabulary: int, tokens: int) -> dict:
        """A word model of two layers: the state carried, beside a window of all the text, read for each word."""
        rng = np.random.default_rng(5)

        def draw(*shape: int) -> np.ndarray:
            return (rng.standard_normal(shape) * 0.7 / np.sqrt(shape[-1])).astype(np.float32)

        def lstm(name: str, every: bool) -> LSTM:
            return LSTM(name, draw(4 * units, units), draw(4 * units, units), np.zeros(4 * units, np.float32),
                        return_sequences=every)

        model = Model.sequential([Embedding("embedding", draw(vocabulary, units) * 8), lstm("first", True),
                                  lstm("second", False), Dense("dense", draw(vocabulary, units) * 4, None, "softmax")])
        words = " ".join(f"w{i}" for i in range(vocabulary - 1))
        tokenizer = Tokenizer()
        tokenizer.fit_on_texts([words])
        seed = "w5 w17 w3"
        window = tokens + 3

        def carried() -> object:
            return generate(model, tokenizer, seed, tokens)

        def logged() -> object:
            return generate(model, tokenizer, seed, tokens).log_probabilities

        def windowed() -> object:
            return generate(model, tokenizer, seed, tokens, window=window, carry=False)

        ways = {"kiyas, state carried": carried, "kiyas, state carried, log-probabilities asked for": logged,
                "kiyas, window read again": windowed}
        # A first look finds the words: they have to be those of all outputs.
        made, whole = (generate(model, tokenizer, seed, tokens, probabilities=p) for p in (False, True))
        if made.ids.tolist() != whole.ids.tolist():
            raise SystemExit("generation: the words differ from those of all probabilities")
        loop = peers.keras_loop(model, tokenizer, seed, tokens, window)
        if loop is None:
            self.missing.add("keras")
        else:
            ways["Keras predict loop"] = loop
        times = race(ways, Effort(self.effort.seconds, 2, 20, 0.0))
        found = {"units": units, "vocabulary": vocabulary, "tokens": tokens, "window": window,
                 "ms": {name: {"least": 1e3 * times.least(name), "median": 1e3 * times.median(name)}
                        for name in times.of},
                 "ratio": times.ratio("kiyas, window read again", "kiyas, state carried")}
        found["ratio_of_least"] = times.ratio_of_least("kiyas, window read again", "kiyas, state carried")
        if loop is not None:
            found["keras_ratio"] = times.ratio("Keras predict loop", "kiyas, state carried")
            found["keras_ratio_of_least"] = times.ratio_of_least("Keras predict loop", "kiyas, state carried")
        print(f"  generation: {found['ms']}", flush=True)
        return found

    def imports(self, repetitions: int) -> dict:
        """Seconds until a model can be loaded, run and made to write, beyond `import numpy`; a process of its own each.

        Names of kiyas.recurrent are imported when they are first used, so those that anyone uses are named.
        """
        code = "import time; a = time.perf_counter(); import {}; print(time.perf_counter() - a)"

        def seconds(modules: str) -> float:
            done = subprocess.run([sys.executable, "-c", code.format(modules)], capture_output=True, text=True,
                                  check=True)
            return float(done.stdout)

        numpy, ours = [], []
        for _ in range(repetitions):
            numpy.append(seconds("numpy"))
            ours.append(seconds("numpy; from kiyas.recurrent import Model, Tokenizer, generate, load"))
        print(f"  import: {min(ours) - min(numpy):.3f} s beyond NumPy", flush=True)
        return {"numpy_ms": 1e3 * min(numpy), "beyond_ms": 1e3 * (min(ours) - min(numpy)),
                "beyond_median_ms": 1e3 * float(np.median(np.array(ours) - np.array(numpy)))}

    def precision(self, n: int, time_: int) -> dict:
        """What smaller weights cost: outputs beside those of float32, and float32 beside NumPy in float64."""
        layer, x = peers.Layer(n, n), _inputs(16, time_, n)
        true = _double(layer, x)
        found = {}
        for precision in PRECISIONS:
            gap = np.abs(_model(layer, precision).predict(x) - true)
            found[precision] = {"most": float(gap.max()), "rms": float(np.sqrt(np.mean(gap**2))),
                                "relative": float(np.sqrt(np.mean(gap**2) / np.mean(true**2)))}
        return {"n": n, "time": time_, "errors": found}


def _inputs(batch: int, time_: int, m: int) -> np.ndarray:
    return np.random.default_rng([batch, time_, m]).standard_normal((batch, time_, m)).astype(np.float32)


def _model(layer: peers.Layer, precision: str) -> Model:
    return Model.sequential([LSTM("lstm", layer.W, layer.R, layer.b, return_sequences=True, precision=precision)])


def _functional(model: Model, x: np.ndarray) -> Callable[[], object]:
    held = [None]

    def step() -> object:
        y, held[0] = model.step(x, held[0])
        return y

    return step


def _agree(errors: dict[str, float]) -> None:
    for name, error in errors.items():
        precision = name.split()[1] if name.startswith("kiyas") else "float32"
        if not error <= _AGREE[precision]:
            sys.exit(f"WRONG: {name} differs by {error:.3g}")


def _double(layer: peers.Layer, x: np.ndarray) -> np.ndarray:
    W, R, b, x = (a.astype(np.float64) for a in (layer.W, layer.R, layer.b, x))
    h = c = np.zeros((x.shape[0], layer.n))
    out = np.empty((*x.shape[:2], layer.n))
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ W.T + h @ R.T + b, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        out[:, t] = h
    return out
