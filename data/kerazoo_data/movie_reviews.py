"""Movie-review snippets with the judgement of twenty people each, from VADER's source archive."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kerazoo_data.specs import VADER_PACKAGE
from zoo_recipes.datasets.at_hand import stratified
from zoo_system.fetching import unpacked

ARCHIVE = "hutto_ICWSM_2014.tar.gz"
MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
# People put a snippet between -4 and 4; nearer to 0 than this they did not agree on a side.
CLEAR = 0.5


class MovieReviews(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Snippets of movie reviews that people found negative or positive, four in five to train on.

    The data: Hutto, Gilbert 2014, https://ojs.aaai.org/index.php/ICWSM/article/view/14550.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=["negative", "positive"]),
                    "score": tfds.features.Scalar(np.float32),
                }
            ),
            supervised_keys=("text", "label"),
            homepage="https://github.com/cjhutto/vaderSentiment",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        rows = list(_clear(_lines(unpacked(VADER_PACKAGE))))
        train, test = stratified([label for _, label, _ in rows], 0.2)
        return {
            "train": self._generate_examples(rows, train),
            "test": self._generate_examples(rows, test),
        }

    def _generate_examples(self, rows: list[tuple[str, str, float]], chosen: Any) -> Any:
        for row in chosen:
            text, label, score = rows[row]
            yield int(row), {"text": text, "label": label, "score": score}


def _lines(folder: Path) -> list[str]:
    with tarfile.open(next(folder.rglob(ARCHIVE))) as archive:
        file = archive.extractfile(MEMBER)
        if file is None:
            raise FileNotFoundError(MEMBER)
        return file.read().decode("utf-8").splitlines()


def _clear(lines: list[str]) -> Iterator[tuple[str, str, float]]:
    for line in lines:
        _, mean, text = line.split("\t", 2)
        score = float(mean)
        if abs(score) >= CLEAR:
            yield text.strip(), "positive" if score > 0 else "negative", score
