"""Numbers as users and spreadsheets write them: 1.234,5 and 1,234.5."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.table_files import Table, TableRow
from zoo_runtime.preprocess.tables import as_number

# Fraction of the cells of a column that must be numbers for the others to be mistakes.
MOSTLY = 0.8
_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?")
_THOUSANDS = re.compile(r"[+-]?(\d{1,3}|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?|[+-]?\d+(\.\d+)?")
# What 1,234 is where all numbers of a column are such.
_EITHER = "either"
_KINDS = {"decimal comma": _COMMA, "thousands": _THOUSANDS}


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
