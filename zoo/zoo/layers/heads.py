"""What turns features into the outputs of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from zoo.layers.initializers import kernel_initializer
from zoo.layers.normalization import LayerNorm
from zoo.layers.pooling import BiasAdd
from zoo_registry import UsageError, did_you_mean


def check_task(family: str, task: str, tasks: Sequence[str]) -> None:
    """Refuse a task that the family has no head for.

    Raises:
        UsageError: It names the closest task and all there are.

    Example:
        >>> check_task("cnn", "image-clasification", ["features", "image-classification"])
        Traceback (most recent call last):
        ...
        zoo_registry.errors.UsageError: Family 'cnn' has no task 'image-clasification'. \
Did you mean 'image-classification'? It has: features, image-classification.
    """
    if task not in tasks:
        raise UsageError(
            f"Family '{family}' has no task '{task}'.{did_you_mean(task, tasks)} "
            f"It has: {', '.join(tasks)}."
        )


def vector_head(
    x: Any, *, task: str, num_classes: int, dropout: float = 0.0, stddev: float | None = None
) -> Any:
    """Return the output ``pooled_output`` for the task ``features``, else ``logits``.

    Args:
        x: float (batch, width), one vector an example.
        task: ``"features"`` or a classification.
        num_classes: Size of the logits.
        dropout: Rate before the last product.
        stddev: Of the initial kernel; ``None`` is Glorot's uniform distribution.
    """
    if task == "features":
        return keras.layers.Identity(name="pooled_output")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    # The loss needs float32 under a mixed precision policy too.
    return keras.layers.Dense(
        num_classes, kernel_initializer=kernel_initializer(stddev), dtype="float32", name="logits"
    )(x)


def sequence_head(x: Any) -> Any:
    """Return ``x``, float (batch, steps, width), as the output ``sequence_output``."""
    return keras.layers.Identity(name="sequence_output")(x)


def language_model_head(x: Any, embedding: Any) -> Any:
    """Return ``logits``, float32 (batch, steps, tokens), by the transposed token embedding.

    Args:
        x: float (batch, steps, width).
        embedding: A ``keras.layers.ReversibleEmbedding``.
    """
    logits = embedding(x, reverse=True)
    return keras.layers.Activation("linear", dtype="float32", name="logits")(logits)


def masked_lm_head(x: Any, embedding: Any, *, epsilon: float, stddev: float) -> Any:
    """Return ``logits`` as BERT does: dense, GELU, normalization, transposed embedding, bias.

    Args:
        x: float (batch, steps, width).
        embedding: A ``keras.layers.ReversibleEmbedding``.
        epsilon: Of the layer normalization.
        stddev: Of the initial kernel.
    """
    x = keras.layers.Dense(
        x.shape[-1],
        activation="gelu",
        kernel_initializer=kernel_initializer(stddev),
        name="masked_lm_dense",
    )(x)
    x = LayerNorm(epsilon, name="masked_lm_norm")(x)
    return BiasAdd(dtype="float32", name="logits")(embedding(x, reverse=True))
