"""Small layers between a body and its head."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


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
