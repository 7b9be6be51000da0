"""Things in a picture, with the place they have in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_runtime.preprocess.boxes import MOST_BOXES, find_boxes
from zoo_runtime.preprocess.pixels import size_of
from zoo_runtime.tensors import Arrays

# Of the paper's own demonstration.
LEAST_SCORE = 0.3


@dataclass(frozen=True)
class Box:
    """A thing in a picture.

    Args:
        label: What it is.
        score: How probable it is.
        left: Its left side in pixels of the raw picture, from the picture's left side.
        top: Its upper side.
        right: Its right side.
        bottom: Its lower side.
    """

    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


def boxes_in(
    raw: Any, maps: Arrays, name: Callable[[int], str], count: int | None
) -> tuple[Box, ...]:
    """Return the things in a picture, the most probable first.

    Args:
        raw: The picture: path, Pillow image or array.
        maps: A detector's outputs for it.
        name: Gives the label of an index.
        count: How many to list, whatever their scores; by default those of at least
            :data:`LEAST_SCORE`.
    """
    height, width = size_of(raw)
    found = find_boxes(maps, count or MOST_BOXES)
    kept = slice(None) if count else found.scores >= LEAST_SCORE
    corners = found.corners[kept] * np.array([width, height, width, height])
    rows = zip(found.classes[kept], found.scores[kept], corners.tolist(), strict=True)
    return tuple(Box(name(int(at)), float(score), *sides) for at, score, sides in rows)
