"""What a search has found: its trials, the best of them, and their plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo_recipes.configs import Range
from zoo_recipes.run import Run, load_run

TRIALS = "trials"


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
        importances: Share of each setting in how much the metric varies; empty before there are
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


_MAX_SETTINGS = 5


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


def _scatter(panel: Any, places: list[Any], trials: list[Trial]) -> None:
    for state, style in (("complete", {"marker": "o"}), ("pruned", {"marker": "x", "c": "gray"})):
        chosen = [i for i, trial in enumerate(trials) if trial.state == state]
        if chosen:
            heights = [trials[i].value for i in chosen]
            panel.scatter([places[i] for i in chosen], heights, s=18, label=state, **style)
