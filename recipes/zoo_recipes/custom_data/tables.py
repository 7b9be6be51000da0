"""Tables opened, with their columns known: what these hold, and which has which role."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.answers import ANSWERS, answer_example, answer_features, unanswered
from zoo_recipes.custom_data.class_folders import is_unlabelled
from zoo_recipes.custom_data.columns import (
    DATES,
    FEW,
    MOSTLY,
    OPTIONAL,
    RATINGS,
    ROWS,
    SAME,
    Form,
    are_dates,
    are_numbers,
    column_of,
    find_form,
    headings,
    left_out,
    reads_as_number,
    with_names,
    with_plain_numbers,
)
from zoo_recipes.custom_data.content import (
    LABELS,
    BadRecordError,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.custom_data.files import (
    SPLITS,
    files_of,
    location,
    split_in,
    split_of,
    splits_of,
    suffix_of,
)
from zoo_recipes.custom_data.parallel import PAIRS, pair, pair_features
from zoo_recipes.custom_data.several import (
    classes_in,
    have_several,
    how_read,
    joined,
    label_feature,
    mark_of,
    unsaid,
)
from zoo_recipes.custom_data.table_files import Table, TableRow, is_rows, named_columns, read_rows
from zoo_recipes.custom_data.tags import TAGS, tag_features, tagged
from zoo_registry import UsageError


@dataclass(frozen=True)
class Opened:
    """Tables whose columns are known.

    Args:
        kind: What they hold.
        roles: Role to column; that of what is to be predicted is the label of the kind.
        tables: By file.
        notes: How they were read.
        cells: Of rows of numbers and categories, all columns with one value a row, those too that
            say nothing here: another table may be read for a model that knows them.
        numbers: Those of the columns that hold numbers, though a cell may be none.
        mark: What stands between several classes in a cell.
    """

    kind: Kind
    roles: Mapping[str, str]
    tables: Mapping[Path, Table]
    notes: Sequence[str]
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
    tables, notes = _with_roles(path, tables, first, columns, form, roles=roles)
    notes += [text for table in tables.values() for text in table.notes]
    tables, read_as = with_plain_numbers(tables, _may_be_numbers(form, roles, tables[first].names))
    notes += read_as
    kind, outcome, read_as = _kind(form, roles, tables)
    notes += read_as
    roles = {role: column for role, column in roles.items() if role != "outcome"}
    roles = {**roles, kind.roles[-1]: outcome} if outcome else roles
    is_several = kind.roles[-1] == LABELS
    mark = mark_of(column_of(tables, outcome)) if is_several else None
    if form.classes == ROWS:
        beside = {outcome, *(roles.get(role) for role in OPTIONAL)}
        unread = [name for name in tables[first].names if name not in beside]
        kind, read_as = _rows_kind(first, kind, tables, unread)
        cells = [name for name in unread if not _has_several(tables, name)]
        numbers_in = [name for name in cells if _of_numbers(column_of(tables, name))]
        return Opened(kind, roles, tables, [*notes, *read_as], cells, numbers_in, mark)
    unread = [name for name in tables[first].names if name not in roles.values()]
    if unread and kind != RATINGS:
        notes.append(f"columns that are not read: {', '.join(unread)}")
    return Opened(kind, roles, tables, notes, mark=mark)


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

    That may be the test set of a contest, which has no column to be predicted.
    """
    kept, notes = {}, []
    for file, table in tables.items():
        gone = next((name for name in roles.values() if name not in table.names), None)
        if gone is None:
            other, _ = find_form(file, table.names, columns)
            if other != form:
                held, wanted = other.classes.name, form.classes.name
                raise UsageError(f"'{file}' holds {held}, not {wanted} as the others do.")
            kept[file] = table
        elif split_in(file, path) in {"test", "validation"}:
            notes.append(f"{location(file, path)} is left out: it has no column '{gone}'")
        else:
            raise UsageError(f"'{file}' has no column '{gone}', which '{first.name}' has.")
    return kept, notes


def _may_be_numbers(form: Form, roles: Mapping[str, str], names: Sequence[str]) -> Sequence[str]:
    several = {roles.get(LABELS), LABELS}
    if form.classes == ROWS:
        return [name for name in names if name not in several]
    if form.classes == PAIRS:
        return []
    outcomes = [roles[role] for role in ("outcome", "target", "rating") if role in roles]
    return [name for name in outcomes if name not in several]


def _kind(
    form: Form, roles: Mapping[str, str], tables: Mapping[Path, Table]
) -> tuple[Kind, str, list[str]]:
    """Return what tables hold, the column to be predicted, and a note on how it is read."""
    if form.numbers is None or form.several is None:
        return form.classes, "", []
    role = next(role for role in ("outcome", "label", LABELS, "target") if role in roles)
    outcome = roles[role]
    values = column_of(tables, outcome)
    kind = form.classes
    if role == "target" or (role == "outcome" and are_numbers(values)):
        kind = form.numbers
    elif role == LABELS or have_several(
        values, is_declared=role == "outcome" and outcome.casefold() == LABELS
    ):
        kind = form.several
    read_as = unsaid(outcome, values) if kind == form.classes else []
    return replace(kind, outcome=outcome), outcome, read_as


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
    notes = [f"column '{name}' is left out: it {why}" for name, why in useless.items()]
    for what, numeric in (("numbers", True), ("categories", False)):
        of_kind = [name for name in kept if _is_numeric(column_of(tables, name)) == numeric]
        notes += [f"columns of {what}: {', '.join(of_kind)}"] if of_kind else []
    dated = [name for name in kept if are_dates(column_of(tables, name))]
    notes += [f"column '{name}' {DATES}; as it is, each date is a category" for name in dated]
    return with_names(kind, kept, kind.outcome), notes


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(map(reads_as_number, values)) or _of_numbers(values)


def _of_numbers(values: Sequence[Any]) -> bool:
    """Return whether a column is one of numbers, though a few of its cells may be none.

    Few different numbers with a word among them, such as 0, 1, 2 and 3+, are categories.
    """
    numbers = [value for value in values if reads_as_number(value)]
    return len(numbers) >= MOSTLY * len(values) and len(set(map(str, numbers))) > FEW


def is_table(path: Path) -> bool:
    """Return whether a path is a table, or a folder of tables of one sort."""
    files = files_of(path)
    return all(map(is_rows, files)) and len({suffix_of(file) for file in files}) == 1


def table_kind(path: Path, columns: Columns) -> Kind:
    """Return the kind whose columns a table has."""
    return open_tables(path, columns).kind


def read_table(path: Path, columns: Columns) -> Content:
    """Read every row.

    Args:
        path: A table, or a folder with one for each split. A column ``split`` says it too.
        columns: Role to column: ``text`` and ``label``, ``source`` and ``target``, or ``user``,
            ``item`` and ``rating``; of rows of numbers and categories ``label`` or ``target``.

    Raises:
        UsageError: A column is missing, or it is not clear which one plays a role.
    """
    opened = open_tables(path, columns)
    examples: list[Example] = []
    problems: list[Problem] = []
    for file, split in _splits(opened, path).items():
        for row in opened.tables[file].rows:
            where = location(file, path, row.line)
            try:
                examples.append(_example(opened, row, where, split))
            except BadRecordError as error:
                problems.append(Problem(where, str(error)))
    _leave_out_header(opened, columns, examples, problems)
    kind, notes = opened.kind, list(opened.notes)
    if kind == ANSWERS:
        notes += unanswered(examples)
    if kind.roles[-1] == LABELS:
        found = [example.values[str(kind.label)] for example in examples]
        notes += how_read(kind.outcome, found, opened.mark)
    return Content(opened.kind, _features(opened, examples), examples, problems, notes)


def _splits(opened: Opened, path: Path) -> dict[Path, str | None]:
    # Of shards such as train-00000-of-00002.parquet a word of the name says it.
    return splits_of(list(opened.tables), path, split_in if path.is_dir() else split_of)


def _leave_out_header(
    opened: Opened, columns: Columns, examples: list[Example], problems: list[Problem]
) -> None:
    """Make a problem of a first row that is the only example of its class, and likely a header."""
    numbered = bool(columns) and all(name.isdecimal() for name in named_columns(columns))
    if not (numbered and examples and opened.kind.roles[-1:] == ("label",)):
        return
    label = str(opened.kind.label)
    counts = Counter(example.values[label] for example in examples)
    first = examples[0].values[label]
    others = [count for name, count in counts.items() if name != first]
    is_first = any(examples[0].location.endswith(f"{file.name}:1") for file in opened.tables)
    if is_first and counts[first] == 1 and len(others) > 1 and min(others) > 1:
        text = (
            f"looks like a header, as no other row is of class '{first}': name columns by it, such "
            f"as --column label={first}, or leave it out"
        )
        problems.insert(0, Problem(examples[0].location, text))
        del examples[0]


def _example(opened: Opened, row: TableRow, where: str, split: str | None) -> Example:
    if row.problem:
        raise BadRecordError(row.problem)
    given = {role: opened.roles[role] for role in OPTIONAL if role in opened.roles}
    beside = {role: _text(column, row.values.get(column)) for role, column in given.items()}
    if "split" in beside:
        if not beside["split"]:
            raise BadRecordError(f"column '{given['split']}' is empty")
        split = _split(beside["split"], split)
    example = _of_kind(opened, row, where, split)
    return replace(example, together=beside.get("group") or None)


def _of_kind(opened: Opened, row: TableRow, where: str, split: str | None) -> Example:
    kind = opened.kind
    roles = {role: column for role, column in opened.roles.items() if role not in OPTIONAL}
    if kind in (TAGS, ANSWERS):
        make = tagged if kind == TAGS else answer_example
        return make(where, split, *(row.values.get(roles[role]) for role in kind.roles))
    values = _cells(opened, roles, row)
    if opened.are_rows:
        return _row_example(opened, row, values, where, split)
    if kind == PAIRS:
        return pair(where, split, values["source"], values["target"])
    if kind == RATINGS:
        return Example(where, split, digest_of(values["user"], values["item"]), values, ())
    texts = [values[role] for role in kind.roles[:-1]]
    return Example(where, split, digest_of(*texts), values, (sum(map(len, texts)),))


def _cells(opened: Opened, roles: Mapping[str, str], row: TableRow) -> dict[str, Any]:
    """Return the value of each role; numbers are numbers."""
    kind, values = opened.kind, dict[str, Any]()
    for role, column in roles.items():
        cell = row.values.get(column)
        is_one = role != LABELS
        values[role] = _text(column, cell) if is_one else classes_in(column, cell, opened.mark)
    missing = next((role for role in roles if not values[role] and role != LABELS), None)
    if missing is not None:
        raise BadRecordError(f"column '{roles[missing]}' is empty")
    for role in ("rating", "target"):
        if role in kind.roles and kind != PAIRS:
            values[role] = _number(role, values[role])
    if roles.get("label") == "gold_label" and values["label"] == "-":
        raise BadRecordError("gold_label '-' is none: the annotators did not agree")
    return values


def _row_example(
    opened: Opened, row: TableRow, values: dict[str, Any], where: str, split: str | None
) -> Example:
    kind = opened.kind
    cells = {name: _text(name, row.values.get(name)) for name in opened.cells}
    for name in kind.input:
        _check_cell(name, cells[name], is_number=name in opened.numbers)
    outcome = {str(kind.label): values[kind.roles[-1]]}
    digest = digest_of(*(cells[name] for name in kind.input))
    return Example(where, split, digest, {**cells, **outcome}, (len(kind.input),))


def _check_cell(name: str, cell: str, *, is_number: bool) -> None:
    try:
        is_infinite = math.isinf(float(cell))
    except ValueError:
        is_infinite = False
    if is_infinite:
        raise BadRecordError(f"column '{name}' holds {cell}")
    if is_number and not reads_as_number(cell):
        raise BadRecordError(f"column '{name}' holds numbers, and '{cell}' is none")


def _split(name: str, of_file: str | None) -> str:
    if of_file is not None:
        raise BadRecordError("the file's name and a column both give the split: leave one out")
    if name.lower() not in SPLITS:
        raise BadRecordError(f"split '{name}' is none of {', '.join(SPLITS)}")
    return SPLITS[name.lower()]


def _number(role: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise BadRecordError(f"{role} '{text}' is not a number") from error
    if not math.isfinite(number):
        raise BadRecordError(f"{role} '{text}' is not a finite number")
    return number


def _text(column: str, value: Any) -> str:
    if isinstance(value, list | dict):
        what = "a list" if isinstance(value, list) else "an object"
        raise BadRecordError(f"column '{column}' holds {what}, not one text or number")
    # 5.0 of a column that has gaps is 5, and what JSON calls true is true.
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        value = "" if math.isnan(value) else int(value) if value.is_integer() else value
    return str(value).strip()


def _features(opened: Opened, examples: Sequence[Example]) -> dict[str, Any]:
    import numpy as np
    import tensorflow_datasets as tfds

    kind, text = opened.kind, tfds.features.Text()
    if kind == TAGS:
        return tag_features(examples)
    if kind == ANSWERS:
        return answer_features()
    if kind == PAIRS:
        return pair_features()
    inputs = opened.cells or ((kind.input,) if isinstance(kind.input, str) else kind.input)
    label_name = str(kind.label)
    if kind.roles[-1] == "label":
        names = class_names([example.values[label_name] for example in examples])
        label: Any = tfds.features.ClassLabel(names=names)
    elif kind.roles[-1] == LABELS:
        label = label_feature([example.values for example in examples], label_name)
    else:
        label = tfds.features.Scalar(np.float32)
    return {**dict.fromkeys(inputs, text), label_name: label}
