"""The block that transformer encoders and decoders are stacks of."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
from keras import ops

from zoo.layers.attention import SelfAttention
from zoo.layers.initializers import kernel_initializer
from zoo.layers.normalization import LayerNorm
from zoo_registry import UsageError

ACTIVATIONS = {
    "gelu": partial(ops.gelu, approximate=False),
    "gelu_tanh": partial(ops.gelu, approximate=True),
    "relu": ops.relu,
}


@keras.saving.register_keras_serializable(package="kerazoo")
class TransformerBlock(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Self-attention and a two-layer perceptron, each with a residual connection.

    Args:
        hidden_dim: Width of input and output.
        num_heads: Attention heads.
        ff_dim: Width inside the perceptron.
        dropout: Rate on what each part adds to the residual stream.
        attention_dropout: Rate on the attention probabilities; ``None`` means ``dropout``.
        activation: ``"gelu"`` (exact), ``"gelu_tanh"`` (GPT-2's approximation) or ``"relu"``.
        pre_norm: Normalize what goes into each part (GPT-2) rather than what comes out of each
            residual sum (the original and BERT).
        fused: One product for query, key and value.
        epsilon: Of the layer normalizations.
        stddev: Of the initial kernels; ``None`` is Glorot's uniform distribution.
        residual_stddev: The same for the two kernels that write into the residual stream;
            ``None`` means ``stddev``.

    Raises:
        UsageError: An unknown activation, or heads that do not divide the width.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        ff_dim: int,
        *,
        dropout: float = 0.0,
        attention_dropout: float | None = None,
        activation: str = "gelu",
        pre_norm: bool = False,
        fused: bool = False,
        epsilon: float = 1e-5,
        stddev: float | None = None,
        residual_stddev: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise UsageError(f"activation='{activation}' is not one of {', '.join(ACTIVATIONS)}.")
        self.arguments = {
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "ff_dim": ff_dim,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "activation": activation,
            "pre_norm": pre_norm,
            "fused": fused,
            "epsilon": epsilon,
            "stddev": stddev,
            "residual_stddev": residual_stddev,
        }
        self.activation = ACTIVATIONS[activation]
        self.pre_norm = pre_norm
        dtype = self.dtype_policy
        into_residual = stddev if residual_stddev is None else residual_stddev
        self.attention = SelfAttention(
            hidden_dim,
            num_heads,
            dropout=dropout if attention_dropout is None else attention_dropout,
            fused=fused,
            stddev=stddev,
            output_stddev=into_residual,
            dtype=dtype,
            name="attention",
        )
        self.attention_norm = LayerNorm(epsilon, dtype=dtype, name="attention_norm")
        self.ff_norm = LayerNorm(epsilon, dtype=dtype, name="ff_norm")
        self.ff_in = keras.layers.Dense(
            ff_dim, kernel_initializer=kernel_initializer(stddev), dtype=dtype, name="ff_in"
        )
        self.ff_out = keras.layers.Dense(
            hidden_dim,
            kernel_initializer=kernel_initializer(into_residual),
            dtype=dtype,
            name="ff_out",
        )
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=dtype)

    def build(self, x_shape: tuple[int | None, ...], bias_shape: Any = None) -> None:
        """Create the weights of all parts."""
        self.attention.build(x_shape, bias_shape)
        for layer in (self.attention_norm, self.ff_norm, self.ff_in):
            layer.build(x_shape)
        self.ff_out.build((*x_shape[:-1], self.arguments["ff_dim"]))

    def call(self, x: Any, bias: Any = None, training: bool | None = None) -> Any:
        """Return float (batch, steps, hidden_dim).

        Args:
            x: float (batch, steps, hidden_dim).
            bias: What :class:`AttentionBias` made.
            training: Whether dropout is on.
        """

        def attend(t: Any) -> Any:
            return self.dropout_layer(self.attention(t, bias, training=training), training=training)

        def transform(t: Any) -> Any:
            hidden = self.ff_out(self.activation(self.ff_in(t)))
            return self.dropout_layer(hidden, training=training)

        if self.pre_norm:
            x = x + attend(self.attention_norm(x))
            return x + transform(self.ff_norm(x))
        x = self.attention_norm(x + attend(x))
        return self.ff_norm(x + transform(x))

    def compute_output_shape(self, x_shape: Any, bias_shape: Any = None) -> Any:
        """Return the shape of ``x``."""
        del bias_shape
        return x_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), **self.arguments}
