"""Recipes whose inputs are made another size: preprocessing and model change together."""

from __future__ import annotations

import pytest

import zoo_registry
from zoo_models.sizing import abstract_model
from zoo_recipes import sizes
from zoo_recipes.catalog import RECIPES
from zoo_recipes.overrides import value_at, with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_registry import UsageError


def reading(step: str) -> list[str]:
    recipes = {name: zoo_registry.recipes.peek(name) for name in RECIPES}
    return [n for n, r in recipes.items() if r and step in {s["step"] for s in r.preprocessing}]


@pytest.mark.parametrize("name", reading("image"))
def test_images(name: str) -> None:
    recipe = resolve_recipe(name)
    changed = with_overrides(recipe, sizes.of_images(recipe, (64, 96, 3)))
    (step,) = (step for step in changed.preprocessing if step["step"] == "image")
    assert (list(step["size"]), step["channels"]) == ([64, 96], 3)
    if "input_shape" in sizes.accepted(recipe):
        assert value_at(changed, "model.input_shape") == [64, 96, 3]
    same = with_overrides(recipe, sizes.of_images(recipe, (64, 96)))
    channels = {step.get("channels", 3) for step in recipe.preprocessing if step["step"] == "image"}
    assert {s.get("channels", 3) for s in same.preprocessing if s["step"] == "image"} == channels


@pytest.mark.parametrize("name", reading("tokenize"))
def test_texts(name: str) -> None:
    recipe = resolve_recipe(name)
    changed = with_overrides(recipe, sizes.of_texts(recipe, 33))
    lengths = [step["length"] for step in changed.preprocessing if step["step"] == "tokenize"]
    assert lengths[0] == 33
    for key in sizes.LENGTHS:
        if key in sizes.accepted(recipe):
            # What took any length, goes on to do so.
            default = sizes.accepted(recipe)[key].default
            takes_any = default is None and key not in recipe.model.overrides
            assert value_at(changed, f"model.{key}") == (None if takes_any else 33)


def test_a_model_takes_what_its_recipe_makes() -> None:
    recipe = resolve_recipe("mnist5k-cnn")
    changed = with_overrides(recipe, sizes.of_images(recipe, (40, 24, 3)))
    spec = zoo_registry.models.get(changed.model.name)
    model = abstract_model(spec, None, num_classes=2, **changed.model.overrides)
    assert model.inputs[0].shape == (None, 40, 24, 3)


def test_other_recipes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^--image-size is for recipes of images: the prep.* of "):
        sizes.of_images(resolve_recipe("pydoc-gpt"), (8, 8))
    with pytest.raises(UsageError, match=r"has no step 'tokenize' \(its steps: image\)\.$"):
        sizes.of_texts(resolve_recipe("digits-cnn"), 8)
