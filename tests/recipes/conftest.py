"""Data prepared once for the whole room, apart from the user's own."""

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
