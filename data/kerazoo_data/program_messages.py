"""Messages of programs and their German, from the gettext catalogs that Debian's packages carry."""

# mypy: disable-error-code="misc,call-arg"

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from kerazoo_data.django_translations import Message, letters, split_by_message
from kerazoo_data.specs import CATALOG_PACKAGES, OTHER_CATALOG_PACKAGES
from zoo_system.fetching import Package, unpacked

# Of 256 messages, on average: to test on, and to look at while training.
TEST_MESSAGES, VALIDATION_MESSAGES = 8, 2
MOST_CHARACTERS, MOST_WORDS = 40, 6
# Quotation marks and dots of every kind, and what is plain.
_DOUBLE, _SINGLE = "„“”»«", "‚‘’›‹"  # noqa: RUF001 - they are meant
_PLAIN = str.maketrans(
    {**dict.fromkeys(_DOUBLE, '"'), **dict.fromkeys(_SINGLE, "'"), "…": "...", "\xa0": " "}
)
# `_File` of GTK, `&File` of Qt and wx, `~File` of LibreOffice: the key that opens a menu.
_ACCELERATOR = re.compile(r"[_&~](?=[^\W_])")
_IDENTIFIER = re.compile(r"[^\W_]+_\w+|\w+&\w+")
_PLACEHOLDER = re.compile(r"%(?:[sdiu]|[1-9](?!\w|\.\d))")
# Markup, code, addresses, contexts as in `noun|Open`, and placeholders of other kinds.
_OTHER = re.compile(r"[<>{}\[\]\\$@#=|^*`\n\t%_~]|&(?=\S)|://")


class ProgramMessages(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Short messages of desktop programs in English and German: menus, labels, errors.

    Those of up to 6 words and 40 characters, without markup and without the marks of keyboard
    shortcuts; of several translations of a message the one that most programs have. Quotation
    marks and dots are plain. Names and what else is the same in both languages is left out.

    The programs of `test` are others than those that are trained on. `validation` and
    `same_programs` have messages of the latter. No message of these three was seen in training, in
    other case or punctuation or as the translation of another message.
    https://www.gnu.org/software/gettext/
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {name: tfds.features.Text() for name in ("english", "german", "program")}
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("english", "german"),
            homepage="https://www.debian.org/international/l10n/po/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        parts = split_by_message(
            messages(CATALOG_PACKAGES), test=TEST_MESSAGES, validation=VALIDATION_MESSAGES
        )
        parts["same_programs"] = parts.pop("test")
        known = {text for rows in parts.values() for row in rows for text in letters(row)}
        others = messages(OTHER_CATALOG_PACKAGES)
        parts["test"] = [row for row in others if known.isdisjoint(letters(row))]
        return {split: self._generate_examples(rows) for split, rows in parts.items()}

    def _generate_examples(self, rows: Iterable[Message]) -> Iterator[tuple[int, Any]]:
        for index, (english, program, german) in enumerate(rows):
            yield index, {"english": english, "german": german, "program": program}


def messages(packages: Iterable[Package]) -> list[Message]:
    """Return the English of each message, a program that has it, and its German.

    Args:
        packages: Fetched where they are not on this machine.
    """
    programs: dict[str, dict[str, list[str]]] = {}
    for package in packages:
        for pair in dict.fromkeys(_translated(unpacked(package))):
            if cleaned := clean(*pair):
                english, german = cleaned
                programs.setdefault(english, {}).setdefault(german, []).append(package.name)
    return [(english, *_most_frequent(programs[english])) for english in sorted(programs)]


def _most_frequent(found: Mapping[str, list[str]]) -> tuple[str, str]:
    german = min(found, key=lambda text: (-len(found[text]), text))
    return found[german][0], german


def _translated(folder: Path) -> Iterator[tuple[str, str]]:
    import polib

    for path in sorted(folder.rglob("de/LC_MESSAGES/*.mo")):
        for entry in polib.mofile(str(path)):
            # Those with a plural have several texts.
            if entry.msgid and entry.msgstr:
                yield entry.msgid, entry.msgstr


def clean(english: str, german: str) -> tuple[str, str] | None:
    """Return a message and its translation as plain texts, or ``None`` for one that is left out.

    Example:
        >>> clean("Save _As…", "Speichern _unter …")
        ('Save As...', 'Speichern unter...')
        >>> clean("Could not open “%s”", "»%s« ließ sich nicht öffnen")
        ('Could not open "%s"', '"%s" ließ sich nicht öffnen')
        >>> [clean(*pair) for pair in (("<b>Bold</b>", "<b>Fett</b>"), ("GIMP", "GIMP"))]
        [None, None]
    """
    if set(_IDENTIFIER.findall(english)) & set(_IDENTIFIER.findall(german)):
        return None
    one, other = _plain(english), _plain(german)
    if any(_OTHER.search(_PLACEHOLDER.sub("", text)) for text in (one, other)):
        return None
    placeholders = [Counter(_PLACEHOLDER.findall(text)) for text in (one, other)]
    if placeholders[0] != placeholders[1] or one.casefold() == other.casefold():
        return None
    fits = all(
        len(text) <= MOST_CHARACTERS and len(text.split()) <= MOST_WORDS for text in (one, other)
    )
    in_words = all(re.search(r"[^\W\d_]{3}", _PLACEHOLDER.sub("", text)) for text in (one, other))
    return (one, other) if fits and in_words and one.isascii() else None


def _plain(text: str) -> str:
    # One mark alone: two are no accelerators.
    text = _ACCELERATOR.sub("", text, count=1).strip().translate(_PLAIN)
    return re.sub(r" +(?=\.\.\.$)", "", re.sub(r" +", " ", text))
