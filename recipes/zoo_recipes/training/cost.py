"""What a training takes: time and memory; a tracker adds the energy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoo_recipes.run import Record
from zoo_runtime.run_info import Cost, Device
from zoo_system import machine

# A training that is killed has lost no more of its account than this.
_SECONDS = 10.0


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
