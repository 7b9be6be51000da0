"""A training in an MLflow store: settings, metrics by epoch, results and the run's files."""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from zoo_recipes.reporting.comparing import flat
from zoo_recipes.run import OnEpoch, Record, StoppedError
from zoo_recipes.training.checkpoints import FOLDER
from zoo_registry import ZooError

_PARAMS_AT_ONCE = 100  # MLflow takes no more
# A server that is not there may hold up a training for seconds, not for the minutes of MLflow's
# own defaults; and nobody but the store is told of the training. A user's own values go first.
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


@contextmanager
def logged(uri: str | None, record: Record, on_epoch: OnEpoch | None) -> Iterator[OnEpoch | None]:
    """Log what is trained inside; a store that fails is told of, and harms nothing.

    Args:
        uri: Of the store, or a folder for one; ``None`` logs where the run began to, if it did.
        record: Of the run; it is told where the log is.
        on_epoch: Is told of epochs too.

    Raises:
        ZooError: MLflow is not installed.
    """
    uri = uri or (record.info.mlflow or {}).get("uri")
    if uri is None:
        yield on_epoch
        return
    check_mlflow()
    log = _Log(uri, record)

    def told(epoch: int, metrics: Mapping[str, float]) -> None:
        log.add(epoch, metrics)
        if on_epoch is not None:
            on_epoch(epoch, metrics)

    try:
        yield told
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | StoppedError)
        log.end("KILLED" if stopped else "FAILED")
        raise
    log.end("FINISHED")


class _Log:
    def __init__(self, uri: str, record: Record) -> None:
        self.uri, self.artifacts = store_of(uri)
        self.folder = record.folder
        self.record = record
        self.pending: list[tuple[int, int, dict[str, float]]] = []
        self.known: set[int] = set()
        self.client: Any = None
        self.works = self._tried(self._open)

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch; what cannot be sent now is sent in the end."""
        self.pending.append((epoch, round(time.time() * 1000), dict(metrics)))
        self.works = self.works and self._tried(self._send)

    def end(self, status: str) -> None:
        """Log what is left, the results too, and say how it ended."""
        self._tried(lambda: self._end(status))

    def _tried(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:  # MLflow, requests, SQLAlchemy and the disk each raise their own
            warnings.warn(
                f"MLflow at '{_public(self.uri)}' failed, and lacks a part of run '{self.folder}', "
                f"which itself has everything: {shorten(str(error), 200)}",
                stacklevel=2,
            )
            return False
        return True

    def _open(self) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        if self.artifacts is not None:
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=self.uri)
        before = self.record.info.mlflow or {}
        if before.get("uri") == _public(self.uri):
            self.run_id = before["run_id"]
            client.update_run(self.run_id, status="RUNNING")
            # The last epoch is trained again where it had no checkpoint yet.
            self.known = {point.step for point in client.get_metric_history(self.run_id, "loss")}
        else:
            info = self.record.info
            name = info.recipe["name"]
            experiment = client.get_experiment_by_name(name)
            experiment_id = (
                experiment.experiment_id
                if experiment
                else client.create_experiment(name, artifact_location=self.artifacts)
            )
            self.run_id = client.create_run(experiment_id, run_name=self.folder.name).info.run_id
            settings = {**info.recipe, "seed": info.seed}
            params = [Param(_key(key), value) for key, value in flat(settings)]
            for start in range(0, len(params), _PARAMS_AT_ONCE):
                client.log_batch(self.run_id, params=params[start : start + _PARAMS_AT_ONCE])
            self.record.note(mlflow={"uri": _public(self.uri), "run_id": self.run_id})
        self.client = client

    def _send(self) -> None:
        from mlflow.entities import Metric

        for epoch, at, metrics in self.pending:
            if epoch in self.known:
                continue
            values = [Metric(_key(key), float(value), at, epoch) for key, value in metrics.items()]
            self.client.log_batch(self.run_id, metrics=values)
        self.pending.clear()

    def _end(self, status: str) -> None:
        if self.client is None:
            self._open()
            self.record.write()
        self._send()
        for name, value in self.record.info.metrics.items():
            self.client.log_metric(self.run_id, _key(f"test_{name}"), value)
        if status == "FINISHED":
            for path in self.folder.rglob("*"):
                place = path.relative_to(self.folder)
                if path.is_file() and path.name[0] != "." and place.parts[0] != FOLDER:
                    inside = None if place.parent == Path() else place.parent.as_posix()
                    self.client.log_artifact(self.run_id, str(path), inside)
        self.client.set_terminated(self.run_id, status)


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
