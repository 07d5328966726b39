"""The vectors that are searched: synthetic, seeded, of two kinds.

- ``mixture`` (quoted): what sentence embeddings look like. 256 cluster centres and noise around them, both with a
  decaying spectrum (the standard deviation of latent dimension i is (1 + i/16)^-½), a common offset (anisotropy),
  turned by a random orthogonal matrix so that no coordinate is special, and log-normal norms (σ = 0.25).
- ``isotropic`` (hostile): independent Gaussian coordinates with the same norms. All rows are about equally far
  from a query, which leaves a bound the least room to rule rows out.

Queries are fresh draws from the same distribution, never copies of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

QUERIES = 256
_CENTRES = 256
_BLOCK = 8192


@dataclass(frozen=True)
class Collection:
    """A named set of rows; ``rms`` is the root mean square of a coordinate."""

    kind: str
    rows: int
    dims: int
    rms: float = 0.5

    @property
    def name(self) -> str:
        return f"{self.kind} {self.rows}×{self.dims}"

    def make(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, d) and queries (256, d), float32."""
        rng = np.random.default_rng([self.rows, self.dims, len(self.kind)])
        draw = _mixture(rng, self.dims) if self.kind == "mixture" else _isotropic(rng, self.dims)
        out = np.empty((self.rows + QUERIES, self.dims), np.float32)
        for start in range(0, out.shape[0], _BLOCK):
            out[start : start + _BLOCK] = draw(min(_BLOCK, out.shape[0] - start))
        out *= self.rms / np.sqrt(np.mean(out[:_BLOCK] ** 2))
        return out[QUERIES:], out[:QUERIES].copy()


def _norms(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.lognormal(0.0, 0.25, (count, 1)).astype(np.float32)


def _isotropic(rng: np.random.Generator, dims: int):
    return lambda count: rng.standard_normal((count, dims), np.float32) * _norms(rng, count)


def _mixture(rng: np.random.Generator, dims: int):
    spectrum = ((1 + np.arange(dims) / 16) ** -0.5).astype(np.float32)
    centres = rng.standard_normal((_CENTRES, dims), np.float32) * spectrum
    offset = np.float32(0.5) * rng.standard_normal(dims, np.float32) * spectrum
    turn = np.linalg.qr(rng.standard_normal((dims, dims)))[0].astype(np.float32)

    def draw(count: int) -> np.ndarray:
        noise = rng.standard_normal((count, dims), np.float32) * spectrum
        latent = offset + centres[rng.integers(_CENTRES, size=count)] + noise
        return (latent @ turn) * _norms(rng, count)

    return draw
