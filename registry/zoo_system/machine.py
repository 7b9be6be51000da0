"""The machine that this process runs on, as the standard library alone reports it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

# By what Linux calls them, the widest first.
_VECTORS = {"avx512_vnni": "AVX-512 VNNI", "avx512f": "AVX-512", "avx2": "AVX2", "sve": "SVE"}


def cpu() -> str:
    """Return the model of the processor."""
    path = Path("/proc/cpuinfo")
    if path.is_file():
        names = re.findall(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", path.read_text(), re.M)
        return str(names[0]) if names else platform.machine()
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        return name or platform.machine()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def vectors() -> str:
    """Return the widest vectors that the processor computes with, such as ``"AVX2"``, if known.

    Processors of one name may differ in them, and they decide which kernels a runtime has.
    """
    path = Path("/proc/cpuinfo")
    flags = set(re.findall(r"\w+", path.read_text())) if path.is_file() else set()
    return next((name for flag, name in _VECTORS.items() if flag in flags), "")


def in_short() -> str:
    """Return processor, vectors and cores, for tables that were measured on several machines."""
    widest = vectors()
    return f"{cpu()}{f' with {widest}' if widest else ''}, {cores()} cores"


def peak_mb() -> float:
    """Return the most memory that this process ever held, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the parent had before this program began
        kilobytes = re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))
        if kilobytes:
            return round(int(kilobytes[1]) / 1024, 1)
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 1024**2, 1)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def reset_peak() -> None:
    """Have :func:`peak_mb` begin anew with what this process holds now, where that is available."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def free_bytes() -> int | None:
    """Return the memory that this process could still take, or ``None`` where nothing says it.

    It is what the system has available, or what the container may still have, if that is less.
    """
    status = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+)", status.read_text()) if status.is_file() else None
    amounts = [1024 * int(found[1])] if found else []
    limit, used = (_cgroup(f"memory.{name}") for name in ("max", "current"))
    if limit is not None and used is not None:
        amounts.append(max(0, limit - used))
    return min(amounts, default=None)


def _cgroup(name: str) -> int | None:
    path = Path("/sys/fs/cgroup", name)
    text = path.read_text().strip() if path.is_file() else ""
    return int(text) if text.isdigit() else None
