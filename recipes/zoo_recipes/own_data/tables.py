"""Tables: texts or pairs of them with classes or numbers, translations, ratings, tags, rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_recipes.own_data.answers import (
    ANSWERS,
    answer_example,
    answer_features,
    unanswered,
)
from zoo_recipes.own_data.content import (
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
from zoo_recipes.own_data.files import (
    SPLITS,
    files_of,
    place,
    split_in,
    split_of,
    splits_of,
    suffix_of,
)
from zoo_recipes.own_data.opening import Opened, open_tables
from zoo_recipes.own_data.parallel import PAIRS, pair, pair_features
from zoo_recipes.own_data.roles import OPTIONAL, RATINGS, reads_as_number
from zoo_recipes.own_data.several import classes_in, how_read, label_feature
from zoo_recipes.own_data.table_files import Row, is_rows, named_columns
from zoo_recipes.own_data.tags import TAGS, tag_features, tagged


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
            where = place(file, path, row.line)
            try:
                examples.append(_example(opened, row, where, split))
            except BadRecordError as error:
                problems.append(Problem(where, str(error)))
    _leave_out_header(opened, columns, examples, problems)
    kind, remarks = opened.kind, list(opened.remarks)
    if kind == ANSWERS:
        remarks += unanswered(examples)
    if kind.roles[-1] == LABELS:
        found = [example.values[str(kind.label)] for example in examples]
        remarks += how_read(kind.outcome, found, opened.mark)
    return Content(opened.kind, _features(opened, examples), examples, problems, remarks)


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
    is_first = any(examples[0].place.endswith(f"{file.name}:1") for file in opened.tables)
    if is_first and counts[first] == 1 and len(others) > 1 and min(others) > 1:
        text = (
            f"looks like a header, as no other row is of class '{first}': name columns by it, such "
            f"as --column label={first}, or leave it out"
        )
        problems.insert(0, Problem(examples[0].place, text))
        del examples[0]


def _example(opened: Opened, row: Row, where: str, split: str | None) -> Example:
    if row.problem:
        raise BadRecordError(row.problem)
    said = {role: opened.roles[role] for role in OPTIONAL if role in opened.roles}
    beside = {role: _text(column, row.values.get(column)) for role, column in said.items()}
    if "split" in beside:
        if not beside["split"]:
            raise BadRecordError(f"column '{said['split']}' is empty")
        split = _split(beside["split"], split)
    example = _of_kind(opened, row, where, split)
    return replace(example, together=beside.get("group") or None)


def _of_kind(opened: Opened, row: Row, where: str, split: str | None) -> Example:
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


def _cells(opened: Opened, roles: Mapping[str, str], row: Row) -> dict[str, Any]:
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
        raise BadRecordError("gold_label '-' is none: those who judged it did not agree")
    return values


def _row_example(
    opened: Opened, row: Row, values: dict[str, Any], where: str, split: str | None
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
        raise BadRecordError("the split is said by the file's name and by a column: leave one out")
    if name.lower() not in SPLITS:
        raise BadRecordError(f"split '{name}' is none of {', '.join(SPLITS)}")
    return SPLITS[name.lower()]


def _number(role: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise BadRecordError(f"{role} '{text}' is no number") from error
    if not math.isfinite(number):
        raise BadRecordError(f"{role} '{text}' is no finite number")
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
    told = str(kind.label)
    if kind.roles[-1] == "label":
        names = class_names([example.values[told] for example in examples])
        label: Any = tfds.features.ClassLabel(names=names)
    elif kind.roles[-1] == LABELS:
        label = label_feature([example.values for example in examples], told)
    else:
        label = tfds.features.Scalar(np.float32)
    return {**dict.fromkeys(inputs, text), told: label}
