"""Tables whose columns are known: what they hold, and which column plays which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo_recipes.own_data.class_folders import is_unlabelled
from zoo_recipes.own_data.content import LABELS, Columns, Kind
from zoo_recipes.own_data.files import files_of, place, split_in
from zoo_recipes.own_data.numerals import MOSTLY, column_of, with_plain_numbers
from zoo_recipes.own_data.parallel import PAIRS
from zoo_recipes.own_data.roles import (
    DATES,
    FEW,
    OPTIONAL,
    RATINGS,
    ROWS,
    SAME,
    Form,
    are_dates,
    are_numbers,
    find_form,
    headings,
    left_out,
    reads_as_number,
    with_names,
)
from zoo_recipes.own_data.several import have_several, joined, mark_of, unsaid
from zoo_recipes.own_data.table_files import Table, read_rows
from zoo_registry import UsageError


@dataclass(frozen=True)
class Opened:
    """Tables whose columns are known.

    Args:
        kind: What they hold.
        roles: Role to column; that of what is to be told is the label of the kind.
        tables: By file.
        remarks: What is worth knowing of how they were read.
        cells: Of rows of numbers and categories, all columns with one value a row, those too that
            say nothing here: another table may be read for a model that knows them.
        numbers: Those of the columns that hold numbers, though a cell may be none.
        mark: What stands between several classes in a cell.
    """

    kind: Kind
    roles: Mapping[str, str]
    tables: Mapping[Path, Table]
    remarks: Sequence[str]
    cells: Sequence[str] = ()
    numbers: Sequence[str] = ()
    mark: str | None = None

    @property
    def are_rows(self) -> bool:
        """Whether columns keep their names."""
        return self.kind.step == ROWS.step


def open_tables(path: Path, columns: Columns) -> Opened:
    """Return the tables at a path, and what their columns are.

    Args:
        path: A table, or a folder of them.
        columns: Role to column.

    Raises:
        UsageError: It is not clear what they hold, or they do not hold the same.
    """
    known = list(headings())
    read = {file: read_rows(file, columns, known) for file in _labelled(files_of(path))}
    tables = {file: joined(file, table, columns) for file, table in read.items()}
    first = max(tables, key=lambda file: len(tables[file].names))  # those without a class have less
    form, roles = find_form(first, tables[first].names, columns)
    tables, remarks = _with_roles(path, tables, first, columns, form, roles=roles)
    remarks += [text for table in tables.values() for text in table.remarks]
    tables, told = with_plain_numbers(tables, _may_be_numbers(form, roles, tables[first].names))
    remarks += told
    kind, said, told = _kind(form, roles, tables)
    remarks += told
    roles = {role: column for role, column in roles.items() if role != "outcome"}
    roles = {**roles, kind.roles[-1]: said} if said else roles
    is_several = kind.roles[-1] == LABELS
    mark = mark_of(column_of(tables, said)) if is_several else None
    if form.classes == ROWS:
        beside = {said, *(roles.get(role) for role in OPTIONAL)}
        unread = [name for name in tables[first].names if name not in beside]
        kind, told = _rows_kind(first, kind, tables, unread)
        cells = [name for name in unread if not _has_several(tables, name)]
        numbers_in = [name for name in cells if _of_numbers(column_of(tables, name))]
        return Opened(kind, roles, tables, [*remarks, *told], cells, numbers_in, mark)
    unread = [name for name in tables[first].names if name not in roles.values()]
    if unread and kind != RATINGS:
        remarks.append(f"columns that are not read: {', '.join(unread)}")
    return Opened(kind, roles, tables, remarks, mark=mark)


def _labelled(files: Sequence[Path]) -> Sequence[Path]:
    # What a contest takes back, such as sample_submission.csv.
    return [file for file in files if not is_unlabelled(file)] or files


def _with_roles(
    path: Path,
    tables: Mapping[Path, Table],
    first: Path,
    columns: Columns,
    form: Form,
    *,
    roles: Mapping[str, str],
) -> tuple[dict[Path, Table], list[str]]:
    """Return the tables that have what the first one has, and what is left out.

    That may be the test of a contest, which does not say what is to be told.
    """
    kept, remarks = {}, []
    for file, table in tables.items():
        gone = next((name for name in roles.values() if name not in table.names), None)
        if gone is None:
            other, _ = find_form(file, table.names, columns)
            if other != form:
                held, wanted = other.classes.name, form.classes.name
                raise UsageError(f"'{file}' holds {held}, not {wanted} as the others do.")
            kept[file] = table
        elif split_in(file, path) in {"test", "validation"}:
            remarks.append(f"{place(file, path)} is left out: it has no column '{gone}'")
        else:
            raise UsageError(f"'{file}' has no column '{gone}', which '{first.name}' has.")
    return kept, remarks


def _may_be_numbers(form: Form, roles: Mapping[str, str], names: Sequence[str]) -> Sequence[str]:
    several = {roles.get(LABELS), LABELS}
    if form.classes == ROWS:
        return [name for name in names if name not in several]
    if form.classes == PAIRS:
        return []
    told = [roles[role] for role in ("outcome", "target", "rating") if role in roles]
    return [name for name in told if name not in several]


def _kind(
    form: Form, roles: Mapping[str, str], tables: Mapping[Path, Table]
) -> tuple[Kind, str, list[str]]:
    """Return what tables hold, the column of what is to be told, and a remark on how it is read."""
    if form.numbers is None or form.several is None:
        return form.classes, "", []
    role = next(role for role in ("outcome", "label", LABELS, "target") if role in roles)
    said = roles[role]
    values = column_of(tables, said)
    kind = form.classes
    if role == "target" or (role == "outcome" and are_numbers(values)):
        kind = form.numbers
    elif role == LABELS or have_several(
        values, is_said=role == "outcome" and said.casefold() == LABELS
    ):
        kind = form.several
    told = unsaid(said, values) if kind == form.classes else []
    return replace(kind, outcome=said), said, told


def _has_several(tables: Mapping[Path, Table], name: str) -> bool:
    return any(isinstance(value, list | dict) for value in column_of(tables, name))


def _rows_kind(
    file: Path,
    kind: Kind,
    tables: Mapping[Path, Table],
    names: Sequence[str],
) -> tuple[Kind, list[str]]:
    """Return the kind of a table of rows, with its columns, and what is left out of it."""
    useless = left_out({name: column_of(tables, name) for name in names})
    kept = [name for name in names if name not in useless]
    # A few rows to be measured may be alike in all.
    kept = kept or [name for name in names if useless[name] == SAME]
    useless = {name: why for name, why in useless.items() if name not in kept}
    if not kept:
        raise UsageError(
            f"'{file}' has no column that tells anything of '{kind.outcome}': "
            + "; ".join(f"'{name}' {why}" for name, why in useless.items())
            + "."
        )
    told = [f"column '{name}' is left out: it {why}" for name, why in useless.items()]
    for what, numeric in (("numbers", True), ("categories", False)):
        of_kind = [name for name in kept if _is_numeric(column_of(tables, name)) == numeric]
        told += [f"columns of {what}: {', '.join(of_kind)}"] if of_kind else []
    dated = [name for name in kept if are_dates(column_of(tables, name))]
    told += [f"column '{name}' {DATES}; as it is, each date is a category" for name in dated]
    return with_names(kind, kept, kind.outcome), told


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(map(reads_as_number, values)) or _of_numbers(values)


def _of_numbers(values: Sequence[Any]) -> bool:
    """Return whether a column is one of numbers, though a few of its cells may be none.

    Few different numbers with a word among them, such as 0, 1, 2 and 3+, are categories.
    """
    numbers = [value for value in values if reads_as_number(value)]
    return len(numbers) >= MOSTLY * len(values) and len(set(map(str, numbers))) > FEW
