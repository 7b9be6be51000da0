"""What is learned of the training split beside weights: words, columns, the scale of targets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.datasets.rows import Examples
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import asset_of
from zoo_registry import UsageError
from zoo_registry.specs import is_regression
from zoo_runtime.preprocess import as_step
from zoo_runtime.preprocess.steps import LookupStep, TableStep
from zoo_runtime.preprocess.tables import load_columns, to_json
from zoo_system import folders
from zoo_system.durable import write

# Argument of a model's builder that is the size of the vocabulary of an input.
SIZES = {"user_id": "num_users", "item_id": "num_items"}


def make_assets(recipe: Recipe, examples: Examples, folder: Path) -> dict[str, Any]:
    """Write what the recipe's steps need to know of the training split into the run's assets.

    Args:
        recipe: Its steps ``lookup`` have vocabularies, and ``table`` has columns.
        examples: The training split.
        folder: Of the run.

    Returns:
        What follows for the arguments of a builder: how many users and items there are, the
        unknown ones counted, and the mean rating; how many numbers a row becomes; mean and
        standard deviation of the targets of a regression.

    Raises:
        UsageError: The recipe has a model with fewer numbers than that, or targets that are no
            numbers.
    """
    found: dict[str, Any] = {}
    for step in map(as_step, recipe.preprocessing):
        if isinstance(step, LookupStep):
            found |= _vocabulary(step, recipe, examples, folder)
        elif isinstance(step, TableStep):
            found |= _columns(step, recipe, examples, folder)
    _check_sizes(recipe, found)
    if found.keys() & set(SIZES.values()):
        found["mean_rating"] = float(np.mean(examples.labels))
    return found | dict(_scale(recipe, examples))


def numbers(recipe: Recipe, labels: Any) -> Any:
    """Return the targets of a regression, float32 (examples,) or (examples, numbers).

    Raises:
        UsageError: They are none.
    """
    targets = np.asarray(labels)
    if targets.dtype.kind not in "iuf" or targets.ndim not in {1, 2}:
        raise UsageError(
            f"Task '{recipe.model.task}' learns numbers, and '{recipe.dataset.label}' of "
            f"'{recipe.dataset.name}' holds none (dataset.label)."
        )
    return targets.astype(np.float32)


def _vocabulary(
    step: LookupStep, recipe: Recipe, examples: Examples, folder: Path
) -> dict[str, int]:
    known = asset_of(recipe.model.weights, step.vocabulary)
    if known is not None:
        # The rows of the weights are those of these words.
        words = json.loads(known.read_text(encoding="utf-8"))
    else:
        counts = Counter(step.words(examples.raws))
        words = sorted(word for word, count in counts.items() if count >= step.min_count)
    _write(folder, step.vocabulary, json.dumps(words, indent=0))
    return {SIZES[step.input]: len(words) + 1} if step.input in SIZES else {}


def _columns(
    step: TableStep, recipe: Recipe, examples: Examples, folder: Path
) -> dict[str, tuple[int]]:
    names = recipe.dataset.input
    known = asset_of(recipe.model.weights, step.columns)
    if known is not None:
        # The first layer of the weights reads these columns, standardised so.
        columns = list(load_columns(known.parent, known.name))
    else:
        columns = step.look_at(examples.raws, [names] if isinstance(names, str) else list(names))
    _write(folder, step.columns, to_json(columns))
    return {"input_shape": (sum(column.width for column in columns),)}


def _write(folder: Path, name: str, text: str) -> None:
    write(folder / folders.ASSETS / name, partial(Path.write_text, data=text, encoding="utf-8"))


def _check_sizes(recipe: Recipe, found: dict[str, Any]) -> None:
    for key in found.keys() & set(SIZES.values()):
        needed = found[key]
        size = recipe.model.overrides.get(key, needed)
        if size < needed:
            raise UsageError(
                f"model.overrides.{key}={size}: the training split has {needed - 1:,} of them, and "
                f"the unknown one: set it to {needed}, or leave it out."
            )


def _scale(recipe: Recipe, examples: Examples) -> Iterator[tuple[str, Any]]:
    if not is_regression(recipe.model.task):
        return
    targets = numbers(recipe, examples.labels).astype(np.float64)
    spread = targets.std(axis=0)
    yield "target_mean", targets.mean(axis=0).tolist()
    yield "target_scale", np.where(spread > 0, spread, 1.0).tolist()
    if targets.ndim == 2:
        yield "num_classes", targets.shape[1]
