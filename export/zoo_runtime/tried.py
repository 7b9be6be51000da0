"""What was tried in a process of its own on this machine, by its bytes: it is not tried again."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from zoo_system.folders import cache_folder

_here: set[Path] = set()


def mark_of(*parts: bytes) -> Path:
    """Return the file that is there once such bytes were tried."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return cache_folder() / "tried" / digest.hexdigest()


def was_tried(mark: Path) -> bool:
    """Return whether :func:`remember` noted these bytes, by this process or an earlier one."""
    return mark in _here or mark.is_file()


def remember(mark: Path) -> None:
    """Note that these bytes were tried; on a device without a home, for this process."""
    _here.add(mark)
    with contextlib.suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
