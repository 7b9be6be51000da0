"""A trained model that can be measured: of a run, or of anything that a run became."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.arrays.predicting import Predictor, eager_predictor, keras_predictor
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.datasets.rows import Examples, class_names
from zoo_recipes.evaluation.measuring import Given
from zoo_recipes.own_data.checking import listed
from zoo_recipes.own_data.choosing import at_hand, on_own_data
from zoo_recipes.own_data.content import VERSION
from zoo_recipes.own_data.files import is_path
from zoo_recipes.own_data.preparing import OwnData, note_of, records_of
from zoo_recipes.own_data.records import Records
from zoo_recipes.own_data.splitting import OWN_SPLITS
from zoo_recipes.run import Run
from zoo_recipes.tasks.objectives import LANGUAGE_MODEL, label_feature
from zoo_registry import UsageError, ZooError

KERAS = "keras"
# What TFDS calls the union of all splits.
ALL = "all"


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

    model, task = run.model(), run.info.task or ""
    jit_compile = use_xla(run.recipe.compile.jit_compile)
    return Subject(
        kind="run",
        where=run.path,
        runtime=KERAS,
        given=Given(
            run.recipe,
            task,
            run.info.preprocessing,
            run.assets,
            [tensor.name for tensor in model.inputs],
        ),
        predict=eager_predictor(model)
        if task == LANGUAGE_MODEL
        else keras_predictor(model, jit_compile),
        labels=run.info.labels or (),
        dataset=run.info["dataset"],
    )


@dataclass(frozen=True, kw_only=True)
class Read:
    """The examples of a split.

    Args:
        dataset: Name and version of the data.
        split: In slicing syntax.
        examples: As they were read.
        records: Of own data: which of them the examples are; else ``None``.
    """

    dataset: str
    split: str
    examples: Examples
    records: Records | None = None

    def place(self, row: int) -> str:
        """Return where an example is: file and line of own data, else its number in the split."""
        return self.records.places[row] if self.records else f"{self.split}[{row}]"


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
        split: By default the recipe's test split; of other own data without splits all of them.
        data: Other own data, or those of the run in another place.
        columns: Of these.
        group: A feature or column to read beside.
        other_data: Whether data that changed since the training are read all the same.
        options: ``data_dir`` and ``download`` of
            :func:`zoo_recipes.datasets.loading.open_dataset`.

    Raises:
        UsageError: Data that are not there, or of other classes.
        ZooError: Data that changed since the training.
    """
    recipe = subject.given.recipe
    recipe = at_hand(recipe) if data is None else on_own_data(recipe, data, columns=columns)
    is_new = data is not None and not _are_its_own(subject, Path(recipe.dataset.name))
    dataset = recipe.dataset
    if data is not None and not is_new:
        before = subject.given.recipe.dataset
        dataset = replace(dataset, test=before.test, folds=before.folds)
    if not is_new and is_path(dataset.name):
        _check_version(subject)
    builder = open_dataset(dataset.name, **dataset.reading, to_train=not is_new, **options)
    # A table's own columns are more than its features.
    is_feature = group in builder.info.features or not is_path(dataset.name)
    names = class_names(builder, dataset.label)
    if data is not None:
        _check_labels(subject, builder.info.full_name, names, some=is_new)
    chosen = split or (_whole(builder) if is_new else None) or dataset.test
    examples = read_split(
        builder,
        chosen,
        input=dataset.input,
        label=label_feature(recipe, subject.given.task),
        steps=recipe.preprocessing,
        group=group if is_feature else None,
    )
    if data is None and not other_data:
        _check_same(subject, chosen, examples.sha256)
    if is_new:
        _warn_of_left_out(builder)
    if is_new and names:
        examples = _numbered(examples, names, subject.labels)
    return Read(
        dataset=builder.info.full_name,
        split=chosen,
        examples=examples,
        records=records_of(builder, dataset, examples.places),
    )


def _are_its_own(subject: Subject, path: Path) -> bool:
    """Return whether data are those of the run, which was trained on most of them.

    They may have moved, or be others by now in the place where they were.
    """
    before = subject.given.recipe.dataset
    own = OwnData(path=path, **before.reading)
    version = subject.dataset.get("version", VERSION)
    known = own.fingerprint(version)
    return before.name == str(path) or subject.dataset.get("name", "").endswith(known)


def _check_version(subject: Subject) -> None:
    """Refuse to tell trained examples from tested ones by another rule than the training did.

    Raises:
        UsageError: The data were split by another version of this rule.
    """
    version = subject.dataset.get("version", VERSION)
    is_other = version.partition(".")[0] != VERSION.partition(".")[0]
    if is_other and subject.dataset.get("own", {}).get("splits") != OWN_SPLITS:
        raise UsageError(
            f"{subject.title.capitalize()} was trained by a Kerazoo that split own data by another "
            f"rule ({version}, now {VERSION}), and which records it was tested on is not known: "
            "train it again, or measure it on records that it has not seen with --data (data=)."
        )


def _whole(builder: Any) -> str | None:
    """Return the split of all examples; ``None`` where the data say themselves what is what."""
    note = note_of(builder) or {}
    return ALL if note.get("made_splits") else None


def _warn_of_left_out(builder: Any) -> None:
    left_out = (note_of(builder) or {}).get("left_out")
    if left_out:
        warnings.warn(f"not measured, as the run leaves such out: {listed(left_out)}", stacklevel=4)


def _check_labels(subject: Subject, dataset: str, names: Sequence[str], *, some: bool) -> None:
    known = subject.labels
    same = tuple(names) == known or (some and known and names and set(names) <= set(known))
    if not same:
        raise UsageError(
            f"The classes of '{dataset}' are {', '.join(names) or 'none'}; those of "
            f"{subject.title} are {', '.join(known) or 'none'}."
        )


def _numbered(examples: Examples, names: Sequence[str], known: Sequence[str]) -> Examples:
    """Return examples whose classes have the numbers that they have in the run.

    Args:
        examples: Of some of the classes.
        names: Of these, in the order of their numbers here.
        known: Of all, in the order of their numbers there.
    """
    numbers = np.asarray([known.index(name) for name in names])
    labels: Any = examples.labels
    if isinstance(labels, np.ndarray):
        labels = numbers[labels]
    elif labels is not None:
        labels = [_renumbered(label, numbers) for label in labels]
    return replace(examples, labels=labels, classes=known)


def _renumbered(label: Any, numbers: Any) -> Any:
    # Of boxes the class is a part, of tagged words there is one a word.
    if isinstance(label, dict):
        return {**label, "label": numbers[label["label"]]}
    return numbers[label]


def _check_same(subject: Subject, split: str, sha256: str) -> None:
    for known in subject.dataset.get("splits", {}).values():
        if known["split"] == split and known["sha256"] != sha256:
            name = subject.given.recipe.dataset.name
            cause = (
                f"What is at '{name}' was changed since: bring it back, or give new data a place "
                "of their own and measure all of them with --data (data=)."
                if is_path(name)
                else "Another version of the package it is made from, or of Python, gives other "
                "data."
            )
            raise ZooError(
                f"Split '{split}' of dataset '{subject.dataset['name']}' on this machine "
                f"differs from the one that {subject.title} had: sha256 {sha256[:12]}, not "
                f"{known['sha256'][:12]}. {cause} --other-data (other_data=True) measures this "
                "split all the same."
            )
