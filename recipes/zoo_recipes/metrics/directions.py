"""Which way a metric is better, told by its name alone: listing runs imports no Keras."""

from __future__ import annotations

import re

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
