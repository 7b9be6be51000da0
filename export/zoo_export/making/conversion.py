"""Conversions in child processes: the jobs, their results, and who does which."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
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
_CALIBRATION, _FIRST, _TRIAL = "calibration.npz", "first.npz", "trial.json"
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
    generating: str = ""
    decoder: str = ""
    tolerance: float = 0.0
    dialect: str = ""


@dataclass(frozen=True)
class Trial:
    """What a file is run on.

    Args:
        samples: Sample batches.
        perturbed: Whether a copy with perturbed weights is converted and run on them too.
    """

    samples: tuple[Arrays, ...]
    perturbed: bool = False


@dataclass(frozen=True)
class LoadedJob:
    """A job with the arrays that it works on.

    Args:
        job: What is to be done.
        first: The first sample batch.
        trial: Returns what the file is to be run on. The parent makes that while a child converts,
            which waits for it then.
        calibration: Rows that the ranges of activations are measured on.
    """

    job: Job
    first: Arrays
    trial: Callable[[], Trial]
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
    """Write all of a job but its trial."""
    save_batches(folder / _FIRST, (loaded.first,))
    save_batches(folder / _CALIBRATION, (loaded.calibration,))
    (folder / _JOB).write_text(json.dumps(asdict(loaded.job)), encoding="utf-8")


def read_job(folder: Path) -> LoadedJob:
    """Read what :func:`write_job` wrote; the trial is waited for when it is asked for."""
    data = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    (first,), calibration = (load_batches(folder / name) for name in (_FIRST, _CALIBRATION))
    return LoadedJob(
        schema.read(Job, data, _JOB),
        first,
        partial(_read_trial, folder),
        calibration[0] if calibration else {},
    )


def write_trial(folder: Path, trial: Trial) -> None:
    """Write what a file is run on; then whether a copy is too, whose presence says that all is."""
    save_batches(folder / _SAMPLES, trial.samples)
    _write_last(folder / _TRIAL, trial.perturbed)


def _read_trial(folder: Path) -> Trial:
    while not (folder / _TRIAL).is_file():
        time.sleep(_POLL_SECONDS)
    perturbed = json.loads((folder / _TRIAL).read_text(encoding="utf-8"))
    return Trial(load_batches(folder / _SAMPLES), perturbed)


def write_result(folder: Path, result: Result, outputs: tuple[Arrays, ...] = ()) -> None:
    """Write the outputs, then the result, whose presence says that all is written."""
    save_batches(folder / _OUTPUTS, outputs)
    _write_last(folder / _RESULT, asdict(result))


def has_result(folder: Path) -> bool:
    """Return whether :func:`write_result` has written all of it."""
    return (folder / _RESULT).is_file()


def read_result(folder: Path) -> tuple[Result, tuple[dict[str, Array], ...]]:
    """Read what :func:`write_result` wrote."""
    data = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
    return schema.read(Result, data, _RESULT), load_batches(folder / _OUTPUTS)


def _write_last(path: Path, data: object) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(data), encoding="utf-8")
    part.rename(path)


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
        seconds: How long it took, with the start of the process where a new one was needed, and
            with what it waited for Keras.
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
    ends: float = math.inf


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

    The samples of the first are made by Keras while it is converted, if memory allows.

    Args:
        jobs: Every job with its arrays.
        work: A folder for what the processes exchange.
        time_limit: Seconds after which a process is killed, from when it has all that it needs.
        started: Called with the format's name as its process starts.
    """
    waiting = list(jobs)
    running: list[_Running] = []
    largest = max((size_of(Path(loaded.job.model)) for loaded in jobs), default=0)
    count = workers(largest, free_bytes())
    if count == 1:  # Keras needs as much as a conversion
        for loaded in jobs:
            loaded.trial()
    try:
        while waiting or running:
            while waiting and _has_room(running, count):
                loaded = waiting.pop(0)
                started(loaded.job.format)
                running.append(_start(loaded, work))
                write_trial(running[-1].folder, loaded.trial())
                running[-1] = _limited(running[-1], time_limit)
            for one in [each for each in running if _is_over(each)]:
                running.remove(one)
                if _may_suffer_from_others(one):
                    remove(Path(one.job.path))
                    again = _begin(one.job, one.folder, fresh=True)
                    running.append(_limited(again, time_limit))
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


def _limited(one: _Running, time_limit: float) -> _Running:
    return replace(one, ends=time.monotonic() + time_limit)


def _is_over(one: _Running) -> bool:
    if has_result(one.folder):
        children.take_back(one.child)
        return True
    if one.child.process.poll() is None and time.monotonic() < one.ends:
        return False
    one.child.kill()
    return True


def _may_suffer_from_others(one: _Running) -> bool:
    """Return whether a process ended in this job that had done others before: these may be why."""
    return time.monotonic() < one.ends and one.child.jobs > 1 and not has_result(one.folder)


def _end(one: _Running, time_limit: float) -> Converted:
    seconds = round(time.monotonic() - one.started, 2)
    if not has_result(one.folder):
        timed_out = time.monotonic() >= one.ends
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
