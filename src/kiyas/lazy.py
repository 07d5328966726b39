"""Names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def names(package: str, homes: Mapping[str, Sequence[str]],
          modules: Sequence[str] = ()) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Parameters: ``package``, its name; ``homes``, the names that each of its modules defines; ``modules``, those that
    are names of the package themselves.
    """
    home = {name: module for module, defined in homes.items() for name in defined}

    def get(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name in home:
            return getattr(import_module(f"{package}.{home[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted({*vars(sys.modules[package]), *home, *modules})
