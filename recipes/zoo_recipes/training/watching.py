"""Recording what becomes of a training, what it costs, and telling others of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from zoo_recipes.distributed.ranks import Ranks, telling_of_loss
from zoo_recipes.run import OnEpoch, Record, StoppedError
from zoo_recipes.trackers.tracking import Made, tracked
from zoo_recipes.training.cost import Meter, metered
from zoo_recipes.training.provenance import now


@contextmanager
def watched(
    record: Record,
    trackers: Mapping[str, Made],
    *,
    ranks: Ranks | None,
    on_epoch: OnEpoch | None,
) -> Iterator[tuple[Meter, OnEpoch | None]]:
    """Record what becomes of a training and what it costs; what each epoch is told to goes out."""
    with (
        tracked(trackers, record, on_epoch) as (update, told),
        _recorded(record),
        telling_of_loss(record.folder, ranks),
        metered(record, update) as meter,
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
