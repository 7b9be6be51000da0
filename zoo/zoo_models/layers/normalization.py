"""Normalization in the form that ONNX Runtime fuses."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerazoo")
class LayerNorm(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Layer normalization over the last axis (https://arxiv.org/abs/1607.06450).

    It computes what ``keras.layers.LayerNormalization`` does. Keras multiplies by a reciprocal
    square root; ONNX Runtime recognises only the division and makes it one fused operator.

    Args:
        epsilon: Added to the variance.

    Example:
        >>> import keras
        >>> x = keras.ops.array([[1.0, 3.0]])
        >>> [round(float(v), 3) for v in LayerNorm(epsilon=1e-6)(x)[0]]
        [-1.0, 1.0]
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create scale and offset."""
        size = (input_shape[-1],)
        self.gamma = self.add_weight(shape=size, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=size, initializer="zeros", name="beta")

    def call(self, x: Any) -> Any:
        """Return ``x`` with mean 0 and variance 1 along its last axis, scaled and shifted."""
        # Half precision is too coarse for the variance.
        wide = ops.cast(x, "float32")
        centered = wide - ops.mean(wide, axis=-1, keepdims=True)
        # A power, not a square: that is what the fusion looks for.
        variance = ops.mean(ops.power(centered, 2.0), axis=-1, keepdims=True)
        normal = centered / ops.sqrt(variance + self.epsilon)
        gamma, beta = ops.cast(self.gamma, "float32"), ops.cast(self.beta, "float32")
        return ops.cast(normal * gamma + beta, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="kerazoo")
class RMSNorm(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Division by the root of the mean square (https://arxiv.org/abs/1910.07467).

    Args:
        epsilon: Added to the mean square.

    Example:
        >>> import keras
        >>> [round(float(v), 3) for v in RMSNorm()(keras.ops.array([[3.0, 4.0]]))[0]]
        [0.849, 1.131]
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the scale."""
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gamma")

    def call(self, x: Any) -> Any:
        """Return ``x`` with mean square 1 along its last axis, scaled."""
        wide = ops.cast(x, "float32")
        square = ops.mean(ops.power(wide, 2.0), axis=-1, keepdims=True)
        normal = wide / ops.sqrt(square + self.epsilon)
        return ops.cast(normal * ops.cast(self.gamma, "float32"), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}
