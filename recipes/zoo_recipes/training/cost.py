"""What a training takes: time and memory; a tracker adds the energy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_recipes.run import INFO, write_json
from zoo_system import machine

# A training that is killed has lost no more of its account than this.
_SECONDS = 10.0
_ADDED = ("seconds", "cpu_seconds")


class Meter:
    """Keeps the account of a run up to date; what goes on adds to what was there.

    Args:
        folder: Of the run.
        info: What ``run.json`` is to hold; its ``cost`` is replaced.
        update: Brings up to date what trackers have in ``info``, energy among it.
    """

    def __init__(self, folder: Path, info: dict[str, Any], update: Callable[[], None]) -> None:
        self.folder = folder
        self.info = info
        self.update = update
        self.before: Mapping[str, Any] = info.get("cost") or {}
        self.began = (time.monotonic(), time.process_time())
        self.due = self.began[0] + _SECONDS

    def read(self) -> None:
        """Put what was spent until now into the account."""
        spent = (time.monotonic() - self.began[0], time.process_time() - self.began[1])
        cost: dict[str, Any] = {
            name: round(self.before.get(name, 0) + value, 3)
            for name, value in zip(_ADDED, spent, strict=True)
        }
        cost["peak_memory_mb"] = max(self.before.get("peak_memory_mb", 0), machine.peak_mb())
        cost["energy"] = (self.info.get("cost") or {}).get("energy")
        self.info["cost"] = cost
        self.update()

    def write_if_due(self) -> None:
        """Write the account into ``run.json`` if the last one is old enough."""
        if time.monotonic() >= self.due:
            self.read()
            write_json(self.folder / INFO, self.info)
            self.due = time.monotonic() + _SECONDS


@contextmanager
def metered(folder: Path, info: dict[str, Any], update: Callable[[], None]) -> Iterator[Meter]:
    """Measure what is done inside, whatever becomes of it.

    Args:
        folder: Of the run.
        info: What ``run.json`` is to hold.
        update: As for :class:`Meter`.
    """
    meter = Meter(folder, info, update)
    try:
        yield meter
    finally:
        meter.read()


def devices() -> list[dict[str, str]]:
    """Return type and name of what TensorFlow computes on."""
    import tensorflow as tf

    found = [
        (device.device_type, tf.config.experimental.get_device_details(device).get("device_name"))
        for device in tf.config.list_physical_devices()
    ]
    return [
        {"type": kind, "name": machine.in_short() if kind == "CPU" else str(name or kind)}
        for kind, name in found
    ]
