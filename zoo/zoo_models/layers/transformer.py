"""The blocks that transformers are stacks of: of the original and GPT-2, and of modern decoders."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
from keras import ops

from zoo_models.layers.attention import Attention, AttentionBias
from zoo_models.layers.initializers import kernel_initializer
from zoo_models.layers.normalization import LayerNorm, RMSNorm
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
        cross: Whether a second attention, to a memory, stands between the two (a decoder's
            block of the original).
        epsilon: Of the layer normalizations.
        stddev: Of the initial kernels; ``None`` is Glorot's uniform distribution.
        residual_stddev: The same for the two kernels that write into the residual stream;
            ``None`` means ``stddev``.
        truncated: Whether those normal distributions end at two standard deviations.

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
        cross: bool = False,
        epsilon: float = 1e-5,
        stddev: float | None = None,
        residual_stddev: float | None = None,
        truncated: bool = True,
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
            "cross": cross,
            "epsilon": epsilon,
            "stddev": stddev,
            "residual_stddev": residual_stddev,
            "truncated": truncated,
        }
        self.activation = ACTIVATIONS[activation]
        self.pre_norm = pre_norm
        dtype = self.dtype_policy
        into_residual = stddev if residual_stddev is None else residual_stddev
        attention: dict[str, Any] = {
            "dropout": dropout if attention_dropout is None else attention_dropout,
            "stddev": stddev,
            "output_stddev": into_residual,
            "truncated": truncated,
            "dtype": dtype,
        }
        self.attention = Attention(
            hidden_dim, num_heads, fused=fused, **attention, name="attention"
        )
        if cross:
            self.cross_attention = Attention(
                hidden_dim, num_heads, **attention, name="cross_attention"
            )
            self.cross_norm = LayerNorm(epsilon, dtype=dtype, name="cross_norm")
        self.attention_norm = LayerNorm(epsilon, dtype=dtype, name="attention_norm")
        self.ff_norm = LayerNorm(epsilon, dtype=dtype, name="ff_norm")
        self.ff_in = keras.layers.Dense(
            ff_dim,
            kernel_initializer=kernel_initializer(stddev, truncated=truncated),
            dtype=dtype,
            name="ff_in",
        )
        self.ff_out = keras.layers.Dense(
            hidden_dim,
            kernel_initializer=kernel_initializer(into_residual, truncated=truncated),
            dtype=dtype,
            name="ff_out",
        )
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=dtype)

    def build(self, x_shape: tuple[int | None, ...], *other_shapes: Any) -> None:
        """Create the weights of all parts."""
        del other_shapes
        parts = [self.attention, self.attention_norm, self.ff_norm, self.ff_in]
        if self.arguments["cross"]:
            parts += [self.cross_attention, self.cross_norm]
        for layer in parts:
            layer.build(x_shape)
        self.ff_out.build((*x_shape[:-1], self.arguments["ff_dim"]))

    def call(
        self,
        x: Any,
        bias: Any = None,
        memory: Any = None,
        memory_bias: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Return float (batch, steps, hidden_dim).

        Args:
            x: float (batch, steps, hidden_dim).
            bias: What :class:`AttentionBias` made.
            memory: float (batch, memory steps, hidden_dim), for a block with ``cross``.
            memory_bias: What :class:`AttentionBias` made of the memory's padding.
            training: Whether dropout is on.
        """

        def attend(t: Any) -> Any:
            return self.attention(t, bias=bias, training=training)

        def look_up(t: Any) -> Any:
            return self.cross_attention(t, bias=memory_bias, memory=memory, training=training)

        def transform(t: Any) -> Any:
            return self.ff_out(self.activation(self.ff_in(t)))

        parts = [(attend, self.attention_norm), (transform, self.ff_norm)]
        if self.arguments["cross"]:
            parts.insert(1, (look_up, self.cross_norm))
        for part, norm in parts:
            added = part(norm(x) if self.pre_norm else x)
            x = x + self.dropout_layer(added, training=training)
            x = x if self.pre_norm else norm(x)
        return x

    def memory_heads(self, memory: Any) -> tuple[Any, Any]:
        """Return what the attention to a memory makes of it; see :class:`Attention`."""
        return self.cross_attention.memory_heads(memory)

    def compute_output_shape(self, x_shape: Any, *other_shapes: Any) -> Any:
        """Return the shape of ``x``."""
        del other_shapes
        return x_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), **self.arguments}


def encoder_blocks(
    x: Any,
    padding_mask: Any,
    num_layers: int,
    *,
    hidden_dim: int,
    num_heads: int,
    ff_dim: int,
    **arguments: Any,
) -> Any:
    """Return float (batch, steps, hidden_dim): ``x`` after blocks that see all real steps.

    Args:
        x: float (batch, steps, hidden_dim).
        padding_mask: int32 (batch, steps), 1 = real.
        num_layers: Blocks.
        hidden_dim: Width.
        num_heads: Attention heads.
        ff_dim: Width inside each block's perceptron.
        arguments: Others of :class:`TransformerBlock`.
    """
    bias = AttentionBias(name="attention_bias")(padding_mask)
    for index in range(num_layers):
        block = TransformerBlock(hidden_dim, num_heads, ff_dim, **arguments, name=f"block_{index}")
        x = block(x, bias)
    return x


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
