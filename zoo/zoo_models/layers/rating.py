"""What models of ratings share: numbers of users and items, their tables, and the answer."""

from __future__ import annotations

from typing import Any

import keras


def rating_inputs() -> list[Any]:
    """Return the inputs ``user_id`` and ``item_id``, int32 (batch, 1)."""
    return [keras.Input((1,), name=name, dtype="int32") for name in ("user_id", "item_id")]


def table(rows: int, width: int, l2: float, stddev: float | None, name: str) -> Any:
    """Return an embedding layer for users or items.

    Args:
        rows: Numbers there are.
        width: Of each vector.
        l2: Penalty on its squares; 0 is none.
        stddev: Of the initial values; ``None`` begins with zeros.
        name: Of the layer.
    """
    return keras.layers.Embedding(
        rows,
        width,
        embeddings_initializer="zeros"
        if stddev is None
        else keras.initializers.RandomNormal(0, stddev),
        embeddings_regularizer=keras.regularizers.L2(l2) if l2 else None,
        name=name,
    )


def rating_head(x: Any, mean_rating: float) -> Any:
    """Return the output ``rating``, float32 (batch, 1).

    Args:
        x: float (batch, 1, 1), what is above the mean.
        mean_rating: Added to it.
    """
    x = keras.layers.Reshape((1,), name="above_mean")(x)
    # The loss needs float32 under a mixed precision policy too.
    return keras.layers.Rescaling(1.0, offset=mean_rating, dtype="float32", name="rating")(x)
