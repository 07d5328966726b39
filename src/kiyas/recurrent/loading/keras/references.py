"""How configurations write down which tensor goes where: ``[layer, call, output]``, in the form of every version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from kiyas.errors import FileError

# A tensor: the name of a layer, the number of a call of it, the number of an output of that.
Reference = list[Any]
_DEEPEST = 4


def is_reference(value: object) -> bool:
    """Whether a value is ``[layer, call, output]``, with whatever behind."""
    return isinstance(value, (list, tuple)) and len(value) >= 3 and isinstance(value[0], str) \
        and type(value[1]) is int and type(value[2]) is int and value[1] >= 0 and value[2] >= 0


def history_of(value: Any) -> Reference | None:
    """The ``[layer, call, output]`` of a tensor as Keras 3 writes it; None for anything else."""
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__" \
            and isinstance(value.get("config"), Mapping):
        found = value["config"].get("keras_history")
        if isinstance(found, (list, tuple)) and len(found) == 3 and is_reference(found):
            return list(found)
    return None


def is_keras3(node: object) -> bool:
    """Whether a call is written as Keras 3 does it: its arguments, and its keyword arguments."""
    return isinstance(node, Mapping) and isinstance(node.get("args", []), list) and not is_reference(node.get("args")) \
        and ("args" in node or "kwargs" in node)


def histories(value: Any, depth: int = 0) -> Iterator[Reference]:
    """Every tensor that is written in Keras 3's form anywhere in a value."""
    found = history_of(value)
    if found is not None:
        yield found
    elif depth <= 2 * _DEEPEST and isinstance(value, (list, Mapping)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from histories(inner, depth + 1)


def masks_of(node: object) -> list[Any]:
    """The masks that a call is given in Keras 3's form, one by one."""
    keywords = node.get("kwargs") if isinstance(node, Mapping) else None
    found = keywords.get("mask") if isinstance(keywords, Mapping) else None
    if isinstance(found, Mapping) and history_of(found) is None:
        return list(found.values())
    return found if isinstance(found, list) else [found]


def ends(config: Mapping[str, Any], key: str, where: str) -> list[tuple[str, Reference]]:
    """The inputs or outputs of a model, each with its name: empty where only the layer has one.

    They are a tensor, or a list or mapping of them (of lists, and so on). Mappings go by their sorted keys, as Keras
    has them wherever it makes a list of one.
    """
    found = list(_flat(config.get(key), "", 0))
    if not found or any(not is_reference(value) for _, value in found):
        raise FileError(f"{where}: its configuration is altered: '{key}' is {config.get(key)!r:.60}")
    named = any(not step.isdecimal() for path, _ in found for step in path.split(":") if step)
    return [(path if named else "", list(value)[:3]) for path, value in found]


def structure(config: Mapping[str, Any]) -> Any:
    """The outputs of a model as it gives them: a mapping or nested lists of their numbers in the order of `ends`.

    None for one output and for a plain list of them. Keras takes the one output out of a list of one.
    """
    value, numbers = config.get("output_layers"), count()

    def numbered(value: Any) -> Any:
        if is_reference(value):
            return next(numbers)
        if isinstance(value, Mapping):
            by_key = {key: numbered(value[key]) for key in sorted(value)}
            return {key: by_key[key] for key in value}
        return [numbered(one) for one in value]
    if isinstance(value, (list, tuple)) and not is_reference(value) and len(value) == 1:
        value = value[0]
    found = numbered(value)
    plain = isinstance(found, list) and len(found) > 1 and all(isinstance(one, int) for one in found)
    return None if plain or isinstance(found, int) else found


def _flat(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    inner: Sequence[tuple[str, Any]] = ()
    if is_reference(value) or depth > _DEEPEST:
        yield path, value
        return
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        inner = sorted(value.items())
    elif isinstance(value, (list, tuple)):
        inner = [(str(k), one) for k, one in enumerate(value)]
    if not inner:
        yield path, value
    for step, one in inner:
        yield from _flat(one, f"{path}:{step}" if path else step, depth + 1)


def references(node: object, owner: str = "", names: Sequence[str] = ()) -> list[Reference]:
    """The tensors that go into a call, in order.

    Keras 1 and 2 write lists of them with keyword arguments behind, Keras 3 writes arguments out. With ``owner``, the
    layer as an error names it, an argument that is neither a tensor nor of no effect raises `FileError`. ``names`` are
    those of the inputs of a model: the order in which it takes a mapping.
    """
    found: list[Reference] = []
    if is_keras3(node):
        assert isinstance(node, Mapping)
        _collect(node.get("args", []), found, owner, names)
        _keywords(node.get("kwargs", {}), found, owner)
        return found
    if isinstance(node, Mapping):
        node = _in_order(node, owner, names)
    if not isinstance(node, list):
        if owner:
            raise FileError(f"{owner} is called in a way that is altered: {node!r:.60}")
        return []
    for tensor in [node] if is_reference(node) else node:
        if not is_reference(tensor):
            if owner:
                raise FileError(f"{owner} gets {tensor!r:.60}, which is no tensor")
            continue
        found.append(list(tensor[:3]))
        if len(tensor) > 3:
            _keywords(tensor[3], found, owner)
    return found


def _in_order(given: Mapping[str, Any], owner: str, names: Sequence[str]) -> list[Any]:
    """The values of a mapping of tensors, in the order in which a model takes them."""
    if not owner:
        return list(given.values())
    said = ", ".join(map(str, given))
    if not names:
        raise FileError(f"{owner} gets its inputs as a mapping ({said:.60}), whose order is not known")
    if set(given) != set(names):
        raise FileError(f"{owner} gets the inputs {said:.60}; it has {', '.join(names)}")
    return [given[name] for name in names]


def _collect(value: object, found: list[Reference], owner: str, names: Sequence[str] = (), depth: int = 0) -> None:
    if depth < _DEEPEST and isinstance(value, list) and not is_reference(value):
        for item in value:
            _collect(item, found, owner, names, depth + 1)
    elif is_reference(value):
        found.append(list(value)[:3])  # type: ignore[call-overload]
    elif (history := history_of(value)) is not None:
        found.append(history)
    elif isinstance(value, Mapping) and "class_name" not in value:
        _collect(_in_order(value, owner, names), found, owner, (), depth + 1)
    elif value is not None and owner:
        raise FileError(f"{owner} gets {value!r:.60}, which is no tensor, and not supported")


def _keywords(value: object, found: list[Reference], owner: str) -> None:
    if not isinstance(value, Mapping):
        return
    for key, argument in value.items():
        if key == "initial_state":
            _collect(argument, found, owner)
        # Masks as Keras 3 writes them are checked for a whole graph, see `graph._Functional._check_masks`.
        elif key == "mask" and all(a is None or history_of(a) for a in masks_of({"kwargs": value})):
            continue
        elif argument not in (None, False) and key != "training" and owner:
            raise FileError(f"{owner} is called with {key}={argument!r:.60}, which is not supported")
