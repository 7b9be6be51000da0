"""Converting processes that wait for their next job: TensorFlow is imported once, not per file."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo_export.converters.job import LOG, Task
from zoo_export.model_code import is_known
from zoo_system import processes

_MODULE = "zoo_export.converters.child"
# Set anew for every test by pytest; nothing that converts reads it.
_OF_NO_MATTER = "PYTEST_CURRENT_TEST"


@dataclass(frozen=True)
class Child:
    """A process that converts.

    Args:
        process: It takes the folders of its jobs on standard input.
        surroundings: What it took over from this process when it began.
        jobs: How many it was given.
    """

    process: subprocess.Popen[bytes]
    surroundings: tuple[object, ...]
    jobs: int = 0

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()


# Those that no export has at present. They end by themselves when nothing comes for a while.
_waiting: list[Child] = []


def give(folder: Path, *, fresh: bool = False) -> Child:
    """Give a job to a process that waits for one, or to a new one.

    Args:
        folder: The job's.
        fresh: Whether it must be a new one.
    """
    child = None if fresh else _idle()
    if child is None:
        process = processes.start_logged(_MODULE, log=folder / LOG, stdin=subprocess.PIPE)
        child = Child(process, _surroundings())
    with contextlib.suppress(BrokenPipeError):  # it has just ended, which is seen later
        os.write(child.process.stdin.fileno(), json.dumps(str(folder)).encode() + b"\n")  # type: ignore[union-attr]  # a pipe
    return replace(child, jobs=child.jobs + 1)


def take_back(child: Child) -> None:
    """Have a process that did its job wait for another one."""
    _waiting.append(child)


def forget(tasks: Sequence[Task]) -> None:
    """End the processes that may hold code which changes until the next export.

    Args:
        tasks: What was exported last.
    """
    own = any(not is_known(module) for task in tasks for module in task.job.modules)
    if own or any(Path(task.job.model).is_file() for task in tasks):  # pickled, with its code
        close()


def close() -> None:
    """End all processes that wait."""
    while _waiting:
        _waiting.pop().kill()


def _idle() -> Child | None:
    here = _surroundings()
    while _waiting:
        child = _waiting.pop()
        if child.surroundings == here and child.process.poll() is None:
            return child
        if here[0] == child.surroundings[0]:
            child.kill()
    return None


def _surroundings() -> tuple[object, ...]:
    """Return what decides how a new process would begin; first, which process this one is."""
    variables = {name: value for name, value in os.environ.items() if name != _OF_NO_MATTER}
    here = Path().stat()  # a folder that is gone has no name
    return os.getpid(), (here.st_dev, here.st_ino), tuple(sys.path), variables


atexit.register(close)
