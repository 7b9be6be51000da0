"""A trained model measured on a split: metrics, intervals, groups, likely label errors."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.custom_data.records import table, values_in
from zoo_recipes.custom_data.table_files import is_rows
from zoo_recipes.evaluation.examples import (
    ReadExamples,
    check_table,
    read_for,
    source_of,
    write_examples,
)
from zoo_recipes.evaluation.measuring import Observed, headline_first, observe
from zoo_recipes.evaluation.results import Evaluation, Group, Groups, Interval, Rates, find_gaps
from zoo_recipes.metrics.classification import (
    Classes,
    LabelError,
    MultiLabels,
    applies,
    likely_errors_of_several,
    likely_label_errors,
    usual_confidence,
)
from zoo_recipes.metrics.fairness import ClassRates, fairlearn_metrics, parity, reported_classes
from zoo_recipes.metrics.resampling import RESAMPLES, Estimates, Outcomes, measured
from zoo_recipes.metrics.texts import Entities, text_metrics
from zoo_recipes.tasks.objectives import PAIRS, UNLABELLED
from zoo_registry import UsageError
from zoo_runtime.trained import Trained

_SHOWN_TEXT = 80
# Texts that are written side by side: each has a cache.
_WRITTEN = 128
# A fraction of so many examples is known to 10 points at best: 1.96 * sqrt(0.25 / 100) = 0.098.
SMALL_GROUP = 100
MOST_GROUPS = 50
QUARTERS = 4
NO_GROUP = "(none)"


def evaluate_trained(
    trained: Trained,
    *,
    runtime: str | None = None,
    split: str | None = None,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    slice_by: str | Sequence[Any] | None = None,
    other_data: bool = False,
    resamples: int = RESAMPLES,
    examples: str | Path | None = None,
    **options: Any,
) -> Evaluation:
    """Measure a model on a split; the arguments are those of :func:`zoo.evaluate`."""
    used, task = trained.runtime(runtime), trained.task or ""
    _check(task, slice_by, resamples)
    if examples is not None:
        check_table(Path(examples))
    in_file = file_column(slice_by) if isinstance(slice_by, str) else None
    feature = slice_by if isinstance(slice_by, str) and in_file is None else None
    read = read_for(
        trained,
        split=split,
        data=data,
        columns=columns,
        group=feature,
        other_data=other_data,
        **options,
    )
    names = None
    if slice_by is not None:
        word = slice_by if isinstance(slice_by, str) else "slice_by"
        names = as_groups(values_of(read, slice_by), word, len(read.examples.raws))
    source = source_of(trained, read.recipe, read.examples)
    found = observe(
        trained.runner(used).run,
        read.recipe,
        task,
        source,
        trained.labels or (),
        write=partial(_texts_of, trained, used, read.examples.raws) if task == PAIRS else None,
    )
    estimates = measured(found.rows, resamples=resamples, together=found.together)
    labels = _names(trained.labels or (), found.outcomes)
    groups = None
    if names is not None:
        column = in_file[1] if in_file else feature or "group"
        groups = _by_group(found, names, column, labels, resamples)
    if examples is not None:
        write_examples(Path(examples), read, found, labels, names)
    return Evaluation(
        where=str(trained),
        runtime=used,
        task=task,
        dataset=read.dataset,
        split=read.split,
        num_examples=len(found.outcomes),
        # Both may count the same: ours in float64, and what the intervals are of.
        metrics=headline_first({**_finite(found.scores), **estimates.metrics}),
        intervals=estimates.intervals,
        labels=labels,
        groups=groups,
        **_classified(found.outcomes, labels, estimates, read),
    )


def _texts_of(trained: Trained, runtime: str, raws: Sequence[str]) -> list[str]:
    """Return what a seq2seq model writes to texts, as users let it write: with its cache."""
    generator = trained.text_generator(runtime)
    parts = (raws[at : at + _WRITTEN] for at in range(0, len(raws), _WRITTEN))
    return [made.text for part in parts for made in generator.complete(part, seed=0)]


def _check(task: str, slice_by: Any, resamples: int) -> None:
    if resamples < 1:
        raise UsageError(f"resamples={resamples}: use 1 or more.")
    if slice_by is not None and task in UNLABELLED:
        raise UsageError(
            "A language model is measured by windows of one long text: there are no examples to "
            "put into groups (slice)."
        )
    # Found missing before the work, not after it.
    if task == PAIRS:
        text_metrics()
    if slice_by is not None and task.endswith("classification"):
        fairlearn_metrics()


def _names(labels: tuple[str, ...], outcomes: Outcomes) -> tuple[str, ...]:
    # A model may have more classes than the data.
    unnamed = range(len(labels), outcomes.count) if isinstance(outcomes, Classes) else ()
    return (*labels, *map(str, unnamed))


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}


def _by_group(
    found: Observed, names: Sequence[str], column: str, labels: Sequence[str], resamples: int
) -> Groups:
    named = np.asarray(names)
    groups = []
    for name, count in Counter(names).most_common():
        rows = np.flatnonzero(named == name)
        together = None if found.together is None else found.together[rows]
        estimates = measured(found.rows.take(rows), resamples=resamples, together=together)
        groups.append(
            Group(
                name=name,
                num_examples=count,
                small=count < SMALL_GROUP,
                metrics=estimates.metrics,
                intervals=estimates.intervals,
            )
        )
    large = [group for group in groups if not group.small]
    compared = large if len(large) > 1 else groups
    _warn_of_small(column, groups, compared)
    return Groups(
        column=column,
        groups=tuple(groups),
        compared=tuple(group.name for group in compared),
        gaps=find_gaps(compared),
        parity=_parity(found.outcomes, named, [group.name for group in compared], labels),
        rates=_rates(found.outcomes, named, [group.name for group in groups], labels, resamples),
    )


def _parity(
    outcomes: Outcomes, names: Any, compared: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    if not isinstance(outcomes, Classes):
        return {}
    rows = np.flatnonzero(np.isin(names, compared))
    some = outcomes.take(rows)
    return parity(some.targets, some.predicted, names[rows].tolist(), labels)


def _rates(
    outcomes: Outcomes, named: Any, names: Sequence[str], labels: Sequence[str], resamples: int
) -> dict[str, dict[str, Rates]]:
    if not isinstance(outcomes, Classes):
        return {}
    rates = ClassRates(outcomes.targets, outcomes.predicted, outcomes.count)
    found = {
        name: measured(rates.take(np.flatnonzero(named == name)), resamples=resamples)
        for name in names
    }
    return {
        labels[at]: {name: _rates_of(estimates, at) for name, estimates in found.items()}
        for at in reported_classes(outcomes.count)
    }


def _rates_of(estimates: Estimates, at: int) -> Rates:
    return Rates(
        wanted=float(estimates.per_class["wanted"][at]),
        wanted_interval=_pair(estimates.class_intervals["wanted"][at]),
        given=float(estimates.per_class["given"][at]),
        given_interval=_pair(estimates.class_intervals["given"][at]),
    )


def _warn_of_small(column: str, groups: Sequence[Group], compared: Sequence[Group]) -> None:
    small = [" ".join(group.name.splitlines()) for group in groups if group.small]
    if small:
        left_out = len(compared) < len(groups)
        warnings.warn(
            f"groups of '{column}' with fewer than {SMALL_GROUP} examples are too small to say "
            f"much, as fractions of so few are known to 10 points at best: {', '.join(small)}; "
            "gaps " + ("are without them" if left_out else "are of all groups, and may be chance"),
            stacklevel=4,
        )


def _classified(
    outcomes: Outcomes, labels: Sequence[str], estimates: Estimates, read: ReadExamples
) -> dict[str, Any]:
    names = outcomes.kinds if isinstance(outcomes, Entities) else labels
    found: dict[str, Any] = {}
    if estimates.per_class:
        found["per_class"] = {
            name: _finite({metric: row[at] for metric, row in estimates.per_class.items()})
            for at, name in enumerate(names)
        }
        found["class_intervals"] = {
            name: {
                metric: _pair(estimates.class_intervals[metric][at])
                for metric in found["per_class"][name]
            }
            for at, name in enumerate(names)
        }
    if isinstance(outcomes, Classes):
        found["confusion"] = tuple(map(tuple, outcomes.confusion.tolist()))
        found["label_errors"] = _label_errors(outcomes, labels, read)
    elif isinstance(outcomes, MultiLabels):
        found["label_errors"] = _errors_of_several(outcomes, labels, read)
    return found


def _pair(bounds: Any) -> Interval:
    return float(bounds[0]), float(bounds[1])


def _label_errors(
    outcomes: Classes, labels: Sequence[str], read: ReadExamples
) -> tuple[LabelError, ...]:
    probabilities = np.exp(outcomes.log_probabilities)
    usual = usual_confidence(outcomes.targets, probabilities)
    return tuple(
        LabelError(
            location=read.location(row),
            given=labels[given := outcomes.targets[row]],
            predicted=labels[looks_like],
            self_confidence=float(probabilities[row, given]),
            usual=float(usual[given]),
            text=_beginning(read, row),
        )
        for row, looks_like in likely_label_errors(outcomes.targets, probabilities)
    )


def _errors_of_several(
    outcomes: MultiLabels, labels: Sequence[str], read: ReadExamples
) -> tuple[LabelError, ...]:
    given, probabilities = outcomes.targets > 0, outcomes.probabilities
    # Of the prediction, be it that a class applies or that it does not.
    own = np.where(given, probabilities, 1 - probabilities)
    found = []
    for row, at in likely_errors_of_several(given, probabilities):
        same = given[:, at] == given[row, at]
        found.append(
            LabelError(
                location=read.location(row),
                given=applies(labels[at], given[row, at]),
                predicted=applies(labels[at], not given[row, at]),
                self_confidence=float(own[row, at]),
                usual=float(own[same, at].mean()),
                text=_beginning(read, row),
            )
        )
    return tuple(found)


def _beginning(read: ReadExamples, row: int) -> str:
    raw = read.examples.raws[row]
    return raw[:_SHOWN_TEXT] if isinstance(raw, str) else ""


def file_column(word: str) -> tuple[Path, str] | None:
    """Return the file and the column of ``FILE:COLUMN``; ``None`` for a column alone.

    Example:
        >>> file_column("people.csv:gender"), file_column("gender")
        ((PosixPath('people.csv'), 'gender'), None)
        >>> file_column("people.csv.gz:a:b")
        (PosixPath('people.csv.gz'), 'a:b')
    """
    marks = (at for at, mark in enumerate(word) if mark == ":")
    at = next((at for at in marks if is_rows(Path(word[:at]))), None)
    return None if at is None else (Path(word[:at]), word[at + 1 :])


def values_of(read: ReadExamples, slice_by: str | Sequence[Any]) -> Sequence[Any]:
    """Return the value that puts each example into its group.

    Args:
        read: The examples.
        slice_by: As :func:`zoo.evaluate` takes it.

    Raises:
        UsageError: No such file or column, or rows of which it is not known whose they are.
    """
    examples, records = read.examples, read.records
    if not isinstance(slice_by, str):
        return records.in_order(slice_by, "slice_by") if records else slice_by
    in_file = file_column(slice_by)
    if in_file is not None and records is not None:
        return records.column(*in_file)
    if in_file is not None:
        return values_in(in_file[0], table(*in_file), in_file[1])
    if examples.groups is None and records is not None:
        return records.own_column(slice_by) or []
    return examples.groups or []


def as_groups(values: Sequence[Any], column: str, count: int) -> list[str]:
    """Return the group of each example; many different numbers become four groups of equal size.

    Args:
        values: Of each example.
        column: Where they come from, for messages.
        count: Number of examples.

    Raises:
        UsageError: Not one value an example, or too many different ones.

    Example:
        >>> as_groups(["f", "m", "f"], "gender", 3)
        ['f', 'm', 'f']
        >>> sorted(set(as_groups(range(80), "age", 80)))
        ['0 to 19', '20 to 39', '40 to 59', '60 to 79']
    """
    if len(values) != count:
        raise UsageError(
            f"'{column}' has {len(values):,} values for {count:,} examples: it needs one for each, "
            "in the order of the split, as tensorflow-datasets reads it."
        )
    if any(np.ndim(value) for value in values):
        raise UsageError(f"'{column}' has no single value an example: it makes no groups.")
    found = [NO_GROUP if _is_missing(value) else str(value) for value in values]
    if len(set(found)) <= MOST_GROUPS:
        return found
    known = [at for at, name in enumerate(found) if name != NO_GROUP]
    try:
        numbers = np.asarray([values[at] for at in known], np.float64)
    except ValueError as error:
        raise UsageError(
            f"'{column}' has {len(set(found)):,} different values: up to {MOST_GROUPS} make "
            "groups, or numbers, which are put into four."
        ) from error
    is_number = np.isfinite(numbers)
    quarters = iter(_quarters(numbers[is_number]))
    for at, is_one in zip(known, is_number, strict=True):
        found[at] = next(quarters) if is_one else NO_GROUP
    return found


def _is_missing(value: Any) -> bool:
    # A number that is missing is not even equal to itself.
    return value in (None, "") or bool(value != value)  # noqa: PLR0124


def _quarters(numbers: Any) -> list[str]:
    bounds = np.unique(np.quantile(numbers, np.linspace(0, 1, QUARTERS + 1)[1:-1]))
    quarters = np.searchsorted(bounds, numbers, side="right")
    names = {}
    for quarter in np.unique(quarters):
        inside = numbers[quarters == quarter]
        names[quarter] = f"{inside.min():g} to {inside.max():g}"
    return [names[quarter] for quarter in quarters]
