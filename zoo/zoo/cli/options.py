"""Options that several commands have, apart from the commands: what reads one imports no other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def path_of(word: str) -> Path | None:
    """Return the path that a word names, if there is something; a text of any length names none."""
    # Unlike a Path, it takes words that are longer than the name of any file.
    return Path(word) if os.path.exists(word) else None  # noqa: PTH110


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


class ImageSize(click.ParamType[tuple[int, ...]]):
    """Height and width in pixels: ``224`` for both, or ``224x320``.

    Args:
        channels: Whether there may be a third number, as in ``96x128x3``.
    """

    name = "pixels"

    def __init__(self, *, channels: bool = False) -> None:
        self._pattern = r"([1-9]\d{0,4})(?:x([1-9]\d{0,4})" + (
            "(?:x([13]))?)?" if channels else "())?"
        )
        self._such_as = "96x128x3" if channels else "224x320"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Return height, width and perhaps channels that a word means."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(self._pattern, value)
        if found is None:
            example = f"224 or {self._such_as}"
            self.fail(f"'{value}' is not a size of images, such as {example}.", param, ctx)
        sides = int(found[1]), int(found[2] or found[1])
        return (*sides, int(found[3])) if found[3] else sides


SIDES = ImageSize()
image_size = click.option(
    "--image-size",
    type=ImageSize(channels=True),
    metavar="HEIGHT[xWIDTH[xCHANNELS]]",
    help="What images are resized to, such as 96 or 96x128x3 [the recipe's].",
)
sequence_length = click.option(
    "--sequence-length",
    type=click.IntRange(min=1),
    metavar="TOKENS",
    help="Tokens of a text; longer ones are cut [the recipe's].",
)


def names_of(*kinds: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes a word in a shell with names of some kinds.

    Args:
        kinds: Such as ``model``, ``recipe``, ``task``, ``run`` or ``bundle``.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        # Of several with commas, the last one is being written.
        before, comma, last = incomplete.rpartition(",")
        found = [name for kind in kinds for name in _names(kind) if name.startswith(last)]
        return [f"{before}{comma}{name}" for name in found]

    return complete


def _names(kind: str) -> list[str]:
    import zoo_registry
    from zoo_registry.meanings import tasks_of
    from zoo_system.folders import INFO, MANIFEST

    if kind in {"run", "bundle"}:
        file = INFO if kind == "run" else MANIFEST
        found = [*Path().glob(f"*/{file}"), *Path().glob(f"{kind}s/*/{file}")]
        return sorted(str(path.parent) for path in found)
    if kind == "task":
        return sorted(tasks_of(zoo_registry.models))
    (registry,) = (each for each in zoo_registry.REGISTRIES if each.kind == kind)
    names = registry.names()
    if kind != "format":
        return names
    rows = {name: getattr(registry.peek(name), "schemes", ()) for name in names}
    return [*names, *(f"{name}:{row.name}" for name, schemes in rows.items() for row in schemes)]


def as_columns(columns: tuple[str, ...]) -> dict[str, str] | None:
    """Return the columns that ``--column ROLE=NAME`` names; ``None`` where there are none."""
    for column in columns:
        if "=" not in column:
            raise UsageError(f"--column {column} is not ROLE=NAME, such as text=review.")
    return dict(column.split("=", 1) for column in columns) or None
