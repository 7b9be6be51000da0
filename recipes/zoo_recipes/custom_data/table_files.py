"""Rows of CSV, TSV, Excel, JSON, JSONL and Parquet files, each with the line it stands in."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.content import HALF, LABELS, Columns
from zoo_recipes.custom_data.files import decoded, is_utf8, suffix_of
from zoo_registry import UsageError, ZooError

# Their rows name the columns.
LINES = (".jsonl", ".ndjson", ".json")
OBJECTS = (*LINES, ".parquet")
SHEET = ".xlsx"
SUFFIXES = (".csv", ".tsv", SHEET, *OBJECTS)
# Rows of objects that tell which columns there are; a row that misses one of them is reported.
HEAD = 100
HEAD_CHARACTERS = 1 << 20
# In a table of delimited text: the longest cell is as long as the file.
_LONGEST_CELL = 2**31 - 1

Line = tuple[int, list[str]]
_QUOTED_CELL = re.compile(r'(?:"[^"]*(?:""[^"]*)*"|[^"\t\r\n]*)(?:\t|\r?\n|\r|\Z)')


@dataclass(frozen=True)
class TableRow:
    """One row: its values by column, or what is wrong with it."""

    line: int
    values: Mapping[str, Any]
    problem: str | None = None


@dataclass(frozen=True)
class Table:
    """What is in the file of a table.

    Args:
        names: Of the columns.
        rows: All of them.
        notes: How it was read.
        delimiter: What stands between its cells, where it is delimited text.
    """

    names: Sequence[str]
    rows: Sequence[TableRow]
    notes: Sequence[str] = ()
    delimiter: str = ""


def is_rows(file: Path) -> bool:
    """Return whether a file has the suffix of a table, compressed or not."""
    return suffix_of(file) in SUFFIXES


def read_rows(file: Path, columns: Columns, headings: Iterable[str] = ()) -> Table:
    """Return what is in a table.

    Args:
        file: Its suffix says how it is written.
        columns: Role to column. Where all of them are numbers and the first row is an example, the
            file has no header: columns are ``1``, ``2``...; where it is a header they count its
            columns.
        headings: What columns that play the roles are usually called: a first row that has one of
            them where it is named is a header.

    Raises:
        UsageError: There is no header, or the file cannot be read.
    """
    if suffix_of(file) == ".parquet":
        return _parquet(file)
    if suffix_of(file) == SHEET:
        lines, notes = _sheet(file)
        return _table(file, lines, columns, headings, notes)
    found = decoded(file)
    notes = [found.note] if found.note else []
    if suffix_of(file) in LINES:
        rows = list(_objects(file, found.text))
        head = [row.values for row in rows[:HEAD]]
        return Table(list(dict.fromkeys(name for values in head for name in values)), rows, notes)
    delimiter = _delimiter(file, found.text)
    lines = _lines(file, found.text, delimiter)
    return _table(file, lines, columns, headings, notes, delimiter=delimiter)


def _table(
    file: Path,
    lines: list[Line],
    columns: Columns,
    headings: Iterable[str],
    notes: list[str],
    *,
    delimiter: str = "",
) -> Table:
    """Return the table of lines, of which the first may be a header."""
    if not lines:
        raise UsageError(f"'{file}' is empty: a table needs at least a header.")
    header, lines = _headed(lines, columns, set(headings))
    names = _names(file, header, len(lines[0][1]) if lines else 0)
    if header is not None and header == [str(at) for at in range(1, len(header) + 1)]:
        notes.append(f"the first row of {file.name} was taken for a header")
    return Table(names, [_row(line, fields, names) for line, fields in lines], notes, delimiter)


def column_names(file: Path, columns: Columns) -> list[str]:
    """Return the columns of a table; ``columns`` as for :func:`read_rows`."""
    return list(read_rows(file, columns).names)


def named_columns(columns: Columns) -> Iterator[str]:
    """Yield all columns that are named, also those that are the classes together.

    Example:
        >>> list(named_columns({"text": "1", "labels": "2,3"}))
        ['1', '2', '3']
    """
    for role, column in columns.items():
        yield from column.split(",") if role == LABELS else (column,)


def _row(line: int, fields: list[str], names: Sequence[str]) -> TableRow:
    if len(fields) != len(names):
        return TableRow(line, {}, f"has {len(fields)} columns, not {len(names)}")
    bad = next((field for field in fields if not is_utf8(field)), None)
    if bad is not None:
        return TableRow(line, {}, f"is not UTF-8: {bad.encode('utf-8', 'surrogateescape')!r}")
    return TableRow(line, dict(zip(names, fields, strict=True)))


def _headed(
    lines: list[Line], columns: Columns, headings: set[str]
) -> tuple[list[str] | None, list[Line]]:
    """Return the header, ``None`` where there is none, and the other lines."""
    first = [field.strip() for field in lines[0][1]]
    wanted = list(named_columns(columns))
    numbered = bool(columns) and all(name.isdecimal() for name in wanted)
    if not numbered or set(wanted) <= set(first):
        return first, lines[1:]
    named = [int(name) - 1 for name in wanted]
    is_header = any(first[at].casefold() in headings for at in named if 0 <= at < len(first))
    if is_header:
        return [str(number) for number in range(1, len(first) + 1)], lines[1:]
    return None, lines


def _names(file: Path, header: list[str] | None, count: int) -> list[str]:
    if header is None:
        return [str(number) for number in range(1, count + 1)]
    # What pandas writes as the name of its index is empty.
    names = [name or f"column {at}" for at, name in enumerate(header, 1)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"'{file}' has two columns '{twice}': give each a name of its own.")
    return names


def _lines(file: Path, text: str, delimiter: str) -> list[Line]:
    if suffix_of(file) == ".tsv":
        return _tab_separated(file, text)
    return _parsed(file, text, delimiter, csv.QUOTE_MINIMAL)


def _delimiter(file: Path, text: str) -> str:
    """Return what stands between cells: what parts most rows of the head as it does the first."""
    if suffix_of(file) == ".tsv":
        return "\t"
    head = io.StringIO(text[:HEAD_CHARACTERS], newline="")
    lines = list(islice(head, HEAD))

    def fitting(mark: str) -> tuple[int, int]:
        try:
            with _any_length():
                widths = [len(row) for row in csv.reader(lines, delimiter=mark) if row]
        except csv.Error:
            return 0, 0
        first = widths[0] if widths else 1
        return (widths.count(first) if first > 1 else 0), first

    return max(",;\t|", key=fitting)


def _tab_separated(file: Path, text: str) -> list[Line]:
    """Return the rows of a TSV, in which a quotation mark is a mark like any other.

    But where every cell that has one is in quotation marks itself, with each mark inside twice, as
    pandas and spreadsheets write it, these are taken away.
    """
    plain = _parsed(file, text, "\t", csv.QUOTE_NONE)
    if '"' not in text or not _is_quoted(text):
        return plain
    quoted = _parsed(file, text, "\t", csv.QUOTE_MINIMAL)
    # A cell over several lines, each of which is a row of the table, is none.
    are_rows = len({len(row) for _, row in plain}) == 1
    return plain if are_rows and len(quoted) < len(plain) else quoted


def _is_quoted(text: str) -> bool:
    at = 0
    while at < len(text):
        cell = _QUOTED_CELL.match(text, at)
        if cell is None:
            return False
        at = cell.end()
    return True


@contextmanager
def _any_length() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parsed(file: Path, text: str, delimiter: str, quoting: Any) -> list[Line]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
    )
    found: list[Line] = []
    before = 0
    try:
        with _any_length():
            for fields in reader:
                if fields:
                    found.append((before + 1, fields))
                before = reader.line_num
    except csv.Error as error:
        # A quotation mark that is never closed takes in all that comes after it.
        raise UsageError(
            f"'{file}', line {before + 1}, cannot be read: {error}. Is a quotation mark not closed?"
        ) from error
    return found


def _objects(file: Path, text: str) -> Iterator[TableRow]:
    if suffix_of(file) == ".json" and (whole := _whole(file, text)) is not None:
        yield from (_object(number, values) for number, values in enumerate(whole, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if not is_utf8(line):
            shown = line.encode("utf-8", "surrogateescape")[:40]
            yield TableRow(number, {}, f"is not UTF-8: {shown!r}")
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield TableRow(number, {}, f"is not valid JSON: {error}")
        else:
            yield _object(number, values)


def _whole(file: Path, text: str) -> list[Any] | None:
    """Return the rows of a file that is one JSON value; ``None`` where each line is one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise UsageError(f"'{file}' is not valid JSON: {error}") from error
        return None
    return value if isinstance(value, list) else _records(value)


def _records(value: Any) -> list[Any] | None:
    """Return the rows of an object that holds them as pandas writes it, or below ``data``.

    Example:
        >>> _records({"a": {"0": 1, "1": 2}, "b": {"0": 3, "1": 4}})
        [{'a': 1, 'b': 3}, {'a': 2, 'b': 4}]
        >>> _records({"columns": ["a"], "data": [[1], [2]]})
        [{'a': 1}, {'a': 2}]
        >>> _records({"a": [1, 2], "b": [3, 4]})
        [{'a': 1, 'b': 3}, {'a': 2, 'b': 4}]
    """
    if not isinstance(value, dict) or not value:
        return None
    names, data = value.get("columns"), value.get("data")
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return data
    if isinstance(names, list) and isinstance(data, list):
        return [dict(zip(names, row, strict=True)) if _is_row(row, names) else row for row in data]
    columns = list(value.values())
    if all(isinstance(column, dict) and column.keys() == columns[0].keys() for column in columns):
        return [{name: value[name][key] for name in value} for key in columns[0]]
    if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return [{name: value[name][at] for name in value} for at in range(len(columns[0]))]
    return None


def _is_row(row: Any, names: list[Any]) -> bool:
    return isinstance(row, list) and len(row) == len(names)


def _object(number: int, values: Any) -> TableRow:
    if not isinstance(values, dict):
        return TableRow(number, {}, f"is not an object: {type(values).__name__}")
    # JSON may escape what no text holds.
    if not is_utf8(json.dumps(values, ensure_ascii=False)):
        return TableRow(number, {}, HALF)
    return TableRow(number, values)


def _sheet(file: Path) -> tuple[list[Line], list[str]]:
    """Return the rows of the first sheet of an Excel file, and which one it is of several."""
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError as error:
        raise ZooError(
            f"'{file}' is read by openpyxl, which is not installed: pip install 'kerazoo[excel]'."
        ) from error
    try:
        # What formulas gave when the file was saved.
        book = load_workbook(file, read_only=True, data_only=True)
        first = book.worksheets[0]
        rows = [[_written(value) for value in row] for row in first.iter_rows(values_only=True)]
    except Exception as error:  # openpyxl raises what zip and XML raise
        raise UsageError(
            f"'{file}' is not an Excel file: {type(error).__name__}: {error}"
        ) from error
    lines = [(number, row) for number, row in enumerate(rows, 1) if any(row)]
    # Cells that were formatted once and hold nothing.
    width = max((at for _, row in lines for at, cell in enumerate(row, 1) if cell), default=0)
    lines = [(number, [*row, *[""] * width][:width]) for number, row in lines]
    count = len(book.worksheets)
    note = f"sheet '{first.title}' of {file.name} is read, the first of {count}"
    return lines, [note] if count > 1 else []


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _parquet(file: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file).read()
        rows = [TableRow(at, values) for at, values in enumerate(table.to_pylist(), 1)]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"'{file}' is not a Parquet file: {error}") from error
    return Table(list(table.schema.names), rows)
