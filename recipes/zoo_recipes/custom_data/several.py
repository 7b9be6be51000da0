"""Several classes a row: lists, one cell with a mark between them, or a column of 0 and 1 each."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from zoo_recipes.custom_data.content import LABELS, BadRecordError, Columns, Kind, class_names
from zoo_recipes.custom_data.table_files import Table, TableRow
from zoo_registry import UsageError, did_you_mean
from zoo_registry.specs import MULTI_LABEL

# Usual marks between the classes of a cell. A space is one only where no other is used.
MARKS = ("|", ";", ",")
# Cells that have a mark, of those that are not empty: fewer are names that happen to contain it.
USUAL = 0.1
YES, NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no", ""}


def with_several(kind: Kind, *, step: str) -> Kind:
    """Return the kind of data whose examples have any number of classes each.

    Args:
        kind: That of one class each.
        step: Preprocessing step that tells its inputs from those of others.
    """
    return replace(
        kind,
        name=kind.name.replace(" in classes", " with several classes each"),
        label=LABELS,
        tasks=(MULTI_LABEL, *kind.tasks[1:]),
        roles=(*kind.roles[:-1], LABELS),
        step=step,
        of_one=kind.tasks[:1],
    )


def have_several(values: Sequence[Any], *, is_declared: bool) -> bool:
    """Return whether a column holds several classes a row.

    Args:
        values: Of it.
        is_declared: Whether its name says so, and a mark between words is one between classes.
    """
    if sum(isinstance(value, list) for value in values) > len(values) / 2:
        return True
    return is_declared and mark_of(values) not in {None, " "}


def mark_of(values: Sequence[Any]) -> str | None:
    """Return what stands between the classes of a cell; ``None`` where cells hold one or a list.

    Example:
        >>> mark_of(["Action|Comedy, dark", "Drama", ""])
        '|'
        >>> mark_of(["clear primary", "haze", "haze primary"])
        ' '
        >>> print(mark_of(["['a', 'b']", "[]"]), mark_of(["film noir", "war"]))
        None None
    """
    cells = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    cells = [cell for cell in cells if not is_list(cell)]
    best = max(MARKS, key=lambda mark: sum(mark in cell for cell in cells))
    marked = [cell for cell in cells if best in cell]
    alone = {cell for cell in cells if best not in cell}
    if marked and (len(marked) >= USUAL * len(cells) or _parts(marked, best) <= alone):
        return best
    # A name may be of several words: then there are more of these than of names.
    are_parted = any(" " in cell for cell in cells) and len(_parts(cells, " ")) <= len(set(cells))
    return " " if are_parted else None


def _parts(cells: Sequence[str], mark: str) -> set[str]:
    return {part.strip() for cell in cells for part in cell.split(mark)} - {""}


def classes_in(column: str, value: Any, mark: str | None) -> tuple[str, ...]:
    """Return the classes of a cell, each once; an empty one has none.

    Args:
        column: Of the cell, for messages.
        value: A list, a text that is one as JSON or Python write it, or classes with marks between.
        mark: That mark.

    Raises:
        BadRecordError: It is something else.

    Example:
        >>> classes_in("genres", "drama|war|", "|"), classes_in("genres", '["war", "war"]', None)
        (('drama', 'war'), ('war',))
    """
    if isinstance(value, str):
        text = value.strip()
        value = listed(column, text) if is_list(text) else text.split(mark) if mark else [text]
    elif not isinstance(value, list | tuple):
        value = [value]
    return tuple(dict.fromkeys(name for part in value if (name := _class(column, part))))


def listed(column: str, text: str) -> list[Any]:
    """Return the list that a cell holds, as JSON writes it, or Python and so pandas.

    Raises:
        BadRecordError: It cannot be read.

    Example:
        >>> listed("tags", '["a", 1]'), listed("tags", "['a', 'b']")
        (['a', 1], ['a', 'b'])
    """
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    raise BadRecordError(f"column '{column}' holds a list that cannot be read: {text[:60]}")


def is_list(text: str) -> bool:
    """Return whether a cell is written as a list."""
    return text.strip().startswith("[") and text.strip().endswith("]")


def _class(column: str, part: Any) -> str:
    if isinstance(part, list | dict):
        raise BadRecordError(f"column '{column}' holds lists or objects in a list, not classes")
    if part is None or part != part:  # noqa: PLR0124
        return ""
    if isinstance(part, bool):
        return str(part).lower()
    if isinstance(part, float) and part.is_integer():
        part = int(part)
    return str(part).strip()


def joined(file: object, table: Table, columns: Columns) -> Table:
    """Return a table in which columns of 0 and 1 that are the classes together are one column.

    Args:
        file: Of it, for messages.
        table: As it was read.
        columns: Role to column; ``labels`` may name several, with commas between.

    Raises:
        UsageError: It has no such column.
    """
    wanted = columns.get(LABELS, "")
    parts = [part.strip() for part in wanted.split(",")]
    if wanted in table.names or len(parts) < 2:
        return table
    lost = next((part for part in parts if part not in table.names), None)
    if lost is not None:
        raise UsageError(
            f"'{file}' has no column '{lost}' (--column {LABELS}={wanted})."
            f"{did_you_mean(lost, table.names)} It has: {', '.join(table.names)}."
        )
    rows = [_joined(row, parts, wanted) for row in table.rows]
    seen = {name for row in rows for name in row.values.get(wanted, ())}
    never = [part for part in parts if part not in seen]
    notes = [f"columns that are 0 in every row, and no classes: {', '.join(never)}"]
    names = [*(name for name in table.names if name not in parts), wanted]
    return Table(names, rows, [*table.notes, *(notes if never else [])])


def _joined(row: TableRow, parts: Sequence[str], wanted: str) -> TableRow:
    if row.problem:
        return row
    try:
        given = [part for part in parts if _applies(part, row.values.get(part))]
    except BadRecordError as error:
        return replace(row, problem=str(error))
    return replace(row, values={**row.values, wanted: given})


def _applies(column: str, value: Any) -> bool:
    word = _class(column, value).lower()
    if word not in YES | NO:
        raise BadRecordError(f"column '{column}' holds '{value}', not 0 or 1")
    if not word:
        raise BadRecordError(f"column '{column}' is empty")
    return word in YES


def how_read(column: str, values: Sequence[Any], mark: str | None) -> list[str]:
    """Return notes on how classes were read.

    Args:
        column: Of them.
        values: The classes of each example.
        mark: What parts them.
    """
    how = {" ": ", with a space between them", None: ""}.get(mark, f", with '{mark}' between them")
    found = [f"column '{column}' holds several classes a row{how}"]
    none = sum(not classes for classes in values)
    if none:
        found.append(f"{none:,} rows are of no class")
    if values and all(len(classes) == 1 for classes in values):
        found.append(f"every row is of one class: --column label={column} learns which one")
    return found


def unsaid(column: str, values: Sequence[Any]) -> list[str]:
    """Return a note on a column of one class each whose cells look like several.

    Example:
        >>> unsaid("genre", ["drama|war", "war", "drama"])
        ["column 'genre' is read as one class a row; --column labels=genre parts it at '|'"]
        >>> unsaid("genre", ["drama", "film noir"])
        []
    """
    mark = mark_of(values)
    cells = [value for value in values if isinstance(value, str)]
    # Of names of several words some begin or end alike.
    most = len(set(cells)) / (2 if mark == " " else 1)
    if mark is None or len(_parts(cells, mark)) >= most:
        return []
    at = "spaces" if mark == " " else f"'{mark}'"
    return [
        f"column '{column}' is read as one class a row; --column {LABELS}={column} parts it at {at}"
    ]


def label_feature(examples: Sequence[Mapping[str, Any]], name: str) -> Any:
    """Return the TFDS feature of several classes.

    Args:
        examples: Their values.
        name: Of the one that holds the classes.
    """
    import tensorflow_datasets as tfds

    names = class_names([label for values in examples for label in values[name]])
    return tfds.features.Sequence(tfds.features.ClassLabel(names=names))
