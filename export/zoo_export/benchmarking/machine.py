"""What the figures were measured on; the standard library is enough to tell."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from zoo_system.machine import cores, cpu

# Load that is not ours, as a share of the cores, above which milliseconds are not to be trusted.
_BUSY = 0.5


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
