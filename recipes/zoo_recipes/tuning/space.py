"""The space of a search, and what it has found: its trials, the best of them, their plot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.compiling.keras_names import is_cost
from zoo_recipes.configs import Range, TuneConfig
from zoo_recipes.overrides import read_value, value_at, with_values
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import Run, load_run
from zoo_registry import UsageError

HELD_OUT = 20
_MORE = re.compile(r"acc|auc|precision|recall|f1|fbeta|iou|r2|exact_match|bleu|similarity")
TRIALS = "trials"
_MAX_SETTINGS = 5


def parse_ranges(words: Sequence[str]) -> dict[str, Range]:
    """Return the ranges that the command line names.

    Args:
        words: ``KEY=LOW..HIGH``, with ``:log`` behind it where wanted, or ``KEY=A,B,C``.

    Raises:
        UsageError: Something else.

    Example:
        >>> parse_ranges(["fit.batch_size=32,64", "model.num_layers=1..4"])["model.num_layers"]
        Range(low=1, high=4, log=False, choices=())
    """
    return dict(map(_parse, words))


def _parse(word: str) -> tuple[str, Range]:
    key, equals, text = (part.strip() for part in word.partition("="))
    span, _, log = text.partition(":")
    low, dots, high = span.partition("..")
    if equals and dots and log in {"", "log"}:
        ends = read_value(low), read_value(high)
        if all(isinstance(end, int | float) for end in ends):
            return key, Range(low=ends[0], high=ends[1], log=bool(log))
    elif equals and "," in text:
        return key, Range(choices=tuple(read_value(part.strip()) for part in text.split(",")))
    raise UsageError(
        f"--search {word} is not KEY=LOW..HIGH, such as compile.optimizer.learning_rate="
        "1e-4..1e-2:log, or KEY=A,B,C."
    )


def for_tuning(recipe: Recipe, ranges: Mapping[str, Range]) -> Recipe:
    """Return the recipe that is searched: its space, and a validation split to search with.

    Args:
        recipe: What to start from.
        ranges: By dotted key; they come on top of those of the recipe.

    Raises:
        UsageError: There is nothing to search, or no validation split and none that can be taken
            from the training split.
    """
    known = recipe.tune or TuneConfig()
    recipe = replace(recipe, tune=replace(known, space={**known.space, **ranges}), expected=None)
    space = recipe.tune.space if recipe.tune else {}
    if not space:
        raise UsageError(
            f"Recipe '{recipe.name}' has no [tune.space]: say what to search, such as "
            "--search compile.optimizer.learning_rate=1e-4..1e-2:log (space=)."
        )
    return _with_validation(recipe)


def extremes(recipe: Recipe) -> Iterator[Recipe]:
    """Yield recipes that have every choice and both ends of every range once.

    Raises:
        UsageError: A setting that the recipe cannot have.
    """
    space = recipe.tune.space if recipe.tune else {}
    tried = {key: known.choices or (known.low, known.high) for key, known in space.items()}
    first = {key: values[0] for key, values in tried.items()}
    yield with_values(recipe, first)
    for key, values in tried.items():
        for value in values[1:]:
            yield with_values(recipe, {**first, key: value})


def _with_validation(recipe: Recipe) -> Recipe:
    train = recipe.dataset.train
    if recipe.dataset.validation is not None:
        return recipe
    if not re.fullmatch(r"[\w.-]+", train):
        raise UsageError(
            f"Recipe '{recipe.name}' has no validation split to search with, and train "
            f'"{train}" is a slice already: set dataset.validation.'
        )
    kept = f"{100 - HELD_OUT}%"
    data = replace(recipe.dataset, train=f"{train}[:{kept}]", validation=f"{train}[{kept}:]")
    return replace(recipe, dataset=data)


def goal(recipe: Recipe) -> tuple[str, str]:
    """Return the metric that is searched for, and whether the ``max`` or the ``min`` of it.

    Raises:
        UsageError: It is not known whether more of it is better.
    """
    config = recipe.tune or TuneConfig()
    first = recipe.compile.metrics[0].name if recipe.compile.metrics else "loss"
    metric = config.metric or f"val_{first}"
    if config.direction:
        return metric, config.direction
    if is_cost(metric):
        return metric, "min"
    if _MORE.search(metric):
        return metric, "max"
    raise UsageError(f'tune.metric = "{metric}": set tune.direction to "max" or "min".')


def own_values(recipe: Recipe) -> dict[str, Any] | None:
    """Return the recipe's own settings where the search may try them, for its first trial."""
    space = recipe.tune.space if recipe.tune else {}
    values = {key: value_at(recipe, key) for key in space}
    return values if all(_holds(space[key], value) for key, value in values.items()) else None


def _holds(values: Range, value: Any) -> bool:
    if values.choices:
        return value in values.choices
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and values.low <= value <= values.high


def suggest(trial: Any, key: str, values: Range) -> Any:
    """Return the value that an Optuna trial tries."""
    if values.choices:
        return trial.suggest_categorical(key, list(values.choices))
    whole = isinstance(values.low, int) and isinstance(values.high, int)
    draw = trial.suggest_int if whole else trial.suggest_float
    return draw(key, values.low, values.high, log=values.log)


def kept_value(recipe: Recipe, history: Mapping[str, Sequence[float]], metric: str) -> float:
    """Return a metric of the epoch whose weights the run keeps: the best, or the last.

    Example:
        >>> data = {"model": {"name": "mlp"}, "dataset": {"name": "digits"}}
        >>> from zoo_recipes.recipe import as_recipe
        >>> kept_value(as_recipe(data, "mine"), {"val_loss": [2.0, 1.0, 1.5]}, "val_loss")
        1.5
    """
    watched = (
        recipe.fit.early_stopping.monitor if recipe.fit.early_stopping else recipe.fit.keep_best
    )
    if watched is None:
        return history[metric][-1]
    find = np.argmin if is_cost(watched) else np.argmax
    return history[metric][int(find(history[watched]))]


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Args:
        number: From 0; the first one has the recipe's own settings where the search may try them.
        state: ``complete``, ``pruned``, ``failed`` or ``running``.
        values: Setting by dotted key.
        value: Of the metric, for the weights that are kept; of a pruned trial, when it was.
        epochs: How many were trained.
        seconds: Time that it took.
        own: Whether it is the recipe's own settings.
        error: Why it failed.
    """

    number: int
    state: str
    values: Mapping[str, Any]
    value: float | None = None
    epochs: int = 0
    seconds: float | None = None
    own: bool = False
    error: str = ""


@dataclass(frozen=True)
class Tuning:
    """What a search has found so far.

    Args:
        path: Its folder; trial 3 is the run ``trials/0003`` in it.
        metric: What it goes for, on the validation split.
        direction: ``max`` or ``min``.
        space: What was searched.
        trials: All of them.
        importances: Fraction of each setting in how much the metric varies; empty before there are
            enough trials.
    """

    path: Path
    metric: str
    direction: str
    space: Mapping[str, Range]
    trials: tuple[Trial, ...]
    importances: Mapping[str, float] = field(default_factory=dict)

    @property
    def ranked(self) -> list[Trial]:
        """Complete trials, best first."""
        done = [trial for trial in self.trials if trial.state == "complete"]
        return sorted(done, key=lambda t: t.value or 0.0, reverse=self.direction == "max")

    def run(self, trial: Trial) -> Run:
        """Return the run of a complete trial."""
        return load_run(self.path / TRIALS / f"{trial.number:04d}")


def draw_trials(tuning: Tuning, path: Path) -> None:
    """Draw the metric by trial with the best so far, and by each of the settings.

    Args:
        tuning: The search; the settings that matter most come first, at most five.
        path: The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    seen = [trial for trial in tuning.trials if trial.value is not None]
    settings = list(tuning.importances or seen[0].values)[:_MAX_SETTINGS]
    columns = 2 if len(settings) == 3 else min(3, 1 + len(settings))
    rows = -(-(1 + len(settings)) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
    _scatter(panels[0], [trial.number for trial in seen], seen)
    done = [trial for trial in seen if trial.state == "complete"]
    best = np.maximum if tuning.direction == "max" else np.minimum
    so_far = best.accumulate(np.array([trial.value for trial in done]))
    panels[0].step([trial.number for trial in done], so_far, where="post", label="best so far")
    panels[0].set(xlabel="trial")
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].legend()
    for panel, setting in zip(panels[1:], settings, strict=False):
        values = [trial.values[setting] for trial in seen]
        known = tuning.space[setting]
        if known.choices:
            panel.set_xticks(range(len(known.choices)), [str(choice) for choice in known.choices])
            values = [known.choices.index(value) for value in values]
        if known.log:
            panel.set_xscale("log")
        _scatter(panel, values, seen)
        panel.set(xlabel=setting)
    for panel in panels[1 + len(settings) :]:
        panel.remove()
    for panel in figure.axes:
        panel.grid(alpha=0.3)
    figure.supylabel(tuning.metric.replace("val_", "validation "))
    figure.savefig(path, dpi=120)


def _scatter(panel: Any, positions: list[Any], trials: list[Trial]) -> None:
    for state, style in (("complete", {"marker": "o"}), ("pruned", {"marker": "x", "c": "gray"})):
        chosen = [i for i, trial in enumerate(trials) if trial.state == state]
        if chosen:
            heights = [trials[i].value for i in chosen]
            panel.scatter([positions[i] for i in chosen], heights, s=18, label=state, **style)
