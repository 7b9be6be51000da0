"""A picture with the things that were found in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_runtime.answers.boxes import Box

# Told apart by people who see few colours: https://jfly.uni-koeln.de/color/.
COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def draw_boxes(picture: Any, boxes: Sequence[Box], path: Path) -> None:
    """Write a picture with boxes and their labels; small pictures are enlarged.

    Args:
        picture: Path, Pillow image or array.
        boxes: In its pixels.
        path: The file, of any format that Pillow writes.
    """
    from PIL import Image, ImageDraw

    from zoo_runtime.preprocess.pixels import as_pillow, grey_or_rgb

    image = grey_or_rgb(as_pillow(picture), "RGB")
    times = max(1, -(-400 // max(image.size)))
    image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    line = max(1, max(image.size) // 300)
    colors = {label: COLORS[at % len(COLORS)] for at, label in enumerate(_labels(boxes))}
    for box in reversed(boxes):  # the most probable on top
        left, top, right, bottom = (
            times * side for side in (box.left, box.top, box.right, box.bottom)
        )
        draw.rectangle((left, top, right, bottom), outline=colors[box.label], width=line)
        text = f"{box.label} {box.score:.2f}"
        size = max(10, max(image.size) // 40)
        above = (left, max(0.0, top - 1.2 * size))
        draw.rectangle(draw.textbbox(above, text, font_size=size), fill=colors[box.label])
        draw.text(above, text, fill="black", font_size=size)
    image.save(path)


def _labels(boxes: Sequence[Box]) -> list[str]:
    return sorted({box.label for box in boxes})
