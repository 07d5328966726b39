"""The catalogue: measures by name, from text, and to and from what a file can hold.

A text is read as Python's grammar reads a call, but only literals, lists and calls of known names
are taken from it; nothing in it is ever executed.
"""

from __future__ import annotations

import ast
import difflib
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from kiyas.errors import FileError, MeasureError
from kiyas.measures import inner, profiles
from kiyas.measures.balls import Poincare
from kiyas.measures.base import Measure
from kiyas.measures.coordinate import Quantile
from kiyas.measures.covariance import Covariance
from kiyas.measures.hubness import CSLS, LocalScaling
from kiyas.measures.learned import Learned
from kiyas.measures.linear import LinearMap, Mahalanobis
from kiyas.measures.user import UserCoordinate, UserInner, UserPair, user_measure

_CLASSES: tuple[type[Measure], ...] = (
    inner.Cosine, inner.Dot, inner.Euclidean, inner.Angular, inner.NDD, inner.LogScaled, inner.Hybrid,
    inner.Tanimoto, inner.Dice, inner.TemperedCosine, Poincare,
    profiles.Manhattan, profiles.Gower, profiles.Exponential,
    Mahalanobis, LinearMap, CSLS, LocalScaling, Learned,
)
_USERS: dict[str, type[UserInner | UserCoordinate | UserPair]] = {
    cls.__name__: cls for cls in (UserInner, UserCoordinate, UserPair)
}
_BY_NAME: dict[str, type[Measure]] = {cls.name: cls for cls in _CLASSES}

ALIASES: dict[str, str] = {
    "cos": "cosine", "ip": "dot", "inner_product": "dot", "l2": "euclidean", "spherical": "angular",
    "log": "log_scaled", "hyperbolic": "poincare", "l1": "manhattan", "cityblock": "manhattan",
    "laplacian": "exponential",
}


def list_measures() -> list[str]:
    """Names of all measures: the inner family first, then per-dimension, mapped and learned ones.

    >>> list_measures()[:3]
    ['cosine', 'dot', 'euclidean']
    """
    return list(_BY_NAME)


def measure_class(name: str) -> type[Measure]:
    """The class behind a name or alias; case and ``-`` for ``_`` do not matter.

    >>> measure_class("L2").name
    'euclidean'
    """
    key = name.strip().lower().replace("-", "_")
    found = _BY_NAME.get(ALIASES.get(key, key))
    if found is None:
        near = difflib.get_close_matches(key, [*_BY_NAME, *ALIASES], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise MeasureError(f"unknown measure {name!r}{hint} (known: {', '.join(_BY_NAME)})")
    return found


def measure(spec: str | Measure | Callable[..., Any], **parameters: Any) -> Measure:
    """The measure meant by ``spec``.

    Parameters: ``spec`` is a name ("ndd"), a text with parameters ("exponential(trim=0.1)"), a
    `Measure` (returned as it is, or changed by ``parameters``), or a Python function, which becomes a
    user's measure; ``parameters`` are those of the measure.
    Raises `MeasureError` for unknown names, suggesting near ones, and for unknown parameters.

    >>> print(measure("ndd(query_norm=2)"))
    ndd(query_norm=2)
    >>> print(measure("tempered_cosine", beta=0.25))
    tempered_cosine(beta=0.25)
    """
    if isinstance(spec, Measure):
        return spec.with_(**_known(type(spec), parameters)) if parameters else spec
    if isinstance(spec, str):
        return _from_text(spec, parameters)
    if callable(spec):
        return user_measure(spec, **parameters)
    raise MeasureError(f"a measure must be a name, a text, a Measure or a function, got {type(spec).__name__}")


def parameter_names(cls: type[Measure]) -> list[str]:
    """The parameters a measure takes, without its fitted state."""
    return [f.name for f in fields(cls) if f.init and not f.metadata.get("fitted")]


def _known(cls: type[Measure], parameters: Mapping[str, Any]) -> dict[str, Any]:
    allowed = parameter_names(cls)
    for name in parameters:
        if name not in allowed:
            takes = ", ".join(allowed) if allowed else "none"
            raise MeasureError(f"{cls.name}: unknown parameter {name!r} (it takes: {takes})")
    return dict(parameters)


def _build(cls: type[Measure], parameters: Mapping[str, Any]) -> Measure:
    needed = [f.name for f in fields(cls) if f.init and f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in needed if name not in parameters]:
        cure = "; read a saved network with kiyas.Learned.load(path)" if cls.name == "learned" else ""
        raise MeasureError(f"{cls.name}: needs {', '.join(missing)}{cure}")
    try:
        return cls(**_known(cls, parameters))
    except TypeError as error:
        raise MeasureError(f"{cls.name}: {error}") from None


# -- reading text ----------------------------------------------------------------------------------


def _from_text(text: str, parameters: Mapping[str, Any]) -> Measure:
    head, bracket, rest = text.strip().partition("(")
    cls = measure_class(head)
    if not bracket:
        return _build(cls, parameters)
    node = _parsed(f"{cls.name}({rest}")
    unreadable = MeasureError(f"{text[:80]!r} cannot be read as a measure; write it like "
                              "exponential(trim=0.1, bandwidth=0.05)")
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise unreadable
    try:
        given = _keywords(node, text)
    except RecursionError:
        raise unreadable from None
    twice = sorted(set(given) & set(parameters))
    if twice:
        raise MeasureError(f"{cls.name}: parameter {twice[0]!r} is given in the text and beside it")
    return _build(cls, {**given, **parameters})


def _parsed(text: str) -> ast.expr | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown escapes in strings
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # null bytes; nesting without end
        return None


def _keywords(node: ast.Call, text: str) -> dict[str, Any]:
    if node.args or any(k.arg is None for k in node.keywords):
        raise MeasureError(f"parameters in {text!r} must be given by name, like trim=0.1")
    given: dict[str, Any] = {}
    for keyword in node.keywords:
        given[str(keyword.arg)] = _value(keyword.value, text)
    return given


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as value)):
            return -value if isinstance(sign, ast.USub) else value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, text) for item in items]
        case ast.Call(func=ast.Name(id="quantile" | "Quantile"), args=args, keywords=keywords):
            shares = [_value(arg, text) for arg in args] + [_value(k.value, text) for k in keywords if k.arg == "q"]
            if len(shares) != 1 or len(args) + len(keywords) != 1:
                raise MeasureError(f"a quantile in {text!r} must be written like quantile(0.1)")
            return Quantile(shares[0])
        case ast.Name(id=name):
            return _build(measure_class(name), {})
        case ast.Call(func=ast.Name(id=name)):
            return _build(measure_class(name), _keywords(node, text))
    raise MeasureError(f"{ast.unparse(node)!r} in {text!r} is no number, text, list or known measure")


# -- to and from files -----------------------------------------------------------------------------


def to_state(measure: Measure) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a file can hold of a measure: a JSON-able description and named arrays; see `from_state`."""
    arrays: dict[str, np.ndarray] = {}
    return _state_of(measure, "measure", arrays), arrays


def from_state(state: Mapping[str, Any], arrays: Mapping[str, np.ndarray],
               function: Callable[..., Any] | None = None) -> Measure:
    """The measure that `to_state` described, bit for bit.

    ``function``: of a user's measure only the name and the hash of its source are kept, so the
    function has to be given again. Raises `FileError` for a state that is not one of ours,
    `MeasureError` for a user's function that is missing or another one.
    """
    try:
        return _measure_of(state, arrays, function)
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(f"the saved measure cannot be read: {type(error).__name__} {error}") from None


def _state_of(measure: Measure, path: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    held = {f.name: _encode(getattr(measure, f.name), f"{path}.{f.name}", arrays)
            for f in fields(measure) if f.init and f.name != "function"}
    if isinstance(measure, UserInner | UserCoordinate | UserPair):
        return {"user": type(measure).__name__, "signature": _signature(measure), "parameters": held}
    return {"measure": measure.name, "parameters": held}


def _signature(measure: UserInner | UserCoordinate | UserPair) -> dict[str, Any]:
    """By the source of the function; by its bytecode where no source is at hand, as at a prompt."""
    try:
        return measure.signature()
    except MeasureError:
        return measure.signature(by="code")


def _encode(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": repr(value)}
        case list() | tuple():
            items = [_encode(item, f"{path}.{i}", arrays) for i, item in enumerate(value)]
            return {"list": items} if isinstance(value, list) else {"tuple": items}
        case np.ndarray():
            arrays[path] = np.ascontiguousarray(value)
            return {"array": path}
        case Measure():
            return _state_of(value, path, arrays)
        case Quantile():
            return {"quantile": value.q}
        case Covariance():
            return {"covariance": {f.name: _encode(getattr(value, f.name), f"{path}.{f.name}", arrays)
                                   for f in fields(value)}}
    raise MeasureError(f"{path}: a {type(value).__name__} cannot be saved")


def _measure_of(state: Mapping[str, Any], arrays: Mapping[str, np.ndarray],
                function: Callable[..., Any] | None) -> Measure:
    if "user" in state:
        return _user_of(state, arrays, function)
    cls = _BY_NAME.get(state["measure"])
    if cls is None:
        raise FileError(f"the saved measure {state['measure']!r} is not known to this version of kiyas")
    return cls(**_parameters_of(state, cls, arrays, function))


def _parameters_of(state: Mapping[str, Any], cls: type[Measure], arrays: Mapping[str, np.ndarray],
                   function: Callable[..., Any] | None) -> dict[str, Any]:
    held = {name: _decode(value, arrays, function) for name, value in state["parameters"].items()}
    known = {f.name for f in fields(cls) if f.init}
    if more := sorted(held.keys() - known):
        raise FileError(f"the saved measure has {', '.join(more)}, unknown to this version of kiyas")
    return held


def _user_of(state: Mapping[str, Any], arrays: Mapping[str, np.ndarray],
             function: Callable[..., Any] | None) -> Measure:
    saved, cls = state["signature"], _USERS.get(state["user"])
    if cls is None:
        raise FileError(f"the saved measure of kind {state['user']!r} is not known to this version of kiyas")
    key = "code_sha256" if "code_sha256" in saved else "source_sha256"
    if function is None:
        raise MeasureError(f"{saved['name']}: is a user's own function and is not kept in files; give it again as "
                           f"function= ({key} {saved[key]})")
    measure = cls(**{**_parameters_of(state, cls, arrays, function), "function": function})
    given = measure.signature(by="code" if key == "code_sha256" else "source")
    if given != saved:
        raise MeasureError(f"{saved['name']}: the function given is not the one that was saved: {key} "
                           f"{given[key]} now, {saved[key]} then")
    return measure


def _decode(value: Any, arrays: Mapping[str, np.ndarray], function: Callable[..., Any] | None) -> Any:
    match value:
        case {"float": text}:
            return float(text)
        case {"list": items}:
            return [_decode(item, arrays, function) for item in items]
        case {"tuple": items}:
            return tuple(_decode(item, arrays, function) for item in items)
        case {"array": key}:
            if key not in arrays:
                raise FileError(f"the saved measure lacks its array {key!r}")
            return arrays[key]
        case {"measure": _} | {"user": _}:
            return _measure_of(value, arrays, function)
        case {"quantile": q}:
            return Quantile(q)
        case {"covariance": held}:
            return Covariance(**{name: _decode(item, arrays, function) for name, item in held.items()})
        case None | bool() | int() | float() | str():
            return value
    raise FileError(f"the saved measure holds {value!r}, which cannot be read")
