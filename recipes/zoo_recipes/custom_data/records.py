"""Which record of a person's files an example is, and which value of a table belongs to it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from zoo_recipes.custom_data.columns import with_plain_numbers
from zoo_recipes.custom_data.content import LABELS, Content
from zoo_recipes.custom_data.files import files_of, location
from zoo_recipes.custom_data.table_files import TableRow, column_names, is_rows, read_rows
from zoo_recipes.custom_data.tables import is_table
from zoo_registry import UsageError, did_you_mean

RECORDS = "records.json"


def in_order(content: Content) -> list[str]:
    """Return the locations of all records, good and bad, in the order of the files."""
    if content.records is not None:
        return list(content.records)
    known = {example.location for example in content.examples}
    known |= {problem.location for problem in content.problems}
    return sorted(known, key=_rank)


def _rank(where: str) -> tuple[list[str], int]:
    file, number = _parted(where)
    return file.split("/"), number


def _parted(where: str) -> tuple[str, int]:
    """Return the file of a location, with the array of an ``.npz``, and the number of the record.

    Example:
        >>> _parted("a/b.csv:17"), _parted("own.npz:x_test[3]"), _parted("dark/03.png")
        (('a/b.csv', 17), ('own.npz:x_test', 3), ('dark/03.png', 0))
    """
    found = re.fullmatch(r"(.*?)(?::(\d+)|\[(\d+)\])", where, re.DOTALL)
    return (found[1], int(found[2] or found[3])) if found else (where, 0)


def save_records(folder: Path, content: Content, file: str) -> None:
    """Write the locations of all records, and which are good, beside the prepared data.

    Args:
        folder: Of these.
        content: What was read.
        file: Name of data that are one file, which may be called otherwise tomorrow.
    """
    good = {example.location for example in content.examples}
    found = [(where.removeprefix(file), where in good) for where in in_order(content)]
    (folder / RECORDS).write_text(json.dumps(found), encoding="utf-8")


@dataclass(frozen=True)
class Records:
    """The records that the examples of a split are.

    Args:
        path: The data, a file or a folder.
        columns: Role to column, as they were read.
        folder: Of the prepared data.
        locations: Of the examples, in the order in which they were read.
    """

    path: Path
    columns: Mapping[str, str]
    folder: Path
    locations: Sequence[str]

    def own_column(self, column: str) -> list[Any] | None:
        """Return the values that a column of the data's own tables has for each example.

        Returns:
            ``None`` where no table lies among the data.

        Raises:
            UsageError: The tables have no such column.
        """
        files = [file for file in files_of(self.path) if is_rows(file)]
        names = {file: column_names(file, self.columns) for file in files}
        having = [file for file in files if column in names[file]]
        if not files:
            return None
        if (len(having) < len(files) and is_table(self.path)) or not having:
            lacking = next(file for file in files if file not in having)
            raise UsageError(
                f"'{lacking}' has no column '{column}' (--slice {column})."
                f"{did_you_mean(column, names[lacking])} It has: {', '.join(names[lacking])}."
            )
        if is_table(self.path) or all(
            self._is_line_of_any(having, where) for where in self.locations
        ):
            return self._by_line(having, column)
        return self.column(having[0], column)

    def column(self, file: Path, column: str) -> list[Any]:
        """Return the value that belongs to each example, of a table.

        That is the example's own row where the table is one of the data's own files; else the row
        that names the example's file; else the row of the same number, where the table has one
        for each record.

        Args:
            file: The table.
            column: Of it.

        Raises:
            UsageError: No such file or column, or rows of which it is not known whose they are.
        """
        same = next((f for f in files_of(self.path) if f.resolve() == file.resolve()), None)
        if same is not None and all(self._is_line_of(same, where) for where in self.locations):
            table(file, column, self.columns)
            return self._by_line([same], column)
        rows = table(file, column)
        found = self._by_name(file, [row.values for row in rows if not row.problem], column)
        if found is None and same is not None:
            other = next(where for where in self.locations if not self._is_line_of(same, where))
            raise UsageError(
                f"'{file}' holds other examples of the data than those that are measured, such as "
                f"'{other}'."
            )
        return found or values_in(file, self.in_order(rows, f"{file}:{column}"), column)

    def _is_line_of(self, file: Path, where: str) -> bool:
        return _parted(where)[0] == location(file, self.path)

    def _is_line_of_any(self, files: Sequence[Path], where: str) -> bool:
        return any(self._is_line_of(file, where) for file in files)

    def _by_line(self, files: Sequence[Path], column: str) -> list[Any]:
        tables = {file: read_rows(file, self.columns) for file in files}
        # A comma in the cell of several classes is none in a number.
        numbers = {column} - {self.columns.get(LABELS)}
        found = {
            location(file, self.path, row.line): row.values.get(column)
            for file, table in with_plain_numbers(tables, numbers)[0].items()
            for row in table.rows
        }
        return [found[where] for where in self.locations]

    def _by_name(
        self, file: Path, rows: Sequence[Mapping[str, Any]], column: str
    ) -> list[Any] | None:
        """Return the values of the rows that name the files of the examples, if any do."""
        best: tuple[int, list[str], dict[str, Any]] | None = None
        forms = list(_names(self.locations))
        for key in (name for name in (rows[0] if rows else ()) if name != column):
            cells = [str(row.get(key)).replace("\\", "/") for row in rows]
            for called, names in forms:
                values = {
                    called(cell): row.get(column) for cell, row in zip(cells, rows, strict=True)
                }
                hits = sum(name in values for name in names)
                if len(values) == len(rows) and hits > (best[0] if best else len(names) / 2):
                    best = hits, names, values
        if best is None:
            return None
        _, names, values = best
        lost = next((at for at, name in enumerate(names) if name not in values), None)
        if lost is not None:
            raise UsageError(
                f"'{file}' has no row for '{self.locations[lost]}': it needs one for each example."
            )
        return [values[name] for name in names]

    def in_order(self, values: Sequence[Any], what: str) -> list[Any]:
        """Return the value that belongs to each example, of one for each record.

        Args:
            values: One for each record of all the data, good and bad or the good ones alone; or of
                the files that the split is, likewise. In the order of the files.
            what: Where they come from, for messages.

        Raises:
            UsageError: Another number of them.
        """
        counts: dict[int, str] = {}
        for records, meant in self._orders():
            if len(records) == len(values):
                found = dict(zip(records, values, strict=True))
                return [found[where] for where in self.locations]
            counts.setdefault(len(records), meant)
        wanted = " or ".join(f"{count:,} ({meant})" for count, meant in counts.items())
        raise UsageError(
            f"'{what}' has {len(values):,} values for {len(self.locations):,} examples of "
            f"'{self.path}', and which belongs to which is not known: it needs one for each record "
            f"in the order of the files, {wanted}; a table may name "
            "the file of each example in another column instead."
        )

    def _orders(self) -> Iterator[tuple[list[str], str]]:
        """Yield records in the order of the files, and what they are of: all, and of the split."""
        file = self.path.name if self.path.is_file() else ""
        found = json.loads((self.folder / RECORDS).read_text(encoding="utf-8"))
        records = [file + where for where, _ in found]
        good = {file + where for where, is_good in found if is_good}
        yield records, "all of the data"
        yield [where for where in records if where in good], "all that are good"
        of_split = {_parted(where)[0] for where in self.locations}
        inside = [where for where in records if _parted(where)[0] in of_split]
        taken = [where for where in inside if where in good]
        if set(taken) == set(self.locations):
            yield inside, "those of the split"
            yield taken, "the good ones of the split"


def _names(locations: Sequence[str]) -> Iterator[tuple[Callable[[str], str], list[str]]]:
    """Yield what a table may call the files of examples: with folders, without, without a suffix.

    With each is what makes the same of a cell, which may hold a path on another machine, or the
    name of another file, such as that of the boxes of an image.

    Example:
        >>> [names[0] for _, names in _names(["dark/03.png", "light/04.png"])]
        ['dark/03.png', '03.png', '03', '03']
        >>> [called("/home/ann/03.txt") for called, _ in _names(["dark/03.png", "light/04.png"])]
        ['/home/ann/03.txt', '03.txt', '03.txt', '03']
    """
    paths = [PurePosixPath(where) for where in locations]
    stems = [path.stem for path in paths]
    for called, names in (
        (str, list(locations)),
        (_name, [path.name for path in paths]),
        (_name, stems),
        (_stem, stems),
    ):
        if max(Counter(names).values(), default=0) == 1:
            yield called, names


def _name(cell: str) -> str:
    return cell.rpartition("/")[2]


def _stem(cell: str) -> str:
    name = _name(cell)
    return name.rpartition(".")[0] or name


def table(file: Path, column: str, columns: Mapping[str, str] | None = None) -> list[TableRow]:
    """Return the rows of a table that has a column.

    Args:
        file: The table.
        column: Of it; a number where it has no header.
        columns: As it was read as data, which says whether it has a header.

    Raises:
        UsageError: No such file or column.
    """
    if not file.is_file():
        raise UsageError(f"There is no file '{file}' (--slice {file}:{column}).")
    columns = columns or {}
    names = column_names(file, columns)
    if column not in names and column.isdecimal():
        columns = {"group": column}
        names = column_names(file, columns)
    if column not in names:
        raise UsageError(
            f"'{file}' has no column '{column}'.{did_you_mean(column, names)} It has: "
            f"{', '.join(names)}."
        )
    plain, _ = with_plain_numbers({file: read_rows(file, columns)}, [column])
    return list(plain[file].rows)


def values_in(file: Path, rows: Sequence[TableRow], column: str) -> list[Any]:
    """Return what rows have in a column.

    Raises:
        UsageError: One of them cannot be read.
    """
    bad = next((row for row in rows if row.problem), None)
    if bad is not None:
        raise UsageError(f"'{file}', line {bad.line}, {bad.problem}.")
    return [row.values.get(column) for row in rows]
