"""Starting one process of a training, :mod:`zoo_recipes.training.worker`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from zoo_recipes.run import INFO
from zoo_system import processes

# Named, not imported: it trains, and stands above all that starts it.
PROGRAM = "zoo_recipes.training.worker"


def stamp(folder: Path) -> list[int] | None:
    """Return what changes when a run begins in a folder."""
    path = folder / INFO
    return [path.stat().st_ino, path.stat().st_mtime_ns] if path.exists() else None


def has_begun(job: Mapping[str, Any]) -> bool:
    """Return whether there is a run to go on with."""
    return job["recipe"] is None or stamp(Path(job["folder"])) != job["before"]


def start(
    job: Path, outcome: Path, environment: Mapping[str, str], log: BinaryIO | None = None
) -> subprocess.Popen[bytes]:
    """Start a worker; it ends when we do.

    Args:
        job: A file with what the worker does.
        outcome: The file that it will leave if it fails.
        environment: What is added to ours.
        log: Where its output goes; by default to our standard error.
    """
    return processes.start(
        PROGRAM,
        str(job),
        str(outcome),
        environment=environment,
        stdout=2 if log is None else log,
        stderr=log,
        # Ctrl-C is for the supervisor, which stops all after the same step.
        start_new_session=True,
    )
