"""The process, ``python -m zoo_export.benchmarking.child BUNDLE FORMAT THREADS``, that is measured.

It reads what to do from standard input, a JSON object a line, and answers each with one. Nothing
is imported before it is asked to start but NumPy and what reads a manifest.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zoo_export.making.job import load_cases
from zoo_registry import UsageError
from zoo_runtime.bundle import Bundle
from zoo_runtime.comparing import accuracy
from zoo_runtime.figures import largest_share
from zoo_runtime.manifest import MANIFEST, SAMPLES, Manifest
from zoo_runtime.running import Runner
from zoo_runtime.stored import load_samples
from zoo_runtime.tensors import fits
from zoo_runtime.verification import run_samples
from zoo_system.machine import peak_mb
from zoo_system.processes import own_stdout

WARM_UP = 3
RELOADS = 3
# Rows of a data set that are run at a time where the artifact takes any batch.
_SCORED_AT_ONCE = 32


class Measurement:
    """One artifact that is being measured.

    Args:
        bundle: The bundle, whose hashes the parent has checked.
        name: Which format.
        threads: Threads of its runtime.
    """

    def __init__(self, bundle: Bundle, name: str, threads: int | None) -> None:
        self.bundle = bundle
        self.artifact = bundle.artifact(name)
        self.threads = threads
        cases = load_samples(bundle.path / SAMPLES, bundle.manifest.inputs)
        inputs = next(c.inputs for c in cases if fits(self.artifact.inputs, c.inputs))
        self.inputs = {name: array[:1] for name, array in inputs.items()}

    @property
    def runner(self) -> Runner:
        """The loaded artifact."""
        return self.bundle.runner(self.artifact.format, self.threads)

    def open(self) -> dict[str, float]:
        """Load the artifact for the first time, and run it for the first time."""
        start_ms = _timed(lambda: self.runner)
        runner = self.runner
        first_ms = _timed(lambda: runner.run(self.inputs))
        for _ in range(WARM_UP):
            runner.run(self.inputs)
        return {"start_ms": start_ms, "first_ms": first_ms, "peak_mb": peak_mb()}

    def compare(self) -> dict[str, float]:
        """Run the bundle's samples and compare with what Keras gave."""
        figures = run_samples(self.bundle, self.artifact, runner=self.runner)
        return {"max_abs_diff": figures.max_abs_diff, "max_share": largest_share(figures)}

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
        """Return the share of right answers on examples: inputs first, then the answers.

        Raises:
            UsageError: The outputs are no logits, or the answers are no numbers of classes.
        """
        inputs, given = load_cases(Path(path))
        targets = given["y"]
        right = 0.0
        for start in range(0, len(targets), _SCORED_AT_ONCE):
            piece = slice(start, start + _SCORED_AT_ONCE)
            outputs = self.runner.run({name: array[piece] for name, array in inputs.items()})
            share = accuracy(outputs, targets[piece])
            if share is None:
                shapes = {name: array.shape[1:] for name, array in outputs.items()}
                raise UsageError(
                    f"right answers cannot be counted: they are {targets.dtype} of shape "
                    f"{targets.shape[1:]} for outputs of shapes {shapes}; numbers of classes for "
                    "'logits' can be"
                )
            right += share * len(targets[piece])
        return {"accuracy": right / len(targets), "examples": len(targets)}

    def reload(self) -> dict[str, float]:
        """Load the artifact again, with its runtime imported."""
        return {"load_ms": float(np.median([_timed(self._load) for _ in range(RELOADS)]))}

    def _load(self) -> Runner:
        # Another bundle object: this one keeps what it has loaded.
        again = Bundle(self.bundle.path, self.bundle.manifest, trusted=True)
        return again.runner(self.artifact.format, self.threads)


def _timed(act: Callable[[], object]) -> float:
    before = time.perf_counter()
    act()
    return (time.perf_counter() - before) * 1000


def main(folder: str, name: str, threads: str) -> None:
    """Answer requests until there are no more."""
    answers = own_stdout()
    measurement: Measurement | None = None
    for line in sys.stdin:
        request = json.loads(line)
        act = request.pop("do")
        try:
            if measurement is None:
                text = (Path(folder) / MANIFEST).read_text(encoding="utf-8")
                # What ends this process is a row of the report.
                bundle = Bundle(Path(folder), Manifest.from_json(text), trusted=True)
                measurement = Measurement(bundle, name, int(threads) or None)
            answer = getattr(measurement, act)(**request)
        except Exception as error:  # the row says what the runtime raised
            answer = {"error": str(error) or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
