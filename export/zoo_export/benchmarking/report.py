"""Figures of artifacts on one machine, and what machine that is, as plain data."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from zoo_system.machine import cores, cpu

# Load that is not ours, as a share of the cores, above which milliseconds are not to be trusted.
_BUSY = 0.5


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single runs at batch 1.

    Args:
        p50: The median.
        p90: Nine of ten runs were at least as fast.
        p99: Ninety-nine of a hundred were.
        runs: How many runs there were.
    """

    p50: float
    p90: float
    p99: float
    runs: int

    @classmethod
    def of(cls, times: Sequence[float]) -> Latency:
        """Return the percentiles of some times.

        Example:
            >>> Latency.of([1.0, 2.0, 3.0])
            Latency(p50=2.0, p90=2.8, p99=2.98, runs=3)
        """
        p50, p90, p99 = (round(float(p), 4) for p in np.percentile(times, (50, 90, 99)))
        return cls(p50, p90, p99, len(times))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One artifact with one number of threads, in a process of its own.

    What could not be measured is ``None``, and ``error`` says why.

    Args:
        format: The artifact's format.
        threads: Threads of the runtime; ``None`` is the runtime's own choice.
        bytes: Size of all its files.
        start_ms: From a process with NumPy alone to a loaded file: imports the runtime too.
        load_ms: Loading it again in the same process.
        first_ms: The first run.
        latency: The later runs.
        per_second: Examples a second, one at a time.
        batch: A larger batch, where the artifact takes any.
        batch_per_second: Examples a second at that batch.
        peak_mb: Most memory that the process held at batch 1, with Python, in MB.
        max_abs_diff: Largest difference from Keras on the bundle's samples, here.
        max_share: The same as a share of the largest value of its output.
        accuracy: Share of right answers.
        keras_accuracy: That of Keras, where it was measured at export.
        examples: How many examples those are of.
        error: Why figures are missing.
    """

    format: str
    threads: int | None
    bytes: int
    start_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    latency: Latency | None = None
    per_second: float | None = None
    batch: int | None = None
    batch_per_second: float | None = None
    peak_mb: float | None = None
    max_abs_diff: float | None = None
    max_share: float | None = None
    accuracy: float | None = None
    keras_accuracy: float | None = None
    examples: int = 0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that was measured of one bundle.

    Args:
        name: Name of the model.
        bundle: Its folder.
        rows: A row for each artifact and number of threads.
        machine: Where.
        warnings: What makes the figures doubtful.
    """

    name: str
    bundle: str
    rows: tuple[Row, ...]
    machine: Machine
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Machine:
    """One machine at one time.

    Args:
        cpu: Model of the processor.
        cores: Logical cores that this process may use.
        memory_gb: Main memory in GB.
        os: System and version.
        python: Version of Python.
        versions: Of NumPy and the runtimes, by package.
        load_before: Processes that wanted a core in the minute before measuring, on average.
        load_after: The same afterwards, with our own.
    """

    cpu: str
    cores: int
    memory_gb: float
    os: str
    python: str
    versions: dict[str, str]
    load_before: float
    load_after: float


def look(packages: Iterable[str], load_before: float) -> Machine:
    """Return the facts about this machine, at the end of a measurement.

    Args:
        packages: Distributions whose versions matter; those that are absent are left out.
        load_before: What :func:`load` returned at its beginning.
    """
    return Machine(
        cpu=cpu(),
        cores=cores(),
        memory_gb=round(_memory() / 1e9, 1),
        os=platform.platform(terse=True),
        python=platform.python_version(),
        versions=installed_versions(packages),
        load_before=load_before,
        load_after=load(),
    )


def warnings(load_before: float) -> tuple[str, ...]:
    """Return what makes the figures doubtful.

    Example:
        >>> warnings(load_before=0.0)
        ()
    """
    if load_before <= _BUSY * cores():
        return ()
    return (
        f"the machine was busy before measuring began: a load of {load_before:.1f} on {cores()} "
        "cores. Read the ratios, which the others' work falls on alike, not the milliseconds.",
    )


def load() -> float:
    """Return the load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def free_memory() -> int | None:
    """Return the bytes that new processes can have without swapping, where Linux tells."""
    path = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+)", path.read_text()) if path.is_file() else None
    return int(found[1]) * 1024 if found else None


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that are installed.

    Example:
        >>> sorted(installed_versions(["numpy", "no-such-package"]))
        ['numpy']
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
