"""How the images that a model knows are drawn, so that a drawing in the page is like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo_runtime.tensors import Array

# Above this mean the paper is taken to be white: a picture of strokes is mostly paper.
_BRIGHT = 160
_INK = 0.25


def drawing(images: Sequence[Array]) -> dict[str, Any]:
    """Return the colours of ink and paper, and the share of the frame that the ink spans.

    Without samples it is white on black, of any size.

    Args:
        images: Samples of the model's input, (height, width, channels), of any scale.

    Example:
        >>> digit = np.zeros((8, 8, 1))
        >>> digit[1:7, 3:5] = 255
        >>> drawing([digit])
        {'whiteOnBlack': True, 'span': 0.75}
    """
    if not images:
        return {"whiteOnBlack": True, "span": None}
    grey = [np.asarray(image, np.float64).mean(axis=-1) for image in images]
    white_on_black = float(np.mean([image.mean() for image in grey])) < _BRIGHT
    spans = [_span(image if white_on_black else image.max() - image) for image in grey]
    return {"whiteOnBlack": white_on_black, "span": round(float(np.median(spans)), 3)}


def _span(ink: Array) -> float:
    marked = ink > _INK * ink.max()
    return max(_extent(marked.any(axis=axis)) for axis in (0, 1))


def _extent(line: Array) -> float:
    at = np.flatnonzero(line)
    return float((at[-1] - at[0] + 1) / len(line)) if len(at) else 1.0
