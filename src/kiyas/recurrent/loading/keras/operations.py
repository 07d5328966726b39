"""Operations in the code of a model, ``x * 2.0 + y``, which Keras writes down as if they were layers.

Keras 3 has a class for each. In Keras 2 all are of class TFOpLambda, whose option ``function`` is a name of TensorFlow.
Here an operation is an entry of class `OPERATION` and its name in Keras 3; a constant among its arguments becomes
options of it, so that only tensors are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kiyas.errors import FileError
from kiyas.recurrent.loading.keras.references import Reference, history_of, is_keras3, is_reference
from kiyas.recurrent.registry import registered

# What classes of operations are called here: Keras 3 has some that share their names with layers.
OPERATION = "operation "
# Classes that are operations where a file tells neither a module nor whether they can be trained.
_WITHOUT_MODULE = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average", "Concatenate", "Softmax", "Divide",
                   "TrueDivide", "Negative")
# Those that take constants.
_ARITHMETIC = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative")
# TensorFlow's names of them, and what each calls its arguments.
_OF_TENSORFLOW = {
    "math.add": ("Add", "x", "y"), "__operators__.add": ("Add", "x", "y"), "math.subtract": ("Subtract", "x", "y"),
    "math.multiply": ("Multiply", "x", "y"), "math.scalar_mul": ("Multiply", "scalar", "x"),
    "compat.v1.math.scalar_mul": ("Multiply", "scalar", "x"), "math.divide": ("TrueDivide", "x", "y"),
    "math.truediv": ("TrueDivide", "x", "y"), "realdiv": ("TrueDivide", "x", "y"), "math.negative": ("Negative", "x"),
}
_WHOLE = ("int", "uint", "bool")


def as_operation(entry: Mapping[str, Any], kind: str, config: Mapping[str, Any], nodes: list[Any],
                 dtypes: Mapping[str, Any], where: str) -> tuple[str, Mapping[str, Any], list[Any]] | None:
    """The class, options and calls of an operation, which hands no mask on; None for a layer.

    ``dtypes`` are those of the inputs of the model, by name. Raises `FileError` for arithmetic whose arguments are
    other than tensors and constants, or whole numbers.
    """
    names: tuple[str, ...] = ("x1", "x2")
    if registered(kind) is not None:
        return None
    if _is_of_keras3(entry, nodes, kind, config):
        found = kind
    elif kind == "TFOpLambda" and isinstance(function := config.get("function"), str):
        found, *own = _OF_TENSORFLOW.get(function, (f"{kind} ({function:.60})",))
        names = tuple(own)
    else:
        return None
    if found not in _ARITHMETIC or len(nodes) != 1:
        return f"{OPERATION}{found}", config, nodes
    owner = f"{where}: operation {found} '{config.get('name')}'"
    values = _arguments(nodes[0], names[:1] if found == "Negative" else names, owner)
    left = {key: value for key, value in config.items() if key != "function"}
    tensors: list[Reference] = []
    for place, value in enumerate(values):
        reference = history_of(value) or (list(value)[:3] if is_reference(value) else None)
        if reference is None:
            left = {**left, "constant": _constant(value, owner), "constant_first": place == 0}
            continue
        tensors.append(reference)
        dtype = value["config"].get("dtype") if isinstance(value, Mapping) else dtypes.get(reference[0])
        if str(dtype).startswith(_WHOLE):
            raise FileError(f"{owner} works on whole numbers ({dtype:.20}), which is not supported; give the model "
                            "their result, or an input of float32")
    # In the form of the file's version, which tells how calls are numbered.
    calls = [{"args": [_tensor(t) for t in tensors], "kwargs": {}} if is_keras3(nodes[0]) else tensors]
    return f"{OPERATION}{found}", left, calls


def _is_of_keras3(entry: Mapping[str, Any], nodes: list[Any], kind: str, config: Mapping[str, Any]) -> bool:
    """``.h5`` files do not say the module; there every layer says whether it is trainable."""
    if not any(is_keras3(node) for node in nodes):
        return False
    module = entry.get("module")
    if isinstance(module, str):
        return module.startswith(("keras.src.ops.", "keras.ops"))
    return kind in _WITHOUT_MODULE and "trainable" not in config


def _arguments(node: Any, names: tuple[str, ...], owner: str) -> list[Any]:
    """The arguments of a call, tensors and constants, in the order of ``names``."""
    given: list[Any] = []
    keywords: Any = {}
    if is_keras3(node):
        given, keywords = list(node.get("args", [])), node.get("kwargs", {})
    else:  # [layer, call, output, {…}], or ["_CONSTANT_VALUE", -1, constant, {…}], by itself or in a list
        first = node[0] if isinstance(node, list) and len(node) == 1 else node
        if isinstance(first, list) and len(first) == 4:
            given = [first[2] if first[:2] == ["_CONSTANT_VALUE", -1] else first[:3]]
            keywords = first[3]
    if not isinstance(keywords, Mapping):
        keywords = {}
    named = {key: value for key, value in keywords.items() if key != "name"}
    expected = names[len(given):]
    if not given or len(given) > len(names) or set(named) != set(expected):
        raise FileError(f"{owner} is called in a way that is not supported: {node!r:.60}")
    return given + [named[name] for name in expected]


def _constant(value: Any, owner: str) -> Any:
    """A number, or lists of them, as the file has it: plain, or an array written out."""
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__") \
            and isinstance(value.get("config"), Mapping):
        value = value["config"].get("value")
    if not _is_numeric(value):
        raise FileError(f"{owner} gets {value!r:.60}, which is neither a tensor nor numbers, and not supported")
    return value


def _is_numeric(value: Any, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 4 and bool(value) and all(_is_numeric(v, depth + 1) for v in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _tensor(reference: Reference) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": reference}}
