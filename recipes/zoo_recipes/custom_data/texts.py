"""Texts of your own data: plain ones for language models, and those of classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from zoo_recipes.custom_data.class_folders import class_members
from zoo_recipes.custom_data.columns import TEXTS
from zoo_recipes.custom_data.content import (
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.custom_data.files import (
    decoded,
    files_of,
    folders_of,
    lines_of,
    location,
    split_word,
    splits_of,
    suffix_of,
    watched,
)
from zoo_registry import UsageError

TEXT = Kind(name="passages of plain text", input="text", tasks=("causal-lm",))
# Splits are made of them: long enough to learn from, and a book has hundreds.
PASSAGE = 2000
# A language model learns from them too: it does not look at classes.
CLASS_TEXTS = Kind(
    name=TEXTS.name,
    input=TEXTS.input,
    label=TEXTS.label,
    tasks=(*TEXTS.tasks, "causal-lm"),
)
# Newsgroups come without any.
SUFFIXES = {".txt", ""}


def is_text(path: Path) -> bool:
    """Return whether a path is a ``.txt`` file or a folder of nothing else."""
    return all(suffix_of(file) == ".txt" for file in files_of(path))


def read_texts(path: Path, columns: Columns) -> Content:
    """Cut every file into passages of about 2,000 characters, at blank lines where it has them.

    Args:
        path: A ``.txt`` file, or a folder of them.
        columns: Not used.
    """
    import tensorflow_datasets as tfds

    examples: list[Example] = []
    problems: list[Problem] = []
    for file, split in splits_of(files_of(path), path).items():
        lines = lines_of(file, path, problems)
        found = list(passages([line for line in lines if line is not None]))
        if not found:
            problems.append(Problem(location(file, path), "the file is empty"))
        examples += [
            Example(
                location(file, path, passage.line),
                split,
                digest_of(passage.text),
                {"text": passage.text},
                (len(passage.text),),
            )
            for passage in found
        ]
    return Content(TEXT, {"text": tfds.features.Text()}, examples, problems)


@dataclass(frozen=True)
class Passage:
    """A piece of a text, and the line that it begins with."""

    line: int
    text: str


def passages(lines: list[str]) -> Iterator[Passage]:
    r"""Yield a text in pieces of at least 2,000 characters, whole paragraphs where it has any.

    What is added at the end of a text changes no passage but the last.

    Example:
        >>> [(p.line, len(p.text)) for p in passages(["a" * 1500, "", "b" * 700, "", "c"])]
        [(1, 2202), (5, 1)]
    """
    held: list[str] = []
    first, size = 1, 0
    for number, paragraph in _paragraphs(lines):
        if not held:
            first = number
        held.append(paragraph)
        size += len(paragraph)
        if size >= PASSAGE:
            yield Passage(first, "\n\n".join(held))
            held, size = [], 0
    if held:
        yield Passage(first, "\n\n".join(held))


def _paragraphs(lines: list[str]) -> Iterator[tuple[int, str]]:
    for is_blank, group in groupby(enumerate(lines, 1), key=lambda item: not item[1].strip()):
        if not is_blank:
            yield from _pieces(list(group))


def _pieces(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    # Verse and logs go on for pages without a blank line.
    start, size = 0, 0
    for at, (_, line) in enumerate(lines, 1):
        size += len(line)
        if size >= PASSAGE or at == len(lines):
            piece = lines[start:at]
            yield piece[0][0], "\n".join(text for _, text in piece)
            start, size = at, 0


def is_class_texts(path: Path) -> bool:
    """Return whether texts lie in folders of classes, two at least, or in those of splits."""
    if not path.is_dir():
        return False
    files = files_of(path)
    tops = folders_of(path)
    within = [file for file in files if file.parent != path]
    texts = [file for file in within if _is_text(file)]
    if not texts or len(texts) < len(within) * 0.9:
        return False
    if len(tops) == 1:
        return is_class_texts(tops[0])
    are_splits = all(split_word(top.name) for top in tops)
    return len(tops) > 1 and (not are_splits or any(folders_of(top) for top in tops))


def read_class_texts(path: Path, columns: Columns) -> Content:
    """Read every file as one text.

    Args:
        path: ``class/text.txt``, or ``train/class/text.txt`` with its siblings.
        columns: Not used.
    """
    import tensorflow_datasets as tfds

    examples: list[Example] = []
    problems: list[Problem] = []
    notes: list[str] = []
    western = 0
    members = class_members(path, notes)
    for member in watched(members, "reading texts"):
        if isinstance(member, Problem):
            problems.append(member)
            continue
        if not _is_text(member.file):
            problems.append(Problem(member.where, "is not a .txt file"))
            continue
        try:
            found = decoded(member.file)
            text = found.text.strip()
            text.encode("utf-8")
        except UsageError as error:
            problems.append(Problem(member.where, str(error).partition("' ")[2].rstrip(".")))
            continue
        except UnicodeEncodeError:
            problems.append(Problem(member.where, "is not UTF-8"))
            continue
        if not text:
            problems.append(Problem(member.where, "the file is empty"))
            continue
        western += found.note is not None
        values = {"text": text, "label": member.label}
        examples.append(Example(member.where, member.split, digest_of(text), values, (len(text),)))
    if western:
        notes.append(f"{western:,} files are not UTF-8: they were read as Windows-1252")
    names = class_names([str(example.values["label"]) for example in examples])
    features = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=names)}
    return Content(CLASS_TEXTS, features, examples, problems, notes)


def _is_text(file: Path) -> bool:
    return suffix_of(file) in SUFFIXES or file.suffix[1:].isdecimal()
