"""Names of Keras: classes found by them, their arguments checked; which metrics are costs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from zoo_models.calling import type_mistake
from zoo_registry import UsageError, closest, did_you_mean

# Losses whose targets are class indices.
CLASS_LOSSES = ("sparse_categorical_crossentropy", "smoothed_crossentropy")
# What optimizers and schedules take beside numbers and what is true or false.
_LISTS, _NO_NUMBERS = {"boundaries", "values"}, {"name", "exclude_layers"}
# The losses of Keras, and its metrics of which less is better; a test compares them with Keras.
KERAS_COSTS = frozenset(
    [
        "bce",
        "binarycrossentropy",
        "binaryfocalcrossentropy",
        "categoricalcrossentropy",
        "categoricalfocalcrossentropy",
        "categoricalgeneralizedcrossentropy",
        "categoricalhinge",
        "circle",
        "ctc",
        "dice",
        "hinge",
        "huber",
        "kld",
        "kldivergence",
        "logcosh",
        "logcosherror",
        "mae",
        "mape",
        "meanabsoluteerror",
        "meanabsolutepercentageerror",
        "meansquarederror",
        "meansquaredlogarithmicerror",
        "mse",
        "msle",
        "poisson",
        "rootmeansquarederror",
        "sparsecategoricalcrossentropy",
        "squaredhinge",
        "tversky",
    ]
)
_OURS = frozenset(["loss", "error", "errorrate", "rmse", "perplexity", "bitspercharacter"])


def bare_name(name: str) -> str:
    """Return a name as all its spellings have it.

    Example:
        >>> {bare_name(name) for name in ("adamw", "AdamW", "adam_w")}
        {'adamw'}
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def classes(module: Any, base: type) -> dict[str, Any]:
    """Return the subclasses of ``base`` that a module has, by bare name."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and kind is not base]
    return {bare_name(kind.__name__): kind for kind in kinds if issubclass(kind, base)}


def parameters(kind: Any) -> list[str]:
    """Return the names of the arguments that a class takes."""
    return [name for name in inspect.signature(kind).parameters if name != "kwargs"]


def find(where: str, kinds: Mapping[str, Any], name: str) -> Any:
    """Return the class that a name in a recipe means.

    Args:
        where: Key of the recipe.
        kinds: Classes by bare name.
        name: In any spelling.

    Raises:
        UsageError: There is none, and which is the closest.
    """
    kind = kinds.get(bare_name(name))
    if kind is None:
        near = closest(bare_name(name), kinds)
        hint = f" Did you mean '{kinds[near].__name__}'?" if near else ""
        raise UsageError(f'{where} = "{name}": Keras has no such name.{hint}')
    return kind


def check_numbers(where: str, kind: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse what is not a number where an optimizer or a schedule needs one, and a negative one.

    Keras would find the first out in the middle of a step, and the second never: with a negative
    learning rate the loss grows. Names that the class does not take are left to
    :func:`make`.

    Args:
        where: Key of the recipe.
        kind: The class.
        arguments: Of it, by name.

    Raises:
        UsageError: Which argument, and what was received.
    """
    known = inspect.signature(kind).parameters
    for key, value in arguments.items():
        # Any schedule may have a warmup.
        if key in _NO_NUMBERS or key not in {*known, "warmup_steps"}:
            continue
        is_flag = key in known and isinstance(known[key].default, bool)
        hint: Any = bool if is_flag else list[float] if key in _LISTS else float
        mistake = type_mistake(key, value, hint)
        if mistake:
            raise UsageError(f"{where}.{mistake}")
        # Powers may be negative, where Keras' own is.
        usual = known[key].default if key in known else 0
        is_power = isinstance(usual, int | float) and usual < 0
        if isinstance(value, int | float) and not value >= 0 and not is_power:
            raise UsageError(f"{where}.{key}={value} must be a number from 0 on.")


def make(where: str, kinds: Mapping[str, Any], name: str, arguments: Mapping[str, Any]) -> Any:
    """Return an object of the class that a name in a recipe means.

    Args:
        where: Key of the recipe.
        kinds: Classes by bare name.
        name: In any spelling.
        arguments: Of the class, by name.

    Raises:
        UsageError: No such name or argument, or arguments that Keras refuses.
    """
    kind = find(where, kinds, name)
    known = parameters(kind)
    for key in arguments:
        if key not in known:
            hint = did_you_mean(key, known) or f" It takes: {', '.join(known)}."
            raise UsageError(f"{where}.{key}: {kind.__name__} takes no '{key}'.{hint}")
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {kind.__name__} refuses {dict(arguments)}: {error}") from error


def is_cost(metric: str) -> bool:
    """Return whether less of a metric is better.

    Args:
        metric: In any spelling; ``val_`` or the name of an output may stand before it.

    Example:
        >>> [is_cost(name) for name in ("val_loss", "val_RMSE", "age_mae", "accuracy")]
        [True, True, True, False]
    """
    words = re.findall(r"[a-z0-9]+", metric.lower())
    endings = {"".join(words[start:]) for start in range(len(words))}
    return not endings.isdisjoint(KERAS_COSTS | _OURS)
