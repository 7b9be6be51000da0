"""What a server runs: a model of texts, or one of tensors, in a thread of its own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.contents import Contents
from zoo_runtime.generation.by_runtime import Generator
from zoo_runtime.manifest import EDGES, SAMPLES
from zoo_runtime.running import Runner
from zoo_runtime.saved_samples import load_samples
from zoo_runtime.serving.failures import RequestError
from zoo_runtime.serving.metrics import Metrics
from zoo_runtime.serving.queueing import Job, Worker
from zoo_runtime.serving.raws import RAW, RawInputs
from zoo_runtime.serving.tensors import described
from zoo_runtime.serving.texts import Asked
from zoo_runtime.tensors import BATCH, Array, Arrays, batches, bind, evenly_rows, joined
from zoo_runtime.trained import Trained

# A difference of rounding, as a fraction of the largest value: a row that depends on another one
# through the range of its batch changes by ten times as much.
_ROUNDING = 1e-4
# Rows of each shape that are tried beside each other.
_TRIED = 8


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Args:
        max_body: Bytes of a request.
        max_queue: Requests that wait for a model.
        timeout: Seconds that a request takes at most, its wait included.
        max_batch: Rows that are run together, and texts of one request.
    """

    max_body: int = 32_000_000
    max_queue: int = 64
    timeout: float = 120.0
    max_batch: int = 32

    def __post_init__(self) -> None:
        for name in ("max_body", "max_queue", "timeout", "max_batch"):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"{name}={value!r} is not a number above 0.")


class TextModel:
    """A language model that is served.

    Args:
        name: What clients call it.
        generator: It, with its tokenizer.
        limits: What is taken.
        metrics: What is counted.
    """

    is_text = True

    def __init__(self, name: str, generator: Generator, limits: Limits, metrics: Metrics) -> None:
        self.name, self.generator, self._limits = name, generator, limits
        self.worker = Worker(
            self._write, max_queue=limits.max_queue, on_batch=metrics.batch_rows.observe
        )

    def submit(self, asked: Asked) -> Job:
        """Have texts wait for their turn; the job gives :class:`Piece` after piece.

        Raises:
            RequestError: More texts than are written together, or a queue that is full.
        """
        if asked.texts > self._limits.max_batch:
            raise RequestError(
                400,
                f"The request asks for {asked.texts} texts, and this server writes "
                f"{self._limits.max_batch} at a time (--max-batch): send several requests.",
                "too_many_texts",
                "n" if asked.count > 1 else "prompt",
            )
        job = Job(asked, asked.texts)
        self.worker.submit(job)
        return job

    def _write(self, jobs: Sequence[Job]) -> None:
        (job,) = jobs
        asked, generator = job.task, self.generator.until(lambda: job.is_cancelled)
        for piece in generator.stream(asked.prompts, is_whole=asked.is_chat, **asked.options):
            job.give(piece)


class TensorModel:
    """A model of tensors that is served; requests that wait together are run together.

    Args:
        name: What clients call it.
        trained: The run or bundle.
        runtime: What computes it.
        runner: It, loaded there.
        limits: What is taken.
        metrics: What is counted.
    """

    is_text = False

    def __init__(
        self,
        name: str,
        trained: Trained,
        runtime: str,
        runner: Runner,
        *,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.name, self.trained, self.runtime, self.runner = name, trained, runtime, runner
        self.raws = RawInputs(trained)
        self.max_rows = _rows_together(trained, self.runner, limits.max_batch)
        self._accepted = [replace(t, shape=(BATCH, *t.shape[1:])) for t in self.runner.inputs]
        self.worker = Worker(
            self._run,
            max_queue=limits.max_queue,
            max_rows=self.max_rows,
            on_batch=metrics.batch_rows.observe,
        )

    def submit(self, arrays: Arrays) -> Job:
        """Have rows wait for their turn; the job gives the outputs by name.

        Raises:
            UsageError: Inputs that the model does not take.
            RequestError: A queue that is full.
        """
        bound = bind(self._accepted, arrays)
        key: Hashable = None
        if self.max_rows > 1:
            key = tuple((name, array.shape[1:]) for name, array in bound.items())
        job = Job(bound, len(next(iter(bound.values()))), key)
        self.worker.submit(job)
        return job

    def metadata(self) -> Mapping[str, Any]:
        """Return what the protocol says of a model."""
        about = {"task": self.trained.task, "labels": self.trained.labels, RAW: self.raws.kind}
        return {
            "name": self.name,
            "versions": [],
            "platform": self.runtime,
            "inputs": described(self.runner.inputs),
            "outputs": described(self.runner.outputs),
            "parameters": {key: value for key, value in about.items() if value is not None},
        }

    def _run(self, jobs: Sequence[Job]) -> None:
        rows = joined([job.task for job in jobs])
        size = self.max_rows if self.max_rows > 1 else len(next(iter(rows.values())))
        outputs = joined([self.runner.run(part) for part in batches(rows, size)])
        start = 0
        for job in jobs:
            job.give({name: array[start : start + job.rows] for name, array in outputs.items()})
            start += job.rows


def _rows_together(trained: Trained, runner: Runner, most: int) -> int:
    """Return how many rows of different requests may be run together.

    That is one where it saves nothing, because the file takes one row at a time, and where the
    answer to a row depends on those beside it, as in files that quantize by the range of a batch.
    """
    most = min([most, *([max(runner.batch_sizes)] if runner.batch_sizes else [])])
    if most == 1 or not isinstance(trained, Contents):
        return 1
    with trained.as_recorded(SAMPLES, EDGES):
        samples = [
            sample.inputs
            for part in (SAMPLES, EDGES)
            if (trained.path / part).is_file()
            for sample in load_samples(trained.path / part, trained.inputs)
        ]
    return most if _are_independent(runner, samples) else 1


def _are_independent(runner: Runner, samples: Sequence[Arrays]) -> bool:
    """Whether every row of some samples gets the same answer alone as beside all others."""
    groups: dict[Hashable, list[Arrays]] = {}
    for rows in samples:
        key = tuple(sorted((name, array.shape[1:]) for name, array in rows.items()))
        groups.setdefault(key, []).append(rows)
    for group in groups.values():
        rows = evenly_rows(joined(group), _TRIED)
        together = runner.run(rows)
        for index, row in enumerate(batches(rows, 1)):
            for name, alone in runner.run(row).items():
                if not _is_same(alone, together[name][index : index + 1]):
                    return False
    return bool(groups)


def _is_same(alone: Array, beside: Array) -> bool:
    if alone.shape != beside.shape:
        return False
    if alone.dtype.kind != "f":
        return bool(np.array_equal(alone, beside))
    largest = float(np.abs(alone[np.isfinite(alone)]).max(initial=0.0))
    return bool(np.allclose(alone, beside, rtol=0, atol=_ROUNDING * largest, equal_nan=True))
