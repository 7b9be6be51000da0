"""What a word is that was given where a name of another kind is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

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


class Names(Protocol):
    """What is asked of a registry here."""

    kind: str

    def __contains__(self, name: object) -> bool:
        """Return whether a name is known."""

    def names(self) -> list[str]:
        """Return all names."""

    def peek(self, name: str) -> Any:
        """Return what a name stands for, if that is known without an import of a plugin."""


def other_meanings(word: str, wanted: str, registries: Sequence[Names]) -> str:
    """Return sentences on what a word is, with a leading space each; empty if it is nothing here.

    Args:
        word: What was given.
        wanted: The kind that it is not: ``model``, ``recipe``, ``run`` or another one.
        registries: Where to look.
    """
    return "".join(f" {sentence}" for sentence in _meanings(word, wanted, registries))


def _meanings(word: str, wanted: str, registries: Sequence[Names]) -> Iterator[str]:
    by_kind = {registry.kind: registry for registry in registries}
    kinds = [kind for kind, registry in by_kind.items() if kind != wanted and word in registry]
    for kind in kinds:
        yield f"'{word}' is a {kind}: `{_USES[kind].format(word)}`."
    if wanted == "recipe" and (found := _recipes_with(word, by_kind[wanted])):
        yield f"Recipes with it: {', '.join(found)}."
    if not kinds and "model" in by_kind and word in tasks_of(by_kind["model"]):
        yield f"'{word}' is a task: `zoo models --task {word}`, or an option of a model."
    for kind, (folder, file, use) in _FOLDERS.items():
        if kind != wanted and Path(word, file).is_file():
            yield f"It is a {kind}: `{use.format(word)}`."
        if Path(word).name == word and Path(folder, word, file).is_file():
            yield f"There is a {kind} of that name: {folder}/{word}."


def _recipes_with(word: str, recipes: Names) -> list[str]:
    """Return some of the recipes that train a model, or train on a data set."""
    read = {name: recipes.peek(name) for name in recipes.names()}
    found = [name for name, r in read.items() if r and word in {r.model.name, r.dataset.name}]
    return [*found[:_MOST_RECIPES], "..."] if len(found) > _MOST_RECIPES else found


def tasks_of(models: Names) -> set[str]:
    """Return the tasks of all models that are known without an import of a plugin."""
    specs = (models.peek(name) for name in models.names())
    return {task for spec in specs if spec for task in spec.tasks}
