"""The trackers of one training, none of which can harm it."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

import zoo_registry
from zoo_recipes.run import OnEpoch, Record, StoppedError
from zoo_recipes.trackers.tracker import TrackedRun, Tracker
from zoo_registry import PluginError, UnknownNameError, UsageError
from zoo_registry.plugins import OURS
from zoo_registry.trial import guarded, one_line, running
from zoo_runtime import schema
from zoo_runtime.run_info import Cost, Energy, RunInfo, TrackerInfo

ENERGY, MLFLOW = "energy", "mlflow"
_TRACKERS, _COST, _ARGUMENT, _NOTE = "trackers", "cost", "argument", "note"


@dataclass(frozen=True)
class Made:
    """A tracker that has not begun.

    Args:
        name: As it was asked for.
        tracker: The tracker.
        title: What a warning calls it.
        measures: As the tracker says.
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
        info: What the run says of itself.
        anew: By name.
    """
    found = dict(anew)
    for name, argument in _begun_with(info.to_json()):
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
        on_epoch: Is told of epochs too.

    Yields:
        What brings these notes up to date, and what is to be told of epochs.
    """
    if not trackers:
        yield lambda: None, on_epoch
        return
    ordered = sorted(trackers.values(), key=lambda made: made.measures)
    followed = [_Followed(made, record) for made in ordered]

    def told(number: int, metrics: Mapping[str, float]) -> None:
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
        yield update, told
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
            self._written(lambda: self._tried(lambda: self._finish(status)))

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
        return _note_of(self.record.info.to_json(), self.made.name)

    def _send(self) -> None:
        while self.pending:
            number, metrics, ended = self.pending[0]
            self.tracker.epoch(number, {k: float(value) for k, value in metrics.items()}, ended)
            del self.pending[0]

    def _tried(self, action: Callable[[], None]) -> bool:
        """Call a method of the tracker, and put its note where ``run.json`` has it."""
        try:
            with nullcontext() if self.made.owner is None else guarded(self.made.owner):
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
    for name, kept in (info.get(_TRACKERS) or {}).items():
        yield name, kept[_ARGUMENT]


def _note_of(info: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = {ENERGY: _COST, MLFLOW: None}.get(name, _TRACKERS)
    kept: Mapping[str, Any] = ((info.get(table) or {}) if table else info).get(name) or {}
    return kept.get(_NOTE, {}) if table == _TRACKERS else kept


def _keep(record: Record, name: str, argument: str, note: Mapping[str, Any]) -> None:
    if name == ENERGY and note:
        cost, energy = record.info.cost or Cost(), schema.read(Energy, note, name)
        record.note(cost=replace(cost, energy=energy))
    elif name == MLFLOW and note:
        record.note(mlflow=note)
    elif name not in (ENERGY, MLFLOW):
        kept = TrackerInfo(argument=argument, note=note)
        record.note(trackers={**record.info.trackers, name: kept})
