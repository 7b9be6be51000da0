"""What a search has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
