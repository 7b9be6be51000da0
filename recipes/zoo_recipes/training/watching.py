"""Recording what becomes of a training, what it costs, and telling others of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo_recipes.distributed.ranks import Ranks, telling_of_loss
from zoo_recipes.run import INFO, OnEpoch, StoppedError, write_json
from zoo_recipes.trackers.tracking import Made, tracked
from zoo_recipes.training.cost import Meter, metered
from zoo_recipes.training.provenance import now


@contextmanager
def watched(
    folder: Path,
    info: dict[str, Any],
    trackers: Mapping[str, Made],
    *,
    ranks: Ranks | None,
    on_epoch: OnEpoch | None,
) -> Iterator[tuple[Meter, OnEpoch | None]]:
    """Record what becomes of a training and what it costs; what each epoch is told to goes out."""
    with (
        tracked(trackers, folder, info, on_epoch) as (update, told),
        _recorded(folder, info),
        telling_of_loss(folder, ranks),
        metered(folder, info, update) as meter,
    ):
        yield meter, told


@contextmanager
def _recorded(folder: Path, info: dict[str, Any]) -> Iterator[None]:
    """Write in the end what became of the training."""
    write_json(folder / INFO, info)
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | StoppedError)
        info["status"] = "interrupted" if stopped else "failed"
        info["error"] = None if stopped else f"{type(error).__name__}: {error}"
        info["finished"] = now()
        write_json(folder / INFO, info)
        raise
