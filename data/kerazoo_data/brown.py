"""The Brown corpus: English sentences whose words have their part of speech."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from kerazoo_data.specs import BROWN_PACKAGE
from zoo_system.fetching import unpacked

TAGS = (
    *("NOUN", "VERB", "ADJ", "ADV", "PRON", "DET"),
    *("ADP", "NUM", "CONJ", "PRT", "PUNCT", "X"),
)
# The first that fits; what is left are nouns, such as nn, nps, nr and pn.
_RULES = (
    ("X", r"fw-.*|nil"),
    ("PUNCT", r"[^\w*]+"),
    ("PRON", r"pp\$\$|ppl|ppls|ppo|pps|ppss|wpo|wps"),
    ("DET", r"abx|at|dt.?|pp\$|wdt|wp\$?"),
    ("VERB", r"(be|do|hv|vb).*|md"),
    ("ADJ", r"jj.|jj|ap|od"),
    ("ADV", r"ql.?|rb.?|rn|wql|wrb|\*"),
    ("ADP", r"in|cs"),
    ("CONJ", r"cc"),
    ("NUM", r"cd"),
    ("PRT", r"abl|abn|ex|rp|to|uh"),
)
_FILE = re.compile(r"c[a-r]\d\d")


class Brown(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """English of 1961 in fifteen genres, each word with one of twelve parts of speech.

    The 472 tags of the corpus are brought to those of Petrov et al. 2012
    (https://arxiv.org/abs/1104.2086). Every tenth text is for testing, so that no text is in both
    splits. Francis and Kucera 1979, http://korpus.uib.no/icame/manuals/BROWN/
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {
            "tokens": tfds.features.Sequence(tfds.features.Text()),
            "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=TAGS)),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("tokens", "tags"),
            homepage="http://korpus.uib.no/icame/manuals/BROWN/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = unpacked(BROWN_PACKAGE)
        texts = sorted(path for path in folder.iterdir() if _FILE.fullmatch(path.name))
        test = texts[9::10]
        return {
            "train": self._generate_examples(path for path in texts if path not in test),
            "test": self._generate_examples(test),
        }

    def _generate_examples(self, texts: Iterable[Path]) -> Iterator[tuple[str, Any]]:
        for path in texts:
            for row, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
                words = [part.rpartition("/") for part in line.split()]
                if words:
                    tags = [universal(tag) for _, _, tag in words]
                    yield f"{path.name}-{row}", {"tokens": [w for w, _, _ in words], "tags": tags}


def universal(tag: str) -> str:
    """Return the part of speech that a tag of the corpus stands for.

    Example:
        >>> [universal(tag) for tag in ("at", "np-tl", "ppss+bem", "vbd", "''", "*", "fw-in")]
        ['DET', 'NOUN', 'PRON', 'VERB', 'PUNCT', 'ADV', 'X']
    """
    foreign = tag.startswith("fw-")
    # Of two in one, such as "I'm", the first; -tl and the like tell of titles and headlines.
    plain = tag if foreign else (re.split(r"\+|-|(?<=.)\*", tag)[0] or tag)
    plain = plain if plain in {"pp$", "pp$$", "wp$"} else plain.removesuffix("$")
    return next((name for name, rule in _RULES if re.fullmatch(rule, plain)), "NOUN")
