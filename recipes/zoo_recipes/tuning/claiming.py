"""The folder of a search: made, kept from others, deleted on request; who works on its trials."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo_recipes.recipe import Recipe
from zoo_recipes.run import LOCK, held, locked
from zoo_recipes.tuning.result import TRIALS
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import RECIPE
from zoo_system.durable import write_text


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
    write_text(path, text)


@contextmanager
def asking(folder: Path) -> Iterator[None]:
    """Wait until no other process takes a trial of a search, or looks for abandoned ones."""
    with locked(folder / LOCK, timeout=-1):
        yield


@contextmanager
def trial_held(run: Path) -> Iterator[None]:
    """Keep a trial from other processes, also before its run has a folder.

    Args:
        run: Where that folder is to be.

    Raises:
        UsageError: Another process works on it, or trains its run.
    """
    with locked(
        run.with_suffix(LOCK), f"'{run}' is being trained by another process: wait for it."
    ):
        if run.is_dir():
            with held(run):
                pass  # `zoo train --resume` holds the run alone
        yield


def is_abandoned(run: Path) -> bool:
    """Return whether no process works on a trial.

    Args:
        run: Of the trial.
    """
    try:
        with trial_held(run):
            return True
    except UsageError:
        return False


def _delete(folder: Path) -> None:
    for run in {path.with_suffix("") for path in (folder / TRIALS).iterdir()}:
        with trial_held(run):
            pass  # nobody is training it
    shutil.rmtree(folder)
