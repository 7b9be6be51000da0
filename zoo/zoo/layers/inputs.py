"""Model inputs under their standard names."""

from __future__ import annotations

from typing import Any

import keras


def image_input(shape: tuple[int | None, ...], rescale: float) -> tuple[Any, Any]:
    """Return the input ``image``, float32 in 0..255, and the same scaled by ``rescale``.

    Args:
        shape: Height, width and channels.
        rescale: Factor applied inside the graph; 1 adds no layer.
    """
    image = keras.Input(shape, name="image", dtype="float32")
    return image, scaled(image, rescale)


def scaled(x: Any, factor: float) -> Any:
    """Return ``x`` times ``factor``; 1 adds no layer."""
    return x if factor == 1 else keras.layers.Rescaling(factor, name="rescale")(x)


def token_inputs(sequence_length: int | None) -> dict[str, Any]:
    """Return the int32 inputs ``token_ids`` and ``padding_mask`` (1 = real token).

    Args:
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
    """
    return {
        name: keras.Input((sequence_length,), name=name, dtype="int32")
        for name in ("token_ids", "padding_mask")
    }
