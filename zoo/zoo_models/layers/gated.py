"""The block of modern decoders."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo_models.layers.attention import Attention
from zoo_models.layers.initializers import kernel_initializer
from zoo_models.layers.normalization import RMSNorm


@keras.saving.register_keras_serializable(package="kerazoo")
class GatedBlock(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Attention with rotary positions and a gated perceptron, each normalized before.

    The perceptron is SwiGLU (https://arxiv.org/abs/2002.05202): ``silu(x A) * (x B)``, then C.

    Args:
        hidden_dim: Width of input and output.
        num_heads: Heads of the queries.
        num_kv_heads: Heads of keys and values.
        ff_dim: Width inside the perceptron.
        head_dim: Width of a head; ``None`` is the width over the heads.
        dropout: Rate on attention and on what each part adds.
        epsilon: Of the normalizations.
        stddev: Of the initial kernels.
        qkv_bias: Whether the products of queries, keys and values have one.
        output_bias: Whether the attention's output projection has one.
        ff_bias: Whether the perceptron's products have one.
        qk_norm: Whether each head's queries and keys are normalized before they are turned.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        num_kv_heads: int,
        ff_dim: int,
        *,
        head_dim: int | None = None,
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        stddev: float = 0.02,
        qkv_bias: bool = False,
        output_bias: bool = False,
        ff_bias: bool = False,
        qk_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.arguments = {
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "ff_dim": ff_dim,
            "head_dim": head_dim,
            "dropout": dropout,
            "epsilon": epsilon,
            "stddev": stddev,
            "qkv_bias": qkv_bias,
            "output_bias": output_bias,
            "ff_bias": ff_bias,
            "qk_norm": qk_norm,
        }
        dtype = self.dtype_policy
        self.attention = Attention(
            hidden_dim,
            num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            dropout=dropout,
            use_bias=qkv_bias,
            output_bias=output_bias,
            qk_norm=epsilon if qk_norm else None,
            stddev=stddev,
            output_stddev=stddev,
            truncated=False,
            dtype=dtype,
            name="attention",
        )
        self.attention_norm = RMSNorm(epsilon, dtype=dtype, name="attention_norm")
        self.ff_norm = RMSNorm(epsilon, dtype=dtype, name="ff_norm")
        self.ff_gate = self._dense(ff_dim, "ff_gate")
        self.ff_in = self._dense(ff_dim, "ff_in")
        self.ff_out = self._dense(hidden_dim, "ff_out")
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=dtype)

    def _dense(self, units: int, name: str) -> Any:
        return keras.layers.Dense(
            units,
            use_bias=self.arguments["ff_bias"],
            kernel_initializer=kernel_initializer(self.arguments["stddev"], truncated=False),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, x_shape: tuple[int | None, ...], *other_shapes: Any) -> None:
        """Create the weights of all parts."""
        del other_shapes
        parts = (self.attention, self.attention_norm, self.ff_norm, self.ff_gate, self.ff_in)
        for layer in parts:
            layer.build(x_shape)
        self.ff_out.build((*x_shape[:-1], self.arguments["ff_dim"]))

    def call(self, x: Any, bias: Any, rotation: Any = None, training: bool | None = None) -> Any:
        """Return float (batch, steps, hidden_dim).

        Args:
            x: float (batch, steps, hidden_dim).
            bias: What :class:`AttentionBias` made.
            rotation: What :class:`RotaryPositions` made; without it the order of the steps counts
                by what each may see alone (https://arxiv.org/abs/2305.19466).
            training: Whether dropout is on.
        """
        attended = self.attention(
            self.attention_norm(x), bias=bias, rotation=rotation, training=training
        )
        x = x + self.dropout_layer(attended, training=training)
        normal = self.ff_norm(x)
        hidden = self.ff_out(ops.silu(self.ff_gate(normal)) * self.ff_in(normal))
        return x + self.dropout_layer(hidden, training=training)

    def compute_output_shape(self, x_shape: Any, *other_shapes: Any) -> Any:
        """Return the shape of ``x``."""
        del other_shapes
        return x_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), **self.arguments}
