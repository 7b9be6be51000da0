"""A folder of files for each class, also below folders named after splits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo_recipes.own_data.content import Problem
from zoo_recipes.own_data.files import SPLITS, files_of, folders_of, place, watched


@dataclass(frozen=True)
class Member:
    """A file of a class.

    Args:
        file: Its path.
        where: As messages name it.
        split: That it lies in, or ``None``.
        label: The class.
    """

    file: Path
    where: str
    split: str | None
    label: str


def has_class_folders(path: Path, suffixes: Collection[str]) -> bool:
    """Return whether a folder has folders, and files in them whose names end so."""
    return any(
        file.suffix.lower() in suffixes for folder in folders_of(path) for file in files_of(folder)
    )


def class_members(path: Path, problems: list[Problem]) -> Iterator[Member]:
    """Yield all files of ``class/file``, or of ``train/class/file`` with its siblings.

    Args:
        path: The folder.
        problems: Given those of empty classes, and of files that lie outside of all classes.
    """
    problems += _strays(path)
    for split, folder in _classes(path):
        files = files_of(folder)
        if not files:
            problems.append(Problem(place(folder, path) + "/", "the class is empty"))
        for file in watched(files, f"reading {place(folder, path)}"):
            yield Member(file, place(file, path), split, folder.name)


def _classes(path: Path) -> Iterator[tuple[str | None, Path]]:
    tops = folders_of(path)
    if _are_splits(path):
        for top in tops:
            yield from ((SPLITS[top.name.lower()], folder) for folder in folders_of(top))
    else:
        yield from ((None, folder) for folder in tops)


def _are_splits(path: Path) -> bool:
    return all(top.name.lower() in SPLITS and folders_of(top) for top in folders_of(path))


def _strays(path: Path) -> Iterator[Problem]:
    for folder in [path, *(folders_of(path) if _are_splits(path) else [])]:
        files = [file for file in files_of(folder) if file.parent == folder]
        yield from (Problem(place(file, path), "lies outside the class folders") for file in files)
