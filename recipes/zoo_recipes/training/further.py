"""A finished run trained further, into a run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo_recipes.overrides import with_overrides, with_values
from zoo_recipes.own_data.choosing import at_hand
from zoo_recipes.run import Run, read_run
from zoo_recipes.training.training import train
from zoo_registry import UsageError
from zoo_runtime.run_info import resuming


def train_further(
    run: str | Path | Run,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    **options: Any,
) -> Run:
    """Train a run's recipe once more, beginning with the weights of the run.

    The optimizer and its schedule begin anew, and the run stays as it is.

    Args:
        run: A complete run, or its folder.
        overrides: Of its recipe, as :func:`zoo_recipes.overrides.with_overrides` takes them, such
            as ``["fit.epochs=5"]``.
        out: The new run's folder; that of the run with ``-further`` behind it by default.
        data: Where the run's own data are, if they were moved.
        options: As :func:`zoo_recipes.training.training.train` takes them.

    Raises:
        UsageError: A run that is not complete, or as ``train``.
    """
    before = run if isinstance(run, Run) else read_run(run)
    if before.status != "complete":
        raise UsageError(
            f"Run '{before.path}' is not complete, and goes on as it began: "
            f"`{resuming(before.path)}` without --set. Then it can be trained further."
        )
    values = {"model.weights": str(before.path.resolve()), "expected": None}
    recipe = with_values(at_hand(before.recipe, data), values)
    recipe = with_overrides(recipe, overrides)
    folder = out or before.path.with_name(f"{before.path.name}-further")
    return train(replace(recipe, name=f"{recipe.name}-further"), out=folder, **options)
