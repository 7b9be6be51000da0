"""Messages of the web framework Django and their translations."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from kerazoo_data.specs import DJANGO_PACKAGE
from zoo_system.fetching import unpacked

# Those in Latin letters that have nearly all messages, one of each language.
LANGUAGES = ("ca", "da", "de", "es", "fr", "it", "nl", "pt", "ro", "sv")
# Of 256 messages, on average: to test on, and to look at while training.
TEST_MESSAGES, VALIDATION_MESSAGES = 26, 13

Message = tuple[str, str, str]


class DjangoTranslations(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Messages for users and administrators of web sites in ten languages, each with its English.

    One in ten English messages is for testing and one in twenty for validation, with all its
    translations: none of them was seen in training, in other case or punctuation or as the
    translation of another message.
    https://docs.djangoproject.com/en/5.2/topics/i18n/
    """

    VERSION = tfds.core.Version("1.1.0")

    def _info(self) -> Any:
        features = {
            "text": tfds.features.Text(),
            "english": tfds.features.Text(),
            "language": tfds.features.ClassLabel(names=LANGUAGES),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("text", "english"),
            homepage="https://www.djangoproject.com",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        parts = split_by_message(sorted(set(_messages(unpacked(DJANGO_PACKAGE)))))
        return {split: self._generate_examples(rows) for split, rows in parts.items()}

    def _generate_examples(self, rows: Iterable[Message]) -> Iterator[tuple[int, Any]]:
        for index, (english, language, text) in enumerate(rows):
            yield index, {"text": text, "english": english, "language": language}


def split_by_message(
    rows: Iterable[Message], test: int = TEST_MESSAGES, validation: int = VALIDATION_MESSAGES
) -> dict[str, list[Message]]:
    """Return the rows of each split: a message is in one, whatever language it is in.

    What is tested is not trained on in other case or punctuation, nor as a translation that two
    messages have.

    Args:
        rows: English, anything, and the translation.
        test: Of 256 messages, how many are to test on, on average.
        validation: The same, to look at while training.

    Example:
        >>> rows = [("Mercurial", "de", "Merkur"), ("Mercury", "de", "Merkur")]
        >>> rows += [("mercurial:", "fr", "capricieux"), ("Sun", "fr", "soleil")]
        >>> parts = split_by_message(rows)
        >>> {split: [row[0] for row in rows] for split, rows in parts.items()}
        {'test': ['Mercurial'], 'validation': [], 'train': ['Sun']}
    """
    parts: dict[str, list[Message]] = {"test": [], "validation": [], "train": []}
    for row in rows:
        drawn = hashlib.sha256(row[0].encode()).digest()[0]
        held = "test" if drawn < test else "validation" if drawn < test + validation else "train"
        parts[held].append(row)
    held_out: set[str] = set()
    for split, found in parts.items():
        parts[split] = [row for row in found if held_out.isdisjoint(letters(row))]
        held_out.update(*map(letters, found))
    return parts


def letters(row: Message) -> tuple[str, str]:
    """Return a message and its translation without case and punctuation."""
    english, _, text = row
    one, other = ("".join(filter(str.isalnum, part.casefold())) for part in (english, text))
    return one or english, other or text


def _messages(folder: Path) -> Iterator[Message]:
    import polib

    for language in LANGUAGES:
        for path in sorted(folder.rglob(f"{language}/LC_MESSAGES/*.po")):
            for entry in polib.pofile(str(path)).translated_entries():
                english, text = (" ".join(t.split()) for t in (entry.msgid, entry.msgstr))
                # Those with a plural have several texts, and some words are the same.
                if text and text != english:
                    yield english, language, text
