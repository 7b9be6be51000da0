"""A training in an MLflow store: settings, metrics by epoch, results and the run's files."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from zoo_recipes.reporting.comparing import flat
from zoo_recipes.trackers.tracking import TrackedRun, Tracker
from zoo_registry import UsageError, ZooError

_STATUS = {"complete": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_PARAMS_AT_ONCE = 100  # MLflow takes no more
# A server that is not there may hold up a training for seconds, not for the minutes of MLflow's
# own defaults; and only the store gets the training. The user's own values go first.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def check_mlflow() -> None:
    """Refuse to begin where MLflow is not installed.

    Raises:
        ZooError: It is not.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        raise ZooError("MLflow is not installed: pip install 'kerazoo[mlflow]'.") from error
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # each retry, in full


class MLflow(Tracker):
    """Settings, metrics by epoch, results and files of the run, in an MLflow store.

    Args:
        argument: The URI of the store, or a folder for one.

    Raises:
        UsageError: No argument.
        ZooError: MLflow is not installed.
    """

    def __init__(self, argument: str = "") -> None:
        if not argument:
            raise UsageError("Tracker 'mlflow' needs the URI of a store or a folder: mlflow:logs.")
        check_mlflow()
        self.uri, self.artifacts = store_of(argument)
        super().__init__(_public(self.uri))
        self.title = f"MLflow at '{self.argument}'"

    def begin(self, run: TrackedRun) -> None:
        """Begin an MLflow run, or go on with the one that the note names."""
        from mlflow import MlflowClient

        if self.artifacts is not None:
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self.run, self.client = run, MlflowClient(tracking_uri=self.uri)
        self.known: set[int] = set()
        if run.note.get("uri") == self.argument:
            run_id = run.note["run_id"]
            self.client.update_run(run_id, status="RUNNING")
            # The last epoch is trained again where it had no checkpoint yet.
            self.known = {point.step for point in self.client.get_metric_history(run_id, "loss")}
        else:
            run.note = {"uri": self.argument, "run_id": self._new_run()}

    def _new_run(self) -> str:
        from mlflow.entities import Param

        settings = self.run.settings
        experiment = self.client.get_experiment_by_name(settings["name"])
        experiment_id = (
            experiment.experiment_id
            if experiment
            else self.client.create_experiment(settings["name"], artifact_location=self.artifacts)
        )
        created = self.client.create_run(experiment_id, run_name=self.run.folder.name)
        run_id: str = created.info.run_id
        params = [Param(_key(key), value) for key, value in flat(settings)]
        for start in range(0, len(params), _PARAMS_AT_ONCE):
            self.client.log_batch(run_id, params=params[start : start + _PARAMS_AT_ONCE])
        return run_id

    def epoch(self, number: int, metrics: Mapping[str, float], ended: float) -> None:
        """Log the metrics of an epoch that is not there yet."""
        from mlflow.entities import Metric

        if number not in self.known:
            at = round(ended * 1000)
            values = [Metric(_key(key), value, at, number) for key, value in metrics.items()]
            self.client.log_batch(self.run.note["run_id"], metrics=values)

    def end(self, status: str) -> None:
        """Log the results and, of a complete run, its files, and say how it ended."""
        run_id = self.run.note["run_id"]
        for name, value in self.run.metrics.items():
            self.client.log_metric(run_id, _key(f"test_{name}"), value)
        for path in self.run.files() if status == "complete" else ():
            parent = path.relative_to(self.run.folder).parent
            inside = None if parent == Path() else parent.as_posix()
            self.client.log_artifact(run_id, str(path), inside)
        self.client.set_terminated(run_id, _STATUS[status])


def store_of(uri: str) -> tuple[str, str | None]:
    """Return where MLflow keeps metrics, and where files, if that is for us to say.

    Args:
        uri: As MLflow has them, or a folder: then its metrics are in an SQLite file there.

    Example:
        >>> store_of("http://localhost:5000")
        ('http://localhost:5000', None)
        >>> store_of("/data/logs")
        ('sqlite:////data/logs/mlflow.db', 'file:///data/logs/artifacts')
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file", "sqlite"):
        return uri, None
    if parts.scheme == "sqlite":
        database = Path(uri.removeprefix("sqlite:///")).absolute()
    else:
        database = Path(parts.path).absolute() / "mlflow.db"
    return f"sqlite:///{database}", (database.parent / "artifacts").as_uri()


def _public(uri: str) -> str:
    """Return an address without the name and password in it."""
    parts = urlsplit(uri)
    if not parts.netloc:  # urlunsplit would drop slashes of sqlite:////
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _key(name: str) -> str:
    return re.sub(r"[^\w. /-]", "_", name)
