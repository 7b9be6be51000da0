"""``run.json``, the record of a training: read, checked and written here alone."""

from __future__ import annotations

import json
import reprlib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from zoo_registry import UsageError, meaning_of
from zoo_runtime import schema
from zoo_runtime.manifest import Decoding
from zoo_system.durable import write_text
from zoo_system.folders import INFO

FORMAT_VERSION = 1
RECIPE = "recipe.toml"
# Bytes of run.json; the labels of a vocabulary have a few.
_MOST_BYTES, _MOST_DIGITS = 1 << 28, 40
# What every version wrote, before the training began or in its course.
_ALWAYS = ("task", "model", "labels", "preprocessing", "seed", "versions", "dataset", "metrics")
# What no version that reads this file needs where it is empty.
_IF_ANY = (
    "shared",
    "truncated",
    "devices",
    "cost",
    "resumed",
    "restarts",
    "teacher",
    "mlflow",
    "trackers",
)
# Of a field that is written where it is null too: readers of the file look it up.
_EVEN_NULL = {"null": True}
# What a bundle keeps of its run.
_OF_PROVENANCE = ("seed", "versions", "dataset", "metrics", "expected", "started", "finished")


class LostInfoError(UsageError):
    """A run whose ``run.json`` is missing or damaged; a training that goes on makes it anew."""


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """A split: in slicing syntax, its examples and their sha256."""

    split: str = ""
    examples: int = 0
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What identifies the data of a training.

    Args:
        name: Of the data set.
        version: Its version, or that of the rule by which custom data are split.
        fingerprint: sha256 of name, version and splits.
        splits: By part: ``train``, ``validation``, ``test``.
        own: Of custom data: how they were read.
    """

    name: str = ""
    version: str | None = None
    fingerprint: str | None = None
    splits: Mapping[str, SplitInfo] = field(default_factory=dict)
    own: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """The weights that a training began with, and the sha256 of each of their files."""

    source: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The trained model.

    Args:
        name: As the zoo has it.
        num_params: Its parameters.
        num_trained: Those of them that were trained.
        precision: The Keras dtype policy.
        weights: What it began with; ``None`` for fresh ones.
        sha256: Of ``model.keras``.
    """

    name: str = ""
    num_params: int | None = None
    num_trained: int | None = None
    precision: str | None = None
    weights: WeightsInfo | None = field(default=None, metadata=_EVEN_NULL)
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy of a training: kWh, by part of the machine too, and kg of CO2eq.

    ``seconds`` of it were measured, with the grid of ``country``, in the way of ``found_by``.
    """

    kwh: float = 0.0
    kwh_by_part: Mapping[str, float] = field(default_factory=dict)
    kg_co2eq: float = 0.0
    seconds: float = 0.0
    country: str = ""
    found_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a training took until now."""

    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_mb: float | None = None
    energy: Energy | None = None


@dataclass(frozen=True, kw_only=True)
class Device:
    """What TensorFlow computed on."""

    type: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class TeacherInfo:
    """The teacher of a distillation."""

    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrackerInfo:
    """A tracker of a plugin: its argument, and what it noted."""

    argument: str
    note: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """All that ``run.json`` records of a training; ``info["labels"]`` is what the file has there.

    Args:
        status: ``running``, ``interrupted``, ``failed`` or ``complete``.
        recipe: As plain data.
        task: The model's head; empty for the model's own.
        model: What is trained.
        labels: Class names in the order of the logits.
        preprocessing: Steps from a raw input to the model's inputs.
        decoding: How a model of sequences generates a text.
        seed: Of the training.
        versions: Of what it depends on, by package.
        dataset: What it learned from.
        metrics: Of the final model on the test split.
        expected: What the recipe promises.
        license: Of the data and the weights.
        error: Why it failed.
        started: ISO date and time, with its zone.
        finished: The same.
        workers: How many processes trained together.
        shared: By split, how many inputs were trained on too.
        truncated: By split, how many inputs were cut off.
        devices: What it was computed on.
        cost: What it took.
        resumed: Checkpoints that it was resumed from.
        restarts: Why workers were started again, and from where.
        teacher: Of a distillation.
        mlflow: Where its log is.
        trackers: What followed it, of plugins, by name.
        other: Keys of the file that are not ours: they are written again.
        lacks: Keys that every version wrote and this file lacks.

    Example:
        >>> info = RunInfo(status="complete", recipe={"name": "mine"}, labels=("no", "yes"))
        >>> info.labels, info["labels"], info["status"]
        (('no', 'yes'), ['no', 'yes'], 'complete')
    """

    status: str
    recipe: Mapping[str, Any]
    task: str | None = None
    model: ModelInfo = ModelInfo()
    labels: tuple[str, ...] | None = None
    preprocessing: tuple[Mapping[str, Any], ...] = ()
    decoding: Decoding | None = None
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    dataset: DatasetInfo = DatasetInfo()
    metrics: Mapping[str, float] = field(default_factory=dict)
    expected: Mapping[str, Any] | None = None
    license: str | None = None
    error: str | None = None
    started: str | None = None
    finished: str | None = None
    workers: int = 1
    shared: Mapping[str, int] = field(default_factory=dict)
    truncated: Mapping[str, int] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    cost: Cost | None = None
    resumed: tuple[str, ...] = ()
    restarts: tuple[Mapping[str, Any], ...] = ()
    teacher: TeacherInfo | None = None
    mlflow: Mapping[str, str] | None = None
    trackers: Mapping[str, TrackerInfo] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunInfo:
        """Return the record that the plain data of a ``run.json`` hold.

        Raises:
            ValueError: A value of another type; its text is ``KEY cannot be VALUE``.
        """
        ours = {each.name for each in fields(cls)} - {"other", "lacks"}
        known = {key: value for key, value in data.items() if key in ours}
        other = {key: value for key, value in data.items() if key not in {*ours, "format_version"}}
        # What older versions left out, and what they set to null, is the same.
        known = {key: value for key, value in known.items() if value is not None or key in _ALWAYS}
        lacks = tuple(key for key in _ALWAYS if key not in known)
        try:
            info = schema.read(cls, {**known, "other": other, "lacks": lacks}, INFO, lenient=True)
        except schema.MisfitError as error:
            raise _unfit(error.key, error.value) from error
        if "model" in known and not info.model.name:
            info = replace(info, lacks=(*lacks, "model.name"))
        promised = (info.expected or {}).get("metric")
        if not isinstance(promised, str | None):
            raise _unfit("expected.metric", promised)
        for key in ("started", "finished"):
            moment = getattr(info, key)
            if moment is not None and not _is_moment(moment):
                raise _unfit(key, moment)
        return info

    def to_dict(self) -> dict[str, Any]:
        """Return the plain data of ``run.json``."""
        keys = [each.name for each in fields(self) if each.name not in ("other", "lacks")]
        found = {key: _plain(getattr(self, key)) for key in keys}
        kept = {key: value for key, value in found.items() if value or key not in _IF_ANY}
        return {"format_version": FORMAT_VERSION, **kept, **self.other}

    def keys(self) -> Iterable[str]:
        """Return the keys of :meth:`to_dict`, so that ``dict(info)`` is that."""
        return self.to_dict().keys()

    def __getitem__(self, key: str) -> Any:
        return self.to_dict()[key]

    @property
    def provenance(self) -> dict[str, Any]:
        """What a bundle keeps of its run, plain data."""
        found = self.to_dict()
        kept = {key: found[key] for key in _OF_PROVENANCE if key not in self.lacks}
        return {"model": self.model.name, "recipe": self.recipe, **kept}

    @classmethod
    def from_provenance(cls, known: Mapping[str, Any]) -> RunInfo:
        """Return what a bundle records of its run.

        Raises:
            ValueError: As :meth:`from_dict`.
        """
        kept = {key: known[key] for key in (*_OF_PROVENANCE, "recipe") if key in known}
        return cls.from_dict({"status": "complete", **kept})

    def check_whole(self, folder: Path) -> None:
        """Refuse a file that no training writes, and an edit may have made.

        Raises:
            UsageError: The file lacks a key that every version wrote.
        """
        for key in self.lacks:
            raise UsageError(f"'{folder / INFO}' is damaged: it has no '{key}'.")

    def write(self, folder: Path) -> None:
        """Write ``run.json`` into a run's folder, atomically."""
        write_text(folder / INFO, json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")


def read_run_info(folder: Path) -> RunInfo:
    """Return what the ``run.json`` of a run records, also of one that is not complete.

    Raises:
        LostInfoError: It is missing or damaged.
        UsageError: It is not a run folder, or one of another version.
    """
    path = folder / INFO
    if not path.is_file():
        if (folder / RECIPE).is_file():
            raise _lost(folder, "is missing")
        known = meaning_of(str(folder), "run")
        raise UsageError(
            f"'{folder}' is not a run folder ({INFO} is missing).{known} `zoo train` makes one."
        )
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        data = json.loads(path.read_text(encoding="utf-8"), parse_int=_whole)
        json.dumps(data, ensure_ascii=False).encode()  # half a character can be read, not written
    except (ValueError, RecursionError) as error:
        raise _lost(folder, f"is damaged: {error}") from error
    if not isinstance(data, dict):
        raise _lost(folder, "is damaged: it must hold an object.")
    if data.get("format_version") != FORMAT_VERSION:
        raise UsageError(
            f"Run '{folder}' has format {data.get('format_version')}; this Kerazoo reads "
            f"{FORMAT_VERSION}."
        )
    recipe = data.get("recipe")
    is_named = isinstance(recipe, dict) and "name" in recipe
    if not isinstance(data.get("status"), str) or not is_named:
        raise _lost(folder, "is damaged: it needs 'status' and 'recipe' with a name.")
    try:
        return RunInfo.from_dict(data)
    except ValueError as error:
        raise _lost(folder, f"is damaged: {str(error).rstrip('.')}.") from error


def resuming(folder: Path) -> str:
    """Return the command that goes on with a run.

    Example:
        >>> resuming(Path("runs/my digits"))
        "zoo train --resume 'runs/my digits'"
    """
    return f"zoo train --resume {shlex.quote(str(folder))}"


def _lost(folder: Path, what: str) -> LostInfoError:
    text = f"'{folder / INFO}' {what}"
    if (folder / RECIPE).is_file():
        way = f"Make it anew from {RECIPE} and the checkpoints, and go on: {resuming(folder)}"
        text = f"{text.rstrip('.')}. {way}"
    return LostInfoError(text)


def _unfit(key: str, value: object) -> ValueError:
    return ValueError(f"{key} cannot be {reprlib.repr(value)}")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _plain(value: Any) -> Any:
    """Return JSON types; parts that are ``None`` are left out, but for those of `_EVEN_NULL`."""
    if is_dataclass(value):
        parts = ((each, _plain(getattr(value, each.name))) for each in fields(value))
        return {each.name: part for each, part in parts if part is not None or each.metadata}
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
