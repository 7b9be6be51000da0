"""Groups of examples, from a feature of the data, a column of own data, or another file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.evaluation.examples import Read
from zoo_recipes.own_data.records import table, values_in
from zoo_recipes.own_data.table_files import is_rows
from zoo_registry import UsageError

# A share of so many examples is known to 10 points at best: 1.96 * sqrt(0.25 / 100) = 0.098.
SMALL = 100
MOST_GROUPS = 50
QUARTERS = 4
NO_GROUP = "(none)"


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


def values_of(read: Read, slice_by: str | Sequence[Any]) -> Sequence[Any]:
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
    places = np.searchsorted(bounds, numbers, side="right")
    names = {}
    for place in np.unique(places):
        inside = numbers[places == place]
        names[place] = f"{inside.min():g} to {inside.max():g}"
    return [names[place] for place in places]
