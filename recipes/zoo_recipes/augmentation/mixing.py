"""Random changes of images that concern their targets: mixed classes, boxes that move along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from zoo_recipes.configs import Component
from zoo_registry import UsageError, did_you_mean

Mix = Callable[[Any, np.random.Generator], tuple[Any, Any, float]]
FLIP = "random_flip"
# Layers of Keras that change colours and leave everything where it is, without their ``_``.
PHOTOMETRIC = {
    *("autocontrast", "equalization", "gaussiannoise", "randombrightness"),
    *("randomcolordegeneration", "randomcolorjitter", "randomcontrast", "randomgaussianblur"),
    *("randomgrayscale", "randomhue", "randominvert", "randomposterization"),
    *("randomsaturation", "randomsharpness", "solarization"),
}


def mix_up(images: Any, rng: np.random.Generator, *, alpha: float = 0.2) -> tuple[Any, Any, float]:
    """Lay another image of the batch over each one (https://arxiv.org/abs/1710.09412).

    Args:
        images: float (batch, height, width, channels).
        rng: Random generator.
        alpha: The fraction of the first image is drawn from Beta(alpha, alpha).

    Returns:
        The images, the index of the other image of each, and the fraction of the first one.
    """
    fraction = float(rng.beta(alpha, alpha))
    others = rng.permutation(len(images))
    mixed = np.float32(fraction) * images + np.float32(1 - fraction) * images[others]
    return mixed, others, fraction


def cut_mix(images: Any, rng: np.random.Generator, *, alpha: float = 1.0) -> tuple[Any, Any, float]:
    """Put a rectangle of another image of the batch into each (https://arxiv.org/abs/1905.04899).

    Args:
        images: float (batch, height, width, channels).
        rng: Random generator.
        alpha: The area that stays is drawn from Beta(alpha, alpha).

    Returns:
        As :func:`mix_up`; the fraction is that of the pixels.
    """
    height, width = images.shape[1:3]
    side = np.sqrt(1 - rng.beta(alpha, alpha))
    others = rng.permutation(len(images))
    top, bottom = _stretch(height, side, rng)
    left, right = _stretch(width, side, rng)
    mixed = images.copy()
    mixed[:, top:bottom, left:right] = images[others, top:bottom, left:right]
    return mixed, others, 1 - (bottom - top) * (right - left) / (height * width)


def _stretch(size: int, fraction: float, rng: np.random.Generator) -> tuple[int, int]:
    middle, half = rng.integers(size), fraction * size / 2
    return max(0, round(middle - half)), min(size, round(middle + half))


MIXES: dict[str, Callable[..., tuple[Any, Any, float]]] = {"mix_up": mix_up, "cut_mix": cut_mix}


def make_mixes(components: Sequence[Component]) -> list[Mix]:
    """Return the ways of mixing that are among the augmentations of a recipe.

    Raises:
        UsageError: An argument that does not exist, or is not a number above 0.
    """
    return [_make(component) for component in components if component.name in MIXES]


def _make(component: Component) -> Mix:
    for key, value in component.arguments.items():
        if key != "alpha":
            hint = did_you_mean(key, ["alpha"]) or " It takes: alpha."
            raise UsageError(f"augmentation: '{component.name}' takes no '{key}'.{hint}")
        if not isinstance(value, int | float) or value <= 0:
            raise UsageError(
                f"augmentation: '{component.name}' needs alpha above 0, not {value!r}."
            )
    return partial(MIXES[component.name], **component.arguments)


def mixed(
    inputs: dict[str, Any],
    targets: Any,
    mixes: Sequence[Mix],
    num_classes: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], Any]:
    """Return a batch in which images are mixed in one of several ways.

    Args:
        inputs: ``image``, float32 (batch, height, width, channels).
        targets: Classes, int (batch,).
        mixes: The ways; one of them is drawn.
        num_classes: Of the model.
        rng: Random generator.

    Returns:
        Inputs, and soft labels, float32 (batch, num_classes).

    Raises:
        UsageError: There are no images.
    """
    if "image" not in inputs:
        raise UsageError(
            f"augmentation: only images can be mixed, and the inputs are {', '.join(inputs)}: "
            "leave mix_up and cut_mix out."
        )
    images, others, fraction = mixes[int(rng.integers(len(mixes)))](inputs["image"], rng)
    classes = np.eye(num_classes, dtype=np.float32)[targets]
    soft_labels = np.float32(fraction) * classes + np.float32(1 - fraction) * classes[others]
    return {**inputs, "image": images}, soft_labels


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
