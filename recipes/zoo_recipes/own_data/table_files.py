"""Rows of CSV, TSV, JSON, JSONL and Parquet files, each with the line it stands in."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo_export.preprocess.tables import as_number
from zoo_recipes.own_data.content import LABELS, Columns
from zoo_recipes.own_data.encodings import decoded, suffix_of
from zoo_registry import UsageError

# Their rows name the columns.
LINES = (".jsonl", ".ndjson", ".json")
OBJECTS = (*LINES, ".parquet")
SUFFIXES = (".csv", ".tsv", *OBJECTS)
# Rows of objects that tell which columns there are; a row that misses one of them is reported.
HEAD = 100
# In a table of delimited text: the longest cell is as long as the file.
_LONGEST_CELL = 2**31 - 1

Line = tuple[int, list[str]]
# 1.234,5 as it is written where the comma is the decimal mark, and 1,234.5 where it is not.
_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?|[+-]?\d+(\.\d+)?")
_QUOTED_CELL = re.compile(r'(?:"[^"]*(?:""[^"]*)*"|[^"\t\r\n]*)(?:\t|\r?\n|\r|\Z)')


@dataclass(frozen=True)
class Row:
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
        remarks: What is worth knowing of how it was read.
    """

    names: Sequence[str]
    rows: Sequence[Row]
    remarks: Sequence[str] = ()


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
        table = _parquet(file)
        rows = [Row(at, values) for at, values in enumerate(table.read().to_pylist(), 1)]
        return Table(list(table.schema_arrow.names), rows)
    found = decoded(file)
    remarks = [found.remark] if found.remark else []
    if suffix_of(file) in LINES:
        rows = list(_objects(file, found.text))
        head = [row.values for row in rows[:HEAD]]
        return Table(list(dict.fromkeys(name for values in head for name in values)), rows, remarks)
    lines = _lines(file, found.text)
    if not lines:
        raise UsageError(f"'{file}' is empty: a table needs at least a header.")
    header, lines = _headed(lines, columns, set(headings))
    names = _names(file, header, len(lines[0][1]) if lines else 0)
    if header is not None and header == [str(at) for at in range(1, len(header) + 1)]:
        remarks.append(f"the first row of {file.name} was taken for a header")
    return Table(names, [_row(line, fields, names) for line, fields in lines], remarks)


def column_names(file: Path, columns: Columns) -> list[str]:
    """Return the columns of a table; ``columns`` as for :func:`read_rows`."""
    return list(read_rows(file, columns).names)


def rows_of(file: Path, columns: Columns) -> Sequence[Row]:
    """Return all rows of a table; ``columns`` as for :func:`read_rows`."""
    return read_rows(file, columns).rows


def named_columns(columns: Columns) -> Iterator[str]:
    """Yield all columns that are named, also those that are the classes together.

    Example:
        >>> list(named_columns({"text": "1", "labels": "2,3"}))
        ['1', '2', '3']
    """
    for role, column in columns.items():
        yield from column.split(",") if role == LABELS else (column,)


def _row(line: int, fields: list[str], names: Sequence[str]) -> Row:
    if len(fields) != len(names):
        return Row(line, {}, f"has {len(fields)} columns, not {len(names)}")
    bad = next((field for field in fields if not _is_utf8(field)), None)
    if bad is not None:
        return Row(line, {}, f"is not UTF-8: {bad.encode('utf-8', 'surrogateescape')!r}")
    return Row(line, dict(zip(names, fields, strict=True)))


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


def _lines(file: Path, text: str) -> list[Line]:
    if suffix_of(file) != ".tsv":
        top = text.partition("\n")[0]
        return _parsed(file, text, max(",;\t|", key=top.count), csv.QUOTE_MINIMAL)
    return _tab_separated(file, text)


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


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _objects(file: Path, text: str) -> Iterator[Row]:
    if suffix_of(file) == ".json" and text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"'{file}' is no JSON: {error}") from error
        yield from (_object(number, values) for number, values in enumerate(rows, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if not _is_utf8(line):
            shown = line.encode("utf-8", "surrogateescape")[:40]
            yield Row(number, {}, f"is not UTF-8: {shown!r}")
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(number, {}, f"is no JSON: {error}")
        else:
            yield _object(number, values)


def _object(number: int, values: Any) -> Row:
    is_object = isinstance(values, dict)
    problem = None if is_object else f"is no object: {type(values).__name__}"
    return Row(number, values if is_object else {}, problem)


def _parquet(file: Path) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"'{file}' is no Parquet file: {error}") from error


def with_plain_numbers(table: Table, but: str = "") -> Table:
    """Return a table whose numbers are written as Python writes them, ``but`` for one column."""
    changed = {}
    for name in (name for name in table.names if name != but):
        values = [row.values.get(name) for row in table.rows if not row.problem]
        written = _written_plain(values)
        if written is not None:
            changed[name] = written
    if not changed:
        return table
    rows = [
        row
        if row.problem
        else replace(
            row, values={**row.values, **{n: w(row.values[n]) for n, w in changed.items()}}
        )
        for row in table.rows
    ]
    return replace(table, rows=rows)


def _written_plain(values: Sequence[Any]) -> Any:
    """Return what writes the numbers of a column as Python does; ``None`` where they are."""
    given = [value.strip() for value in values if isinstance(value, str) and _is_there(value)]
    if not any("," in value for value in given):
        return None
    commas = all(_COMMA.fullmatch(value) for value in given)
    thousands = all(_THOUSANDS.fullmatch(value) for value in given)
    if thousands and (not commas or any("." in value for value in given)):
        return lambda value: value.replace(",", "") if isinstance(value, str) else value
    if commas and not thousands:
        return _with_point
    return None


def _with_point(value: Any) -> Any:
    return value.replace(".", "").replace(",", ".") if isinstance(value, str) else value


def _is_there(value: str) -> bool:
    try:
        return not math.isnan(as_number(value))
    except ValueError:
        return True
