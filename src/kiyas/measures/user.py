"""Measures made of a user's own Python function; docs/own-measures.md tells how to write one.

The function's declaration (increasing in p, never rising with a difference) is what lets an index
search by bounds. A probe may refute it, and then raises; a probe cannot prove it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import array_api_compat
import numpy as np

from kiyas.arrays import Array, row_blocks, to_numpy
from kiyas.errors import DomainError, MeasureError, message
from kiyas.measures.base import Facts, KernelForm, Measure
from kiyas.measures.compiled import Compiled
from kiyas.measures.coordinate import CoordinateMeasure
from kiyas.measures.inner import InnerMeasure
from kiyas.measures.signature import code_hash, source_hash

_BLOCK = 1 << 22
_EPS = float(np.finfo(np.float64).eps)
# A dip of a few roundings is no decrease.
_ROUNDING = 16 * _EPS


def user_measure(function: Callable[..., Any], increasing: bool = False, name: str | None = None,
                 compiled: bool = False, **pooling: Any) -> Measure:
    """A measure from a function, its kind told by the number of positional parameters.

    - three, ``f(p, a2, b2)``: of A·B, ‖A‖², ‖B‖²; with ``increasing=True`` declared to increase in p;
    - one, ``f(delta)``: the score of a dimension from |xᵢ−yᵢ|, never rising; ``pooling`` are the
      parameters of the coordinate measures (weights, trim, threshold, share, tiers, critical);
    - two, ``f(x, y)``: of two arrays of vectors, reducing their last axis.

    ``name`` is the function's own where it is not given; ``compiled`` compiles the first two kinds
    through Numba. Raises `MeasureError` where a probe refutes the declaration.

    >>> m = user_measure(lambda p, a2, b2: p / (1 + b2), increasing=True, name="damped")
    >>> float(m(np.array([1.0, 0.0]), np.array([1.0, 0.0]))), str(m)
    (0.5, 'damped(increasing=True)')
    """
    kind = positional_parameters(function)
    if kind == 1:
        if increasing:
            raise MeasureError(message("user_measure", "increasing", "left out for a function of one parameter", True,
                                       "a function of a difference must never rise"))
        return UserCoordinate(function=function, name=name or "", compiled=compiled, **pooling)
    if pooling:
        raise MeasureError(message("user_measure", next(iter(pooling)),
                                   "left out, as only a function of one parameter, the difference, is pooled",
                                   repr(next(iter(pooling.values())))))
    if kind == 3:
        return UserInner(function=function, increasing=increasing, name=name or "", compiled=compiled)
    if increasing or compiled:
        raise MeasureError(message("user_measure", "increasing" if increasing else "compiled",
                                   "left out for a function of two vectors", True,
                                   "it is scanned as it is"))
    return UserPair(function=function, name=name or "")


def positional_parameters(function: Callable[..., Any]) -> int:
    """How many positional parameters without a default a function has: 1, 2 or 3, or `MeasureError`.

    >>> positional_parameters(lambda x, y, scale=1.0: 0)
    2
    """
    wanted = "a function of 3 (p, a2, b2), 1 (delta) or 2 (x, y) positional parameters"
    if not callable(function):
        raise MeasureError(message("user_measure", "function", wanted, type(function).__name__))
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        raise MeasureError(message("user_measure", "function", wanted, f"{function!r}, whose signature is unknown",
                                   "wrap it in a function of your own")) from None
    n = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)
    if n not in (1, 2, 3) or any(p.kind == p.VAR_POSITIONAL for p in parameters):
        raise MeasureError(message("user_measure", "function", wanted, f"{inspect.signature(function)}"))
    return n


class _Own:
    """What the three kinds share: checked calls on NumPy arrays, the saved form, the printed form."""

    function: Callable[..., Any]
    name: Any
    compiled: bool = False
    inputs: ClassVar[int]
    increasing: bool = False

    def _adopt(self) -> None:
        given = positional_parameters(self.function)
        owner = self.name or type(self).__name__
        if given != self.inputs:
            raise MeasureError(message(owner, "function", f"of {self.inputs} positional parameters", given))
        if not isinstance(self.name, str):
            raise MeasureError(message(type(self).__name__, "name", "a text", repr(self.name)))
        object.__setattr__(self, "name", self.name or getattr(self.function, "__name__", type(self.function).__name__))
        for flag in ("increasing", "compiled"):
            if not isinstance(getattr(self, flag), bool):
                raise MeasureError(message(self.name, flag, "True or False", repr(getattr(self, flag))))

    @cached_property
    def _code(self) -> Compiled:
        return Compiled(self.function, self.inputs)

    @property
    def address(self) -> int | None:
        """Address of the compiled loop, valid while the measure lives; None where it is not compiled.

        In C: ``void(const double* in1, …, double* out, int64_t n)``, one pointer an input.
        """
        return self._code.address if self.compiled else None

    def signature(self, by: str = "source") -> dict[str, Any]:
        """What is saved in place of the function: name, kind, declaration, SHA-256 of its source.

        ``by="code"`` takes the hash of bytecode and constants, as ``code_sha256``, for functions whose
        source is not at hand (made by ``exec``, typed into a prompt); it holds for one version of
        Python only. Neither hash covers values the function takes from outside itself.
        """
        saved: dict[str, Any] = {"name": self.name, "kind": type(self).__name__, "increasing": self.increasing}
        if by == "source":
            saved["source_sha256"] = source_hash(self.function, self.name)
        elif by == "code":
            saved["code_sha256"] = code_hash(self.function, self.name)
        else:
            raise MeasureError(message(self.name, "by", "'source' or 'code'", repr(by)))
        return saved

    def _call(self, *arrays: np.ndarray) -> np.ndarray:
        """The function on float64 arrays; any result but floats of the right shape raises."""
        if self.compiled:
            return self._code(*arrays)
        # Its own division by zero shows in the result, where NaN is refused.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            result = np.asarray(self.function(*map(_read_only, arrays)))
        if result.dtype.kind not in "fiub":
            raise MeasureError(f"{self.name}: the function must return real numbers, got dtype {result.dtype}")
        return result.astype(np.float64, copy=False)

    def _same_shape(self, result: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if result.shape != shape:
            raise MeasureError(f"{self.name}: the function must return one score each, shape {shape}, "
                               f"got shape {result.shape}")
        return result

    def _defined(self, result: np.ndarray, what: str, **arguments: np.ndarray) -> np.ndarray:
        """The result, or an error that names the first place of NaN and the numbers the function got there."""
        if bool(np.any(np.isnan(result))):
            place = tuple(int(i) for i in np.argwhere(np.isnan(result))[0])
            given = ", ".join(f"{name}={np.broadcast_to(a, result.shape)[place]:.6g}" for name, a in arguments.items())
            raise DomainError(f"{self.name}: the function returned NaN for {what} {place}{given and f' ({given})'}; "
                              "make it return a number there, or leave such vectors out")
        return result

    def __str__(self) -> str:
        flags = [f"{flag}=True" for flag in ("increasing", "compiled") if getattr(self, flag)]
        return f"{self.name}({', '.join(flags)})" if flags else str(self.name)


def _read_only(array: np.ndarray) -> np.ndarray:
    # A function that wrote into its arguments would write into the caller's vectors.
    view = array.view()
    view.flags.writeable = False
    return view


def _back(xp: Any, result: np.ndarray, like: Array) -> Array:
    return result if isinstance(like, np.ndarray) else xp.asarray(result, device=array_api_compat.device(like))


@dataclass(frozen=True, eq=False, kw_only=True)
class UserInner(_Own, InnerMeasure):
    """Your own function f(p, a2, b2) of p = A·B, a2 = ‖A‖², b2 = ‖B‖²: NumPy float64 arrays of one shape.

    ``increasing=True`` declares that f never falls as p rises, the norms being fixed; the index then
    searches by bounds on p. It is probed on a grid, and refuted by a `MeasureError` with the
    counterexample. Without it the rows are scanned plainly.

    >>> UserInner(function=lambda p, a2, b2: -p, increasing=True, name="upside_down")
    Traceback (most recent call last):
    kiyas.errors.MeasureError: upside_down: declared increasing=True, but it falls in p: ...
    """

    facts: ClassVar[Facts] = Facts(
        title="Your own, of the inner product", formula="f(A·B, ‖A‖², ‖B‖²)", range="that of f",
        scaling="that of f", zero="that of f; NaN raises", domain="where f is not NaN", source="yours",
        meaning="What your function says.", cost="one matrix product and your function a pair", gradient="that of f",
        traps="a probe may refute increasing=True but cannot prove it",
    )
    inputs: ClassVar[int] = 3
    function: Callable[..., Any]
    increasing: bool = False
    name: str = ""  # type: ignore[misc]  # each function has its own
    compiled: bool = False

    def __post_init__(self) -> None:
        self._adopt()
        self._probe()

    def formula(self, xp: Any, p: Array, a2: Array, b2: Array, d2: Array) -> Array:
        host = np.asarray(to_numpy(p), dtype=np.float64)
        x2, y2 = (np.broadcast_to(np.asarray(to_numpy(v), dtype=np.float64), host.shape) for v in (a2, b2))
        result = self._same_shape(self._call(host, x2, y2), host.shape)
        return _back(xp, self._defined(result, "the pair at", p=host, a2=x2, b2=y2), p)

    def kernel(self) -> KernelForm | str:
        if not self.increasing:
            return f"{self.name} is not declared increasing=True, so no bound on A·B bounds it"
        return KernelForm("inner", "user", {"function": self._call, "address": self.address})

    def _probe(self) -> None:
        """Look for a fall in p, a wrong shape, or NaN in the middle of a range, on a seeded grid."""
        rng = np.random.default_rng(0)
        norms = np.concatenate([[1.0, 1e-3, 1e3], np.exp(rng.uniform(np.log(0.05), np.log(20), 5))])
        steps = np.concatenate([np.linspace(-1, 1, 129), rng.uniform(-1, 1, 128)])
        # Short of ±ab itself, where rounding may push √(a² + b² − 2p) below zero.
        steps = np.unique(steps) * (1 - 1e-9)
        a, b = (v.ravel()[:, None] for v in np.meshgrid(norms, norms))
        p = a * b * steps
        a2, b2 = np.broadcast_to(a * a, p.shape), np.broadcast_to(b * b, p.shape)
        f = self._same_shape(self._call(p, a2, b2), p.shape)
        undefined = np.isnan(f)
        inside = ~undefined.all(axis=1)  # norms that are NaN throughout lie outside the domain of f
        if bool(np.any(undefined[inside])) or not bool(inside.any()):
            i, j = (int(v) for v in np.argwhere(undefined)[0])
            if bool(inside.any()):
                i, j = (int(v) for v in np.argwhere(undefined & inside[:, None])[0])
            raise MeasureError(f"{self.name}: the function returned NaN at p={p[i, j]:.6g}, "
                               f"a2={a2[i, j]:.6g}, b2={b2[i, j]:.6g}")
        if self.increasing:
            i, j = _first_fall(f, inside)
            if i >= 0:
                raise MeasureError(
                    f"{self.name}: declared increasing=True, but it falls in p: "
                    f"f({p[i, j]:.6g}) = {f[i, j]:.17g} and f({p[i, j + 1]:.6g}) = {f[i, j + 1]:.17g} "
                    f"at a2={a2[i, j]:.6g}, b2={b2[i, j]:.6g}; declare increasing=False to scan plainly")


@dataclass(frozen=True, eq=False, kw_only=True)
class UserCoordinate(_Own, CoordinateMeasure):
    """Your own function f(delta): the score of a dimension from |xᵢ−yᵢ|, elementwise and never rising.

    Scores are pooled like those of the other coordinate measures, by their parameters. ``tiers`` ask
    for scores in [0, 1]. A probe on a grid raises `MeasureError` where f rises.

    >>> m = UserCoordinate(function=lambda delta: 1 / (1 + delta), name="cauchy", trim=0.5)
    >>> float(m(np.array([0.0, 0.0]), np.array([1.0, 9.0])))
    0.5
    """

    facts: ClassVar[Facts] = Facts(
        title="Your own, of the differences", formula="Σ wᵢ·f(|xᵢ − yᵢ|) / Σ wᵢ", range="that of f",
        scaling="that of f", zero="an ordinary point", domain="where f is not NaN", source="yours",
        meaning="What your function says, dimension by dimension.", cost="your function d times a pair",
        gradient="that of f", traps="a probe may refute that f never rises but cannot prove it",
    )
    inputs: ClassVar[int] = 1
    function: Callable[..., Any]
    name: str = ""  # type: ignore[misc]  # each function has its own
    compiled: bool = False

    def __post_init__(self) -> None:
        self._adopt()
        super().__post_init__()
        self._probe()

    def similarity(self, xp: Any, delta: Array) -> Array:
        host = np.asarray(to_numpy(delta), dtype=np.float64)
        result = self._same_shape(self._call(host), host.shape)
        return _back(xp, self._defined(result, "the difference at", delta=host), delta)

    def _fitted_from(self, name: str) -> tuple[str, ...]:
        return ("fitted_threshold", "fitted_tiers") if name == "function" else super()._fitted_from(name)

    def _probe(self) -> None:
        """Look for a rise, a wrong shape, NaN or (with tiers) a score outside [0, 1], on a seeded grid."""
        rng = np.random.default_rng(0)
        delta = np.unique(np.concatenate([[0.0], np.linspace(0, 4, 257), np.logspace(-9, 6, 181),
                                          rng.uniform(0, 1, 128)]))[None, :]
        f = self._same_shape(self._call(delta), delta.shape)
        if bool(np.any(np.isnan(f))):
            raise MeasureError(f"{self.name}: the function returned NaN at delta={delta[np.isnan(f)][0]:.6g}")
        i, j = _first_fall(-f, np.ones(1, dtype=bool))
        if i >= 0:
            raise MeasureError(f"{self.name}: must never rise with the difference, but f({delta[0, j]:.6g}) = "
                               f"{f[0, j]:.17g} and f({delta[0, j + 1]:.6g}) = {f[0, j + 1]:.17g}")
        wrong = (f < 0) | (f > 1)
        if self.tiers is not None and bool(wrong.any()):
            raise MeasureError(message(self.name, "tiers", "left out unless every score lies in [0, 1]", self.tiers,
                                       f"f({delta[wrong][0]:.6g}) = {f[wrong][0]:.6g}"))


@dataclass(frozen=True, eq=False, kw_only=True)
class UserPair(_Own, Measure):
    """Your own function f(x, y) of NumPy arrays (…, d) that broadcast, reducing the last axis.

    Nothing is known of it, so every row is scanned.

    >>> m = UserPair(function=lambda x, y: -np.max(np.abs(x - y), axis=-1), name="chebyshev")
    >>> float(m(np.array([0.0, 0.0]), np.array([1.0, 3.0])))
    -3.0
    """

    facts: ClassVar[Facts] = Facts(
        title="Your own, of two vectors", formula="f(x, y)", range="that of f", scaling="that of f",
        zero="that of f; NaN raises", domain="where f is not NaN", source="yours", meaning="What your function says.",
        cost="your function, on every row", gradient="that of f",
        traps="every row is scanned, since nothing bounds f",
    )
    inputs: ClassVar[int] = 2
    function: Callable[..., Any]
    name: str = ""  # type: ignore[misc]  # each function has its own

    def __post_init__(self) -> None:
        self._adopt()

    def kernel(self) -> KernelForm | str:
        return f"{self.name} is a function of two vectors, of which nothing is known; every row is scanned"

    def _paired(self, xp: Any, A: Array, B: Array) -> Array:
        a, b = to_numpy(A), to_numpy(B)
        parts = [self._score(a[i:j], b[i:j], (j - i,)) for i, j in row_blocks(a.shape[0], a.shape[1], _BLOCK)]
        return _back(xp, self._defined(np.concatenate(parts), "the pair at"), A)

    def _pairwise(self, xp: Any, A: Array, B: Array) -> Array:
        a, b = to_numpy(A), to_numpy(B)
        out = np.empty((a.shape[0], b.shape[0]))
        for k, m in row_blocks(b.shape[0], b.shape[1], _BLOCK):
            for i, j in row_blocks(a.shape[0], (m - k) * a.shape[1], _BLOCK):
                out[i:j, k:m] = self._score(a[i:j, None, :], b[None, k:m, :], (j - i, m - k))
        return _back(xp, self._defined(out, "the pair at"), A)

    def _score(self, a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return self._same_shape(self._call(a, b), shape)


def _first_fall(f: np.ndarray, rows: np.ndarray) -> tuple[int, int]:
    """Row and column where f falls from one column to the next by more than rounding; (−1, −1) if nowhere."""
    left, right = f[:, :-1], f[:, 1:]
    size = np.maximum(np.abs(left), np.abs(right))
    slack = np.where(np.isfinite(size), _ROUNDING * size, 0.0)
    falls = (right < left - slack) & rows[:, None]
    found = np.argwhere(falls)
    return (int(found[0, 0]), int(found[0, 1])) if found.size else (-1, -1)
