"""What `zoo new-plugin` writes, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import chain, combinations
from pathlib import Path

import pytest

from zoo.scaffold import PARTS, new_plugin
from zoo_registry import UsageError


def run(folder: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_choice_of_kinds_is_written_as_ruff_wants_it(tmp_path) -> None:
    sizes = range(1, len(PARTS) + 1)
    choices = list(chain.from_iterable(combinations(PARTS, size) for size in sizes))
    for index, kinds in enumerate(choices):
        written = new_plugin(f"acme{index}-zoo", kinds=kinds, parent=tmp_path)
        home = tmp_path / f"acme{index}-zoo"
        found = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
        assert found == set(written)
        assert not [path for path in found if "<<" in path + (home / path).read_text()]
    assert len(choices) == 31
    run(tmp_path, "ruff", "check", ".")
    run(tmp_path, "ruff", "format", "--check", ".")
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == {
        f"acme{index}-zoo" for index in range(31)
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acme zoo", "'acme zoo' is not the name of a distribution: use letters, digits and '-', "),
        ("../acme", "'../acme' is not the name of a distribution: use letters, digits and '-', "),
        ("-acme", "'-acme' is not the name of a distribution: use letters, digits and '-', '_' or"),
        ("3d-zoo", "'3d-zoo' makes no Python package, which would be called '3d_zoo': begin with"),
        ("class", "'class' makes no Python package, which would be called 'class': begin with a"),
        ("json", "'json' would hide the package 'json': choose another, such as acme-json."),
        ("Kerazoo", "'Kerazoo' would hide the package 'kerazoo': choose another, such as acme-Ker"),
    ],
)
def test_names_that_no_package_can_have_are_refused(name, message, tmp_path) -> None:
    with pytest.raises(UsageError) as caught:
        new_plugin(name, parent=tmp_path)
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays_and_unknown_kinds_are_named(tmp_path) -> None:
    (tmp_path / "acme-zoo").mkdir()
    with pytest.raises(UsageError, match=r"acme-zoo' is there already: choose another name or f"):
        new_plugin("acme-zoo", parent=tmp_path)
    assert list((tmp_path / "acme-zoo").iterdir()) == []
    with pytest.raises(UsageError) as caught:
        new_plugin("other-zoo", kinds=["modle"], parent=tmp_path)
    assert str(caught.value) == (
        "There is no kind 'modle'. Did you mean 'model'? There are: model, dataset, recipe, "
        "format, tracker."
    )
    with pytest.raises(UsageError, match=r"^Choose what the plugin brings: model, dataset, recip"):
        new_plugin("other-zoo", kinds=[], parent=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["acme-zoo"]


@pytest.mark.slow
def test_a_package_as_it_is_written_installs_and_passes_its_own_tests(tmp_path) -> None:
    written = run(tmp_path, "zoo.cli", "new-plugin", "acme-zoo", "--kind", ",".join(PARTS))
    assert written.endswith(
        "Next: python -m pip install --editable 'acme-zoo[test]', then zoo check 'acme-zoo/*'\n"
    )
    home, site = tmp_path / "acme-zoo", tmp_path / "site"
    install = ("pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(tmp_path, *install, "--target", str(site), str(home))
    run(home, "mypy")
    # All that the package registers passes the kit, and its own tests train and export.
    said = run(home, "pytest", "-q", "-p", "no:cacheprovider", PYTHONPATH=str(site))
    assert "70 passed" in said
    # The same as a command, where one fault is seen.
    specs = site / "acme_zoo" / "specs.py"
    specs.write_text(specs.read_text().replace("num_params=1187", "num_params=1188"))
    command = ("zoo.cli", "check", "acme-zoo/acme-highway", "--to", "none", "--json")
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "To be corrected: parameters of model acme-zoo/acme-highway." in done.stderr
    wrong = [row for row in json.loads(done.stdout) if not row["ok"]]
    assert [row["name"] for row in wrong] == ["parameters"]
