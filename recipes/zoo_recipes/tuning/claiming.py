"""The folder of a search: made, kept from another search, deleted on request."""

from __future__ import annotations

import shutil
from pathlib import Path

from zoo_recipes.recipe import Recipe
from zoo_recipes.run import RECIPE, held, write
from zoo_recipes.tuning.result import TRIALS
from zoo_registry import UsageError, ZooError


def claim(folder: Path, recipe: Recipe, *, force: bool) -> None:
    """Make the folder of a search, or let a search go on in its own.

    Args:
        folder: Where it is to be.
        recipe: What is searched.
        force: Whether a search that is there is deleted.

    Raises:
        UsageError: The folder holds another search, something else, or a trial that another
            process is training.
        ZooError: It cannot be written.
    """
    path, text = folder / RECIPE, recipe.to_toml()
    is_search = path.is_file() and (folder / TRIALS).is_dir()
    if is_search and not force:
        if path.read_text(encoding="utf-8") != text:
            raise UsageError(
                f"'{folder}' holds the search of another recipe or space ('{path}'): go on with "
                "that one, choose another --out, or use --force."
            )
        return
    if not is_search and (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
        raise UsageError(f"'{folder}' already exists and holds no search: choose another --out.")
    try:
        if is_search:
            _delete(folder)
        (folder / TRIALS).mkdir(parents=True)
    except OSError as error:
        raise ZooError(f"'{folder}' cannot be written: {error}") from error
    write(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _delete(folder: Path) -> None:
    for trial in (folder / TRIALS).iterdir():
        with held(trial):
            pass  # nobody is training it
    shutil.rmtree(folder)
