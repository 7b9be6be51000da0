"""Running conversions in child processes, side by side, and reading how each one ended."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo_export import processes
from zoo_export.converters.job import Job, Result, Task, read_result, write_task
from zoo_export.errors import Blame, ExportError
from zoo_export.files import size_of
from zoo_export.tensors import Array
from zoo_registry.machine import free_bytes

WORKERS = 2
# What the hungriest converter, LiteRT's, took: so many times the weights, and its libraries.
_TIMES_WEIGHTS, _LIBRARIES = 9, 1_000_000_000
_POLL_SECONDS = 0.05
_LOG = "log.txt"


@dataclass(frozen=True)
class Converted:
    """A conversion that ended.

    Args:
        job: What was to be done.
        seconds: How long the process lived.
        result: Facts and peak memory; ``None`` if it failed.
        outputs: What the artifact gave for each sample batch.
        error: The failure, without model and format.
    """

    job: Job
    seconds: float
    result: Result | None = None
    outputs: tuple[dict[str, Array], ...] = ()
    error: ExportError | None = None


@dataclass(frozen=True)
class _Child:
    job: Job
    folder: Path
    process: subprocess.Popen[bytes]
    started: float


def workers(weights: int, free: int | None) -> int:
    """Return how many conversions of a model may run side by side.

    Args:
        weights: Bytes of the model.
        free: Bytes of memory that can be had, ``None`` where that is unknown.

    Example:
        >>> workers(weights=440_000_000, free=16_000_000_000)  # bert-base
        2
        >>> workers(weights=1_340_000_000, free=16_000_000_000)  # bert-large
        1
    """
    needed = _TIMES_WEIGHTS * weights + _LIBRARIES
    return WORKERS if free is None or WORKERS * needed <= free else 1


def convert_all(
    tasks: Sequence[Task],
    work: Path,
    *,
    time_limit: float,
    started: Callable[[str], None],
) -> Iterator[Converted]:
    """Carry out the tasks, two at a time if memory allows, and yield each as it ends.

    Args:
        tasks: Every job with its arrays.
        work: A folder for what the processes exchange.
        time_limit: Seconds after which a process is killed.
        started: Called with the format's name as its process starts.
    """
    waiting = list(tasks)
    running: list[_Child] = []
    largest = max((size_of(Path(task.job.model)) for task in tasks), default=0)
    count = workers(largest, free_bytes())
    try:
        while waiting or running:
            while waiting and len(running) < count:
                task = waiting.pop(0)
                started(task.job.format)
                running.append(_start(task, work))
            for child in [c for c in running if _is_over(c, time_limit)]:
                running.remove(child)
                yield _end(child, time_limit)
            time.sleep(_POLL_SECONDS)
    finally:
        for child in running:  # Ctrl-C, or an error of the caller
            child.process.kill()
            child.process.wait()


def _start(task: Task, work: Path) -> _Child:
    folder = work / f"job-{task.job.format.replace(':', '-')}"
    folder.mkdir()
    write_task(folder, task)
    process = processes.start("zoo_export.converters.child", str(folder), log=folder / _LOG)
    return _Child(task.job, folder, process, time.monotonic())


def _is_over(child: _Child, time_limit: float) -> bool:
    if child.process.poll() is not None:
        return True
    if time.monotonic() - child.started < time_limit:
        return False
    child.process.kill()
    child.process.wait()
    return True


def _end(child: _Child, time_limit: float) -> Converted:
    seconds = round(time.monotonic() - child.started, 2)
    ended = read_result(child.folder) if child.process.returncode == 0 else None
    if ended is None:
        timed_out = seconds >= time_limit
        cause = f"it took longer than {time_limit:g} s"
        if not timed_out:
            cause = processes.how_it_ended(
                child.process, child.folder / _LOG, "the converting process"
            )
        return Converted(child.job, seconds, error=ExportError(cause))
    result, outputs = ended
    if result.error is None:
        return Converted(child.job, seconds, result, outputs)
    blames = [Blame(str(operator), layer) for operator, layer in result.operators]
    full = "the disk is full: " if processes.FULL_DISK in result.error else ""
    error = ExportError(full + result.error, blames)
    error.add_note(f"In the child process:\n{result.traceback}")
    return Converted(child.job, seconds, error=error)
