"""A run or a bundle evaluated on a split, each in its own runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_models.backend import check_backend
from zoo_recipes.evaluation.results import Evaluation
from zoo_recipes.metrics.resampling import RESAMPLES
from zoo_recipes.run import Run, open_trained
from zoo_system import fetching
from zoo_system.untouched import untouched

if TYPE_CHECKING:
    from zoo_runtime.bundle import Bundle


@fetching.if_download
@untouched()
def evaluate(
    source: Run | Bundle | str | Path,
    *,
    runtime: str | None = None,
    split: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    other_data: bool = False,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    slice_by: str | Sequence[Any] | None = None,
    resamples: int = RESAMPLES,
    examples: str | Path | None = None,
) -> Evaluation:
    """Return the metrics of a trained model on a split, with 95 % intervals.

    Args:
        source: A run, a bundle that was made from one, or the folder of either.
        runtime: Of a bundle, a format of it such as ``tflite:int8``; its first by default.
        split: In slicing syntax; the recipe's test split by default.
        data_dir: Where prepared datasets are.
        download: Whether a dataset that is not prepared may be downloaded.
        other_data: Whether data that differ from those of the run are measured all the same.
        data: Other custom data than those of the run, or the same in another folder.
        columns: Of ``data``, where they are not those of the run.
        slice_by: What puts the examples into groups that are measured one by one: a feature of
            the dataset, a column of custom data, ``FILE:COLUMN`` of a table, or a value for each.
            Of custom data the table may be these themselves, name their files, or have a row for
            each record in the order of the files; of others it has one for each example of the
            split.
        resamples: How often examples are drawn for the intervals.
        examples: A ``.csv`` file to write the prediction for each example to, with its record in
            custom data, the worst first.

    Returns:
        All metrics; nothing else is written
            (:meth:`zoo_recipes.evaluation.results.Evaluation.save` does).

    Raises:
        UsageError: Not a complete run or a bundle of one, no such split, format or column.
        ZooError: The data are not those that the run was trained and tested with, or a library
            for the metrics of this task is not installed.
    """
    check_backend()
    from zoo_recipes.evaluation.evaluating import evaluate_trained

    return evaluate_trained(
        open_trained(source),
        runtime=runtime,
        split=split,
        data_dir=data_dir,
        download=download,
        other_data=other_data,
        data=data,
        columns=columns,
        slice_by=slice_by,
        resamples=resamples,
        examples=examples,
    )
