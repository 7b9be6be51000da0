"""Which room may import which, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"zoo", "zoo_registry", "zoo_recipes", "zoo_export"}
HEAVY = {"tensorflow", "keras", "numpy", "tensorflow_datasets", "onnx", "onnxruntime", "sklearn"}

# Package or module -> what of ours it may import beside itself.
ALLOWED = {
    "registry/zoo_registry": set(),
    "recipes/zoo_recipes": {"zoo_registry", "zoo_runtime.preprocess"},
    "export/zoo_export": {"zoo_registry"},
    "zoo/zoo_models/builders": {"zoo_registry", "zoo_models.layers"},
    "zoo/zoo_models/layers": {"zoo_registry"},
    "zoo/zoo_models/catalog": {"zoo_registry"},
    "zoo/zoo_models/weights": {"zoo_registry"},
    "zoo/zoo_models/sizing": {"zoo_registry"},
    "zoo/zoo_models/bridges": {"zoo_registry", "zoo_models.sizing", "zoo_models.weights"},
}
# The rooms of zoo_recipes: each may import those above it, those of one line each other.
RECIPES = (
    ("arrays", "metrics"),
    ("own_data",),
    ("datasets",),
    ("tasks",),
    ("compiling",),
    ("augmentation",),
    ("evaluation",),
    ("reporting",),
    ("training", "distributed"),
    ("explanation",),
    ("tuning",),
)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_a_room_imports_only_what_it_may(package: str) -> None:
    itself = package.partition("/")[2].replace("/", ".")
    allowed = ALLOWED[package] | {itself}
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            if name.partition(".")[0] in OURS:
                assert any(name == a or name.startswith(f"{a}.") for a in allowed), (path, name)


def test_the_rooms_of_recipes_stand_on_each_other() -> None:
    root = ROOT / "recipes/zoo_recipes"
    height = {room: number for number, rooms in enumerate(RECIPES) for room in rooms}
    assert set(height) == {path.parent.name for path in root.glob("*/__init__.py")}
    for room, floor in height.items():
        for path in (root / room).glob("*.py"):
            for name in imports(path):
                other = name.removeprefix("zoo_recipes.").partition(".")[0]
                assert height.get(other, 0) <= floor, (path, name)


def test_the_registry_imports_nothing_heavy() -> None:
    for path in (ROOT / "registry").rglob("*.py"):
        assert not HEAVY & {name.partition(".")[0] for name in imports(path)}, path


def test_nothing_heavy_is_imported_before_it_is_needed(fresh_python) -> None:
    code = """
import sys
import zoo, zoo.cli.main, zoo_export.exporting, zoo_runtime.verification, zoo_recipes.recipe
print(sorted({"tensorflow", "keras", "onnx", "onnxruntime", "sklearn"} & sys.modules.keys()))
"""
    done = fresh_python(code)
    assert done.stdout == "[]\n", done.stderr


def test_the_facade_says_the_same_to_python_and_to_type_checkers() -> None:
    import zoo

    tree = ast.parse((ROOT / "zoo/zoo/__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == zoo._EXPORTS
    for name in dir(zoo):
        assert getattr(zoo, name) is not None
