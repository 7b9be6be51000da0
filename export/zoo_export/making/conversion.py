"""Conversions in child processes: the jobs, their results, and who does which."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.making import children
from zoo_export.making.children import Child
from zoo_export.options import ExportOptions
from zoo_export.reading.model_code import is_known
from zoo_runtime import schema
from zoo_runtime.errors import Blame, ExportError
from zoo_runtime.files import remove, size_of
from zoo_runtime.tensors import Array, Arrays, Tensor
from zoo_system import processes
from zoo_system.machine import free_bytes

_JOB, _RESULT, _SAMPLES, _OUTPUTS = "job.json", "result.json", "samples.npz", "outputs.npz"
_CALIBRATION = "calibration.npz"
WORKERS = 2
# What the hungriest converter, LiteRT's, took: so many times the weights, and its libraries.
_TIMES_WEIGHTS, _LIBRARIES = 9, 1_000_000_000
_POLL_SECONDS = 0.02
# What a start of a process costs. A job that waits for as long begins one: so it never costs more
# than twice what it would have, had it been known how long the others take.
_START_SECONDS = 5.0


@dataclass(frozen=True)
class Job:
    """One conversion.

    Args:
        format: Name of the format, for messages.
        converter: Target of the converter.
        runtime: Target of the runtime.
        model: The model as Keras loads it, a file or folder.
        modules: Modules to import first, which register the model's own layers.
        path: The artifact to write.
        inputs: Inputs of the artifact.
        outputs: Outputs of the artifact.
        about: What a file may say about itself: name, task, labels, preprocessing, license and
            versions, as plain data.
        options: How the file is made, as far as that is for its format.
        dynamic: Whether the batch varies in a format that would fix it: what that costs is
            measured.
        perturbed: Whether a copy with perturbed weights is converted and run on the samples too.
        generating: Target of what makes functions with a cache too, for language models.
        decoder: Target of what runs them.
        tolerance: Of the format.
        dialect: Target of what its runtime wants, where that continues texts by itself.
    """

    format: str
    converter: str
    runtime: str
    model: str
    modules: tuple[str, ...]
    path: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    options: ExportOptions = field(default_factory=ExportOptions)
    dynamic: bool = False
    perturbed: bool = False
    generating: str = ""
    decoder: str = ""
    tolerance: float = 0.0
    dialect: str = ""


@dataclass(frozen=True)
class LoadedJob:
    """A job with the arrays that it works on.

    Args:
        job: What is to be done.
        samples: Sample batches to run the artifact on.
        calibration: Rows that the ranges of activations are measured on.
    """

    job: Job
    samples: tuple[Arrays, ...]
    calibration: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How it went.

    Args:
        facts: What the converter found in the file.
        error: The cause of a failure.
        operators: The operators at fault and their layers.
        traceback: Where it failed, for ``--debug``.
        peak_mb: Peak memory of the process during the job, in MB.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    operators: tuple[tuple[str | None, ...], ...] = ()
    traceback: str = ""
    peak_mb: float = 0.0


def write_job(folder: Path, loaded: LoadedJob) -> None:
    """Write a job and its arrays."""
    save_batches(folder / _SAMPLES, loaded.samples)
    save_batches(folder / _CALIBRATION, (loaded.calibration,))
    (folder / _JOB).write_text(json.dumps(asdict(loaded.job)), encoding="utf-8")


def read_job(folder: Path) -> LoadedJob:
    """Read what :func:`write_job` wrote."""
    data = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    calibration = load_batches(folder / _CALIBRATION)
    return LoadedJob(
        schema.read(Job, data, _JOB),
        load_batches(folder / _SAMPLES),
        calibration[0] if calibration else {},
    )


def write_result(folder: Path, result: Result, outputs: tuple[Arrays, ...] = ()) -> None:
    """Write the outputs, then the result, whose presence says that all is written."""
    save_batches(folder / _OUTPUTS, outputs)
    part = folder / f"{_RESULT}.part"
    part.write_text(json.dumps(asdict(result)), encoding="utf-8")
    part.rename(folder / _RESULT)


def has_result(folder: Path) -> bool:
    """Return whether :func:`write_result` has written all of it."""
    return (folder / _RESULT).is_file()


def read_result(folder: Path) -> tuple[Result, tuple[dict[str, Array], ...]]:
    """Read what :func:`write_result` wrote."""
    data = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
    return schema.read(Result, data, _RESULT), load_batches(folder / _OUTPUTS)


def save_batches(path: Path, batches: tuple[Arrays, ...]) -> None:
    """Write arrays by batch and name."""
    flat = {
        f"{i}/{name}": array for i, batch in enumerate(batches) for name, array in batch.items()
    }
    with path.open("wb") as file:
        np.savez(file, **flat)  # type: ignore[arg-type]  # its stubs take the names for options


def load_batches(path: Path) -> tuple[dict[str, Array], ...]:
    """Read what :func:`save_batches` wrote."""
    batches: dict[int, dict[str, Array]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            index, _, name = key.partition("/")
            batches.setdefault(int(index), {})[name] = arrays[key]
    return tuple(batches[index] for index in sorted(batches))


@dataclass(frozen=True)
class Converted:
    """A conversion that ended.

    Args:
        job: What was to be done.
        seconds: How long it took, with the start of the process where a new one was needed.
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
class _Running:
    job: Job
    folder: Path
    child: Child
    started: float


def workers(weights: int, free: int | None) -> int:
    """Return how many conversions of a model may run side by side.

    Args:
        weights: Bytes of the model.
        free: Bytes of memory that are available, ``None`` where that is unknown.

    Example:
        >>> workers(weights=440_000_000, free=16_000_000_000)  # bert-base
        2
        >>> workers(weights=1_340_000_000, free=16_000_000_000)  # bert-large
        1
    """
    needed = _TIMES_WEIGHTS * weights + _LIBRARIES
    return WORKERS if free is None or WORKERS * needed <= free else 1


def convert_all(
    jobs: Sequence[LoadedJob],
    work: Path,
    *,
    time_limit: float,
    started: Callable[[str], None],
) -> Iterator[Converted]:
    """Carry out the jobs, two at a time if memory allows, and yield each as it ends.

    Args:
        jobs: Every job with its arrays.
        work: A folder for what the processes exchange.
        time_limit: Seconds after which a process is killed.
        started: Called with the format's name as its process starts.
    """
    waiting = list(jobs)
    running: list[_Running] = []
    largest = max((size_of(Path(loaded.job.model)) for loaded in jobs), default=0)
    count = workers(largest, free_bytes())
    try:
        while waiting or running:
            while waiting and _has_room(running, count):
                loaded = waiting.pop(0)
                started(loaded.job.format)
                running.append(_start(loaded, work))
            for one in [r for r in running if _is_over(r, time_limit)]:
                running.remove(one)
                if _may_suffer_from_others(one, time_limit):
                    remove(Path(one.job.path))
                    running.append(_begin(one.job, one.folder, fresh=True))
                else:
                    yield _end(one, time_limit)
            time.sleep(_POLL_SECONDS)
    finally:
        for one in running:  # Ctrl-C, or an error of the caller
            one.child.kill()
        _forget(jobs)


def _has_room(running: Sequence[_Running], count: int) -> bool:
    """Return whether one more job is begun beside those that run, of which there may be a count.

    Most models are converted before another process could begin: one waits for the first then.
    """
    if len(running) >= count:
        return False
    latest = max((one.started for one in running), default=0.0)
    return time.monotonic() - latest > _START_SECONDS or not running or children.is_waiting()


def _start(loaded: LoadedJob, work: Path) -> _Running:
    folder = work / f"job-{loaded.job.format.replace(':', '-')}"
    folder.mkdir()
    write_job(folder, loaded)
    return _begin(loaded.job, folder)


def _begin(job: Job, folder: Path, *, fresh: bool = False) -> _Running:
    started = time.monotonic()
    return _Running(job, folder, children.give(folder, fresh=fresh), started)


def _is_over(one: _Running, time_limit: float) -> bool:
    if has_result(one.folder):
        children.take_back(one.child)
        return True
    if one.child.process.poll() is None and time.monotonic() - one.started < time_limit:
        return False
    one.child.kill()
    return True


def _may_suffer_from_others(one: _Running, time_limit: float) -> bool:
    """Return whether a process ended in this job that had done others before: these may be why."""
    in_time = time.monotonic() - one.started < time_limit
    return in_time and one.child.jobs > 1 and not has_result(one.folder)


def _end(one: _Running, time_limit: float) -> Converted:
    seconds = round(time.monotonic() - one.started, 2)
    if not has_result(one.folder):
        timed_out = seconds >= time_limit
        cause = f"it took longer than {time_limit:g} s" if timed_out else one.child.how_it_ended()
        return Converted(one.job, seconds, error=ExportError(cause))
    result, outputs = read_result(one.folder)
    if result.error is None:
        return Converted(one.job, seconds, result, outputs)
    blames = [Blame(str(operator), layer) for operator, layer in result.operators]
    full = "the disk is full: " if processes.FULL_DISK in result.error else ""
    error = ExportError(full + result.error, blames)
    error.add_note(f"In the child process:\n{result.traceback}")
    return Converted(one.job, seconds, error=error)


def _forget(jobs: Sequence[LoadedJob]) -> None:
    """End the processes that may hold code which changes until the next export."""
    own = any(not is_known(module) for loaded in jobs for module in loaded.job.modules)
    if own or any(Path(loaded.job.model).is_file() for loaded in jobs):  # pickled, with its code
        children.close()
