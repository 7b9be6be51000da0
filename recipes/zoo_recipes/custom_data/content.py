"""What is read from the user's data, whatever the files are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo_registry.specs import MULTI_LABEL

# Of what is prepared from the same files: another one is prepared anew, and where its first number
# is another, split otherwise.
VERSION = "2.2.0"
# The same of images and audio clips, whose files are kept as they are.
FILES_VERSION = "2.3.0"
# The feature that says which record of the files an example is.
LOCATION = "record_place"
# Features of kept files: the number of an example among all of the data, and the digest of its
# pixels or samples.
NUMBER, DIGEST = "record_number", "record_digest"
# What is noted of examples beside what the data hold.
NOTED = {LOCATION, NUMBER, DIGEST}
# What JSON may escape and no text holds.
HALF = "holds half a character, a lone surrogate such as \\ud83d"
# The role, and the feature, of any number of classes an example.
LABELS = "labels"
# Role, such as ``text``, to the name of the column that plays it.
Columns = Mapping[str, str]
# What recipes train that learn which examples belong together: views of one, or both of a pair.
CONTRASTIVE_IMAGES, CONTRASTIVE_TEXTS, CONTRASTIVE_PAIRS = (
    f"contrastive {what}" for what in ("images", "texts", "pairs")
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What data hold, and what can be trained on them.

    Args:
        name: Plural, as messages have it.
        input: Feature that is the raw input, or several that are one together.
        label: Feature that is the class or the target text; ``None`` where there is none.
        tasks: Heads, or contrastive embeddings, that recipes can train on it.
        roles: Columns that it is made of, where it is read from a table.
        unit: Of the sizes of its examples.
        step: Preprocessing step that a recipe must have to take it, and no other may.
        version: Of what is prepared of it.
        of_one: Of any number of classes, or a number, an example: the tasks of recipes of one class
            each, which are trained with a yes or a no for each class, or a number, instead.
        outcome: Column to be predicted, where it is read from a table and may be a class or a
            number.
    """

    name: str
    input: str | tuple[str, ...]
    label: str | None = None
    tasks: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    unit: str = "characters"
    step: str = ""
    version: str = VERSION
    of_one: tuple[str, ...] = ()
    outcome: str = field(default="", compare=False)


@dataclass(frozen=True)
class Example:
    """One example, not decoded yet.

    Args:
        location: File, and line where it has lines, as messages have it.
        split: Where the data put it, or ``None``.
        digest: sha256 of the input alone: decides the split where the data do not. Copies share
            it.
        values: By feature: what TFDS takes, the file that holds it, or a function that returns it.
        size: Such as (height, width) of an image, (characters,) of a text, (seconds,) of an audio
            clip.
        together: Examples of the same one are put into the same split; ``None`` belongs to no
            group.
    """

    location: str
    split: str | None
    digest: str
    values: Mapping[str, Any]
    size: tuple[float, ...]
    together: str | None = None


@dataclass(frozen=True)
class Problem:
    """What is wrong with one record, and where."""

    location: str
    text: str

    def __str__(self) -> str:
        """Return ``location: text``."""
        return f"{self.location}: {self.text}"


class BadRecordError(Exception):
    """Something in one record that makes it unusable; its text becomes that of a problem."""


@dataclass(frozen=True)
class Content:
    """All that was read.

    Args:
        kind: What it is.
        features: TFDS features by name.
        examples: The good ones, in the order of the files.
        problems: The bad ones.
        notes: What is not a problem, and still good to know.
        records: The locations of all records, good and bad, in the order of the files, where they
            are not those of the examples and problems.
    """

    kind: Kind
    features: Mapping[str, Any]
    examples: Sequence[Example]
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    records: Sequence[str] | None = None

    def labels(self) -> list[str] | None:
        """Return the class of each example; ``None`` where an example has no class."""
        import tensorflow_datasets as tfds

        name = self.kind.label
        if name is None or not isinstance(self.features[name], tfds.features.ClassLabel):
            return None
        return [str(example.values[name]) for example in self.examples]

    def classes(self) -> list[Sequence[str]] | None:
        """Return the classes of each example, one or any number; ``None`` where it has none."""
        if MULTI_LABEL in self.kind.tasks:
            return [example.values[str(self.kind.label)] for example in self.examples]
        labels = self.labels()
        return None if labels is None else [(label,) for label in labels]


@dataclass(frozen=True)
class Layout:
    """A way to lay out data on disk.

    Args:
        what: One line for the list of what is understood.
        matches: Whether a path is laid out so, from names alone.
        kind: What a path holds; may read the head of a file.
        read: Reads all of it, and finds all that is wrong.
    """

    what: str
    matches: Callable[[Path], bool]
    kind: Callable[[Path, Columns], Kind]
    read: Callable[[Path, Columns], Content]


def digest_of(*parts: str | bytes) -> str:
    """Return the sha256 of texts or bytes, one after the other.

    Example:
        >>> digest_of("ab", "c") == digest_of("a", "bc")
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else _encoded(part)
        digest.update(f"{len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadRecordError(HALF) from error


def class_names(labels: Sequence[str]) -> list[str]:
    """Return the classes, numbers in the order of their values, all else by name.

    Example:
        >>> class_names(["10", "9", "9"]), class_names(["b", "10", "a"])
        (['9', '10'], ['10', 'a', 'b'])
    """
    found = set(labels)
    numbers = all(label.lstrip("-").isdecimal() for label in found)
    return sorted(found, key=int) if numbers else sorted(found)
