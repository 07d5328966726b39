"""A module imports only from lower layers, and only what its layer may know (docs/design.md)."""

import ast
import itertools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "kiyas"
MODULES = sorted(SOURCE.rglob("*.py"))
OUTSIDE_CORE = {"numpy", "array_api_compat", "safetensors"}


def layers():
    """Layer of each top-level part, read from the house in docs/design.md."""
    found = {}
    number = ""
    for given, words in re.findall(r"^ {4}(?:layer (\d+)|        ) +(.*)$", _house(), flags=re.M):
        number = given or number
        names = itertools.takewhile(lambda w: (SOURCE / w).is_dir() or (SOURCE / f"{w}.py").exists(), words.split())
        found |= dict.fromkeys(names, int(number))
    return found


def _house():
    return (ROOT / "docs" / "design.md").read_text().partition("## The house")[2].partition("\n##")[0]


LAYERS = layers()


def imports(path):
    """(module, whether it runs when the module is imported) of every import statement."""
    tree = ast.parse(path.read_text())
    inside, typing = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside |= {id(n) for n in ast.walk(node)}
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            typing |= {id(n) for n in ast.walk(node)}
    for node in ast.walk(tree):
        late = id(node) in inside or id(node) in typing
        if isinstance(node, ast.Import):
            yield from ((alias.name, not late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "kiyas" else [node.module]
            yield from ((name, not late) for name in names)


def part(path):
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def test_every_part_has_a_layer():
    assert LAYERS["errors"] == 0 and LAYERS["search"] == 3
    parts = {part(path) for path in MODULES} - {"__init__", "__main__", "py"}
    assert parts <= LAYERS.keys(), f"not in the house of docs/design.md: {sorted(parts - LAYERS.keys())}"


@pytest.mark.parametrize("path", [p for p in MODULES if part(p) not in ("__init__", "__main__")],
                         ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_only(path):
    mine = LAYERS[part(path)]
    for module, _ in imports(path):
        names = module.split(".")
        if names[0] != "kiyas" or len(names) == 1 or names[1] == "__version__":
            continue
        other = names[1]
        assert other == part(path) or LAYERS[other] < mine, f"{path.name} (layer {mine}) imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_importing_needs_only_the_core_dependencies(path):
    if part(path) == "cli":
        return  # the command has an extra of its own
    standard = sys.stdlib_module_names
    for module, at_import in imports(path):
        name = module.split(".")[0]
        assert not at_import or name in standard or name == "kiyas" or name in OUTSIDE_CORE, f"{path.name}: {module}"
