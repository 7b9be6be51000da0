"""Boxes around objects on images, whatever file names the images."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.content import (
    FILES_VERSION,
    BadRecordError,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
)
from zoo_recipes.custom_data.files import LookAhead, location, split_in
from zoo_recipes.custom_data.images import ImageInfo, is_image, look_at, orientation_of
from zoo_registry import UsageError

_ROOTED = re.compile(r"[/\\]|[A-Za-z]:")
BOXES = Kind(
    name="images with boxes",
    input="image",
    label="objects",
    tasks=("object-detection",),
    unit="pixels",
    version=FILES_VERSION,
)
# Annotation tools round, and some count pixels from 1.
SLACK = 1.0
# How EXIF numbers the ways in which an image lies: what is done to each, in this order.
MIRRORED_ACROSS, MIRRORED_DOWN, SIDEWAYS = {2, 3, 7, 8}, {3, 4, 6, 7}, 5


@dataclass(frozen=True)
class NamedImages:
    """The images below a folder, found by the names that annotations call them.

    Args:
        path: The folder.
        files: All files below it.
    """

    path: Path
    files: Sequence[Path]

    @cached_property
    def _by_name(self) -> Mapping[str, list[Path]]:
        found: defaultdict[str, list[Path]] = defaultdict(list)
        for file in filter(is_image, self.files):
            found[file.name].append(file)
            # Some annotations leave the suffix out.
            if file.stem != file.name:
                found[file.stem].append(file)
        return found

    @cached_property
    def looked_at(self) -> LookAhead[ImageInfo]:
        """What each of them is."""
        return LookAhead(look_at, [file for file in self.files if is_image(file)])

    def find(self, name: str, near: Path) -> Path:
        """Return the image of a name, such as ``000012.jpg`` or ``train/000012.jpg``.

        Args:
            name: As the annotations have it.
            near: Their file. Of several images the one counts that is in a folder of the same
                split, or in the same folder.

        Raises:
            BadRecordError: There is none, or there are several.
        """
        parts = Path(name.replace("\\", "/")).parts
        named = self._by_name.get(parts[-1] if parts else "", ())
        found = [file for file in named if _ends(file, parts)]
        if not found and len(named) == 1 and _ROOTED.match(name):
            found = named  # where it lay on another machine
        if not found:
            raise BadRecordError(f"there is no image '{name}'")
        split = split_in(near, self.path)
        for fits in (
            lambda file: file.parent == near.parent,
            lambda file: split is not None and split_in(file.parent, self.path) == split,
        ):
            found = [file for file in found if fits(file)] or found
        if len(found) > 1:
            listed = ", ".join(location(file, self.path) for file in found[:3])
            raise BadRecordError(f"there are several images '{name}': {listed}")
        return found[0]


def _ends(file: Path, parts: Sequence[str]) -> bool:
    ends = (file.parts, file.with_suffix("").parts)
    return any(end[-len(parts) :] == tuple(parts) for end in ends)


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
            raise BadRecordError(f"has a box that is not valid: {shown}")
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

    def turned(self, turn: int, height: int, width: int) -> Box:
        """Return the box of an image that is turned as its camera says.

        Args:
            turn: How, as EXIF numbers it.
            height: Of the image before.
            width: The same.

        Example:
            >>> box = Box("cat", left=0, top=10, right=20, bottom=40)
            >>> box.turned(6, height=100, width=200)  # a quarter, clockwise
            Box(label='cat', left=60, top=0, right=90, bottom=20, ignored=False)
        """
        left, top, right, bottom = self.left, self.top, self.right, self.bottom
        if turn in MIRRORED_ACROSS:
            left, right = width - right, width - left
        if turn in MIRRORED_DOWN:
            top, bottom = height - bottom, height - top
        if turn >= SIDEWAYS:
            left, top, right, bottom = top, left, bottom, right
        return Box(self.label, left, top, right, bottom, self.ignored)


@dataclass(frozen=True)
class _Annotated:
    """An image and its boxes.

    Args:
        file: The image.
        split: The data's own.
        boxes: Each with its location.
        image: What it is, turned as its camera says.
        turn: How that is, as EXIF numbers it.
    """

    file: Path
    split: str | None
    boxes: Sequence[tuple[str, Box]]
    image: ImageInfo
    turn: int


def _is_drawn_before(
    size: tuple[int, int], turn: int, recorded: tuple[int, int] | None
) -> bool | None:
    """Return whether boxes are of an image before it was turned; ``None`` where nothing tells.

    Args:
        size: Height and width of the turned image.
        turn: How it was, as EXIF numbers it.
        recorded: The size of the image in its annotation.

    Raises:
        BadRecordError: That is of another image.
    """
    before = size[::-1] if turn >= SIDEWAYS else size
    if recorded is None or recorded == size == before:
        return None
    if recorded not in {size, before}:
        raise BadRecordError(
            f"the image has {size[1]}x{size[0]} pixels, its annotation says "
            f"{recorded[1]}x{recorded[0]}"
        )
    return recorded == before


@dataclass
class Gathered:
    """Collects what annotations say of images, and what is wrong with it.

    Args:
        images: Where they are.
        flag: Feature that says that a box is ignored, as TFDS calls it.
        names: Classes, in order; those of the boxes where there are none.
        examples: Those that are good.
        problems: Those that are not.
        notes: What is good to know of them.
    """

    images: NamedImages
    flag: str
    names: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    all_grey: bool = True
    _waiting: list[_Annotated] = field(default_factory=list)
    _turned: Counter[bool] = field(default_factory=Counter)
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
        """Look at an image and take it with its boxes, or note what is wrong with them.

        Args:
            where: Place of its annotation.
            file: The image.
            split: The data's own.
            size: Height and width, as the annotation has them.
            boxes: Each with its location.
        """
        try:
            if file in self._seen:
                raise BadRecordError(f"the image has been annotated before, at {self._seen[file]}")
            self._seen[file] = where
            image = self.images.looked_at[file]
            turn = orientation_of(file)
            is_drawn_before = _is_drawn_before(image.size, turn, size)
        except BadRecordError as error:
            self.bad(where, str(error))
            return
        found = _Annotated(file, split, boxes, image, turn)
        if turn == 1 or is_drawn_before is not None:
            self._take(found, is_drawn_before=bool(is_drawn_before))
        else:
            self._waiting.append(found)
        if turn > 1 and is_drawn_before is not None:
            self._turned[is_drawn_before] += 1

    def _take(self, found: _Annotated, *, is_drawn_before: bool) -> None:
        size, turn = found.image.size, found.turn if is_drawn_before else 1
        objects = [self._checked(at, box, size, turn) for at, box in found.boxes]
        if None in objects:
            return
        self.all_grey &= found.image.is_grey
        values = {"image": found.file, "objects": objects}
        name = location(found.file, self.images.path)
        self.examples.append(Example(name, found.split, found.image.digest, values, size))

    def _checked(self, where: str, box: Box, size: tuple[int, int], turn: int) -> Box | None:
        height, width = size if turn < SIDEWAYS else size[::-1]
        try:
            return box.checked(height, width).turned(turn, height, width)
        except BadRecordError as error:
            self.bad(where, str(error))
            return None

    def _take_waiting(self) -> None:
        """Take the turned images whose sizes say nothing as the others have it."""
        drawn_before = bool(self._turned[True]) and not self._turned[False]
        for found in self._waiting:
            self._take(found, is_drawn_before=drawn_before)
        count = self._turned[True] + (len(self._waiting) if drawn_before else 0)
        if count:
            self.notes.append(
                f"{count:,} images are turned as their camera says, and their boxes with them: "
                "the sizes beside the boxes are those of before"
            )
        elif self._waiting and not self._turned:
            self.notes.append(
                f"{len(self._waiting):,} images are turned as their camera says, and their boxes "
                "are taken as drawn after it: no size beside the boxes tells"
            )

    def content(self) -> Content:
        """Return all of it.

        Raises:
            UsageError: No image has a box.
        """
        import numpy as np
        import tensorflow_datasets as tfds

        self._take_waiting()
        if self.examples and not any(example.values["objects"] for example in self.examples):
            raise UsageError(f"No image at '{self.images.path}' has a box.")
        boxes = (box for example in self.examples for box in example.values["objects"])
        names = self.names or class_names([box.label for box in boxes])
        channels = 1 if self.all_grey else 3
        features = {
            "image": tfds.features.Image(shape=(None, None, channels)),
            "objects": tfds.features.Sequence(
                {
                    "bbox": tfds.features.BBoxFeature(),
                    "label": tfds.features.ClassLabel(names=names),
                    self.flag: np.bool_,
                }
            ),
        }
        examples = [_with_objects(example, self.flag) for example in self.examples]
        images = filter(is_image, self.images.files)
        records = [location(file, self.images.path) for file in images]
        return Content(BOXES, features, examples, self.problems, self.notes, records)


def _with_objects(example: Example, flag: str) -> Example:
    objects = Objects(example.values["objects"], example.size, flag)
    return replace(example, values={**example.values, "objects": objects})


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
