"""Data prepared once for the whole room, apart from the user's own."""

import subprocess
import sys

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
