"""Cross-validation on own data: a run for each fold, and what they come to together."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo_recipes.configs import BadRecords
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.overrides import with_values
from zoo_recipes.own_data.choosing import at_hand, on_own_data
from zoo_recipes.own_data.files import is_path
from zoo_recipes.own_data.splitting import fold_splits
from zoo_recipes.recipe import Recipe, as_recipe, resolve_recipe
from zoo_recipes.run import INFO, Run, check_free, read_run, write_json
from zoo_recipes.training.training import resume, train
from zoo_registry import UsageError
from zoo_runtime.run_info import RECIPE, resuming
from zoo_system import fetching

FOLDS = "folds.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class CrossValidation:
    """Trainings of one recipe, of which each was tested on another part of the data.

    Attributes:
        path: The folder.
        runs: One a fold.
    """

    path: Path
    runs: Sequence[Run]

    @property
    def metrics(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation over the folds (of a sample: n - 1) of each test metric."""
        names = [name for name in self.runs[0].metrics if all(name in r.metrics for r in self.runs)]
        rows = {name: [run.metrics[name] for run in self.runs] for name in names}
        return {name: (statistics.fmean(row), statistics.stdev(row)) for name, row in rows.items()}


@fetching.if_download
def cross_validate(
    recipe: str | Path | Recipe,
    *,
    folds: int = 5,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    on_bad_record: BadRecords | None = None,
    out: str | Path | None = None,
    force: bool = False,
    data_dir: str | Path | None = None,
    download: bool = False,
    **options: Any,
) -> CrossValidation:
    """Train a recipe once for each fold of own data, tested on that fold.

    Folds have every class alike, as in scikit-learn's StratifiedKFold. Copies are in one fold, and
    so are all rows of a group (``columns={"group": "patient"}``), as in StratifiedGroupKFold.

    Args:
        recipe: A registered name, a TOML file or a recipe.
        folds: How many, 2 or more.
        data: Own data without splits, a file or a folder; those of the recipe by default.
        columns: Of these: role to column.
        on_bad_record: ``error``, or ``report`` to leave bad records out.
        out: Folder of the runs ``fold1``, ``fold2``...; ``runs/<recipe>-folds`` by default.
        force: Whether what is there is replaced.
        data_dir: As for :func:`train`.
        download: As for :func:`train`.
        options: As :func:`train` takes them.

    Raises:
        UsageError: No own data, or too few of them, or as for :func:`train`.
        ZooError: As for :func:`train`.
    """
    recipe = on_own_data(resolve_recipe(recipe), data, columns=columns, on_bad_record=on_bad_record)
    if not is_path(recipe.dataset.name):
        raise UsageError(
            f"Folds are parts of own data, and dataset '{recipe.dataset.name}' is none: name your "
            "file or folder with --data (data=)."
        )
    if folds < 2:
        raise UsageError(f"folds={folds}: a cross-validation needs 2 or more.")
    recipe = replace(recipe, dataset=replace(recipe.dataset, folds=folds))
    folder = Path(out) if out is not None else Path("runs") / f"{recipe.name}-folds"
    _check_free(folder, folds, force=force)
    found = list(_of_folds(recipe, data_dir=data_dir, download=download))
    (folder / FOLDS).unlink(missing_ok=True)
    reading: dict[str, Any] = {"data_dir": data_dir, "download": download}
    try:
        for number, part in enumerate(found, 1):
            train(part, out=folder / _name(number), force=force, **reading, **options)
    finally:
        # Where the first one was refused, nothing is left of all of them.
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return _summed_up(folder, folds)


@fetching.if_download
def go_on(
    folder: str | Path,
    *,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    **options: Any,
) -> CrossValidation:
    """Go on with a cross-validation that was interrupted: runs that are complete stay.

    Args:
        folder: Of it.
        data: Where the own data are, if they were moved.
        data_dir: As for :func:`train`.
        download: As for :func:`train`.
        options: As :func:`train` takes them.

    Raises:
        UsageError: It is complete, or as for :func:`train`.
        ZooError: As for :func:`resume`.
    """
    folder = Path(folder)
    if (folder / FOLDS).is_file():
        raise UsageError(f"The cross-validation in '{folder}' is complete.")
    first = as_recipe(folder / _name(1) / RECIPE, _name(1))
    recipe = at_hand(replace(first, name=first.name.removesuffix(f"-{_name(1)}")), data)
    reading: dict[str, Any] = {"data_dir": data_dir, "download": download}
    parts = list(_of_folds(recipe, **reading))
    for number, part in enumerate(parts, 1):
        run = folder / _name(number)
        if not run.is_dir():
            train(part, out=run, **reading, **options)
        elif read_run(run).status != "complete":
            resume(run, data=data, **reading, **options)
    return _summed_up(folder, len(parts))


def is_cross_validation(folder: Path) -> bool:
    """Return whether a folder is one of a cross-validation, complete or not."""
    return not (folder / INFO).is_file() and (folder / _name(1) / RECIPE).is_file()


def _name(fold: int) -> str:
    return f"fold{fold}"


def _check_free(folder: Path, folds: int, *, force: bool) -> None:
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    if (there or folder.is_file()) and not force:
        raise UsageError(f"'{folder}' already exists: choose another --out, or use --force.")
    known = {FOLDS, *map(_name, range(1, folds + 1))}
    other = next((path for path in there if path.name not in known), None)
    if other is not None:
        raise UsageError(f"'{other}' is none of {folds} folds: choose another --out.")
    for fold in range(1, folds + 1):
        check_free(folder / _name(fold), force=force)


def _of_folds(recipe: Recipe, **reading: Any) -> Iterator[Recipe]:
    """Yield the recipe of each fold; the data are prepared once for all."""
    dataset = recipe.dataset
    builder = open_dataset(dataset.name, **dataset.reading, **reading)
    count = int(dataset.folds or 0)
    for fold in range(1, count + 1):
        splits = fold_splits(fold, count, builder.info.splits)
        if dataset.validation is None:
            splits["train"] += splits.pop("validation")
        named = {f"dataset.{part}": "+".join(names) for part, names in splits.items()}
        yield with_values(recipe, {"name": f"{recipe.name}-{_name(fold)}", **named})


def _summed_up(folder: Path, folds: int) -> CrossValidation:
    runs = [read_run(folder / _name(fold)) for fold in range(1, folds + 1)]
    unfinished = next((run for run in runs if run.status != "complete"), None)
    if unfinished is not None:
        raise UsageError(f"Run '{unfinished.path}' is not complete: {resuming(folder)} goes on.")
    found = CrossValidation(folder, runs)
    metrics = {name: {"mean": mean, "sd": sd} for name, (mean, sd) in found.metrics.items()}
    info = {
        "format_version": FORMAT_VERSION,
        "folds": [run.path.name for run in runs],
        "metrics": metrics,
        "metrics_of_folds": [run.metrics for run in runs],
    }
    write_json(folder / FOLDS, info)
    return found
