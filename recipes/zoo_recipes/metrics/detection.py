"""Metrics of boxes around objects: mean average precision as COCO counts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_recipes.metrics.classification import mean_of_defined

# Of COCO (https://cocodataset.org/#detection-eval).
OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST_BOXES = 100


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image.

    Args:
        corners: float (boxes, 4): left, top, right, bottom, in any unit.
        classes: int (boxes,).
        scores: float (boxes,), of those that a model gives.
        ignored: bool (boxes,), of those that there are: crowds and the like. Whether a model finds
            them or not is not counted.
    """

    corners: Any
    classes: Any
    scores: Any = None
    ignored: Any = None


@dataclass(frozen=True)
class Detections:
    """Boxes that a model gave, each with whether it was right.

    Args:
        images: int (boxes,): the image of each.
        classes: int (boxes,).
        scores: float (boxes,).
        right: bool (boxes, overlaps).
        counted: bool (boxes, overlaps): not of what is ignored.
        wanted: int (images, classes): how many boxes there are to be found.
    """

    images: Any
    classes: Any
    scores: Any
    right: Any
    counted: Any
    wanted: Any

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.wanted)

    def take(self, rows: Any) -> Detections:
        """Return some of the images, none of them twice."""
        rows = np.arange(len(self))[rows]
        number = np.full(len(self), -1)
        number[rows] = np.arange(len(rows))
        kept = number[self.images] >= 0
        return Detections(
            number[self.images[kept]],
            self.classes[kept],
            self.scores[kept],
            self.right[kept],
            self.counted[kept],
            self.wanted[rows],
        )

    def metrics(self, weights: Any) -> dict[str, Any]:
        """Return ``map`` over overlaps of 0.5 to 0.95, ``map_50`` and ``map_75``, and by class."""
        by_class = np.stack(
            [self._precision(weights, at) for at in range(self.wanted.shape[1])], axis=1
        )
        return {
            "map": mean_of_defined(by_class.mean(axis=2)),
            "map_50": mean_of_defined(by_class[:, :, 0]),
            "map_75": mean_of_defined(by_class[:, :, 5]),
            "average_precision": by_class.mean(axis=2),
        }

    def _precision(self, weights: Any, at: int) -> Any:
        """Return the average precision of a class, float (resamples, overlaps)."""
        rows = np.flatnonzero(self.classes == at)
        rows = rows[np.argsort(-self.scores[rows], kind="stable")]
        drawn = weights[:, self.images[rows]]
        wanted = weights @ self.wanted[:, at]
        found = np.full((len(weights), len(OVERLAPS)), np.nan)
        for index in range(len(OVERLAPS)):
            right = np.cumsum(drawn * self.right[rows, index], axis=1)
            given = np.cumsum(drawn * self.counted[rows, index], axis=1)
            for resample in np.flatnonzero(wanted > 0):
                found[resample, index] = _area(right[resample], given[resample], wanted[resample])
        return found


def _area(right: Any, given: Any, wanted: float) -> float:
    precision = np.divide(right, given, out=np.zeros_like(right), where=given > 0)
    # Of a recall: the best precision there, or at any higher one.
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    positions = np.searchsorted(right / wanted, RECALLS)
    return float(best[positions].mean())


def match(wanted: Sequence[Boxes], given: Sequence[Boxes], count: int) -> Detections:
    """Return which of a model's boxes are right: each may find one that no better one has found.

    Args:
        wanted: Of each image.
        given: Of each image, with scores; of more than a hundred the best count.
        count: Number of classes.

    Example:
        >>> there = Boxes(np.array([[0.0, 0.0, 10.0, 10.0]]), np.array([0]))
        >>> made = Boxes(np.array([[0.0, 0.0, 10.0, 8.0]]), np.array([0]), np.array([0.9]))
        >>> metrics = match([there], [made], 1).metrics(np.ones((1, 1)))
        >>> [round(float(metrics[name][0]), 2) for name in ("map", "map_50")]
        [0.7, 1.0]
    """
    parts = [_in_image(at, *pair, count) for at, pair in enumerate(zip(wanted, given, strict=True))]
    images, classes, scores, right, counted = (
        np.concatenate([part[name] for part in parts])
        for name in ("images", "classes", "scores", "right", "counted")
    )
    there = [np.bincount(boxes.classes[_real(boxes)], minlength=count) for boxes in wanted]
    return Detections(images, classes, scores, right, counted, np.stack(there))


def _real(boxes: Boxes) -> Any:
    return np.ones(len(boxes.classes), bool) if boxes.ignored is None else ~boxes.ignored


def _in_image(at: int, wanted: Boxes, given: Boxes, count: int) -> dict[str, Any]:
    kept = np.concatenate(
        [
            rows[np.argsort(-given.scores[rows], kind="stable")][:MOST_BOXES]
            for rows in (np.flatnonzero(given.classes == index) for index in range(count))
        ]
    ).astype(int)
    real, other = _real(wanted), given.classes[kept][:, np.newaxis] != wanted.classes
    shared = overlaps(given.corners[kept], wanted.corners)
    shared[other | ~real] = -1
    within = covered(given.corners[kept], wanted.corners)
    within[other | real] = -1
    right = np.zeros((len(kept), len(OVERLAPS)), bool)
    for index, least in enumerate(OVERLAPS):
        free = np.ones(len(wanted.classes), bool)
        for row in range(len(kept)):
            open_to = np.where(free, shared[row], -1)
            if len(open_to) and open_to.max() >= least - 1e-10:
                free[open_to.argmax()] = False
                right[row, index] = True
    return {
        "images": np.full(len(kept), at),
        "classes": given.classes[kept],
        "scores": given.scores[kept],
        "right": right,
        "counted": right | (within.max(axis=1, initial=-1)[:, np.newaxis] < OVERLAPS - 1e-10),
    }


def overlaps(one: Any, other: Any) -> Any:
    """Return the intersection over the union of boxes, float (boxes, other boxes).

    Example:
        >>> overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2]])).tolist()
        [[0.3333333333333333]]
    """
    shared = _shared(one, other)
    union = _area_of(one)[:, np.newaxis] + _area_of(other) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def covered(one: Any, other: Any) -> Any:
    """Return which fraction of each box others cover, float (boxes, other boxes).

    Example:
        >>> covered(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 9, 9]])).tolist()
        [[0.5]]
    """
    shared, own = _shared(one, other), _area_of(one)[:, np.newaxis]
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


def _shared(one: Any, other: Any) -> Any:
    low = np.maximum(one[:, np.newaxis, :2], other[:, :2])
    high = np.minimum(one[:, np.newaxis, 2:], other[:, 2:])
    return np.clip(high - low, 0, None).prod(axis=2)


def _area_of(boxes: Any) -> Any:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
