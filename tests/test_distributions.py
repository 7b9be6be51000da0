"""Two distributions of one tree: what a device has, and all that stands on it."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path
from typing import Any

import zoo_runtime
from zoo_registry.entries import own_version

ROOT = Path(__file__).parent.parent
ROOTS = ("registry", "export", "zoo", "recipes")
RUNTIME = ("zoo_system", "zoo_registry", "zoo_runtime")
EXTRAS = ("audio", "genai", "grammar", "images", "litert", "litertlm", "onnx", "serve", "text")


def project(folder: str) -> dict[str, Any]:
    text = (ROOT / folder / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found


def files(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_both_have_one_version_and_one_needs_exactly_the_other() -> None:
    whole, runtime = project("."), project("runtime")
    assert whole["version"] == runtime["version"] == own_version()
    [needed] = [line for line in whole["dependencies"] if line.startswith("kerazoo-runtime")]
    assert needed == f"kerazoo-runtime[images,litert,onnx,text]=={runtime['version']}"
    assert [line.partition(">")[0] for line in runtime["dependencies"]] == ["numpy"]
    assert sorted(runtime["optional-dependencies"]) == [*EXTRAS]
    assert whole["requires-python"] == runtime["requires-python"]
    license_ = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / "runtime" / "LICENSE").read_text(encoding="utf-8") == license_


def test_every_file_is_in_one_of_the_wheels(wheels: dict[str, Path]) -> None:
    whole, runtime = files(wheels["kerazoo"]), files(wheels["kerazoo-runtime"])
    assert not whole & runtime
    assert {name.partition("/")[0] for name in runtime} == {*RUNTIME}
    packages = [path for root in ROOTS for path in (ROOT / root).glob("zoo*")]
    of_tree = {
        path.relative_to(package.parent).as_posix()
        for package in packages
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert whole | runtime == of_tree


def test_its_face_names_what_a_device_needs() -> None:
    assert {"load_bundle", "verify", "open_trainer", "Preprocessor"} <= {*dir(zoo_runtime)}
