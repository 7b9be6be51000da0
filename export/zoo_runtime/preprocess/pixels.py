"""Images of any kind, file, Pillow image or array, as grey or RGB pixels in 0..255."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from zoo_registry import UsageError
from zoo_runtime.optional import is_installed, need

# How Pillow names the pixels of an image with so many channels.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def as_pillow(raw: Any) -> Any:
    if isinstance(raw, str | Path | bytes):
        return _opened(raw)
    if isinstance(raw, np.ndarray):
        pixels = _checked(raw)
        return _pillow("An array of another size than the model takes").fromarray(pixels)
    if not (is_installed("PIL") and isinstance(raw, _pillow().Image)):
        raise UsageError(
            f"An image is a path, bytes of a file, a Pillow image or an array, not {kind_of(raw)}."
        )
    return raw


def _pillow(what: str = "An image") -> Any:
    return need("PIL.Image", what)


def resampling(name: str) -> Any:
    return _pillow().Resampling[name.upper()]


def _opened(raw: str | Path | bytes) -> Any:
    Image = _pillow("An image file")  # noqa: N806 - as Pillow's users know it
    name = f"An image of {len(raw):,} bytes" if isinstance(raw, bytes) else f"'{raw}'"
    try:
        with Image.open(io.BytesIO(raw) if isinstance(raw, bytes) else raw) as image:
            # Cameras store a rotated image as it came, with an EXIF tag for it.
            return need("PIL.ImageOps", "An image file").exif_transpose(image)
    except FileNotFoundError as error:
        raise UsageError(f"There is no image file {name}.") from error
    except Image.DecompressionBombError as error:
        raise UsageError(f"{name} is too large: {error} Make the image smaller.") from error
    except Exception as error:  # damaged files raise whatever their format's reader does
        # What has no name is called by its place in the memory.
        reason = re.sub(r" <_io\.BytesIO [^>]*>", "", str(error))
        raise UsageError(f"{name} cannot be read as an image: {reason}") from error


def is_white_1(images: Iterable[np.ndarray[Any, Any]]) -> bool:
    """Return whether the pixels of all images are 0 to 1, which is next to black in 0..255.

    Example:
        >>> is_white_1([np.ones((4, 6))]), is_white_1([np.full((4, 6), 255)])
        (True, False)
    """
    return all(image.min() >= 0 and image.max() <= 1 for image in images)


def size_of(raw: Any) -> tuple[int, int]:
    """Return height and width of an image in pixels, rotated as its EXIF tag asks.

    Example:
        >>> size_of(np.zeros((4, 6, 3), np.uint8))
        (4, 6)
    """
    if isinstance(raw, np.ndarray):
        height, width = _checked(raw).shape[:2]
    else:
        width, height = as_pillow(raw).size
    return height, width


def _checked(raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    shape = raw.shape[:2] if raw.ndim == 3 and raw.shape[2] == 1 else raw.shape
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] in MODES)) or 0 in shape:
        raise UsageError(
            f"An image array is (height, width) or (height, width, 1, 3 or 4), not {raw.shape}."
        )
    if not in_pixel_range(raw):
        raise UsageError(
            f"An image array holds numbers in 0..255; this one has dtype {raw.dtype} and values "
            f"{raw.min()}..{raw.max()}."
        )
    pixels: np.ndarray[Any, Any] = np.rint(raw).astype(np.uint8)
    return pixels.reshape(shape)


def in_pixel_range(raw: np.ndarray[Any, Any]) -> bool:
    if raw.dtype == np.uint8:
        return True
    is_number = np.issubdtype(raw.dtype, np.number) and not np.iscomplexobj(raw)
    return bool(is_number and raw.size and raw.min() >= 0 and raw.max() <= 255)


def grey_or_rgb(image: Any, mode: str) -> Any:
    if image.mode.startswith("I") or image.mode == "F":
        image = _deep_to_grey(image)
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        Image = _pillow()  # noqa: N806 - as Pillow's users know it
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _deep_to_grey(image: Any) -> Any:
    # Pillow clips deep pixels at 255 when it converts: scale them instead.
    pixels = np.asarray(image, np.float64)
    if image.mode == "F" and pixels.size and pixels.min() >= 0 and 0 < pixels.max() <= 1:
        raise UsageError(
            f"An image of mode F holds {pixels.min():g}..{pixels.max():g}, and here pixels go from "
            "0 to 255: multiply them by 255."
        )
    sixteen_bit = image.mode.startswith("I") and pixels.max() > 255
    scaled = pixels / 257 if sixteen_bit or image.mode.startswith("I;16") else pixels
    if scaled.min() < 0 or scaled.max() > 255:
        raise UsageError(
            f"An image of mode {image.mode} holds {pixels.min()}..{pixels.max()}: "
            "bring its values to 0..255 first."
        )
    return _pillow().fromarray(np.rint(scaled).astype(np.uint8))


def kind_of(raw: Any) -> str:
    return f"a {type(raw).__name__}" + (f" of {raw.dtype}" if isinstance(raw, np.ndarray) else "")
