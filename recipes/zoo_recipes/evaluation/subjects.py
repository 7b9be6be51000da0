"""A trained model that can be measured: of a run, or of anything that a run became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_recipes.arrays.predicting import Predictor, eager_predictor, keras_predictor
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.datasets.rows import Examples, class_names
from zoo_recipes.evaluation.groups import reading
from zoo_recipes.evaluation.measuring import Given
from zoo_recipes.own_data.choosing import on_own_data
from zoo_recipes.own_data.files import is_path
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import Run
from zoo_recipes.tasks.objectives import LANGUAGE_MODEL, label_feature
from zoo_registry import UsageError, ZooError

KERAS = "keras"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model with what is known of its training.

    Args:
        kind: ``run`` or ``bundle``.
        where: Its folder.
        runtime: What computes: ``keras``, or a format of a bundle.
        given: What turns examples into its inputs.
        predict: Computes its outputs.
        labels: Class names.
        dataset: What the run recorded of its data: name, version, and sha256 of each split.
    """

    kind: str
    where: Path
    runtime: str
    given: Given
    predict: Predictor
    labels: tuple[str, ...]
    dataset: Mapping[str, Any]

    @property
    def title(self) -> str:
        """As messages name it."""
        return f"{self.kind} '{self.where}'"


def subject_of(run: Run) -> Subject:
    """Return the Keras model of a run."""
    from zoo_recipes.compiling.components import use_xla

    model, task = run.model(), run.info["task"]
    jit_compile = use_xla(run.recipe.compile.jit_compile)
    return Subject(
        kind="run",
        where=run.path,
        runtime=KERAS,
        given=Given(
            run.recipe,
            task,
            run.info["preprocessing"],
            run.assets,
            [tensor.name for tensor in model.inputs],
        ),
        predict=eager_predictor(model)
        if task == LANGUAGE_MODEL
        else keras_predictor(model, jit_compile),
        labels=tuple(run.info["labels"] or ()),
        dataset=run.info["dataset"],
    )


@dataclass(frozen=True, kw_only=True)
class Read:
    """The examples of a split.

    Args:
        dataset: Name and version of the data.
        split: In slicing syntax.
        examples: As they were read.
    """

    dataset: str
    split: str
    examples: Examples


def read_for(
    subject: Subject,
    *,
    split: str | None,
    data: str | Path | None,
    columns: Mapping[str, str] | None,
    group: str | None,
    other_data: bool,
    **options: Any,
) -> Read:
    """Return the examples that a model is measured on.

    Args:
        subject: Names recipe and data.
        split: The recipe's test split by default.
        data: Other own data.
        columns: Of these.
        group: A feature or column to read beside.
        other_data: Whether data that changed since the training are read all the same.
        options: ``data_dir`` and ``download`` of
            :func:`zoo_recipes.datasets.loading.open_dataset`.

    Raises:
        UsageError: Data that are not there, or of other classes.
        ZooError: Data that changed since the training.
    """
    recipe = _on_data(subject.given.recipe, data, columns)
    feature = None
    if group is not None:
        recipe, feature = reading(recipe, group)
    dataset = recipe.dataset
    builder = open_dataset(dataset.name, **dataset.reading, **options)
    if data is not None:
        _check_labels(subject, builder, dataset.label)
    chosen = split or dataset.test
    examples = read_split(
        builder,
        chosen,
        input=dataset.input,
        label=label_feature(recipe, subject.given.task),
        steps=recipe.preprocessing,
        group=feature,
    )
    if data is None and not other_data:
        _check_same(subject, chosen, examples.sha256)
    return Read(dataset=builder.info.full_name, split=chosen, examples=examples)


def _on_data(recipe: Recipe, data: str | Path | None, columns: Mapping[str, str] | None) -> Recipe:
    name = recipe.dataset.name
    if data is not None:
        return on_own_data(recipe, data, columns=columns)
    if is_path(name) and not Path(name).exists():
        raise UsageError(
            f"There are no data at '{name}': if they are elsewhere now, say where with --data "
            "(data=)."
        )
    return recipe


def _check_labels(subject: Subject, builder: Any, label: str) -> None:
    names = class_names(builder, label)
    known = list(subject.labels)
    if names != known:
        raise UsageError(
            f"The classes of '{builder.info.full_name}' are {', '.join(names) or 'none'}; those of "
            f"{subject.title} are {', '.join(known) or 'none'}."
        )


def _check_same(subject: Subject, split: str, sha256: str) -> None:
    for known in subject.dataset.get("splits", {}).values():
        if known["split"] == split and known["sha256"] != sha256:
            raise ZooError(
                f"Split '{split}' of dataset '{subject.dataset['name']}' on this machine "
                f"differs from the one that {subject.title} had: sha256 {sha256[:12]}, not "
                f"{known['sha256'][:12]}. Another version of the package it is made from, or of "
                "Python, gives other data: --other-data (other_data=True) measures all the same."
            )
