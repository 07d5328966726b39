"""Masks that Keras 3 writes out: operations that compute them, and arguments that hand them over.

A layer here gets the mask of what goes into it. So an argument is passed over where it is that very mask, computed from
what a Masking or Embedding layer on the way gets; any other mask is a person's own, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kiyas.recurrent.loading.keras.references import history_of

# What makes a mask of the shape of a signal, and nothing of what is in it.
_SHAPES = frozenset({"ZerosLike", "OnesLike", "Shape"})

# The class of each operation, and its calls.
Operations = Mapping[str, tuple[str, list[Any]]]
# The calls of a layer: its references by number of call.
Inputs = Callable[[str, int], list[list[Any]]]


def is_implied(mask: Any, inputs: list[list[Any]], operations: Operations, masking: Mapping[str, float],
               arguments: Inputs) -> bool:
    """Whether a mask argument is the mask that ``inputs`` have anyway.

    ``operations``: the class and calls of what goes to masks alone; ``masking``: layers that begin a mask, and the
    value of theirs.
    """
    roots = list(_roots(mask, operations, 0))
    begun = {(tuple(source), value) for source, value in _begun(inputs, masking, arguments)}
    return bool(roots) and all(root in begun for root in roots)


def _roots(mask: Any, operations: Operations, depth: int) -> Iterator[tuple[Any, Any]]:
    """What is compared with what: ((layer, call, output), value) of each NotEqual under a mask."""
    history = history_of(mask)
    if history is None or history[0] not in operations or depth > 20:
        yield None, None
        return
    kind, calls = operations[history[0]]
    if kind in _SHAPES:
        return
    call = calls[history[1]] if history[1] < len(calls) else None
    arguments = call.get("args", []) if isinstance(call, Mapping) else []
    tensors = [a for b in arguments for a in (b if isinstance(b, list) else [b]) if history_of(a) is not None]
    if len(tensors) == 1 and len(arguments) > 1 and isinstance(arguments[1], (int, float)):
        yield tuple(history_of(tensors[0]) or ()), float(arguments[1])
        return
    for tensor in tensors or [None]:
        yield from _roots(tensor, operations, depth + 1)


def _begun(inputs: list[list[Any]], masking: Mapping[str, float], arguments: Inputs
           ) -> Iterator[tuple[list[Any], float]]:
    """What the layers that begin a mask get, among those that the inputs come from."""
    seen: set[tuple[str, int]] = set()
    waiting = [(t[0], t[1]) for t in inputs]
    while waiting:
        name, call = waiting.pop()
        if (name, call) in seen:
            continue
        seen.add((name, call))
        before = arguments(name, call)
        if name in masking and before:
            yield before[0], masking[name]
        waiting += [(t[0], t[1]) for t in before]
