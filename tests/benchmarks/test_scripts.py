"""What benchmarks import of Kerazoo exists: they run by hand, and would be found broken then."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("zoo", "kerazoo_data", "benchmarks")
SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks").rglob("*.py"))


def names_in(path: Path) -> set[str]:
    """Return what a module defines or imports, and the names in its stub."""
    found: set[str] = set()
    for file in (path, path.with_suffix(".pyi")):
        tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found |= {alias.asname or alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_imports_exists(script: str) -> None:
    for node in ast.walk(ast.parse((ROOT / script).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(OURS):
            spec = importlib.util.find_spec(str(node.module))
            assert spec is not None, node.module
            known = names_in(Path(str(spec.origin)))
            for alias in node.names:
                inside = (
                    importlib.util.find_spec(f"{node.module}.{alias.name}")
                    if (alias.name not in known and spec.submodule_search_locations)
                    else None
                )
                assert alias.name in known or inside, f"{node.module} has no {alias.name}"
