"""Recording what becomes of a training, what it costs, and telling others of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zoo_recipes.distributed.ranks import Ranks, telling_of_loss
from zoo_recipes.run import OnEpoch, Record, StoppedError
from zoo_recipes.training.cost import Meter, metered
from zoo_recipes.training.mlflow_log import logged
from zoo_recipes.training.provenance import now


@dataclass(frozen=True, kw_only=True)
class Logs:
    """What is recorded of a training on request.

    Args:
        energy: The country of whose grid its energy comes; ``None`` for not measuring it.
        mlflow: The store or folder of MLflow; ``None`` for no log there.
    """

    energy: str | None
    mlflow: str | None


@contextmanager
def watched(
    record: Record,
    logs: Logs,
    *,
    ranks: Ranks | None,
    on_epoch: OnEpoch | None,
) -> Iterator[tuple[Meter, OnEpoch | None]]:
    """Record what becomes of a training and what it costs; what each epoch is told to goes out."""
    with (
        logged(logs.mlflow, record, on_epoch) as told,
        _recorded(record),
        telling_of_loss(record.folder, ranks),
        metered(record, logs.energy) as meter,
    ):
        yield meter, told


@contextmanager
def _recorded(record: Record) -> Iterator[None]:
    """Write in the end what became of the training."""
    record.write()
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | StoppedError)
        record.note(
            status="interrupted" if stopped else "failed",
            error=None if stopped else f"{type(error).__name__}: {error}",
            finished=now(),
        )
        record.write()
        raise
