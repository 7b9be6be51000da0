"""How fast, how large and how near to Keras each artifact of a bundle is on this machine."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.benchmarking import machine
from zoo_export.benchmarking.report import Latency, Report, Row
from zoo_export.benchmarking.worker import TIME_LIMIT, Worker, WorkerError, check_memory
from zoo_export.bundle import Bundle, load_bundle
from zoo_export.converters.job import save_cases
from zoo_export.formats import find
from zoo_export.manifest import Artifact
from zoo_export.tensors import Array, bind
from zoo_registry import UsageError

# In so many turns each process measures its runs, so that all see the same weather.
ROUNDS = 10
BATCH_SIZE = 8
RUNS = 100
MAX_SECONDS = 10.0
OnStep = Callable[[int, int, str], None]


@dataclass
class _Turn:
    """What is known of one artifact with one number of threads so far."""

    artifact: Artifact
    row: Row
    worker: Worker | None = None
    times: list[float] = field(default_factory=list)
    batch_times: list[float] = field(default_factory=list)


def bench(
    bundle: Bundle | str | Path,
    *,
    only: Sequence[str] | None = None,
    threads: Sequence[int | None] = (1,),
    runs: int = RUNS,
    max_seconds: float = MAX_SECONDS,
    batch_size: int = BATCH_SIZE,
    data: tuple[Mapping[str, Any], Any] | None = None,
    time_limit: float = TIME_LIMIT,
    on_step: OnStep | None = None,
) -> Report:
    """Measure every artifact of a bundle, each in a fresh process, in turns.

    All processes are loaded one after the other; then they measure a few runs each, again and
    again, so that whatever else the machine does falls on all alike. Neither TensorFlow nor Keras
    is imported but to run a SavedModel. A process that dies costs its own row only.

    Args:
        bundle: A bundle or its folder; a folder is checked byte by byte first.
        only: Formats to measure, as ``FORMAT[:SCHEME]``; all by default.
        threads: Numbers of threads; ``None`` is each runtime's own choice.
        runs: Runs at batch 1 that count.
        max_seconds: An artifact has had its share after so long, whatever its number of runs.
        batch_size: The larger batch for artifacts that take any.
        data: Inputs by name and the right answers, to count on; without them the accuracy is the
            one that was measured at export, where there is one.
        time_limit: Seconds after which a process that does not answer is ended.
        on_step: Called with steps done, steps in all, and what comes next.

    Returns:
        Figures, a row for each artifact and number of threads, and facts about the machine.

    Raises:
        UsageError: A format that the bundle lacks, or a number that cannot be used.

    Example:
        >>> import keras, tempfile, zoo_export
        >>> inputs = keras.Input((4,), name="features")
        >>> model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))
        >>> tiny = zoo_export.export(model, to=["onnx"], out=tempfile.mkdtemp() + "/t", name="t")
        >>> (row,) = zoo_export.bench(tiny, runs=20).rows
        >>> row.format, row.threads, row.latency.runs, row.error
        ('onnx', 1, 20, None)
    """
    bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    _check_numbers(threads, runs, batch_size)
    names = dict.fromkeys(find(word).name for word in only or [a.format for a in bundle.artifacts])
    turns = [
        _Turn(artifact, _row(artifact, count))
        for artifact in map(bundle.artifact, names)
        for count in dict.fromkeys(threads)
    ]
    load_before = machine.load()
    with tempfile.TemporaryDirectory() as folder, _steps(turns, on_step) as step:
        examples = _save(bundle, data, Path(folder))
        try:
            for number, turn in enumerate(turns):
                step(f"loading {turn.row.format}")
                log = Path(folder) / f"{number}.log"
                _tried(turn, _open, bundle, log, time_limit)
            for number in range(ROUNDS):
                for turn in turns:
                    step(f"round {number + 1} of {ROUNDS}")
                    _tried(turn, _measure, runs, max_seconds, batch_size)
            for turn in turns:
                step(f"comparing {turn.row.format}")
                _tried(turn, _finish, batch_size, examples)
        finally:
            for turn in turns:
                if turn.worker is not None:
                    turn.worker.close()
    packages = ["kerazoo", "numpy", *(find(turn.row.format).requires for turn in turns)]
    return Report(
        name=bundle.name,
        bundle=str(bundle.path),
        rows=tuple(turn.row for turn in turns),
        machine=machine.look(dict.fromkeys(packages), load_before),
        warnings=machine.warnings(load_before),
    )


def measure(
    bundle: Bundle,
    *,
    runs: int = RUNS,
    threads: int | None = None,
    max_seconds: float = MAX_SECONDS,
) -> dict[str, float]:
    """Return the median milliseconds of one run at batch 1, by format.

    Args:
        bundle: The bundle; the first of its stored samples is what is run.
        runs: Runs of each format that count.
        threads: Threads to use; each runtime's own choice by default.
        max_seconds: A format has had its share after so long.

    Raises:
        UsageError: A format that cannot be measured; the message says why.
    """
    report = bench(bundle, runs=runs, threads=(threads,), max_seconds=max_seconds)
    for row in report.rows:
        if row.latency is None:
            raise UsageError(f"'{row.format}' of '{bundle.path}' was not measured: {row.error}")
    return {row.format: row.latency.p50 for row in report.rows if row.latency is not None}


def _check_numbers(threads: Sequence[int | None], runs: int, batch_size: int) -> None:
    wanted = [("threads", n) for n in threads if n is not None]
    for name, number in [*wanted, ("runs", runs), ("batch_size", batch_size)]:
        if number < 1:
            raise UsageError(f"{name}={number}: use 1 or more.")
    if not threads:
        raise UsageError("There is no number of threads to measure with: name at least one.")


def _row(artifact: Artifact, threads: int | None) -> Row:
    stored = artifact.verification
    known: dict[str, Any] = {}
    if stored.accuracy is not None:
        known = {
            "accuracy": stored.accuracy,
            "keras_accuracy": stored.keras_accuracy,
            "examples": stored.examples,
        }
    return Row(format=artifact.format, threads=threads, bytes=artifact.bytes, **known)


@contextmanager
def _steps(turns: Sequence[_Turn], on_step: OnStep | None) -> Iterator[Callable[[str], None]]:
    total, done = len(turns) * (ROUNDS + 2), 0

    def step(what: str) -> None:
        nonlocal done
        if on_step is not None:
            on_step(done, total, what)
        done += 1

    yield step
    if on_step is not None:
        on_step(total, total, "measured")


def _tried(turn: _Turn, act: Callable[..., None], *arguments: Any) -> None:
    if turn.row.error is not None:
        return
    try:
        act(turn, *arguments)
    except WorkerError as error:
        turn.row = replace(turn.row, error=str(error))


def _open(turn: _Turn, bundle: Bundle, log: Path, time_limit: float) -> None:
    check_memory(turn.row.bytes, machine.free_memory())
    turn.worker = Worker(bundle.path, turn.row.format, turn.row.threads, log, time_limit)
    turn.row = replace(turn.row, **turn.worker.ask("open"))


def _measure(turn: _Turn, runs: int, max_seconds: float, batch_size: int) -> None:
    if turn.worker is None:
        return
    share = {"runs": math.ceil(runs / ROUNDS), "seconds": max_seconds / ROUNDS}
    turn.times += turn.worker.ask("run", rows=1, **share)["times"]
    if _takes_any_batch(turn.artifact):
        share["runs"] = math.ceil(share["runs"] / batch_size)
        turn.batch_times += turn.worker.ask("run", rows=batch_size, **share)["times"]
    # What is known stays, if the process should die later.
    turn.row = replace(turn.row, latency=Latency.of(turn.times), per_second=_rate(1, turn.times))


def _finish(turn: _Turn, batch_size: int, examples: Path | None) -> None:
    if turn.worker is None:
        return
    found = {**turn.worker.ask("reload"), **turn.worker.ask("compare")}
    if turn.batch_times:
        found |= {"batch": batch_size, "batch_per_second": _rate(batch_size, turn.batch_times)}
    if examples is not None:
        found |= {"keras_accuracy": None, **turn.worker.ask("score", path=str(examples))}
    turn.row = replace(turn.row, **found)


def _rate(rows: int, times: Sequence[float]) -> float:
    return round(1000 * rows * len(times) / sum(times), 2)


def _takes_any_batch(artifact: Artifact) -> bool:
    return isinstance(artifact.inputs[0].shape[0], str)


def _save(bundle: Bundle, data: tuple[Mapping[str, Any], Any] | None, folder: Path) -> Path | None:
    if data is None:
        return None
    inputs: Mapping[str, Array] = bind(bundle.manifest.inputs, data[0])
    targets = np.asarray(data[1])
    if len(targets) != len(next(iter(inputs.values()))):
        raise UsageError(
            f"There are {len(targets)} answers for {len(next(iter(inputs.values())))} examples."
        )
    path = folder / "examples.npz"
    save_cases(path, (inputs, {"y": targets}))
    return path
