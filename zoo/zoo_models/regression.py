"""A head that tells numbers, made of one that tells classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

VALUE = "value"


def with_scale(
    model: Any, mean: float | Sequence[float] = 0.0, scale: float | Sequence[float] = 1.0
) -> Any:
    """Return a model whose output ``value`` is its logits times ``scale``, plus ``mean``.

    So the layers learn numbers around 0, whatever unit the targets have.

    Args:
        model: A functional model with one output.
        mean: Of the targets; one for each where the model has several logits.
        scale: Their standard deviation.

    Returns:
        A model on the same weights that gives ``value``, float32 (batch, numbers).

    Example:
        >>> inputs = keras.Input((1,))
        >>> logits = keras.layers.Dense(1, kernel_initializer="ones", name="logits")(inputs)
        >>> model = with_scale(keras.Model(inputs, logits), mean=20.0, scale=2.0)
        >>> float(model(keras.ops.ones((1, 1)))[0, 0]), model.output_names
        (22.0, ['value'])
    """
    # The loss needs float32 under a mixed precision policy too.
    rescale = keras.layers.Rescaling(scale, offset=mean, dtype="float32", name=VALUE)
    return keras.Model(model.input, rescale(model.output), name=model.name)
