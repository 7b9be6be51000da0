"""Dotted overrides of a recipe, as the command line has them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
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
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"Override '{override}' is not key=value, such as fit.epochs=3.")
        values[key.strip()] = read_value(text.strip())
    return with_values(recipe, values)


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe with values in place of others, by dotted key.

    Args:
        recipe: What to start from.
        values: Plain data by key, as :func:`with_overrides` takes them.

    Raises:
        UsageError: Mistakes in the result, all of them listed.
    """
    data = recipe.to_dict()
    for key, value in values.items():
        _put(data, _path(key), value, key)
    return as_recipe(data, recipe.name)


def value_at(recipe: Recipe, key: str) -> Any:
    """Return what a recipe has at a dotted key, or ``None``.

    Example:
        >>> recipe = as_recipe({"model": {"name": "mlp"}, "dataset": {"name": "digits"}}, "mine")
        >>> value_at(recipe, "fit.batch_size"), value_at(recipe, "model.hidden_dim")
        (32, None)
    """
    value: Any = recipe.to_dict()
    for part in _path(key):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def read_value(text: str) -> Any:
    """Return the TOML value that a text is, or the text.

    Example:
        >>> read_value("1e-3"), read_value("[8, 8]"), read_value("adamw")
        (0.001, [8, 8], 'adamw')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _path(key: str) -> list[str]:
    path = key.split(".")
    if (
        path[0] == "model"
        and len(path) > 1
        and path[1] not in {f.name for f in fields(ModelConfig)}
    ):
        path.insert(1, "overrides")
    return path


def _put(data: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    *parents, last = path
    table: Any = data
    for parent in parents:
        below = table.setdefault(parent, {})
        if isinstance(below, str):
            # A component may be written as its name alone.
            below = table[parent] = {"name": below}
        if not isinstance(below, dict):
            raise UsageError(f"Override of '{key}': '{'.'.join(parents)}' holds no keys.")
        table = below
    table[last] = value
