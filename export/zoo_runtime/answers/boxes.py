"""Objects in an image: from the maps of a detector to boxes.

Training uses it too: a run is evaluated with the boxes that its bundle gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_runtime.preprocess.pixels import size_of
from zoo_runtime.tensors import Array, Arrays

HEATMAP, SIZE, OFFSET = "heatmap", "size", "offset"
MAPS = (HEATMAP, SIZE, OFFSET)
# Of COCO, which counts no more.
MOST_BOXES = 100
# Up or down, and to the side: the neighbours of a cell that come before it row by row, and those
# that come after it.
_BEFORE = ((-1, -1), (-1, 0), (-1, 1), (0, -1))
_AFTER = ((0, 1), (1, -1), (1, 0), (1, 1))
# Of the paper's own demonstration.
LEAST_SCORE = 0.3


@dataclass(frozen=True)
class Box:
    """An object in an image.

    Args:
        label: Its class.
        score: Its probability.
        left: Its left side in pixels of the raw image, from the image's left side.
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
    """Return the objects in an image, the most probable first.

    Args:
        raw: The image: path, Pillow image or array.
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


@dataclass(frozen=True)
class Found:
    """The boxes of one image, best first.

    Args:
        corners: float (boxes, 4): left, top, right, bottom, in 0..1 of the image.
        classes: int (boxes,).
        scores: float (boxes,), probabilities.
    """

    corners: Array
    classes: Array
    scores: Array


def find_boxes(maps: Mapping[str, Array], most: int = MOST_BOXES) -> Found:
    """Return the boxes that the maps of one image hold (https://arxiv.org/abs/1904.07850).

    An object is a cell whose logit no neighbour's exceeds. Of equal ones side by side, as a file of
    int8 has them, the first counts.

    Args:
        maps: ``heatmap`` logits float (rows, columns, classes), ``size`` and ``offset`` float
            (rows, columns, 2), height before width, in cells.
        most: How many at most.

    Example:
        >>> heatmap = np.full((4, 4, 1), -9.0)
        >>> heatmap[1, 2] = 3.0
        >>> size, offset = np.full((4, 4, 2), 2.0), np.full((4, 4, 2), 0.5)
        >>> found = find_boxes({"heatmap": heatmap, "size": size, "offset": offset}, most=1)
        >>> found.corners.tolist(), [round(float(score), 3) for score in found.scores]
        ([[0.375, 0.125, 0.875, 0.625]], [0.953])
    """
    heatmap = np.asarray(maps[HEATMAP], np.float32)
    logits = np.where(_peaks(heatmap), heatmap, -np.inf).ravel()
    order = np.argsort(-logits, kind="stable")[:most]
    order = order[np.isfinite(logits[order])]
    rows, columns, classes = np.unravel_index(order, heatmap.shape)
    middle = np.stack([rows, columns], axis=1) + maps[OFFSET][rows, columns]
    half = np.maximum(maps[SIZE][rows, columns], 0) / 2
    sides = np.concatenate([middle - half, middle + half], axis=1) / (heatmap.shape[:2] * 2)
    corners = np.clip(sides[:, [1, 0, 3, 2]], 0, 1)
    scores = 1 / (1 + np.exp(-logits[order].astype(np.float64)))
    return Found(corners, classes, scores)


def _peaks(heatmap: Array) -> Array:
    rows, columns = heatmap.shape[:2]
    around = np.pad(heatmap, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)

    def moved(down: int, right: int) -> Array:
        return around[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]

    peaks = np.ones(heatmap.shape, bool)
    for step in _BEFORE:
        peaks &= heatmap > moved(*step)
    for step in _AFTER:
        peaks &= heatmap >= moved(*step)
    return peaks
