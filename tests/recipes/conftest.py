"""Data prepared once for the whole room, apart from the user's own."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def measured_again():
    """Evaluate a run, and return those of the metrics that it recorded itself."""
    from zoo import evaluate

    def again(run, **options):
        metrics = evaluate(run, **options).metrics
        # In float64 where training has float32.
        return {name: pytest.approx(metrics[name], rel=1e-5) for name in run.metrics}

    return again


@pytest.fixture(scope="session")
def cli():
    """Run a command line of `zoo` in a process of its own."""

    def run(*words):
        command = [sys.executable, "-m", "zoo.cli", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def known_run():
    """Make a run of a model that was never saved, such as one whose attributions are known."""
    from zoo_recipes.run import Run
    from zoo_runtime.run_info import RunInfo

    @dataclass(frozen=True)
    class KnownRun(Run):
        keras_model: Any = None

        def model(self):
            return self.keras_model

    def make(model, folder, task, labels=None, preprocessing=(), typical=None):
        if typical is not None:
            rows = {f"x/{tensor.name}": typical for tensor in model.inputs}
            np.savez(Path(folder) / "calibration.npz", **rows)
        info = RunInfo(
            status="complete",
            recipe={"name": "known"},
            task=task,
            labels=labels,
            preprocessing=tuple(preprocessing),
        )
        return KnownRun(Path(folder), info, keras_model=model)

    return make
