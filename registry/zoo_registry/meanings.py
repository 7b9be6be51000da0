"""What a word is that was given where a name of another kind is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zoo_system.folders import INFO, MANIFEST

# By kind of name, what is done with one of it.
_USES = {
    "model": "zoo show {}",
    "recipe": "zoo train {}",
    "dataset": "zoo datasets {}",
    "format": "zoo export RUN --to {}",
    "tracker": "zoo train RECIPE --track {}",
    "launcher": "zoo train RECIPE --launcher {}",
}
# By kind of folder: where it is made, the file that tells it, and what is done with it.
_FOLDERS = {
    "run": ("runs", INFO, "zoo evaluate {}"),
    "bundle": ("bundles", MANIFEST, "zoo predict {} INPUT"),
}
_MOST_RECIPES = 4


def other_meanings(word: str, wanted: str) -> str:
    """Return sentences on what a word is, with a leading space each; empty if it is nothing here.

    Args:
        word: What was given.
        wanted: The kind that it is not: ``model``, ``recipe``, ``run`` or another one.

    Example:
        >>> other_meanings("digits-cnn", "model")
        " 'digits-cnn' is a recipe: `zoo train digits-cnn`."
        >>> other_meanings("resnet56", "recipe")
        " 'resnet56' is a model: `zoo show resnet56`. Recipes with it: cifar10-resnet56."
    """
    return "".join(f" {sentence}" for sentence in _meanings(word, wanted))


def _meanings(word: str, wanted: str) -> Iterator[str]:
    from zoo_registry import REGISTRIES, models

    kinds = [r.kind for r in REGISTRIES if r.kind != wanted and word in r]
    for kind in kinds:
        yield f"'{word}' is a {kind}: `{_USES[kind].format(word)}`."
    if wanted == "recipe" and (found := _recipes_with(word)):
        yield f"Recipes with it: {', '.join(found)}."
    if not kinds and any(word in spec.tasks for spec in models.survey(models.names()).values()):
        yield f"'{word}' is a task: `zoo models --task {word}`, or an option of a model."
    for kind, (folder, file, use) in _FOLDERS.items():
        if kind != wanted and Path(word, file).is_file():
            yield f"It is a {kind}: `{use.format(word)}`."
        if Path(word).name == word and Path(folder, word, file).is_file():
            yield f"There is a {kind} of that name: {folder}/{word}."


def _recipes_with(word: str) -> list[str]:
    """Return some of the recipes that train a model, or train on a data set."""
    from zoo_registry import recipes

    read = {name: recipes.peek(name) for name in recipes.names()}
    found = [name for name, r in read.items() if r and word in {r.model.name, r.dataset.name}]
    return [*found[:_MOST_RECIPES], "..."] if len(found) > _MOST_RECIPES else found
