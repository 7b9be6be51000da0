"""Rounding to the 256 values of int8 while the model trains, in the form LiteRT's converter reads.

Quantization-aware training, https://arxiv.org/abs/1712.05877. Keras 3 has none.
"""

from __future__ import annotations

from typing import Any

import keras

_SMALLEST_RANGE = 1e-3


@keras.saving.register_keras_serializable(package="kerazoo")
class ActivationRange(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Activations rounded to int8, between limits that follow what training sees.

    They widen immediately and narrow slowly.

    Args:
        momentum: Fraction of wider limits that each step keeps; the first step sets them.

    Example:
        >>> import keras
        >>> layer = ActivationRange()
        >>> x = keras.ops.array([[0.0, 0.1234, 2.55]])
        >>> [round(float(v), 3) for v in layer(x, training=True)[0]]
        [0.0, 0.12, 2.55]
    """

    is_fake_quantization = True

    def __init__(self, momentum: float = 0.95, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the limits, one of each for the whole tensor as LiteRT wants it."""
        self.low = self._limit("low", -6.0)
        self.high = self._limit("high", 6.0)
        self.is_set = self._limit("is_set", 0.0)

    def _limit(self, name: str, value: float) -> Any:
        initializer = keras.initializers.Constant(value)
        return self.add_weight(
            shape=(), initializer=initializer, trainable=False, dtype="float32", name=name
        )

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return ``x`` rounded; in training the limits move first."""
        import tensorflow as tf

        wide = tf.cast(x, tf.float32)
        if training:
            self._follow(tf.reduce_min(wide), tf.reduce_max(wide))
        rounded = tf.quantization.fake_quant_with_min_max_vars(
            wide, self.low.value, self.high.value, num_bits=8
        )
        return tf.cast(rounded, self.compute_dtype)

    def _follow(self, low: Any, high: Any) -> None:
        import tensorflow as tf

        kept = self.momentum * self.is_set.value
        # Zero must be one of the values: padding is made of it.
        low, high = tf.minimum(low, 0.0), tf.maximum(high, _SMALLEST_RANGE)
        # A mean would lag behind what grows, as logits do, and cut it off.
        self.low.assign(tf.minimum(low, kept * self.low.value + (1 - kept) * low))
        self.high.assign(tf.maximum(high, kept * self.high.value + (1 - kept) * high))
        self.is_set.assign(1.0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "momentum": self.momentum}


@keras.saving.register_keras_serializable(package="kerazoo")
class QuantizedWeights(keras.layers.Wrapper):  # type: ignore[misc]  # Keras ships no types
    """A layer that computes with its kernel rounded to int8 and trains the kernel itself.

    One scale for each output channel of a convolution, one for all of a dense layer: the
    converter refuses more for that.

    Args:
        layer: A ``Dense``, ``Conv2D`` or ``DepthwiseConv2D``.

    Example:
        >>> import keras
        >>> dense = keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)
        >>> layer = QuantizedWeights(dense)
        >>> float(layer(keras.ops.ones((1, 2)))[0, 0])
        2.0
    """

    is_fake_quantization = True

    def call(self, x: Any) -> Any:
        """Return what the layer gives with its rounded kernel."""
        layer = self.layer
        by_input = isinstance(layer, keras.layers.DepthwiseConv2D)
        trained = [
            _rounded(variable.value, by_input=by_input)
            if variable is layer.kernel
            else variable.value
            for variable in layer.trainable_variables
        ]
        fixed = [variable.value for variable in layer.non_trainable_variables]
        outputs, _ = layer.stateless_call(trained, fixed, x)
        return outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> Any:
        """Return the shape of the layer's output."""
        return self.layer.compute_output_shape(input_shape)


def _rounded(kernel: Any, *, by_input: bool) -> Any:
    import tensorflow as tf

    if len(kernel.shape) == 2:
        limit = tf.maximum(tf.reduce_max(tf.abs(kernel)), 1e-6)
        return tf.quantization.fake_quant_with_min_max_vars(
            kernel, -limit, limit, num_bits=8, narrow_range=True
        )
    # A depthwise kernel has a filter for each input channel; the converter sees through this.
    shape = kernel.shape
    flat = tf.reshape(kernel, [1, *shape[:2], shape[2] * shape[3]]) if by_input else kernel
    limits = tf.maximum(tf.reduce_max(tf.abs(flat), axis=[0, 1, 2]), 1e-6)
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, -limits, limits, num_bits=8, narrow_range=True
    )
    return tf.reshape(rounded, shape) if by_input else rounded
