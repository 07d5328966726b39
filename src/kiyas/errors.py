"""Every error kiyas raises on purpose.

    KiyasError
    ├── InputError          (ValueError)   an argument is of the wrong shape, type, range or content
    │   └── DomainError                    a point lies where the measure is not defined
    ├── MeasureError        (ValueError)   unknown measure or parameter, or a declaration that does not hold
    ├── NotFittedError      (ValueError)   a measure needs `fit(X)` before it can compare
    ├── FileError           (OSError)      a file is missing a part, altered, newer than this kiyas, or not one of ours
    └── MissingExtraError   (ImportError)  an optional dependency is not installed; the message has the install line

Messages follow one template (`message`): where, which argument, what is allowed, what came.
"""

from __future__ import annotations


class KiyasError(Exception):
    """Base of all errors raised by kiyas."""


class InputError(KiyasError, ValueError):
    """An argument is of the wrong shape, type, range or content."""


class DomainError(InputError):
    """A point lies outside the domain of the measure."""


class MeasureError(KiyasError, ValueError):
    """Unknown measure or parameter, or a declaration about a measure that does not hold."""


class NotFittedError(KiyasError, ValueError):
    """The measure has to be fitted on rows before it can compare."""


class FileError(KiyasError, OSError):
    """A file is incomplete, altered, newer than this version of kiyas, or not one of ours."""


class MissingExtraError(KiyasError, ImportError):
    """An optional dependency is not installed."""


def message(owner: str, parameter: str, allowed: str, got: object, cure: str = "") -> str:
    """The one template of argument errors.

    >>> message("Index.search", "k", "an integer from 1 to 5", 9)
    "Index.search: 'k' must be an integer from 1 to 5, got 9"
    """
    text = f"{owner}: '{parameter}' must be {allowed}, got {got}"
    return f"{text}; {cure}" if cure else text


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """The error for an optional dependency that is not there, with its install line.

    >>> str(missing_extra("torch", "torch", "attention"))
    "attention needs torch, which is not installed: pip install 'kiyas[torch]'"
    """
    return MissingExtraError(f"{purpose} needs {package}, which is not installed: pip install 'kiyas[{extra}]'")
