"""The reference of the site, beside what recipes, commands and pages use."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from docs.hooks.reference import TABLES
from zoo.cli.main import COMMANDS
from zoo_recipes.compiling.keras_names import bare_name

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "recipes" / "zoo_recipes" / "builtin").glob("*.toml"))
RECIPES = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in FILES}
# What is below these is an argument of something, or a name of the user's.
OPEN = ("model.overrides", "dataset.columns", "fit.class_weight", "tune.space", "compile")
NAMED = {
    "compile.optimizer": "optimizers",
    "compile.schedule": "schedules",
    "compile.loss": "losses",
    "compile.metrics": "metrics",
}


def first_cells(table: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", TABLES[table](), re.MULTILINE)


def keys(data: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in data.items():
        yield f"{path}{key}"
        if isinstance(value, Mapping) and not f"{path}{key}".startswith(OPEN):
            yield from keys(value, f"{path}{key}.")


def test_every_key_of_every_recipe_is_there_once() -> None:
    there = first_cells("settings")
    assert len(there) == len({*there}) > 60
    assert {key for recipe in RECIPES.values() for key in keys(recipe)} <= {*there}


@pytest.mark.parametrize(("key", "table"), NAMED.items())
def test_what_recipes_name_is_there(key: str, table: str) -> None:
    there = {bare_name(name) for name in first_cells(table)}
    _, last = key.split(".")
    given = [recipe.get("compile", {}).get(last, []) for recipe in RECIPES.values()]
    values = [each for value in given for each in (value if isinstance(value, list) else [value])]
    named = {bare_name(each["name"] if isinstance(each, dict) else each) for each in values}
    # Keras' own short names.
    assert named - {"accuracy", "mae", "mse"} <= there


def test_every_step_and_its_keys_are_there() -> None:
    sections = re.split(r"^## `(\w+)`$", TABLES["steps"](), flags=re.MULTILINE)[1:]
    there = dict(zip(sections[::2], sections[1::2], strict=True))
    for step in (step for recipe in RECIPES.values() for step in recipe.get("preprocessing", [])):
        assert all(f"| `{key}` |" in there[step["step"]] for key in step if key != "step")


def test_every_augmentation_that_recipes_name_is_there() -> None:
    there = {
        bare_name(name) for table in ("own changes", "image changes") for name in first_cells(table)
    }
    named = {
        bare_name(change if isinstance(change, str) else change["name"])
        for recipe in RECIPES.values()
        for change in recipe.get("augmentation", [])
    }
    assert named <= there


def test_every_command_is_there_as_its_help_has_it() -> None:
    text = TABLES["commands"]()
    assert all(f"### `zoo {name}`" in text for name in COMMANDS)
    assert "[default: name]" in text
    assert '```\nbash:  eval "$(zoo completion bash)"\n' in text
    assert "Sentinel" not in text


def test_pages_ask_for_every_table_and_for_no_other() -> None:
    asked = [
        name
        for page in (ROOT / "docs").rglob("*.md")
        for name in re.findall(r"<!-- reference: (.+?) -->", page.read_text(encoding="utf-8"))
    ]
    assert sorted(asked) == sorted(TABLES)
