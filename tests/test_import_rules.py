"""The house: which floor and which room may import which, read from the source."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from zoo_export.reading.model_code import OURS

ROOT = Path(__file__).parent.parent
ROOTS = ("registry", "export", "zoo", "recipes")
HEAVY = {"tensorflow", "keras", "numpy", "tensorflow_datasets", "onnx", "onnxruntime", "sklearn"}
# Where a name stands for what is imported when somebody asks for it.
TABLES = {
    "export/zoo_export/targets/__init__.py",
    "export/zoo_runtime/formats.py",
    "recipes/zoo_recipes/datasets/catalog.py",
    "registry/zoo_registry/__init__.py",
    "zoo/zoo/cli/main.py",
    "zoo/zoo_models/bridges/catalogs.py",
}
CATALOG = "zoo/zoo_models/catalog/"

# Room of zoo_models -> what of zoo_models it may import beside itself.
MODELS = {
    "layers": set(),
    "builders": {"layers"},
    "catalog": set(),
    "weights": {"calling"},
    "sizing": {"backend", "build", "calling", "memory"},
    "bridges": {"layers", "weights"},
}
# The rooms of zoo_recipes: each may import those above it, those of one line each other.
RECIPES = (
    ("arrays", "metrics"),
    ("custom_data",),
    ("datasets",),
    ("tasks",),
    ("compiling",),
    ("augmentation",),
    ("evaluation",),
    ("reporting",),
    ("trackers",),
    ("training", "distributed"),
    ("explanation",),
    ("tuning",),
)
# And those of zoo_export.
EXPORT = (
    ("reading",),
    ("converters",),
    ("generation",),
    ("card",),
    ("making",),
    ("targets", "benchmarking"),
)


def floors() -> list[list[str]]:
    """Return the packages of each floor, the lowest first, as CONTRIBUTING draws them."""
    blocks = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")
    (drawing,) = (block for block in blocks if "zoo_system  " in block)
    lines = (line.partition("|")[0].split() for line in drawing.splitlines())
    return [line for line in lines if line][::-1]


PACKAGES = [package for floor in floors() for package in floor]
FOLDERS = {
    path.name: path for root in ROOTS for path in (ROOT / root).glob("zoo*") if path.is_dir()
}


def is_face(package: str) -> bool:
    return (FOLDERS[package] / "__init__.pyi").is_file()


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in FOLDERS[package].rglob("*.py"):
            parts = path.relative_to(FOLDERS[package].parent).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a relative name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found


IMPORTS = {name: imports(path) for name, path in MODULES.items()}


def test_every_package_stands_on_a_floor() -> None:
    assert set(FOLDERS) == set(PACKAGES)
    assert set(PACKAGES) == OURS  # whose layers Keras saves, and whose files a cached export hashes


@pytest.mark.parametrize("package", PACKAGES)
def test_a_floor_imports_only_those_under_it(package: str) -> None:
    at = next(index for index, floor in enumerate(floors()) if package in floor)
    under = {name for floor in floors()[:at] for name in floor} | {package}
    for module, imported in IMPORTS.items():
        if module.partition(".")[0] == package:
            ours = {name.partition(".")[0] for name in imported} & set(PACKAGES)
            assert ours <= under, module


def test_no_module_imports_one_that_imports_it() -> None:
    graph = {name: (imported & MODULES.keys()) - {name} for name, imported in IMPORTS.items()}
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_kerazoo_knows_kerazoo_data_by_its_entry_points_alone() -> None:
    imported = {name.partition(".")[0] for names in IMPORTS.values() for name in names}
    assert "zoo_registry" in imported
    assert "kerazoo_data" not in imported


def test_targets_stand_in_tables() -> None:
    target = re.compile(r"zoo(_\w+)?(\.\w+)+:\w+")
    for path in MODULES.values():
        name = str(path.relative_to(ROOT))
        if name not in TABLES and not name.startswith(CATALOG):
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            words = [node.value for node in tree if isinstance(node, ast.Constant)]
            assert not [word for word in words if target.fullmatch(str(word))], name


@pytest.mark.parametrize("room", MODELS)
def test_a_room_of_models_imports_only_what_it_may(room: str) -> None:
    for module, imported in IMPORTS.items():
        if module.startswith(f"zoo_models.{room}"):
            rooms = {name.split(".")[1] for name in imported if name.startswith("zoo_models.")}
            assert rooms <= MODELS[room] | {room}, module


@pytest.mark.parametrize(("package", "order"), [("zoo_recipes", RECIPES), ("zoo_export", EXPORT)])
def test_the_rooms_of_a_package_stand_on_each_other(package: str, order: Any) -> None:
    root = FOLDERS[package]
    height = {room: number for number, rooms in enumerate(order) for room in rooms}
    assert set(height) == {path.parent.name for path in root.glob("*/__init__.py")}
    for room, floor in height.items():
        for path in (root / room).rglob("*.py"):
            # The face of targets is a table, which says what there is.
            for name in imports(path) - {"zoo_export.targets"}:
                other = name.removeprefix(f"{package}.").partition(".")[0]
                assert height.get(other, 0) <= floor, (path, name)


def test_the_registry_imports_nothing_heavy() -> None:
    for path in (ROOT / "registry").rglob("*.py"):
        assert not HEAVY & {name.partition(".")[0] for name in imports(path)}, path


def test_a_device_needs_numpy_alone() -> None:
    """All else is imported by ``zoo_runtime.optional``, which says how it is installed.

    What a process took of memory is measured where Kerazoo is, by psutil on Windows.
    """
    ours = {"zoo_system", "zoo_registry", "zoo_runtime"}
    known = ours | {"numpy"} | sys.stdlib_module_names
    for name, imported in IMPORTS.items():
        if name.partition(".")[0] in ours:
            roots = {module.partition(".")[0] for module in imported}
            assert roots <= known | ({"psutil"} if name == "zoo_system.machine" else set()), name


def test_nothing_heavy_is_imported_before_it_is_needed(fresh_python) -> None:
    code = """
import sys
import zoo, zoo.cli.main, zoo_export.exporting, zoo_runtime.bundle, zoo_recipes.recipe
print(sorted({"tensorflow", "keras", "onnx", "onnxruntime", "sklearn"} & sys.modules.keys()))
"""
    done = fresh_python(code)
    assert done.stdout == "[]\n", done.stderr


def test_help_imports_nothing_that_computes(fresh_python) -> None:
    """`zoo COMMAND --help` is there at once; the server's limits are those of what serves."""
    code = """
import sys
from zoo.cli.main import COMMANDS
from zoo_registry import load_target
for name in COMMANDS.keys() - {"serve"}:
    load_target(COMMANDS[name].target)
print(sorted({"numpy", "pydantic", "rich", "PIL"} & sys.modules.keys()))
"""
    done = fresh_python(code)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("package", [name for name in PACKAGES if is_face(name)])
def test_a_face_gives_all_that_its_stub_names(package: str) -> None:
    face = importlib.import_module(package)
    assert len(face.__all__) > 10
    for name in face.__all__:
        assert getattr(face, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        face.nothing  # noqa: B018
    given: dict[str, object] = {}
    exec(f"from {package} import *", given)
    assert set(face.__all__) <= given.keys()
