"""Handwritten digits of scikit-learn."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from zoo_recipes.datasets.splits import stratified


class Digits(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Handwritten digits of 8x8 pixels, 1,437 to train on and 360 to test on."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        from sklearn.datasets import load_digits

        data = load_digits()
        # 0..16 becomes 0..255, as every other image is.
        images = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
        train, test = stratified(data.target, 360)
        return {
            "train": self._generate_examples(images, data.target, train),
            "test": self._generate_examples(images, data.target, test),
        }

    def _generate_examples(self, images: Any, labels: Any, rows: Any) -> Any:
        for row in rows:
            yield int(row), {"image": images[row], "label": int(labels[row])}
