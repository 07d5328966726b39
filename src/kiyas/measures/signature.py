"""What tells one function of a user's from another: SHA-256 of its source, or of its bytecode."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from kiyas.errors import MeasureError


def source_hash(function: Callable[..., Any], owner: str) -> str:
    """Of the source, free of its indentation; `MeasureError` in the name of ``owner`` where there is none."""
    import textwrap

    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise MeasureError(f"{owner}: the source of the function is not available, so it cannot be hashed; "
                           "define it in a file, or use signature(by='code')") from None
    return _sha256(source.encode())


def code_hash(function: Callable[..., Any], owner: str) -> str:
    """Of the bytecode and constants, for one version of Python; `MeasureError` where there is none."""
    code = getattr(function, "__code__", None)
    if code is None:
        raise MeasureError(f"{owner}: the function has no bytecode to hash; wrap it in a def of your own")
    return _sha256(_code_bytes(code))


def _code_bytes(code: Any) -> bytes:
    """Bytecode, names and constants, free of file names and addresses; nested functions included."""
    constants = [_code_bytes(c).hex() if inspect.iscode(c) else repr(c) for c in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants)).encode()


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
