"""Vectors that stay in their file: only the codes, about a byte a dimension, take memory."""

import tempfile
from pathlib import Path

import numpy as np

import kiyas

rng = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "vectors.npy"
    np.save(path, rng.normal(size=(20_000, 128)).astype(np.float32))

    index = kiyas.Index(np.load(path, mmap_mode="r"), measure="ndd")
    print(index.search(rng.normal(size=128), k=3).row())
    print(f"file {path.stat().st_size / 1e6:.1f} MB, codes {index.info['code_bytes'] / 1e6:.1f} MB,",
          "memory-mapped" if index.info["memory_mapped"] else "in memory")

    # A saved index is memory-mapped as well.
    index.save(Path(folder) / "index")
    print(kiyas.Index.load(Path(folder) / "index"))
