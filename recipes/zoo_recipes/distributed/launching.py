"""A training handed to workers: launched, joined, its recipe scaled to their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_recipes.distributed import LOCAL
from zoo_recipes.distributed.cluster import Member, Ranks, Workers, join
from zoo_recipes.distributed.outcomes import Failure
from zoo_recipes.distributed.worker import stamp
from zoo_recipes.recipe import Recipe
from zoo_recipes.run import Run, check_free
from zoo_registry import FunctionSpec, UsageError
from zoo_registry.trial import running


def as_workers(workers: int | Workers | None, default: int = 1) -> Workers:
    """Return how many workers there are to be, and who looks after them.

    Args:
        workers: What the user asked for.
        default: How many, where the user gives no number.

    Raises:
        UsageError: Less than one, or no such launcher.
    """
    if workers == 0:
        raise UsageError("workers=0 must be a whole number from 1 on.")
    asked = workers if isinstance(workers, Workers) else Workers(workers or 0)
    zoo_registry.launchers.owner(str(asked.launcher))  # raises where there is none
    return asked if asked.number else replace(asked, number=default)


def joined(member: Member | None, workers: int | Workers | None) -> Ranks | None:
    """Connect to the others where ``TF_CONFIG`` names some.

    Args:
        member: This process among them.
        workers: What the user asked for; it must be as many.

    Raises:
        UsageError: ``TF_CONFIG`` has another number of workers.
        ZooError: As :func:`zoo_recipes.distributed.cluster.join`.
    """
    if member is None:
        return None
    wanted = as_workers(workers, member.size)
    if wanted.number != member.size:
        raise UsageError(
            f"workers={wanted.number}, but TF_CONFIG names {member.size}: leave workers out."
        )
    return join(member, wanted.seconds)


def launch(
    folder: Path,
    workers: Workers,
    recipe: Recipe | None = None,
    begin: Mapping[str, Any] | None = None,
    *,
    on_epoch: Any,
    **options: Any,
) -> Run:
    """Train with several processes.

    Args:
        folder: Of the run.
        workers: How many, and who looks after them.
        recipe: What to train; ``None`` goes on with the run.
        begin: What else :func:`zoo_recipes.training.training.train` takes and ``resume`` does not.
        on_epoch: Cannot be called from another process.
        options: Of both.

    Raises:
        UsageError: A function that cannot be called from other processes, or a folder that is
            there already.
        PluginError: A launcher of a plugin that is broken.
    """
    if on_epoch is not None:
        raise UsageError("on_epoch is not called from workers: read the run's history.csv.")
    if recipe is not None:
        check_free(folder, force=(begin or {}).get("force", False))
    from zoo_recipes.distributed.supervising import supervise

    launcher = zoo_registry.launchers.get(workers.launcher)
    if launcher.name != LOCAL:  # whose workers may be in other folders
        folder = folder.absolute()
    job = {
        "folder": str(folder),
        "recipe": recipe.to_toml() if recipe else None,
        "before": stamp(folder),
        "begin": dict(begin or {}),
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in options.items()},
        "workers": asdict(workers),
    }
    return supervise(job, workers, lambda job, number: _failure_of(launcher, job, number))


def _failure_of(launcher: FunctionSpec, job: Mapping[str, Any], number: int) -> Failure | None:
    """Let a launcher start the workers once, and return why they failed, or ``None``."""
    with running(launcher.origin, f"Launcher '{launcher.name}'"):
        failure = launcher.function(job, number)
        if not isinstance(failure, Failure | None):
            raise TypeError(f"it returned a {type(failure).__name__}, not a Failure or None")
        return failure


def scaled(recipe: Recipe, workers: int) -> Recipe:
    """Return what ``fit.scale_with_workers`` makes of a recipe; it trains the same in one process.

    Args:
        recipe: The recipe; without the setting it stays as it is.
        workers: How many train together.

    Raises:
        UsageError: The learning rate is to be scaled, and the recipe does not set it.

    Example:
        >>> from zoo_recipes.recipe import as_recipe
        >>> data = {"model": {"name": "mlp"}, "dataset": {"name": "digits"}}
        >>> data["compile"] = {"optimizer": {"name": "sgd", "learning_rate": 0.1}}
        >>> data["fit"] = {"batch_size": 32, "scale_with_workers": "linear"}
        >>> found = scaled(as_recipe(data, "digits-mlp"), 4)
        >>> found.fit.batch_size, found.compile.optimizer.arguments
        (128, {'learning_rate': 0.4})
    """
    kind, fit = recipe.fit.scale_with_workers, recipe.fit
    if kind == "none":
        return recipe
    fit = replace(fit, batch_size=fit.batch_size * workers, scale_with_workers="none")
    if kind == "batch":
        return replace(recipe, fit=fit)
    optimizer = recipe.compile.optimizer
    rate = optimizer.arguments.get("learning_rate")
    if rate is None:
        raise UsageError(
            f'fit.scale_with_workers = "{kind}" needs compile.optimizer.learning_rate: the rate '
            "that one worker trains with."
        )
    factor = workers if kind == "linear" else workers**0.5
    arguments = {**optimizer.arguments, "learning_rate": rate * factor}
    compiled = replace(recipe.compile, optimizer=replace(optimizer, arguments=arguments))
    return replace(recipe, fit=fit, compile=compiled)
