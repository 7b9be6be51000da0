"""Which random changes of images leave the boxes in them right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FLIP = "random_flip"
# Layers of Keras that change colours and leave everything where it is, without their ``_``.
PHOTOMETRIC = {
    *("autocontrast", "equalization", "gaussiannoise", "randombrightness"),
    *("randomcolordegeneration", "randomcolorjitter", "randomcontrast", "randomgaussianblur"),
    *("randomgrayscale", "randomhue", "randominvert", "randomposterization"),
    *("randomsaturation", "randomsharpness", "solarization"),
}


def is_flip(name: str) -> bool:
    """Return whether a name, in any spelling, is that of the layer that mirrors images.

    Example:
        >>> is_flip("RandomFlip"), is_flip("random_zoom")
        (True, False)
    """
    return _bare(name) == _bare(FLIP)


def moving_mistakes(augmentation: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what is wrong with the augmentation of images that have boxes.

    Args:
        augmentation: Arguments by name.
    """
    for name, arguments in augmentation.items():
        if is_flip(name):
            if arguments.get("mode") != "horizontal":
                yield f'augmentation: {name} takes boxes along with mode = "horizontal" only.'
        elif _bare(name) not in PHOTOMETRIC:
            yield (
                f"augmentation: {name} would leave boxes where they were. With boxes go {FLIP} "
                "and layers that change colours alone, such as random_brightness."
            )


def _bare(name: str) -> str:
    return name.replace("_", "").lower()
