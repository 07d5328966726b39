"""The inner family: score = f(p, a², b², d²) with p = A·B, strictly increasing in p for fixed norms.

One matrix product and an elementwise epilogue. Because every f increases in p, any certified bound
on p bounds all of them (docs/exact.md). d² is passed beside p because a² + b² − 2p loses digits where
A ≈ B; `kiyas.measures.gram` computes it by differences there.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import pi
from typing import Any, ClassVar

from kiyas.arrays import Array, number
from kiyas.measures.base import Facts, KernelForm, Measure
from kiyas.measures.gram import chord2, gram_paired, gram_pairwise, ratio


@dataclass(frozen=True, eq=False)
class InnerMeasure(Measure):
    """A measure of the Gram quantities of a pair: p = A·B, a² = ‖A‖², b² = ‖B‖², d² = ‖A−B‖²."""

    # Kind of the compiled epilogue; None where there is none (user's own formulas).
    epilogue: ClassVar[str | None] = None

    @abstractmethod
    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        """The score from the Gram quantities (float64, broadcastable); increasing in p."""

    def kernel(self) -> KernelForm | str:
        if self.epilogue is None:
            return f"{self.name} has no compiled epilogue"
        return KernelForm("inner", self.epilogue, self._epilogue_parameters())

    def _epilogue_parameters(self) -> dict[str, Any]:
        return {}

    def _paired(self, xp: Any, A: Array, B: Array) -> Array:
        return self.formula(xp, *gram_paired(xp, A, B))

    def _pairwise(self, xp: Any, A: Array, B: Array) -> Array:
        return self.formula(xp, *gram_pairwise(xp, A, B))


@dataclass(frozen=True, eq=False)
class Cosine(InnerMeasure):
    """Cosine of the angle between A and B.

    >>> import numpy as np
    >>> float(Cosine()(np.array([1.0, 0.0]), np.array([3.0, 4.0])))
    0.6
    """

    name: ClassVar[str] = "cosine"
    epilogue: ClassVar[str | None] = "cosine"
    facts: ClassVar[Facts] = Facts(
        title="Cosine", formula="A·B / (‖A‖‖B‖)", range="[−1, 1]",
        scaling="unchanged by any positive scaling of either vector",
        zero="0 if either vector is zero",
        gradient="smooth away from zero; shrinks like 1/‖A‖",
        source="Salton & McGill 1983; Ochiai coefficient; Tucker's congruence",
        meaning="How far do the two point the same way, whatever their lengths?",
        cost="one matrix product and a division a pair",
        traps="1 − cosine is not a metric (triangle inequality fails by up to 0.5); throws norms away",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return xp.clip(ratio(xp, p, xp.sqrt(a2) * xp.sqrt(b2) + 0 * p), -1.0, 1.0)

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        """1 − cosine, by the chord so that it keeps its digits for near-parallel vectors."""
        p, a2, b2, d2 = gram_paired(xp, A, B)
        return xp.where((a2 == 0) | (b2 == 0), xp.ones_like(d2), chord2(xp, p, a2, b2, d2) / 2)


@dataclass(frozen=True, eq=False)
class Dot(InnerMeasure):
    """Inner product A·B.

    >>> import numpy as np
    >>> float(Dot()(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """

    name: ClassVar[str] = "dot"
    epilogue: ClassVar[str | None] = "dot"
    facts: ClassVar[Facts] = Facts(
        title="Dot product", formula="A·B", range="(−∞, ∞)",
        scaling="multiplied by s·t when A is scaled by s and B by t",
        zero="0",
        source="maximum inner product search; Bachrach et al., RecSys 2014",
        meaning="How far does B reach along A? Long vectors reach further.",
        cost="one matrix product",
        traps="a vector is not its own best match; favours long rows (short texts, with mean pooling)",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return p


@dataclass(frozen=True, eq=False)
class Euclidean(InnerMeasure):
    """1/(1+d) with d = ‖A − B‖.

    >>> import numpy as np
    >>> float(Euclidean()(np.array([0.0, 0.0]), np.array([3.0, 4.0]))) == 1 / 6
    True
    """

    name: ClassVar[str] = "euclidean"
    epilogue: ClassVar[str | None] = "euclidean"
    facts: ClassVar[Facts] = Facts(
        title="Euclidean", formula="1 / (1 + ‖A − B‖)", range="(0, 1]",
        scaling="not homogeneous: a common scaling keeps the ranking, not the values or thresholds",
        zero="1/(1+‖B‖) against a zero vector",
        gradient="not defined at A = B; smooth elsewhere",
        source="the usual distance-to-similarity map; 1 − score = d/(1+d) is a metric",
        meaning="How near do the two points lie?",
        cost="one matrix product, a square root and a division a pair",
        traps="d² from a² + b² − 2A·B loses all digits for near pairs; kiyas uses differences there",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return 1 / (1 + xp.sqrt(d2))

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        return xp.sqrt(gram_paired(xp, A, B)[3])


@dataclass(frozen=True, eq=False)
class Angular(InnerMeasure):
    """1 − θ/π with θ the angle between A and B (the spherical, geodesic similarity).

    >>> import numpy as np
    >>> float(Angular()(np.array([1.0, 0.0]), np.array([0.0, 2.0])))
    0.5
    """

    name: ClassVar[str] = "angular"
    epilogue: ClassVar[str | None] = "cosine"
    facts: ClassVar[Facts] = Facts(
        title="Angular (spherical)", formula="1 − θ/π, θ = 2·atan2(‖u−v‖, ‖u+v‖) of the unit vectors u, v",
        range="[0, 1]", scaling="unchanged by any positive scaling of either vector",
        zero="1/2 if either vector is zero (as for a right angle)",
        gradient="not defined at θ = 0 and θ = π; smooth elsewhere",
        source="geodesic distance on the sphere; atan2 form after Kahan",
        meaning="What share of a half turn separates the directions?",
        cost="one matrix product, two square roots and an arc tangent a pair",
        traps="ranks exactly as cosine does; arccos(c) loses half the digits near θ = 0, hence atan2; for nearly "
              "parallel vectors of unequal length θ itself is good to about 3e-8",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return 1 - self._angle(xp, p, a2, b2, d2) / pi

    def _angle(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        squared = chord2(xp, p, a2, b2, d2)
        angle = 2 * xp.atan2(xp.sqrt(squared), xp.sqrt(4 - squared))
        return xp.where((a2 == 0) | (b2 == 0), xp.full_like(angle, pi / 2), angle)

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        """θ in radians."""
        return self._angle(xp, *gram_paired(xp, A, B))


@dataclass(frozen=True, eq=False)
class NDD(InnerMeasure):
    """Normalized dot distance: A·B / √((‖A‖²+‖B‖²)/2).

    ``query_norm``: if given, the first argument (the query) counts as scaled to that norm κ; this
    takes the query's own length out of the score, which raw embeddings of short queries need.

    >>> import numpy as np
    >>> float(NDD()(np.array([1.0, 0.0]), np.array([1.0, 0.0])))
    1.0
    """

    name: ClassVar[str] = "ndd"
    epilogue: ClassVar[str | None] = "ndd"
    facts: ClassVar[Facts] = Facts(
        title="Normalized dot distance (ndd)", formula="A·B / √((‖A‖² + ‖B‖²)/2)",
        range="[−√(‖A‖‖B‖), √(‖A‖‖B‖)], and within ±√2·min(‖A‖, ‖B‖)",
        scaling="multiplied by s when both vectors are scaled by s",
        zero="0 if either vector is zero",
        source="proposed by kiyas' first user; equals Dice times the root mean square of the norms",
        meaning="A dot product tempered by the mean length of the pair: dot-like for short rows, cosine-like for long.",
        cost="one matrix product, a square root and a division a pair",
        traps="a vector is not its own best match (tA scores higher for t > 1); queries longer than the rows "
              "make it act like dot: set query_norm",
    )
    query_norm: float | None = None

    def __post_init__(self) -> None:
        if self.query_norm is not None:
            number(self.query_norm, "query_norm", self.name, "a positive number or None", 0, float("inf"),
                   open_low=True, open_high=True)

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        if self.query_norm is None:
            return ratio(xp, p, xp.sqrt((a2 + b2) / 2))
        kappa2 = self.query_norm**2
        return ratio(xp, p, xp.sqrt(a2) + 0 * p) * (self.query_norm / xp.sqrt((kappa2 + b2) / 2))

    def _epilogue_parameters(self) -> dict[str, Any]:
        return {"query_norm": self.query_norm or 0.0}


@dataclass(frozen=True, eq=False)
class LogScaled(InnerMeasure):
    """A·B / log(1 + ‖A‖‖B‖).

    >>> import numpy as np
    >>> round(float(LogScaled()(np.array([1.0, 0.0]), np.array([1.0, 0.0]))), 6)
    1.442695
    """

    name: ClassVar[str] = "log_scaled"
    epilogue: ClassVar[str | None] = "log_scaled"
    facts: ClassVar[Facts] = Facts(
        title="Log-scaled dot", formula="A·B / log(1 + ‖A‖‖B‖)", range="(−∞, ∞); |score| ≥ |cosine|",
        scaling="depends on the unit of the embedding: cosine-like when small, dot-like when large",
        zero="0 if either vector is zero",
        source="proposed by kiyas' first user",
        meaning="A dot product whose length bonus grows a little slower than the lengths.",
        cost="one matrix product, a logarithm and a division a pair",
        traps="log(1+x) in float32 is 0 below 6e-8, hence log1p; rescaling all vectors changes the ranking",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return ratio(xp, p, xp.log1p(xp.sqrt(a2) * xp.sqrt(b2)) + 0 * p)


@dataclass(frozen=True, eq=False)
class Hybrid(InnerMeasure):
    """A·B / (‖A − B‖ + 1).

    >>> import numpy as np
    >>> float(Hybrid()(np.array([2.0, 0.0]), np.array([1.0, 0.0])))
    1.0
    """

    name: ClassVar[str] = "hybrid"
    epilogue: ClassVar[str | None] = "hybrid"
    facts: ClassVar[Facts] = Facts(
        title="Hybrid of dot and Euclid", formula="A·B / (‖A − B‖ + 1)", range="(−∞, ∞)",
        scaling="depends on the unit of the embedding: dot-like when small, ndd-like when large",
        zero="0 if either vector is zero",
        gradient="not defined at A = B; smooth elsewhere",
        source="proposed by kiyas' first user",
        meaning="A dot product paid for by the distance walked.",
        cost="one matrix product, a square root and a division a pair",
        traps="where A·B < 0, a larger distance raises the score; for ‖A‖ = 1 every longer copy of A ties with A",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return p / (xp.sqrt(d2) + 1)


@dataclass(frozen=True, eq=False)
class Tanimoto(InnerMeasure):
    """A·B / (‖A‖² + ‖B‖² − A·B), the continuous Jaccard coefficient.

    >>> import numpy as np
    >>> float(Tanimoto()(np.array([1.0, 1.0]), np.array([1.0, 1.0])))
    1.0
    """

    name: ClassVar[str] = "tanimoto"
    epilogue: ClassVar[str | None] = "dice"
    facts: ClassVar[Facts] = Facts(
        title="Tanimoto", formula="A·B / (‖A‖² + ‖B‖² − A·B)", range="[−1/3, 1]",
        scaling="unchanged when both vectors are scaled alike",
        zero="0 if either vector is zero",
        source="Tanimoto 1958; Kryszkiewicz 2021 for the failure of the triangle inequality on real vectors",
        meaning="What share of the two is common? 1 only for equal vectors.",
        cost="one matrix product and a division a pair",
        traps="1 − score is not a metric on real vectors (√(1 − score) showed no violation); ranks as dice does",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return ratio(xp, p, a2 + b2 - p)

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        """1 − score = d²/(a² + b² − p)."""
        p, a2, b2, d2 = gram_paired(xp, A, B)
        return ratio(xp, d2, a2 + b2 - p)


@dataclass(frozen=True, eq=False)
class Dice(InnerMeasure):
    """2A·B / (‖A‖² + ‖B‖²).

    >>> import numpy as np
    >>> float(Dice()(np.array([1.0, 0.0]), np.array([2.0, 0.0])))
    0.8
    """

    name: ClassVar[str] = "dice"
    epilogue: ClassVar[str | None] = "dice"
    facts: ClassVar[Facts] = Facts(
        title="Dice", formula="2A·B / (‖A‖² + ‖B‖²)", range="[−1, 1]",
        scaling="unchanged when both vectors are scaled alike",
        zero="0 if either vector is zero",
        source="Dice 1945, Sørensen 1948; Zegers & ten Berge's identity coefficient; = 1 − d²/(a² + b²)",
        meaning="Cosine that also asks for equal length: 1 only for equal vectors.",
        cost="one matrix product and a division a pair",
        traps="1 − score is not a metric; ranks as tanimoto does",
    )

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        return ratio(xp, 2 * p, a2 + b2 + 0 * p)

    def _distance(self, xp: Any, A: Array, B: Array) -> Array:
        """1 − score = d²/(a² + b²)."""
        _, a2, b2, d2 = gram_paired(xp, A, B)
        return ratio(xp, d2, a2 + b2)


@dataclass(frozen=True, eq=False)
class TemperedCosine(InnerMeasure):
    """A·B / ‖B‖^β: ranks as dot for β = 0 and as cosine for β = 1.

    >>> import numpy as np
    >>> float(TemperedCosine(beta=0.5)(np.array([1.0, 0.0]), np.array([4.0, 0.0])))
    2.0
    """

    name: ClassVar[str] = "tempered_cosine"
    epilogue: ClassVar[str | None] = "tempered_cosine"
    facts: ClassVar[Facts] = Facts(
        title="Tempered cosine", formula="A·B / ‖B‖^β", range="(−∞, ∞)",
        scaling="multiplied by s·t^(1−β) when A is scaled by s and B by t",
        zero="0 if either vector is zero",
        source="norm-elasticity dial between dot and cosine; cf. pivoted length normalisation, Singhal et al. 1996",
        meaning="A dot product from which a chosen share of the row's length has been taken out.",
        cost="one matrix product and a multiplication a pair",
        symmetric=False,
        traps="not symmetric: A is the query, B the row; the query's length scales all its scores alike",
    )
    beta: float = 0.5

    def __post_init__(self) -> None:
        number(self.beta, "beta", self.name, "a number from −8 to 8", -8, 8)

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        zero = b2 == 0
        return xp.where(zero, xp.zeros_like(p), p / xp.where(zero, xp.ones_like(b2), b2) ** (self.beta / 2))

    def _epilogue_parameters(self) -> dict[str, Any]:
        return {"beta": self.beta}
