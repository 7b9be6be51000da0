"""From features to the outputs of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from zoo_models.layers.initializers import kernel_initializer
from zoo_models.layers.normalization import LayerNorm
from zoo_models.layers.transformer import ACTIVATIONS
from zoo_registry import UsageError, did_you_mean


@keras.saving.register_keras_serializable(package="kerazoo")
class MaskedMeanPooling(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """The mean over the steps that are real.

    Example:
        >>> import keras
        >>> x = keras.ops.array([[[1.0], [3.0], [100.0]]])
        >>> float(MaskedMeanPooling()(x, keras.ops.array([[1, 1, 0]]))[0, 0])
        2.0
    """

    def call(self, x: Any, padding_mask: Any) -> Any:
        """Return float (batch, width); zeros for a row without a real step.

        Args:
            x: float (batch, steps, width).
            padding_mask: int32 (batch, steps), 1 = real.
        """
        real = ops.expand_dims(ops.cast(padding_mask, x.dtype), -1)
        return ops.sum(x * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1.0)


@keras.saving.register_keras_serializable(package="kerazoo")
class BiasAdd(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Adds a learned vector along the last axis."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the vector."""
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        """Return ``x`` plus the vector."""
        return x + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="kerazoo")
class LastStep(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """The last step that is real.

    Example:
        >>> import keras
        >>> x = keras.ops.array([[[1.0], [3.0], [100.0]]])
        >>> float(LastStep()(x, keras.ops.array([[1, 1, 0]]))[0, 0])
        3.0
    """

    def call(self, x: Any, padding_mask: Any) -> Any:
        """Return float (batch, width); zeros for a row without a real step.

        Args:
            x: float (batch, steps, width).
            padding_mask: int32 (batch, steps), 1 = real; padding stands behind.
        """
        real = ops.cast(padding_mask, x.dtype)
        following = ops.pad(real[:, 1:], ((0, 0), (0, 1)))
        return ops.sum(x * ops.expand_dims(real * (1 - following), -1), axis=1)


def check_task(family: str, task: str, tasks: Sequence[str]) -> None:
    """Refuse a task that the family has no head for.

    Raises:
        UsageError: It names the closest task and all there are.

    Example:
        >>> check_task("cnn", "image-clasification", ["features", "image-classification"])
        Traceback (most recent call last):
        ...
        zoo_system.errors.UsageError: Family 'cnn' has no task 'image-clasification'. \
Did you mean 'image-classification'? It has: features, image-classification.
    """
    if task not in tasks:
        raise UsageError(
            f"Family '{family}' has no task '{task}'.{did_you_mean(task, tasks)} "
            f"It has: {', '.join(tasks)}."
        )


def check_choice(family: str, **choices: tuple[str, Sequence[str]]) -> None:
    """Refuse an argument that is none of a few words.

    Args:
        family: For the message.
        choices: The value and the words it may be, by argument.

    Raises:
        UsageError: It names the argument, the value and the words.

    Example:
        >>> check_choice("vit", pooling=("max", ("class", "avg")))
        Traceback (most recent call last):
        ...
        zoo_system.errors.UsageError: vit: pooling='max' is not one of: class, avg.
    """
    for argument, (value, words) in choices.items():
        if value not in words:
            raise UsageError(f"{family}: {argument}='{value}' is not one of: {', '.join(words)}.")


def vector_head(
    x: Any,
    *,
    task: str,
    num_classes: int,
    dropout: float = 0.0,
    stddev: float | None = None,
    use_bias: bool = True,
) -> Any:
    """Return the output ``pooled_output`` for the task ``features``, else ``logits``.

    Args:
        x: float (batch, width), one vector an example, or (batch, steps, width).
        task: ``"features"`` or a classification.
        num_classes: Size of the logits.
        dropout: Rate before the last product.
        stddev: Of the initial kernel; ``None`` is Glorot's uniform distribution.
        use_bias: Whether the last product has one.
    """
    if task == "features":
        return keras.layers.Identity(name="pooled_output")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    # The loss needs float32 under a mixed precision policy too.
    return keras.layers.Dense(
        num_classes,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer(stddev),
        dtype="float32",
        name="logits",
    )(x)


def image_head(
    x: Any,
    maps: Mapping[str, Any],
    *,
    task: str,
    pooling: str = "avg",
    num_classes: int,
    dropout: float = 0.0,
    stddev: float | None = None,
) -> Any:
    """Return ``logits``, or for the task ``features`` the feature maps and ``pooled_output``.

    Args:
        x: float (batch, height, width, channels), the last feature map.
        maps: Feature maps by the name their output is to have.
        task: ``features`` or a classification.
        pooling: ``"avg"`` or ``"max"`` over height and width.
        num_classes: Size of the logits.
        dropout: Rate before the last product.
        stddev: Of the initial kernel; ``None`` is Glorot's uniform distribution.

    Raises:
        UsageError: An unknown pooling.
    """
    pools = {
        "avg": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
    }
    check_choice(task, pooling=(pooling, tuple(pools)))
    pooled = pools[pooling](data_format="channels_last", name="pool")(x)
    head = vector_head(pooled, task=task, num_classes=num_classes, dropout=dropout, stddev=stddev)
    if task != "features":
        return head
    named = {name: keras.layers.Identity(name=name)(value) for name, value in maps.items()}
    return {**named, "pooled_output": head}


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


def encoder_head(x: Any, task: str, num_classes: int, dropout: float, *, stddev: float) -> Any:
    """Return the outputs of the tasks that every text encoder has in the same way.

    Args:
        x: float (batch, steps, width), the encoder's output.
        task: ``"question-answering"`` or ``"token-classification"``.
        num_classes: Size of the logits.
        dropout: Rate before the logits.
        stddev: Of the initial kernel.
    """
    if task == "question-answering":
        return span_head(x, stddev=stddev)
    return vector_head(x, task=task, num_classes=num_classes, dropout=dropout, stddev=stddev)


def span_head(x: Any, *, stddev: float) -> dict[str, Any]:
    """Return ``start_logits`` and ``end_logits``, float32 (batch, steps): where an answer is.

    Args:
        x: float (batch, steps, width).
        stddev: Of the initial kernel.
    """
    ends = keras.layers.Dense(
        2, kernel_initializer=kernel_initializer(stddev), dtype="float32", name="head_span"
    )(x)
    return {
        name: keras.layers.Identity(name=name, dtype="float32")(ends[:, :, index])
        for index, name in enumerate(("start_logits", "end_logits"))
    }


def sentence_embedding(
    x: Any, padding_mask: Any, pooling: str = "mean", *, normalized: bool = True
) -> Any:
    """Return ``sentence_embedding``, float (batch, width).

    Args:
        x: float (batch, steps, width).
        padding_mask: int32 (batch, steps), 1 = real.
        pooling: ``"mean"`` of the real steps, or the ``"first"`` step.
        normalized: Whether it is brought to length 1.
    """
    is_first = pooling == "first"
    pooled = x[:, 0] if is_first else MaskedMeanPooling(name="mean_pool")(x, padding_mask)
    last = keras.layers.UnitNormalization if normalized else keras.layers.Identity
    return last(name="sentence_embedding")(pooled)


def masked_lm_head(
    x: Any, embedding: Any, activation: str, *, epsilon: float, stddev: float
) -> Any:
    """Return ``logits`` as BERT does: dense, GELU, normalization, transposed embedding, bias.

    Args:
        x: float (batch, steps, width).
        embedding: A ``keras.layers.ReversibleEmbedding``.
        activation: Of the dense layer, as in :class:`TransformerBlock`.
        epsilon: Of the layer normalization.
        stddev: Of the initial kernel.
    """
    x = keras.layers.Dense(
        x.shape[-1],
        kernel_initializer=kernel_initializer(stddev),
        name="head_dense",
    )(x)
    x = ACTIVATIONS[activation](x)
    x = LayerNorm(epsilon, name="head_norm")(x)
    return BiasAdd(dtype="float32", name="logits")(embedding(x, reverse=True))


def rating_head(x: Any, mean_rating: float) -> Any:
    """Return the output ``rating``, float32 (batch, 1).

    Args:
        x: float (batch, 1, 1), what is above the mean.
        mean_rating: Added to it.
    """
    x = keras.layers.Reshape((1,), name="above_mean")(x)
    # The loss needs float32 under a mixed precision policy too.
    return keras.layers.Rescaling(1.0, offset=mean_rating, dtype="float32", name="rating")(x)
