"""Contrastive learning: the loss of SimCLR, its accuracy, and the projection head."""

# Keras has no types: its classes are Any.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo_recipes.configs import ContrastiveConfig
from zoo_registry import UsageError


@keras.saving.register_keras_serializable(package="kerazoo")
class Contrastive(keras.losses.Loss):
    """NT-Xent: which other row of a batch is the second view (https://arxiv.org/abs/2002.05709).

    The first half of a batch are first views, the second half theirs in the same order. All other
    rows of both halves are negatives, as in GTE for texts (https://arxiv.org/abs/2308.03281).

    Args:
        temperature: What cosines are divided by, above 0.
        name: Of the loss.

    Example:
        >>> loss = Contrastive(temperature=1.0)
        >>> rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]  # views alike, others not
        >>> round(float(loss([0.0] * 4, rows)), 4)  # log(e + 1 + 1) - 1
        0.5514
    """

    def __init__(self, temperature: float = 0.1, name: str = "contrastive", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.temperature = temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row, float32 (batch,).

        Args:
            y_true: Not looked at.
            y_pred: Embeddings, float (batch, width), an even number of them.
        """
        cosines, positives = _cosines(y_pred)
        return keras.losses.sparse_categorical_crossentropy(
            positives, cosines / self.temperature, from_logits=True
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="kerazoo", name="TwinAccuracy")
class ViewAccuracy(keras.metrics.MeanMetricWrapper):
    """Fraction of the rows of a batch whose nearest other row is the second view.

    Example:
        >>> metric = ViewAccuracy()
        >>> metric.update_state([0.0] * 4, [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0]])
        >>> float(metric.result())
        1.0
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any) -> None:
        super().__init__(_hits, name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again."""
        return {"name": self.name, "dtype": self.dtype}


def _hits(y_true: Any, y_pred: Any) -> Any:
    cosines, positives = _cosines(y_pred)
    return ops.cast(ops.equal(ops.argmax(cosines, axis=-1), positives), "float32")


def _cosines(embeddings: Any) -> tuple[Any, Any]:
    """Return the cosines of all rows, float32 (batch, batch), and the index of the other view."""
    # Mixed precision makes float16, in which a near view could not be told from the row itself.
    rows = ops.normalize(ops.cast(embeddings, "float32"), axis=-1)
    count = ops.shape(rows)[0]
    # No row is its own nearest one.
    cosines = ops.matmul(rows, ops.transpose(rows)) - 1e9 * ops.eye(count)
    return cosines, ops.cast((ops.arange(count) + count // 2) % count, "int64")


def with_projection(model: Any, config: ContrastiveConfig, seed: int) -> Any:
    """Return a model that ends in what the loss compares, with all layers of the model's own.

    Behind the embedding come a dense layer of its width with ReLU and one of ``projection_dim``,
    as in SimCLR: what they discard stays in the embedding. A ``projection_dim`` of 0 is none.

    Args:
        model: Gives an embedding, float (batch, width).
        config: The recipe's table.
        seed: Of the fresh weights.

    Raises:
        UsageError: No output is an embedding.
    """
    x = _embedding(model)
    if config.projection_dim:
        keras.utils.set_random_seed(seed)
        x = keras.layers.Dense(x.shape[-1], activation="relu", name="projection_hidden")(x)
        x = keras.layers.Dense(config.projection_dim, use_bias=False, name="projection")(x)
    return keras.Model(model.input, x, name=model.name)


def _embedding(model: Any) -> Any:
    from zoo_recipes.arrays.sources import only_embedding

    found = only_embedding(dict(zip(model.output_names, model.outputs, strict=True)))
    if len(found.shape) != 2:
        raise UsageError(
            f"contrastive: model '{model.name}' gives {tuple(found.shape[1:])} for an example, and "
            "what is compared is one vector: set model.task to 'features' or 'sentence-embedding'."
        )
    return found
