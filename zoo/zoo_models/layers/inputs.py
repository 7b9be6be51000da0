"""Model inputs under their standard names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from zoo_registry import UsageError


def image_input(shape: tuple[int | None, ...], rescale: float) -> tuple[Any, Any]:
    """Return the input ``image``, float32 in 0..255, and the same scaled by ``rescale``.

    Args:
        shape: Height, width and channels.
        rescale: Factor applied inside the graph; 1 adds no layer.
    """
    image = keras.Input(shape, name="image", dtype="float32")
    return image, scaled(image, rescale)


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalized_image_input(
    shape: tuple[int | None, ...], mean: Sequence[float], std: Sequence[float]
) -> tuple[Any, Any]:
    """Return the input ``image``, float32 in 0..255, and the same with mean 0 and deviation 1.

    Args:
        shape: Height, width and channels.
        mean: Of each channel, in 0..1. For images of another number of channels than it has,
            the mean of them all stands for each.
        std: The same for the standard deviation.

    Example:
        >>> image, x = normalized_image_input((8, 8, 1), (0.5,), (0.25,))
        >>> x.shape
        (None, 8, 8, 1)
    """
    image = keras.Input(shape, name="image", dtype="float32")
    channels = shape[-1]
    means, stds = _for_channels(mean, channels), _for_channels(std, channels)
    scale = [1 / (255 * s) for s in stds]
    offset = [-m / s for m, s in zip(means, stds, strict=True)]
    return image, scaled_channels(image, scale, offset, name="rescale")


def scaled_channels(x: Any, scale: Sequence[float], offset: Sequence[float], *, name: str) -> Any:
    """Return images times a factor of each channel, plus a number of each.

    Args:
        x: (batch, height, width, channels).
        scale: The factors.
        offset: What is added.
        name: Of the layer.
    """
    # Whenever it is called, the layer takes what has one axis for numbers of the first axis where
    # Keras' image_data_format is channels_first; what has three it takes as it is.
    factors, terms = [[list(scale)]], [[list(offset)]]
    return keras.layers.Rescaling(factors, offset=terms, name=name)(x)


def _for_channels(values: Sequence[float], channels: int | None) -> list[float]:
    if channels is None:
        raise UsageError("The number of channels of an image must be known; None was given.")
    if len(values) == channels:
        return list(values)
    return [sum(values) / len(values)] * channels


def scaled(x: Any, factor: float) -> Any:
    """Return ``x`` times ``factor``; 1 adds no layer."""
    return x if factor == 1 else keras.layers.Rescaling(factor, name="rescale")(x)


def token_inputs(sequence_length: int | None, prefix: str = "") -> dict[str, Any]:
    """Return the int32 inputs ``token_ids`` and ``padding_mask`` (1 = real token).

    Args:
        sequence_length: Tokens a text, or ``None`` if that is known only when data arrive.
        prefix: Put before both names.
    """
    return {
        name: keras.Input((sequence_length,), name=name, dtype="int32")
        for name in (f"{prefix}token_ids", f"{prefix}padding_mask")
    }


def rating_inputs() -> list[Any]:
    """Return the inputs ``user_id`` and ``item_id``, int32 (batch, 1)."""
    return [keras.Input((1,), name=name, dtype="int32") for name in ("user_id", "item_id")]
