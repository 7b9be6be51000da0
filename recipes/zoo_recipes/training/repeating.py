"""Trainings made of trainings: cross-validation, a run trained further, a run reproduced."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.configs import BadRecords
from zoo_recipes.custom_data.choosing import at_hand, on_custom_data
from zoo_recipes.custom_data.files import is_path
from zoo_recipes.custom_data.splitting import fold_splits
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.overrides import with_overrides, with_values
from zoo_recipes.recipe import Recipe, as_recipe, resolve_recipe
from zoo_recipes.reporting.comparing import differences
from zoo_recipes.run import INFO, Run, check_free, load_run, read_run, write_json
from zoo_recipes.training.training import resume, train
from zoo_registry import UsageError
from zoo_runtime.run_info import RECIPE, resuming
from zoo_system import fetching
from zoo_system.errors import taken

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
    """Train a recipe once for each fold of custom data, tested on that fold.

    Folds have every class alike, as in scikit-learn's StratifiedKFold. Copies are in one fold, and
    so are all rows of a group (``columns={"group": "patient"}``), as in StratifiedGroupKFold.

    Args:
        recipe: A registered name, a TOML file or a recipe.
        folds: How many, 2 or more.
        data: Custom data without splits, a file or a folder; those of the recipe by default.
        columns: Of these: role to column.
        on_bad_record: ``error``, or ``report`` to leave bad records out.
        out: Folder of the runs ``fold1``, ``fold2``...; ``runs/<recipe>-folds`` by default.
        force: Whether what is there is replaced.
        data_dir: As for :func:`train`.
        download: As for :func:`train`.
        options: As :func:`train` takes them.

    Raises:
        UsageError: No custom data, or too few of them, or as for :func:`train`.
        ZooError: As for :func:`train`.
    """
    recipe = on_custom_data(
        resolve_recipe(recipe), data, columns=columns, on_bad_record=on_bad_record
    )
    if not is_path(recipe.dataset.name):
        raise UsageError(
            f"Folds are parts of your own data, and dataset '{recipe.dataset.name}' is none: name "
            "your file or folder with --data (data=)."
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
        data: Where the custom data are, if they were moved.
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
        raise taken(folder)
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


def train_further(
    run: str | Path | Run,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    **options: Any,
) -> Run:
    """Train a run's recipe once more, beginning with the weights of the run.

    The optimizer and its schedule begin anew, and the run stays as it is.

    Args:
        run: A complete run, or its folder.
        overrides: Of its recipe, as :func:`zoo_recipes.overrides.with_overrides` takes them, such
            as ``["fit.epochs=5"]``.
        out: The new run's folder; that of the run with ``-further`` behind it by default.
        data: Where the run's custom data are, if they were moved.
        options: As :func:`zoo_recipes.training.training.train` takes them.

    Raises:
        UsageError: A run that is not complete, or as ``train``.
    """
    before = run if isinstance(run, Run) else read_run(run)
    if before.status != "complete":
        raise UsageError(
            f"Run '{before.path}' is not complete, and goes on as it began: "
            f"`{resuming(before.path)}` without --set. Then it can be trained further."
        )
    values = {"model.weights": str(before.path.resolve()), "expected": None}
    recipe = with_values(at_hand(before.recipe, data), values)
    recipe = with_overrides(recipe, overrides)
    folder = out or before.path.with_name(f"{before.path.name}-further")
    return train(replace(recipe, name=f"{recipe.name}-further"), out=folder, **options)


@dataclass(frozen=True)
class Reproduction:
    """What came of training a run again.

    Args:
        path: The run.
        equal: Whether all weights are the same, bit for bit.
        largest: Largest difference of a weight; ``None`` where they have other shapes.
        metrics: Of the run, on the test split.
        again: The same of the new training.
        changed: Versions, data and teacher that are not those of the run: before and now.
    """

    path: Path
    equal: bool
    largest: float | None
    metrics: Mapping[str, float]
    again: Mapping[str, float]
    changed: Mapping[str, list[str]]


@fetching.if_download
def reproduce(
    run: str | Path | Run,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    verbose: bool = True,
    data: str | Path | None = None,
) -> Reproduction:
    """Train a run's recipe again with its seed and compare the weights.

    Args:
        run: The run, or its folder.
        out: Folder of the new run; without it, the new run is deleted.
        data_dir: Where prepared datasets are; ``~/tensorflow_datasets`` by default.
        download: Whether a dataset that is not prepared may be downloaded.
        verbose: Whether progress is shown.
        data: Where the run's custom data are, if they were moved.

    Raises:
        UsageError: No complete run, ``out`` is taken, or custom data are no longer where they were.
        ZooError: As :func:`zoo_recipes.training.training.train`.
    """
    run = run if isinstance(run, Run) else load_run(run)
    if out is not None and Path(out).resolve() == run.path.resolve():
        raise UsageError(f"'{out}' is the run itself: choose another --out.")
    with tempfile.TemporaryDirectory() as folder:
        again = train(
            at_hand(run.recipe, data),
            out=out if out is not None else Path(folder) / run.path.name,
            seed=run.info.seed,
            data_dir=data_dir,
            download=download,
            verbose=verbose,
            workers=run.info.workers,
        )
        largest = _largest_difference(run, again)
        return Reproduction(
            path=run.path,
            equal=largest == 0,
            largest=largest,
            metrics=run.metrics,
            again=again.metrics,
            changed=differences([run, again]),
        )


def _largest_difference(run: Run, again: Run) -> float | None:
    old, new = (each.model().get_weights() for each in (run, again))
    if [array.shape for array in old] != [array.shape for array in new]:
        return None
    pairs = zip(old, new, strict=True)
    return float(max(np.abs(a.astype(np.float64) - b).max() for a, b in pairs if a.size))
