"""Pictures with boxes around things: what COCO's and VOC's files have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from zoo_recipes.own_data.content import BadRecordError, Content, Example, Kind, Problem
from zoo_recipes.own_data.files import place
from zoo_recipes.own_data.images import look_at, pixels
from zoo_recipes.own_data.named_pictures import Pictures
from zoo_registry import UsageError

BOXES = Kind(
    name="images with boxes",
    input="image",
    label="objects",
    tasks=("object-detection",),
    unit="pixels",
)
# Annotation tools round, and some count pixels from 1.
SLACK = 1.0


@dataclass(frozen=True)
class Box:
    """A box in pixels.

    Args:
        label: Its class.
        left: Of its left side, from the left side of the image.
        top: Of its upper side.
        right: Of its right side.
        bottom: Of its lower side.
        ignored: Whether it is neither learned nor counted: a crowd, or something hard to make out.
    """

    label: str
    left: float
    top: float
    right: float
    bottom: float
    ignored: bool = False

    def checked(self, height: int, width: int) -> Box:
        """Return the box cut to its image.

        Raises:
            BadRecordError: It has no area, or is not in the image.
        """
        corners = (self.left, self.top, self.right, self.bottom)
        shown = ", ".join(f"{number:g}" for number in corners)
        if not all(map(math.isfinite, corners)):
            raise BadRecordError(f"has a box that is no box: {shown}")
        if self.right <= self.left or self.bottom <= self.top:
            raise BadRecordError(f"has a box without area: {shown} (left, top, right, bottom)")
        inside = min(self.left, self.top) >= -SLACK
        if not (inside and self.right <= width + SLACK and self.bottom <= height + SLACK):
            raise BadRecordError(
                f"has a box that leaves its image of {width}x{height}: {shown} "
                "(left, top, right, bottom)"
            )
        left, right = (min(max(x, 0.0), float(width)) for x in (self.left, self.right))
        top, bottom = (min(max(y, 0.0), float(height)) for y in (self.top, self.bottom))
        return Box(self.label, left, top, right, bottom, self.ignored)


@dataclass
class Gathered:
    """Collects what annotations say of pictures, and what is wrong with it.

    Args:
        pictures: Where they are.
        flag: Feature that says that a box is ignored, as TFDS calls it.
        names: Classes, in order.
        examples: Those that are good.
        problems: Those that are not.
    """

    pictures: Pictures
    flag: str
    names: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    all_grey: bool = True
    _seen: dict[Path, str] = field(default_factory=dict)

    def bad(self, where: str, text: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(where, text))

    def add(
        self,
        where: str,
        file: Path,
        split: str | None,
        size: tuple[int, int] | None,
        boxes: Sequence[tuple[str, Box]],
    ) -> None:
        """Look at a picture and take it with its boxes, or note what is wrong with them.

        Args:
            where: Place of its annotation.
            file: The picture.
            split: The data's own.
            size: Height and width, as the annotation has them.
            boxes: Each with its place.
        """
        try:
            if file in self._seen:
                raise BadRecordError(f"the image has been annotated before, at {self._seen[file]}")
            self._seen[file] = where
            picture = look_at(file)
            if size and size != picture.size:
                raise BadRecordError(
                    f"the image has {picture.size[1]}x{picture.size[0]} pixels, its annotation "
                    f"says {size[1]}x{size[0]}"
                )
        except BadRecordError as error:
            self.bad(where, str(error))
            return
        objects = [self._checked(at, box, picture.size) for at, box in boxes]
        if None in objects:
            return
        self.all_grey &= picture.is_grey
        values = {"image": file, "objects": objects}
        name = place(file, self.pictures.path)
        self.examples.append(Example(name, split, picture.digest, values, picture.size))

    def _checked(self, where: str, box: Box, size: tuple[int, int]) -> Box | None:
        try:
            return box.checked(*size)
        except BadRecordError as error:
            self.bad(where, str(error))
            return None

    def content(self) -> Content:
        """Return all of it.

        Raises:
            UsageError: No image has a box.
        """
        import numpy as np
        import tensorflow_datasets as tfds

        if self.examples and not any(example.values["objects"] for example in self.examples):
            raise UsageError(f"No image at '{self.pictures.path}' has a box.")
        channels = 1 if self.all_grey else 3
        features = {
            "image": tfds.features.Image(shape=(None, None, channels), encoding_format="png"),
            "objects": tfds.features.Sequence(
                {
                    "bbox": tfds.features.BBoxFeature(),
                    "label": tfds.features.ClassLabel(names=self.names),
                    self.flag: np.bool_,
                }
            ),
        }
        examples = [_with_pixels(example, channels, self.flag) for example in self.examples]
        return Content(BOXES, features, examples, self.problems)


def _with_pixels(example: Example, channels: int, flag: str) -> Example:
    # When they are written: all at once would not fit the memory.
    values = {
        "image": partial(pixels, example.values["image"], channels),
        "objects": Objects(example.values["objects"], example.size, flag),
    }
    return Example(example.place, example.split, example.digest, values, example.size)


@dataclass(frozen=True)
class Objects:
    """The boxes of an image; called, it returns them as TFDS takes them, in 0..1."""

    boxes: Sequence[Box]
    size: tuple[float, ...]
    flag: str

    def __call__(self) -> list[dict[str, Any]]:
        """Return ``bbox``, ``label`` and the flag of each."""
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        import tensorflow_datasets as tfds

        height, width = self.size
        for box in self.boxes:
            corners = (box.top / height, box.left / width, box.bottom / height, box.right / width)
            yield {
                "bbox": tfds.features.BBox(*corners),
                "label": box.label,
                self.flag: box.ignored,
            }
