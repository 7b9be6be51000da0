"""What run.json records of a training: where it came from, and what it costs."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from zoo_recipes.arrays.vocabulary import END
from zoo_recipes.custom_data.preparing import note_of
from zoo_recipes.datasets.reading import fingerprint
from zoo_recipes.datasets.rows import Examples, class_names
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import Record
from zoo_recipes.tasks.objectives import LANGUAGE_MODEL, PAIRS
from zoo_runtime.manifest import Decoding
from zoo_runtime.run_info import Cost, DatasetInfo, Device, ModelInfo, RunInfo, SplitInfo
from zoo_system import machine

PACKAGES = ("kerazoo", "tensorflow", "keras", "numpy", "tensorflow-datasets", "tokenizers")
# A training that is killed has lost no more of its account than this.
_SECONDS = 10.0


def first_info(recipe: Recipe, task: str) -> RunInfo:
    """Return what is known of a run before it has begun."""
    frozen = recipe.to_dict()
    return RunInfo(
        status="running",
        recipe=frozen,
        task=task,
        model=ModelInfo(name=recipe.model.name),
        preprocessing=tuple(frozen.get("preprocessing", ())),
        decoding=_decoding(recipe, task),
        seed=recipe.seed,
        versions=versions(),
        dataset=DatasetInfo(name=recipe.dataset.name),
        expected=frozen.get("expected"),
        license=recipe.license,
        started=now(),
    )


def _decoding(recipe: Recipe, task: str) -> Decoding | None:
    if task == LANGUAGE_MODEL:
        return Decoding(end=END)
    if task == PAIRS:
        return Decoding(end=END, start=END, length=recipe.dataset.target_length)
    return None


def data_info(
    recipe: Recipe, builder: Any, label: str | None, examples: Mapping[str, Examples]
) -> tuple[tuple[str, ...] | None, DatasetInfo]:
    """Return the classes, and what tells these data from any others.

    Args:
        recipe: Names the splits.
        builder: A prepared ``tfds.core.DatasetBuilder``.
        label: Feature that is the class, or ``None``.
        examples: By part: ``train``, ``validation``, ``test``.
    """
    splits = {
        part: SplitInfo(
            split=getattr(recipe.dataset, part), examples=len(found.raws), sha256=found.sha256
        )
        for part, found in examples.items()
    }
    name, version = builder.info.full_name.rpartition("/")[0], str(builder.info.version)
    own = note_of(builder)
    hashes = [found.sha256 for found in examples.values()]
    return tuple(class_names(builder, label)) or None, DatasetInfo(
        name=name,
        version=version,
        # Custom data are the same in another place, whose name is theirs.
        fingerprint=fingerprint("own_data" if own else name, version, hashes),
        splits=splits,
        own=own or None,
    )


def versions() -> dict[str, str]:
    """Return the versions of what a training depends on."""
    from importlib.metadata import version

    found = {package: version(package) for package in PACKAGES}
    return {"python": platform.python_version(), "platform": sys.platform, **found}


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Meter:
    """Keeps the account of a run up to date; what goes on adds to what was there.

    Args:
        record: Of the run; its cost is replaced.
        update: Brings up to date what trackers have in ``record``, energy among it.
    """

    def __init__(self, record: Record, update: Callable[[], None]) -> None:
        self.record = record
        self.update = update
        self.before = record.info.cost or Cost()
        self.began = (time.monotonic(), time.process_time())
        self.due = self.began[0] + _SECONDS

    def read(self) -> None:
        """Put what was spent until now into the account."""
        before = self.before
        spent = (time.monotonic() - self.began[0], time.process_time() - self.began[1])
        now = self.record.info.cost or before
        cost = Cost(
            seconds=round((before.seconds or 0) + spent[0], 3),
            cpu_seconds=round((before.cpu_seconds or 0) + spent[1], 3),
            peak_memory_mb=max(before.peak_memory_mb or 0, machine.peak_mb()),
            energy=now.energy,
        )
        self.record.note(cost=cost)
        self.update()

    def write_if_due(self) -> None:
        """Write the account into ``run.json`` if the last one is old enough."""
        if time.monotonic() >= self.due:
            self.read()
            self.record.write()
            self.due = time.monotonic() + _SECONDS


@contextmanager
def metered(record: Record, update: Callable[[], None]) -> Iterator[Meter]:
    """Measure what is done inside, whatever becomes of it.

    Args:
        record: Of the run.
        update: As for :class:`Meter`.
    """
    meter = Meter(record, update)
    try:
        yield meter
    finally:
        meter.read()


def devices() -> tuple[Device, ...]:
    """Return type and name of what TensorFlow computes on."""
    import tensorflow as tf

    found = [
        (device.device_type, tf.config.experimental.get_device_details(device).get("device_name"))
        for device in tf.config.list_physical_devices()
    ]
    return tuple(
        Device(type=kind, name=machine.in_short() if kind == "CPU" else str(name or kind))
        for kind, name in found
    )
