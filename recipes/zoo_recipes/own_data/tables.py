"""Tables of texts with classes, of pairs of texts, or of ratings."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_recipes.own_data.content import (
    CONTRASTIVE_TEXTS,
    BadRecordError,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.own_data.files import SPLITS, files_of, place, splits_of
from zoo_recipes.own_data.parallel import PAIRS, pair, pair_features
from zoo_recipes.own_data.table_files import OBJECTS, SUFFIXES, Row, column_names, rows_of
from zoo_registry import UsageError, did_you_mean

TEXTS = Kind(
    name="texts in classes",
    input="text",
    label="label",
    tasks=("text-classification", CONTRASTIVE_TEXTS),
    roles=("text", "label"),
)
RATINGS = Kind(
    name="ratings",
    input=("user", "item"),
    label="rating",
    tasks=("rating",),
    roles=("user", "item", "rating"),
)
KINDS = (TEXTS, PAIRS, RATINGS)
# What people call the columns, the most telling name first.
NAMES = {
    "text": ("text", "sentence", "review", "body", "comment", "content", "message", "document"),
    "label": ("label", "class", "category", "sentiment", "intent", "topic", "target", "stars"),
    "source": ("source", "src"),
    "target": ("target", "tgt"),
    "user": ("user", "user_id", "userid"),
    "item": ("item", "item_id", "itemid", "movie_id", "movieid", "product_id"),
    "rating": ("rating", "score", "stars"),
    "split": ("split",),
    # Whose examples are to be in one split: never guessed.
    "group": (),
}
OPTIONAL = ("split", "group")


def is_table(path: Path) -> bool:
    """Return whether a path is a table, or a folder of tables of one sort."""
    ends = {file.suffix.lower() for file in files_of(path)}
    return len(ends) == 1 and ends <= set(SUFFIXES)


def table_kind(path: Path, columns: Columns) -> Kind:
    """Return the kind whose columns a table has."""
    return _roles(files_of(path)[0], columns)[0]


def read_table(path: Path, columns: Columns) -> Content:
    """Read every row.

    Args:
        path: A table, or a folder with one for each split. A column ``split`` says it too.
        columns: Role to column: ``text`` and ``label``, ``source`` and ``target``, or ``user``,
            ``item`` and ``rating``.

    Raises:
        UsageError: A column is missing, or it is not clear which one plays a role.
    """
    examples: list[Example] = []
    problems: list[Problem] = []
    kind = table_kind(path, columns)
    for file, split in splits_of(files_of(path), path).items():
        of_file, roles = _roles(file, columns)
        if of_file != kind:
            raise UsageError(f"'{file}' holds {of_file.name}, not {kind.name} as the others do.")
        for row in rows_of(file, columns):
            where = place(file, path, row.line)
            try:
                examples.append(_example(kind, row, roles, where, split))
            except BadRecordError as error:
                problems.append(Problem(where, str(error)))
    return Content(kind, _features(kind, examples), examples, problems)


def _roles(file: Path, columns: Columns) -> tuple[Kind, dict[str, str]]:
    """Return what a table holds, and the column of each role."""
    names = column_names(file, columns)
    for role, column in columns.items():
        if role not in NAMES:
            raise UsageError(
                f"--column {role}={column}: there is no role '{role}'.{did_you_mean(role, NAMES)} "
                f"There are: {', '.join(NAMES)}."
            )
        if column not in names:
            raise UsageError(
                f"'{file}' has no column '{column}' (--column {role}={column})."
                f"{did_you_mean(column, names)} It has: {', '.join(names)}."
            )
    for kind in KINDS:
        roles = (*kind.roles, *OPTIONAL)
        known = {role: columns.get(role) or _named(role, names) for role in roles}
        found = {role: column for role, column in known.items() if column is not None}
        if {*kind.roles, *columns} <= set(found):
            return kind, found
    raise UsageError(_unclear(file, names))


def _named(role: str, names: list[str]) -> str | None:
    by_name = {name.casefold(): name for name in names}
    return next((by_name[name] for name in NAMES[role] if name in by_name), None)


def _unclear(file: Path, names: list[str]) -> str:
    one, other = (shlex.quote(name) for name in (*names, *names)[:2])
    numbers = "" if file.suffix in OBJECTS else " In a file without a header they are 1, 2..."
    return (
        f"'{file}' has the columns {', '.join(names)}: say which are text and label, source and "
        f"target, or user, item and rating, such as --column text={one} --column label={other}."
        f"{numbers}"
    )


def _example(
    kind: Kind, row: Row, roles: Mapping[str, str], where: str, split: str | None
) -> Example:
    if row.problem:
        raise BadRecordError(row.problem)
    values = {role: _text(column, row.values.get(column)) for role, column in roles.items()}
    together = values.pop("group", None) or None
    missing = next((role for role in values if not values[role]), None)
    if missing is not None:
        raise BadRecordError(f"column '{roles[missing]}' is empty")
    if "split" in values:
        split = _split(values.pop("split"), split)
    return replace(_of_kind(kind, values, where, split), together=together)


def _of_kind(kind: Kind, values: dict[str, Any], where: str, split: str | None) -> Example:
    if kind == PAIRS:
        return pair(where, split, values["source"], values["target"])
    if kind == RATINGS:
        digest = digest_of(values["user"], values["item"])
        return Example(where, split, digest, {**values, "rating": _rating(values)}, ())
    return Example(where, split, digest_of(values["text"]), values, (len(values["text"]),))


def _split(name: str, of_file: str | None) -> str:
    if of_file is not None:
        raise BadRecordError("the split is said by the file's name and by a column: leave one out")
    if name.lower() not in SPLITS:
        raise BadRecordError(f"split '{name}' is none of {', '.join(SPLITS)}")
    return SPLITS[name.lower()]


def _rating(values: Mapping[str, str]) -> float:
    try:
        rating = float(values["rating"])
    except ValueError as error:
        raise BadRecordError(f"rating '{values['rating']}' is no number") from error
    if not math.isfinite(rating):
        raise BadRecordError(f"rating '{values['rating']}' is no finite number")
    return rating


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


def _features(kind: Kind, examples: list[Example]) -> dict[str, Any]:
    import numpy as np
    import tensorflow_datasets as tfds

    text = tfds.features.Text()
    if kind == PAIRS:
        return pair_features()
    if kind == RATINGS:
        return {"user": text, "item": text, "rating": tfds.features.Scalar(np.float32)}
    names = class_names([example.values["label"] for example in examples])
    return {"text": text, "label": tfds.features.ClassLabel(names=names)}
