"""Dotted overrides of a recipe, as the command line has them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import zoo_registry
from zoo_recipes.configs import Component, ModelConfig
from zoo_recipes.recipe import Recipe, as_recipe
from zoo_registry import UsageError, did_you_mean

NOTHING = {"none", "null"}


def with_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Return the recipe with some of its values replaced.

    Args:
        recipe: What to start from.
        overrides: ``key=value`` each. The key is dotted; ``model.filters`` is short for
            ``model.overrides.filters``, and a number counts the items of a list from 0. The value
            is TOML, and a bare word is a string; ``none`` takes the key out, as if the recipe had
            not given it.

    Raises:
        UsageError: An override without ``=``, or mistakes in the result, all of them listed.

    Example:
        >>> recipe = as_recipe({"model": {"name": "mlp"}, "dataset": {"name": "digits"}}, "mine")
        >>> changed = with_overrides(recipe, ["fit.epochs=3", "fit.keep_best=loss"])
        >>> changed.fit.epochs, changed.fit.keep_best
        (3, 'loss')
        >>> with_overrides(changed, ["fit.epochs=none", "fit.keep_best=none"]) == recipe
        True
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
        values: Plain data by key, as :func:`with_overrides` takes them; ``None`` takes a key out.

    Raises:
        UsageError: Mistakes in the result, all of them listed.
    """
    data = recipe.to_dict()
    for key, value in values.items():
        if key not in get_type_hints(Recipe) and "." not in key and (found := dotted_keys(key)):
            choices = " or ".join(f"'{each}'" for each in found)
            raise UsageError(f"There is no key '{key}' of a recipe. Did you mean {choices}?")
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


def dotted_keys(word: str) -> list[str]:
    """Return the keys of recipes that end in a word, the shortest first; what is tuned is none.

    Example:
        >>> dotted_keys("epochs"), dotted_keys("learning_rate")[0]
        (['fit.epochs'], 'compile.optimizer.learning_rate')
    """
    recipes = (zoo_registry.recipes.peek(name) for name in zoo_registry.recipes.names())
    known = {*_declared(Recipe), *(key for r in recipes if r for key in _held(r.to_dict()))}
    found = [key for key in known if key.endswith(f".{word}") and not key.startswith("tune.")]
    return sorted(found, key=lambda key: (key.count("."), key))


def _declared(config: Any) -> Iterator[str]:
    for name, hint in get_type_hints(config).items():
        yield name
        for kind in (hint, *get_args(hint)):
            if is_dataclass(kind) and kind is not Component:
                yield from (f"{name}.{key}" for key in _declared(kind))


def _held(table: Mapping[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{key}".replace("overrides.", "") for key in _held(value))


def read_value(text: str) -> Any:
    """Return the TOML value that a text is, or the text.

    Example:
        >>> read_value("1e-3"), read_value("[8, 8]"), read_value("adamw"), read_value("none")
        (0.001, [8, 8], 'adamw', None)
    """
    # TOML cannot say nothing; in quotation marks it is the word.
    if text.lower() in NOTHING:
        return None
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
    for at, parent in enumerate(parents):
        known = _below(table, parent)
        if known is None and value is None:
            _check_key(path, key)
            return  # It is out already.
        if isinstance(known, str):
            # A component may be written as its name alone.
            known = {"name": known}
        known = {} if known is None else known
        if not isinstance(known, dict | list):
            where = ".".join(parents[: at + 1])
            raise UsageError(f"Override of '{key}': '{where}' holds no keys.")
        _set(table, parent, known, key)
        table = known
    if value is None:
        _check_key(path, key)
        _take_out(table, last, key)
    else:
        _set(table, last, value, key)


def _check_key(path: list[str], key: str) -> None:
    """Refuse to take out what no recipe has; of arguments anything may be there or not."""
    config: Any = Recipe
    for part in path:
        known = get_type_hints(config)
        if part not in known:
            raise UsageError(
                f"Override of '{key}': there is no such key.{did_you_mean(part, known)}"
            )
        parts = (known[part], *get_args(known[part]))
        config = next((kind for kind in parts if is_dataclass(kind)), None)
        if config is None or config is Component:
            return


def _below(table: Any, part: str) -> Any:
    if isinstance(table, dict):
        return table.get(part)
    return table[int(part)] if _is_item(table, part) else None


def _is_item(table: list[Any], part: str) -> bool:
    return part.isdecimal() and int(part) < len(table)


def _set(table: Any, part: str, value: Any, key: str) -> None:
    if isinstance(table, list):
        _check_item(table, part, key)
        table[int(part)] = value
    else:
        table[part] = value


def _take_out(table: Any, part: str, key: str) -> None:
    if isinstance(table, list):
        _check_item(table, part, key)
        del table[int(part)]
    else:
        table.pop(part, None)


def _check_item(table: list[Any], part: str, key: str) -> None:
    if not _is_item(table, part):
        count = f"{len(table)} item{'s' if len(table) != 1 else ''}, from 0 on"
        raise UsageError(f"Override of '{key}': '{part}' is none of {count}.")
