"""Trackers: what a plugin subclasses to follow trainings, and how they are made and called."""

from __future__ import annotations

import copy
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import zoo_registry
from zoo_recipes.run import OnEpoch, Record, StoppedError
from zoo_registry import PluginError, UnknownNameError, UsageError
from zoo_registry.plugins import OURS
from zoo_registry.trial import guarded, one_line, running, seconds_by_name
from zoo_runtime import schema
from zoo_runtime.run_info import Cost, Energy, RunInfo, TrackerInfo
from zoo_system import folders

ENERGY, MLFLOW = "energy", "mlflow"
_TRACKERS, _COST, _ARGUMENT, _NOTE = "trackers", "cost", "argument", "note"


class TrackedRun:
    """The run of a training, as a tracker sees it.

    Attributes:
        folder: Where it is.
        note: What ``run.json`` records of the tracker, plain JSON types: change it at any time. A
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


@dataclass(frozen=True)
class Made:
    """A tracker that has not begun.

    Args:
        name: As it was asked for.
        tracker: The tracker.
        title: What a warning calls it.
        measures: As of the tracker.
        owner: Whose plugin it is; ``None`` for ours.
    """

    name: str
    tracker: Tracker
    title: str
    measures: bool
    owner: str | None


def make_trackers(
    trackers: Sequence[str] = (), *, energy: str | None = None, mlflow: str | None = None
) -> dict[str, Made]:
    """Make the trackers that are asked for, and begin none.

    Args:
        trackers: ``NAME`` or ``NAME:ARGUMENT`` of each.
        energy: The argument of ``energy``.
        mlflow: That of ``mlflow``.

    Raises:
        UsageError: No such tracker, one that is asked for twice, or an argument that it refuses.
        ZooError: What it needs is not installed.
        PluginError: It is broken.
    """
    if isinstance(trackers, str) or not all(isinstance(each, str) for each in trackers):
        raise UsageError(f"trackers={trackers!r} is not a list of texts, such as ['mlflow:logs'].")
    asked = [text.partition(":")[::2] for text in trackers]
    asked += [(n, given) for n, given in ((ENERGY, energy), (MLFLOW, mlflow)) if given is not None]
    found: dict[str, Made] = {}
    for name, argument in asked:
        made = _made(name, argument)
        if made.name in found:
            raise UsageError(f"Tracker '{made.name}' is asked for twice: one training has it once.")
        found[made.name] = made
    return found


def those_begun(info: RunInfo, anew: Mapping[str, Made]) -> dict[str, Made]:
    """Make the trackers that a run began with, beside those that are asked for anew.

    One of a plugin that is gone or broken is left out with a warning.

    Args:
        info: What the run records.
        anew: By name.
    """
    found = dict(anew)
    for name, argument in _begun_with(info.to_dict()):
        if name not in found:
            try:
                found[name] = _made(name, argument)
            except (UnknownNameError, PluginError) as error:
                warnings.warn(f"the training goes on without a tracker: {error}", stacklevel=3)
    return found


@contextmanager
def tracked(
    trackers: Mapping[str, Made], record: Record, on_epoch: OnEpoch | None
) -> Iterator[tuple[Callable[[], None], OnEpoch | None]]:
    """Let trackers follow what is trained inside.

    Args:
        trackers: By name.
        record: Of the run; the notes of the trackers are put into it.
        on_epoch: Is called after each epoch too.

    Yields:
        What brings these notes up to date, and what is to be called after each epoch.
    """
    if not trackers:
        yield lambda: None, on_epoch
        return
    ordered = sorted(trackers.values(), key=lambda made: made.measures)
    followed = [_Followed(made, record) for made in ordered]

    def report_epoch(number: int, metrics: Mapping[str, float]) -> None:
        ended = time.time()
        for each in followed:
            each.epoch(number, metrics, ended)
        if on_epoch is not None:
            on_epoch(number, metrics)

    def update() -> None:
        for each in followed:
            each.update()

    status = "failed"
    try:
        for each in followed:
            each.begin()
        yield update, report_epoch
        status = "complete"
    except (KeyboardInterrupt, StoppedError):
        status = "interrupted"
        raise
    finally:
        for each in followed:
            each.end(status)


class _Followed:
    """One tracker at work."""

    def __init__(self, made: Made, record: Record) -> None:
        self.made, self.tracker, self.record = made, made.tracker, record
        self.run = TrackedRun(record, self._note)
        self.pending: list[tuple[int, dict[str, float], float]] = []
        self.begun = self.works = False

    def begin(self) -> None:
        self.begun = self.works = self._tried(lambda: self.tracker.begin(self.run))

    def epoch(self, number: int, metrics: Mapping[str, float], ended: float) -> None:
        self.pending.append((number, dict(metrics), ended))
        self.works = self.works and self._tried(self._send)

    def update(self) -> None:
        self.works = self.works and self._tried(self.tracker.update)

    def end(self, status: str) -> None:
        if not self.begun:
            self._written(self.begin)
        if self.begun:
            self._written(lambda: self._tried(lambda: self._finish(status), at_length=True))

    def _finish(self, status: str) -> None:
        self._send()
        self.tracker.end(status)

    def _written(self, action: Callable[[], object]) -> None:
        """Write ``run.json`` if its note is another one afterwards."""
        before = self._note
        action()
        if self._note != before:
            self._tried(self.record.write)

    @property
    def _note(self) -> Mapping[str, Any]:
        return _note_of(self.record.info.to_dict(), self.made.name)

    def _guarded(self, *, at_length: bool) -> AbstractContextManager[None]:
        if self.made.owner is None:
            return nullcontext()
        return guarded(self.made.owner, seconds=None if at_length else seconds_by_name())

    def _send(self) -> None:
        while self.pending:
            number, metrics, ended = self.pending[0]
            self.tracker.epoch(number, {k: float(value) for k, value in metrics.items()}, ended)
            del self.pending[0]

    def _tried(self, action: Callable[[], None], *, at_length: bool = False) -> bool:
        """Call a method of the tracker, and put its note where ``run.json`` has it.

        Args:
            action: Calls it.
            at_length: Whether a plugin's may take any time, as to send all files in the end.
        """
        try:
            with self._guarded(at_length=at_length):
                action()
                note = json.loads(json.dumps(dict(self.run.note), allow_nan=False))
                argument = str(self.tracker.argument)
        except Exception as error:  # whatever a store, a meter and a plugin may raise
            reason = shorten(str(error), 200) if self.made.owner is None else one_line(error)
            warnings.warn(
                f"{self.made.title} failed, and lacks a part of run '{self.run.folder}', which "
                f"itself has everything: {reason}",
                stacklevel=2,
            )
            return False
        _keep(self.record, self.made.name, argument, note)
        return True


def _made(name: str, argument: str) -> Made:
    spec = zoo_registry.trackers.get(name)
    origin = spec.origin
    owner = "" if origin is None else origin.distribution
    is_ours = owner in OURS
    of_plugin = "" if is_ours or origin is None else f" of '{owner}' {origin.version}"
    what = f"Tracker '{spec.name}'"
    with running(origin, what):
        tracker = spec.function(argument)
        if not isinstance(tracker, Tracker):
            raise TypeError(f"it made a {type(tracker).__name__}, not a Tracker")
        title = str(tracker.title) or f"{what}{of_plugin}"
        measures = bool(tracker.measures)
    held = None if is_ours else owner
    return Made(spec.name if is_ours else name, tracker, title, measures, held)


# Our own are where run.json has had them from the first: `cost.energy` and `mlflow`.
def _begun_with(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, key in ((ENERGY, "country"), (MLFLOW, "uri")):
        if argument := _note_of(info, name).get(key):
            yield name, argument
    for name, recorded in (info.get(_TRACKERS) or {}).items():
        yield name, recorded[_ARGUMENT]


def _note_of(info: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = {ENERGY: _COST, MLFLOW: None}.get(name, _TRACKERS)
    recorded: Mapping[str, Any] = ((info.get(table) or {}) if table else info).get(name) or {}
    return recorded.get(_NOTE, {}) if table == _TRACKERS else recorded


def _keep(record: Record, name: str, argument: str, note: Mapping[str, Any]) -> None:
    if name == ENERGY and note:
        cost, energy = record.info.cost or Cost(), schema.read(Energy, note, name)
        record.note(cost=replace(cost, energy=energy))
    elif name == MLFLOW and note:
        record.note(mlflow=note)
    elif name not in (ENERGY, MLFLOW):
        recorded = TrackerInfo(argument=argument, note=note)
        record.note(trackers={**record.info.trackers, name: recorded})
