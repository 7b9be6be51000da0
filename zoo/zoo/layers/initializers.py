"""Initial values of the weights."""

from __future__ import annotations

from typing import Any

import keras


def kernel_initializer(stddev: float | None) -> Any:
    """Return a fresh initializer; layers must not share one, or they start out equal.

    Args:
        stddev: Standard deviation of a normal truncated at two of them (BERT), or ``None`` for
            Glorot's uniform distribution.
    """
    if stddev is None:
        return keras.initializers.GlorotUniform()
    return keras.initializers.TruncatedNormal(stddev=stddev)
