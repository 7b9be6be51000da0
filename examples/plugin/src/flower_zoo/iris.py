"""Fisher's iris flowers, as a TensorFlow Datasets builder over what scikit-learn ships."""

import numpy as np
import tensorflow_datasets as tfds


class IrisFlowers(tfds.core.GeneratorBasedBuilder):
    """150 flowers, four measurements in centimetres, three species."""

    VERSION = tfds.core.Version("1.0.0")
    SPECIES = ("setosa", "versicolor", "virginica")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            homepage="https://doi.org/10.24432/C56C76",
            features=tfds.features.FeaturesDict(
                {
                    "features": tfds.features.Tensor(shape=(4,), dtype=np.float32),
                    "label": tfds.features.ClassLabel(names=self.SPECIES),
                }
            ),
            supervised_keys=("features", "label"),
        )

    def _split_generators(self, dl_manager):
        from sklearn.datasets import load_iris
        from sklearn.model_selection import train_test_split

        iris = load_iris()
        train, test = train_test_split(
            range(150), test_size=30, stratify=iris.target, random_state=0
        )
        return {
            "train": self._generate_examples(iris, train),
            "test": self._generate_examples(iris, test),
        }

    def _generate_examples(self, iris, rows):
        for row in rows:
            yield (
                row,
                {
                    "features": iris.data[row].astype("float32"),
                    "label": int(iris.target[row]),
                },
            )
