"""What is wrong with an installation is found, each with what fixes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def doctor(site: Path, **environment: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = subprocess.run(
        [sys.executable, "-m", "zoo.cli", "doctor", "--json"],
        env={**os.environ, "PYTHONPATH": str(site), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, {row["what"]: row for row in json.loads(done.stdout)}


def distribution(site: Path, name: str, version: str, entry_points: str = "") -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)


def test_nothing_is_wrong_where_tests_run(tmp_path: Path) -> None:
    code, found = doctor(tmp_path)
    assert (code, {row["state"] for row in found.values()} - {"ok", "note"}) == (0, set())
    assert "tensorflow 2." in found["packages"]["said"]


def test_packages_that_hide_each_other_and_old_ones(tmp_path: Path) -> None:
    distribution(tmp_path, "onnxruntime-gpu", "1.0")
    distribution(tmp_path, "tf2onnx", "1.2")
    code, found = doctor(tmp_path)
    assert code == 1
    assert found["onnxruntime"]["said"] == (
        "onnxruntime and onnxruntime-gpu bring the same modules, and the last one installed wins"
    )
    assert found["onnxruntime"]["fix"].startswith("pip uninstall onnxruntime onnxruntime-gpu; pip")
    # Of two of a name it is said that there are two; of the first on the path, that it is old.
    assert found["tf2onnx"]["said"] == "2 versions are on the path"


@pytest.mark.parametrize(
    ("variable", "value", "what", "said"),
    [
        ("KERAS_BACKEND", "jax", "keras", "not on 'jax'"),
        ("KERAZOO_CACHE", "/proc/nobody/writes", "cache", "cannot be written"),
    ],
)
def test_settings_and_folders(
    tmp_path: Path, variable: str, value: str, what: str, said: str
) -> None:
    code, found = doctor(tmp_path, **{variable: value})
    assert code == 1
    assert said in found[what]["said"]
    assert found[what]["fix"]


def test_broken_plugins(tmp_path: Path) -> None:
    distribution(tmp_path, "acme-zoo", "1.0", "[zoo.models]\nacme = no_such_module:MODEL\n")
    code, found = doctor(tmp_path)
    row = found["zoo.models acme of acme-zoo 1.0"]
    assert (code, row["state"]) == (1, "problem")
    assert "No module named 'no_such_module'" in row["said"]
    assert "`zoo plugins` shows more" in row["fix"]
