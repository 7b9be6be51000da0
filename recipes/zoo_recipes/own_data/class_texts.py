"""A folder of text files for each class."""

from __future__ import annotations

from pathlib import Path

from zoo_recipes.own_data.class_folders import class_members
from zoo_recipes.own_data.content import (
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    class_names,
    digest_of,
)
from zoo_recipes.own_data.encodings import decoded, suffix_of
from zoo_recipes.own_data.files import files_of, folders_of, split_word
from zoo_recipes.own_data.roles import TEXTS
from zoo_registry import UsageError

# A language model learns from them too: it does not look at classes.
CLASS_TEXTS = Kind(
    name=TEXTS.name,
    input=TEXTS.input,
    label=TEXTS.label,
    tasks=(*TEXTS.tasks, "causal-lm"),
)
# Newsgroups come without any.
SUFFIXES = {".txt", ""}


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
    remarks: list[str] = []
    western = 0
    for member in class_members(path, problems, remarks):
        if not _is_text(member.file):
            problems.append(Problem(member.where, "is no .txt file"))
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
        western += found.remark is not None
        values = {"text": text, "label": member.label}
        examples.append(Example(member.where, member.split, digest_of(text), values, (len(text),)))
    if western:
        remarks.append(f"{western:,} files are not UTF-8: they were read as Windows-1252")
    names = class_names([str(example.values["label"]) for example in examples])
    features = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=names)}
    return Content(CLASS_TEXTS, features, examples, problems, remarks)


def _is_text(file: Path) -> bool:
    return suffix_of(file) in SUFFIXES or file.suffix[1:].isdecimal()
