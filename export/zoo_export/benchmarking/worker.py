"""The parent's side of one process that is measured."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

from zoo_registry import ZooError
from zoo_system import processes

TIME_LIMIT = 600.0
_FREE_AT_LEAST = 2.0  # times the artifact's bytes, for the weights that runtimes pack anew


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
        self._process = processes.start_logged(
            "zoo_export.benchmarking.child",
            str(bundle.resolve()),
            name,
            str(threads or 0),
            log=log,
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
        return processes.how_it_ended(self._process, self._log, "its process")


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
