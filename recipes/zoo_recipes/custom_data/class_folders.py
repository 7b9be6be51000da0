"""A folder of files for each class, also below folders named after splits."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo_recipes.custom_data.content import Problem
from zoo_recipes.custom_data.files import (
    SPLITS,
    files_of,
    folders_of,
    location,
    split_word,
)
from zoo_registry import UsageError

# What folders are called that part files by what they are, and not by class.
STRUCTURE = {
    *("image", "images", "img", "imgs", "picture", "pictures", "photos", "jpegimages"),
    *("label", "labels", "annotation", "annotations", "bbox", "bboxes", "boxes", "metadata"),
    *("mask", "masks", "segmentation", "segmentations", "segmentationclass", "segmentationobject"),
}
# Words of the names of folders whose files have no class.
UNLABELLED = {"pred", "predict", "unlabeled", "unlabelled", "unsup", "submission"}


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


def class_members(path: Path, notes: list[str]) -> list[Member | Problem]:
    """Return all files of ``class/file``, or of ``train/class/file`` with its siblings.

    Empty classes, and files that lie outside of all classes, are problems among them.

    Args:
        path: The folder.
        notes: Given what is left out because it has no class.

    Raises:
        UsageError: Folders that are not classes, or of which it is not clear whether they are.
    """
    root = _unwrapped(path)
    splits = _splits(root)
    found: list[Member | Problem] = [*_strays(path, root, splits)]
    for split, folder in _classes(root, splits, notes):
        files = files_of(folder)
        if not files:
            found.append(Problem(location(folder, path) + "/", "the class is empty"))
        found += [Member(file, location(file, path), split, folder.name) for file in files]
    return found


def _unwrapped(path: Path) -> Path:
    """Return the folder itself, or the one in it that alone holds everything."""
    tops = folders_of(path)
    alone = len(tops) == 1 and folders_of(tops[0]) and not _own_files(path)
    is_split = alone and split_word(tops[0].name)
    return _unwrapped(tops[0]) if alone and not is_split else path


def _own_files(folder: Path) -> list[Path]:
    return [file for file in files_of(folder) if file.parent == folder]


def _splits(root: Path) -> dict[Path, str]:
    """Return the folders that are named after splits, and hold classes; else nothing.

    Raises:
        UsageError: Splits without classes, or other folders beside splits.
    """
    tops = [top for top in folders_of(root) if not is_unlabelled(top)]
    found = {top: split for top in tops if (split := split_word(top.name))}
    holding = {top: split for top, split in found.items() if folders_of(_inner(top))}
    if not holding:
        if len(found) == len(tops) > 0:
            raise UsageError(
                f"'{root}' has folders named after splits ({_listed(tops)}) and no folders of "
                "classes in them: give each class a folder, such as train/rose/1.jpg, or add a "
                "table, such as labels.csv."
            )
        # A train is a thing that classes may be of, too.
        odd = [top for top in found if top.name.lower() in SPLITS and top.name.lower() != "train"]
        if odd:
            classes = [top for top in tops if top not in found]
            raise UsageError(
                f"'{root}' has {_listed(odd)} beside {_listed(classes)}: "
                "a split with no folders of classes in it, or a class? Take it out, or rename it."
            )
        return {}
    others = [top for top in tops if top not in found]
    exact = [top for top in holding if top.name.lower() in SPLITS]
    if others and (exact or len(holding) > 1):
        raise UsageError(
            f"'{root}' has folders named after splits ({_listed(list(holding))}) and others beside "
            f"them ({_listed(others)}): take these out, or name all after train, validation and "
            "test."
        )
    return {} if others else found


def _inner(top: Path) -> Path:
    """Return the folder of classes of a split, which may lie in one of its own name."""
    inner = folders_of(top)
    again = len(inner) == 1 and inner[0].name.lower() == top.name.lower()
    return inner[0] if again and not _own_files(top) else top


def _classes(
    root: Path, splits: dict[Path, str], notes: list[str]
) -> list[tuple[str | None, Path]]:
    found: list[tuple[str | None, Path]] = []
    for top in folders_of(root):
        if is_unlabelled(top) or (top in splits and not folders_of(_inner(top))):
            notes.append(_without_class(top, root))
            continue
        if top not in splits:
            found.append((None, top))
            continue
        for folder in folders_of(_inner(top)):
            if is_unlabelled(folder):
                notes.append(_without_class(folder, root))
            else:
                found.append((splits[top], folder))
    names = {folder.name.lower() for _, folder in found}
    if names and names <= STRUCTURE:
        raise UsageError(
            f"'{root}' has the folders {_listed([folder for _, folder in found])}, which are not "
            "classes, and they are not laid out as YOLO, COCO or Pascal VOC have boxes: YOLO needs "
            "data.yaml or classes.txt beside images/ and labels/. There is no task here that "
            "learns masks."
        )
    return found


def is_unlabelled(path: Path) -> bool:
    """Return whether a folder or file is named after examples without a class.

    Example:
        >>> [is_unlabelled(Path(name)) for name in ("seg_pred", "mySubmission.csv", "predators")]
        [True, True, False]
    """
    name = path.name.lower()
    return "submission" in name or bool(UNLABELLED & set(re.split(r"[^a-z]+", name)))


def _without_class(folder: Path, root: Path) -> str:
    count = len(files_of(folder))
    return f"{location(folder, root)}/ is left out: its {count:,} files have no class"


def _listed(folders: list[Path]) -> str:
    names = list(dict.fromkeys(folder.name for folder in folders))
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])


def _strays(path: Path, root: Path, splits: dict[Path, str]) -> Iterator[Problem]:
    holding = [_inner(top) for top in splits if folders_of(_inner(top))]
    for folder in [root, *holding]:
        yield from (
            Problem(location(file, path), "lies outside the class folders")
            for file in _own_files(folder)
        )
