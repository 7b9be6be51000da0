"""English technical text: what ``help()`` knows about the language."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

TEST_EVERY = 6


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
