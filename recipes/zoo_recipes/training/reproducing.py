"""A run trained once more, and whether the same came of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo_recipes.own_data.choosing import at_hand
from zoo_recipes.reporting.comparing import differences
from zoo_recipes.run import Run, load_run
from zoo_recipes.training.training import train
from zoo_registry import UsageError
from zoo_system import fetching


@dataclass(frozen=True)
class Reproduction:
    """What came of training a run again.

    Args:
        path: The run.
        equal: Whether all weights are the same, bit for bit.
        largest: Largest difference of a weight; ``None`` where they have other shapes.
        metrics: Of the run, on the test split.
        again: The same of the new training.
        changed: Versions, data and teacher that are not those of the run: before and now.
    """

    path: Path
    equal: bool
    largest: float | None
    metrics: Mapping[str, float]
    again: Mapping[str, float]
    changed: Mapping[str, list[str]]


@fetching.if_download
def reproduce(
    run: str | Path | Run,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    verbose: bool = True,
    data: str | Path | None = None,
) -> Reproduction:
    """Train a run's recipe again with its seed and compare the weights.

    Args:
        run: The run, or its folder.
        out: Where the new run is kept; without it, it is deleted.
        data_dir: Where prepared datasets are; ``~/tensorflow_datasets`` by default.
        download: Whether a dataset that is not prepared may be downloaded.
        verbose: Whether progress is shown.
        data: Where the run's own data are, if they were moved.

    Raises:
        UsageError: No complete run, ``out`` is taken, or own data are no longer where they were.
        ZooError: As :func:`zoo_recipes.training.training.train`.
    """
    run = run if isinstance(run, Run) else load_run(run)
    if out is not None and Path(out).resolve() == run.path.resolve():
        raise UsageError(f"'{out}' is the run itself: choose another --out.")
    with tempfile.TemporaryDirectory() as folder:
        again = train(
            at_hand(run.recipe, data),
            out=out if out is not None else Path(folder) / run.path.name,
            seed=run.info.seed,
            data_dir=data_dir,
            download=download,
            verbose=verbose,
            workers=run.info.workers,
        )
        largest = _largest_difference(run, again)
        return Reproduction(
            path=run.path,
            equal=largest == 0,
            largest=largest,
            metrics=run.metrics,
            again=again.metrics,
            changed=differences([run, again]),
        )


def _largest_difference(run: Run, again: Run) -> float | None:
    old, new = (each.model().get_weights() for each in (run, again))
    if [array.shape for array in old] != [array.shape for array in new]:
        return None
    pairs = zip(old, new, strict=True)
    return float(max(np.abs(a.astype(np.float64) - b).max() for a, b in pairs if a.size))
