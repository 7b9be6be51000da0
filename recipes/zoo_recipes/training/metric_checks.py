"""Losses and metrics that do not go with the targets, and metrics that are watched in vain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from zoo_recipes.compiling.keras_names import CLASS_LOSSES, bare_name
from zoo_recipes.configs import Component
from zoo_recipes.recipe import Recipe
from zoo_registry import UsageError, did_you_mean

_FOR_CLASSES = {
    "compile.loss": CLASS_LOSSES,
    "compile.metrics": ("accuracy", "sparse_top_k_categorical_accuracy"),
}
# What Keras computes with class numbers too, as if the batch were the classes.
_ONE_HOT = {"categoricalaccuracy", "onehotiou", "onehotmeaniou"}


@contextmanager
def fitting(key: str, named: Sequence[Component], targets: Any, outputs: Any) -> Iterator[None]:
    """Say what targets and outputs are where Keras cannot compute with them.

    Args:
        key: Of the recipe.
        named: What it has there.
        targets: Of a batch; by name of the output where there are several.
        outputs: Of the model for it.

    Raises:
        UsageError: In place of what Keras or TensorFlow raises.
    """
    try:
        if _are_classes(targets, outputs):
            _check_one_hot(named)
        yield
    except (ValueError, TypeError, AssertionError, tf.errors.InvalidArgumentError) as error:
        names = ", ".join(f'"{component.name}"' for component in named)
        # TensorFlow frames what it says in the names of its kernels.
        said = re.sub(r"{{.*?}} *| *\[Op:.*", "", str(error)).partition("\n")[0]
        fits = ""
        if _are_classes(targets, outputs):
            fits = f" Class numbers go with: {', '.join(_FOR_CLASSES[key])}."
        raise UsageError(
            f"{key} = {names} does not fit targets of {_described(targets)} and outputs of "
            f"{_described(outputs)}: {said.rstrip('.')}.{fits}"
        ) from error


def check_watched(recipe: Recipe, callbacks: Sequence[Any], metrics: Sequence[str]) -> None:
    """Refuse to watch a metric that the training does not have.

    Args:
        recipe: Says where the metric is named.
        callbacks: Of Keras; what those that have a ``monitor`` watch.
        metrics: Those of an epoch.

    Raises:
        UsageError: The closest of them, or all.
    """
    best = "fit.early_stopping.monitor" if recipe.fit.early_stopping else "fit.keep_best"
    for callback in callbacks:
        name = getattr(callback, "monitor", None)
        if name is not None and name not in metrics:
            is_best = isinstance(callback, keras.callbacks.EarlyStopping)
            key = best if is_best else "fit.callbacks.monitor"
            hint = did_you_mean(name, metrics) or f" There are: {', '.join(metrics)}."
            raise UsageError(f'{key} = "{name}": the training has no such metric.{hint}')


def _are_classes(targets: Any, outputs: Any) -> bool:
    return not isinstance(targets, dict) and targets.dtype.kind in "iu" and outputs.shape[-1] > 1


def _check_one_hot(named: Sequence[Component]) -> None:
    for component in named:
        if bare_name(component.name) in _ONE_HOT:
            raise ValueError(f"{component.name} takes a 0 or 1 for each class")


def _described(arrays: Any) -> str:
    """Return dtype and shape of each, such as ``int32 (batch,)``."""
    found = []
    for array in keras.tree.flatten(arrays):
        sizes = ", ".join(["batch", *map(str, array.shape[1:])])
        comma = "," if len(array.shape) == 1 else ""
        found.append(f"{keras.backend.standardize_dtype(array.dtype)} ({sizes}{comma})")
    return ", ".join(found)
