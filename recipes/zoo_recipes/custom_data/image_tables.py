"""Images whose classes or numbers stand in a table: ``labels.csv``, ``metadata.jsonl``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.boxes import NamedImages
from zoo_recipes.custom_data.class_folders import is_unlabelled
from zoo_recipes.custom_data.columns import NAMES, are_numbers, column_of, with_plain_numbers
from zoo_recipes.custom_data.content import (
    LABELS,
    BadRecordError,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
)
from zoo_recipes.custom_data.files import SPLITS, files_of, location, split_in, watched
from zoo_recipes.custom_data.images import (
    IMAGE_NUMBERS,
    IMAGES,
    ImageInfo,
    image_content,
    is_image,
)
from zoo_recipes.custom_data.several import (
    classes_in,
    have_several,
    how_read,
    joined,
    mark_of,
    unsaid,
    with_several,
)
from zoo_recipes.custom_data.table_files import Table, TableRow, is_rows, read_rows
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.preprocess.tables import as_number

TABLED = replace(IMAGES, roles=("image", "label"))
SEVERAL = with_several(TABLED, step="image")
ROLES = ("image", "label", LABELS, "target", "split", "group")
# Never taken for classes unless the user names them: captions and boxes are other tasks.
NEVER_PREDICTED = {
    *("split", "id", "width", "height", "objects"),
    *("text", "caption", "captions", "description", "prompt"),
}
# The column to be predicted may have any name; these are looked for.
OUTCOMES = (
    *NAMES["label"],
    LABELS,
    "breed",
    "species",
    "label_name",
    "class_name",
    "diagnosis",
    "level",
)


def is_image_table(path: Path) -> bool:
    """Return whether a folder has images, and tables whose rows name them."""
    if not path.is_dir():
        return False
    files = files_of(path)
    tables = [file for file in files if is_rows(file)]
    images = [file for file in files if is_image(file)]
    return bool(images) and any(_names_images(file, path, images) for file in tables)


def image_table_kind(path: Path, columns: Columns) -> Kind:
    """Return whether images have classes or numbers."""
    return _open(path, columns).kind


def read_image_table(path: Path, columns: Columns) -> Content:
    """Read the images that the rows of tables name.

    Args:
        path: A folder with images anywhere in it and a table, or one for each split. Names of
            images may lack their folder or suffix. Images that no row names are left out.
        columns: ``image``, ``label``, ``labels`` or ``target``, ``split`` and ``group``.

    Raises:
        UsageError: It is not clear what is to be predicted of the images.
    """
    opened = _open(path, columns)
    kind, tables = opened.kind, opened.tables
    files = files_of(path)
    images = NamedImages(path, files)
    examples: list[Example] = []
    problems: list[Problem] = []
    notes = list(opened.notes)
    seen: dict[Path, str] = {}
    looked_at: list[ImageInfo] = []
    split_column = columns.get("split", "split")
    for file, table in tables.items():
        notes += table.notes
        for row in watched(table.rows, f"reading images of {location(file, path)}"):
            where = location(file, path, row.line)
            try:
                image = _image(row, opened.image, file, images)
                if image in seen:
                    raise BadRecordError(f"the image has been named before, at {seen[image]}")
                seen[image] = where
                values = {str(kind.label): _outcome_of(opened, row)}
                split = _split(row, split_column) or split_in(file, path) or split_in(image, path)
                group = _group(row, columns.get("group"))
                looked = images.looked_at[image]
            except BadRecordError as error:
                problems.append(Problem(where, str(error)))
                continue
            looked_at.append(looked)
            values["image"] = image
            examples.append(Example(where, split, looked.digest, values, looked.size, group))
    unnamed = sum(is_image(file) and file not in seen for file in files)
    if kind == SEVERAL:
        notes += how_read(kind.outcome, [e.values[LABELS] for e in examples], opened.mark)
    if unnamed:
        notes.append(f"{unnamed:,} images are left out: no row names them")
    return image_content(kind, examples, problems, notes, images=looked_at)


@dataclass(frozen=True)
class _Opened:
    """Tables of images.

    Args:
        kind: What they tell of images; its outcome is the column of it.
        image: The column that names these.
        tables: By file.
        notes: How they were read.
        mark: What stands between several classes in a cell.
    """

    kind: Kind
    image: str
    tables: Mapping[Path, Table]
    notes: Sequence[str]
    mark: str | None


def _open(path: Path, columns: Columns) -> _Opened:
    files = files_of(path)
    images = [file for file in files if is_image(file)]
    found = [f for f in files if is_rows(f) and _names_images(f, path, images)]
    tables = {file: _read(file, columns, images) for file in found}
    # Those of images without a class have fewer columns.
    first, table = max(tables.items(), key=lambda item: len(item[1].names))
    for role, column in columns.items():
        if role not in ROLES:
            raise UsageError(
                f"--column {role}={column}: there is no role '{role}'.{did_you_mean(role, ROLES)} "
                f"There are: {', '.join(ROLES)}."
            )
        if column not in table.names:
            raise UsageError(
                f"'{first}' has no column '{column}' (--column {role}={column})."
                f"{did_you_mean(column, table.names)} It has: {', '.join(table.names)}."
            )
    image = columns.get("image") or _image_column(table, path, images)
    given = next((columns[role] for role in ("label", LABELS, "target") if role in columns), None)
    outcome = given or _outcome(first, table, str(image))
    telling = {file: each for file, each in tables.items() if {image, outcome} <= set(each.names)}
    if "label" not in columns and LABELS not in {*columns, outcome.casefold()}:
        telling, _ = with_plain_numbers(telling, [outcome])
    values = column_of(telling, outcome)
    by_name = given is None and outcome.casefold() == LABELS
    kind = TABLED
    if "target" in columns or (given is None and are_numbers(values)):
        kind = IMAGE_NUMBERS
    elif LABELS in columns or have_several(values, is_declared=by_name):
        kind = SEVERAL
    notes = unsaid(outcome, values) if kind == TABLED else []
    mark = mark_of(values) if kind == SEVERAL else None
    return _Opened(replace(kind, outcome=outcome), str(image), telling, notes, mark)


def _outcome(file: Path, table: Table, image: str) -> str:
    names = [name for name in table.names if name != image]
    by_name = {name.casefold(): name for name in names}
    found = [by_name[name] for name in OUTCOMES if name in by_name]
    plain = [name for name in names if name.casefold() not in NEVER_PREDICTED]
    if found or len(plain) == 1:
        return (found or plain)[0]
    raise UsageError(
        f"'{file}' has the columns {', '.join(table.names)}: say which is the class of an image, "
        "such as --column label=breed, or the number to be predicted, --column target=age."
    )


def _names_images(file: Path, path: Path, images: Sequence[Path]) -> bool:
    if is_unlabelled(file):
        return False
    try:
        return _image_column(_read(file, {}, images), path, images) is not None
    except UsageError:
        return False


def _image_column(table: Table, path: Path, images: Sequence[Path]) -> str | None:
    """Return the column whose cells name images, one of usual name first."""
    known = _names(images)
    usual = [name for name in table.names if name.casefold() in NAMES["image"]]
    for name in dict.fromkeys([*usual, *table.names]):
        cells = [row.values.get(name) for row in table.rows[:20] if not row.problem]
        words = [_base(cell) for cell in cells if isinstance(cell, str)]
        if words and sum(word in known for word in words) > len(words) / 2:
            return name
    return None


def _names(images: Sequence[Path]) -> set[str]:
    """Return what images may be called; a name without a suffix is one of one image only."""
    stems = Counter(file.stem for file in images)
    return {file.name for file in images} | {stem for stem in stems if stems[stem] == 1}


def _base(name: str) -> str:
    return Path(name.replace("\\", "/")).name


def _read(file: Path, columns: Columns, images: Sequence[Path]) -> Table:
    """Return a table; it has no header where its first row names an image."""
    table = joined(file, read_rows(file, columns), columns)
    known = _names(images)
    at = next((n for n, name in enumerate(table.names, 1) if _base(name) in known), None)
    if at is None:
        return table
    return joined(file, read_rows(file, columns or {"image": str(at)}), columns)


def _image(row: TableRow, column: str, file: Path, images: NamedImages) -> Path:
    if row.problem:
        raise BadRecordError(row.problem)
    name = row.values.get(column)
    if not isinstance(name, str) or not name.strip():
        raise BadRecordError(f"column '{column}' is empty")
    return images.find(name.strip(), file)


def _outcome_of(opened: _Opened, row: TableRow) -> Any:
    kind, column = opened.kind, opened.kind.outcome
    value = row.values.get(column)
    if kind == SEVERAL:
        return classes_in(column, value, opened.mark)
    if isinstance(value, list | dict):
        raise BadRecordError(f"column '{column}' holds several values, not one class or number")
    if value is None or not str(value).strip():
        raise BadRecordError(f"column '{column}' is empty")
    if kind == TABLED:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return text.strip().removesuffix(".0") if isinstance(value, float) else text.strip()
    try:
        number = as_number(value)
    except (ValueError, TypeError) as error:
        raise BadRecordError(f"target '{value}' is not a number") from error
    if number != number:  # noqa: PLR0124
        raise BadRecordError(f"column '{column}' is empty")
    return number


def _split(row: TableRow, column: str) -> str | None:
    name = row.values.get(column)
    if name in (None, ""):
        return None
    if str(name).lower() not in SPLITS:
        raise BadRecordError(f"split '{name}' is none of {', '.join(SPLITS)}")
    return SPLITS[str(name).lower()]


def _group(row: TableRow, column: str | None) -> str | None:
    value = None if column is None else row.values.get(column)
    return None if value is None or not str(value).strip() else str(value).strip()
