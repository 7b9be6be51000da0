"""A search with Optuna: its trials are runs, and it goes on where it was interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo_recipes.configs import Range
from zoo_recipes.overrides import with_values
from zoo_recipes.own_data.choosing import on_own_data
from zoo_recipes.recipe import Recipe, resolve_recipe
from zoo_recipes.run import INFO, StoppedError, held, read_run, write
from zoo_recipes.training.distilling import with_absolute_teacher
from zoo_recipes.training.energy import check_country
from zoo_recipes.training.mlflow_log import check_mlflow
from zoo_recipes.training.training import check_settings, resume, train
from zoo_recipes.tuning.claiming import claim
from zoo_recipes.tuning.result import TRIALS, Trial, Tuning
from zoo_recipes.tuning.space import extremes, for_tuning, goal, kept_value, own_values, suggest
from zoo_registry import UsageError, ZooError, did_you_mean

STUDY, BEST = "study.db", "best.toml"
# Trials that end before any is pruned, to know what is usual.
_BEFORE_PRUNING = 5
# And before it is told what matters: fewer say nothing.
_BEFORE_IMPORTANCES = 8
_CONTINUES, _ERROR = "continues", "error"


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
    force: bool = False,
) -> Tuning:
    """Search better settings of a recipe; what is interrupted goes on when it is called again.

    Every trial trains with the recipe's seed and is judged by a metric of the validation split; the
    test split plays no part. Settings are drawn by the tree-structured Parzen estimator (Bergstra
    et al. 2011) and a trial that is worse than the median of the others at the same epoch is
    pruned, as Optuna has both. Several processes may work on one search.

    Args:
        recipe: A registered name, a TOML file or a recipe.
        trials: How many there are to be, with those of earlier calls.
        out: The folder; ``tunings/<recipe>`` by default.
        space: What to search, by dotted key, on top of the recipe's ``[tune.space]``.
        data: Own data in place of the recipe's.
        columns: Of own data: role to column.
        data_dir: Where prepared datasets are.
        download: Whether a dataset that is not prepared may be downloaded.
        on_trial: Called as each trial ends.
        energy: Measure that of each trial; three letters of the country of whose grid it comes.
        mlflow: Log each trial to MLflow, a run each: the URI of a store, or a folder for one.
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
    if energy is not None:
        check_country(energy)
    if mlflow is not None:
        check_mlflow()
    if trials < 1:
        raise UsageError(f"trials={trials}: a search needs 1 trial or more.")
    before = with_absolute_teacher(on_own_data(resolve_recipe(recipe), data, columns=columns))
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
    }
    search = _Search(searched, folder, options, on_trial)
    search.go_on(trials)
    found = search.found()
    if not found.ranked:
        errors = (
            f" Trial {trial.number}: {trial.error}\nOnce that is mended, --force searches anew."
            for trial in found.trials
            if trial.state == "failed"
        )
        raise ZooError(f"No trial of '{folder}' came to its end.{next(errors, '')}")
    best = with_values(before, found.ranked[0].values)
    # What the recipe promised is not promised of other settings.
    text = replace(best, name=f"{before.name}-tuned", expected=None, tune=None).to_toml()
    write(folder / BEST, lambda path: path.write_text(text, encoding="utf-8"))
    return found


class _Search:
    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        options: Mapping[str, Any],
        on_trial: Callable[[Trial], None] | None,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.recipe, self.folder, self.options, self.on_trial = recipe, folder, options, on_trial
        self.metric, self.direction = goal(recipe)
        self.space = recipe.tune.space if recipe.tune else {}
        self.study = optuna.create_study(
            # SQLite takes a relative path for another place.
            storage=f"sqlite:///{(folder / STUDY).resolve()}",
            study_name=recipe.name,
            direction=f"{self.direction}imize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(_BEFORE_PRUNING, n_warmup_steps=1),
        )
        done = len(self.study.trials)
        # Else a search that goes on would draw again what it has drawn.
        self.study.sampler = optuna.samplers.TPESampler(seed=recipe.seed + done)
        own = own_values(recipe)
        if not done and own is not None:
            self.study.enqueue_trial(own, user_attrs={"own": True})

    def go_on(self, trials: int) -> None:
        """Train until there are so many trials."""
        import keras
        import tensorflow as tf

        # Each trial is traced anew, as its model is another.
        tf.get_logger().addFilter(lambda record: "retracing" not in record.getMessage())

        def note(study: Any, frozen: Any) -> None:
            keras.utils.clear_session()
            if self.on_trial is not None:
                self.on_trial(self._told(frozen))
            if len(self._ended()) >= trials:
                study.stop()

        self._revive()
        if len(self._ended()) < trials:
            self.study.optimize(self._train, callbacks=[note], catch=(ZooError,))

    def found(self) -> Tuning:
        """Return what there is."""
        told = tuple(self._told(frozen) for frozen in self._standing())
        importances = self._importances()
        return Tuning(self.folder, self.metric, self.direction, self.space, told, importances)

    def _train(self, trial: Any) -> float:
        import optuna

        def watch(epoch: int, logs: Mapping[str, float]) -> None:
            if self.metric not in logs:
                raise UsageError(unknown_metric(self.metric, logs))
            trial.report(float(logs[self.metric]), epoch)
            if trial.should_prune():
                raise StoppedError

        values = {key: suggest(trial, key, known) for key, known in self.space.items()}
        folder = self._run_folder(trial.number)
        before = trial.user_attrs.get(_CONTINUES)
        try:
            if before is None:
                tried = with_values(self.recipe, values)
                run = train(tried, out=folder, on_epoch=watch, **self.options)
            else:
                shutil.move(self._run_folder(before), folder)
                run = resume(folder, on_epoch=watch, **self.options)
        except StoppedError as error:
            raise optuna.TrialPruned from error
        except Exception as error:
            trial.set_user_attr(_ERROR, f"{type(error).__name__}: {error}")
            raise
        return kept_value(run.recipe, run.history, self.metric)

    def _revive(self) -> None:
        """Put what was interrupted in line again; what another process is training stays."""
        from optuna.trial import TrialState

        for frozen in self._standing():
            unfinished = frozen.state in {TrialState.RUNNING, TrialState.FAIL}
            if not unfinished or not _is_broken_off(self._run_folder(frozen.number)):
                continue
            if frozen.state == TrialState.RUNNING:
                self.study.tell(frozen.number, state=TrialState.FAIL)
            attributes = {**frozen.user_attrs, _CONTINUES: frozen.number}
            self.study.enqueue_trial(frozen.params, user_attrs=attributes)

    def _standing(self) -> list[Any]:
        """Return the trials that have begun and that no other one goes on with."""
        trials = self.study.trials
        gone_on = {frozen.user_attrs.get(_CONTINUES) for frozen in trials}
        begun = [frozen for frozen in trials if frozen.state.name != "WAITING"]
        return [frozen for frozen in begun if frozen.number not in gone_on]

    def _ended(self) -> list[Any]:
        return [frozen for frozen in self._standing() if frozen.state.is_finished()]

    def _told(self, frozen: Any) -> Trial:
        state = {"FAIL": "failed"}.get(frozen.state.name, frozen.state.name.lower())
        reported = frozen.intermediate_values
        return Trial(
            number=frozen.number,
            state=state,
            values=frozen.params,
            value=frozen.value,
            epochs=max(reported, default=-1) + 1,
            seconds=frozen.duration.total_seconds() if frozen.duration else None,
            own=frozen.user_attrs.get("own", False),
            error=frozen.user_attrs.get(_ERROR, "interrupted") if state == "failed" else "",
        )

    def _run_folder(self, number: int) -> Path:
        return self.folder / TRIALS / f"{number:04d}"

    def _importances(self) -> dict[str, float]:
        import optuna

        done = [frozen for frozen in self._ended() if frozen.state.name == "COMPLETE"]
        if len(done) < _BEFORE_IMPORTANCES or len({frozen.value for frozen in done}) == 1:
            return {}
        return dict(optuna.importance.get_param_importances(self.study))


def _is_broken_off(folder: Path) -> bool:
    if not (folder / INFO).exists() or read_run(folder).status not in {"running", "interrupted"}:
        return False
    try:
        with held(folder):
            return True
    except UsageError:
        return False


def unknown_metric(metric: str, logs: Mapping[str, float]) -> str:
    """Return what is wrong with a metric that a training does not have."""
    hint = did_you_mean(metric, logs) or f" There are: {', '.join(logs)}."
    return f'tune.metric = "{metric}": the training has no such metric.{hint}'
