"""What the machine can do at best for a recurrent step: the bandwidth of its caches, multiply-adds."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from timing import timed

from kiyas import kernels

_FLAGS = {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f"], "avx512vnni": ["-mavx512f"]}


class Limits:
    """Measured when asked, the best kept: any disturbance only slows down. None of it without a compiler."""

    def __init__(self) -> None:
        self._library = _compiled()
        self._data = np.ones(1 << 24, np.float32)
        self._best: dict[int, float] = {}
        self._flops = 0.0

    def bandwidth(self, size: int) -> float | None:
        """Bytes a second, read again and again from a buffer of ``size`` bytes by one thread."""
        if self._library is None:
            return None
        count = max(512, size // 4 // 128 * 128)
        times = max(1, int(2e7 // (count * 4)))
        pointer = self._data.ctypes.data_as(ctypes.c_void_p)

        def read() -> None:
            self._library.rereading(pointer, ctypes.c_int64(count), ctypes.c_int64(times))

        read()
        found = count * 4 * times / min(timed(read) for _ in range(30))
        self._best[count] = max(self._best.get(count, 0.0), found)
        return self._best[count]

    def flops(self) -> float | None:
        """Float operations a second of one thread, in registers."""
        if self._library is None:
            return None
        steps = 100_000
        done = self._library.multiply_adds(ctypes.c_int64(steps))
        seconds = min(timed(lambda: self._library.multiply_adds(ctypes.c_int64(steps))) for _ in range(30))
        self._flops = max(self._flops, done / seconds)
        return self._flops


def _compiled() -> ctypes.CDLL | None:
    flags, compiler = _FLAGS.get(kernels.levels()[kernels.level()]), shutil.which("cc") or shutil.which("gcc")
    if flags is None or compiler is None:
        return None
    folder = tempfile.mkdtemp()
    target = Path(folder) / "peak.so"
    source = Path(__file__).with_name("recurrent_peak.c")
    try:
        subprocess.run([compiler, "-O3", "-shared", "-fPIC", *flags, "-o", str(target), str(source)], check=True,
                       capture_output=True)
        library = ctypes.CDLL(str(target))
    except (subprocess.CalledProcessError, OSError):
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    library.multiply_adds.restype = ctypes.c_int64
    return library
