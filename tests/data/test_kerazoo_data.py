"""The second distribution: what stands in it, and what is said where it is not installed."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import zoo_registry
from zoo.cli.main import cli
from zoo_recipes.catalog import RECIPES
from zoo_recipes.custom_data.choosing import on_custom_data
from zoo_recipes.datasets.catalog import DATASETS, DatasetSpec
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.recipe import resolve_recipe
from zoo_recipes.reporting import facts
from zoo_recipes.training.training import train
from zoo_registry import PluginError, Registry, UnknownNameError, plugins
from zoo_registry.entries import Elsewhere

ROOT = Path(__file__).parent.parent.parent
NAME = "kerazoo-data"


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_its_entry_points_are_the_names_reserved_for_it() -> None:
    data, ours = project(ROOT / "data"), project(ROOT)
    for group, table in (("zoo.datasets", DATASETS), ("zoo.recipes", RECIPES)):
        reserved = {name for name, value in table.items() if value == Elsewhere(NAME)}
        assert set(data["entry-points"][group]) == reserved
    assert set(data["entry-points"]) == {"zoo.datasets", "zoo.recipes"}
    assert data["version"] == ours["version"]
    assert f"kerazoo=={ours['version']}" in data["dependencies"]
    assert f"{NAME}=={data['version']}" in ours["optional-dependencies"]["data"]
    assert data["requires-python"] == ours["requires-python"]


def test_its_names_are_as_they_were_when_they_were_ours(site, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "none")
    monkeypatch.setattr(zoo_registry, "datasets", anew(zoo_registry.datasets))
    spec = zoo_registry.datasets.get("language_id")
    assert spec.origin.distribution == NAME
    assert zoo_registry.datasets.get("kerazoo/language_id") is spec
    assert zoo_registry.datasets.get("kerazoo-data/language_id") is spec
    assert set(zoo_registry.datasets.names()) == set(DATASETS)
    assert zoo_registry.datasets.absent() == {}


def anew(registry: Registry) -> Registry:
    return Registry(
        registry.kind,
        group=registry.group,
        builtin=registry._builtin,
        coerce=registry._coerce,
        separator=registry._separator,
    )


@pytest.fixture
def alone(site, monkeypatch):
    """Kerazoo as it is without kerazoo-data."""
    found = plugins.installed

    def without() -> tuple[plugins.PluginEntry, ...]:
        return tuple(entry for entry in found() if entry.distribution != NAME)

    without.cache_clear = found.cache_clear
    monkeypatch.setattr(plugins, "installed", without)
    for kind in ("datasets", "recipes"):
        monkeypatch.setattr(zoo_registry, kind, anew(getattr(zoo_registry, kind)))
    return site


@pytest.mark.parametrize("name", ["language_id", "kerazoo/language_id", "language_id:1.0.0"])
def test_without_it_a_data_set_says_how_to_get_it(alone, tmp_path, name) -> None:
    with pytest.raises(UnknownNameError) as caught:
        open_dataset(name, data_dir=tmp_path)
    assert str(caught.value) == (
        "Dataset 'language_id' comes with the package 'kerazoo-data', which is not installed: "
        "pip install kerazoo-data."
    )


def test_without_it_a_recipe_of_its_data_is_read_and_not_trained(alone, tmp_path) -> None:
    with pytest.raises(UnknownNameError, match=r"not installed: pip install kerazoo-data\.$"):
        train("language-id-lstm", out=tmp_path / "run", data_dir=tmp_path, verbose=False)
    assert not (tmp_path / "run").exists()
    rows = ["a,b,label"] + [f"{row},{-row},{'odd' if row % 2 else 'even'}" for row in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(rows), encoding="utf-8")
    # Custom data take the place of its own.
    recipe = on_custom_data(resolve_recipe("table-mlp"), tmp_path / "rows.csv")
    assert recipe.dataset.name == str(tmp_path / "rows.csv")
    with pytest.raises(UnknownNameError, match="Recipe 'resume-bias' comes with the package 'ker"):
        resolve_recipe("resume-bias")
    # What a run of it is told beside, and nothing to compare it with.
    told = SimpleNamespace(recipe=replace(recipe, name="resume-bias"))
    assert facts.changes(told) == {}
    with pytest.raises(UnknownNameError, match=r"'resume-bia'. Did you mean 'resume-bias'\?"):
        resolve_recipe("resume-bia")


def test_without_it_lists_say_what_there_would_be(alone) -> None:
    def say(*words: str) -> str:
        return CliRunner().invoke(cli, [*words]).output

    assert re.findall(r"^\w+", say("datasets"), re.M)[1:] == ["digits", "mnist5k", "pydoc", "And"]
    assert say("datasets").splitlines()[-1] == "And 15 of kerazoo-data: pip install kerazoo-data"
    assert [row["name"] for row in json.loads(say("datasets", "--json"))] == [
        *("digits", "mnist5k", "pydoc")
    ]
    assert "And 1 of kerazoo-data: pip install kerazoo-data" in say("recipes", "resume*")
    assert "kerazoo-data" not in say("datasets", "dig*")


def test_nobody_else_takes_a_name_that_is_reserved_for_it(alone) -> None:
    alone.install("other-zoo", "[zoo.datasets]\nlanguage_id = other:DATA\n", other="DATA = 'a:B'")
    datasets = zoo_registry.datasets
    assert datasets.get("other-zoo/language_id") == DatasetSpec(
        name="language_id", builder="a:B", origin=datasets.origin("other-zoo/language_id")
    )
    with pytest.raises(UnknownNameError, match="pip install kerazoo-data"):
        datasets.get("language_id")
    assert datasets.problems[0].reason == (
        "dataset 'language_id' is already registered by 'kerazoo-data': 'other-zoo' must choose "
        "another name, or be called 'other-zoo/language_id'."
    )


def test_one_that_does_not_go_with_this_kerazoo_is_no_end_of_lists(site, monkeypatch) -> None:
    entry = "[zoo.datasets]\nlanguage_id = old_data:LANGUAGE_ID\n"
    site.install(NAME, entry, "0.0.1", old_data="from zoo_recipes.datasets import gone")
    monkeypatch.setattr(zoo_registry, "datasets", anew(zoo_registry.datasets))
    rows = json.loads(CliRunner().invoke(cli, ["datasets", "--json"]).stdout)
    assert {row["name"]: bool(row["summary"]) for row in rows} == {
        name: name != "language_id" for name in DATASETS
    }
    with pytest.raises(PluginError, match=r"'language_id' of plugin 'kerazoo-data' 0\.0\.1 cannot"):
        zoo_registry.datasets.get("language_id")
