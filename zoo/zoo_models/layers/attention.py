"""Multi-head attention (https://arxiv.org/abs/1706.03762, section 3.2).

Written with plain matrix products, reshapes and an additive mask, which every exporter turns
into its own built-in operators; einsum and boolean masks are not.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from zoo_models.layers.cache import CausalBias, Memory, Reading, attend
from zoo_models.layers.initializers import kernel_initializer
from zoo_models.layers.normalization import RMSNorm
from zoo_models.layers.rotary import rotate
from zoo_registry import UsageError


@keras.saving.register_keras_serializable(package="kerazoo")
class AttentionBias(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Turns a padding mask, and the order of time, into a bias added to attention scores.

    A hidden position gets a large negative number, a visible one zero. Computed once a model and
    given to every block.

    Args:
        causal: Whether a step sees only itself and what came before.
        window: With ``causal``: how many steps, itself the last, a step sees at most.

    Example:
        >>> import keras
        >>> bias = AttentionBias()(keras.ops.array([[1, 1, 0]], "int32"))
        >>> [float(v) for v in bias[0, 0, 0]]
        [-0.0, -0.0, -1000000000.0]
    """

    def __init__(self, causal: bool = False, window: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.causal = causal
        self.window = window

    def call(self, padding_mask: Any) -> Any:
        """Return float (batch or 1, 1, 1 or steps, steps).

        Args:
            padding_mask: int32 (batch, steps), 1 = real token. If causal, only its length
                counts: padding stands behind all real tokens, which so never see it.
        """
        length = ops.shape(padding_mask)[1]
        if self.causal:
            steps = ops.arange(length, dtype="int32")
            keys, queries = ops.reshape(steps, (1, -1)), ops.reshape(steps, (-1, 1))
            hidden = ops.cast(ops.greater(keys, queries), self.compute_dtype)
            if self.window is not None:
                gone = ops.greater_equal(queries, keys + self.window)
                hidden = hidden + ops.cast(gone, self.compute_dtype)
            hidden = ops.reshape(hidden, (1, 1, length, length))
        else:
            hidden = 1 - ops.reshape(ops.cast(padding_mask, self.compute_dtype), (-1, 1, 1, length))
        # Half precision ends at 65504.
        return hidden * (-3e4 if self.compute_dtype == "float16" else -1e9)

    def read(self, reading: Reading, padding_mask: Any) -> Any:
        """Return the bias of a call that reads new tokens, as :meth:`call` does of whole texts."""
        return CausalBias(reading, self.window) if self.causal else self(padding_mask)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "causal": self.causal, "window": self.window}


@keras.saving.register_keras_serializable(package="kerazoo")
class Attention(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Multi-head attention with an output projection, to itself or to a memory.

    Args:
        hidden_dim: Width of input and output.
        num_heads: Heads of the queries.
        num_kv_heads: Heads of keys and values, each shared by as many queries' heads
            (https://arxiv.org/abs/2305.13245); ``None`` means ``num_heads``.
        head_dim: Width of a head; ``None`` is the width over the heads.
        dropout: Rate on the attention probabilities.
        fused: Whether query, key and value are one product (GPT-2) or three (BERT).
        use_bias: Whether the products have one.
        output_bias: The same for the output projection; ``None`` means ``use_bias``.
        qk_norm: Epsilon of a normalization by the root of the mean square of each head's queries
            and keys (https://arxiv.org/abs/2302.05442), before they are turned; ``None`` is none.
        stddev: Of the initial kernels; ``None`` is Glorot's uniform distribution.
        output_stddev: The same for the output projection.
        truncated: Whether those normal distributions end at two standard deviations.

    Raises:
        UsageError: Heads that do not divide what they have to.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        dropout: float = 0.0,
        fused: bool = False,
        use_bias: bool = True,
        output_bias: bool | None = None,
        qk_norm: float | None = None,
        stddev: float | None = None,
        output_stddev: float | None = None,
        truncated: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if head_dim is None and hidden_dim % num_heads:
            raise UsageError(f"hidden_dim={hidden_dim} is not a multiple of num_heads={num_heads}.")
        if num_heads % (num_kv_heads or num_heads):
            raise UsageError(
                f"num_heads={num_heads} is not a multiple of num_kv_heads={num_kv_heads}."
            )
        self.arguments: dict[str, Any] = {
            "hidden_dim": hidden_dim,
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "head_dim": head_dim,
            "dropout": dropout,
            "fused": fused,
            "use_bias": use_bias,
            "output_bias": output_bias,
            "qk_norm": qk_norm,
            "stddev": stddev,
            "output_stddev": output_stddev,
            "truncated": truncated,
        }
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads or num_heads
        self.head_dim = head_dim or hidden_dim // num_heads
        self.fused = fused
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        widths = (
            {"qkv": queries + 2 * keys} if fused else {"query": queries, "key": keys, "value": keys}
        )
        self.projections = [
            self._dense(width, stddev, use_bias, name) for name, width in widths.items()
        ]
        output_bias = use_bias if output_bias is None else output_bias
        self.output_projection = self._dense(hidden_dim, output_stddev, output_bias, "output")
        self.norms = [
            RMSNorm(qk_norm, dtype=self.dtype_policy, name=name)
            for name in ("query_norm", "key_norm")
            if qk_norm is not None
        ]
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def _dense(self, units: int, stddev: float | None, use_bias: bool, name: str) -> Any:
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer(stddev, truncated=self.arguments["truncated"]),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, x_shape: tuple[int | None, ...], *other_shapes: Any) -> None:
        """Create the projections; a memory is as wide as the input."""
        del other_shapes
        for layer in self.projections:
            layer.build(x_shape)
        self.output_projection.build((*x_shape[:-1], self.num_heads * self.head_dim))
        for norm in self.norms:
            norm.build((*x_shape[:-1], self.head_dim))

    def call(
        self,
        x: Any,
        bias: Any = None,
        memory: Any = None,
        rotation: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Return what each step gathers from the others, or from the memory, like ``x``.

        Args:
            x: float (batch, steps, hidden_dim).
            bias: float, broadcast to (batch, heads, steps, memory steps), added to the scores.
            memory: float (batch, memory steps, hidden_dim) to look at instead of ``x``.
            rotation: What :class:`RotaryPositions` made.
            training: Whether dropout is on.
        """
        if isinstance(memory, Memory):
            query = self._heads(self.projections[0](x), self.num_heads)
            key, value = memory.reading.memory_heads()
        else:
            query, key, value = self._project(x, x if memory is None else memory)
        if self.norms:
            query, key = (norm(t) for norm, t in zip(self.norms, (query, key), strict=True))
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        query = query * self.head_dim**-0.5
        if isinstance(bias, CausalBias):
            gathered = attend(query, key, value, bias)
        else:
            gathered = self._attend(query, key, value, bias, training)
        width = self.num_heads * self.head_dim
        gathered = ops.reshape(ops.transpose(gathered, (0, 2, 1, 3)), (-1, ops.shape(x)[1], width))
        return self.output_projection(gathered)

    def memory_heads(self, memory: Any) -> tuple[Any, Any]:
        """Return the keys and values of a memory, float (batch, heads, steps, head_dim) each."""
        _, key, value = self.projections
        return self._heads(key(memory), self.num_kv_heads), self._heads(
            value(memory), self.num_kv_heads
        )

    def _attend(self, query: Any, key: Any, value: Any, bias: Any, training: Any) -> Any:
        key, value = self._shared(key), self._shared(value)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        if bias is not None:
            scores = scores + bias
        probabilities = self.dropout_layer(ops.softmax(scores, axis=-1), training=training)
        return ops.matmul(probabilities, value)

    def _project(self, x: Any, memory: Any) -> tuple[Any, Any, Any]:
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        if self.fused:
            parts = ops.split(self.projections[0](x), (queries, queries + keys), axis=-1)
        else:
            given = (x, memory, memory)
            parts = [p(t) for p, t in zip(self.projections, given, strict=True)]
        heads = (self.num_heads, self.num_kv_heads, self.num_kv_heads)
        query, key, value = (self._heads(t, n) for t, n in zip(parts, heads, strict=True))
        return query, key, value

    def _heads(self, x: Any, num_heads: int) -> Any:
        split = (-1, ops.shape(x)[1], num_heads, self.head_dim)
        return ops.transpose(ops.reshape(x, split), (0, 2, 1, 3))

    def _shared(self, x: Any) -> Any:
        """Repeat each key's or value's head for the queries that share it."""
        copies = self.num_heads // self.num_kv_heads
        if copies == 1:
            return x
        length = ops.shape(x)[2]
        single = ops.reshape(x, (-1, self.num_kv_heads, 1, length, self.head_dim))
        repeated = ops.concatenate([single] * copies, axis=2)
        return ops.reshape(repeated, (-1, self.num_heads, length, self.head_dim))

    def compute_output_shape(self, x_shape: Any, *other_shapes: Any) -> Any:
        """Return the shape of ``x``."""
        del other_shapes
        return x_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), **self.arguments}
