"""A recipe put on the user's own data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import zoo_registry
from zoo_recipes.configs import BadRecords, Component, DatasetConfig, FitConfig
from zoo_recipes.custom_data.content import (
    CONTRASTIVE_IMAGES,
    CONTRASTIVE_PAIRS,
    CONTRASTIVE_TEXTS,
    Columns,
    Kind,
)
from zoo_recipes.custom_data.files import is_path
from zoo_recipes.custom_data.preparing import OwnData, slug
from zoo_recipes.custom_data.splitting import PARTS
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import Recipe, settings_of_one_class
from zoo_registry import UsageError
from zoo_registry.specs import MULTI_LABEL

HEAD = re.compile("(classification|regression)$")
# Settings that only the data on which a recipe is put can bear out.
OF_THE_DATA = ("dataset.", "fit.keep_best", "fit.early_stopping")


def overridden(
    recipe: Recipe, overrides: Sequence[str], data: str | Path | None, columns: Columns | None
) -> Recipe:
    """Return a recipe with overrides, and on custom data if there are any.

    What is overridden of the model decides which data it takes, so it comes before them; what is
    overridden of the data concerns these, so it comes after them.

    Args:
        recipe: What to start from.
        overrides: As :func:`zoo_recipes.overrides.with_overrides` takes them.
        data: File or folder in place of the recipe's data.
        columns: Role to column.

    Raises:
        UsageError: As :func:`on_custom_data` and ``with_overrides``.
    """
    if data is None:
        return with_overrides(recipe, overrides)
    before = [override for override in overrides if not override.startswith(OF_THE_DATA)]
    put = on_custom_data(with_overrides(recipe, before), data, columns=columns)
    return with_overrides(put, overrides)


def on_custom_data(
    recipe: Recipe,
    data: str | Path | None = None,
    *,
    columns: Columns | None = None,
    on_bad_record: BadRecords | None = None,
) -> Recipe:
    """Return a recipe that is trained on custom data, whose absolute path it holds.

    With ``data``, what the recipe states and expects of its former data is no longer in it, and the
    weights of the epoch with the lowest ``val_loss`` are kept unless it says which.

    Args:
        recipe: A recipe; unchanged where neither it nor ``data`` names a path.
        data: File or folder in place of the recipe's data.
        columns: Role to column, such as ``{"text": "review"}``.
        on_bad_record: ``error`` or ``report``, in place of the recipe's.

    Raises:
        UsageError: Data that are not there, not understood, or that the recipe cannot train on.
    """
    dataset = recipe.dataset
    if on_bad_record not in (None, *get_args(BadRecords)):
        raise UsageError(
            f"on_bad_record='{on_bad_record}' is not one of {', '.join(get_args(BadRecords))}."
        )
    if data is None and not is_path(dataset.name):
        if columns or on_bad_record:
            raise UsageError(
                "Columns and bad records are settings of your own data, and dataset "
                f"'{dataset.name}' is none: name your file or folder with --data (data=)."
            )
        return recipe
    path = Path(dataset.name if data is None else data).expanduser().absolute()
    dataset = replace(
        dataset,
        name=str(path),
        columns=dict(dataset.columns if columns is None else columns),
        on_bad_record=on_bad_record or dataset.on_bad_record,
    )
    own = OwnData(path=path, **dataset.reading)
    kind = own.kind()
    _check_columns(own, kind)
    _check_task(own, kind, recipe)
    if kind.outcome:
        # Whether it is a class or a number is settled now: other rows might look different.
        dataset = replace(dataset, columns={kind.roles[-1]: kind.outcome, **dataset.columns})
    if learned(recipe) not in kind.tasks:
        recipe = _put_on(recipe, kind)
    if data is None:
        return replace(recipe, dataset=_with_columns(dataset, kind))
    train, validation, test = PARTS
    are_pairs = learned(recipe) == CONTRASTIVE_PAIRS
    inputs = (str(kind.input), str(kind.label)) if are_pairs else kind.input
    if kind.step and is_path(recipe.dataset.name):
        inputs = recipe.dataset.input  # those that a model was trained on
    dataset = replace(
        dataset, train=train, validation=validation, test=test, input=inputs, folds=None
    )
    if recipe.contrastive and not are_pairs:
        dataset = replace(dataset, validation=None)
    return replace(
        recipe,
        name=f"{recipe.name}-{slug(path)}",
        fit=_keeping_the_best(recipe.fit) if dataset.validation else recipe.fit,
        summary=f"Recipe {recipe.name} on own {kind.name}.",
        license="",
        expected=None,
        dataset=replace(dataset, label=kind.label or dataset.label),
    )


def _with_columns(dataset: DatasetConfig, kind: Kind) -> DatasetConfig:
    """Return a table's own columns where a recipe of one's own names none."""
    if not kind.step or dataset.input != DatasetConfig.input:
        return dataset
    return replace(dataset, input=kind.input, label=str(kind.label))


def _keeping_the_best(fit: FitConfig) -> FitConfig:
    # How many epochs are enough was found on other data.
    chosen = fit.keep_best is not None or fit.early_stopping is not None
    return fit if chosen else replace(fit, keep_best="val_loss")


def at_hand(recipe: Recipe, data: str | Path | None = None) -> Recipe:
    """Return a run's recipe with the path where its data are now; all else stays as it is.

    Args:
        recipe: Frozen, as a run has it.
        data: Where they were moved to; ``None`` where they are as before.

    Raises:
        UsageError: They are not where the recipe says, or they are not custom data.
    """
    name = recipe.dataset.name
    if data is not None and not is_path(name):
        raise UsageError(
            f"--data (data=) says where your own data were moved to, and dataset '{name}' is none: "
            "leave it out."
        )
    if data is not None:
        path = Path(data).expanduser().absolute()
        return replace(recipe, dataset=replace(recipe.dataset, name=str(path)))
    if is_path(name) and not Path(name).expanduser().exists():
        raise UsageError(
            f"There are no data at '{name}': if they are elsewhere now, say where with --data "
            "(data=)."
        )
    return recipe


def learned(recipe: Recipe) -> str:
    """Return what a recipe trains: a head, its own or the first of its model, or embeddings."""
    if recipe.contrastive is not None:
        if not isinstance(recipe.dataset.input, str):
            return CONTRASTIVE_PAIRS
        of_texts = any(step.get("step") == "tokenize" for step in recipe.preprocessing)
        return CONTRASTIVE_TEXTS if of_texts else CONTRASTIVE_IMAGES
    spec = zoo_registry.models.get(recipe.model.name)
    return recipe.model.task or (spec.tasks[0] if spec.tasks else "")


def recipes_for(kind: Kind) -> list[str]:
    """Return the registered recipes that train on data of a kind; a plugin's are not imported.

    Those whose result was measured come first.
    """
    known = ((name, zoo_registry.recipes.peek(name)) for name in zoo_registry.recipes.names())
    fitting = {name: recipe for name, recipe in known if recipe and takes(recipe, kind)}
    measured = [name for name, r in fitting.items() if r.expected and r.expected.seeds]
    return [*measured, *(name for name in fitting if name not in measured)]


def takes(recipe: Recipe, kind: Kind) -> bool:
    """Return whether a recipe trains on data of a kind.

    Pairs of texts in classes need a tokenizer that puts a mark between them.
    """
    steps = {step.get("step") for step in recipe.preprocessing}
    if ("table" in steps) != (kind.step == "table") or not _learns(recipe, kind):
        return False
    if kind.step and kind.step not in steps:
        return False
    tokenizer = recipe.tokenizer
    are_judged = isinstance(kind.input, tuple) and "tokenize" in steps and not recipe.contrastive
    marks = tokenizer is None or tokenizer.framed or tokenizer.kind in {"wordpiece", "pretrained"}
    return marks or not are_judged


def _learns(recipe: Recipe, kind: Kind) -> bool:
    """Return whether a recipe trains one of the heads of a kind, or can once it is put on it."""
    if learned(recipe) in kind.tasks:
        return True
    return MULTI_LABEL in kind.tasks and _can_learn_instead(recipe, kind)


def _can_learn_instead(recipe: Recipe, kind: Kind) -> bool:
    return learned(recipe) in kind.of_one and next(settings_of_one_class(recipe), None) is None


def _put_on(recipe: Recipe, kind: Kind) -> Recipe:
    """Return a recipe of one class an example that tells any number of them, or a number, instead.

    Its model and schedule stay; several classes are a yes or a no each, with a cross-entropy of
    its own.
    """
    task = kind.tasks[0]
    loss, metric = ("binary_crossentropy", "f1_micro") if task == MULTI_LABEL else ("mse", "mae")
    fit, stopping = recipe.fit, recipe.fit.early_stopping
    if stopping is not None:
        stopping = replace(stopping, monitor=_of(metric, stopping.monitor))
    fit = replace(fit, early_stopping=stopping, keep_best=_of(metric, fit.keep_best))
    compiled = replace(
        recipe.compile,
        loss=Component(name=loss),
        metrics=(Component(name=metric),),
    )
    model = replace(recipe.model, task=task)
    return replace(recipe, model=model, compile=compiled, fit=fit)


def _of(metric: str, monitor: Any) -> Any:
    return monitor.replace("accuracy", metric) if monitor else monitor


def _check_columns(own: OwnData, kind: Kind) -> None:
    if own.columns and not kind.roles:
        given = " ".join(f"{role}={column}" for role, column in own.columns.items())
        raise UsageError(
            f"Columns ({given}) are those of tables, and '{own.path}' holds {kind.name}: leave "
            "them out."
        )


def _check_task(own: OwnData, kind: Kind, recipe: Recipe) -> None:
    task = learned(recipe)
    # Numbers have to be declared as such: ten different ones may be classes.
    is_given = "target" in own.columns and _can_learn_instead(recipe, kind)
    if takes(recipe, kind) or is_given:
        return
    listed = f" Recipes for them: {', '.join(recipes_for(kind)) or 'none'}."
    if task in kind.tasks and kind.step == "":
        raise UsageError(
            f"Recipe '{recipe.name}' does not take {kind.name}, which '{own.path}' holds.{listed}"
        )
    if task in kind.tasks:
        raise UsageError(
            f"Recipe '{recipe.name}' has no preprocessing step '{kind.step}', and '{own.path}' "
            f"holds {kind.name}.{listed}"
        )
    explained = ""
    needing = ", ".join(settings_of_one_class(recipe)) if task in kind.of_one else ""
    if needing:
        explained = f" It needs examples of one class each: {needing}."
    # A recipe of numbers was given classes, or one of classes numbers.
    if kind.outcome and HEAD.sub("", task) == HEAD.sub("", kind.tasks[0]):
        taken, other = ("class", "target") if kind.roles[-1] == "label" else ("number", "label")
        explained = (
            f" Its column '{kind.outcome}' is taken for a {taken}: --column {other}="
            f"{shlex.quote(kind.outcome)} says otherwise."
        )
    raise UsageError(
        f"Recipe '{recipe.name}' trains {task}, and '{own.path}' holds {kind.name}, for "
        f"{' or '.join(kind.tasks)}.{explained}{listed}"
    )
