"""What the columns of a table are: which plays which role, and how their numbers are written."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.answers import ANSWERS
from zoo_recipes.custom_data.content import CONTRASTIVE_TEXTS, LABELS, Columns, Kind
from zoo_recipes.custom_data.files import suffix_of
from zoo_recipes.custom_data.parallel import PAIRS
from zoo_recipes.custom_data.several import with_several
from zoo_recipes.custom_data.table_files import OBJECTS, Table, TableRow
from zoo_recipes.custom_data.tags import TAGS
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.preprocess.tables import as_number

# Fraction of the cells of a column that must be numbers for the others to be mistakes.
MOSTLY = 0.8
_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?")
_THOUSANDS = re.compile(r"[+-]?(\d{1,3}|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?|[+-]?\d+(\.\d+)?")
# What 1,234 is where all numbers of a column are such.
_EITHER = "either"
_KINDS = {"decimal comma": _COMMA, "thousands": _THOUSANDS}
TEXTS = Kind(
    name="texts in classes",
    input="text",
    label="label",
    tasks=("text-classification", CONTRASTIVE_TEXTS),
    roles=("text", "label"),
)
TEXT_NUMBERS = Kind(
    name="texts with a number each",
    of_one=("text-classification",),
    input="text",
    label="target",
    tasks=("text-regression", CONTRASTIVE_TEXTS),
    roles=("text", "target"),
)
JUDGED = Kind(
    name="pairs of texts in classes",
    input=("premise", "hypothesis"),
    label="label",
    tasks=("text-classification",),
    roles=("premise", "hypothesis", "label"),
)
JUDGED_NUMBERS = Kind(
    name="pairs of texts with a number each",
    of_one=("text-classification",),
    input=("premise", "hypothesis"),
    label="target",
    tasks=("text-regression",),
    roles=("premise", "hypothesis", "target"),
)
TAGGED_TEXTS, TAGGED_PAIRS = (with_several(kind, step="tokenize") for kind in (TEXTS, JUDGED))
RATINGS = Kind(
    name="ratings",
    input=("user", "item"),
    label="rating",
    tasks=("rating",),
    roles=("user", "item", "rating"),
    unit="",
)
# Their inputs are the columns that each table has, under the names that they have there.
ROWS = Kind(
    name="rows of numbers and categories in classes",
    input=(),
    label="label",
    tasks=("classification",),
    roles=("label",),
    unit="columns",
    step="table",
)
ROW_NUMBERS = Kind(
    name="rows of numbers and categories with a number each",
    of_one=("classification",),
    input=(),
    label="target",
    tasks=("regression",),
    roles=("target",),
    unit="columns",
    step="table",
)
TAGGED_ROWS = with_several(ROWS, step=ROWS.step)
# Usual names of the columns, the clearest one first.
NAMES = {
    "text": ("text", "sentence", "review", "body", "comment", "content", "message", "document"),
    "label": ("label", "class", "category", "sentiment", "intent", "topic", "target", "stars"),
    LABELS: (LABELS,),
    "source": ("source", "src"),
    "target": ("target", "tgt"),
    "user": ("user", "user_id", "userid"),
    "item": ("item", "item_id", "itemid", "movie_id", "movieid", "product_id"),
    "rating": ("rating", "score", "stars"),
    "premise": ("premise", "sentence1", "sentence_1", "sentence_a", "question1", "text1"),
    "hypothesis": ("hypothesis", "sentence2", "sentence_2", "sentence_b", "question2", "text2"),
    "question": ("question",),
    "context": ("context",),
    "answers": ("answers",),
    "token": ("tokens", "words"),
    "tag": ("tags", "ner_tags", "pos_tags", "chunk_tags"),
    "image": ("file_name", "filename", "file", "image", "image_id", "image_path", "path"),
    "split": ("split",),
    # Whose examples are to be in one split: never guessed.
    "group": (),
}
OPTIONAL = ("split", "group")
# Of pairs of texts, what says how they belong together.
JUDGMENTS = ("label", "gold_label", "is_duplicate", "similarity_score", "score", "class", "target")
# In a table of anything, other words may be names of features.
OUTCOMES = ("label", "class", "target", "y")
# Why a column is left out that a few rows may happen to have.
SAME = "is the same in every row"
DATES = "holds dates: make numbers of them, such as the month, the weekday or an age in days"
_DATE = re.compile(
    r"(\d{4}([-/.]\d{1,2}){1,2}|(\d{1,2}[-/.]){2}(\d{2}|\d{4})"  # 2024-01-31, 31.1.24
    r"|\d{1,2}[-. ]+[^\W\d]{3,9}[-., ]+\d{2,4}|[^\W\d]{3,9} \d{1,2},? \d{4})"  # 31 Jan 2024
    r"([T ,]+\d{1,2}:\d{2}.*)?"
)
# Whole numbers from 0 or 1 on are classes, however many; of others so many may be.
FEW = 20


def with_plain_numbers(
    tables: Mapping[Path, Table], names: Collection[str]
) -> tuple[dict[Path, Table], list[str]]:
    """Return tables whose numbers are written as Python writes them, and notes on them.

    A column where every number with a comma has three digits behind it goes by the other columns,
    or by what stands between cells: where that is a semicolon, commas are decimal marks.

    Args:
        tables: Those of one data set, by file.
        names: Of the columns that may hold numbers.
    """
    kinds = {name: _kind(column_of(tables, name)) for name in names}
    sure = [kind for kind in kinds.values() if kind in _KINDS]
    by_cells = {table.delimiter for table in tables.values()} & {";", "\t"}
    usual = max(sure, key=sure.count, default="decimal comma" if by_cells else "thousands")
    chosen = {
        name: usual if kind == _EITHER else kind for name, kind in kinds.items() if kind is not None
    }
    if not chosen:
        return dict(tables), []
    notes = [
        f"column '{name}' is read with a comma as the mark of {_described(kind)}"
        for name, kind in chosen.items()
        if kinds[name] == _EITHER
    ]
    written = {
        file: replace(
            table, rows=[row if row.problem else _written(row, chosen) for row in table.rows]
        )
        for file, table in tables.items()
    }
    return written, notes


def column_of(tables: Mapping[Path, Table], name: str) -> list[Any]:
    """Return what good rows have in a column."""
    rows = (row for table in tables.values() for row in table.rows if not row.problem)
    return [row.values.get(name) for row in rows]


def _described(kind: str) -> str:
    return "decimals: 1,234 is 1.234" if kind == "decimal comma" else "thousands: 1,234 is 1234"


def _kind(values: Sequence[Any]) -> str | None:
    """Return how the numbers of a column are written; ``None`` where Python reads them."""
    given = [value.strip() for value in values if isinstance(value, str) and _is_there(value)]
    if not any("," in value for value in given):
        return None
    fitting = {kind: _count(pattern, given) for kind, pattern in _KINDS.items()}
    best = max(fitting.values())
    if best < MOSTLY * len(given):
        return None
    found = [kind for kind, count in fitting.items() if count == best]
    return found[0] if len(found) == 1 else _EITHER


def _count(pattern: re.Pattern[str], values: Sequence[str]) -> int:
    return sum(pattern.fullmatch(value) is not None for value in values)


def _written(row: TableRow, kinds: Mapping[str, str]) -> TableRow:
    there = {name: kind for name, kind in kinds.items() if name in row.values}
    changed = {name: _plain(row.values[name], kind) for name, kind in there.items()}
    return replace(row, values={**row.values, **changed})


def _plain(value: Any, kind: str) -> Any:
    if not isinstance(value, str) or not _KINDS[kind].fullmatch(value.strip()):
        return value
    if kind == "thousands":
        return value.replace(",", "")
    return value.replace(".", "").replace(",", ".")


def _is_there(value: str) -> bool:
    try:
        return not math.isnan(as_number(value))
    except ValueError:
        return True


@dataclass(frozen=True)
class Form:
    """A sort of table.

    Args:
        roles: Columns that it needs, beside the one to be predicted.
        classes: What it holds where that is a class, or where it has no other.
        numbers: What it holds where that is a number; ``None`` where the roles say all.
        several: What it holds where these are any number of classes.
        outcomes: Usual names of its column, where the user names none.
    """

    roles: tuple[str, ...]
    classes: Kind
    numbers: Kind | None = None
    several: Kind | None = None
    outcomes: tuple[str, ...] = ()


FORMS = (
    Form(("token", "tag"), TAGS),
    Form(("question", "context", "answers"), ANSWERS),
    Form(("premise", "hypothesis"), JUDGED, JUDGED_NUMBERS, TAGGED_PAIRS, JUDGMENTS),
    Form(("text",), TEXTS, TEXT_NUMBERS, TAGGED_TEXTS, NAMES["label"]),
    Form(("source", "target"), PAIRS),
    Form(("user", "item", "rating"), RATINGS),
    Form((), ROWS, ROW_NUMBERS, TAGGED_ROWS, OUTCOMES),
)


def headings() -> Iterator[str]:
    """Yield all that columns are usually called."""
    for names in (*NAMES.values(), JUDGMENTS, OUTCOMES):
        yield from names


def find_form(file: Path, names: Sequence[str], columns: Columns) -> tuple[Form, dict[str, str]]:
    """Return the sort of a table, and the column of each role.

    The column to be predicted has the role ``label`` where it holds a class, ``labels`` where it is
    said to be several, ``target`` where it is said to be a number, and ``outcome`` where nobody
    says it.

    Args:
        file: Of the table, for messages.
        names: Its columns.
        columns: Role to column.

    Raises:
        UsageError: There is no such role or column, or it is not clear what the table holds.
    """
    if not names:
        raise UsageError(f"'{file}' has no columns: it is empty, or its rows are not objects.")
    _check_named(file, names, columns)
    for form in FORMS:
        found = _found(form, names, columns)
        if found is not None:
            return form, found
    raise UsageError(_unclear(file, names))


def are_numbers(values: Sequence[Any]) -> bool:
    """Return whether a column to be predicted holds numbers and not classes, as its values have it.

    Example:
        >>> are_numbers(["1", "2.5"]), are_numbers(["0", "1", "1"]), are_numbers(["a", "b"])
        (True, False, False)
    """
    try:
        numbers = {as_number(value) for value in values if not isinstance(value, bool)}
    except (ValueError, TypeError):
        return False
    numbers = {number for number in numbers if number == number}  # noqa: PLR0124
    if not numbers:
        return False
    if not all(number.is_integer() for number in numbers):
        return True
    least = int(min(numbers))
    are_counted = least in {0, 1} and numbers == set(range(least, least + len(numbers)))
    return len(numbers) > FEW and not are_counted


def with_names(kind: Kind, inputs: Sequence[str], outcome: str) -> Kind:
    """Return the kind of a table whose columns keep their names."""
    return replace(kind, input=tuple(inputs), label=outcome)


def _found(form: Form, names: Sequence[str], columns: Columns) -> dict[str, str] | None:
    known = {role: columns.get(role) or _named(NAMES[role], names) for role in form.roles}
    if form.numbers is not None:
        role = next((role for role in ("label", LABELS, "target") if role in columns), "outcome")
        known[role] = columns.get(role) or _named((*form.outcomes, LABELS), names)
    known |= {role: columns.get(role) or _named(NAMES[role], names) for role in OPTIONAL}
    found = {role: column for role, column in known.items() if column is not None}
    needed = {*form.roles, *columns, *(() if form.numbers is None else (role,))}
    return found if needed <= set(found) else None


def _named(known: Sequence[str], names: Sequence[str]) -> str | None:
    by_name = {name.casefold(): name for name in names}
    return next((by_name[name] for name in known if name in by_name), None)


def _check_named(file: Path, names: Sequence[str], columns: Columns) -> None:
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


def _unclear(file: Path, names: Sequence[str]) -> str:
    one, other = (shlex.quote(name) for name in (*names, *names)[:2])
    numbers = "" if suffix_of(file) in OBJECTS else " In a file without a header they are 1, 2..."
    return (
        f"'{file}' has the columns {', '.join(names)}: say which are text and label, source and "
        f"target, or user, item and rating, such as --column text={one} --column label={other}; or "
        f"of rows of numbers and categories which is the class, --column label={other}, or the "
        f"number to be predicted, --column target={other}.{numbers}"
    )


def left_out(names: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return the columns of a table that tell nothing of a row, and why.

    Args:
        names: Column to its values.

    Example:
        >>> found = left_out({"id": ["1", "2"], "name": ["Ann", "Bo"] * 1, "age": ["30", "31"]})
        >>> found
        {'id': 'numbers the rows', 'name': 'has a value of its own in almost every row'}
    """
    found = {}
    for name, values in names.items():
        why = _why_left_out(name, values)
        if why is not None:
            found[name] = why
    return found


def are_dates(values: Sequence[Any]) -> bool:
    """Return whether most cells of a column are dates, with or without the time of the day.

    Example:
        >>> are_dates(["2024-01-31", "", "31.1.2024 12:30"]), are_dates(["31 Jan 2024", "May"])
        (True, False)
        >>> are_dates(["4207.49"])
        False
    """
    given = [text for value in values if value is not None and (text := str(value).strip())]
    dates = sum(bool(_DATE.fullmatch(text)) and not reads_as_number(text) for text in given)
    return bool(given) and dates >= MOSTLY * len(given)


def reads_as_number(value: Any) -> bool:
    """Return whether a cell is a number, or missing."""
    try:
        as_number(value)
    except (ValueError, TypeError):
        return False
    return True


def _why_left_out(name: str, values: Sequence[Any]) -> str | None:
    if any(isinstance(value, list | dict) for value in values):
        return "holds lists or objects"
    different = len(set(map(str, values)))
    if different == 1 and len(values) > 1:
        return SAME
    try:
        numbers = [as_number(value) for value in values]
    except (ValueError, TypeError):
        if sum(map(reads_as_number, values)) > len(values) / 2:
            return None
        if different <= max(1, len(values) / 2):
            return None
        return DATES if are_dates(values) else "has a value of its own in almost every row"
    words = name.casefold().replace("_", " ").replace(":", " ").split()
    is_id = bool(words) and (words[-1] in {"id", "index"} or name.endswith("Id"))
    is_id |= name.startswith("column ") or "unnamed" in words
    counts = all(number.is_integer() for number in numbers)
    return "numbers the rows" if is_id and counts and different == len(values) else None
