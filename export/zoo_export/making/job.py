"""What the parent hands to the child process that converts, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.options import ExportOptions
from zoo_runtime import schema
from zoo_runtime.tensors import Array, Arrays, Tensor

_JOB, _RESULT, _SAMPLES, _OUTPUTS = "job.json", "result.json", "samples.npz", "outputs.npz"
_CALIBRATION = "calibration.npz"
LOG = "log.txt"


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
        dynamic: Whether the batch varies in a format that would fix it: what that costs is told.
        proof: Whether a copy with changed weights is converted and run on the samples as well.
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
    proof: bool = False


@dataclass(frozen=True)
class Task:
    """A job with the arrays that it works on.

    Args:
        job: What is to be done.
        cases: Sample batches to try the artifact on.
        calibration: Rows that the ranges of activations are measured on.
    """

    job: Job
    cases: tuple[Arrays, ...]
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


def write_task(folder: Path, task: Task) -> None:
    """Write a job and its arrays."""
    save_cases(folder / _SAMPLES, task.cases)
    save_cases(folder / _CALIBRATION, (task.calibration,))
    (folder / _JOB).write_text(json.dumps(asdict(task.job)), encoding="utf-8")


def read_task(folder: Path) -> Task:
    """Read what :func:`write_task` wrote."""
    data = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    calibration = load_cases(folder / _CALIBRATION)
    return Task(
        schema.read(Job, data, _JOB),
        load_cases(folder / _SAMPLES),
        calibration[0] if calibration else {},
    )


def write_result(folder: Path, result: Result, outputs: tuple[Arrays, ...] = ()) -> None:
    """Write the outputs, then the result, whose presence says that all is written."""
    save_cases(folder / _OUTPUTS, outputs)
    part = folder / f"{_RESULT}.part"
    part.write_text(json.dumps(asdict(result)), encoding="utf-8")
    part.rename(folder / _RESULT)


def has_result(folder: Path) -> bool:
    """Return whether :func:`write_result` has written all of it."""
    return (folder / _RESULT).is_file()


def read_result(folder: Path) -> tuple[Result, tuple[dict[str, Array], ...]]:
    """Read what :func:`write_result` wrote."""
    data = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
    return schema.read(Result, data, _RESULT), load_cases(folder / _OUTPUTS)


def save_cases(path: Path, cases: tuple[Arrays, ...]) -> None:
    """Write arrays by case and name."""
    flat = {f"{i}/{name}": array for i, case in enumerate(cases) for name, array in case.items()}
    with path.open("wb") as file:
        np.savez(file, **flat)  # type: ignore[arg-type]  # its stubs take the names for options


def load_cases(path: Path) -> tuple[dict[str, Array], ...]:
    """Read what :func:`save_cases` wrote."""
    cases: dict[int, dict[str, Array]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            number, _, name = key.partition("/")
            cases.setdefault(int(number), {})[name] = stored[key]
    return tuple(cases[number] for number in sorted(cases))
