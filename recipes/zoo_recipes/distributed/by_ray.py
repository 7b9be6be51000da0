"""Workers that Ray Train starts, where its cluster has room for them."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_recipes.distributed.outcomes import Failure, Outcome, cause, read_outcome
from zoo_recipes.distributed.worker import start
from zoo_registry import ZooError


def run_by_ray(job: Mapping[str, Any], number: int) -> Failure | None:
    """Start workers where Ray Train finds room for them on its cluster.

    Returns why the training failed, or ``None``.

    Ray sets ``TF_CONFIG`` of each worker; what is left to us is to start all again.

    Args:
        job: What :func:`zoo_recipes.training.worker.work` does.
        number: How many workers.

    Raises:
        ZooError: Ray is not installed, or it failed by itself.
    """
    try:
        import ray
        from ray.train import RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
        from ray.train.tensorflow import TensorflowTrainer
    except ImportError as error:
        raise ZooError(
            "The launcher 'ray' needs Ray Train: pip install 'kerazoo[distributed]'."
        ) from error
    starts_ray = not ray.is_initialized()
    if starts_ray:
        ray.init(logging_level="WARNING")
    room = Path(job["folder"]).parent
    room.mkdir(parents=True, exist_ok=True)
    with _signals_kept(), tempfile.TemporaryDirectory(prefix=".ray-", dir=room) as notes:
        trainer = TensorflowTrainer(
            _work,
            train_loop_config={"job": json.dumps(job)},
            scaling_config=ScalingConfig(
                num_workers=number, use_gpu=ray.cluster_resources().get("GPU", 0) >= number
            ),
            run_config=RunConfig(storage_path=notes),
        )
        try:
            trainer.fit()
        except WorkerGroupError as error:
            return cause([_failure(*each) for each in sorted(error.worker_failures.items())])
        except TrainingFailedError as error:
            raise ZooError(f"Ray failed: {error}") from error
        finally:
            if starts_ray:
                ray.shutdown()
    return None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Give Ctrl-C and SIGTERM back to whom they belonged: Ray Train keeps them."""
    kept = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in kept}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


class _FailedError(Exception):
    """Brings home from a worker of Ray what came of it."""

    def __init__(self, code: int, outcome: Outcome | None) -> None:
        super().__init__(code, outcome)
        self.code = code
        self.outcome = outcome


def _work(config: Mapping[str, str]) -> None:
    """Train in a process of its own: Ray has imported Keras into this one."""
    with tempfile.TemporaryDirectory() as scratch:
        job, outcome = Path(scratch, "job.json"), Path(scratch, "outcome.json")
        job.write_text(config["job"], encoding="utf-8")
        # Ray asks for the Keras of old, which we do not use.
        with start(job, outcome, {"TF_USE_LEGACY_KERAS": "0"}) as process:
            code = process.wait()
        if code:
            raise _FailedError(code, read_outcome(outcome))


def _failure(rank: int, error: Exception) -> Failure:
    found = getattr(error, "_base_exc", error)  # Ray wraps what we raise
    if isinstance(found, _FailedError):
        return Failure(rank, found.code, found.outcome)
    return Failure(rank, 1, log=f": {str(error).splitlines()[0]}")
