"""Memory, measured in processes of their own: a peak that one engine leaves behind must not count for the next.

Run as a program, it is such a process: it opens the vectors, builds one engine, searches, and prints what it took.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

_MB = 1 << 20
_NAMES = ("kiyas cosine", "kiyas manhattan", "FAISS IndexFlat IP", "usearch exact IP", "scikit-learn brute",
          "NumPy product", "torch matmul", "kiyas cosine, memory-mapped")


def measure_all(X: np.ndarray, Q: np.ndarray, names: tuple[str, ...] = _NAMES) -> list[dict]:
    """What each engine takes beside the vectors: one entry an engine, those not installed with the reason."""
    if not Path("/proc/self/status").exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("x", X), ("q", Q)):
            np.save(Path(folder) / f"{name}.npy", array)
        found = []
        for name in names:
            run = subprocess.run([sys.executable, __file__, name, folder], capture_output=True, text=True, check=False)
            if run.returncode == 0:
                found.append({"name": name, **json.loads(run.stdout.splitlines()[-1])})
            else:
                found.append({"name": name, "error": run.stderr.strip().splitlines()[-1]})
        return found


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _reset_peak() -> None:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def _child(name: str, folder: Path) -> dict:
    import peers
    from engines import Threads

    mapped = name.endswith("memory-mapped")
    X, Q = np.load(folder / "x.npy", mmap_mode="r" if mapped else None), np.load(folder / "q.npy")
    small = np.ascontiguousarray(X[:512])
    make = {"FAISS IndexFlat IP": lambda rows: peers.faiss_flat(rows, "IP"), "usearch exact IP": peers.usearch_exact,
            "scikit-learn brute": lambda rows: peers.sklearn_brute(rows, "euclidean"),
            "NumPy product": peers.numpy_product, "torch matmul": peers.torch_product}

    def search(rows: np.ndarray):
        if name.startswith("kiyas"):
            import kiyas

            index = kiyas.Index(rows, name.removeprefix("kiyas ").removesuffix(", memory-mapped"))
            index.search(Q, k=10)
            return index
        engine = make[name](rows)
        engine.setting, engine.threads = engine.settings[-1], 2
        engine(Q)
        return engine

    Threads.look()
    Threads.allow(2)
    search(small)  # libraries and their pools are loaded, which is no part of what the rows cost
    _reset_peak()
    before, anonymous = _status("VmRSS"), _status("RssAnon")
    kept = search(X)
    out = {"peak_mb": (_status("VmHWM") - before) / _MB, "vectors_mb": X.nbytes / _MB}
    gc.collect()
    out["held_mb"] = (_status("RssAnon") - anonymous) / _MB
    if name.startswith("kiyas"):
        out["code_mb"] = kept.info["code_bytes"] / _MB
        out["bytes_a_dimension"] = kept.info["code_bytes"] / X.size
    return out


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1], Path(sys.argv[2]))))
