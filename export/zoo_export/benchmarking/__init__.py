"""Benchmarks: how fast, how large and how near to Keras each artifact is on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.benchmarking.report import BenchmarkReport, load, look, warnings
from zoo_export.benchmarking.turn import TIME_LIMIT, Turn, of_bundle, of_run, packages_of
from zoo_export.making.conversion import save_batches
from zoo_export.reading.request import complete
from zoo_registry import UsageError
from zoo_runtime.bundle import Bundle, load_bundle
from zoo_runtime.running import check_threads
from zoo_runtime.tensors import Array, Tensor, bind
from zoo_runtime.trained import Trained
from zoo_system.folders import INFO

BATCH_SIZE = 8
RUNS = 100
MAX_SECONDS = 10.0
# In so many turns each process measures its runs, so that all see the same background load.
ROUNDS = 10
OnStep = Callable[[int, int, str], None]


def bench(
    trained: Trained | str | Path,
    *,
    only: Sequence[str] | None = None,
    threads: Sequence[int | None] = (1,),
    runs: int = RUNS,
    max_seconds: float = MAX_SECONDS,
    batch_size: int = BATCH_SIZE,
    data: tuple[Mapping[str, Any], Any] | None = None,
    time_limit: float = TIME_LIMIT,
    on_step: OnStep | None = None,
) -> BenchmarkReport:
    """Measure every artifact of a bundle, or a run in Keras, each in a fresh process, in turns.

    All processes are loaded one after the other; then they measure a few runs each, again and
    again, so that whatever else the machine does falls on all alike. Neither TensorFlow nor Keras
    is imported but to run a SavedModel or a run. A process that dies costs its own metrics only.

    Args:
        trained: A bundle, a run or the folder of either; that of a bundle is checked byte by byte
            first.
        only: Formats to measure, as ``FORMAT[:SCHEME]``; all by default. That of a run is
            ``keras``.
        threads: Thread counts; ``None`` is each runtime's own choice.
        runs: Runs at batch 1 that count.
        max_seconds: Seconds for one artifact, whatever its number of runs.
        batch_size: The larger batch for artifacts that take any.
        data: Inputs by name and targets, to measure accuracy on; without them the accuracy is the
            one that was measured at export, where there is one.
        time_limit: Seconds after which a process that does not answer is ended.
        on_step: Called with steps done, steps in all, and what comes next.

    Returns:
        Metrics of each artifact and number of threads, and facts about the machine.

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
    _check_numbers(threads, runs, batch_size)
    folder = Path(trained) if isinstance(trained, str | Path) else trained.path
    bundle, inputs = None, None
    if (folder / INFO).is_file():
        info = complete(folder)
        name, known = str(info.recipe["name"]), [of_run(folder, info, only, batch_size)]
    else:
        bundle = trained if isinstance(trained, Bundle) else load_bundle(folder)
        name, inputs, known = bundle.name, bundle.inputs, of_bundle(bundle, only, batch_size)
    turns = [
        Turn(bundle.path if bundle else folder, replace(row, threads=number), batch, time_limit)
        for row, batch in known
        for number in dict.fromkeys(threads)
    ]
    rounds = _rounds(runs)
    step = _steps(len(turns) * (len(rounds) + 2), on_step)
    load_before = load()
    with tempfile.TemporaryDirectory() as scratch:
        examples = _save(inputs, data, Path(scratch))
        try:
            for act, what in _plan(turns, Path(scratch), rounds, max_seconds, examples):
                step(what)
                act()
        finally:
            for turn in turns:
                turn.close()
    step("measured")
    packages = ["kerazoo", "numpy", *(p for turn in turns for p in packages_of(turn.row.format))]
    return BenchmarkReport(
        name=name,
        bundle=str(folder),
        rows=tuple(turn.row for turn in turns),
        machine=look(dict.fromkeys(packages), load_before),
        warnings=warnings(load_before),
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
        bundle: The bundle; the first of its saved samples is what is run.
        runs: Runs of each format that count.
        threads: Threads to use; each runtime's own choice by default.
        max_seconds: Seconds for one format.

    Raises:
        UsageError: A format that cannot be measured; the message says why.
    """
    report = bench(bundle, runs=runs, threads=(threads,), max_seconds=max_seconds)
    for row in report.rows:
        if row.latency is None:
            raise UsageError(f"'{row.format}' of '{bundle}' was not measured: {row.error}")
    return {row.format: row.latency.p50 for row in report.rows if row.latency is not None}


def _check_numbers(threads: Sequence[int | None], runs: int, batch_size: int) -> None:
    for given in threads:
        check_threads(given)
    for name, number in [("runs", runs), ("batch_size", batch_size)]:
        if number < 1:
            raise UsageError(f"{name}={number}: use 1 or more.")
    if not threads:
        raise UsageError("There is no number of threads to measure with: name at least one.")


def _plan(
    turns: Sequence[Turn],
    folder: Path,
    rounds: Sequence[int],
    max_seconds: float,
    examples: Path | None,
) -> Iterator[tuple[Callable[[], None], str]]:
    # One after the other: loading is not to be measured while others load or run.
    for number, turn in enumerate(turns):
        yield partial(turn.open, folder / f"{number}.log"), f"loading {turn.row.format}"
    seconds = max_seconds / len(rounds)
    for number, runs in enumerate(rounds, 1):
        for turn in turns:
            yield partial(turn.measure, runs, seconds), f"round {number} of {len(rounds)}"
    for turn in turns:
        yield partial(turn.finish, examples), f"comparing {turn.row.format}"


def _rounds(runs: int) -> list[int]:
    # How many of the runs fall on each round: some have one more than others.
    count = min(ROUNDS, runs)
    return [runs // count + (number < runs % count) for number in range(count)]


def _steps(total: int, on_step: OnStep | None) -> Callable[[str], None]:
    done = count()
    return lambda what: on_step(next(done), total, what) if on_step is not None else None


def _save(
    tensors: Sequence[Tensor] | None,
    data: tuple[Mapping[str, Any], Any] | None,
    folder: Path,
) -> Path | None:
    if data is None:
        return None
    inputs: Mapping[str, Array] = {name: np.asarray(array) for name, array in data[0].items()}
    if tensors is not None:
        inputs = bind(tensors, inputs)
    targets = np.asarray(data[1])
    if len(targets) != len(next(iter(inputs.values()))):
        raise UsageError(
            f"There are {len(targets)} answers for {len(next(iter(inputs.values())))} examples."
        )
    path = folder / "examples.npz"
    save_batches(path, (inputs, {"y": targets}))
    return path
