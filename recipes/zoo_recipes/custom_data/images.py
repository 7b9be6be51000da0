"""A folder of images for each class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.class_folders import Member, class_members, has_class_folders
from zoo_recipes.custom_data.content import (
    CONTRASTIVE_IMAGES,
    FILES_VERSION,
    LABELS,
    BadRecordError,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.custom_data.files import LookAhead, watched
from zoo_recipes.custom_data.several import label_feature
from zoo_registry import UsageError
from zoo_runtime.preprocess.pixels import MODES, as_pillow, grey_or_rgb

IMAGE_NUMBERS = Kind(
    name="images with a number each",
    of_one=("image-classification",),
    input="image",
    label="target",
    tasks=("image-regression", CONTRASTIVE_IMAGES),
    roles=("image", "target"),
    unit="pixels",
    version=FILES_VERSION,
)
IMAGES = Kind(
    name="images in classes",
    input="image",
    label="label",
    tasks=("image-classification", CONTRASTIVE_IMAGES),
    unit="pixels",
    version=FILES_VERSION,
)
_MASK = re.compile(r"(.+?)[ _-](?:mask|seg|segmentation|groundtruth)(?:[ _-]?\d+)?")
# Of 255: twelve bits in sixteen reach 15.
DARK = 32
GREY = {"1", "L", "LA", "La", "I", "F"}


def is_image_folder(path: Path) -> bool:
    """Return whether a folder has folders, and images in them."""
    return has_class_folders(path, _suffixes())


def is_image(file: Path) -> bool:
    """Return whether a file has the suffix of an image."""
    return file.suffix.lower() in _suffixes()


def read_images(path: Path, columns: Columns) -> Content:
    """Decode every image once.

    They are turned as their camera says, transparency is laid over white, 16 bits are brought to 8.
    All become RGB, or grey with one channel where every one of them is grey.

    Args:
        path: ``class/image``, or ``train/class/image`` with its siblings.
        columns: Not used.
    """
    examples: list[Example] = []
    problems: list[Problem] = []
    notes: list[str] = []
    images: list[ImageInfo] = []
    members = class_members(path, notes)
    files = [member.file for member in members if isinstance(member, Member)]
    looked_at = LookAhead(look_at, files)
    for member in watched(members, "reading images"):
        if isinstance(member, Problem):
            problems.append(member)
            continue
        try:
            refuse_mask(member.file)
            image = looked_at[member.file]
        except BadRecordError as error:
            problems.append(Problem(member.where, str(error)))
            continue
        images.append(image)
        values = {"image": member.file, "label": member.label}
        examples.append(Example(member.where, member.split, image.digest, values, image.size))
    return image_content(IMAGES, examples, problems, notes, images=images)


def image_content(
    kind: Kind,
    examples: Sequence[Example],
    problems: Sequence[Problem],
    notes: Sequence[str],
    *,
    images: Sequence[ImageInfo],
) -> Content:
    """Return images, named by their files so far, as what was read.

    Args:
        kind: Its label is a class, several of them, or a number.
        examples: Their ``image`` is a file.
        problems: What is wrong.
        notes: What is good to know.
        images: What is known of each example.

    Raises:
        UsageError: All of them are next to black.
    """
    import numpy as np
    import tensorflow_datasets as tfds

    channels = 1 if all(image.is_grey for image in images) else 3
    notes = [*notes, *_darkness(images)]
    if kind.label == LABELS:
        label: Any = label_feature([example.values for example in examples], LABELS)
    elif kind.label == "label":
        names = class_names([str(example.values["label"]) for example in examples])
        label = tfds.features.ClassLabel(names=names)
    else:
        label = tfds.features.Scalar(np.float32)
    features = {
        "image": tfds.features.Image(shape=(None, None, channels)),
        str(kind.label): label,
    }
    return Content(kind, features, examples, problems, notes)


def _darkness(images: Sequence[ImageInfo]) -> list[str]:
    """Return a note on images that are all dark, as those of twelve bits in sixteen are."""
    top = max((image.brightest for image in images), default=255)
    if top == 1:
        raise UsageError(
            "The images are next to black: no pixel is above 1 of 255. Where they are files of "
            "16 bits that hold 0 to 255, save them with 8 bits, or multiply them by 257."
        )
    dark = f"the brightest pixel of all images is {top} of 255: 16 bits are brought to 8"
    return [dark] if top < DARK else []


def refuse_mask(file: Path) -> None:
    """Refuse an image that is the mask of another one beside it, such as ``7_mask.png``.

    Raises:
        BadRecordError: It is.
    """
    found = _MASK.fullmatch(file.stem)
    if found is None:
        return
    beside = (file.with_name(f"{found[1]}{end}") for end in (file.suffix, ".jpg", ".png", ".jpeg"))
    other = next((path for path in beside if path.is_file()), None)
    if other is not None:
        raise BadRecordError(f"looks like the mask of {other.name}, and no task here learns masks")


@dataclass(frozen=True)
class ImageInfo:
    """What is known of an image that was decoded once.

    Args:
        digest: sha256 of its pixels.
        size: Height and width.
        is_grey: Whether it has no colours.
        brightest: Its largest pixel, 0 to 255.
    """

    digest: str
    size: tuple[int, int]
    is_grey: bool
    brightest: int


def look_at(file: Path) -> ImageInfo:
    """Decode an image and return what it is.

    Raises:
        BadRecordError: It is none, or damaged.
    """
    try:
        image = as_pillow(file)
        colours = pixels(image, 3)
    except Exception as error:  # Pillow raises anything on a damaged file
        raise BadRecordError(f"is not an image: {_reason(error, file)}") from error
    digest = digest_of(str(colours.shape), colours.tobytes())
    return ImageInfo(digest, colours.shape[:2], _is_grey(image), int(colours.max()))


def orientation_of(file: Path) -> int:
    """Return how an image's camera was held, as EXIF numbers it: 1 is upright, 8 the last.

    Args:
        file: An image that can be read.
    """
    from PIL import Image
    from PIL.ExifTags import Base

    with Image.open(file) as image:
        found = image.getexif().get(Base.Orientation, 1)
    return int(found) if found in range(1, 9) else 1


def pixels(raw: Any, channels: int) -> Any:
    """Return an image as the preprocessing of a bundle reads it, uint8 (height, width, channels).

    Args:
        raw: The path or the bytes of a file of any format that Pillow reads, or a Pillow image.
        channels: 1 for grey, 3 for RGB.
    """
    import numpy as np

    array = np.asarray(grey_or_rgb(as_pillow(raw), MODES[channels]), np.uint8)
    return array.reshape(*array.shape[:2], channels)


def _is_grey(image: Any) -> bool:
    return image.mode in GREY or image.mode.startswith("I;")


def _reason(error: Exception, file: Path) -> str:
    cause = error.__cause__ or error
    # Pillow's own message names the file once more.
    return str(cause).replace(f" {str(file)!r}", "") or type(cause).__name__


@cache
def _suffixes() -> set[str]:
    from PIL import Image

    return set(Image.registered_extensions())
