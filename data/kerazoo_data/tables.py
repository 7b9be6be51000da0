"""Tables of scikit-learn, a feature for each column."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from zoo_recipes.datasets.at_hand import stratified


class _Table(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    # Name of the function of scikit-learn, and the rows to test on.
    LOADER: ClassVar[str]
    TEST: ClassVar[int]
    LABEL = "label"

    def _bunch(self) -> Any:
        from sklearn import datasets

        return getattr(datasets, self.LOADER)()

    def _info(self) -> Any:
        bunch = self._bunch()
        columns = {str(name): tfds.features.Scalar(np.float64) for name in bunch.feature_names}
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict({**columns, self.LABEL: self._label(bunch)}),
        )

    def _label(self, bunch: Any) -> Any:
        return tfds.features.ClassLabel(names=[str(name) for name in bunch.target_names])

    def _split(self, bunch: Any) -> tuple[Any, Any]:
        return stratified(bunch.target, self.TEST)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        bunch = self._bunch()
        train, test = self._split(bunch)
        return {
            "train": self._generate_examples(bunch, train),
            "test": self._generate_examples(bunch, test),
        }

    def _generate_examples(self, bunch: Any, rows: Any) -> Any:
        names = [str(name) for name in bunch.feature_names]
        for row in rows:
            cells = dict(zip(names, map(float, bunch.data[row]), strict=True))
            yield int(row), {**cells, self.LABEL: bunch.target[row].item()}


class BreastCancer(_Table):
    """Measurements of cell nuclei and whether a tumour is benign, 455 to train on, 114 to test."""

    LOADER, TEST = "load_breast_cancer", 114


class Diabetes(_Table):
    """Ten measurements of patients and the progression of their disease, 353 and 89 patients."""

    LOADER, TEST, LABEL = "load_diabetes", 89, "progression"

    def _bunch(self) -> Any:
        from sklearn.datasets import load_diabetes

        # In their own units: scikit-learn's scaling has seen the rows that are tested on.
        return load_diabetes(scaled=False)

    def _label(self, bunch: Any) -> Any:
        return tfds.features.Scalar(np.float32)

    def _split(self, bunch: Any) -> tuple[Any, Any]:
        rows = np.random.default_rng(0).permutation(len(bunch.target))
        return np.sort(rows[self.TEST :]), np.sort(rows[: self.TEST])
