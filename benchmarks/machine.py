"""The machine: its processor, versions, and what it can do at best (bytes read, byte operations)."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from timing import timed

import kiyas
from kiyas import kernels

_FLAGS = {
    "avx2": ["-mavx2"],
    "avx512": ["-mavx512f", "-mavx512bw"],
    "avx512vnni": ["-mavx512f", "-mavx512bw", "-mavx512vnni"],
}
_PACKAGES = ("numpy", "scipy", "faiss-cpu", "usearch", "scikit-learn", "torch", "numba")


@dataclass(frozen=True)
class Limits:
    """What bounds any scan: bytes read a second, byte products and byte differences a second; None if unmeasured."""

    bandwidth: float
    dots: float | None
    differences: float | None

    def better(self, other: Limits) -> Limits:
        """The larger of each."""
        if self.dots is None or other.dots is None or self.differences is None or other.differences is None:
            return Limits(max(self.bandwidth, other.bandwidth), None, None)
        return Limits(max(self.bandwidth, other.bandwidth), max(self.dots, other.dots),
                      max(self.differences, other.differences))

    def floor(self, read: float, operations: float, kind: str) -> tuple[float, str]:
        """Least seconds, and which limit sets it."""
        peak = self.dots if kind == "dots" else self.differences
        by_bytes, by_work = read / self.bandwidth, operations / peak if peak else 0.0
        return max(by_bytes, by_work), "reading" if by_bytes >= by_work else "byte operations"


def facts(packages: tuple[str, ...] = _PACKAGES) -> dict:
    """What a reader needs to judge the figures, with the versions of these packages."""
    versions = {"python": platform.python_version(), "kiyas": kiyas.__version__}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "processors": kernels.default_threads(),
        "level": kernels.levels()[kernels.level()],
        "vnni": "vnni" in kernels.levels()[kernels.level()],
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "blas": _blas(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or "unknown"
    lines = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
    found = {key.strip(): value.strip() for key, value in lines.items()}
    family = f"family {found['cpu family']}, model {found['model']}" if "cpu family" in found else ""
    return f"{found.get('model name', platform.processor())} ({family})" if family else platform.processor()


def _blas() -> list[str]:
    """BLAS libraries loaded now: whose wheel carries which, with its kernels and threading."""
    try:
        import threadpoolctl
    except ImportError:
        return []
    found = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    return sorted(" ".join([f"{Path(lib['filepath']).parent.name}:", lib["internal_api"], str(lib["version"]),
                            lib["architecture"], lib["threading_layer"]]) for lib in found)


def limits(threads: int, size: int) -> Limits:
    """Measured with ``size`` bytes of memory; best of a few runs, as any disturbance only slows down."""
    library = _compiled()
    data = np.ones(size // 8, np.int64)
    if library is None:  # NumPy's own sums: a little below what a kernel reaches
        return Limits(_best(lambda part: int(part.sum()) and part.nbytes, np.array_split(data, threads)), None, None)

    def read(part: np.ndarray) -> int:
        return library.reading(part.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(part.nbytes))

    steps = [20_000_000 // 8] * threads
    return Limits(_best(read, np.array_split(data, threads)), _best(lambda n: library.dots(ctypes.c_int64(n)), steps),
                  _best(lambda n: library.differences(ctypes.c_int64(n)), steps))


def _best(work, parts: list, runs: int = 7) -> float:
    done = [0] * len(parts)

    def one(i: int) -> None:
        done[i] = work(parts[i])

    def run() -> None:
        others = [threading.Thread(target=one, args=(i,)) for i in range(len(parts))]
        for thread in others:
            thread.start()
        for thread in others:
            thread.join()

    seconds = min(timed(run) for _ in range(runs))
    return sum(done) / seconds


def _compiled() -> ctypes.CDLL | None:
    """peak.c at the level in use; None without a compiler or on levels that it does not know."""
    flags, compiler = _FLAGS.get(kernels.levels()[kernels.level()]), shutil.which("cc") or shutil.which("gcc")
    if flags is None or compiler is None:
        return None
    folder = tempfile.mkdtemp()
    target = Path(folder) / "peak.so"
    command = [compiler, "-O2", "-shared", "-fPIC", *flags, "-o", str(target), str(Path(__file__).with_name("peak.c"))]
    try:
        subprocess.run(command, check=True, capture_output=True)
        library = ctypes.CDLL(str(target))
    except (subprocess.CalledProcessError, OSError):
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("dots", "differences", "reading"):
        getattr(library, name).restype = ctypes.c_int64
    return library
