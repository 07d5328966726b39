"""The open unit ball: hyperbolic similarity in it, and named maps of ordinary vectors into it.

No map is applied unasked. Results depend on the map: with a small radius the ranking is Euclid's; towards
the rim, rows near the centre (short ones) come first. Rows and queries have to go through the same map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from kiyas.arrays import Array, float64, matrix, namespace, number, row_blocks
from kiyas.errors import DomainError, InputError, message
from kiyas.measures.base import Facts
from kiyas.measures.gram import gram_paired
from kiyas.measures.inner import InnerMeasure


@dataclass(frozen=True, eq=False)
class Poincare(InnerMeasure):
    """1/(1+d_H), d_H the hyperbolic distance in the open unit ball.

    Points on or outside the ball raise `DomainError`; nothing is clipped. To put ordinary vectors into
    the ball, call `kiyas.measures.scale_into_ball` or `kiyas.measures.exp_map` on them first.

    >>> import numpy as np
    >>> float(Poincare()(np.array([0.0, 0.0]), np.array([0.0, 0.0])))
    1.0
    """

    name: ClassVar[str] = "poincare"
    epilogue: ClassVar[str | None] = "poincare"
    facts: ClassVar[Facts] = Facts(
        title="Poincaré", formula="1 / (1 + d_H), d_H = arcosh(1 + 2‖A−B‖²/((1−‖A‖²)(1−‖B‖²)))", range="(0, 1]",
        scaling="not scalable: the ball has radius 1",
        zero="the zero vector is the centre of the ball, an ordinary point",
        domain="the open unit ball, ‖x‖ < 1; anything else raises DomainError",
        gradient="not defined at A = B; smooth elsewhere",
        source="Nickel & Kiela 2017 (arXiv 1705.08039); computed as 2·asinh(‖A−B‖/√((1−‖A‖²)(1−‖B‖²)))",
        meaning="How near in a space with room for trees: general terms near the centre, special ones near the rim.",
        cost="one matrix product, a square root, an asinh and a division a pair",
        traps="made for vectors trained in the ball; ordinary embeddings mapped in rank between Euclid and "
              "'short rows first'; arcosh(1+x) loses all digits for near pairs, hence asinh",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return 1 / (1 + self._hyperbolic(xp, a2, b2, d2))

    def _hyperbolic(self, xp: Any, a2: Array, b2: Array, d2: Array) -> Array:
        # Each root apart: near the rim the product of the two gaps would lose its small factor.
        return 2 * xp.asinh(xp.sqrt(d2) / (xp.sqrt(_gap(xp, a2)) * xp.sqrt(_gap(xp, b2))))

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        return self._hyperbolic(xp, *gram_paired(xp, A, B)[1:])

    def check_rows(self, X: Array, name: str = "vectors") -> None:
        xp = namespace(X)
        for start, stop in row_blocks(X.shape[0], X.shape[1]):
            block = float64(xp, X[start:stop, :])
            norm2 = xp.sum(block * block, axis=1)
            outside = norm2 >= 1
            if bool(xp.any(outside)):
                row = int(xp.argmax(xp.astype(outside, xp.int8)))
                raise DomainError(
                    f"poincare: '{name}' must lie inside the open unit ball, got norm "
                    f"{float(norm2[row]) ** 0.5:.6g} in row {start + row}; map the vectors in first, "
                    "e.g. with kiyas.measures.scale_into_ball")


def _gap(xp: Any, norm2: Array) -> Array:
    """1 − ‖x‖² as (1 − ‖x‖)(1 + ‖x‖)."""
    norm = xp.sqrt(norm2)
    return (1 - norm) * (1 + norm)


def scale_into_ball(X: Array, radius: float | None = None, eps: float = 1e-5) -> tuple[Array, float]:
    """Rows divided by a common length, so that they lie inside the ball.

    Parameters: ``X`` (n, d) floats; ``radius``, the length that is mapped to 1, None for (1 + ``eps``)
    times the longest row; ``eps`` > 0.
    Returns the rows in float64 and the radius used: give it again for the queries, so that they are
    divided by the same. Raises `DomainError` for a row that the given radius leaves outside the ball.

    >>> import numpy as np
    >>> rows, radius = scale_into_ball(np.array([[3.0, 4.0], [0.0, 1.0]]), eps=0.25)
    >>> radius, rows.tolist()
    (6.25, [[0.48, 0.64], [0.0, 0.16]])
    >>> query, _ = scale_into_ball(np.array([[0.0, 2.0]]), radius)
    >>> query.tolist()
    [[0.0, 0.32]]
    """
    owner = "scale_into_ball"
    number(eps, "eps", owner, "a positive number", 0, float("inf"), open_low=True, open_high=True)
    X = matrix(X, "X", owner)
    xp = namespace(X)
    X = float64(xp, X)
    norm = _norms(xp, X)
    if radius is None:
        radius = (1 + eps) * float(xp.max(norm))
        if radius == 0:
            raise InputError(message(owner, "X", "of at least one row that is not zero", "only zero rows",
                                     "zero rows are in the ball as they are"))
    else:
        number(radius, "radius", owner, "a positive number", 0, float("inf"), open_low=True, open_high=True)
    rows = X / radius
    inside = _norms(xp, rows) < 1
    if not bool(xp.all(inside)):
        row = int(xp.argmin(xp.astype(inside, xp.int8)))
        raise DomainError(f"{owner}: row {row} has norm {float(norm[row]):.6g}, outside the radius {radius:.6g}; "
                          "use a radius that holds rows and queries")
    return rows, float(radius)


def exp_map(X: Array) -> Array:
    """The exponential map at the centre: x ↦ tanh(‖x‖)·x/‖x‖, in float64.

    Rows longer than about 18 would be rounded onto the rim; they raise `DomainError`: scale the
    vectors first. Directions are kept, and x comes to lie at the hyperbolic distance 2‖x‖ from the centre.

    >>> import numpy as np
    >>> exp_map(np.array([[0.0, 0.0], [0.0, 1.0]])).round(6).tolist()
    [[0.0, 0.0], [0.0, 0.761594]]
    """
    X = matrix(X, "X", "exp_map")
    xp = namespace(X)
    X = float64(xp, X)
    norm = _norms(xp, X)[:, None]
    zero = norm == 0
    rows = X * xp.where(zero, xp.ones_like(norm), xp.tanh(norm) / xp.where(zero, xp.ones_like(norm), norm))
    inside = _norms(xp, rows) < 1
    if not bool(xp.all(inside)):
        row = int(xp.argmin(xp.astype(inside, xp.int8)))
        raise DomainError(f"exp_map: row {row} has norm {float(norm[row, 0]):.6g}, which is rounded onto the rim of "
                          "the ball; divide all vectors by a common number first")
    return rows


def _norms(xp: Any, X: Array) -> Array:
    return xp.sqrt(xp.sum(X * X, axis=1))
