"""Words with a tag each, one a line, as CoNLL has them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.content import (
    BadRecordError,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.custom_data.files import (
    files_of,
    head_of,
    lines_of,
    location,
    splits_of,
    suffix_of,
)
from zoo_recipes.custom_data.several import is_list, listed
from zoo_registry import UsageError

TAGS = Kind(
    name="tagged words",
    input="tokens",
    label="tags",
    tasks=("token-classification",),
    roles=("token", "tag"),
    unit="words",
)
SUFFIXES = {".conll", ".bio", ".iob", ".iob2"}
# Tags of entities; and parts of speech, of which a text has few different ones.
_ENTITY = re.compile(r"O|[BIESLUM]-\S+")
_PART_OF_SPEECH = re.compile(r"[A-Z.,:;?!$#'`\"()\[\]|/-][A-Z0-9.,:;?!$#'`\"()\[\]|/_-]*")
# Lines that tell whether a .txt file has tagged words.
HEAD, FEW, MOST = 400, 8, 0.9


def is_tagged(path: Path) -> bool:
    """Return whether all files have the suffix of tagged words, or are ``.txt`` with lines so."""
    files = files_of(path)
    return all(_suffix_fits(file) for file in files)


def _suffix_fits(file: Path) -> bool:
    suffix = suffix_of(file)
    return suffix in SUFFIXES or (suffix == ".txt" and _looks_tagged(file))


def _looks_tagged(file: Path) -> bool:
    text = head_of(file).decode("utf-8", "replace")
    lines = text.removeprefix("\ufeff").splitlines()[:HEAD]
    words = [line.split() for line in lines if line.strip() and not line.startswith("-DOCSTART-")]
    widths = Counter(map(len, words))
    width, count = widths.most_common(1)[0] if widths else (0, 0)
    # A few lines may be wrong, which the reading of all of them tells.
    if len(words) < FEW or width < 2 or count < MOST * len(words):
        return False
    words = [row for row in words if len(row) == width]
    # The last line may be cut.
    tags = [row[-1] for row in words[:-1]]
    if all(map(_ENTITY.fullmatch, tags)):
        return len(set(tags)) > 1 or tags[0] != "O"
    return all(map(_PART_OF_SPEECH.fullmatch, tags)) and len(set(tags)) <= len(tags) / 4


def read_tagged(path: Path, columns: Columns) -> Content:
    """Read sentences, which blank lines part.

    Args:
        path: A file, or a folder with one for each split.
        columns: ``token`` and ``tag`` by number; the first and the last one by default.

    Raises:
        UsageError: A column is not a number.
    """
    for role, column in columns.items():
        if role not in TAGS.roles or not column.isdecimal() or column == "0":
            raise UsageError(
                f"--column {role}={column}: columns of tagged words are numbers, such as "
                "--column token=1 --column tag=4."
            )
    examples: list[Example] = []
    problems: list[Problem] = []
    records: list[str] = []
    for file, split in splits_of(files_of(path), path).items():
        sentences = _sentences(lines_of(file, path, problems))
        widths = Counter(len(lines[0].split()) for _, lines in sentences if lines[0] is not None)
        usual = widths.most_common(1)[0][0] if widths else 0
        for first, lines in sentences:
            where = location(file, path, first)
            records.append(where)
            try:
                tokens, tags = _words(lines, columns, usual)
            except BadRecordError as error:
                problems.append(Problem(where, str(error)))
                continue
            examples.append(_example(where, split, tokens, tags))
    return Content(TAGS, tag_features(examples), examples, problems)


def tagged(where: str, split: str | None, tokens: Any, tags: Any) -> Example:
    """Return the example of words and their tags, as two cells of a table hold them.

    Raises:
        BadRecordError: They are not lists of as many words as tags.
    """
    tokens, tags = (
        listed(name, value) if isinstance(value, str) and is_list(value) else value
        for name, value in (("words", tokens), ("tags", tags))
    )
    for name, values in (("words", tokens), ("tags", tags)):
        if not isinstance(values, list) or not values:
            raise BadRecordError(f"its {name} are empty or not a list")
        if any(isinstance(value, list | dict) or value is None for value in values):
            raise BadRecordError(f"its {name} are not plain values")
    if len(tokens) != len(tags):
        raise BadRecordError(f"has {len(tokens)} words and {len(tags)} tags")
    return _example(where, split, [str(word) for word in tokens], [str(tag) for tag in tags])


def _example(where: str, split: str | None, tokens: list[str], tags: list[str]) -> Example:
    values = {"tokens": tokens, "tags": tags}
    return Example(where, split, digest_of(*tokens), values, (len(tokens),))


def tag_features(examples: Sequence[Example]) -> dict[str, Any]:
    """Return the TFDS features of tagged words."""
    import tensorflow_datasets as tfds

    names = class_names([tag for example in examples for tag in example.values["tags"]])
    return {
        "tokens": tfds.features.Sequence(tfds.features.Text()),
        "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=names)),
    }


def _words(lines: list[str | None], columns: Columns, usual: int) -> tuple[list[str], list[str]]:
    words = [line.split() for line in lines if line is not None]
    if len(words) < len(lines):
        raise BadRecordError("a line of the sentence is not UTF-8")
    width = len(words[0])
    odd = next((at for at, word in enumerate(words) if len(word) != width), None)
    if odd is not None:
        raise BadRecordError(
            f"line {odd + 1} of the sentence has {len(words[odd])} columns, the first {width}"
        )
    wanted = [int(columns.get("token", 1)), int(columns.get("tag", usual))]
    if width < max(2, *wanted):
        raise BadRecordError(f"the sentence has {width} columns, not {max(2, *wanted)}")
    if width != usual and "tag" not in columns:
        raise BadRecordError(f"the sentence has {width} columns, the others {usual}")
    tokens, tags = ([word[column - 1] for word in words] for column in wanted)
    return tokens, tags


def _sentences(lines: list[str | None]) -> list[tuple[int, list[str | None]]]:
    found: list[tuple[int, list[str | None]]] = []
    held: list[str | None] = []
    for number, line in enumerate([*lines, ""], 1):
        # `-DOCSTART-` parts documents as a blank line parts sentences.
        if line is None or (line.strip() and not line.startswith("-DOCSTART-")):
            held.append(line)
        elif held:
            found.append((number - len(held), held))
            held = []
    return found
