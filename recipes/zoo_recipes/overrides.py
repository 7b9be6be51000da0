"""Dotted overrides of a recipe, as the command line has them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from zoo_recipes.configs import ModelConfig
from zoo_recipes.recipe import Recipe, as_recipe
from zoo_registry import UsageError


def with_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return the recipe with some of its values replaced.

    Args:
        recipe: What to start from.
        overrides: ``key=value`` each. The key is dotted; ``model.filters`` is short for
            ``model.overrides.filters``. The value is TOML, and a bare word is a string.

    Raises:
        UsageError: An override without ``=``, or mistakes in the result, all of them listed.

    Example:
        >>> recipe = as_recipe({"model": {"name": "mlp"}, "dataset": {"name": "digits"}}, "mine")
        >>> with_overrides(recipe, ["fit.epochs=3", "compile.optimizer=sgd"]).fit.epochs
        3
    """
    data = recipe.to_dict()
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"Override '{override}' is not key=value, such as fit.epochs=3.")
        _put(data, _path(key.strip()), _value(text.strip()), override)
    return as_recipe(data, recipe.name)


def _path(key: str) -> list[str]:
    path = key.split(".")
    if (
        path[0] == "model"
        and len(path) > 1
        and path[1] not in {f.name for f in fields(ModelConfig)}
    ):
        path.insert(1, "overrides")
    return path


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(data: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    *parents, last = path
    table: Any = data
    for parent in parents:
        below = table.setdefault(parent, {})
        if isinstance(below, str):
            # A component may be written as its name alone.
            below = table[parent] = {"name": below}
        if not isinstance(below, dict):
            raise UsageError(f"Override '{override}': '{'.'.join(parents)}' holds no keys.")
        table = below
    table[last] = value
