"""What a model answered on each example, worst first, as a table of a person's own records."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.evaluation.examples import Read
from zoo_recipes.evaluation.observing import Observed
from zoo_recipes.metrics.classification import Classes, MultiLabels
from zoo_recipes.metrics.regression import Numbers
from zoo_registry import UsageError
from zoo_system.durable import write_text


def check_table(path: Path) -> None:
    """Refuse a name that is none of a table.

    Raises:
        UsageError: It does not end in ``.csv``.
    """
    if path.suffix.lower() != ".csv":
        raise UsageError(f"'{path}': examples are written as a table, such as examples.csv.")


def write_examples(
    path: Path,
    read: Read,
    found: Observed,
    labels: Sequence[str],
    groups: Sequence[str] | None,
) -> None:
    """Write a row for each example: its place, what was right and what was answered, and its loss.

    Args:
        path: A ``.csv`` file; one that is there is replaced.
        read: The examples.
        found: What was answered.
        labels: Class names.
        groups: Of each example, where there are such.

    Raises:
        UsageError: Answers that are not one a row.
        ZooError: The file cannot be written.
    """
    columns: dict[str, Sequence[Any]] = {
        "place": [read.place(row) for row in range(len(read.examples.raws))],
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
        yield "label", [labels[number] for number in outcomes.targets]
        yield "predicted", [labels[number] for number in outcomes.predicted]
        rows = np.arange(len(outcomes))
        yield "probability", np.exp(outcomes.log_probabilities[rows, outcomes.predicted]).tolist()
    elif isinstance(outcomes, MultiLabels):
        yield "labels", _names(outcomes.targets > 0, labels)
        yield "predicted", _names(outcomes.logits >= 0, labels)
    elif isinstance(outcomes, Numbers) and np.size(outcomes.targets) == len(outcomes):
        yield "target", np.ravel(outcomes.targets).tolist()
        yield "predicted", np.ravel(outcomes.predictions).tolist()


def _names(applies: Any, labels: Sequence[str]) -> list[str]:
    named = ([labels[at] for at in np.flatnonzero(row).tolist()] for row in applies)
    return [json.dumps(names, ensure_ascii=False) for names in named]
