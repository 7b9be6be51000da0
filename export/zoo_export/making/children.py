"""The processes that convert: begun ahead, given one job after another, ended after a minute.

TensorFlow takes longer to import than a small model to convert. So a process begins while its
parent still reads the model, and one that converted waits for its next job.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from zoo_system import processes

_MODULE = "zoo_export.making.child"
# Set anew for every test by pytest; nothing that converts reads it.
_IRRELEVANT = "PYTEST_CURRENT_TEST"


@dataclass(frozen=True)
class Child:
    """A process that converts.

    Args:
        process: It takes the folders of its jobs on standard input.
        log: What it printed, in a file without a name.
        environment: What a process begun with its latest job would have taken over from this one.
        jobs: How many it was given.
    """

    process: subprocess.Popen[bytes]
    log: IO[bytes]
    environment: tuple[object, ...]
    jobs: int = 0

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def how_it_ended(self) -> str:
        """Return why it ended before its work was done, with its last words."""
        self.log.seek(0)
        return processes.how_it_ended(self.process, self.log.read(), "the converting process")


# Those that no export has at present. They end by themselves when nothing comes for a while.
_waiting: list[Child] = []


@contextlib.contextmanager
def ended_unless_used() -> Iterator[None]:
    """End what :func:`begin` has begun and no job came for: the model was refused, or Ctrl-C."""
    try:
        yield
    finally:
        for child in [child for child in _waiting if not child.jobs]:
            _waiting.remove(child)
            child.kill()


def begin() -> None:
    """Have a process wait for the next job of this export, which imports its libraries meanwhile.

    To be called before this process imports Keras or reads the model, once it is known that there
    will be a job.
    """
    _waiting.append(_idle() or _new())


def give(folder: Path, *, fresh: bool = False) -> Child:
    """Give a job to a process that waits for one, or to a new one.

    Args:
        folder: The job's.
        fresh: Whether it must be a new one.
    """
    child = (None if fresh else _idle()) or _new()
    with contextlib.suppress(BrokenPipeError):  # it has just ended, which is seen later
        os.write(child.process.stdin.fileno(), json.dumps(str(folder)).encode() + b"\n")  # type: ignore[union-attr]  # a pipe
    return replace(child, environment=_environment(), jobs=child.jobs + 1)


def is_waiting() -> bool:
    """Return whether a process waits that :func:`give` would take."""
    child = _idle()
    if child is not None:
        _waiting.append(child)
    return child is not None


def take_back(child: Child) -> None:
    """Have a process that did its job wait for another one."""
    _waiting.append(child)


def close() -> None:
    """End all processes that wait."""
    while _waiting:
        _waiting.pop().kill()


def _new() -> Child:
    log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process is known
    process = processes.start_logged(_MODULE, log=log, stdin=subprocess.PIPE)
    return Child(process, log, _environment())


def _idle() -> Child | None:
    here = _environment()
    while _waiting:
        child = _waiting.pop()
        is_ours = here[0] == child.environment[0]
        # Before its first job, what differs is what the libraries set that it imports as well.
        suits = child.environment == here or (is_ours and child.jobs == 0)
        if suits and child.process.poll() is None:
            return child
        if is_ours:
            child.kill()
    return None


def _environment() -> tuple[object, ...]:
    """Return what decides how a new process would begin; first, which process this one is."""
    variables = {name: value for name, value in os.environ.items() if name != _IRRELEVANT}
    here = Path().stat()  # a folder that is gone has no name
    return os.getpid(), (here.st_dev, here.st_ino), tuple(sys.path), variables


atexit.register(close)
