"""Which model to take: ranked by what is counted and measured, never by opinion."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import zoo_registry
from zoo_models.sizing import BYTES
from zoo_registry import ModelSpec, UsageError
from zoo_registry.search import search


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A model that fits, and why it stands where it stands.

    Args:
        name: Of the model.
        num_params: Its parameters.
        megabytes: Of its weights, in the dtype asked for.
        macs: Multiply-adds of an example, where they are known.
        weights: Where pretrained weights are, or ``None``.
        recipes: Built-in recipes that train it for this task, with the result of each.
        reason: In words.
        next_step: The command to go on with.
    """

    name: str
    num_params: int
    megabytes: float
    macs: int | None
    weights: str | None
    recipes: tuple[str, ...]
    reason: str
    next_step: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {**asdict(self), "recipes": list(self.recipes)}


def choose(
    task: str,
    *,
    max_mb: float | None = None,
    max_macs: int | None = None,
    dtype: str = "float32",
    examples: int | None = None,
) -> list[Choice]:
    """Return the models that fit, the first to try first.

    With fewer examples than parameters, models with pretrained weights come first, the largest
    before smaller ones. Then come those that a recipe of known result trains, and then the rest,
    the smallest first.

    Args:
        task: What the model is to do.
        max_mb: Most megabytes of the weights.
        max_macs: Most multiply-adds of an example, texts of 128 tokens.
        dtype: Of the weights in the file: ``float32``, ``float16`` or ``int8``.
        examples: How many labelled examples there are to train with.

    Raises:
        UsageError: A task that no model has, or limits that none keeps.

    Example:
        >>> [choice.name for choice in choose("image-classification", max_mb=20)][:2]
        ['efficientnet-lite0', 'kerashub/efficientnet_lite0_ra_imagenet']
    """
    specs = zoo_registry.models.survey(search(zoo_registry.models, task=task))
    candidates = [
        _candidate(name, spec, task, dtype, examples)
        for name, spec in _distinct(specs).items()
        if spec.num_params
    ]
    fitting = [choice for choice in candidates if _fits(choice, max_mb, max_macs)]
    if not fitting:
        if not candidates:
            named = ", ".join(sorted(specs)[:3])
            raise UsageError(f"No model for '{task}' has a known size, as of {named}.")
        least = min(candidates, key=lambda choice: choice.num_params)
        macs = "not counted" if least.macs is None else f"{least.macs:,}"
        raise UsageError(
            f"No model for '{task}' keeps these limits. The smallest is '{least.name}': "
            f"{least.megabytes:.2f} MB, multiply-adds: {macs}."
        )
    return sorted(fitting, key=lambda choice: _rank(choice, examples))


def _distinct(specs: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
    # A family's name stands for one of its sizes, which has a name of its own.
    named = {(spec.family, spec.num_params) for name, spec in specs.items() if name != spec.family}
    return {
        name: spec
        for name, spec in specs.items()
        if name != spec.family or (spec.family, spec.num_params) not in named
    }


def _fits(choice: Choice, max_mb: float | None, max_macs: int | None) -> bool:
    return (max_mb is None or choice.megabytes <= max_mb) and (
        max_macs is None or (choice.macs is not None and choice.macs <= max_macs)
    )


def _helps(choice: Choice, examples: int | None) -> bool:
    """Return whether pretrained weights say more than the examples can."""
    return choice.weights is not None and (examples is None or examples < choice.num_params)


def _rank(choice: Choice, examples: int | None) -> tuple[int, int, str]:
    # Of two of one size ours comes first: its name has no prefix.
    prefix, _, _ = choice.name.rpartition("/")
    if _helps(choice, examples):
        return 0, -choice.num_params, prefix
    return (1 if choice.recipes else 2), choice.num_params, prefix


def _candidate(name: str, spec: ModelSpec, task: str, dtype: str, examples: int | None) -> Choice:
    recipes = _recipes(name, spec, task)
    num_params = spec.num_params or 0
    reasons = [
        "pretrained weights to fine-tune" if spec.weights else "no pretrained weights",
        f"{num_params / examples:,.0f} parameters an example" if examples else "",
        *recipes.values(),
    ]
    first = next(iter(recipes), None)
    return Choice(
        name=name,
        num_params=num_params,
        megabytes=num_params * BYTES[dtype] / 1e6,
        macs=spec.macs,
        weights=spec.weights,
        recipes=tuple(recipes),
        reason="; ".join(reason for reason in reasons if reason),
        next_step=f"zoo train {first}" if first else f"zoo show {name} --task {task} --batch 1",
    )


def _recipes(name: str, spec: ModelSpec, task: str) -> dict[str, str]:
    """Return the recipes for a model and task, with their results in words."""
    found = {key: zoo_registry.recipes.peek(key) for key in zoo_registry.recipes}
    return {
        key: f"{key}: {recipe.expected}"
        for key, recipe in found.items()
        if recipe is not None
        and recipe.expected is not None
        and recipe.model.name == name
        and (recipe.model.task or spec.tasks[0]) == task
    }
