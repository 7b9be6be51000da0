"""Rows as text, in a terminal of any width: no cell is cut and no column is left out.

What fits stands in columns, and the last column is wrapped. Where that leaves too little for it,
it stands under its row, and before it each fact that has no room beside the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

GAP, INDENT = "  ", "    "
# The last column is not made narrower than this: its words would stand one under another.
NARROWEST = 32


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    right: Sequence[str] = (),
) -> Iterator[tuple[str, bool]]:
    """Return the lines of a table, each with whether it stands out: the header, a name over facts.

    Args:
        columns: The header. The first column names the row, the last one is wrapped.
        rows: One string a column.
        width: Of the terminal, in characters; ``None`` for a pipe, where a row is a line.
        right: The columns that are aligned to the right, such as counts.

    Example:
        >>> rows = [("lenet", "61,706", "image", "Two convolutions and three dense layers.")]
        >>> columns = ("NAME", "PARAMETERS", "TASKS", "SUMMARY")
        >>> for line, _ in table(columns, rows, width=36, right=("PARAMETERS",)):
        ...     print(line)
        NAME   PARAMETERS  TASKS
            SUMMARY
        lenet      61,706  image
            Two convolutions and three dense
            layers.
        >>> for line, _ in table(columns, rows, width=20):
        ...     print(line)
        NAME   PARAMETERS
            SUMMARY
        lenet  61,706
            TASKS image
            Two convolutions
            and three dense
            layers.
    """
    widths = [max(map(cells, column)) for column in zip(columns, *rows, strict=True)]
    to_right = [column in right for column in columns]
    taken = sum(widths[:-1]) + len(GAP) * (len(columns) - 1)
    if width is None or width - taken >= min(widths[-1], NARROWEST):
        for number, row in enumerate((columns, *rows)):
            room = None if width is None else width - taken
            yield from ((line, not number) for line in _wrapping(row, widths, to_right, room))
        return
    beside, named = _fitting(widths[:-1], width), widths[-1] < NARROWEST
    for number, row in enumerate((columns, *rows)):
        yield _line(row[:beside], widths, to_right), True
        # What is short would not be understood without its name; a text is, under the header.
        ends = len(row) if named else len(row) - 1
        facts = zip(columns[beside:ends], row[beside:ends], strict=True)
        under = [f"{column} {text}" for column, text in facts if text] if number else []
        for line in [*_packed(under, width), *wrapped("".join(row[ends:]), width - len(INDENT))]:
            yield INDENT + line, not number


def fields(values: Mapping[str, str], *, width: int | None) -> Iterator[tuple[str, str]]:
    """Return lines of names and values; a name is apart from its value since it stands out.

    Example:
        >>> list(fields({"task": "image", "license": "MIT"}, width=80))
        [('task   ', '  image'), ('license', '  MIT')]
    """
    longest = max(map(cells, values), default=0)
    room = None if width is None else max(width - longest - len(GAP), NARROWEST)
    for name, value in values.items():
        lines = [part for line in value.split("\n") for part in wrapped(line, room) or [""]]
        for number, line in enumerate(lines):
            yield _padded("" if number else name, longest), GAP + line


def wrapped(text: str, width: int | None) -> list[str]:
    """Return a text in lines between its words; a word that is longer than a line goes on below.

    Example:
        >>> wrapped("a model of 文字", 8)
        ['a model', 'of 文字']
    """
    if width is None or cells(text) <= width:
        return [text] if text else []
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cells(joined) <= width:
            line = joined
            continue
        *full, last = _chopped(word, width)
        lines += [line, *full] if line else full
        line = last
    return [*lines, line]


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes: a Chinese character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _wrapping(
    row: Sequence[str], widths: Sequence[int], to_right: Sequence[bool], room: int | None
) -> Iterator[str]:
    """Return the lines of a row whose last column is wrapped in the room that is left."""
    *before, last = row
    lines = wrapped(last, room) or [""]
    for number, line in enumerate(lines):
        yield _line([*([""] * len(before) if number else before), line], widths, to_right)


def _line(row: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    return GAP.join(map(_padded, row, widths, to_right)).rstrip()


def _fitting(widths: Sequence[int], width: int) -> int:
    """Return how many columns fit beside each other; the first one always stands."""
    taken = 0
    for number, size in enumerate(widths):
        taken += size + (len(GAP) if number else 0)
        if number and taken > width:
            return number
    return len(widths)


def _packed(facts: Sequence[str], width: int) -> Iterator[str]:
    """Return facts side by side, in as many lines as they need under a name."""
    line, room = "", width - len(INDENT)
    for fact in facts:
        joined = f"{line}{GAP}{fact}" if line else fact
        if line and cells(joined) > room:
            yield from wrapped(line, room)
            joined = fact
        line = joined
    yield from wrapped(line, room)


def _padded(text: str, width: int, to_right: bool = False) -> str:
    space = " " * (width - cells(text))
    return space + text if to_right else text + space


def _chopped(word: str, width: int) -> list[str]:
    lines = [""]
    for character in word:
        if lines[-1] and cells(lines[-1] + character) > width:
            lines.append("")
        lines[-1] += character
    return lines
