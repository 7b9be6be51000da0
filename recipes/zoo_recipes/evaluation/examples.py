"""The examples that a trained model is measured on: its own test split, or others."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import ArraySource
from zoo_recipes.custom_data.choosing import at_hand, on_custom_data
from zoo_recipes.custom_data.content import VERSION
from zoo_recipes.custom_data.files import is_path
from zoo_recipes.custom_data.preparing import OwnData, listed, note_of, records_of
from zoo_recipes.custom_data.records import Records
from zoo_recipes.custom_data.splitting import OWN_SPLITS
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.datasets.rows import Examples, class_names
from zoo_recipes.evaluation.measuring import Observed
from zoo_recipes.metrics.classification import Classes, MultiLabels
from zoo_recipes.metrics.resampling import Numbers
from zoo_recipes.metrics.texts import Texts
from zoo_recipes.recipe import Recipe, as_recipe
from zoo_recipes.tasks.objectives import label_feature, make_source
from zoo_registry import UsageError, ZooError
from zoo_runtime.preprocess import Preprocessor
from zoo_runtime.run_info import DatasetInfo, RunInfo
from zoo_runtime.trained import Trained, title
from zoo_system.durable import write_text

# What TFDS calls the union of all splits.
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class ReadExamples:
    """The examples of a split.

    Args:
        recipe: That the model was trained with.
        dataset: Name and version of the data.
        split: In slicing syntax.
        examples: As they were read.
        records: Of custom data: which of them the examples are; else ``None``.
    """

    recipe: Recipe
    dataset: str
    split: str
    examples: Examples
    records: Records | None = None

    def location(self, row: int) -> str:
        """Return where an example is: file and line of custom data, else its index in the split."""
        return self.records.locations[row] if self.records else f"{self.split}[{row}]"


def training_of(trained: Trained, instead: str) -> tuple[RunInfo, Recipe]:
    """Return what is known of a model's training, and its recipe.

    Args:
        trained: A run, or a bundle that was made from one.
        instead: What to do with another bundle.

    Raises:
        UsageError: A bundle that was not made from a run.
    """
    info = trained.training
    if info is None:
        raise UsageError(
            f"{title(trained)} is of no recipe that tells how data are read: {instead}"
        )
    return info, as_recipe(info.recipe, trained.name)


def source_of(trained: Trained, recipe: Recipe, examples: Examples) -> ArraySource:
    """Return examples as a trained model takes them."""
    names = [tensor.name for tensor in trained.inputs]
    preprocessor = Preprocessor(trained.preprocessing, trained.assets, names)
    return make_source(examples, preprocessor, trained.task or "", recipe)


def read_inputs(
    trained: Trained, dataset: str, split: str | None, **options: Any
) -> tuple[dict[str, Any], Any]:
    """Return inputs by name and targets of a data set that has the features of a model's own.

    Args:
        trained: The model.
        dataset: The data set's name.
        split: In slicing syntax; the recipe's test split by default.
        options: ``data_dir`` and ``download``, as :func:`zoo.evaluate` takes them.

    Raises:
        UsageError: No such data set or split, other features, or a bundle without a recipe.
    """
    _, recipe = training_of(
        trained, "give an .npz file with an array x/INPUT for each input and the answers as y."
    )
    wanted = recipe.dataset
    examples = read_split(
        open_dataset(dataset, **wanted.reading, **options),
        split or wanted.test,
        input=wanted.input,
        label=label_feature(recipe, trained.task or ""),
        steps=trained.preprocessing,
    )
    source = source_of(trained, recipe, examples)
    # Windows of text are taken by index: a slice would not do.
    return source.take(np.arange(len(source)))


def read_for(
    trained: Trained,
    *,
    split: str | None,
    data: str | Path | None,
    columns: Mapping[str, str] | None,
    group: str | None,
    other_data: bool,
    **options: Any,
) -> ReadExamples:
    """Return the examples that a model is measured on.

    Args:
        trained: Names recipe and data.
        split: By default the recipe's test split; of other custom data without splits all of them.
        data: Other custom data, or those of the run under another path.
        columns: Of these.
        group: A feature or column to read beside.
        other_data: Whether data that changed since the training are read all the same.
        options: ``data_dir`` and ``download`` of
            :func:`zoo_recipes.datasets.loading.open_dataset`.

    Raises:
        UsageError: Data that are not there, or of other classes.
        ZooError: Data that changed since the training.
    """
    info, before = training_of(trained, "export a run (zoo export RUN) and evaluate that bundle.")
    recipe = at_hand(before) if data is None else on_custom_data(before, data, columns=columns)
    dataset = recipe.dataset
    is_new = data is not None and not _are_its_own(before, info.dataset, Path(dataset.name))
    if data is not None and not is_new:
        dataset = replace(dataset, test=before.dataset.test, folds=before.dataset.folds)
    if not is_new and is_path(dataset.name):
        _check_version(trained, info.dataset)
    builder = open_dataset(dataset.name, **dataset.reading, to_train=not is_new, **options)
    # A table's own columns are more than its features.
    is_feature = group in builder.info.features or not is_path(dataset.name)
    names = class_names(builder, dataset.label)
    if data is not None:
        _check_labels(trained, builder.info.full_name, names, some=is_new)
    chosen = split or (_whole(builder) if is_new else None) or dataset.test
    examples = read_split(
        builder,
        chosen,
        input=dataset.input,
        label=label_feature(recipe, trained.task or ""),
        steps=recipe.preprocessing,
        group=group if is_feature else None,
    )
    if data is None and not other_data:
        _check_same(trained, info.dataset, before, chosen, examples.sha256)
    if is_new:
        _warn_of_left_out(builder)
    if is_new and names:
        examples = _numbered(examples, names, trained.labels or ())
    return ReadExamples(
        recipe=before,
        dataset=builder.info.full_name,
        split=chosen,
        examples=examples,
        records=records_of(builder, dataset, examples.locations),
    )


def _are_its_own(recipe: Recipe, known: DatasetInfo, path: Path) -> bool:
    """Return whether data are those of the run, which was trained on most of them.

    They may have moved, or be others by now in the place where they were.
    """
    own = OwnData(path=path, **recipe.dataset.reading)
    fingerprint = own.fingerprint(known.version or VERSION)
    return recipe.dataset.name == str(path) or known.name.endswith(fingerprint)


def _check_version(trained: Trained, known: DatasetInfo) -> None:
    """Refuse to tell trained examples from tested ones by another rule than the training did.

    Raises:
        UsageError: The data were split by another version of this rule.
    """
    version = known.version or VERSION
    is_other = version.partition(".")[0] != VERSION.partition(".")[0]
    if is_other and (known.own or {}).get("splits") != OWN_SPLITS:
        raise UsageError(
            f"{title(trained)} was trained by a Kerazoo that split your own data by another rule "
            f"({version}, now {VERSION}), and which records it was tested on is not known: "
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


def _check_labels(trained: Trained, dataset: str, names: Sequence[str], *, some: bool) -> None:
    known = trained.labels or ()
    same = tuple(names) == known or (some and known and names and set(names) <= set(known))
    if not same:
        raise UsageError(
            f"The classes of '{dataset}' are {', '.join(names) or 'none'}; those of "
            f"{trained.kind} '{trained}' are {', '.join(known) or 'none'}."
        )


def _numbered(examples: Examples, names: Sequence[str], known: Sequence[str]) -> Examples:
    """Return examples whose classes have the indices that they have in the run.

    Args:
        examples: Of some of the classes.
        names: Of these, in the order of their indices here.
        known: Of all, in the order of their indices there.
    """
    indices = np.asarray([known.index(name) for name in names])
    labels: Any = examples.labels
    if isinstance(labels, np.ndarray):
        labels = indices[labels]
    elif labels is not None:
        labels = [_reindexed(label, indices) for label in labels]
    return replace(examples, labels=labels, classes=known)


def _reindexed(label: Any, indices: Any) -> Any:
    # Of boxes the class is a part, of tagged words there is one a word.
    if isinstance(label, dict):
        return {**label, "label": indices[label["label"]]}
    return indices[label]


def _check_same(
    trained: Trained, dataset: DatasetInfo, recipe: Recipe, split: str, sha256: str
) -> None:
    if _is_of_same_files(recipe, dataset):
        return
    for known in dataset.splits.values():
        if known.split == split and known.sha256 != sha256:
            name = recipe.dataset.name
            cause = (
                f"What is at '{name}' was changed since: bring it back, or give new data a place "
                "of their own and measure all of them with --data (data=)."
                if is_path(name)
                else "Another version of the package it is made from, or of Python, gives other "
                "data."
            )
            raise ZooError(
                f"Split '{split}' of dataset '{dataset.name}' on this machine differs from the one "
                f"that {trained.kind} '{trained}' had: sha256 {sha256[:12]}, not "
                f"{known.sha256[:12]}. {cause} --other-data (other_data=True) measures this "
                "split all the same."
            )


def _is_of_same_files(recipe: Recipe, dataset: DatasetInfo) -> bool:
    """Return whether a run's custom data, prepared by another Kerazoo, are those that are there.

    What is recorded of splits differs then, and the name holds the hash of the files.
    """
    if not is_path(recipe.dataset.name) or dataset.version is None:
        return False
    own = OwnData(path=Path(recipe.dataset.name), **recipe.dataset.reading)
    is_other = dataset.version != own.version
    return is_other and dataset.name.endswith(own.fingerprint(dataset.version))


def check_table(path: Path) -> None:
    """Refuse a name that is none of a table.

    Raises:
        UsageError: It does not end in ``.csv``.
    """
    if path.suffix.lower() != ".csv":
        raise UsageError(f"'{path}': examples are written as a table, such as examples.csv.")


def write_examples(
    path: Path,
    read: ReadExamples,
    found: Observed,
    labels: Sequence[str],
    groups: Sequence[str] | None,
) -> None:
    """Write a row for each example: its location, its target, what was predicted, and its loss.

    Args:
        path: A ``.csv`` file; one that is there is replaced.
        read: The examples.
        found: What was predicted.
        labels: Class names.
        groups: Of each example, where there are such.

    Raises:
        UsageError: Answers that are not one a row.
        ZooError: The file cannot be written.
    """
    columns: dict[str, Sequence[Any]] = {
        "location": [read.location(row) for row in range(len(read.examples.raws))],
        **dict(_answers(found, labels)),
    }
    if groups is not None:
        columns["group"] = groups
    if found.losses is not None:
        columns["loss"] = found.losses.tolist()
    if len(columns) < 2 or len({len(column) for column in columns.values()}) > 1:
        raise UsageError("This task has no answer or loss that is of one example each.")
    rows = list(zip(*columns.values(), strict=True))
    if found.losses is not None:
        rows.sort(key=lambda row: -row[-1])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([list(columns), *rows])
    write_text(path, text.getvalue())


def _answers(found: Observed, labels: Sequence[str]) -> Iterator[tuple[str, Sequence[Any]]]:
    outcomes = found.outcomes
    if isinstance(outcomes, Classes):
        yield "label", [labels[index] for index in outcomes.targets]
        yield "predicted", [labels[index] for index in outcomes.predicted]
        rows = np.arange(len(outcomes))
        yield "probability", np.exp(outcomes.log_probabilities[rows, outcomes.predicted]).tolist()
    elif isinstance(outcomes, MultiLabels):
        yield "labels", _names(outcomes.targets > 0, labels)
        yield "predicted", _names(outcomes.logits >= 0, labels)
    elif isinstance(outcomes, Texts):
        yield "target", outcomes.wanted
        yield "predicted", outcomes.made
    elif isinstance(outcomes, Numbers) and np.size(outcomes.targets) == len(outcomes):
        yield "target", np.ravel(outcomes.targets).tolist()
        yield "predicted", np.ravel(outcomes.predictions).tolist()


def _names(applies: Any, labels: Sequence[str]) -> list[str]:
    named = ([labels[at] for at in np.flatnonzero(row).tolist()] for row in applies)
    return [json.dumps(names, ensure_ascii=False) for names in named]
