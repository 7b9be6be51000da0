"""The batch and the learning rate of a recipe that more than one worker trains."""

from __future__ import annotations

from dataclasses import replace

from zoo_recipes.recipe import Recipe
from zoo_registry import UsageError


def scaled(recipe: Recipe, workers: int) -> Recipe:
    """Return what ``fit.scale_with_workers`` makes of a recipe; it trains the same in one process.

    Args:
        recipe: The recipe; without the setting it stays as it is.
        workers: How many train together.

    Raises:
        UsageError: The learning rate is to be scaled, and the recipe does not say it.

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
