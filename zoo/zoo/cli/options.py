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


class OfRecipe(click.Command):
    """A command on a recipe: an option that it does not have may be a key of the recipe."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words, and say what to give in place of a key that is none."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from zoo_recipes.overrides import dotted_keys

            found = dotted_keys(error.option_name.lstrip("-").replace("-", "_"))
            if not found:
                raise
            keys = " or ".join(f"--set {key}=VALUE" for key in found)
            message = f"There is no option {error.option_name}. Did you mean {keys}?"
            raise click.UsageError(message, ctx) from error


def as_columns(columns: tuple[str, ...]) -> dict[str, str] | None:
    """Return the columns that ``--column ROLE=NAME`` names; ``None`` where there are none."""
    for column in columns:
        if "=" not in column:
            raise UsageError(f"--column {column} is not ROLE=NAME, such as text=review.")
    return dict(column.split("=", 1) for column in columns) or None
