"""A search in its folder: made, locked, its trials claimed, trained and recorded."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from zoo_recipes.overrides import with_values
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import INFO, LOCK, Run, StoppedError, held, load_run, locked, read_run
from zoo_recipes.training.training import resume, train
from zoo_recipes.tuning.space import TRIALS, Trial, Tuning, goal, kept_value, own_values, suggest
from zoo_registry import UsageError, ZooError, did_you_mean
from zoo_runtime.run_info import RECIPE
from zoo_system.durable import write_text

_STUDY = "study.db"
# Trials that end before any is pruned, to know what is usual.
_BEFORE_PRUNING = 5
# And before importances are estimated: fewer are no basis.
_BEFORE_IMPORTANCES = 8
_CONTINUES, _ERROR = "continues", "error"


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
                "that one, choose another folder (--out), or replace it (--force, "
                "force=True)."
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
            pass  # no other process is training it
    shutil.rmtree(folder)


class Search:
    """A study of Optuna whose trials are runs.

    Args:
        recipe: With its space and a validation split.
        folder: Of the search.
        options: Of each training.
        on_trial: Called as each trial ends.
    """

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
            storage=f"sqlite:///{(folder / _STUDY).resolve()}",
            study_name=recipe.name,
            direction=f"{self.direction}imize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(_BEFORE_PRUNING, n_warmup_steps=1),
        )
        done = len(self.study.trials)
        # Else a search that goes on would draw again what it has drawn.
        self.study.sampler = optuna.samplers.TPESampler(seed=recipe.seed + done)

    def go_on(self, trials: int) -> None:
        """Train until there are so many trials, those of other processes among them."""
        import keras
        import tensorflow as tf

        # Each trial is traced anew, as its model is another.
        tf.get_logger().addFilter(lambda record: "retracing" not in record.getMessage())

        with asking(self.folder):
            self._line_up()
        while (frozen := self._next(trials)) is not None:
            keras.utils.clear_session()
            if self.on_trial is not None:
                self.on_trial(self._trial(frozen))

    def found(self) -> Tuning:
        """Return what there is."""
        trials = tuple(self._trial(frozen) for frozen in self._standing())
        importances = self._importances()
        return Tuning(self.folder, self.metric, self.direction, self.space, trials, importances)

    def _line_up(self) -> None:
        """Put the recipe's own settings first in line, and what was broken off once more."""
        from optuna.trial import TrialState

        own = own_values(self.recipe)
        if not self.study.trials and own is not None:
            self.study.enqueue_trial(own, user_attrs={"own": True})
        for frozen in self._broken_off():
            if frozen.state == TrialState.RUNNING:
                self.study.tell(frozen.number, state=TrialState.FAIL)
            # Of one that was killed before it drew anything Optuna knows only what it had to try.
            values = {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}
            attributes = {**frozen.user_attrs, _CONTINUES: frozen.number}
            self.study.enqueue_trial(values, user_attrs=attributes)

    def _broken_off(self) -> list[Any]:
        left = {
            frozen.number
            for frozen in self._standing()
            if _is_unfinished(frozen) and is_abandoned(self._run_folder(frozen.number))
        }
        # Read anew: another process may have ended one just before it let go of it.
        return [
            frozen
            for frozen in self._standing()
            if frozen.number in left and _is_unfinished(frozen)
        ]

    def _next(self, trials: int) -> Any:
        """Take the next trial and return what became of it, or ``None`` if so many have begun."""
        import optuna
        from optuna.trial import TrialState

        with ExitStack() as work:
            # Before it is held, another process would take it for abandoned.
            with asking(self.folder):
                if len(self._taken()) >= trials:
                    return None
                trial = self.study.ask()
                work.enter_context(trial_held(self._run_folder(trial.number)))
            try:
                value = self._value(trial)
            except optuna.TrialPruned:
                return self.study.tell(trial, state=TrialState.PRUNED)
            except BaseException as error:
                failed = self.study.tell(trial, state=TrialState.FAIL)
                if isinstance(error, ZooError):
                    return failed
                raise
            return self.study.tell(trial, value)

    def _value(self, trial: Any) -> float:
        import optuna

        try:
            run = self._trained(trial)
            value = kept_value(run.recipe, run.history, self.metric)
            if math.isnan(value):
                raise ZooError(f"{self.metric} is not a number.")
        except StoppedError as error:
            raise optuna.TrialPruned from error
        except Exception as error:
            trial.set_user_attr(_ERROR, f"{type(error).__name__}: {error}")
            raise
        return value

    def _trained(self, trial: Any) -> Run:
        def watch(epoch: int, logs: Mapping[str, float]) -> None:
            trial.report(self._watched(logs), epoch)
            if trial.should_prune():
                raise StoppedError

        values = {key: suggest(trial, key, known) for key, known in self.space.items()}
        folder = self._run_folder(trial.number)
        before = trial.user_attrs.get(_CONTINUES)
        # What was killed may not have come to a run.
        if before is None or not (self._run_folder(before) / INFO).exists():
            tried = with_values(self.recipe, values)
            return train(tried, out=folder, on_epoch=watch, **self.options)
        shutil.move(self._run_folder(before), folder)
        if read_run(folder).status != "complete":
            return resume(folder, on_epoch=watch, **self.options)
        run = load_run(folder)  # `zoo train --resume` has completed it
        for epoch, value in enumerate(self._watched(run.history)):
            trial.report(value, epoch)
        return run

    def _watched(self, logs: Mapping[str, Any]) -> Any:
        if self.metric not in logs:
            hint = did_you_mean(self.metric, logs) or f" There are: {', '.join(logs)}."
            raise UsageError(
                f'tune.metric = "{self.metric}": the training has no such metric.{hint}'
            )
        return logs[self.metric]

    def _standing(self) -> list[Any]:
        """Return the trials that have begun and that no other one goes on with."""
        trials = self.study.trials
        gone_on = {frozen.user_attrs.get(_CONTINUES) for frozen in trials}
        begun = [frozen for frozen in trials if frozen.state.name != "WAITING"]
        return [frozen for frozen in begun if frozen.number not in gone_on]

    def _taken(self) -> list[Any]:
        return [
            frozen
            for frozen in self._standing()
            if frozen.state.is_finished() or not is_abandoned(self._run_folder(frozen.number))
        ]

    def _ended(self) -> list[Any]:
        return [frozen for frozen in self._standing() if frozen.state.is_finished()]

    def _trial(self, frozen: Any) -> Trial:
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


def _is_unfinished(frozen: Any) -> bool:
    # What failed has given its reason; Ctrl-C has none.
    is_cut = frozen.state.name == "FAIL" and _ERROR not in frozen.user_attrs
    return is_cut or frozen.state.name == "RUNNING"
