"""Options that several commands have, apart from the commands: what reads one imports no other."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_registry import UsageError

data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Where prepared data sets are; by default where TFDS keeps them.",
)
column = click.option(
    "--column", "columns", multiple=True, metavar="ROLE=NAME", help="Of your own data: text=review."
)
download = click.option("--download", is_flag=True, help="Download the data set if needed.")


def as_columns(columns: tuple[str, ...]) -> dict[str, str] | None:
    """Return the columns that ``--column ROLE=NAME`` names; ``None`` where there are none."""
    for column in columns:
        if "=" not in column:
            raise UsageError(f"--column {column} is not ROLE=NAME, such as text=review.")
    return dict(column.split("=", 1) for column in columns) or None
