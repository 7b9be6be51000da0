"""One artifact's part of a measurement: its process, what that is asked, what is known so far."""

from __future__ import annotations

import json
import math
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_export.benchmarking.report import Latency, Measurement, free_memory
from zoo_registry import ZooError
from zoo_runtime.bundle import Bundle
from zoo_runtime.formats import find
from zoo_runtime.manifest import Artifact
from zoo_runtime.run_info import RunInfo
from zoo_runtime.trained import KERAS, check_keras
from zoo_system import processes
from zoo_system.folders import MODEL

TIME_LIMIT = 600.0
_FREE_AT_LEAST = 2.0  # times the artifact's bytes, for the weights that runtimes pack anew


class Turn:
    """One artifact, or a run in Keras, with one number of threads, and its process.

    A process that fails leaves the reason in the row; what it is asked afterwards does nothing.

    Args:
        folder: Of the bundle or run.
        row: What is known before anything is measured.
        batch: The larger batch, where it is taken.
        time_limit: Seconds that each answer of the process may take.
    """

    def __init__(
        self,
        folder: Path,
        row: Measurement,
        batch: int | None,
        time_limit: float,
    ) -> None:
        self.row = row
        self._folder = folder
        self._time_limit = time_limit
        self._batch = batch
        self._worker: Worker | None = None
        self._times: list[float] = []
        self._batch_times: list[float] = []

    def open(self, log: Path) -> None:
        """Start the process; it loads the artifact and runs it for the first time.

        Args:
            log: File for what the process prints.
        """
        try:
            check_memory(self.row.bytes, free_memory())
        except WorkerError as error:
            self.row = replace(self.row, error=str(error))
            return
        row = self.row
        self._worker = Worker(self._folder, row.format, row.threads, log, self._time_limit)
        self._learn(self._ask("open"))

    def measure(self, runs: int, max_seconds: float) -> None:
        """Measure the runs of one round.

        Args:
            runs: Runs at batch 1.
            max_seconds: Seconds for all of them.
        """
        self._times += self._ask("run", rows=1, runs=runs, seconds=max_seconds).get("times", [])
        if self._times:
            self._learn({"latency": Latency.of(self._times), "per_second": _rate(1, self._times)})
        if self._batch is None:
            return
        larger = {"rows": self._batch, "runs": math.ceil(runs / self._batch)}
        self._batch_times += self._ask("run", **larger, seconds=max_seconds).get("times", [])
        if self._batch_times:
            rate = _rate(self._batch, self._batch_times)
            self._learn({"batch": self._batch, "batch_per_second": rate})

    def finish(self, examples: Path | None) -> None:
        """Load the artifact again, compare it with Keras, and count right answers.

        Args:
            examples: Where they are, if there are any.
        """
        self._learn(self._ask("reload"))
        self._learn(self._ask("compare"))
        if examples is not None:
            self._learn({"accuracy": None, "keras_accuracy": None, "examples": 0})
            self._learn(self._ask("score", path=str(examples)))

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()

    def _learn(self, found: dict[str, Any]) -> None:
        self.row = replace(self.row, **found)

    def _ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        if self._worker is None or self.row.error is not None:
            return {}
        try:
            return self._worker.ask(what, **arguments)
        except WorkerError as error:
            self._learn({"error": str(error)})
            return {}


def of_bundle(
    bundle: Bundle, only: Sequence[str] | None, batch_size: int
) -> list[tuple[Measurement, int | None]]:
    """Return what is known of the artifacts of a bundle, and the larger batch that each takes.

    Args:
        bundle: The bundle.
        only: Formats; all by default.
        batch_size: The larger batch.

    Raises:
        UsageError: A format that it lacks.
    """
    found: list[tuple[Measurement, int | None]] = []
    for name in dict.fromkeys(find(word).name for word in only or map(_format, bundle.artifacts)):
        artifact = bundle.artifact(name)
        takes_any = isinstance(artifact.inputs[0].shape[0], str)
        takes = batch_size > 1 and (takes_any or batch_size in artifact.batch_sizes)
        row = Measurement(format=name, threads=None, bytes=artifact.bytes)
        stored = artifact.verification
        if stored.accuracy is not None:
            row = replace(
                row,
                accuracy=stored.accuracy,
                keras_accuracy=stored.keras_accuracy,
                examples=stored.examples,
            )
        found.append((row, batch_size if takes else None))
    return found


def of_run(
    folder: Path, info: RunInfo, only: Sequence[str] | None, batch_size: int
) -> tuple[Measurement, int | None]:
    """Return what is known of the model of a run, and the larger batch.

    Args:
        folder: Of the run.
        info: Its ``run.json``.
        only: Formats; a run has ``keras`` alone.
        batch_size: The larger batch.

    Raises:
        UsageError: Another format.
    """
    for word in only or ():
        check_keras(folder, word)
    file = folder / MODEL
    # One that is not there is an error of its row.
    row = Measurement(
        format=KERAS, threads=None, bytes=file.stat().st_size if file.is_file() else 0
    )
    accuracy, tested = info.metrics.get("accuracy"), info.dataset.splits.get("test")
    if accuracy is not None and tested is not None:
        row = replace(row, accuracy=accuracy, examples=tested.examples)
    return row, batch_size if batch_size > 1 else None


def packages_of(name: str) -> tuple[str, ...]:
    """Return the packages whose versions matter for a format, or for Keras."""
    return ("keras", "tensorflow") if name == KERAS else (find(name).requires,)


def _format(artifact: Artifact) -> str:
    return artifact.format


def _rate(rows: int, times: Sequence[float]) -> float:
    return round(1000 * rows * len(times) / sum(times), 2)


class WorkerError(ZooError):
    """A process that cannot go on; the message is the reason, for the row of its artifact."""


class Worker:
    """A process that holds one artifact in its runtime.

    Args:
        bundle: The bundle's folder.
        name: The artifact's format.
        threads: Threads of the runtime; its own choice by default.
        log: File for what the process prints.
        time_limit: Seconds that an answer may take.
    """

    def __init__(
        self, bundle: Path, name: str, threads: int | None, log: Path, time_limit: float
    ) -> None:
        self._log = log
        self._time_limit = time_limit
        with log.open("wb") as file:
            self._process = processes.start_logged(
                "zoo_export.benchmarking.child",
                str(bundle.resolve()),
                name,
                str(threads or 0),
                log=file,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Have the process do something and return its answer.

        Raises:
            WorkerError: It raised an error, ended, or took too long.
        """
        overdue = threading.Event()
        timer = threading.Timer(self._time_limit, self._kill, [overdue])
        timer.start()
        try:
            line = self._exchange(json.dumps({"do": what, **arguments}))
        finally:
            timer.cancel()
        if not line:
            raise WorkerError(self._why_it_ended(overdue.is_set()))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process; what it held is freed when this returns."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                _close(pipe)

    def _exchange(self, request: str) -> str:
        try:
            self._process.stdin.write(request + "\n")  # type: ignore[union-attr]  # both are pipes
            self._process.stdin.flush()  # type: ignore[union-attr]
            return str(self._process.stdout.readline())  # type: ignore[union-attr]
        except BrokenPipeError:
            return ""

    def _kill(self, overdue: threading.Event) -> None:
        overdue.set()
        self._process.kill()

    def _why_it_ended(self, overdue: bool) -> str:
        self._process.wait()
        if overdue:
            return f"its process took longer than {self._time_limit:g} s"
        return processes.how_it_ended(self._process, self._log.read_bytes(), "its process")


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:  # what it had still to say has no reader any more
        return


def check_memory(num_bytes: int, free: int | None) -> None:
    """Refuse to load what would push the machine, and all other processes, out of memory.

    Args:
        num_bytes: Size of the artifact.
        free: Memory that is left, if that is known.

    Raises:
        WorkerError: There is too little.

    Example:
        >>> check_memory(2_000_000, free=8_000_000)
    """
    needed = _FREE_AT_LEAST * num_bytes
    if free is not None and needed > free:
        raise WorkerError(
            f"it needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB is free"
        )
