"""The process, ``python -m zoo_export.benchmarking.child FOLDER FORMAT THREADS``, that is measured.

It reads what to do from standard input, a JSON object a line, and answers each with one. Nothing
is imported before it is asked to start but NumPy and what reads a manifest.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.making.conversion import load_batches
from zoo_models.saved import keras_runner, load_run_model
from zoo_registry import UsageError
from zoo_runtime.comparing import accuracy
from zoo_runtime.contents import Contents, open_unverified
from zoo_runtime.manifest import MANIFEST, SAMPLES, Manifest
from zoo_runtime.run_info import read_run_info
from zoo_runtime.running import Options, Runner
from zoo_runtime.running.sessions import set_threads
from zoo_runtime.saved_samples import load_samples, read_npz, saved_inputs
from zoo_runtime.tensors import Array, Arrays, fits
from zoo_runtime.trained import KERAS
from zoo_runtime.verification import largest_share
from zoo_runtime.verifying import run_samples
from zoo_system.machine import peak_mb
from zoo_system.processes import own_stdout

WARM_UP = 3
RELOADS = 3
# Rows of a dataset that are run at a time where the artifact takes any batch.
_SCORED_AT_ONCE = 32


class Benchmark:
    """One artifact, or the Keras model of a run, that is being measured.

    Args:
        load: Loads it anew.
        inputs: What it is run on, one row.
        compare: Returns how far what it gives is from what Keras gave; nothing for Keras itself.
    """

    def __init__(
        self,
        load: Callable[[], Runner],
        inputs: Arrays,
        compare: Callable[[Runner], dict[str, float]],
    ) -> None:
        self._load = load
        self.inputs = inputs
        self._compare = compare

    @cached_property
    def runner(self) -> Runner:
        """The loaded artifact."""
        return self._load()

    def open(self) -> dict[str, float]:
        """Load the artifact for the first time, and run it for the first time."""
        start_ms = _timed(lambda: self.runner)
        runner = self.runner
        first_ms = _timed(lambda: runner.run(self.inputs))
        for _ in range(WARM_UP):
            runner.run(self.inputs)
        return {"start_ms": start_ms, "first_ms": first_ms, "peak_mb": peak_mb()}

    def compare(self) -> dict[str, float]:
        """Run the saved samples and compare with what Keras gave."""
        return self._compare(self.runner)

    def run(self, rows: int, runs: int, seconds: float) -> dict[str, list[float]]:
        """Return the milliseconds of each run, one at least, until so many or so long."""
        inputs = {name: np.repeat(array, rows, axis=0) for name, array in self.inputs.items()}
        runner = self.runner  # looking it up takes longer than some models take to run
        runner.run(inputs)  # the others have emptied the caches in their turn
        times: list[float] = []
        ends = time.perf_counter() + seconds
        while not times or (len(times) < runs and time.perf_counter() < ends):
            times.append(_timed(lambda: runner.run(inputs)))
        return {"times": times}

    def score(self, path: str) -> dict[str, Any]:
        """Return the accuracy on examples: inputs first, then the targets.

        Raises:
            UsageError: The outputs are not logits, or the targets are not class indices.
        """
        inputs, given = load_batches(Path(path))
        targets = given["y"]
        right = 0.0
        for start in range(0, len(targets), _SCORED_AT_ONCE):
            piece = slice(start, start + _SCORED_AT_ONCE)
            outputs = self.runner.run({name: array[piece] for name, array in inputs.items()})
            found = accuracy(outputs, targets[piece])
            if found is None:
                shapes = {name: array.shape[1:] for name, array in outputs.items()}
                raise UsageError(
                    f"accuracy cannot be measured: the targets are {targets.dtype} of shape "
                    f"{targets.shape[1:]} for outputs of shapes {shapes}; it needs class indices "
                    "for 'logits'"
                )
            right += found * len(targets[piece])
        return {"accuracy": right / len(targets), "examples": len(targets)}

    def reload(self) -> dict[str, float]:
        """Load the artifact again, with its runtime imported."""
        return {"load_ms": float(np.median([_timed(self._load) for _ in range(RELOADS)]))}


def _of_bundle(folder: Path, name: str, threads: int | None) -> Benchmark:
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    # The parent has read it too, and what ends this process is a row of the report.
    manifest = Manifest.from_json(text)
    bundle = Contents(folder, manifest, trusted=True)
    artifact = bundle.artifact(name)
    # The time of a load is that of the runtime.
    with bundle.as_recorded(artifact.path, SAMPLES):
        samples = load_samples(folder / SAMPLES, manifest.inputs)
    inputs = next(each.inputs for each in samples if fits(artifact.inputs, each.inputs))

    def load() -> Runner:
        return open_unverified(bundle, artifact, Options(threads))

    def compare(runner: Runner) -> dict[str, float]:
        found = run_samples(bundle, artifact, runner=runner)
        return {"max_abs_diff": found.max_abs_diff, "max_share": largest_share(found)}

    return Benchmark(load, first_row(inputs), compare)


def _of_run(folder: Path, threads: int | None) -> Benchmark:
    info = read_run_info(folder)
    inputs = saved_inputs(read_npz(folder / "examples.npz", of_run=True))

    def load() -> Runner:
        set_threads(threads)
        return keras_runner(load_run_model(folder, info), info.task)

    return Benchmark(load, first_row(inputs), lambda _: {})


def first_row(inputs: Arrays) -> dict[str, Array]:
    """Return the first row of each input."""
    return {name: array[:1] for name, array in inputs.items()}


def _timed(act: Callable[[], object]) -> float:
    before = time.perf_counter()
    act()
    return (time.perf_counter() - before) * 1000


def main(folder: str, name: str, threads: str) -> None:
    """Answer requests until there are no more."""
    answers = own_stdout()
    benchmark: Benchmark | None = None
    for line in sys.stdin:
        request = json.loads(line)
        act = request.pop("do")
        try:
            if benchmark is None:
                number = int(threads) or None
                benchmark = (
                    _of_run(Path(folder), number)
                    if name == KERAS
                    else _of_bundle(Path(folder), name, number)
                )
            answer = getattr(benchmark, act)(**request)
        except Exception as error:  # the row says what the runtime raised
            answer = {"error": str(error) or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
