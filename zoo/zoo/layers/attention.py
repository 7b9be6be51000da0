"""Multi-head self-attention (https://arxiv.org/abs/1706.03762, section 3.2).

Written with plain matrix products, reshapes and an additive mask, which every exporter turns
into its own built-in operators; einsum and boolean masks are not.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo.layers.initializers import kernel_initializer
from zoo_registry import UsageError


@keras.saving.register_keras_serializable(package="kerazoo")
class AttentionBias(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Turns a padding mask, and the order of time, into numbers added to attention scores.

    A hidden position gets a large negative number, a visible one zero. Computed once a model and
    given to every block.

    Args:
        causal: Whether a step sees only itself and what came before.

    Example:
        >>> import keras
        >>> bias = AttentionBias()(keras.ops.array([[1, 1, 0]], "int32"))
        >>> [float(v) for v in bias[0, 0, 0]]
        [-0.0, -0.0, -1000000000.0]
    """

    def __init__(self, causal: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.causal = causal

    def call(self, padding_mask: Any) -> Any:
        """Return float (batch or 1, 1, 1 or steps, steps).

        Args:
            padding_mask: int32 (batch, steps), 1 = real token. If causal, only its length
                counts: padding stands behind all real tokens, which so never see it.
        """
        length = ops.shape(padding_mask)[1]
        if self.causal:
            steps = ops.arange(length, dtype="int32")
            later = ops.greater(ops.reshape(steps, (1, -1)), ops.reshape(steps, (-1, 1)))
            hidden = ops.reshape(ops.cast(later, self.compute_dtype), (1, 1, length, length))
        else:
            hidden = 1 - ops.reshape(ops.cast(padding_mask, self.compute_dtype), (-1, 1, 1, length))
        # Half precision ends at 65504.
        return hidden * (-3e4 if self.compute_dtype == "float16" else -1e9)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "causal": self.causal}


@keras.saving.register_keras_serializable(package="kerazoo")
class SelfAttention(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Multi-head self-attention with an output projection.

    Args:
        hidden_dim: Width of input and output.
        num_heads: Heads that share the width.
        dropout: Rate on the attention probabilities.
        fused: Whether query, key and value are one product (GPT-2) or three (BERT).
        stddev: Of the initial kernels; ``None`` is Glorot's uniform distribution.
        output_stddev: The same for the output projection.

    Raises:
        UsageError: The heads do not divide the width.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        *,
        dropout: float = 0.0,
        fused: bool = False,
        stddev: float | None = None,
        output_stddev: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if hidden_dim % num_heads:
            raise UsageError(f"hidden_dim={hidden_dim} is not a multiple of num_heads={num_heads}.")
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.fused = fused
        self.stddev = stddev
        self.output_stddev = output_stddev
        widths = (
            {"qkv": 3 * hidden_dim}
            if fused
            else dict.fromkeys(("query", "key", "value"), hidden_dim)
        )
        self.projections = [self._dense(width, stddev, name) for name, width in widths.items()]
        self.output_projection = self._dense(hidden_dim, output_stddev, "output")
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def _dense(self, units: int, stddev: float | None, name: str) -> Any:
        return keras.layers.Dense(
            units,
            kernel_initializer=kernel_initializer(stddev),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, x_shape: tuple[int | None, ...], bias_shape: Any = None) -> None:
        """Create the projections."""
        del bias_shape
        for layer in (*self.projections, self.output_projection):
            layer.build(x_shape)

    def call(self, x: Any, bias: Any = None, training: bool | None = None) -> Any:
        """Return what each step gathers from the others, like ``x``.

        Args:
            x: float (batch, steps, hidden_dim).
            bias: float, broadcast to (batch, heads, steps, steps) and added to the scores.
            training: Whether dropout is on.
        """
        if self.fused:
            query, key, value = ops.split(self.projections[0](x), 3, axis=-1)
        else:
            query, key, value = (project(x) for project in self.projections)
        length = ops.shape(x)[1]
        query, key, value = (self._heads(t, length) for t in (query, key, value))
        query = query * (self.hidden_dim // self.num_heads) ** -0.5
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        if bias is not None:
            scores = scores + bias
        probabilities = self.dropout_layer(ops.softmax(scores, axis=-1), training=training)
        gathered = ops.transpose(ops.matmul(probabilities, value), (0, 2, 1, 3))
        return self.output_projection(ops.reshape(gathered, (-1, length, self.hidden_dim)))

    def _heads(self, x: Any, length: Any) -> Any:
        split = (-1, length, self.num_heads, self.hidden_dim // self.num_heads)
        return ops.transpose(ops.reshape(x, split), (0, 2, 1, 3))

    def compute_output_shape(self, x_shape: Any, bias_shape: Any = None) -> Any:
        """Return the shape of ``x``."""
        del bias_shape
        return x_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "fused": self.fused,
            "stddev": self.stddev,
            "output_stddev": self.output_stddev,
        }
