"""Named maps of ordinary vectors into the open unit ball, for `Poincare`. None is applied unasked.

Results depend on the map: with a small radius the ranking is Euclid's; towards the rim, rows near the
centre (short ones) come first. Rows and queries have to go through the same map.
"""

from __future__ import annotations

from typing import Any

from kiyas.arrays import Array, float64, matrix, namespace, number
from kiyas.errors import DomainError, InputError, message


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
