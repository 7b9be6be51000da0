"""Sizes of what a recipe's model reads: the settings that belong to one, as overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import zoo_registry
from zoo_models.calling import accepted_overrides, load_builder
from zoo_recipes.recipe import Recipe
from zoo_registry import UsageError

# How models call the number of tokens or samples that they take.
LENGTHS = ("sequence_length", "max_length", "length")


def of_images(recipe: Recipe, size: int | Sequence[int]) -> list[str]:
    """Return the overrides that make a recipe's images another size.

    Args:
        recipe: Its preprocessing has the step ``image``.
        size: Height and width in pixels, and the channels where they are to change: 1 or 3; or one
            number for height and width.

    Raises:
        UsageError: A recipe of other inputs, or another number of numbers.

    Example:
        >>> from zoo_recipes.recipe import resolve_recipe
        >>> of_images(resolve_recipe("digits-cnn"), (32, 48, 3))[:2]
        ['preprocessing.0.size=[32,48]', 'preprocessing.0.channels=3']
    """
    at, step = _step(recipe, "image", "--image-size", "images")
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) not in {2, 3}:
        raise UsageError(
            f"image_size={size!r} must be a number of pixels, such as 96, height and width, such "
            "as (96, 128), or these and channels, such as (96, 128, 3)."
        )
    height, width, *others = sides
    channels = others[0] if others else step.get("channels", 3)
    keys = [f"preprocessing.{at}.size=[{height},{width}]"]
    keys += [f"preprocessing.{at}.channels={channels}"] if others else []
    if "input_shape" in accepted(recipe):
        keys.append(f"model.input_shape=[{height},{width},{channels}]")
    return keys


def of_texts(recipe: Recipe, length: int) -> list[str]:
    """Return the overrides that make a recipe's texts so many tokens long.

    Raises:
        UsageError: A recipe of other inputs.

    Example:
        >>> from zoo_recipes.recipe import resolve_recipe
        >>> of_texts(resolve_recipe("language-id-bert"), 64)
        ['preprocessing.0.length=64', 'model.max_length=64']
    """
    at, _ = _step(recipe, "tokenize", "--sequence-length", "texts")
    return [f"preprocessing.{at}.length={length}", *lengths_of_model(recipe, length)]


def sized(
    recipe: Recipe, image_size: int | Sequence[int] | None, sequence_length: int | None
) -> list[str]:
    """Return the overrides for images and texts of another size, where one is given.

    Args:
        recipe: What is changed.
        image_size: Height and width, and channels where they change too; one number for both.
        sequence_length: Tokens of a text.

    Raises:
        UsageError: A recipe of other inputs.
    """
    images = of_images(recipe, image_size) if image_size else []
    return [*images, *(of_texts(recipe, sequence_length) if sequence_length else [])]


def lengths_of_model(recipe: Recipe, length: int) -> list[str]:
    """Return the overrides that make a recipe's model take inputs of a length.

    A model that takes any length, whose default is ``None``, goes on to do so.
    """
    takes, stated = accepted(recipe), recipe.model.overrides
    keys = [key for key in LENGTHS if key in takes]
    return [
        f"model.{key}={length}" for key in keys if key in stated or takes[key].default is not None
    ]


def accepted(recipe: Recipe) -> Mapping[str, Any]:
    """Return what the builder of a recipe's model takes, with its defaults."""
    return accepted_overrides(load_builder(zoo_registry.models.get(recipe.model.name)))


def _step(recipe: Recipe, name: str, option: str, what: str) -> tuple[int, Mapping[str, Any]]:
    for at, step in enumerate(recipe.preprocessing):
        if step.get("step") == name:
            return at, step
    found = ", ".join(str(step.get("step")) for step in recipe.preprocessing) or "none"
    raise UsageError(
        f"{option} is for recipes of {what}: the preprocessing of '{recipe.name}' has no step "
        f"'{name}' (its steps: {found})."
    )
