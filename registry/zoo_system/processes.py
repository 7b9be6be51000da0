"""Processes of our own: how they are started, watched from inside, and what their end means."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from zoo_system import children
from zoo_system.signals import signal_name

FULL_DISK = "No space left on device"
_LOG_LINES = 12


def start(module: str, *arguments: str, log: Path, **options: Any) -> subprocess.Popen[Any]:
    """Start ``python -m module`` with this process' import path and quiet libraries.

    Args:
        module: A module with a main part.
        arguments: Its arguments.
        log: File for what it prints.
        options: For :class:`subprocess.Popen`, such as pipes in place of the log.
    """
    environment = {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    with log.open("wb") as file:
        return children.start(
            module,
            *arguments,
            environment=environment,
            **{"stdout": file, "stderr": file, **options},
        )


def how_it_ended(process: subprocess.Popen[Any], log: Path, what: str) -> str:
    """Return why a process ended before its work was done, with its last words.

    Args:
        process: One that ended.
        log: Where it printed.
        what: How the message calls it.
    """
    code = process.returncode
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    tail = "\n  ".join(lines[-_LOG_LINES:])
    said = f". Its last words:\n  {tail}" if tail else ""
    if code == errno.ENOSPC or FULL_DISK in tail:
        return f"the disk is full{said}"
    if code >= 0:
        return f"{what} exited with code {code}{said}"
    name = signal_name(-code)
    memory = ", most often for lack of memory" if -code == signal.SIGKILL else ""
    return f"{what} was killed by {name}{memory}{said}"


def own_stdout() -> IO[str]:
    """Return standard output for our own lines; what libraries print goes to standard error."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def free_memory() -> None:
    """Collect what nothing holds, and give its memory back to the system."""
    gc.collect()
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):  # glibc keeps freed weights for itself
            library.malloc_trim(0)
