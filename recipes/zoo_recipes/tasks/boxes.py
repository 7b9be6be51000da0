"""Images with boxes: the maps that a detector learns, and what it finds of them.

The maps are those of CenterNet (https://arxiv.org/abs/1904.07850).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from zoo_recipes.arrays.sources import Arrays, chosen
from zoo_recipes.metrics.detection import Boxes, Detections, match
from zoo_runtime.answers.boxes import HEATMAP, MAPS, OFFSET, SIZE, Found, find_boxes

# Pixels of the model's image a cell: every CenterNet has it.
STRIDE = 4
# How much of a box one that is moved so far still shares with it, as in CornerNet
# (https://arxiv.org/abs/1808.01244, section 3.2): that far around a middle a heatmap is not a
# mistake.
LEAST_OVERLAP = 0.7
# Next to no loss: it is for cells of which it is not known whether they hold an object.
UNKNOWN = 0.9999
# Features that say so of a box, as COCO's and VOC's builders name them.
FLAGS = ("is_crowd", "is_difficult")
# Of the maps of all rows that are looked at together.
MAP_BYTES = 1 << 26


@dataclass(frozen=True)
class Scenes:
    """Images in uint8 with boxes; inputs and maps are made as they are taken.

    Args:
        raws: uint8 (height, width, channels) each, as :class:`LazyImages` has them.
        boxes: ``bbox`` float (boxes, 4), ymin, xmin, ymax, xmax in 0..1, and ``label`` int (boxes,)
            of each image, as TFDS has them; a box with one of :data:`FLAGS` is not learned.
        prepare: Makes the inputs by name of a list of images.
        num_classes: Of the model.
    """

    raws: Sequence[Any]
    boxes: Sequence[Mapping[str, Any]]
    prepare: Callable[[Sequence[Any]], Arrays]
    num_classes: int

    @property
    def targets(self) -> None:
        """They are made as they are taken."""
        return None

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and classes of the heatmap."""
        (image,) = self.prepare(self.raws[:1]).values()
        rows, columns = (-(-size // STRIDE) for size in image.shape[1:3])
        return rows, columns, self.num_classes

    @property
    def rows_at_once(self) -> int:
        """How many images may be looked at together."""
        return max(1, MAP_BYTES // (np.dtype(np.float32).itemsize * int(np.prod(self.shape))))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.raws)

    def take(self, indices: Any, shift: int = 0) -> tuple[Arrays, Any]:
        """Return the inputs by name, and the maps by name."""
        made = [make_maps(self.boxes[index], self.shape) for index in indices]
        targets = {name: np.stack([maps[name] for maps in made]) for name in MAPS}
        return self.prepare(chosen(self.raws, indices)), targets


def ignored(boxes: Mapping[str, Any]) -> Any:
    """Return which boxes of an image are neither learned nor counted, bool (boxes,)."""
    flags = [np.asarray(boxes[flag], bool) for flag in FLAGS if flag in boxes]
    return np.any(flags, axis=0) if flags else np.zeros(len(boxes["label"]), bool)


def make_maps(boxes: Mapping[str, Any], shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return the maps that a detector learns of an image.

    Args:
        boxes: As :class:`Scenes` has them.
        shape: Rows, columns and classes of the heatmap.

    Returns:
        ``heatmap`` float32 of that shape, 1 at the center of an object and less around it;
        ``size`` and ``offset`` float32 (rows, columns, 3), of which the last is 1 in the same
        cells and 0 elsewhere.

    Example:
        >>> boxes = {"bbox": np.array([[0.2, 0.2, 0.8, 0.6]]), "label": np.array([1])}
        >>> maps = make_maps(boxes, (5, 5, 2))
        >>> np.argwhere(maps["heatmap"] == 1).tolist()
        [[2, 2, 1]]
        >>> maps["size"][2, 2].tolist(), maps["offset"][2, 2].tolist()
        ([3.0, 2.0, 1.0], [0.5, 0.0, 1.0])
    """
    heatmap = np.zeros(shape, np.float32)
    size, offset = np.zeros((2, *shape[:2], 3), np.float32)
    cells = np.array(shape[:2], np.float64)
    corners = np.asarray(boxes["bbox"], np.float64).reshape(-1, 2, 2) * cells
    # Ignored boxes first: an object within one of them is still learned.
    for at in np.argsort(~ignored(boxes), kind="stable"):
        (top, left), (bottom, right) = corners[at]
        layer = heatmap[:, :, int(boxes["label"][at])]
        if ignored(boxes)[at]:
            layer[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = UNKNOWN
            continue
        # Numbers from float32 may miss a whole one by a little.
        middle = np.round(corners[at].mean(axis=0), 5)
        row, column = np.minimum(middle, cells - 1).astype(int)
        height, width = bottom - top, right - left
        _draw(layer, row, column, _radius(height, width))
        size[row, column] = height, width, 1
        offset[row, column] = *(middle - (row, column)), 1
    return {HEATMAP: heatmap, SIZE: size, OFFSET: offset}


def _draw(layer: Any, row: int, column: int, radius: int) -> None:
    """Raise a map to a bell curve around a cell, in place."""
    sigma = (2 * radius + 1) / 6
    top, left = max(0, row - radius), max(0, column - radius)
    part = layer[top : row + radius + 1, left : column + radius + 1]
    down, across = np.ogrid[top - row : top - row + len(part), left - column : radius + 1]
    across = across[:, : part.shape[1]]
    bell = np.exp(-(down**2 + across**2) / (2 * sigma**2))
    np.maximum(part, bell, out=part, casting="same_kind")


def _radius(height: float, width: float) -> int:
    """Return how many cells both corners of a box may move until it overlaps too little."""
    fraction, both, area = LEAST_OVERLAP, height + width, height * width
    moved = _root(1, -both, area * (1 - fraction) / (1 + fraction))
    smaller = _root(4, -2 * both, (1 - fraction) * area)
    larger = _root(4 * fraction, 2 * fraction * both, (fraction - 1) * area)
    return max(0, int(min(moved, smaller, larger)))


def _root(a: float, b: float, c: float) -> float:
    """Return the smallest root of a x^2 + b x + c that is not negative."""
    spread = np.sqrt(b * b - 4 * a * c)
    return float((-b - spread if b < 0 else -b + spread) / (2 * a))


def flipped(
    inputs: Arrays, targets: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Arrays, dict[str, Any]]:
    """Return a batch in which a random half of the images is mirrored with their maps.

    Args:
        inputs: ``image`` float32 (batch, height, width, channels).
        targets: Maps, as :meth:`Scenes.take` gives them.
        rng: Random generator.
    """
    chosen = (rng.random(len(inputs["image"])) < 0.5)[:, np.newaxis, np.newaxis, np.newaxis]
    arrays = {**targets, "image": inputs["image"]}
    mirrored = {name: array[:, :, ::-1] for name, array in arrays.items()}
    down, across, there = np.moveaxis(mirrored[OFFSET], -1, 0)
    mirrored[OFFSET] = np.stack([down, (1 - across) * there, there], axis=-1)
    made = {name: np.where(chosen, mirrored[name], arrays[name]) for name in arrays}
    return {**inputs, "image": made.pop("image")}, made


def found_in(made: Mapping[str, Any]) -> list[Found]:
    """Return the boxes of each image of a batch.

    Args:
        made: The maps of a detector, images first.
    """
    rows = range(len(made[HEATMAP]))
    return [find_boxes({name: made[name][row] for name in MAPS}) for row in rows]


def count_boxes(source: Scenes, found: Sequence[Found]) -> Detections:
    """Return which of the boxes that were found are right.

    Args:
        source: The images.
        found: Boxes of each.
    """
    there = [
        # Left, top, right, bottom, as those that are found.
        Boxes(np.asarray(b["bbox"])[:, [1, 0, 3, 2]], np.asarray(b["label"]), None, ignored(b))
        for b in source.boxes
    ]
    given = [Boxes(boxes.corners, boxes.classes, boxes.scores) for boxes in found]
    return match(there, given, source.num_classes)
