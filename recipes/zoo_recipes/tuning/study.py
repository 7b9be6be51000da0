"""A search with Optuna: its trials are runs, and it goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from zoo_recipes.configs import Range
from zoo_recipes.custom_data.choosing import on_custom_data
from zoo_recipes.overrides import with_values
from zoo_recipes.recipe import Recipe, resolve_recipe
from zoo_recipes.trackers.tracking import make_trackers
from zoo_recipes.training.training import check_settings, with_absolute_teacher
from zoo_recipes.tuning.searching import Search, claim
from zoo_recipes.tuning.space import Trial, Tuning, extremes, for_tuning, goal
from zoo_registry import UsageError, ZooError
from zoo_system import fetching
from zoo_system.durable import write_text
from zoo_system.untouched import untouched

BEST = "best.toml"


@fetching.if_download
@untouched()
def tune(
    recipe: str | Path | Recipe,
    *,
    trials: int,
    out: str | Path | None = None,
    space: Mapping[str, Range] | None = None,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    on_trial: Callable[[Trial], None] | None = None,
    energy: str | None = None,
    mlflow: str | None = None,
    trackers: Sequence[str] = (),
    force: bool = False,
) -> Tuning:
    """Search better settings of a recipe; what is interrupted goes on when it is called again.

    Every trial trains with the recipe's seed and is scored by a metric of the validation split; the
    test split plays no part. Settings are drawn by the tree-structured Parzen estimator (Bergstra
    et al. 2011) and a trial that is worse than the median of the others at the same epoch is
    pruned, as Optuna has both. Several processes may work on one search.

    Args:
        recipe: A registered name, a TOML file or a recipe.
        trials: How many there are to be, with those of earlier calls.
        out: The folder; ``tunings/<recipe>`` by default.
        space: What to search, by dotted key, on top of the recipe's ``[tune.space]``.
        data: Custom data in place of the recipe's.
        columns: Of custom data: role to column.
        data_dir: Where prepared datasets are.
        download: Whether a dataset that is not prepared may be downloaded.
        on_trial: Called as each trial ends.
        energy: Measure that of each trial; three letters of the country of whose grid it comes.
        mlflow: Log each trial to MLflow, a run each: the URI of a store, or a folder for one.
        trackers: What else follows each trial, as for :func:`zoo.train`.
        force: Whether a search that is there is deleted, in place of going on with it.

    Returns:
        All trials; the best settings are the recipe ``best.toml`` in the folder.

    Raises:
        UsageError: A recipe that has nothing to search or cannot have what is to be tried, or a
            folder of another search.
        ZooError: Optuna, or what the other options need, is not installed, or no trial came to
            its end.
    """
    if find_spec("optuna") is None:
        raise ZooError("Optuna is not installed: pip install 'kerazoo[tune]'.")
    # In a trial it would count as that trial's failure.
    make_trackers(trackers, energy=energy, mlflow=mlflow)
    if trials < 1:
        raise UsageError(f"trials={trials}: a search needs 1 trial or more.")
    before = with_absolute_teacher(on_custom_data(resolve_recipe(recipe), data, columns=columns))
    searched = for_tuning(before, space or {})
    goal(searched)
    folder = Path(out) if out is not None else Path("tunings") / before.name
    # A mistake in a name or a value is found here, not by every trial.
    for tried in extremes(searched):
        check_settings(tried, folder)
    claim(folder, searched, force=force)
    options = {
        "data_dir": data_dir,
        "download": download,
        "verbose": False,
        "energy": energy,
        "mlflow": mlflow,
        "trackers": trackers,
    }
    search = Search(searched, folder, options, on_trial)
    search.go_on(trials)
    found = search.found()
    running = sum(trial.state == "running" for trial in found.trials)
    if running and not found.ranked:
        raise ZooError(
            f"No trial of '{folder}' has come to its end yet: other processes work on {running}. "
            "Wait for them, or ask for more trials (--trials)."
        )
    if not found.ranked:
        errors = (
            f" Trial {trial.number}: {trial.error}\nOnce that is fixed, --force searches anew."
            for trial in found.trials
            if trial.state == "failed"
        )
        raise ZooError(f"No trial of '{folder}' came to its end.{next(errors, '')}")
    best = with_values(before, found.ranked[0].values)
    # What the recipe promised is not promised of other settings.
    text = replace(best, name=f"{before.name}-tuned", expected=None, tune=None).to_toml()
    write_text(folder / BEST, text)
    return found
