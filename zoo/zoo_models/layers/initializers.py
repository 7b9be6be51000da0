"""Initial values of the weights."""

from __future__ import annotations

from typing import Any

import keras


def kernel_initializer(stddev: float | None, *, truncated: bool = True) -> Any:
    """Return a fresh initializer; layers must not share one, or they start out equal.

    Args:
        stddev: Standard deviation of a normal distribution, or ``None`` for Glorot's uniform
            distribution.
        truncated: Whether the normal ends at two standard deviations (BERT, ViT) or not (GPT-2,
            Llama), which also draws faster.
    """
    if stddev is None:
        return keras.initializers.GlorotUniform()
    if truncated:
        return keras.initializers.TruncatedNormal(stddev=stddev)
    return keras.initializers.RandomNormal(stddev=stddev)
