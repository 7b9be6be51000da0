"""Starts workers on this machine, watches them, and starts all again when one of them is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_recipes.distributed.cluster import TF_CONFIG, Workers, free_addresses
from zoo_recipes.distributed.outcomes import Failure, Outcome, cause, read_outcome
from zoo_recipes.distributed.worker import has_begun, start
from zoo_recipes.run import Run, load_run, read_run
from zoo_recipes.training.checkpoints import newest
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import resuming
from zoo_system import processes

_POLL = 0.1
# What several workers fail of, and the one that was the cause, shows within this time.
_TOGETHER = 2.0
# To finish a step and to write a checkpoint after Ctrl-C.
_PATIENCE = 60.0
_LAST_LINES = 15
# How long the driver may take to list its GPUs.
_MOST_SECONDS = 30.0
RunTeam = Callable[[Mapping[str, Any], int], Failure | None]


def supervise(job: Mapping[str, Any], workers: Workers, run_team: RunTeam) -> Run:
    """Train with several processes until they have come to the end.

    Args:
        job: What :func:`zoo_recipes.training.worker.work` does.
        workers: How many, and how often they start again.
        run_team: Starts the workers once and returns why they failed, or ``None``.

    Returns:
        The complete run.

    Raises:
        ZooError: What a worker failed of, or too many were lost.
        KeyboardInterrupt: It was asked to stop; what had begun can be resumed.
    """
    folder = Path(job["folder"])
    for restart in range(1, workers.restarts + 2):
        with _sigterm_as_ctrl_c():
            failure = run_team(job, workers.number)
        if failure is None:
            return load_run(folder)
        run = folder if has_begun(job) else None
        if not failure.is_loss:
            raise _error(failure, run)
        if restart <= workers.restarts:
            _tell(failure, run, restart, workers)
    message = f"{failure}, after {workers.restarts} restarts."
    if run is not None:
        _change(run, status="failed", error=message)
        message += f" Go on with `{resuming(run)}`."
    raise ZooError(f"Training was given up: {message}")


def run_here(job: Mapping[str, Any], number: int) -> Failure | None:
    """Start workers on this machine.

    Returns why they failed, or ``None``.

    Args:
        job: What :func:`zoo_recipes.training.worker.work` does.
        number: How many workers.

    Raises:
        UsageError: More workers than GPUs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return _Team(job, number, Path(scratch)).run()


class _Team:
    """Workers that end together."""

    def __init__(self, job: Mapping[str, Any], number: int, scratch: Path) -> None:
        self.scratch = scratch
        path = scratch / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        addresses = free_addresses(number)
        self.processes = [
            self._start(rank, environment)
            for rank, environment in enumerate(_environments(addresses))
        ]

    def _start(self, rank: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        job, outcome = self.scratch / "job.json", self._outcome(rank)
        if rank == 0:  # tells how the training goes
            return start(job, outcome, environment)
        with self._log(rank).open("wb") as log:
            return start(job, outcome, environment, log)

    def _log(self, rank: int) -> Path:
        return self.scratch / f"worker-{rank}.log"

    def _outcome(self, rank: int) -> Path:
        return self.scratch / f"outcome-{rank}.json"

    def run(self) -> Failure | None:
        """Return why the training failed, or ``None``; no worker is left then."""
        try:
            while not any(self._codes()):
                if all(code == 0 for code in self._codes()):
                    return None
                time.sleep(_POLL)
            first = self._codes()
            self._wait(_TOGETHER)
            return self._cause(first)
        except KeyboardInterrupt:
            for process in self.processes:
                process.terminate()
            self._wait(_PATIENCE)
            return Failure(0, 1, read_outcome(self._outcome(0)) or Outcome("interrupted", ""))
        finally:
            self._end()

    def _codes(self) -> list[int | None]:
        return [process.poll() for process in self.processes]

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while None in self._codes() and time.monotonic() < until:
            time.sleep(_POLL)

    def _cause(self, first: Sequence[int | None]) -> Failure:
        failures = [
            Failure(rank, code, read_outcome(self._outcome(rank)), self._last_lines(rank))
            for rank, code in enumerate(self._codes())
            if code
        ]
        # TensorFlow may abort a worker that has lost another one.
        return cause(sorted(failures, key=lambda failure: not first[failure.rank]))

    def _last_lines(self, rank: int) -> str:
        outcome, log = read_outcome(self._outcome(rank)), self._log(rank)
        if not log.exists() or (outcome and outcome.kind != "bug"):
            return ""
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(["\nIts last lines:", *lines[-_LAST_LINES:]])

    def _end(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


def _environments(addresses: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the addresses that each worker gets, and which GPU is its own."""
    gpus = _gpus()
    if gpus and len(gpus) < len(addresses):
        raise UsageError(
            f"{len(addresses)} workers need a GPU each, and this machine has {len(gpus)}: take "
            'fewer, or set CUDA_VISIBLE_DEVICES="" to train on the CPU.'
        )
    for rank in range(len(addresses)):
        task = {"type": "worker", "index": rank}
        environment = {TF_CONFIG: json.dumps({"cluster": {"worker": addresses}, "task": task})}
        yield environment | ({"CUDA_VISIBLE_DEVICES": gpus[rank]} if gpus else {})


def _gpus() -> list[str]:
    """Return the GPUs by ``CUDA_VISIBLE_DEVICES``; TensorFlow would take their memory."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    try:
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        found = processes.run_program(command, _MOST_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return []  # no driver, or one that hangs
    return [] if found.returncode else found.stdout.split()


def _error(failure: Failure, folder: Path | None) -> BaseException:
    """Return what to raise for what a new start would not change."""
    outcome = failure.outcome
    if outcome is None or outcome.kind == "bug":
        return ZooError(f"Training failed: {failure}")
    if outcome.kind != "interrupted":
        return (UsageError if outcome.kind == "usage" else ZooError)(outcome.message)
    # A worker that was killed before it could say so has left the run as it was.
    if folder is not None and read_run(folder).status == "running":
        _change(folder, status="interrupted")
    return KeyboardInterrupt(*filter(None, [outcome.message]))


def _tell(failure: Failure, folder: Path | None, restart: int, workers: Workers) -> None:
    """Say that all start again, and note it in the run."""
    checkpoint = newest(folder) if folder else None
    where = str(checkpoint.position) if checkpoint else "the beginning"
    warnings.warn(
        f"{failure}: all {workers.number} start again from {where} "
        f"(restart {restart} of {workers.restarts})",
        stacklevel=4,
    )
    if folder is not None:
        lost = [*read_run(folder).info.restarts, {"cause": str(failure), "from": where}]
        _change(folder, restarts=tuple(lost))


def _change(folder: Path, **changes: Any) -> None:
    replace(read_run(folder).info, **changes).write(folder)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Outside of the main thread Python knows no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
