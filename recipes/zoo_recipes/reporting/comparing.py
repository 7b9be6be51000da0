"""Runs beside each other: which there are, and in what they differ."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from zoo_recipes.compiling.keras_names import is_cost
from zoo_recipes.reporting import SORTED_BY
from zoo_recipes.run import INFO, REPLACED, Run, read_run
from zoo_registry import UsageError, did_you_mean
from zoo_runtime.run_info import RunInfo

_ABSENT = "-"


@dataclass(frozen=True)
class RunRow:
    """What is reported of a run without loading its model.

    Args:
        path: The folder.
        recipe: Name of its recipe.
        status: ``running``, ``interrupted``, ``failed``, ``complete``, or ``unreadable``.
        seed: Of the training.
        metric: Name of the metric that the recipe promises, or of the first one.
        value: Of it, on the test split; ``None`` where the run is not complete.
        metrics: All of them.
        num_params: Parameters of the model.
        started: ISO date and time.
        seconds: Of training, without what lay between a break and its resumption; of a run of an
            older version from the start to the end, ``None`` where there is no end.
        error: Why it failed, or cannot be read.
    """

    path: Path
    recipe: str = ""
    status: str = "unreadable"
    seed: int | None = None
    metric: str = ""
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    num_params: int | None = None
    started: str = ""
    seconds: float | None = None
    error: str = ""


def list_runs(
    root: str | Path = "runs",
    *,
    recipe: str = "*",
    status: str | None = None,
    sort: str = "started",
) -> list[RunRow]:
    """Return the runs in a folder and in the folders inside it, also unfinished and damaged ones.

    Args:
        root: Where they are.
        recipe: Only those of recipes that match this glob.
        status: Only those that are ``running``, ``interrupted``, ``failed`` or ``complete``.
        sort: ``"started"``, newest first, ``"name"``, ``"metric"``, best first, or ``"seconds"``.

    Raises:
        UsageError: No such folder, or another word to sort by.

    Example:
        >>> import tempfile
        >>> list_runs(tempfile.mkdtemp())
        []
    """
    if sort not in SORTED_BY:
        hint = did_you_mean(sort, SORTED_BY)
        raise UsageError(f"Runs cannot be sorted by '{sort}'.{hint}")
    if not Path(root).is_dir():
        raise UsageError(f"There is no folder '{root}': `zoo train` makes runs.")
    folders = (path.parent for path in Path(root).rglob(INFO))
    rows = [_row(folder) for folder in folders if folder.name != REPLACED]
    kept = [
        row
        for row in rows
        if fnmatch.fnmatchcase(row.recipe, recipe) and status in (None, row.status)
    ]
    kept.sort(key=lambda row: str(row.path))
    if sort == "started":
        kept.sort(key=lambda row: row.started, reverse=True)
    elif sort == "metric":
        kept.sort(key=lambda row: (row.value is None, row.metric, _cost(row)))
    elif sort == "seconds":
        kept.sort(key=lambda row: (row.seconds is None, row.seconds))
    return kept


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return what runs do not have in common: settings, data, versions and teacher, a value each.

    Args:
        runs: Two or more.

    Example:
        >>> from zoo_runtime.run_info import RunInfo
        >>> infos = [RunInfo(status="complete", recipe={"fit": {"epochs": n}}) for n in (1, 2)]
        >>> differences([Run(Path("x"), info) for info in infos])
        {'fit.epochs': ['1', '2']}
    """
    tables = [dict(_settings(run.info)) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    columns = {key: [table.get(key, _ABSENT) for table in tables] for key in keys}
    return {key: values for key, values in columns.items() if len(set(values)) > 1}


def _row(folder: Path) -> RunRow:
    try:
        run = read_run(folder)
    except UsageError as error:
        return RunRow(folder, error=str(error))
    info, metrics = run.info, run.metrics
    promised = str((info.expected or {}).get("metric"))
    metric: str = promised if promised in metrics else next(iter(metrics), "")
    return RunRow(
        path=folder,
        recipe=str(info.recipe["name"]),
        status=run.status,
        seed=info.seed,
        metric=metric,
        value=metrics.get(metric),
        metrics=metrics,
        num_params=info.model.num_params,
        started=info.started or "",
        seconds=_seconds(info),
        error=info.error or "",
    )


def _seconds(info: RunInfo) -> float | None:
    if info.cost is not None and info.cost.seconds is not None:
        return info.cost.seconds
    if info.started is None or info.finished is None:
        return None
    began, ended = map(datetime.fromisoformat, (info.started, info.finished))
    return (ended - began).total_seconds()


def _cost(row: RunRow) -> float:
    value = row.value or 0.0
    return value if is_cost(row.metric) else -value


def _settings(info: RunInfo) -> Iterator[tuple[str, str]]:
    recipe = {key: value for key, value in info.recipe.items() if key != "seed"}
    yield from flat(recipe)
    yield "seed", str(info.seed)
    recorded = info.to_dict()
    yield from flat({"data": recorded["dataset"], "versions": recorded["versions"]})
    yield from flat({"teacher": recorded.get("teacher", {})})


def flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return the values of nested tables by dotted key.

    Args:
        value: A table.
        path: Key of it.

    Example:
        >>> dict(flat({"fit": {"epochs": 3}, "seed": 0}))
        {'fit.epochs': '3', 'seed': '0'}
    """
    if not isinstance(value, Mapping):
        yield path, str(value)
        return
    for key, inner in value.items():
        yield from flat(inner, f"{path}.{key}" if path else key)
