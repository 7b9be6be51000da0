"""Rows of CSV, TSV, JSONL and Parquet files, each with the line it stands in."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_recipes.own_data.content import Columns
from zoo_registry import UsageError

# Their rows name the columns.
OBJECTS = (".jsonl", ".ndjson", ".parquet")
SUFFIXES = (".csv", ".tsv", *OBJECTS)
_QUOTED_CELL = re.compile(r'(?:"[^"]*(?:""[^"]*)*"|[^"\t\r\n]*)(?:\t|\r?\n|\r|\Z)')


@dataclass(frozen=True)
class Row:
    """One row: its values by column, or what is wrong with it."""

    line: int
    values: Mapping[str, Any]
    problem: str | None = None


def column_names(file: Path, columns: Columns) -> list[str]:
    """Return the columns of a table.

    Args:
        file: Its suffix says how it is written.
        columns: Where all of them are numbers, the file has no header: columns are ``1``, ``2``...

    Raises:
        UsageError: There is no header, or none that can be read.
    """
    if file.suffix.lower() == ".parquet":
        return list(_parquet(file).schema_arrow.names)
    if file.suffix.lower() in {".jsonl", ".ndjson"}:
        # The first rows tell; a row that misses one of them is reported.
        rows = (row.values for row, _ in zip(_json_rows(file), range(100), strict=False))
        return list(dict.fromkeys(name for values in rows for name in values))
    header = next(_split_lines(file), (0, []))[1]
    return _header(file, header, columns)


def rows_of(file: Path, columns: Columns) -> Iterator[Row]:
    """Yield all rows of a table; ``columns`` as for :func:`column_names`."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        table = _parquet(file).read()
        yield from (Row(at, values) for at, values in enumerate(table.to_pylist(), 1))
    elif suffix in {".jsonl", ".ndjson"}:
        yield from _json_rows(file)
    else:
        yield from _delimited_rows(file, columns)


def _delimited_rows(file: Path, columns: Columns) -> Iterator[Row]:
    lines = _split_lines(file)
    if not _without_header(columns):
        next(lines, None)
    names = column_names(file, columns)
    for line, fields in lines:
        if len(fields) != len(names):
            yield Row(line, {}, f"has {len(fields)} columns, not {len(names)}")
        elif bad := next((field for field in fields if not _is_utf8(field)), None):
            yield Row(line, {}, f"is not UTF-8: {bad.encode('utf-8', 'surrogateescape')!r}")
        else:
            yield Row(line, dict(zip(names, fields, strict=True)))


def _split_lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    # What is not UTF-8 is carried along, to be reported with its row.
    text = _bytes(file).decode("utf-8", "surrogateescape")
    if file.suffix.lower() == ".tsv":
        return _tab_separated(file, text)
    top = text.partition("\n")[0]
    return _parsed(file, text, max(",;\t", key=top.count), csv.QUOTE_MINIMAL)


def _tab_separated(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Return the rows of a TSV, in which a quotation mark is a mark like any other.

    But where every cell that has one is in quotation marks itself, with each mark inside twice, as
    pandas and spreadsheets write it, these are taken away.
    """
    if '"' not in text or not _is_quoted(text):
        return _parsed(file, text, "\t", csv.QUOTE_NONE)
    plain = list(_parsed(file, text, "\t", csv.QUOTE_NONE))
    quoted = list(_parsed(file, text, "\t", csv.QUOTE_MINIMAL))
    # A cell over several lines, each of which is a row of the table, is none.
    are_rows = len({len(row) for _, row in plain}) == 1
    return iter(plain if are_rows and len(quoted) < len(plain) else quoted)


def _is_quoted(text: str) -> bool:
    at = 0
    while at < len(text):
        cell = _QUOTED_CELL.match(text, at)
        if cell is None:
            return False
        at = cell.end()
    return True


def _parsed(file: Path, text: str, delimiter: str, quoting: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the line that each begins with."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True
    )
    before = 0
    while (fields := _next_row(file, reader, before, len(text))) is not None:
        if fields:
            yield before + 1, fields
        before = reader.line_num


def _next_row(file: Path, reader: Any, before: int, longest: int) -> list[str] | None:
    # The limit of a cell is one for the whole process, and 131,072 characters.
    limit = csv.field_size_limit(longest + 1)
    try:
        return next(reader, None)
    except csv.Error as error:
        # A quotation mark that is never closed takes in all that comes after it.
        raise UsageError(
            f"'{file}', line {before + 1}, cannot be read: {error}. Is a quotation mark not closed?"
        ) from error
    finally:
        csv.field_size_limit(limit)


def _bytes(file: Path) -> bytes:
    """Return what is in a file, without the mark of UTF-8."""
    data = file.read_bytes()
    # Without a mark of its own, UTF-16 has a NUL beside each Latin letter; UTF-8 has none at all.
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or data[:99].count(0) > len(data[:99]) / 3:
        raise UsageError(f"'{file}' looks like UTF-16: save it as UTF-8.")
    return data.removeprefix(b"\xef\xbb\xbf")


def _header(file: Path, header: list[str], columns: Columns) -> list[str]:
    if not header:
        raise UsageError(f"'{file}' is empty: a table needs at least a header.")
    if _without_header(columns):
        return [str(number) for number in range(1, len(header) + 1)]
    names = [name.strip() for name in header]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"'{file}' has two columns '{twice}': give each a name of its own.")
    return names


def _without_header(columns: Columns) -> bool:
    return bool(columns) and all(name.isdecimal() for name in columns.values())


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json_rows(file: Path) -> Iterator[Row]:
    for number, line in enumerate(_bytes(file).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield Row(number, {}, f"is not UTF-8: {error}")
        except ValueError as error:
            yield Row(number, {}, f"is no JSON: {error}")
        else:
            is_object = isinstance(values, dict)
            problem = None if is_object else f"is no object: {type(values).__name__}"
            yield Row(number, values if is_object else {}, problem)


def _parquet(file: Path) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"'{file}' is no Parquet file: {error}") from error
