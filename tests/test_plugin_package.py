"""The example plugin and broken ones, built and installed by pip as a user would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "plugin"
BROKEN = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}-zoo"
version = "0.3"
[project.entry-points."zoo.models"]
{name} = "{name}_zoo:build"
[project.entry-points."zoo.{group}"]
{entry} = "{name}_zoo:{value}"
[tool.hatch.build.targets.wheel]
only-include = ["{name}_zoo.py"]
"""


def pip_install(source: Path, target: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--target", str(target), str(source)),
        ],
        check=True,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the example and two broken plugins, each built into a wheel."""
    target = tmp_path_factory.mktemp("site")
    sources = tmp_path_factory.mktemp("sources")
    # pip builds in place: the checkout stays clean.
    pip_install(Path(shutil.copytree(EXAMPLE, sources / "plugin")), target)
    for name, group, entry, value, text in (
        ("crash", "recipes", "crash-recipe", "RECIPE", "raise RuntimeError('at import')"),
        ("twin", "datasets", "digits", "DATA", "build = 'no function'\nDATA = 3"),
    ):
        project = sources / name
        project.mkdir()
        (project / "pyproject.toml").write_text(
            BROKEN.format(name=name, group=group, entry=entry, value=value)
        )
        (project / f"{name}_zoo.py").write_text(text)
        pip_install(project, target)
    return target


def run(installed: Path, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_plugins_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    done = run(installed, "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.slow
def test_a_plugins_names_are_listed_with_what_they_say(installed: Path) -> None:
    for kind, known in (
        ("models", {"name": "gated-mlp", "family": "gated-mlp"}),
        ("recipes", {"name": "iris-gated-mlp", "model": "gated-mlp", "dataset": "iris_flowers"}),
    ):
        command = ("zoo.cli", kind, f"{known['name'][:6]}*", "--json")
        (row,) = json.loads(run(installed, *command).stdout)
        assert {**row, **known} == row


@pytest.mark.slow
def test_train_and_export_by_the_plugins_names(installed: Path, tmp_path: Path) -> None:
    trained = run(
        installed, "zoo.cli", "train", "iris-gated-mlp", "--data-dir", "data", cwd=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    assert "Next: zoo export runs/iris-gated-mlp" in trained.stdout
    exported = run(
        installed, "zoo.cli", "export", "runs/iris-gated-mlp", "--to", "tflite,onnx", cwd=tmp_path
    )
    assert exported.returncode == 0, exported.stderr
    predicted = run(
        installed,
        "zoo.cli",
        *("predict", "bundles/iris-gated-mlp", str(_flower(tmp_path)), "--json"),
        cwd=tmp_path,
    )
    assert json.loads(predicted.stdout)["label"] == "setosa", predicted.stderr


def _flower(folder: Path) -> Path:
    import numpy as np

    np.save(folder / "flower.npy", np.array([5.1, 3.5, 1.4, 0.2], "float32"))
    return folder / "flower.npy"


@pytest.mark.slow
def test_broken_plugins_are_shown_and_harm_nobody(installed: Path) -> None:
    rows = json.loads(run(installed, "zoo.cli", "plugins", "--json").stdout)
    ours = ("kerazoo-data", "kerazoo-runtime")
    others = [row for row in rows if row["distribution"] not in ours]
    assert {row["status"] for row in rows if row not in others} == {"ok"}
    status = {(row["distribution"], row["name"]): row["status"] for row in others}
    assert status == {
        ("flower-zoo", "gated-mlp"): "ok",
        ("flower-zoo", "iris_flowers"): "ok",
        ("flower-zoo", "iris-gated-mlp"): "ok",
        ("crash-zoo", "crash"): "broken",
        ("crash-zoo", "crash-recipe"): "broken",
        ("twin-zoo", "twin"): "broken",
        ("twin-zoo", "digits"): "broken",
    }
    reasons = {row["name"]: row["reason"] for row in rows}
    assert reasons["crash"] == "RuntimeError: at import"
    names = {
        row["name"] for row in json.loads(run(installed, "zoo.cli", "models", "--json").stdout)
    }
    assert {"bert-tiny", "gated-mlp", "crash", "twin"} <= names
    listing = run(installed, "zoo.cli", "datasets").stdout.split()
    assert {"digits", "twin-zoo/digits"} <= set(listing)
