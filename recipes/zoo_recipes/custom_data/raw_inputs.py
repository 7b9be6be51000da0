"""What a whole folder or table holds for a model that there is: raw inputs, no classes needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.columns import NAMES, headings, with_plain_numbers
from zoo_recipes.custom_data.content import Columns
from zoo_recipes.custom_data.files import decoded, files_of, location, suffix_of
from zoo_recipes.custom_data.images import is_image
from zoo_recipes.custom_data.table_files import is_rows, read_rows
from zoo_registry import UsageError, did_you_mean

# Roles of the columns of a table that one raw input is made of, the ones first that need most.
FORMS = {
    "lookup": (("user", "item"),),
    "tokenize": (("question", "context"), ("premise", "hypothesis"), ("text",), ("token",)),
}


def is_many(path: Path) -> bool:
    """Return whether a path holds many raw inputs: a folder, or a table."""
    return path.is_dir() or (path.is_file() and is_rows(path))


def raw_inputs(
    path: Path, preprocessing: Sequence[Mapping[str, Any]], columns: Columns
) -> list[tuple[str, Any]]:
    """Return all raw inputs of a folder or a table, each with its location.

    Args:
        path: A folder of images, audio clips or ``.txt`` files in any order of folders, or a table.
        preprocessing: The steps of the model that they are for.
        columns: Role to column of a table, such as ``{"text": "body"}``.

    Raises:
        UsageError: There is nothing that the model takes, or a row that cannot be read.
    """
    steps = [str(step["step"]) for step in preprocessing]
    found = _of_folder(path, steps) if path.is_dir() else _of_table(path, steps, columns)
    if not found:
        other = " It is a text? Then: --text." if "tokenize" in steps else ""
        raise UsageError(f"There is nothing at '{path}' that this model takes.{other}")
    return found


def _of_folder(path: Path, steps: Sequence[str]) -> list[tuple[str, Any]]:
    files = files_of(path)
    if "image" in steps:
        return [(location(file, path), file) for file in files if is_image(file)]
    if "audio" in steps:
        from zoo_runtime.preprocess.audio import SUFFIXES

        return [(location(file, path), file) for file in files if file.suffix.lower() in SUFFIXES]
    if "tokenize" in steps:
        texts = [file for file in files if suffix_of(file) == ".txt"]
        return [(location(file, path), decoded(file).text) for file in texts]
    raise UsageError(f"'{path}' is a folder, and this model takes rows: give the file of a table.")


def _of_table(path: Path, steps: Sequence[str], columns: Columns) -> list[tuple[str, Any]]:
    table = read_rows(path, columns, headings())
    bad = next((row for row in table.rows if row.problem), None)
    if bad is not None:
        raise UsageError(f"'{path}', line {bad.line}, {bad.problem}.")
    if "table" in steps:
        plain, _ = with_plain_numbers({path: table}, table.names)
        return [(location(path, path, row.line), dict(row.values)) for row in plain[path].rows]
    kind = next((step for step in steps if step in FORMS), None)
    if kind is None:
        raise UsageError(f"'{path}' is a table, and this model takes no rows of one.")
    names = _columns(path, table.names, FORMS[kind], columns)
    return [
        (location(path, path, row.line), _raw([row.values.get(name) for name in names]))
        for row in table.rows
    ]


def _raw(cells: Sequence[Any]) -> Any:
    found = [cell if isinstance(cell, str | list) else str(cell) for cell in cells]
    return tuple(found) if len(found) > 1 else found[0]


def _columns(
    path: Path, names: Sequence[str], forms: Sequence[tuple[str, ...]], columns: Columns
) -> list[str]:
    for role, column in columns.items():
        if column not in names:
            raise UsageError(
                f"'{path}' has no column '{column}' (--column {role}={column})."
                f"{did_you_mean(column, names)} It has: {', '.join(names)}."
            )
    by_name = {name.casefold(): name for name in names}
    for roles in forms:
        usual = {role: next((n for n in NAMES[role] if n in by_name), None) for role in roles}
        found = [columns.get(role) or by_name.get(str(usual[role])) for role in roles]
        if all(found) and columns.keys() <= set(roles):
            return [str(column) for column in found]
    wanted = " or ".join(" and ".join(roles) for roles in forms)
    raise UsageError(
        f"'{path}' has the columns {', '.join(names)}: say which are {wanted}, such as --column "
        f"{forms[-1][0]}={names[0] if names else 'body'}."
    )
