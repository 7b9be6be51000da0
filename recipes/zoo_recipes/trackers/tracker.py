"""A tracker: what a plugin subclasses to follow trainings, and what it sees of one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_recipes.run import Record
from zoo_system import folders


class TrackedRun:
    """The run of a training, as a tracker sees it.

    Attributes:
        folder: Where it is.
        note: What ``run.json`` says of the tracker, plain JSON types: change it at any time. A
            training that is resumed begins with what it was.
    """

    def __init__(self, record: Record, note: Mapping[str, Any]) -> None:
        self.folder = record.folder
        self.note = dict(note)
        self._record = record

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe as TOML-shaped data, and the seed."""
        return copy.deepcopy({**self._record.info.recipe, "seed": self._record.info.seed})

    @property
    def metrics(self) -> dict[str, float]:
        """Of the test split; empty until the training has ended."""
        return dict(self._record.info.metrics)

    def files(self) -> list[Path]:
        """Return all files of the run but checkpoints and hidden ones."""
        checkpoints = self.folder / folders.CHECKPOINTS
        return sorted(
            path
            for path in self.folder.rglob("*")
            if path.is_file() and path.name[0] != "." and checkpoints not in path.parents
        )


class Tracker:
    """Follows one training; this one does nothing, and a subclass what it overrides.

    An entry point of the group ``zoo.trackers`` names a subclass; ``zoo train --track
    NAME:ARGUMENT``, or ``zoo.train(trackers=["NAME:ARGUMENT"])``, makes an object of it for each
    training. Whatever it raises once the training has begun becomes a warning, and neither the
    training nor its run suffers.

    Args:
        argument: What stands behind ``NAME:``, or nothing. It is checked here, where a
            :class:`zoo.UsageError` refuses the training before it begins; nothing is begun yet.

    Attributes:
        argument: Kept in ``run.json``, for a training that is resumed: no password is left in it.
        title: What a warning calls the tracker; by default its name and its package.
        measures: Whether it measures the training: it begins after those that do not, so that what
            they take is not in it.
    """

    title = argument = ""
    measures = False

    def __init__(self, argument: str = "") -> None:
        self.argument = argument

    def begin(self, run: TrackedRun) -> None:
        """Begin; where this fails it is tried once more in the end.

        Args:
            run: What is trained, with the note of the part before where it is resumed.
        """

    def epoch(self, number: int, metrics: Mapping[str, float], ended: float) -> None:
        """Take in an epoch; where this fails, it and those after it come in the end.

        Args:
            number: From 0. An epoch without a checkpoint comes again where a training is resumed.
            metrics: Of training and validation, by name.
            ended: When, in seconds since 1970.
        """

    def update(self) -> None:
        """Bring the note up to date: ``run.json`` is about to be written, every ten seconds."""

    def end(self, status: str) -> None:
        """End.

        Args:
            status: ``complete``, with all files written; ``interrupted`` or ``failed``.
        """
