"""Words with a tag each, one a line, as CoNLL has them."""

from __future__ import annotations

from pathlib import Path

from zoo_recipes.own_data.content import (
    BadRecordError,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    digest_of,
)
from zoo_recipes.own_data.files import files_of, lines_of, place, splits_of
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


def is_tagged(path: Path) -> bool:
    """Return whether all files have the suffix of tagged words."""
    return all(file.suffix.lower() in SUFFIXES for file in files_of(path))


def read_tagged(path: Path, columns: Columns) -> Content:
    """Read sentences, which blank lines part.

    Args:
        path: A file, or a folder with one for each split.
        columns: ``token`` and ``tag`` by number; the first and the last one by default.

    Raises:
        UsageError: A column is no number.
    """
    import tensorflow_datasets as tfds

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
        for first, lines in _sentences(lines_of(file, path, problems)):
            where = place(file, path, first)
            records.append(where)
            try:
                tokens, tags = _words(lines, columns)
            except BadRecordError as error:
                problems.append(Problem(where, str(error)))
                continue
            values = {"tokens": tokens, "tags": tags}
            examples.append(Example(where, split, digest_of(*tokens), values, (len(tokens),)))
    names = sorted({tag for example in examples for tag in example.values["tags"]})
    features = {
        "tokens": tfds.features.Sequence(tfds.features.Text()),
        "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=names)),
    }
    return Content(TAGS, features, examples, problems, records=records)


def _words(lines: list[str | None], columns: Columns) -> tuple[list[str], list[str]]:
    words = [line.split() for line in lines if line is not None]
    if len(words) < len(lines):
        raise BadRecordError("a line of the sentence is not UTF-8")
    width = len(words[0])
    odd = next((at for at, word in enumerate(words) if len(word) != width), None)
    if odd is not None:
        raise BadRecordError(
            f"line {odd + 1} of the sentence has {len(words[odd])} columns, the first {width}"
        )
    wanted = [int(columns.get("token", 1)), int(columns.get("tag", width))]
    if width < max(2, *wanted):
        raise BadRecordError(f"the sentence has {width} columns, not {max(2, *wanted)}")
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
