"""Tokens and their positions; users and items."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from zoo_models.layers.cache import Reading
from zoo_models.layers.initializers import kernel_initializer
from zoo_registry import UsageError


def token_embedding(
    vocab_size: int, hidden_dim: int, stddev: float | None = 0.02, *, truncated: bool = True
) -> Any:
    """Return an embedding layer, named ``token_embedding``, that can be called in reverse.

    Args:
        vocab_size: Number of tokens.
        hidden_dim: Width.
        stddev: Of the initial values; ``None`` is the inverse square root of the width.
        truncated: Whether their normal distribution ends at two standard deviations.
    """
    stddev = hidden_dim**-0.5 if stddev is None else stddev
    return keras.layers.ReversibleEmbedding(
        vocab_size,
        hidden_dim,
        embeddings_initializer=kernel_initializer(stddev, truncated=truncated),
        name="token_embedding",
    )


@keras.saving.register_keras_serializable(package="kerazoo")
class LearnedPositions(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Adds a learned vector for each position (https://arxiv.org/abs/1705.03122).

    Args:
        max_length: Positions there are vectors for.
        stddev: Of the initial values.
        truncated: Whether their normal distribution ends at two standard deviations.
        first: Vectors that stand before the first position's and are not used.
    """

    def __init__(
        self,
        max_length: int,
        stddev: float = 0.02,
        *,
        truncated: bool = True,
        first: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.first = first
        self.truncated = truncated
        self.max_length = max_length
        self.stddev = stddev

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the vectors.

        Raises:
            UsageError: More steps than ``max_length``.
        """
        self._check(input_shape[1])
        self.embeddings = self.add_weight(
            shape=(self.first + self.max_length, input_shape[-1]),
            initializer=kernel_initializer(self.stddev, truncated=self.truncated),
            name="embeddings",
        )

    def call(self, x: Any) -> Any:
        """Return ``x``, float (batch, steps, width), plus the positions.

        Raises:
            UsageError: More steps than ``max_length``.
        """
        length = ops.shape(x)[1]
        self._check(length)
        rows = self.embeddings[self.first : self.first + length]
        return x + ops.expand_dims(ops.cast(rows, x.dtype), 0)

    def read(self, reading: Reading, x: Any) -> Any:
        """Return ``x`` plus the positions of a call that reads new tokens."""
        # Padding behind the tokens of a call may have no position.
        positions = ops.minimum(reading.positions, self.max_length - 1)
        return x + ops.cast(ops.take(self.embeddings, self.first + positions, axis=0), x.dtype)

    def _check(self, length: Any) -> None:
        # In a traced graph of any length it is a tensor, and the addition itself fails.
        if isinstance(length, int) and length > self.max_length:
            raise UsageError(
                f"A sequence of {length} steps is longer than the {self.max_length} positions "
                f"of layer '{self.name}': shorten it (sequence_length={self.max_length}, "
                f"--sequence-length {self.max_length}), or build the model with a larger "
                "max_length."
            )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "stddev": self.stddev,
            "truncated": self.truncated,
            "first": self.first,
        }


@keras.saving.register_keras_serializable(package="kerazoo")
class ClassToken(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Puts one learned vector before a sequence (https://arxiv.org/abs/2010.11929, equation 1).

    Args:
        stddev: Of the initial values.
    """

    def __init__(self, stddev: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = stddev

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the vector."""
        self.token = self.add_weight(
            shape=(1, 1, input_shape[-1]),
            initializer=kernel_initializer(self.stddev),
            name="token",
        )

    def call(self, x: Any) -> Any:
        """Return float (batch, 1 + steps, width) for ``x``, float (batch, steps, width)."""
        # A padded row plus the vector: a broadcast to the batch would keep its size in the file.
        row = ops.pad(ops.cast(self.token, x.dtype), ((0, 0), (0, x.shape[1]), (0, 0)))
        return ops.pad(x, ((0, 0), (1, 0), (0, 0))) + row

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input with one step more."""
        batch, steps, width = input_shape
        return (batch, None if steps is None else steps + 1, width)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "stddev": self.stddev}


@keras.saving.register_keras_serializable(package="kerazoo")
class SinusoidalPositions(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Adds sines and cosines of the position (https://arxiv.org/abs/1706.03762, section 3.5).

    The first half of the width has the sines, the second the cosines. There is no longest
    sequence and nothing to learn.

    Args:
        max_wavelength: Wavelength of the slowest wave, over two pi.
    """

    def __init__(self, max_wavelength: float = 10_000.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_wavelength = max_wavelength

    def call(self, x: Any) -> Any:
        """Return ``x``, float (batch, steps, width), plus the positions."""
        waves = self._waves(ops.arange(ops.shape(x)[1]), x.shape[-1])
        return x + ops.expand_dims(ops.cast(waves, x.dtype), 0)

    def read(self, reading: Reading, x: Any) -> Any:
        """Return ``x`` plus the positions of a call that reads new tokens."""
        return x + ops.cast(self._waves(reading.positions, x.shape[-1]), x.dtype)

    def _waves(self, positions: Any, width: int) -> Any:
        rates = self.max_wavelength ** -(np.arange(0, width, 2, dtype="float32") / width)
        steps = ops.expand_dims(ops.cast(positions, "float32"), -1)
        angles = steps * ops.convert_to_tensor(rates, "float32")
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)[..., :width]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "max_wavelength": self.max_wavelength}


def rating_embedding(count: int, width: int, l2: float, stddev: float | None, name: str) -> Any:
    """Return an embedding layer for users or items.

    Args:
        count: How many of them there are.
        width: Of each vector.
        l2: Penalty on its squares; 0 is none.
        stddev: Of the initial values; ``None`` begins with zeros.
        name: Of the layer.
    """
    return keras.layers.Embedding(
        count,
        width,
        embeddings_initializer="zeros"
        if stddev is None
        else keras.initializers.RandomNormal(0, stddev),
        embeddings_regularizer=keras.regularizers.L2(l2) if l2 else None,
        name=name,
    )
