"""The peers, each at its best: indexes built before the clock starts, the fastest of their settings used.

A peer that is not installed is left out, and the report says so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from engines import Engine, K, Threads, best

# FAISS's switch between its own loop, which reads all rows for every query, and blocks for BLAS: queries × dims
# (docs/benchmarks.md, "FAISS at batch 256"). The wheel's OpenBLAS splits every block over its threads, which larger
# blocks make worth while.
_FAISS = {
    "default": (128_000, 1024),
    "its own loop": (1 << 30, 1024),
    "BLAS, 1024 rows": (1, 1024),
    "BLAS, 16384 rows": (1, 16_384),
}
_DEFAULT = "default"
_BLOCKS = {"one product": 1 << 30, "16384 rows a product": 16_384}


def faiss_flat(X: np.ndarray, metric: str) -> Engine:
    """IndexFlat under IP, L2 or L1. Under L1 a single query runs on one thread, so there also with the rows over
    two shards, a thread each."""
    import faiss

    kind = {"IP": faiss.METRIC_INNER_PRODUCT, "L2": faiss.METRIC_L2, "L1": faiss.METRIC_L1}[metric]
    whole = faiss.IndexFlat(X.shape[1], kind)
    whole.add(X)
    halves, parts = None, []
    if metric == "L1":
        halves = faiss.IndexShards(X.shape[1], True, True)
        for rows in np.array_split(X, 2):
            parts.append(faiss.IndexFlat(X.shape[1], kind))
            parts[-1].add(np.ascontiguousarray(rows))
            halves.add_shard(parts[-1])

    def search(queries: np.ndarray, setting: str) -> np.ndarray:
        blas = _FAISS.get(setting, _FAISS[_DEFAULT])
        faiss.cvar.distance_compute_blas_threshold, faiss.cvar.distance_compute_blas_database_bs = blas
        # Shards bring threads of their own, so with one thread they are not asked.
        index = halves if setting == "two shards" and Threads.count > 1 else whole
        return index.search(queries, K)[1]

    settings = (_DEFAULT, "two shards") if metric == "L1" else tuple(_FAISS)
    measure = {"IP": "dot", "L2": "euclidean", "L1": "manhattan"}[metric]
    engine = Engine(f"FAISS IndexFlat {metric}", "faiss", measure, search, settings, ("two shards",))
    engine.parts = parts  # kept, as shards do not own their indexes
    return engine


def usearch_exact(X: np.ndarray) -> Engine:
    """Its own exact search by inner product (it has no L1)."""
    from usearch.index import MetricKind
    from usearch.index import search as exact

    def search(queries: np.ndarray, _setting: str) -> np.ndarray:
        found = exact(X, queries, K, MetricKind.IP, exact=True, threads=Threads.count)
        return np.asarray(found.keys).reshape(queries.shape[0], -1).astype(np.int64)

    return Engine("usearch exact IP", "usearch", "dot", search)


def sklearn_brute(X: np.ndarray, metric: str) -> Engine:
    """NearestNeighbors, brute force: the pairwise reductions of scikit-learn."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=K, algorithm="brute", metric=metric).fit(X)

    def search(queries: np.ndarray, _setting: str) -> np.ndarray:
        return found.kneighbors(queries, return_distance=False)

    return Engine(f"scikit-learn brute {metric}", "scikit-learn", metric, search)


def numpy_product(X: np.ndarray) -> Engine:
    """BLAS product and argpartition: in one piece, or block by block with the blocks' best merged."""

    def search(queries: np.ndarray, setting: str) -> np.ndarray:
        block = min(_BLOCKS[setting], X.shape[0])
        if block == X.shape[0]:
            return best(queries @ X.T)
        ids, scores = [], []
        for start in range(0, X.shape[0], block):
            part = queries @ X[start : start + block].T
            top = best(part)
            ids.append(top + start)
            scores.append(np.take_along_axis(part, top, 1))
        return np.take_along_axis(np.hstack(ids), best(np.hstack(scores)), 1)

    return Engine("NumPy product + argpartition", "numpy", "dot", search, tuple(_BLOCKS))


def _by_rows(name: str, library: str, measure: str, X: np.ndarray, rows: int,
             scores: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Engine:
    """Scores (m, block) of blocks of rows on all threads, then the k best."""

    def search(queries: np.ndarray, _setting: str) -> np.ndarray:
        return best(np.hstack(Threads.over(lambda i, j: scores(queries, X[i:j]), X.shape[0], rows)))

    return Engine(name, library, measure, search)


def _cache_rows(dims: int) -> int:
    return max(16, (1 << 18) // (4 * dims))


def numpy_manhattan(X: np.ndarray) -> Engine:
    """Differences, absolute values, sums, in blocks that stay in the cache."""

    def scores(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        out = np.empty((queries.shape[0], rows.shape[0]), np.float32)
        for j, q in enumerate(queries):
            gap = rows - q
            np.abs(gap, out=gap)
            out[j] = -gap.sum(axis=1)
        return out

    return _by_rows("NumPy |x−y| sums", "numpy", "manhattan", X, _cache_rows(X.shape[1]), scores)


def scipy_manhattan(X: np.ndarray) -> Engine:
    """cdist computes in float64; the rows are widened before the clock starts."""
    from scipy.spatial.distance import cdist

    wide = X.astype(np.float64)
    return _by_rows("SciPy cdist cityblock", "scipy", "manhattan", wide, 4096,
                    lambda queries, rows: -cdist(queries.astype(np.float64), rows, "cityblock"))


def numpy_exponential(X: np.ndarray, trim: float, bandwidth: float) -> Engine:
    """The profile is decreasing in the difference, so trimming keeps the smallest differences: partition those,
    then take exponentials of what is kept only."""
    kept = X.shape[1] - int(trim * X.shape[1])

    def scores(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        out = np.empty((queries.shape[0], rows.shape[0]), np.float32)
        for j, q in enumerate(queries):
            gap = rows - q
            np.abs(gap, out=gap)
            gap.partition(kept - 1, axis=1)
            near = gap[:, :kept] * np.float32(-1 / bandwidth)
            out[j] = np.exp(near, out=near).mean(axis=1)
        return out

    return _by_rows("NumPy exponential, trimmed", "numpy", f"exponential(trim={trim}, bandwidth={bandwidth})", X,
                    _cache_rows(X.shape[1]), scores)


def numpy_learned(X: np.ndarray, learned) -> Engine:
    """Halves of all rows computed before the clock starts, as kiyas does."""
    halves = np.asarray(learned.halves_b(X), np.float32)
    second = learned.second.astype(np.float32)

    def scores(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        u = np.asarray(learned.halves_a(queries), np.float32)
        return np.stack([np.maximum(rows + each, 0) @ second for each in u])

    return _by_rows("NumPy relu halves", "numpy", "learned", halves, _cache_rows(halves.shape[1]), scores)


def torch_product(X: np.ndarray) -> Engine:
    """matmul and topk."""
    import torch

    rows = torch.from_numpy(X)

    def search(queries: np.ndarray, _setting: str) -> np.ndarray:
        with torch.inference_mode():
            return (torch.from_numpy(queries) @ rows.T).topk(K, dim=1).indices.numpy()

    return Engine("torch matmul + topk", "torch", "dot", search)


def torch_manhattan(X: np.ndarray) -> Engine:
    """cdist with p = 1, and topk."""
    import torch

    rows = torch.from_numpy(X)

    def search(queries: np.ndarray, _setting: str) -> np.ndarray:
        with torch.inference_mode():
            distance = torch.cdist(torch.from_numpy(queries), rows, p=1.0)
            return distance.topk(K, dim=1, largest=False).indices.numpy()

    return Engine("torch cdist p=1 + topk", "torch", "manhattan", search)


def installed(makers: list[Callable[[], Engine]]) -> tuple[list[Engine], list[str]]:
    """Engines of the libraries that are installed, and the names of those that are not."""
    engines, missing = [], []
    for make in makers:
        try:
            engines.append(make())
        except ImportError as error:
            missing.append(str(error.name or error))
    return engines, missing


def of_products(X: np.ndarray) -> tuple[list[Engine], list[str]]:
    """Peers that answer by inner product (and L2): what an inner measure is compared with."""
    return installed([lambda: faiss_flat(X, "IP"), lambda: faiss_flat(X, "L2"), lambda: usearch_exact(X),
                      lambda: sklearn_brute(X, "euclidean"), lambda: numpy_product(X), lambda: torch_product(X)])


def of_manhattan(X: np.ndarray) -> tuple[list[Engine], list[str]]:
    """Peers that answer by L1."""
    return installed([lambda: faiss_flat(X, "L1"), lambda: sklearn_brute(X, "manhattan"),
                      lambda: scipy_manhattan(X), lambda: numpy_manhattan(X), lambda: torch_manhattan(X)])
