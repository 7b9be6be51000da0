"""Tables, JSON and the line that says what to do next."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

# A pipe has no width of its own: wide enough that no cell is cut.
PIPE_WIDTH = 200


def console(*, stderr: bool = False) -> Console:
    """Return a console for standard output, or for standard error."""
    stream = sys.stderr if stderr else sys.stdout
    # Without markup: shapes and labels have square brackets of their own.
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        width=None if stream.isatty() else PIPE_WIDTH,
    )


def print_json(value: Any) -> None:
    """Print plain data as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print rows under a header.

    Args:
        columns: The header; the last column takes the width that is left.
        rows: One string a column.
        right: The columns that are aligned to the right, such as numbers.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column != columns[-1],
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    console().print(table)


def print_fields(fields: Mapping[str, str]) -> None:
    """Print names and values in two columns; empty values are left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value:
            table.add_row(name, value)
    console().print(table)


def next_step(text: str) -> None:
    """Print what to do next, after an empty line."""
    click.echo(f"\nNext: {click.style(text, bold=True)}")


def size(num_bytes: int) -> str:
    """Return a number of bytes as people read it.

    Example:
        >>> size(1_234_567)
        '1.23 MB'
    """
    if num_bytes < 1_000_000:
        return f"{num_bytes / 1000:.1f} kB"
    return f"{num_bytes / 1_000_000:.2f} MB"
