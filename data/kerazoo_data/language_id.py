"""Which language a sentence is in, from the conversations of chatterbot-corpus."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from zoo_recipes.datasets.at_hand import stratified

LANGUAGES = (
    *("bengali", "chinese", "dutch", "english", "french", "german", "hebrew", "hindi"),
    *("hinglish", "indonesian", "italian", "japanese", "korean", "marathi", "oriya", "persian"),
    *("portuguese", "russian", "spanish", "swedish", "tamil", "telugu", "thai"),
    *("traditionalchinese", "turkish", "ukrainian", "urdu", "yoruba"),
)


class LanguageId(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Sentences of 28 languages, four in five to train on.

    A sentence is there once, whatever its case and punctuation, and those that stand in the files
    of several languages are left out: no test sentence was seen in training.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=list(LANGUAGES)),
                }
            ),
            supervised_keys=("text", "label"),
            homepage="https://github.com/gunthercox/chatterbot-corpus",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        rows = unshared({language: _sentences(language) for language in LANGUAGES})
        train, test = stratified([language for language, _ in rows], 0.2)
        return {
            "train": self._generate_examples(rows, train),
            "test": self._generate_examples(rows, test),
        }

    def _generate_examples(self, rows: list[tuple[str, str]], chosen: Any) -> Any:
        for row in chosen:
            language, text = rows[row]
            yield int(row), {"text": text, "label": language}


def unshared(sentences: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return (language, sentence), each sentence once and only if one language has it.

    Example:
        >>> unshared({"dutch": ["Ja", "OK"], "german": ["OK!", "Nein", "nein."]})
        [('dutch', 'Ja'), ('german', 'Nein')]
    """
    owners: defaultdict[str, set[str]] = defaultdict(set)
    first: dict[tuple[str, str], str] = {}
    for language, texts in sentences.items():
        for text in sorted(set(texts)):
            owners[_key(text)].add(language)
            first.setdefault((language, _key(text)), text)
    return [
        (language, text) for (language, key), text in first.items() if key and len(owners[key]) == 1
    ]


def _key(text: str) -> str:
    # Marks are vowels in many scripts: they stay, punctuation and blanks go.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum() or unicodedata.category(c).startswith("M"))


def _sentences(language: str) -> list[str]:
    import yaml

    # Without importing it: its own reader builds an index of all the files first.
    package = find_spec("chatterbot_corpus")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'chatterbot_corpus'", name="chatterbot_corpus")
    found: list[str] = []
    for path in sorted((Path(package.origin).parent / "data" / language).glob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for conversation in content["conversations"]:
            found += _texts(conversation)
    return found


def _texts(node: Any) -> Iterator[str]:
    # Some files hold lists in lists, unquoted numbers, and "a: b" that YAML reads as a mapping.
    if isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        yield from (f"{key}: {value}" for key, value in node.items())
    elif node is not None:
        yield " ".join(str(node).split())
